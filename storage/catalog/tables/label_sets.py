"""Frozen selections of labels, and what they hold."""

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


class LabelSetRow(Base):
    """A selection of labels that does not change any more once it is `ready`."""

    __tablename__ = "label_set"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str | None] = mapped_column(String(256))
    status: Mapped[str] = mapped_column(Status)  # freezing | ready
    freezer: Mapped[str] = mapped_column(Id)  # who writes the entries; another may take over
    digest: Mapped[str | None] = mapped_column(Digest)  # over all that training reads; of a ready
    ontology: Mapped[dict[str, Any]]
    jobs: Mapped[list[Any]]  # ids, in the order in which they were named
    annotation_set_id: Mapped[str | None] = mapped_column(Id)
    selection: Mapped[dict[str, Any]]
    images: Mapped[int] = mapped_column(default=0)
    reviewed: Mapped[int] = mapped_column(default=0)
    quality: Mapped[float | None]
    coverage: Mapped[float | None]
    class_pixels: Mapped[dict[str, Any]]
    class_images: Mapped[dict[str, Any]]
    made_for: Mapped[str | None] = mapped_column(String(80), unique=True)  # a round of a campaign
    touched_at: Mapped[float]  # while freezing: one that nobody touches was cut off
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    deleted_at: Mapped[float | None]


class LabelSetEntryRow(Base):
    """One image of a label set, with a label or with an annotation."""

    __tablename__ = "label_set_entry"

    label_set_id: Mapped[str] = mapped_column(
        ForeignKey("label_set.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(1024))
    image_digest: Mapped[str] = mapped_column(ForeignKey("image.digest"))
    # neither of the two: the label was deleted since
    label_id: Mapped[str | None] = mapped_column(ForeignKey("label.id"))
    annotation_key: Mapped[str | None] = mapped_column(String(256))  # of the index PNG
    weight: Mapped[float]
    reviewed: Mapped[bool] = mapped_column(Boolean, server_default=false())

    __table_args__ = (
        Index(None, "label_id"),
        Index(None, "image_digest"),
        Index(None, "annotation_key"),
    )
