"""How the nano SAM is trained."""

from benchmarks.region_model.training import TrainingConfig

NANO_TRAINING = TrainingConfig(
    steps=5000, batch_size=8, learning_rate=8e-4, decoder_factor=2.0, hint_steps=1500
)
