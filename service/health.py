"""Is the process alive, and can the installation do work?"""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.problems import StorageFull, StorageUnavailable
from service.health_checks import Finding
from service.state import ServiceState, State
from storage.catalog.workers import count_live_workers
from storage.queue import LABEL_QUEUE

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="The process answers")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Catalog, objects and queue answer",
    responses={503: {"description": "Something does not; `checks` and `details` say what"}},
)
def readyz(state: State) -> JSONResponse:
    """Ready means that work is accepted. Workers are counted, not required: work waits."""
    found = state.health.run(
        {
            "catalog": lambda: _check_catalog(state),
            "objects": lambda: _check_objects(state),
            "queue": lambda: Finding(state.queue.ping()),
        }
    )
    ready = all(finding.is_well for finding in found.values())
    document: dict[str, Any] = {
        "status": "ok" if ready else "unavailable",
        "checks": {name: finding.is_well for name, finding in found.items()},
        "details": {name: f.detail for name, f in found.items() if f.detail is not None},
        "workers": found["catalog"].workers,
    }
    return JSONResponse(document, 200 if ready else 503)


def _check_catalog(state: ServiceState) -> Finding:
    silent_seconds = 3 * state.settings.heartbeat_seconds
    try:
        with state.catalog.read() as session:
            return Finding(True, workers=count_live_workers(session, LABEL_QUEUE, silent_seconds))
    except SQLAlchemyError:
        return Finding(False, "The database does not answer.")


def _check_objects(state: ServiceState) -> Finding:
    try:
        state.objects.check()
    except StorageUnavailable as error:
        return Finding(False, error.detail)
    try:
        state.objects.require_room(0)
    except StorageFull as error:  # what is there can be read, and jobs be looked at
        return Finding(True, error.detail)
    return Finding(True)
