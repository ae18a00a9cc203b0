"""`selvage status | watch | cancel | retry | download`, and `selvage jobs list | events`."""

import json as json_module
from pathlib import Path
from typing import Annotated, Final

import typer

from api_schemas.events import EVENT_TYPES
from api_schemas.jobs import Job
from selvage_client.cli import flows
from selvage_client.cli.consoles import output_console
from selvage_client.cli.options import (
    ApiKey,
    JobId,
    Json,
    Limit,
    Url,
)
from selvage_client.cli.printing import print_list
from selvage_client.cli.tables import job_details, jobs_table, reasons_table
from selvage_client.downloads import check_folder
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage

NO_JOB: Final = "No job yet. Start one: selvage submit FOLDER --model NAME"


def register(app: typer.Typer) -> None:
    """Add the commands about jobs."""
    app.command()(status)
    app.command()(watch)
    app.command()(cancel)
    app.command()(retry)
    app.command()(download)
    jobs = typer.Typer(help="Jobs: find them, hear what happens to them.", no_args_is_help=True)
    jobs.command("list")(list_jobs)
    jobs.command()(events)
    app.add_typer(jobs, name="jobs")


def status(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Id of a job.")] = None,
    limit: Limit = 20,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Show one job, or list the latest."""
    with Selvage(url, api_key) as client:
        if job is None:
            print_list(client.jobs(), json=json, table=jobs_table, empty=NO_JOB, limit=limit)
            return
        _show_job(client, client.job(job), json=json)


def watch(job: JobId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Follow a job until it is done."""
    with Selvage(url, api_key) as client:
        with flows.resumable(flows.watch_hint(job, url)):
            last = flows.watch_job(client, job)
        _show_job(client, last, json=json)
    raise typer.Exit(flows.exit_code(last))


def cancel(job: JobId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Stop a job; the labels that are done stay."""
    with Selvage(url, api_key) as client:
        cancelled = client.cancel(job)
    _tell(cancelled, f"Job {cancelled.id} is {cancelled.status}.", json=json)


def retry(
    job: JobId,
    everything: Annotated[
        bool, typer.Option("--all", help="Not only the failed images, but all of them.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Start a new job for the failed images of a job."""
    with Selvage(url, api_key) as client:
        new = client.retry(job, only="all" if everything else "failed")
    _tell(new, new.id, json=json)


def download(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the labels.")],
    regions: Annotated[
        bool, typer.Option("--regions", help="Also the regions of the labels, as JSON.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Put the labels of a job into a folder; a second call fetches what is missing."""
    check_folder(out)
    with Selvage(url, api_key) as client:
        report = flows.fetch(client, job, out, regions=regions)
    typer.echo(
        f"{report.labels} labels in {report.folder} ({report.fetched_files} files fetched, "
        f"{report.kept_files} were there); {report.without_label} images without label."
    )


def list_jobs(
    filter: Annotated[
        str | None,
        typer.Option(help="Such as 'status=failed AND type=generate AND model=demo:2'."),
    ] = None,
    order_by: Annotated[
        str | None,
        typer.Option(help="`created_at`, `priority` or `finished_at`; `desc` after it turns it."),
    ] = None,
    limit: Limit = 20,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """List jobs, the newest first, or those that meet a filter."""
    empty = NO_JOB if filter is None else "No job meets this filter."
    with Selvage(url, api_key) as client:
        found = client.jobs(filter=filter, order_by=order_by)
        print_list(found, json=json, table=jobs_table, empty=empty, limit=limit)


def events(
    job: JobId,
    type: Annotated[
        list[str] | None, typer.Option(help="Only these, such as item.failed; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Id of the last event that you have; 0 for the beginning.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Print what happens to a job as it happens: one JSON object a line."""
    unknown = sorted(set(type or ()) - set(EVENT_TYPES))
    if unknown:
        raise invalid_input(f"There are no events of type '{unknown[0]}'. {', '.join(EVENT_TYPES)}")
    types = [known for known in EVENT_TYPES if known in type] if type else None
    with Selvage(url, api_key) as client, flows.resumable(flows.watch_hint(job, url)):
        for event in client.events(job, types=types, last_event_id=since):
            data = event.data.model_dump(mode="json")
            line = {"id": event.id, "type": event.type, "data": data}
            typer.echo(json_module.dumps(line, ensure_ascii=False))


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
