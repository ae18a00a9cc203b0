"""GET /v1/quota: what the caller may ask for, and what it used."""

from fastapi import APIRouter

from api_schemas.api_keys import QuotaReport, Use
from domain import quotas
from domain.api_keys import SCOPES
from service.principals import Caller
from service.state import State
from storage.catalog import usage

router = APIRouter(prefix="/v1/quota", tags=["keys"])


@router.get("", summary="Limits and use of your key")
def get_quota(state: State, caller: Caller) -> QuotaReport:
    """A limit that is null does not exist. Daily limits start anew at midnight UTC."""
    with state.catalog.read() as session:
        day = usage.today(session)
        limits = quotas.limits_of(session, state.settings, caller.id)
        used = usage.used_by(session, caller.id, day.name)
    return QuotaReport(
        principal=caller.id,
        name=caller.name,
        scopes=[scope for scope in SCOPES if scope in caller.scopes],
        limits=limits,
        used=Use(
            jobs=used.jobs,
            queued_images=used.queued_images,
            stored_bytes_per_day=used.stored_bytes,
            device_seconds_per_day=round(used.device_seconds, 3),
        ),
        day=day.name,
        resets_at=day.ends_at,
    )
