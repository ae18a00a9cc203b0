"""The tables. Times are seconds since the epoch by the database's clock; JSON columns hold plain
documents of `api_schemas`; text columns with a closed set of values say which in a comment.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Id = String(40)
Digest = String(64)
Status = String(16)
Principal = String(64)  # id of an API key, or LOCAL where no keys are asked for
LOCAL = "local"


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, float: Double}


class ImageRow(Base):
    """A distinct image by content. Sizes are of the upright image."""

    __tablename__ = "image"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    object_key: Mapped[str] = mapped_column(String(256))
    media_type: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    width_px: Mapped[int]
    height_px: Mapped[int]
    created_at: Mapped[float]


class ImageSetRow(Base):
    __tablename__ = "image_set"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str | None] = mapped_column(String(256))
    status: Mapped[str] = mapped_column(Status)  # receiving | ready | failed
    source: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # no secrets
    accepted: Mapped[int] = mapped_column(default=0)
    duplicate: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[int] = mapped_column(default=0)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # if failed
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    touched_at: Mapped[float | None]  # while receiving: a set that nobody touches was cut off
    deleted_at: Mapped[float | None]


class ImageSetEntryRow(Base):
    """One uploaded file of an image set, whatever became of it."""

    __tablename__ = "image_set_entry"

    image_set_id: Mapped[str] = mapped_column(
        ForeignKey("image_set.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(1024))
    # digest of the external id without regard to case: no two of a set are one file on any disk
    name_key: Mapped[str | None] = mapped_column(String(32))
    file_name: Mapped[str] = mapped_column(String(1024))
    status: Mapped[str] = mapped_column(Status)  # accepted | duplicate | rejected
    image_digest: Mapped[str | None] = mapped_column(ForeignKey("image.digest"))
    duplicate_of: Mapped[str | None] = mapped_column(String(1024))
    note: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        Index(None, "image_set_id", "status", "position"),
        Index(None, "image_digest", "image_set_id"),
        Index("uq_image_set_entry_name_key", "image_set_id", "name_key", unique=True),
    )


class ModelRow(Base):
    __tablename__ = "model"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    current_version: Mapped[int | None]
    created_at: Mapped[float]


class ModelVersionRow(Base):
    __tablename__ = "model_version"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    model_name: Mapped[str] = mapped_column(ForeignKey("model.name"))
    version: Mapped[int]
    status: Mapped[str] = mapped_column(Status)  # validating | ready | rejected
    kind: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(Digest)
    files: Mapped[dict[str, Any]]  # file name → {"sha256", "size_bytes"}
    ontology: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    facts: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    deleted_at: Mapped[float | None]

    __table_args__ = (Index("uq_model_version_number", "model_name", "version", unique=True),)


class AnnotationSetRow(Base):
    __tablename__ = "annotation_set"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    image_set_id: Mapped[str] = mapped_column(ForeignKey("image_set.id"))
    purpose: Mapped[str] = mapped_column(Status)  # source | validation | evaluation | initial
    ontology: Mapped[dict[str, Any]]
    accepted: Mapped[int]
    rejected: Mapped[int]
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    deleted_at: Mapped[float | None]


class AnnotationRow(Base):
    """The true label of one image, as an index PNG in the object store."""

    __tablename__ = "annotation"

    annotation_set_id: Mapped[str] = mapped_column(
        ForeignKey("annotation_set.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(Status)
    external_id: Mapped[str] = mapped_column(String(1024))
    image_digest: Mapped[str] = mapped_column(ForeignKey("image.digest"))
    object_key: Mapped[str] = mapped_column(String(256))

    __table_args__ = (Index(None, "image_digest"), Index(None, "object_key"))


class PipelineRow(Base):
    __tablename__ = "pipeline"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    config: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class JobRow(Base):
    """A job. The counts over items always sum to `total`."""

    __tablename__ = "job"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    type: Mapped[str] = mapped_column(Status)
    status: Mapped[str] = mapped_column(Status)
    # plan | pilot | label | fit | finish | done: what the advancing loop does next
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
    )


class ChunkRow(Base):
    """What one queue message stands for: some items of one job, held under a lease."""

    __tablename__ = "chunk"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    # pilot | label | fit | finish | evaluate | adapt | validate | ingest
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


class WorkerRow(Base):
    """A worker process that said it is alive."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    queue: Mapped[str] = mapped_column(Status)  # label | light
    host: Mapped[str] = mapped_column(String(256))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    started_at: Mapped[float]
    seen_at: Mapped[float]


class LockRow(Base):
    """A lock with an end: who dispatches, who migrates."""

    __tablename__ = "lock"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(Id)
    until: Mapped[float]


class IdempotencyRow(Base):
    """The stored answer of a POST with an Idempotency-Key."""

    __tablename__ = "idempotency"

    principal: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Digest)
    owner: Mapped[str] = mapped_column(Id)
    locked_until: Mapped[float]
    status_code: Mapped[int | None]
    location: Mapped[str | None] = mapped_column(String(256))
    body: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]


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


class ApiKeyRow(Base):
    """An API key; the key itself is shown once and kept as a hash."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    hint: Mapped[str] = mapped_column(String(16))  # its first characters, to recognise it by
    secret_sha256: Mapped[str] = mapped_column(Digest, unique=True)
    scopes: Mapped[list[Any]]  # read | write | train | admin
    quota: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    last_used_at: Mapped[float | None]


class UsageRow(Base):
    """What a key used on a day (UTC, `YYYY-MM-DD`)."""

    __tablename__ = "usage"

    principal: Mapped[str] = mapped_column(Principal, primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    device_seconds: Mapped[float] = mapped_column(default=0.0)
    images: Mapped[int] = mapped_column(default=0)
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0)


class ConnectionRow(Base):
    """A named place outside, with credentials that are encrypted at rest."""

    __tablename__ = "connection"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(Status)  # s3 | http
    config: Mapped[dict[str, Any]]  # nothing secret
    secrets: Mapped[str | None] = mapped_column(Text)  # Fernet token of a JSON object
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    tested_at: Mapped[float | None]
    test_result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class UploadRow(Base):
    """A large file that comes in parts, and can go on after a break."""

    __tablename__ = "upload"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    file_name: Mapped[str] = mapped_column(String(1024))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    part_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(Digest)  # of the whole, if the client said so
    status: Mapped[str] = mapped_column(Status)  # open | completing | complete | aborted
    object_key: Mapped[str] = mapped_column(String(256))
    multipart_id: Mapped[str | None] = mapped_column(String(1024))  # of the store, if it has such
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    expires_at: Mapped[float]

    __table_args__ = (Index(None, "status", "expires_at"),)


class UploadPartRow(Base):
    __tablename__ = "upload_part"

    upload_id: Mapped[str] = mapped_column(
        ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(Digest)
    etag: Mapped[str | None] = mapped_column(String(256))
    created_at: Mapped[float]


class OntologyRow(Base):
    """Classes with names, colours, aliases; immutable."""

    __tablename__ = "ontology"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(Digest, unique=True)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)


class PipelineVersionRow(Base):
    """A name and a number for a stored configuration; immutable."""

    __tablename__ = "pipeline_version"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("pipeline.digest"))
    description: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)


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


class UnreachableObjectRow(Base):
    """Objects that nothing referred to when the collector looked; they go at a later look.

    `key` is that of one object, or the folder of those that come and go together.
    """

    __tablename__ = "unreachable_object"

    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    marked_at: Mapped[float]
    deleting_at: Mapped[float | None]  # its objects are being deleted since then

    __table_args__ = (Index(None, "marked_at"),)
