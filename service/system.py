"""GET /v1/system: what the installation is made of, and what it is doing."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter, Request

from api_schemas.system import DatabaseFacts, QueueFacts, System, WorkerFacts
from service.auth import are_keys_asked_for
from service.state import State
from storage.catalog import system
from storage.queue import KINDS

router = APIRouter(prefix="/v1/system", tags=["operation"])
_STORES = {"file": "local", "memory": "memory"}


@router.get("", summary="Versions, stores, workers and queues")
def get_system(request: Request, state: State) -> System:
    """Everything that an operator asks first; nothing that only an operator may know."""
    silent_seconds = 3 * state.settings.heartbeat_seconds
    with state.catalog.read() as session:
        now = system.clock(session)
        database = DatabaseFacts(**system.database_facts(session))
        workers = system.all_workers(session)
        chunks = system.open_chunks(session)
        jobs, images = system.unfinished(session)
    return System(
        version=request.app.version,
        time=_time(now),
        database=database,
        store=_STORES.get(urlsplit(state.settings.store_url).scheme, "s3"),
        broker="up" if state.queue.ping() else "down",
        keys=are_keys_asked_for(state),
        unfinished_jobs=jobs,
        waiting_images=images,
        queues=[_queue(name, kinds, chunks) for name, kinds in KINDS.items()],
        workers=[
            WorkerFacts(
                id=row.id,
                queue=row.queue,
                device=row.device,
                facts=row.facts,
                started_at=_time(row.started_at),
                seen_at=_time(row.seen_at),
                alive=now - row.seen_at <= silent_seconds,
            )
            for row in workers
        ],
    )


def _queue(name: str, kinds: tuple[str, ...], chunks: dict[tuple[str, str], int]) -> QueueFacts:
    counts = {
        status: sum(chunks.get((kind, status), 0) for kind in kinds)
        for status in ("ready", "sent", "claimed")
    }
    return QueueFacts(name=name, **counts)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
