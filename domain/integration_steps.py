"""What follows when a job ends that a profile started: images, then labels, then predictions.

Called in the transaction that ends the job, so that no step is lost with a process.
"""

import json
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.jobs import GenerateJobCreate
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import ProblemError, SourceMissing
from domain import ingest, job_states, jobs
from domain.ingest import IngestRequest
from storage.catalog import chunks, image_sets, integrations
from storage.catalog.engine import db_now
from storage.catalog.tables import IntegrationRow, IntegrationTaskRow, JobRow

NAME_OF_TASK: Final = "task-{}"  # external id of an image that a task brought
NO_LIMIT: Final = 10**9
FAILURE_POLICY: Final = {"max_failed_fraction": 1.0, "min_failed_images": 1}


def go_on(session: Session, job: JobRow) -> None:
    """Start what comes after a job of a profile."""
    row = session.get(IntegrationRow, job.params["integration"])
    if row is None or job.type == "push":
        return
    if job.type == "ingest" and job.status in ("succeeded", "partial"):
        _match(session, row, job.image_set_id or "")
        start_generate(session, row, job.image_set_id or "")
    elif job.type == "generate":
        start_push(session, row)


def start_generate(session: Session, row: IntegrationRow, image_set_id: str) -> None:
    """Let the profile's model label a set; labels that are there already are found again."""
    request = GenerateJobCreate(
        type="generate",
        image_set=image_set_id,
        model=row.model,
        pipeline=PipelineConfig.model_validate(row.pipeline),
    )
    try:
        with session.begin_nested():
            job = jobs.create_generate(session, request, NO_LIMIT, row.created_by)
            job.params = {**job.params, "integration": row.id}
    except ProblemError as problem:
        fail_waiting(session, row, problem)


def start_ingest(
    session: Session, row: IntegrationRow, worklist: str, connection_id: str | None, count: int
) -> None:
    """Fetch images that tasks brought into a set of their own."""
    source = {"type": "urls", "worklist": worklist}
    if connection_id is not None:
        source["connection_id"] = connection_id
    shown = {"type": "urls", "count": count, "integration": row.name}
    asked = IngestRequest(f"{row.name}: images of tasks", source, shown, count, row.created_by)
    _, job = ingest.create(session, asked)
    job.params = {**job.params, "integration": row.id}


def worklist(tasks: dict[int, str]) -> bytes:
    """Return the list of images of tasks, task id → URL, as an ingest job reads it."""
    lines = [{"url": url, "external_id": NAME_OF_TASK.format(key)} for key, url in tasks.items()]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _match(session: Session, row: IntegrationRow, image_set_id: str) -> None:
    """Note which image each task brought; tasks whose image cannot be used have failed."""
    images = image_sets.images_of_entries(session, image_set_id)
    for entry in image_sets.list_entries(session, image_set_id, limit=NO_LIMIT):
        number = entry.external_id.removeprefix("task-").split(".")[0]
        task = None
        if number.isascii() and number.isdigit():
            task = integrations.get_tasks(session, row.id, [int(number)]).get(int(number))
        if task is None or task.status != "waiting":
            continue
        task.image_digest = images.get(entry.external_id)
        if task.image_digest is None:
            task.status, task.problem = "failed", entry.problem


def start_push(session: Session, row: IntegrationRow) -> None:
    """Send predictions to the tasks that wait, if there are any and a place to send them to."""
    waiting = integrations.count_tasks(session, row.id).get("waiting", 0)
    if row.connection_id is None or not waiting:
        return
    job = jobs.new_job_row(
        session,
        job_type="push",
        image_set_id=None,
        total=0,
        params={"integration": row.id},
        priority=0,
        failure_policy=dict(FAILURE_POLICY),
        metadata={},
        created_by=row.created_by,
    )
    chunks.add_chunk(session, new_id("chk"), job.id, "push", [])
    job_states.enter(session, job, "push")


def fail_waiting(session: Session, row: IntegrationRow, problem: ProblemError) -> None:
    """Say why the tasks that wait get no label."""
    for task in integrations.waiting_tasks(session, row.id, limit=1000):
        task.status, task.problem = "failed", problem.to_json()


Tasks = Mapping[int, tuple[str, str | None]]  # task id → address and digest of its image


def wait_for(session: Session, row: IntegrationRow, tasks: Tasks, hopeless: set[int]) -> None:
    """Note tasks that have no label yet; `hopeless` are those whose image cannot be had."""
    now = session.scalar(select(db_now())) or 0.0
    known = integrations.get_tasks(session, row.id, list(tasks))
    for task_id, (address, digest) in tasks.items():
        task = known.get(task_id)
        if task is None:
            task = IntegrationTaskRow(integration_id=row.id, task_id=task_id)
            integrations.add_task(session, task)
        task.address, task.touched_at = address, now
        task.image_digest = digest or (task.image_digest if task_id in known else None)
        task.status, task.problem = "waiting", None
        if task_id in hopeless and task.image_digest is None:
            problem = SourceMissing(
                "The image is not in the integration's image set, and its address is not one that "
                "is fetched: name a connection of kind label_studio, or add the image to the set."
            )
            task.status, task.problem = "failed", problem.to_json()
    session.flush()


def answered(session: Session, row: IntegrationRow, task_ids: Collection[int]) -> None:
    """Note tasks that got their label by asking again: it is not sent as well."""
    for task in integrations.get_tasks(session, row.id, task_ids).values():
        if task.status == "waiting":
            task.status = "pushed"
