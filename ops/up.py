"""`selvage up`: the whole service on this machine, in the foreground."""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from domain.settings import Settings
from ops import ports
from ops.announcement import Announcement, announce, withdraw
from ops.broker import broker_process, open_broker
from ops.data_lock import DataDirInUse, locked
from ops.devices import visible_gpus
from ops.log import ServiceLog
from ops.processes import environment, module_command
from ops.readiness import is_ready
from ops.supervisor import ChildSpec, Supervisor

# not imported: the queue brings Celery, which takes a while to load
LIGHT_QUEUE = "light"
TRAINING_QUEUE = "training"
LOG_NAME = "selvage.log"
_DEATHS_BEFORE_GIVING_UP = 5
_READY_PROBE_SECONDS = 0.25

# The API first, so that nothing new comes in; the queue last, since all others speak to it.
_STOP_API, _STOP_WORKERS, _STOP_SCHEDULER, _STOP_BROKER = range(4)


class CannotStart(Exception):
    """The service cannot be started here; the message says why and what to do."""


def run_up(settings: Settings, *, lifeline_fd: int | None = None, console: bool = True) -> int:
    """Run the service until it is told to stop; return the exit code.

    Args:
        settings: those of the installation; port 0 takes a free one.
        lifeline_fd: a stream whose end stops the service, so that it never outlives the process
            that holds the other end.
        console: whether the log goes to standard error as well as to the file.
    """
    data_dir = settings.data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with locked(data_dir):
            return _run_locked(settings, data_dir, lifeline_fd, console)
    except DataDirInUse as error:
        raise CannotStart(
            f"{error} Stop it, or give this one another folder with SELVAGE_DATA_DIR."
        ) from None


def worker_processes(settings: Settings, env: Mapping[str, str], stop_rank: int) -> list[ChildSpec]:
    """Return the label workers that `settings` asks for, dealt out over the visible GPUs."""
    takes_gpus = settings.device in ("auto", "cuda")
    gpus = visible_gpus() if takes_gpus else []
    return [
        worker_process(
            f"worker-{number}",
            settings.device,
            with_metrics_port(env, settings, number),
            gpu=gpus[number % len(gpus)] if gpus else None,
            stop_rank=stop_rank,
        )
        for number in range(settings.workers)
    ]


def light_worker_processes(
    settings: Settings, env: Mapping[str, str], stop_rank: int
) -> list[ChildSpec]:
    """Return the workers that take in what comes from elsewhere; they need no GPU."""
    command = module_command("workers.parent", "--queue", LIGHT_QUEUE)
    return [
        ChildSpec(
            f"light-{number}",
            command,
            dict(with_metrics_port(env, settings, settings.workers + number)),
            stop_rank=stop_rank,
        )
        for number in range(settings.light_workers)
    ]


def training_worker_processes(
    settings: Settings, env: Mapping[str, str], stop_rank: int
) -> list[ChildSpec]:
    """Return the workers that start trainings, each on GPUs of its own if there are any."""
    gpus = visible_gpus() if settings.device in ("auto", "cuda") else []
    if settings.device.startswith("cuda:"):
        gpus = [settings.device.removeprefix("cuda:")]
    first = settings.workers + settings.light_workers
    specs = []
    for number in range(settings.training_workers):
        start = number * settings.training_gpus % max(1, len(gpus))
        specs.append(
            training_worker_process(
                f"training-{number}",
                with_metrics_port(env, settings, first + number),
                gpus=gpus[start : start + settings.training_gpus],
                stop_rank=stop_rank,
            )
        )
    return specs


