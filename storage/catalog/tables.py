"""The tables. Times are seconds since the epoch by the database's clock; JSON columns hold plain
documents of `api_schemas`; text columns with a closed set of values say which in a comment.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, Double, ForeignKey, Index, MetaData, String, Text
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
    status: Mapped[str] = mapped_column(Status)  # receiving | ready
    accepted: Mapped[int] = mapped_column(default=0)
    duplicate: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[float]


class ImageSetEntryRow(Base):
    """One uploaded file of an image set, whatever became of it."""

    __tablename__ = "image_set_entry"

    image_set_id: Mapped[str] = mapped_column(
        ForeignKey("image_set.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(1024))
    file_name: Mapped[str] = mapped_column(String(1024))
    status: Mapped[str] = mapped_column(Status)  # accepted | duplicate | rejected
    image_digest: Mapped[str | None] = mapped_column(ForeignKey("image.digest"))
    duplicate_of: Mapped[str | None] = mapped_column(String(1024))
    note: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        Index(None, "image_set_id", "status", "position"),
        Index(None, "image_set_id", "image_digest"),
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
    size_bytes: Mapped[int]
    facts: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float]

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
    image_set_id: Mapped[str] = mapped_column(ForeignKey("image_set.id"))
    model_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    pipeline_digest: Mapped[str | None] = mapped_column(ForeignKey("pipeline.digest"))
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
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (Index(None, "status", "priority"),)


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

    __table_args__ = (Index(None, "job_id", "status", "position"), Index(None, "chunk_id"))


class ChunkRow(Base):
    """What one queue message stands for: some items of one job, held under a lease."""

    __tablename__ = "chunk"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Status)  # pilot | label | fit | finish | evaluate | adapt
    status: Mapped[str] = mapped_column(Status)  # ready | sent | claimed | done
    positions: Mapped[list[Any]]  # items of the job, in the order in which they are worked on
    owner: Mapped[str | None] = mapped_column(Id)
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float | None]
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


class WorkerRow(Base):
    """A worker process that said it is alive."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    queue: Mapped[str] = mapped_column(Status)
    host: Mapped[str] = mapped_column(String(256))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
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
