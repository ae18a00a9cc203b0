"""Is the process alive, and can the installation do work?"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.problems import StorageUnavailable
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
    responses={503: {"description": "Something does not; `checks` says what"}},
)
def readyz(state: State) -> JSONResponse:
    """Ready means that work is accepted. Workers are counted, not required: work waits."""
    checks = {
        "catalog": _catalog_answers(state),
        "objects": _objects_answer(state),
        "queue": state.queue.ping(),
    }
    ready = all(checks.values())
    document = {"status": "ok" if ready else "unavailable", "checks": checks, "workers": 0}
    if checks["catalog"]:
        silent = 3 * state.settings.heartbeat_seconds
        with state.catalog.read() as session:
            document["workers"] = count_live_workers(session, LABEL_QUEUE, silent)
    return JSONResponse(document, 200 if ready else 503)


def _catalog_answers(state: ServiceState) -> bool:
    try:
        with state.catalog.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _objects_answer(state: ServiceState) -> bool:
    try:
        state.objects.check()
    except StorageUnavailable:
        return False
    return True
