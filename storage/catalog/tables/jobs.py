"""Jobs, what they are made of, and what comes out."""

from typing import Any, Final

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status

# the orders of the review queue: of everything, and of a job
REVIEW_ORDERS: Final = (
    ("expected_gain", "label_id"),
    ("quality", "label_id"),
    ("job_id", "expected_gain", "label_id"),
    ("job_id", "quality", "label_id"),
)


def _review_queue(*columns: str) -> Index:
    """An index over the items whose labels nobody has looked at."""
    waits = text("expected_gain IS NOT NULL")
    name = f"ix_job_item_review_{'_'.join(columns)}"
    return Index(name, *columns, sqlite_where=waits, postgresql_where=waits)


class JobRow(Base):
    """A job. The counts over items always sum to `total`."""

    __tablename__ = "job"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    type: Mapped[str] = mapped_column(Status)
    status: Mapped[str] = mapped_column(Status)
    # plan | pilot | label | fit | finish | train | final | done (what the advancing loop does
    # next), and ingest and export, which have one chunk
    phase: Mapped[str] = mapped_column(Status)
    image_set_id: Mapped[str | None] = mapped_column(ForeignKey("image_set.id"))
    model_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    pipeline_digest: Mapped[str | None] = mapped_column(ForeignKey("pipeline.digest"))
    pipeline_name: Mapped[str | None] = mapped_column(String(80))  # name@version, if it had one
    params: Mapped[dict[str, Any]]
    priority: Mapped[int]
    failure_policy: Mapped[dict[str, Any]]
    job_metadata: Mapped[dict[str, Any]]
    retry_of: Mapped[str | None] = mapped_column(ForeignKey("job.id"))
    pilot_fit_digest: Mapped[str | None] = mapped_column(Digest)
    job_fit_digest: Mapped[str | None] = mapped_column(Digest)
    planned: Mapped[int] = mapped_column(default=0)  # items written so far
    total: Mapped[int]
    queued: Mapped[int]
    running: Mapped[int] = mapped_column(default=0)
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    evidence_ready: Mapped[int] = mapped_column(default=0)
    stage_failed: Mapped[dict[str, Any]]  # stage name → failed items
    seconds_per_image: Mapped[float | None]  # of one worker, for the size of chunks
    event_seq: Mapped[int] = mapped_column(default=0)
    dispatched_seq: Mapped[int] = mapped_column(default=0)  # turn of the round robin
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    schedule_id: Mapped[str | None] = mapped_column(ForeignKey("schedule.id", ondelete="SET NULL"))
    schedule_at: Mapped[float | None]  # not begun before
    deadline_at: Mapped[float | None]  # expired after
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    deleted_at: Mapped[float | None]
    device_seconds: Mapped[float] = mapped_column(server_default="0")  # worked by all its workers
    traceparent: Mapped[str | None] = mapped_column(String(64))  # of the request that made it
    # whom the job tells, and about what: endpoint_id or url, and events
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    training: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # how it goes
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        Index(None, "status", "priority"),
        Index(None, "image_set_id"),
        Index(None, "model_version_id"),
        Index(None, "schedule_id"),
        Index(None, "created_by", "status"),
    )


class JobItemRow(Base):
    """One uploaded file in one job."""

    __tablename__ = "job_item"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(1024))
    file_name: Mapped[str] = mapped_column(String(1024))
    image_digest: Mapped[str | None] = mapped_column(ForeignKey("image.digest"))
    status: Mapped[str] = mapped_column(Status)
    chunk_id: Mapped[str | None] = mapped_column(Id)
    attempts: Mapped[int] = mapped_column(default=0)
    kills: Mapped[int] = mapped_column(default=0)
    evidence_digest: Mapped[str | None] = mapped_column(Digest)
    label_id: Mapped[str | None] = mapped_column(ForeignKey("label.id"))
    quality: Mapped[float | None]
    # what a look at its label would bring; null once reviewed, and where there is no label
    expected_gain: Mapped[float | None]
    stage_seconds: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    finish_seq: Mapped[int | None]

    __table_args__ = (
        Index(None, "job_id", "status", "position"),
        Index(None, "chunk_id"),
        Index(None, "label_id"),
        Index(None, "job_id", "finish_seq"),
        Index(None, "image_digest"),
        Index(
            None,
            "evidence_digest",
            sqlite_where=text("evidence_digest IS NOT NULL"),
            postgresql_where=text("evidence_digest IS NOT NULL"),
        ),
        *(_review_queue(*columns) for columns in REVIEW_ORDERS),
    )


