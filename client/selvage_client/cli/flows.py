"""Steps that several commands take: send, watch, fetch, tell what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import typer

from api_schemas.image_sets import ImageSetReport
from api_schemas.jobs import Job
from api_schemas.labels import PseudoLabelsCreated
from api_schemas.models import parse_model_reference
from selvage_client.cli.bars import download_bar, job_bar, upload_bar
from selvage_client.cli.consoles import errors_console
from selvage_client.cli.rim import INTERRUPTED
from selvage_client.downloads import DownloadReport
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage
from selvage_client.uploads import left_out

REASONS_ASKED_FOR: Final = 1000
GOOD_ENDS: Final = ("succeeded", "partial")


def send(
    client: Selvage, images: Path, model: str, pipeline: dict[str, Any] | None
) -> PseudoLabelsCreated:
    """Upload images with a bar and start the job. An unknown model is found before the upload."""
    client.model(_model_name(model))
    if images.is_dir() and (other := left_out(images)):
        _note(f"Not sent, because their names are no image's: {other} files in '{images}'.")
    with upload_bar() as on_bytes:
        created = client.pseudo_labels(images, model=model, pipeline=pipeline, on_bytes=on_bytes)
    counts = created.image_set.counts
    _note(
        f"Job {created.job.id}: {counts.accepted} images accepted, {counts.duplicate} duplicates, "
        f"{counts.rejected} rejected."
    )
    return created


def watch_job(client: Selvage, job_id: str) -> Job:
    """Show a job until it is done; return its last state."""
    with job_bar() as on_job:
        for job in client.progress(job_id):
            on_job(job)
    return job


def fetch(client: Selvage, job_id: str, out: Path) -> DownloadReport:
    """Download the labels of a job with a bar."""
    with download_bar() as on_file:
        return client.download(job_id, out, on_file=on_file)


def reasons(client: Selvage, job: Job) -> dict[str, str]:
    """Return external id → why nothing came of it, for the first such images of a job."""
    found = {}
    if job.type == "generate" and job.image_set:
        rejected = client.image_set_images(job.image_set, status="rejected")
        for entry in islice(rejected, REASONS_ASKED_FOR):
            found[entry.external_id] = entry.problem.detail if entry.problem else entry.status
    failed = client.items(job.id, status="failed")
    for item in islice(failed, REASONS_ASKED_FOR):
        found[item.external_id] = item.error.detail if item.error else item.status
    return found


def rejected_files(report: ImageSetReport) -> dict[str, str]:
    """Return file name → reason, for the files that an upload's answer lists as rejected."""
    return {
        entry.file_name: entry.problem.detail if entry.problem else entry.status
        for entry in report.files
        if entry.status == "rejected"
    }


@contextmanager
def resumable(hint: str) -> Iterator[None]:
    """Turn Ctrl-C inside the block into a hint and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        _note(hint)
        raise typer.Exit(INTERRUPTED) from None


def watch_hint(job_id: str, url: str | None) -> str:
    """Return how to see a job again that goes on without us."""
    address = f" --url {url}" if url else ""
    return f"The job goes on. See it again with: selvage watch {job_id}{address}"


def exit_code(job: Job) -> int:
    """Return 0 for a job with labels to use, 1 for one that ended otherwise."""
    return 0 if job.status in GOOD_ENDS else 1


def _model_name(reference: str) -> str:
    try:
        return parse_model_reference(reference)[0]
    except ValueError as error:
        raise invalid_input(f"{error}.") from error


def _note(text: str) -> None:
    errors_console().print(text, soft_wrap=True, highlight=False, markup=False)
