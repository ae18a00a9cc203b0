"""The jobs that the steps of a round are, and what comes back from them."""

from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from api_schemas.jobs import JobCreate
from api_schemas.models import parse_model_reference
from api_schemas.problems import NotFound
from domain.job_creation import AnyJobCreate, create_job
from domain.models import get_version, reference_of
from storage.catalog import models
from storage.catalog.locks import hold
from storage.catalog.tables import CampaignRoundRow, CampaignRow, JobRow, ModelVersionRow

JOB_STEPS: Final = ("adapt", "baseline", "generate", "train", "evaluate")
ADAPT_IMAGES: Final = 128
_JOB_BODY: Final[TypeAdapter[AnyJobCreate]] = TypeAdapter(JobCreate)


def plan_of(config: dict[str, Any], number: int) -> list[str]:
    """Return the steps of a round, in order."""
    measured = config["evaluation"] is not None
    first = ["adapt"] if config["adapt"] else []
    first += ["baseline"] if measured else []
    steps = first if number == 1 else []
    steps += ["generate", "freeze", "check_labels", "train"]
    return [*steps, *(["evaluate"] if measured else []), "decide"]


def start(
    session: Session, row: CampaignRow, current: CampaignRoundRow, step: str, max_queued: int
) -> JobRow:
    """Create the job of a step.

    Raises:
        ProblemError: what it works with is gone or not ready, or there is no room.
    """
    request = _JOB_BODY.validate_python(body_of(session, row, current, step))
    return create_job(session, request, max_queued=max_queued, created_by=row.created_by)


def body_of(
    session: Session, row: CampaignRow, current: CampaignRoundRow, step: str
) -> dict[str, Any]:
    """Return the body of POST /v1/jobs for a step."""
    config = row.config
    teacher = _reference(session, current.teacher_version_id)
    student = current.student_version_id
    own: dict[str, Any] = {
        "adapt": lambda: {
            "type": "adapt",
            "image_set": config["target"],
            "model": teacher,
            "sample_images": ADAPT_IMAGES,
            "seed": config["seed"],
        },
        "baseline": lambda: _evaluate(config, teacher),
        "generate": lambda: {
            "type": "generate",
            "image_set": config["target"],
            "model": teacher,
            "pipeline": config["pipeline"],
        },
        "train": lambda: {
            "type": "train",
            "model": teacher,
            "label_set": current.label_set_id,
            "setting": config["setting"],
            "source": config["source"],
            "recipe": config["recipe"],
            "steps": config["steps"],
            "seed": current.seed,
        },
        "evaluate": lambda: _evaluate(config, _reference(session, student or "")),
    }[step]()
    metadata = {"campaign": row.id, "round": str(current.number), "step": step}
    return {**own, "priority": config["priority"], "metadata": metadata}


def _evaluate(config: dict[str, Any], model: str) -> dict[str, Any]:
    return {"type": "evaluate", "annotation_set": config["evaluation"], "model": model}


def _reference(session: Session, version_id: str) -> str:
    version = models.get_version(session, version_id)
    if version is None:
        raise NotFound(f"There is no model version '{version_id}'.")
    return reference_of(version)


def version_made_by(session: Session, job: JobRow) -> ModelVersionRow:
    """Return the version that an adapt or train job made, kept from being deleted.

    Raises:
        NotFound, Gone: it is not there (any more).
    """
    text = str((job.result or {}).get("model", "")).replace("@", ":")
    try:
        name, number = parse_model_reference(text)
    except ValueError:
        number = None
    if number is None:
        raise NotFound(f"Job '{job.id}' of type {job.type} names no model version in its result.")
    return hold(session, get_version(session, name, number))


def scores_of(session: Session, job: JobRow) -> dict[str, Any]:
    """Return what an evaluate job measured of its model."""
    quality = (job.result or {}).get("quality", {})
    return {
        "model": _reference(session, job.model_version_id or ""),
        "miou": quality.get("miou_full"),
        "iou": quality.get("iou", {}),
        "job": job.id,
    }
