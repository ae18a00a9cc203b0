"""The process of a light worker: `python -m workers.light_child`, started by `workers.parent`.

It takes in what comes from elsewhere and imports no torch.
"""

from domain.logs import set_up_logs
from domain.settings import Settings
from storage.queue import LIGHT_QUEUE
from workers.light_kinds import LIGHT_HANDLERS
from workers.progress import Progress
from workers.runtime import open_runtime
from workers.serving import serve, worker_id_from_environment


def main() -> None:
    """Work until told to stop."""
    settings = Settings()
    set_up_logs(settings)
    progress = Progress.from_environment()
    progress.tick("starting")
    progress.start_pulse()
    runtime = open_runtime(settings, worker_id_from_environment(), progress)
    serve(runtime, LIGHT_HANDLERS, queue=LIGHT_QUEUE, device="none")


if __name__ == "__main__":
    main()
