"""The outbox: what happens becomes messages, in the transaction in which it happens.

`publish` is the one way in. It writes a row for each address that wants to know and nothing where
nobody does; `domain.webhook_sender` sends. What is told are ids, states and counts, no pixels.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from api_schemas.ids import new_id
from api_schemas.webhooks import JOB_ENDS, EventType, JobEventType, WebhookEvent
from domain import events
from storage.catalog import deliveries, review_queue, webhooks
from storage.catalog.engine import db_now
from storage.catalog.jobs import COUNTS
from storage.catalog.tables import CampaignRoundRow, CampaignRow, ImageSetRow, JobRow
from storage.remote.urls import origin_of

PROGRESS_STEPS: Final = 10  # of a job are told
END_EVENTS: Final[dict[str, JobEventType]] = {name.partition(".")[2]: name for name in JOB_ENDS}


def publish(
    session: Session, event: EventType, data: dict[str, Any], job: JobRow | None = None
) -> int:
    """Write a message for everybody who asked for this event; returns for how many.

    Args:
        data: JSON: ids, states and counts.
        job: the job that it is about, which may name an address by itself.
    """
    rows = [
        _to_endpoint(endpoint_id)
        for endpoint_id, filters in webhooks.subscriptions(session)
        if _wants(filters, event)
    ]
    asked = job.webhook if job is not None else None
    if asked is not None and event in asked["events"]:
        if asked.get("url"):
            rows.append(_to_url(asked["url"]))
        elif not any(row["endpoint_id"] == asked["endpoint_id"] for row in rows):
            rows.append(_to_endpoint(asked["endpoint_id"]))
    if rows:
        job_id = None if job is None else job.id
        _write(session, event, data, [{**row, "job_id": job_id} for row in rows])
    return len(rows)


def publish_to(session: Session, endpoint_id: str, event: EventType, data: dict[str, Any]) -> str:
    """Write a message to one endpoint, whatever it subscribed to; returns the delivery's id."""
    return _write(session, event, data, [{**_to_endpoint(endpoint_id), "job_id": None}])[0]


def _wants(filters: list[str], event: str) -> bool:
    return "*" in filters or event in filters or ("job.*" in filters and event.startswith("job."))


def _to_endpoint(endpoint_id: str) -> dict[str, Any]:
    return {"endpoint_id": endpoint_id, "url": None, "target": endpoint_id}


def _to_url(url: str) -> dict[str, Any]:
    origin = "{}://{}:{}".format(*origin_of(httpx.URL(url)))
    target = hashlib.sha256(origin.encode()).hexdigest()
    return {"endpoint_id": None, "url": url, "target": target}


def _write(
    session: Session, event: EventType, data: dict[str, Any], rows: list[dict[str, Any]]
) -> list[str]:
    moment = datetime.fromtimestamp(session.scalar(select(db_now())) or 0.0, UTC)
    message = WebhookEvent(type=event, timestamp=moment, data=data)
    # ASCII, so that its bytes are the same whatever stands between
    body = json.dumps(message.model_dump(mode="json"), separators=(",", ":"))
    message_id = new_id("msg")
    written = [
        {**row, "id": new_id("dlv"), "message_id": message_id, "event": event, "body": body}
        for row in rows
    ]
    deliveries.add_deliveries(session, written)
    return [row["id"] for row in written]


def job_changed(job: JobRow, event: EventType) -> None:
    """`job.…`, with the counts of this moment."""
    error = None
    if job.error is not None:
        error = {name: job.error[name] for name in ("code", "title", "detail") if name in job.error}
    data = {
        "id": job.id,
        "type": job.type,
        "status": job.status,
        "fraction": events.fraction_of(job),
        "counts": {"total": job.total, **{name: getattr(job, name) for name in COUNTS}},
        "image_set": job.image_set_id,
        "metadata": job.job_metadata,
        "error": error,
    }
    session = object_session(job)
    assert session is not None
    publish(session, event, data, job)


def job_went_on(job: JobRow, fraction_before: float) -> None:
    """`job.progress`, where a tenth of the images is through."""
    steps = [int(f * PROGRESS_STEPS) for f in (fraction_before, events.fraction_of(job))]
    if steps[0] < steps[1] < PROGRESS_STEPS and job.status == "running":
        job_changed(job, "job.progress")


def labels_wait(session: Session, job: JobRow) -> None:
    """`label.review_requested`, behind the end of a job whose labels wait for a person."""
    if job.type in ("generate", "refine") and _is_wanted(session, "label.review_requested"):
        waiting = review_queue.count_of_job(session, job.id)
        if waiting:
            data = {"job": job.id, "image_set": job.image_set_id, "labels": waiting}
            publish(session, "label.review_requested", data)


def _is_wanted(session: Session, event: str) -> bool:
    return any(_wants(filters, event) for _, filters in webhooks.subscriptions(session))


def image_set_ready(session: Session, image_set_id: str) -> None:
    """`image_set.ready`."""
    row = session.get(ImageSetRow, image_set_id)
    assert row is not None
    counts = {name: getattr(row, name) for name in ("accepted", "duplicate", "rejected")}
    publish(session, "image_set.ready", {"id": row.id, "name": row.name, "counts": counts})


def export_ready(job: JobRow, result: dict[str, Any]) -> None:
    """`export.ready`: it can be fetched, or is in its bucket."""
    session = object_session(job)
    assert session is not None
    data = {
        "id": job.id,
        "format": job.params["export"]["format"],
        "labels": job.succeeded,
        "failed": job.failed,
        "files": result.get("files"),
        "size_bytes": result.get("size_bytes"),
        "metadata": job.job_metadata,
    }
    publish(session, "export.ready", data, job)


def round_completed(
    session: Session, campaign: CampaignRow, current: CampaignRoundRow, model: str | None
) -> None:
    """`round.completed`, however the round ended: its status says."""
    data = {
        "campaign": campaign.id,
        "round": current.number,
        "status": current.status,
        "model": model,
        "reason": (current.reason or {}).get("detail"),
    }
    publish(session, "round.completed", data)


def model_promoted(session: Session, name: str, version: int) -> None:
    """`model.promoted`: the bare name of a model means this version from now on."""
    data = {"model": name, "version": version, "reference": f"{name}:{version}"}
    publish(session, "model.promoted", data)
