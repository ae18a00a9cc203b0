"""Label Studio's ML backend, answered from stored labels. Nothing here waits for a model.

Protocol: label-studio-ml-backend, `label_studio_ml/api.py`. A reply whose length differs from the
list of tasks is thrown away whole by the server, so there is one entry a task, whatever happens.
"""

import time
from typing import Any, Final

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_json
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import FieldProblem, ProblemError, ValidationProblem
from domain import integration_steps, integrations, reviews
from domain.integrations import Profile
from domain.reviews import Basis, Decision
from formats.classes_json import OntologyFileClass
from formats.corrected_masks import encode_corrected
from formats.corrections.formats import class_map
from formats.corrections.label_studio import decode_regions
from formats.errors import InputRefused
from formats.label_studio_images import fetch_reference, names_of_image
from formats.label_studio_prediction import nothing, prediction, rle_bytes
from formats.label_studio_tags import BrushTags, brush_tags
from service.principals import Caller, Principal
from service.state import ServiceState, State
from service.strict_json import parse_json
from storage.catalog import connections, image_sets
from storage.catalog import integrations as rows
from storage.catalog import jobs as job_rows
from storage.catalog.tables import LabelRow
from storage.objects import ObjectMissing, worklist_key

router = APIRouter(prefix="/integrations/label-studio", include_in_schema=False)
log = structlog.get_logger("service")
MODEL_CLASS: Final = "Selvage"
# What one answer may cost; tasks beyond are answered empty, and sent later.
MAX_ANSWERED: Final = 50
MAX_RLE_VALUES: Final = 16 << 20
MAX_SECONDS: Final = 20.0
MAX_TASKS: Final = 10_000
MAX_TASK_ID: Final = 2**53
CREATED: Final = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
KNOWN_ACTIONS: Final = (*CREATED, "ANNOTATION_DELETED", "START_TRAINING")


@router.get("/{profile}")
@router.get("/{profile}/")
@router.get("/{profile}/health")
def health(profile: str, state: State) -> dict[str, str]:
    """Whether the profile is there; no model is asked."""
    with state.catalog.read() as session:
        integrations.get(session, profile)
    return {"status": "UP", "model_class": MODEL_CLASS}


@router.post("/{profile}/setup")
def setup(profile: str, state: State) -> dict[str, str]:
    """Name the version of the labels. Its token and host name are not used: a connection has them,
    so that nobody who may call this can have them sent anywhere.
    """
    with state.catalog.read() as session:
        return {"model_version": integrations.open_profile(session, profile).label_version}


@router.post("/{profile}/predict")
async def predict(profile: str, request: Request, state: State) -> Response:
    """One prediction a task, in order; an empty one where there is no label yet."""
    body = parse_json(await request.body())
    tasks = body.get("tasks") if isinstance(body, dict) else None
    if not isinstance(tasks, list) or len(tasks) > MAX_TASKS:
        raise ValidationProblem(
            f"`tasks` must be a list of at most {MAX_TASKS} tasks.",
            errors=[FieldProblem(pointer="/tasks", detail="a list of tasks")],
        )
    tags = brush_tags(body.get("label_config"))
    found = await run_in_threadpool(_predict, state, profile, tasks, tags)
    return Response(to_json({"results": found}), media_type="application/json")


@router.post("/{profile}/webhook")
async def webhook(profile: str, request: Request, state: State, caller: Caller) -> Response:
    """Take a correction as a review."""
    body = parse_json(await request.body())
    action = body.get("action") if isinstance(body, dict) else None
    if action not in KNOWN_ACTIONS:
        return JSONResponse({"status": "Unknown event"}, 200)
    result = None
    if action in CREATED:
        result = await run_in_threadpool(_review, state, caller, profile, body)
    return JSONResponse({"result": result, "status": "ok"}, 201)


