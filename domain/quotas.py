"""How much a key may ask for; refused before the work is accepted, never dropped later.

A daily limit may be overrun by the work that is under way when it is reached.
"""

from typing import Final

from sqlalchemy.orm import Session

from api_schemas.api_keys import Quota
from api_schemas.problems import QuotaExceeded
from domain.settings import Settings
from storage.catalog import usage
from storage.catalog.engine import Catalog
from storage.catalog.tables import ApiKeyRow, JobRow

RETRY_SECONDS: Final = 60


def limits_of(session: Session, settings: Settings, principal: str) -> Quota:
    """Return the limits of a principal: its own, else those of the settings."""
    row = session.get(ApiKeyRow, principal)
    own = Quota.model_validate((row.quota if row else None) or {})
    defaults = {
        "jobs": settings.quota_jobs,
        "queued_images": settings.quota_queued_images,
        "stored_bytes_per_day": settings.quota_stored_bytes_per_day,
        "device_seconds_per_day": settings.quota_device_seconds_per_day,
    }
    return Quota(**{**defaults, **own.model_dump(exclude_none=True)})


def check_job(session: Session, settings: Settings, job: JobRow) -> None:
    """Count a job that was just inserted; its transaction is rolled back if it is too much.

    Jobs of one principal queue up here until the transaction ends, so that two at once do not
    both take the last place.

    Raises:
        QuotaExceeded: with the limit that is in the way, and when to try again.
    """
    principal = job.created_by
    usage.add(session, principal, images=job.total)
    limits = limits_of(session, settings, principal)
    if limits == Quota():
        return
    day = usage.today(session)
    used = usage.used_by(session, principal, day.name)
    if limits.jobs is not None and used.jobs > limits.jobs:
        raise _exceeded(
            f"This key may have {limits.jobs} unfinished jobs and has {used.jobs - 1}. Wait for "
            "one to end, or cancel one.",
            RETRY_SECONDS,
        )
    if limits.queued_images is not None and used.queued_images > limits.queued_images:
        waiting = used.queued_images - job.queued
        raise _exceeded(
            f"{waiting} images of this key are waiting already and {job.queued} more would exceed "
            f"its limit of {limits.queued_images}. Try again later, or with fewer images.",
            RETRY_SECONDS,
        )
    limit = limits.stored_bytes_per_day
    if job.type == "ingest" and limit is not None and used.stored_bytes >= limit:
        raise _exceeded(
            f"This key stored {used.stored_bytes} bytes today; its limit is {limit} bytes a day "
            "(UTC). Try again tomorrow.",
            day.seconds_left,
        )
    seconds = limits.device_seconds_per_day
    if seconds is not None and used.device_seconds >= seconds:
        raise _exceeded(
            f"The work for this key took {used.device_seconds:.0f} s today; its limit is "
            f"{seconds:.0f} s a day (UTC). Try again tomorrow.",
            day.seconds_left,
        )


def reserve_bytes(session: Session, settings: Settings, principal: str, count: int) -> None:
    """Count bytes that will be stored, in the caller's transaction.

    Raises:
        QuotaExceeded: there is not enough left for today; roll back.
    """
    usage.add(session, principal, stored_bytes=count)
    limit = limits_of(session, settings, principal).stored_bytes_per_day
    if limit is None:
        return
    day = usage.today(session)
    stored = usage.used_by(session, principal, day.name).stored_bytes
    if stored > limit:
        raise _exceeded(
            f"This key stored {stored - count} bytes today and {count} more would exceed its "
            f"limit of {limit} bytes a day (UTC). Try again tomorrow, or with fewer files.",
            day.seconds_left,
        )


def give_back_bytes(catalog: Catalog, principal: str, count: int) -> None:
    """Undo `reserve_bytes`: what was to be stored came to nothing.

    Who dies before this call leaves the bytes counted until the day is over.
    """
    with catalog.write() as session:
        usage.add(session, principal, stored_bytes=-count)


def _exceeded(detail: str, retry_seconds: int) -> QuotaExceeded:
    return QuotaExceeded(detail, headers={"Retry-After": str(retry_seconds)})
