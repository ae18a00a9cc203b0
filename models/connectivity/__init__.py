"""Regions of a label: grown from kept pixels (PSA), then kept, relabelled or rejected (SCC).

Zhao et al., "Connectivity-Driven Pseudo-Labeling Makes Stronger Cross-Domain Segmenters" (SeCo),
NeurIPS 2024.
"""