class ChunkRow(Base):
    """What one queue message stands for: some items of one job, held under a lease."""

    __tablename__ = "chunk"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    # pilot | label | fit | finish | evaluate | adapt | fit_connectivity | fit_rectifier | validate
    # | ingest | train | export
    kind: Mapped[str] = mapped_column(Status)
    status: Mapped[str] = mapped_column(Status)  # ready | sent | claimed | done
    positions: Mapped[list[Any]]  # items of the job, in the order in which they are worked on
    owner: Mapped[str | None] = mapped_column(Id)
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float | None]
    claimed_at: Mapped[float | None]  # by who holds it; the time until its end is accounted
    sent_at: Mapped[float | None]
    kills: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]

    __table_args__ = (Index(None, "job_id", "status"), Index(None, "status", "lease_until"))


class LabelRow(Base):
    """An immutable result. `digest` names everything that its bytes depend on."""

    __tablename__ = "label"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    digest: Mapped[str] = mapped_column(Digest, unique=True)
    origin: Mapped[str] = mapped_column(Status, server_default="pipeline")  # pipeline | review
    image_digest: Mapped[str] = mapped_column(ForeignKey("image.digest"))
    model_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    pipeline_digest: Mapped[str] = mapped_column(ForeignKey("pipeline.digest"))
    width_px: Mapped[int]
    height_px: Mapped[int]
    coverage: Mapped[float]
    quality: Mapped[float | None]
    calibrated: Mapped[bool] = mapped_column(Boolean)
    class_pixels: Mapped[dict[str, Any]]
    artifacts: Mapped[dict[str, Any]]  # name → object key
    lineage: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    deleted_at: Mapped[float | None]

    __table_args__ = (Index(None, "image_digest"), Index(None, "model_version_id"))


class EventRow(Base):
    """Something that happened to a job and is told to who streams it; kept for some days.

    `seq` is the job's `event_seq` at that moment. Successes of items are not stored here: they
    come from the items' own `finish_seq`; nor is progress, which is what the job's row says.
    """

    __tablename__ = "event"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    # job.status | stage.status | item.failed | job.done
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[float]

    __table_args__ = (Index(None, "created_at"),)


class ScheduleRow(Base):
    """A job that is started again and again, by a cron expression in a time zone."""

    __tablename__ = "schedule"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    cron: Mapped[str] = mapped_column(String(128))
    time_zone: Mapped[str] = mapped_column(String(64))
    job: Mapped[dict[str, Any]]  # the body of POST /v1/jobs
    overlap: Mapped[str] = mapped_column(Status)  # skip | queue
    catch_up_seconds: Mapped[float]
    paused: Mapped[bool] = mapped_column(Boolean)
    next_due_at: Mapped[float | None]
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)

    __table_args__ = (Index(None, "paused", "next_due_at"),)


class ScheduleTickRow(Base):
    """One due time of a schedule, and what became of it; inserted with its job."""

    __tablename__ = "schedule_tick"

    schedule_id: Mapped[str] = mapped_column(
        ForeignKey("schedule.id", ondelete="CASCADE"), primary_key=True
    )
    due_at: Mapped[float] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(Status)  # fired | skipped | missed | failed
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]
