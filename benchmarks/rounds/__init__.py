"""Self-training rounds against their baselines, on generated scenes or a folder of real images."""
