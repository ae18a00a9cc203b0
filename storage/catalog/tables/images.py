"""Images, sets of them, and true labels."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


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
