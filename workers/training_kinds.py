"""What a training worker can do: one handler for each kind of chunk of its queue. No torch."""

from typing import Final

from workers.run_chunk import Handlers
from workers.training.chunk import train_chunk
from workers.training.runtime import TrainingRuntime

TRAINING_HANDLERS: Final[Handlers[TrainingRuntime]] = {"train": train_chunk}
