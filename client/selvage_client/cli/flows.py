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
from api_schemas.uploads import Upload
from selvage_client.cli.bars import download_bar, job_bar, upload_bar
from selvage_client.cli.consoles import errors_console, output_console
from selvage_client.cli.rim import INTERRUPTED
from selvage_client.cli.tables import job_details, reasons_table
from selvage_client.downloads import DownloadReport
from selvage_client.errors import SelvageError, invalid_input
from selvage_client.requests import Pipeline
from selvage_client.sync_client import Selvage
from selvage_client.uploads import left_out

REASONS_ASKED_FOR: Final = 1000
GOOD_ENDS: Final = ("succeeded", "partial")


def send(
    client: Selvage, images: Path, model: str, pipeline: Pipeline | None, **options: Any
) -> PseudoLabelsCreated:
    """Upload images with a bar and start the job. An unknown model is found before the upload.

    Args:
        options: more arguments of `pseudo_labels`.
    """
    check_model_exists(client, model)
    if images.is_dir() and (other := left_out(images)):
        note(f"Not sent, because their names are no image's: {other} files in '{images}'.")
    with upload_bar() as on_bytes:
        created = client.pseudo_labels(
            images, model=model, pipeline=pipeline, on_bytes=on_bytes, **options
        )
    counts = created.image_set.counts
    note(
        f"Job {created.job.id}: {counts.accepted} images accepted, {counts.duplicate} duplicates, "
        f"{counts.rejected} rejected."
    )
    return created


def check_model_exists(client: Selvage, model: str) -> None:
    """Ask for a model before anything is sent for it."""
    client.model(_model_name(model))


def send_in_parts(
    client: Selvage, file: Path, upload_id: str | None = None, *, passing: bool = False
) -> Upload:
    """Upload a file of any size with a bar; a break says how to go on.

    Args:
        passing: the file was packed for this command and goes with it.
    """
    begun = upload_id

    def on_start(upload: Upload) -> None:
        nonlocal begun
        begun = upload.id

    try:
        with upload_bar() as on_bytes:
            return client.uploads.send(
                file, upload_id=upload_id, on_bytes=on_bytes, on_start=on_start
            )
    except (SelvageError, KeyboardInterrupt):
        if begun is not None and not passing:
            note(f"What was sent stays. Go on with: selvage uploads send {file} --resume {begun}")
        raise


def take_in(client: Selvage, source: dict[str, Any], name: str, url: str | None) -> str:
    """Let the service fetch images and wait for it; return the image set."""
    created = client.create_image_set_from(source, name=name)
    with resumable(watch_hint(created.job.id, url)):
        job = watch_job(client, created.job.id)
    if job.error is not None:
        raise SelvageError(job.error)
    counts = client.image_set(created.image_set.id).counts
    note(
        f"Image set {created.image_set.id}: {counts.accepted} images accepted, "
        f"{counts.duplicate} duplicates, {counts.rejected} rejected."
    )
    return created.image_set.id


def watch_job(client: Selvage, job_id: str) -> Job:
    """Show a job until it is done; return its last state."""
    with job_bar() as on_job:
        for job in client.progress(job_id):
            on_job(job)
    return job


def fetch(client: Selvage, job_id: str, out: Path, *, regions: bool = False) -> DownloadReport:
    """Download the labels of a job with a bar."""
    with download_bar() as on_file:
        return client.download(job_id, out, regions=regions, on_file=on_file)


def start_and_tell(client: Selvage, job: Job, *, wait: bool, json: bool, url: str | None) -> None:
    """Print the id of a job that was started, or stay until it is done; ends the command."""
    if wait:
        with resumable(watch_hint(job.id, url)):
            job = watch_job(client, job.id)
    if json:
        typer.echo(job.model_dump_json(indent=2))
    elif wait:
        output_console().print(job_details(job))
        if found := reasons(client, job):
            output_console().print(reasons_table(found))
    else:
        typer.echo(job.id)
    raise typer.Exit(exit_code(job) if wait else 0)


def reasons(client: Selvage, job: Job) -> dict[str, str]:
    """Return external id → why nothing came of it, for the first such images of a job."""
    found = {}
    if job.type in ("generate", "ingest") and job.image_set:
        found = rejected_images(client, job.image_set)
    failed = client.items(job.id, status="failed")
    for item in islice(failed, REASONS_ASKED_FOR):
        found[item.external_id] = item.error.detail if item.error else item.status
    return found


def rejected_images(client: Selvage, image_set_id: str) -> dict[str, str]:
    """Return external id → reason, for the first rejected files of an image set."""
    rejected = client.image_set_images(image_set_id, status="rejected")
    return {
        entry.external_id: entry.problem.detail if entry.problem else entry.status
        for entry in islice(rejected, REASONS_ASKED_FOR)
    }


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
        note(hint)
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


def note(text: str) -> None:
    errors_console().print(text, soft_wrap=True, highlight=False, markup=False)
