"""The process of a training worker: `python -m workers.training_child`, run by `workers.parent`.

It starts the process that trains and watches it; itself it imports no torch.
"""

from domain.logs import set_up_logs
from domain.settings import Settings
from storage.queue import TRAINING_QUEUE
from workers.progress import Progress
from workers.serving import serve, worker_id_from_environment
from workers.training.runtime import open_training_runtime
from workers.training_kinds import TRAINING_HANDLERS


def main() -> None:
    """Work until told to stop."""
    settings = Settings()
    set_up_logs(settings)
    progress = Progress.from_environment()
    progress.tick("starting")
    progress.start_pulse()
    runtime = open_training_runtime(settings, worker_id_from_environment(), progress)
    device = ",".join(f"gpu-{gpu}" for gpu in runtime.gpus) or "cpu"
    serve(runtime, TRAINING_HANDLERS, queue=TRAINING_QUEUE, device=device[:64])


if __name__ == "__main__":
    main()
