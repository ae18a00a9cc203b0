"""How the nano SAM is trained: some minutes of a large GPU, a day of a processor core."""

from benchmarks.region_model.training import TrainingConfig

NANO_TRAINING = TrainingConfig(
    steps=2800, batch_size=64, learning_rate=1e-3, decoder_factor=2.0, hint_steps=560
)