def _predict(
    state: ServiceState, reference: str, tasks: list[Any], tags: BrushTags
) -> list[dict[str, Any]]:
    with state.catalog.read() as session:
        profile = integrations.open_profile(session, reference)
        images = _images_of(session, profile, tasks, tags)
        labels = integrations.find_labels(session, profile, set(images.values()))
    ends_at, values = time.monotonic() + MAX_SECONDS, 0
    answers: list[dict[str, Any]] = []
    missing: list[int] = []
    for number in range(len(tasks)):
        label = labels.get(images.get(number, ""))
        answer = None
        room = len(answers) - len(missing) < MAX_ANSWERED and values < MAX_RLE_VALUES
        if label is not None and room and time.monotonic() < ends_at:
            answer = _prediction(state, profile, label, tags)
        if answer is None:
            missing.append(number)
        else:
            values += rle_bytes(answer)
        answers.append(answer or nothing(profile.label_version))
    given = [_task_id(tasks[n]) for n in range(len(tasks)) if n not in set(missing)]
    _note_answered(state, profile, [i for i in given if i is not None])
    if missing:
        _queue(state, profile, [(tasks[n], images.get(n)) for n in missing], tags, labels)
    return answers


def _images_of(
    session: Session, profile: Profile, tasks: list[Any], tags: BrushTags
) -> dict[int, str]:
    names = {n: names_of_image(task, tags.image_key) for n, task in enumerate(tasks)}
    found = integrations.find_images(session, profile, names)
    ids = {n: _task_id(task) for n, task in enumerate(tasks)}
    brought = rows.get_tasks(session, profile.row.id, [i for i in ids.values() if i is not None])
    for number, task_id in ids.items():
        row = brought.get(task_id) if task_id is not None else None
        if number not in found and row is not None and row.image_digest is not None:
            found[number] = row.image_digest
    return found


def _task_id(task: Any) -> int | None:
    value = task.get("id") if isinstance(task, dict) else None
    return value if type(value) is int and 0 <= value < MAX_TASK_ID else None


def _classes(profile: Profile) -> list[OntologyFileClass]:
    return [
        OntologyFileClass(c["id"], c["name"], c["kind"], tuple(c["color"])) for c in profile.classes
    ]


def _prediction(
    state: ServiceState, profile: Profile, label: LabelRow, tags: BrushTags
) -> dict[str, Any] | None:
    """Return what is stored as a prediction; None if its files cannot be read."""
    try:
        key = label.artifacts.get("confidence.png")
        return prediction(
            state.objects.get(label.artifacts["label.png"]),
            state.objects.get(key) if key else None,
            state.image_limits,
            _classes(profile),
            tags=tags,
            version=profile.label_version,
            quality=label.quality,
            label_id=label.id,
        )
    except (ObjectMissing, InputRefused) as error:
        log.warning("a label cannot be shown", label=label.id, reason=str(error))
        return None


def _queue(
    state: ServiceState,
    profile: Profile,
    missing: list[tuple[Any, str | None]],
    tags: BrushTags,
    labels: dict[str, LabelRow],
) -> None:
    """Note the tasks that wait, and start what brings their labels. Never an error to the caller:
    the answer must come.
    """
    tasks: dict[int, tuple[str, str | None]] = {}
    for task, digest in missing:
        task_id = _task_id(task)
        if task_id is not None:
            tasks[task_id] = (_address(task, tags)[:4096], digest)
    try:
        _start(state, profile, tasks, labels)
    except ProblemError as problem:
        log.warning("tasks cannot be queued", integration=profile.row.name, detail=problem.detail)


def _note_answered(state: ServiceState, profile: Profile, task_ids: list[int]) -> None:
    with state.catalog.read() as session:
        known = rows.get_tasks(session, profile.row.id, task_ids).values()
        waiting = [row.task_id for row in known if row.status == "waiting"]
    if waiting:
        with state.catalog.write() as session:
            integration_steps.answered(session, profile.row, waiting)


def _address(task: Any, tags: BrushTags) -> str:
    names = names_of_image(task, tags.image_key)
    return names[0] if names else ""


