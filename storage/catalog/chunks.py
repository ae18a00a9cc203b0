"""Chunks and their leases. A lease is (owner, epoch); every change repeats it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import ChunkRow


@dataclass(frozen=True)
class Lease:
    """The right to work on a chunk, until somebody else is given it."""

    chunk_id: str
    job_id: str
    owner: str
    epoch: int


def add_chunk(
    session: Session, chunk_id: str, job_id: str, kind: str, positions: list[int], kills: int = 0
) -> ChunkRow:
    """Insert a chunk that is ready to be sent."""
    row = ChunkRow(
        id=chunk_id,
        job_id=job_id,
        kind=kind,
        status="ready",
        positions=positions,
        kills=kills,
        created_at=db_now(),
    )
    session.add(row)
    session.flush()
    return row


def get_chunk(session: Session, chunk_id: str) -> ChunkRow | None:
    return session.get(ChunkRow, chunk_id, populate_existing=True)


def claim(session: Session, chunk_id: str, owner: str, lease_seconds: float) -> int | None:
    """Take a chunk that nobody holds; returns the epoch of the lease, or None."""
    return session.scalar(
        update(ChunkRow)
        .where(ChunkRow.id == chunk_id, ChunkRow.status.in_(("ready", "sent")))
        .values(
            status="claimed",
            owner=owner,
            lease_epoch=ChunkRow.lease_epoch + 1,
            lease_until=db_now() + lease_seconds,
            claimed_at=db_now(),
        )
        .returning(ChunkRow.lease_epoch)
    )


def renew(session: Session, lease: Lease, lease_seconds: float) -> bool:
    """Extend a lease; False if it is not ours any more."""
    return _change(session, lease, {"lease_until": db_now() + lease_seconds})


def held_seconds(session: Session, lease: Lease) -> float:
    """Return how long the holder has had the chunk; at most until its lease ran out."""
    row = session.execute(
        select(ChunkRow.claimed_at, ChunkRow.lease_until, db_now().label("now")).where(
            ChunkRow.id == lease.chunk_id,
            ChunkRow.status == "claimed",
            ChunkRow.owner == lease.owner,
            ChunkRow.lease_epoch == lease.epoch,
        )
    ).first()
    if row is None or row.claimed_at is None or row.lease_until is None:
        return 0.0
    return float(max(0.0, min(row.now, row.lease_until) - row.claimed_at))


def is_held(session: Session, lease: Lease) -> bool:
    """Whether a lease is still ours."""
    query = select(ChunkRow.id).where(
        ChunkRow.id == lease.chunk_id,
        ChunkRow.status == "claimed",
        ChunkRow.owner == lease.owner,
        ChunkRow.lease_epoch == lease.epoch,
    )
    return session.scalar(query) is not None


def forgive(session: Session, lease: Lease) -> None:
    """Forget the workers that died over this chunk: it has got on since."""
    _change(session, lease, {"kills": 0})


def set_result(session: Session, lease: Lease, result: dict[str, Any]) -> bool:
    """Store the result so far; False if the lease is not ours any more."""
    return _change(session, lease, {"result": result})


def close(session: Session, lease: Lease) -> bool:
    """The chunk is done; False if the lease is not ours any more."""
    return _change(session, lease, {"status": "done", "lease_until": None})


def give_back(session: Session, lease: Lease) -> bool:
    """The chunk is ready for somebody else; False if the lease is not ours any more."""
    values = {"status": "ready", "owner": None, "lease_until": None, "sent_at": None}
    return _change(session, lease, values)


def _change(session: Session, lease: Lease, values: dict[str, Any]) -> bool:
    result: Any = session.execute(
        update(ChunkRow)
        .where(
            ChunkRow.id == lease.chunk_id,
            ChunkRow.status == "claimed",
            ChunkRow.owner == lease.owner,
            ChunkRow.lease_epoch == lease.epoch,
        )
        .values(**values)
    )
    return bool(result.rowcount)


def expired(session: Session) -> list[Lease]:
    """Leases whose holder has not been heard of in time."""
    query = select(ChunkRow).where(ChunkRow.status == "claimed", ChunkRow.lease_until < db_now())
    return [_lease(row) for row in session.scalars(query)]


def held_by(session: Session, owner: str) -> list[Lease]:
    """Leases of one worker."""
    query = select(ChunkRow).where(ChunkRow.status == "claimed", ChunkRow.owner == owner)
    return [_lease(row) for row in session.scalars(query)]


def _lease(row: ChunkRow) -> Lease:
    return Lease(row.id, row.job_id, row.owner or "", row.lease_epoch)


def mark_sent(session: Session, chunk_id: str) -> bool:
    """ready → sent; False if it was not ready."""
    result: Any = session.execute(
        update(ChunkRow)
        .where(ChunkRow.id == chunk_id, ChunkRow.status == "ready")
        .values(status="sent", sent_at=db_now())
    )
    return bool(result.rowcount)


def unsend(session: Session, *, older_than_seconds: float) -> int:
    """sent → ready for chunks that no worker has claimed in time; returns how many."""
    result: Any = session.execute(
        update(ChunkRow)
        .where(ChunkRow.status == "sent", ChunkRow.sent_at <= db_now() - older_than_seconds)
        .values(status="ready", sent_at=None)
    )
    return int(result.rowcount)


def unsend_one(session: Session, chunk_id: str) -> None:
    """sent → ready for a chunk whose message did not get through."""
    session.execute(
        update(ChunkRow)
        .where(ChunkRow.id == chunk_id, ChunkRow.status == "sent")
        .values(status="ready", sent_at=None)
    )


def count_in_flight(session: Session, kinds: Collection[str]) -> int:
    """Chunks of some kinds that are with the workers or on their way."""
    query = select(func.count()).where(
        ChunkRow.status.in_(("sent", "claimed")), ChunkRow.kind.in_(kinds)
    )
    return session.scalar(query) or 0


def first_ready(session: Session, job_id: str, kinds: Collection[str]) -> ChunkRow | None:
    query = (
        select(ChunkRow)
        .where(ChunkRow.job_id == job_id, ChunkRow.status == "ready", ChunkRow.kind.in_(kinds))
        .order_by(ChunkRow.id)
        .limit(1)
    )
    return session.scalar(query)


def count_open(session: Session, job_id: str, kind: str) -> int:
    """Chunks of a kind that are not done."""
    query = select(func.count()).where(
        ChunkRow.job_id == job_id, ChunkRow.kind == kind, ChunkRow.status != "done"
    )
    return session.scalar(query) or 0


def count_all(session: Session, job_id: str, kind: str) -> int:
    """Chunks of a kind, done or not."""
    query = select(func.count()).where(ChunkRow.job_id == job_id, ChunkRow.kind == kind)
    return session.scalar(query) or 0


def results(session: Session, job_id: str, kind: str) -> list[dict[str, Any]]:
    """Results of the finished chunks of a kind."""
    query = select(ChunkRow.result).where(
        ChunkRow.job_id == job_id, ChunkRow.kind == kind, ChunkRow.result.is_not(None)
    )
    return [result for result in session.scalars(query.order_by(ChunkRow.id)) if result]


def drop_unclaimed(session: Session, job_id: str) -> None:
    """Close the chunks of a job that no worker holds (the job is being cancelled)."""
    session.execute(
        update(ChunkRow)
        .where(ChunkRow.job_id == job_id, ChunkRow.status.in_(("ready", "sent")))
        .values(status="done")
    )
