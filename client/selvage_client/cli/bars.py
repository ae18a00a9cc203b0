"""Progress for people: bars on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from api_schemas.campaigns import Campaign
from api_schemas.jobs import Job
from api_schemas.training import TrainingProgress
from selvage_client.cli.consoles import errors_console

LINE_EVERY_SECONDS: Final = 5.0


@contextmanager
def upload_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback of (bytes sent, bytes in all)."""
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _counting_bar("Sending", *columns) as on_bytes:
        yield on_bytes


@contextmanager
def file_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback of (bytes there, bytes in all)."""
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _counting_bar("Fetching", *columns) as on_bytes:
        yield on_bytes


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback of (files there, files in all)."""
    columns = (MofNCompleteColumn(), TimeRemainingColumn())
    with _counting_bar("Fetching", *columns) as on_file:
        yield on_file


@contextmanager
def job_bar() -> Iterator[Callable[[Job], None]]:
    """Yield a callback that shows a job: images done, images/s, time left."""
    console = errors_console()
    if not console.is_terminal:
        yield _JobLines(console)
        return
    with _bar(TextColumn("{task.fields[facts]}")) as bar:
        task = bar.add_task("queued", total=1.0, facts="")

        def on_job(job: Job) -> None:
            bar.update(
                task,
                description=_description(job),
                completed=job.progress.step_fraction or job.progress.fraction,
                facts=job_facts(job),
            )

        yield on_job


@contextmanager
def campaign_bar() -> Iterator[Callable[[Campaign], None]]:
    """Yield a callback that shows a campaign: its round, its step, how far it is."""
    console = errors_console()
    if not console.is_terminal:
        told = ""

        def tell(campaign: Campaign) -> None:
            nonlocal told
            if (now := campaign_facts(campaign)) != told:
                told = now
                console.print(now, soft_wrap=True, highlight=False)

        yield tell
        return
    with _bar(TextColumn("{task.fields[facts]}")) as bar:
        task = bar.add_task("running", total=1.0, facts="")

        def on_campaign(campaign: Campaign) -> None:
            bar.update(
                task,
                description=campaign.status,
                completed=campaign.progress.fraction,
                facts=campaign_facts(campaign),
            )

        yield on_campaign


def campaign_facts(campaign: Campaign) -> str:
    """Return such as `running: round 1 of 3, train`."""
    progress = campaign.progress
    step = f", {progress.step}" if progress.step else ""
    return f"{campaign.status}: round {progress.round} of {progress.rounds}{step}"


def _description(job: Job) -> str:
    """Return the status; where no label is done for long, what goes on instead."""
    if job.training is not None and job.status == "running":
        return job.training.stage
    return "sampling" if job.progress.step == "pilot" else job.status


def job_facts(job: Job) -> str:
    """Return such as `12/24 images, 3.1 images/s, 0:04 left`, or `step 120/2000, loss 0.41`."""
    if job.training is not None:
        return _training_facts(job.training)
    facts = [f"{images_done(job)} images"]
    if job.counts.failed:
        facts.append(f"{job.counts.failed} failed")
    if job.progress.images_per_second is not None:
        facts.append(f"{job.progress.images_per_second:.1f} images/s")
    if job.progress.eta_seconds is not None and not job.done:
        facts.append(f"{clock(job.progress.eta_seconds)} left")
    return ", ".join(facts)


def _training_facts(training: TrainingProgress) -> str:
    if training.step is None:
        return f"{training.images} images" if training.images is not None else training.stage
    facts = [f"step {training.step}/{training.steps}"]
    if training.losses:
        facts.append(f"loss {sum(training.losses.values()):.3f}")
    if training.images_per_second is not None:
        facts.append(f"{training.images_per_second:.1f} images/s")
    return ", ".join(facts)


def images_done(job: Job) -> str:
    """Return such as `12/24`: images that are done, whatever came of them, of all."""
    counts = job.counts
    return f"{counts.total - counts.queued - counts.running}/{counts.total}"


def clock(seconds: float) -> str:
    """Return a duration such as `0:04` or `2:01:30`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _JobLines:
    """The same facts as lines of a log, a few seconds apart."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: str | None = None
        self._printed_at = 0.0

    def __call__(self, job: Job) -> None:
        now = time.monotonic()
        if job.status == self._status and now - self._printed_at < LINE_EVERY_SECONDS:
            return
        self._status = job.status
        self._printed_at = now
        self._console.print(f"{job.status}: {job_facts(job)}", soft_wrap=True, highlight=False)


@contextmanager
def _counting_bar(name: str, *columns: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback of (done, total); the bar appears with its first call."""
    bar = _bar(*columns)
    task = bar.add_task(name, total=None)
    started = False

    def on_step(done: int, total: int) -> None:
        nonlocal started
        if not started:
            started = True
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield on_step
    finally:
        if started:
            bar.stop()


def _bar(*columns: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"), BarColumn(), *columns, console=errors_console()
    )