def _start(
    state: ServiceState,
    profile: Profile,
    tasks: dict[int, tuple[str, str | None]],
    labels: dict[str, LabelRow],
) -> None:
    row = profile.row
    base_url = None
    if row.connection_id is not None:
        with state.catalog.read() as session:
            connection = connections.find_connection(session, row.connection_id)
        base_url = connection.config["base_url"] if connection is not None else None
    lists: dict[str | None, dict[int, str]] = {}
    for task_id, (address, digest) in tasks.items():
        found = None if digest else fetch_reference(address, base_url)
        if found is not None:
            to, url = found
            lists.setdefault(row.connection_id if to == "connection" else None, {})[task_id] = url
    keys = {name: worklist_key(new_id("req")) for name in lists}
    for name, listed in lists.items():
        state.objects.put_new(keys[name], integration_steps.worklist(listed))
    with state.catalog.write() as session:
        fetched = {task_id for listed in lists.values() for task_id in listed}
        hopeless = {i for i, (_, digest) in tasks.items() if digest is None} - fetched
        integration_steps.wait_for(session, row, tasks, hopeless)
        if rows.has_unfinished_job(session, row.id):
            return  # what follows from it sends these as well, or the next question starts anew
        for name, listed in lists.items():
            integration_steps.start_ingest(session, row, keys[name], name, len(listed))
        known = {digest for _, digest in tasks.values() if digest is not None}
        in_set = rows.images_in_set(session, row.image_set_id, known)
        if in_set - labels.keys():
            integration_steps.start_generate(session, row, row.image_set_id)
        elif known and not lists:
            integration_steps.start_push(session, row)
    state.queue.wake()


def generate_missing(state: ServiceState, profile: Profile) -> None:
    """Let the profile's model label its image set, unless that is under way."""
    with state.catalog.write() as session:
        if not rows.has_unfinished_job(session, profile.row.id):
            integration_steps.start_generate(session, profile.row, profile.row.image_set_id)
    state.queue.wake()


def _review(
    state: ServiceState, caller: Principal, reference: str, body: dict[str, Any]
) -> dict[str, Any] | None:
    """Store what somebody annotated; None where it is of no image, or of none with a label."""
    task, annotation = body.get("task"), body.get("annotation")
    if not isinstance(task, dict) or not isinstance(annotation, dict):
        return None
    if annotation.get("was_cancelled"):
        return None
    project = body.get("project")
    tags = brush_tags(project.get("label_config") if isinstance(project, dict) else None)
    with state.catalog.read() as session:
        profile = integrations.open_profile(session, reference)
        digest = _images_of(session, profile, [task], tags).get(0)
        if digest is None:
            return None
        image = image_sets.get_image(session, digest)
        made = rows.newest_labels(session, [digest], profile.version.id, profile.pipeline.digest)
    if image is None:
        return None
    row = made.get(digest)
    basis = Basis(digest, profile.version.id, profile.pipeline.digest)
    if row is not None:
        basis = Basis.of(row)
    classes = profile.classes
    try:
        known = class_map([c["name"] for c in classes])
        regions = annotation.get("result")
        label = decode_regions(regions, known, image.height_px, image.width_px)
        mask = encode_corrected(label, [tuple(c["color"]) for c in classes])
        if not mask.coverage:
            raise InputRefused("label-invalid", "The annotation has no brush region.")
    except InputRefused as error:
        log.warning("an annotation cannot be used", detail=str(error))
        return {"refused": str(error)}
    if row is not None and _is_stored(state, row, mask.label_png):
        decision, corrected = "accepted", None
    else:
        decision, corrected = "corrected", reviews.store_mask(state.objects, basis, mask)
    with state.catalog.write() as session:
        # a corrected label names its pipeline, which no job may have used yet
        pipeline = profile.pipeline
        job_rows.add_pipeline(session, pipeline.digest, pipeline.model_dump(mode="json"))
        asked = Decision(decision, caller.id, source="label_studio")  # type: ignore[arg-type]
        review = reviews.decide(session, basis, asked, corrected)
        return {"review": review.id, "label": review.corrected_label_id or review.label_id}


def _is_stored(state: ServiceState, row: LabelRow, label_png: bytes) -> bool:
    try:
        return state.objects.get(row.artifacts["label.png"]) == label_png
    except ObjectMissing:
        return False
