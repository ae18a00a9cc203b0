"""What people think of labels."""

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Id, Principal, Status


class ReviewRow(Base):
    """A decision on the label of an image. Rows are added and never changed: they are the history.

    Reviews belong to their image: they, and the labels that they name, stay when a job is deleted,
    and go with the last image set that has the image.
    """

    __tablename__ = "review"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    # null: the image had no label, or it was deleted since
    label_id: Mapped[str | None] = mapped_column(ForeignKey("label.id", ondelete="SET NULL"))
    image_digest: Mapped[str] = mapped_column(ForeignKey("image.digest"))
    decision: Mapped[str] = mapped_column(Status)  # accepted | rejected | corrected
    corrected_label_id: Mapped[str | None] = mapped_column(
        ForeignKey("label.id", ondelete="SET NULL")
    )
    source: Mapped[str] = mapped_column(Status)  # api | import | label_studio
    job_id: Mapped[str | None] = mapped_column(Id)  # of an import
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)

    __table_args__ = (
        Index(None, "label_id"),
        Index(None, "corrected_label_id"),
        Index(None, "image_digest"),
    )
