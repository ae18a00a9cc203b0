"""Jobs, images and models as tables."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from api_schemas.jobs import Job
from api_schemas.models import Model, ModelVersion
from api_schemas.problems import Problem
from selvage_client.cli.bars import clock, images_done, job_facts

STATUS_STYLES: Mapping[str, str] = {
    "succeeded": "green",
    "partial": "yellow",
    "failed": "red",
    "cancelled": "dim",
    "expired": "dim",
    "ready": "green",
    "complete": "green",
    "active": "green",
    "promoted": "green",
    "kept_teacher": "yellow",
    "halted": "yellow",
    "stopped": "dim",
    "aborted": "dim",
    "rejected": "red",
}


def styled(status: str) -> str:
    """Return a status with its colour as rich markup."""
    style = STATUS_STYLES.get(status)
    return f"[{style}]{status}[/{style}]" if style else status


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Return names and values in two columns without lines."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def jobs_table(jobs: Iterable[Job]) -> Table:
    """Return one row per job, narrow enough for a terminal of 80 columns."""
    table = Table("job", "type", "status", "images", "model", "age", box=None, pad_edge=False)
    now = datetime.now(UTC)
    for job in jobs:
        table.add_row(
            job.id,
            job.type,
            styled(job.status),
            images_done(job),
            escape(job.model or ""),
            age(now - job.created_at),
        )
    table.columns[0].no_wrap = True
    return table


def local_time(moment: datetime) -> str:
    """Return a time of the service by the clock of this machine."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def age(past: timedelta) -> str:
    """Return such as `40 s`, `5 min`, `3 h` or `12 d`."""
    seconds = max(0, int(past.total_seconds()))
    for unit_seconds, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_seconds:
            return f"{seconds // unit_seconds} {unit}"
    return f"{seconds} s"


def job_details(job: Job) -> Group:
    """Return what is known of one job."""
    rows = [("job", job.id), ("type", job.type), ("status", styled(job.status))]
    rows.append(("progress", f"{job.progress.fraction:.0%}, {job_facts(job)}"))
    rows += [(f"  {stage.name}", _stage(stage.done, stage.failed)) for stage in job.stages]
    if job.model:
        rows.append(("model", escape(job.model)))
    rows.append(("image set", job.image_set or "–"))
    rows.append(("created", local_time(job.created_at)))
    if job.started_at and job.finished_at:
        rows.append(("took", clock((job.finished_at - job.started_at).total_seconds())))
    rows += _origin(job)
    rows += [(f"  {name}", escape(value)) for name, value in job.metadata.items()]
    if job.result:
        rows += [(f"  {name}", escape(value)) for name, value in flat(job.result)]
    if job.error:
        rows.append(("error", problem_text(job.error)))
    return Group(facts_table(rows))


def _origin(job: Job) -> Iterator[tuple[str, str]]:
    """Yield what not every job has: where it comes from, and its times."""
    named = {
        "pipeline": job.pipeline_name,
        "retry of": job.retry_of,
        "refined from": job.refined_from,
        "schedule": job.schedule,
    }
    yield from ((name, value) for name, value in named.items() if value)
    if job.schedule_at is not None:
        yield "not before", local_time(job.schedule_at)
    if job.deadline_at is not None:
        yield "deadline", local_time(job.deadline_at)


def problem_text(problem: Problem) -> str:
    """Return what is wrong in red and what to do, as rich markup."""
    return f"[red]{escape(problem.title)}.[/red] {escape(problem.detail)}"


def flat(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested figures one by one: `{"iou": {"road": 0.51}}` → `("iou.road", "0.5100")`."""
    for name, value in result.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:.4f}" if isinstance(value, float) else str(value)


def reasons_table(reasons: Mapping[str, str], *, limit: int = 10) -> Table:
    """Return images that have no label, with the reason; at most `limit` of them."""
    table = Table("image", "reason")
    for name, reason in list(reasons.items())[:limit]:
        table.add_row(escape(name), escape(reason))
    if len(reasons) > limit:
        table.add_row(f"… and {len(reasons) - limit} more", "")
    return table


def models_table(models: Iterable[Model]) -> Table:
    """Return one row per model."""
    table = Table("model", "current version", "versions", "created")
    for model in models:
        current = "-" if model.current_version is None else str(model.current_version)
        created = f"{model.created_at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(escape(model.name), current, str(model.versions), created)
    return table


def versions_table(versions: Iterable[ModelVersion]) -> Table:
    """Return one row per version of a model."""
    table = Table("reference", "status", "kind", "classes", "size", "created")
    for version in versions:
        reason = f" {escape(version.problem.detail)}" if version.problem else ""
        table.add_row(
            escape(version.reference),
            styled(version.status) + reason,
            version.kind or "-",
            str(len(version.ontology.classes)) if version.ontology else "-",
            f"{version.size_bytes / 1e6:.1f} MB",
            f"{version.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
    return table


def _stage(done: int, failed: int) -> str:
    return f"{done} done" + (f", {failed} failed" if failed else "")