def training_worker_process(
    name: str, env: Mapping[str, str], *, gpus: Sequence[str], stop_rank: int = 0
) -> ChildSpec:
    """Return one training worker, which uses these GPUs or, without any, the processors."""
    own_env = {**env, "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    command = module_command("workers.parent", "--queue", TRAINING_QUEUE)
    return ChildSpec(name, command, own_env, stop_rank=stop_rank)


def with_metrics_port(env: Mapping[str, str], settings: Settings, number: int) -> Mapping[str, str]:
    """Return the environment of one of several workers: each has a port of its own for metrics."""
    if settings.worker_metrics_port == 0:
        return env
    return {**env, "SELVAGE_WORKER_METRICS_PORT": str(settings.worker_metrics_port + number)}


def worker_process(
    name: str, device: str, env: Mapping[str, str], *, gpu: str | None = None, stop_rank: int = 0
) -> ChildSpec:
    """Return one label worker; with `gpu` it sees that one only, as its device 0."""
    own_env = dict(env)
    if gpu is not None:
        own_env["CUDA_VISIBLE_DEVICES"] = gpu
    command = module_command("workers.parent", "--device", device)
    return ChildSpec(name, command, own_env, stop_rank=stop_rank)


def _run_locked(settings: Settings, data_dir: Path, lifeline_fd: int | None, console: bool) -> int:
    withdraw(data_dir)  # what a killed predecessor left
    port = _choose_port(settings)
    _upgrade_catalog(settings)
    _refuse_open_service(settings)
    log = ServiceLog(data_dir / LOG_NAME, console=console)
    try:
        specs, announcement = _plan(settings, data_dir, port)
        supervisor = Supervisor(specs, log, shutdown_seconds=settings.shutdown_seconds)
        if lifeline_fd is not None:
            supervisor.stop_at_end_of(lifeline_fd)
        start = _Start(supervisor, announcement, data_dir, log)
        try:
            supervisor.run(start.watch)
        finally:
            withdraw(data_dir)
        log.note("stopped")
        return 1 if start.gave_up else 0
    finally:
        log.close()


class _Start:
    """Waits for the API to be ready, announces it once, or gives up."""

    def __init__(
        self, supervisor: Supervisor, announcement: Announcement, data_dir: Path, log: ServiceLog
    ) -> None:
        self._supervisor = supervisor
        self._announcement = announcement
        self._data_dir = data_dir
        self._log = log
        self._announced = False
        self._next_probe_at = 0.0
        self.gave_up = False

    def watch(self) -> None:
        if self._announced or self.gave_up or time.monotonic() < self._next_probe_at:
            return
        if is_ready(self._announcement.url):
            announce(self._data_dir, self._announcement)
            self._announced = True
            with contextlib.suppress(OSError):  # whoever read it may be gone
                print(
                    f"Selvage is ready: {self._announcement.url}"
                    f" (API reference: {self._announcement.url}/docs,"
                    f" log: {self._data_dir / LOG_NAME})",
                    flush=True,
                )
            return
        self._next_probe_at = time.monotonic() + _READY_PROBE_SECONDS
        for name, deaths in self._supervisor.deaths_in_a_row.items():
            if deaths >= _DEATHS_BEFORE_GIVING_UP:
                self._log.note(f"{name} does not start; its last words are above. Giving up.")
                self.gave_up = True
                self._supervisor.request_stop()


def _plan(settings: Settings, data_dir: Path, port: int) -> tuple[list[ChildSpec], Announcement]:
    env = environment(
        SELVAGE_DATA_DIR=str(data_dir),
        SELVAGE_HOST=settings.host,
        SELVAGE_PORT=str(port),
        SELVAGE_WORKERS=str(settings.workers),
        SELVAGE_LIGHT_WORKERS=str(settings.light_workers),
        SELVAGE_TRAINING_WORKERS=str(settings.training_workers),
        SELVAGE_DEVICE=settings.device,
    )
    specs = []
    if settings.redis_url is None:
        broker = open_broker(data_dir, settings.broker_port)
        env["SELVAGE_REDIS_URL"] = broker.url
        specs.append(broker_process(broker, env, _STOP_BROKER))
    else:
        env["SELVAGE_REDIS_URL"] = settings.redis_url.get_secret_value()
    specs += [
        ChildSpec("api", module_command("service"), env, stop_rank=_STOP_API),
        ChildSpec("scheduler", module_command("workers.scheduler"), env, stop_rank=_STOP_SCHEDULER),
        *worker_processes(settings, env, _STOP_WORKERS),
        *light_worker_processes(settings, env, _STOP_WORKERS),
        *training_worker_processes(settings, env, _STOP_WORKERS),
    ]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    announcement = Announcement(
        url=f"http://{host}:{port}",
        pid=os.getpid(),
        port=port,
        broker_url=env["SELVAGE_REDIS_URL"],
    )
    return specs, announcement


def _refuse_open_service(settings: Settings) -> None:
    # Imported here, like the migrations: both bring SQLAlchemy.
    from domain.api_keys import KeysNeeded, refuse_open_service
    from storage.catalog.engine import Catalog

    catalog = Catalog(settings.catalog_url)
    try:
        refuse_open_service(settings, catalog)
    except KeysNeeded as error:
        raise CannotStart(str(error)) from None
    finally:
        catalog.close()


def _choose_port(settings: Settings) -> int:
    if settings.port == 0:
        return ports.find_free(settings.host)
    if not ports.is_free(settings.host, settings.port):
        raise CannotStart(
            f"Port {settings.port} of {settings.host} is taken by another program. Stop it, or take"
            " another port with `selvage up --port N` (0 takes a free one) or SELVAGE_PORT."
        )
    return settings.port


def _upgrade_catalog(settings: Settings) -> None:
    # Imported here: the migrations bring SQLAlchemy, which takes a while and only `up` needs.
    from storage.catalog.migrations import upgrade

    upgrade(settings.catalog_url)
