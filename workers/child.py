"""The process of a label worker: `python -m workers.child`, started by `workers.parent`."""

from domain.logs import set_up_logs
from domain.settings import Settings
from storage.queue import LABEL_QUEUE
from workers.devices import resolve_device, set_threads
from workers.label_kinds import LABEL_HANDLERS
from workers.label_runtime import LabelRuntime, open_label_runtime
from workers.progress import Progress
from workers.serving import serve, worker_id_from_environment


def main() -> None:
    """Work until told to stop."""
    settings = Settings()
    set_up_logs(settings)
    progress = Progress.from_environment()
    progress.tick("starting")
    progress.start_pulse()
    device = resolve_device(settings.device)
    set_threads(settings)
    runtime: LabelRuntime = open_label_runtime(
        settings, worker_id_from_environment(), progress, device
    )
    serve(runtime, LABEL_HANDLERS, queue=LABEL_QUEUE, device=device)


if __name__ == "__main__":
    main()
