"""`selvage submit | status | watch | cancel | retry | download`."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json

from api_schemas.jobs import Job
from selvage_client.cli import flows
from selvage_client.cli.consoles import errors_console, output_console
from selvage_client.cli.options import (
    Images,
    JobId,
    Json,
    ModelName,
    PipelineFile,
    Url,
    check_model,
    read_pipeline,
)
from selvage_client.cli.tables import job_details, jobs_table, reasons_table
from selvage_client.downloads import check_folder
from selvage_client.sync_client import Selvage


def register(app: typer.Typer) -> None:
    """Add the commands about jobs."""
    app.command()(submit)
    app.command()(status)
    app.command()(watch)
    app.command()(cancel)
    app.command()(retry)
    app.command()(download)


def submit(
    images: Images,
    model: ModelName,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the job is done.")] = False,
    pipeline: PipelineFile = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Send images to a service and start a job that labels them."""
    check_model(model)
    config = read_pipeline(pipeline)
    with Selvage(url) as client:
        created = flows.send(client, images, model, config)
        job = created.job
        if wait:
            with flows.resumable(flows.watch_hint(job.id, url)):
                job = flows.watch_job(client, job.id)
    if rejected := flows.rejected_files(created.image_set):
        errors_console().print(reasons_table(rejected))
    if json:
        typer.echo(created.model_copy(update={"job": job}).model_dump_json(indent=2))
    elif wait:
        output_console().print(job_details(job))
    else:
        typer.echo(job.id)
    if wait:
        raise typer.Exit(flows.exit_code(job))


def status(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Id of a job.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Jobs to list.")] = 20,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show one job, or list the latest."""
    with Selvage(url) as client:
        if job is None:
            found = list(islice(client.jobs(), limit))
            if json:
                typer.echo(to_json(found, indent=2))
            elif found:
                output_console().print(jobs_table(found))
            else:
                typer.echo("No job yet. Start one: selvage submit FOLDER --model NAME")
            return
        _show_job(client, client.job(job), json=json)


def watch(job: JobId, url: Url = None, json: Json = False) -> None:
    """Follow a job until it is done."""
    with Selvage(url) as client:
        with flows.resumable(flows.watch_hint(job, url)):
            last = flows.watch_job(client, job)
        _show_job(client, last, json=json)
    raise typer.Exit(flows.exit_code(last))


def cancel(job: JobId, url: Url = None, json: Json = False) -> None:
    """Stop a job; the labels that are done stay."""
    with Selvage(url) as client:
        cancelled = client.cancel(job)
    _tell(cancelled, f"Job {cancelled.id} is {cancelled.status}.", json=json)


def retry(
    job: JobId,
    everything: Annotated[
        bool, typer.Option("--all", help="Not only the failed images, but all of them.")
    ] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Start a new job for the failed images of a job."""
    with Selvage(url) as client:
        new = client.retry(job, only="all" if everything else "failed")
    _tell(new, new.id, json=json)


def download(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the labels.")],
    url: Url = None,
) -> None:
    """Put the labels of a job into a folder; a second call fetches what is missing."""
    check_folder(out)
    with Selvage(url) as client:
        report = flows.fetch(client, job, out)
    typer.echo(
        f"{report.labels} labels in {report.folder} ({report.fetched_files} files fetched, "
        f"{report.kept_files} were there); {report.without_label} images without label."
    )


def _show_job(client: Selvage, job: Job, *, json: bool) -> None:
    if json:
        typer.echo(job.model_dump_json(indent=2))
        return
    console = output_console()
    console.print(job_details(job))
    if job.done and (found := flows.reasons(client, job)):
        console.print(reasons_table(found))


def _tell(job: Job, text: str, *, json: bool) -> None:
    typer.echo(job.model_dump_json(indent=2) if json else text)
