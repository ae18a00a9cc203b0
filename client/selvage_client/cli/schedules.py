"""`selvage schedules list | show | create | pause | resume | run | delete`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from api_schemas.schedules import Schedule, ScheduleTick
from selvage_client.cli import flows
from selvage_client.cli.options import (
    ApiKey,
    Json,
    Limit,
    PipelineFile,
    Url,
    Wait,
    read_json,
    read_pipeline,
)
from selvage_client.cli.printing import plain_table, print_list, print_one, tell
from selvage_client.cli.tables import facts_table, local_time
from selvage_client.errors import invalid_input
from selvage_client.requests.jobs import refine
from selvage_client.sync_client import Selvage

ScheduleId = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id of a schedule, sch_….")]
TICKS_SHOWN = 10


def group() -> typer.Typer:
    """Return the commands about schedules."""
    schedules = typer.Typer(help="Jobs by the clock.", no_args_is_help=True)
    schedules.command("list")(list_schedules)
    schedules.command("show")(show)
    schedules.command("create")(create)
    schedules.command("pause")(pause)
    schedules.command("resume")(resume)
    schedules.command("run")(run)
    schedules.command("delete")(delete)
    return schedules


def list_schedules(
    limit: Limit = 50, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List schedules, the newest first."""
    empty = "No schedule yet. Make one: selvage schedules create NAME --cron '30 2 * * *' …"
    with Selvage(url, api_key) as client:
        print_list(client.schedules.list(), json=json, table=_table, empty=empty, limit=limit)


def show(schedule: ScheduleId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show one schedule, its next due times and what became of the last ones."""
    with Selvage(url, api_key) as client:
        found = client.schedules.get(schedule)
        ticks = [] if json else _first(client.schedules.ticks(schedule))
    print_one(found, json=json, table=_details(found, ticks))


def create(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    cron: Annotated[
        str, typer.Option(help="Minute, hour, day, month, weekday: '30 2 * * MON-FRI'.")
    ],
    job: Annotated[
        Path | None, typer.Option(help="JSON file with the job, as POST /v1/jobs takes it.")
    ] = None,
    refine_job: Annotated[
        str | None, typer.Option("--refine", metavar="JOB", help="Refine the labels of this job.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="For --refine.")] = None,
    pipeline: PipelineFile = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Such as Europe/Berlin.  [default: UTC]")
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Queue a job while an earlier one goes on, not skip it.")
    ] = False,
    paused: Annotated[bool, typer.Option("--paused", help="Do not begin yet.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Start a job at every due time: the one in a file, or the refinement of a job."""
    request = _request(job, refine_job, model, pipeline)
    with Selvage(url, api_key) as client:
        made = client.schedules.create(
            name,
            cron,
            request,
            time_zone=time_zone,
            overlap="queue" if queue else None,
            paused=paused or None,
        )
    if made.upcoming and not json:
        flows.note(f"Due next: {local_time(made.upcoming[0])}")
    tell(made, made.id, json=json)


def pause(
    schedule: ScheduleId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Let due times pass."""
    with Selvage(url, api_key) as client:
        found = client.schedules.pause(schedule)
    tell(found, f"Schedule {found.id} is paused.", json=json)


def resume(
    schedule: ScheduleId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Go on with the next due time."""
    with Selvage(url, api_key) as client:
        found = client.schedules.resume(schedule)
    due = local_time(found.upcoming[0]) if found.upcoming else "never"
    tell(found, f"Schedule {found.id} goes on; due next: {due}", json=json)


def run(
    schedule: ScheduleId,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Start the job now as well."""
    with Selvage(url, api_key) as client:
        job = client.schedules.run(schedule)
        flows.start_and_tell(client, job, wait=wait, json=json, url=url)


def delete(schedule: ScheduleId, url: Url = None, api_key: ApiKey = None) -> None:
    """Remove a schedule; its jobs stay."""
    with Selvage(url, api_key) as client:
        client.schedules.delete(schedule)
    typer.echo(f"Schedule {schedule} is deleted.")


def _request(
    job: Path | None, refine_job: str | None, model: str | None, pipeline: str | None
) -> dict[str, Any]:
    if (job is None) == (refine_job is None):
        raise invalid_input("Say what to start: either --job FILE or --refine JOB.")
    if job is not None:
        if model is not None or pipeline is not None:
            raise invalid_input(
                "--model and --pipeline go with --refine; with --job they stand in it."
            )
        return read_json(job, "{'type': 'generate', 'image_set': 'set_…', 'model': 'demo'}")
    return refine(refine_job, None, model, read_pipeline(pipeline), {})


def _first(ticks: Iterable[ScheduleTick]) -> list[ScheduleTick]:
    return [tick for _, tick in zip(range(TICKS_SHOWN), ticks, strict=False)]


def _table(schedules: Iterable[Schedule]) -> Table:
    rows = [
        [one.id, one.name, one.cron, one.time_zone, str(one.job.get("type", "")), _due(one)]
        for one in schedules
    ]
    return plain_table(["schedule", "name", "cron", "time zone", "job", "due next"], rows)


def _due(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    return local_time(schedule.upcoming[0]) if schedule.upcoming else "never"


def _details(one: Schedule, ticks: list[ScheduleTick]) -> Group:
    rows = [
        ("schedule", one.id),
        ("name", escape(one.name)),
        ("cron", f"{escape(one.cron)} ({one.time_zone})"),
        ("job", escape(", ".join(f"{name} {value}" for name, value in one.job.items()))),
        ("overlap", one.overlap),
    ]
    rows += [("due", local_time(due)) for due in one.upcoming] or [("due", _due(one))]
    past = [
        [
            local_time(tick.due_at),
            tick.outcome,
            tick.job or (tick.problem.detail if tick.problem else ""),
        ]
        for tick in ticks
    ]
    return Group(
        facts_table(rows), *([plain_table(["was due", "outcome", "job"], past)] if past else [])
    )
