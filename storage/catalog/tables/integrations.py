"""Tools that ask for labels: what they are answered from, and what they wait for."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


class IntegrationRow(Base):
    """A profile: whose labels, of which images, a tool is given. Ids refer without protecting."""

    __tablename__ = "integration"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    model: Mapped[str] = mapped_column(String(80))  # name or name:n
    image_set_id: Mapped[str] = mapped_column(Id)
    pipeline: Mapped[dict[str, Any]]
    connection_id: Mapped[str | None] = mapped_column(Id)  # of kind label_studio
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)


class IntegrationTaskRow(Base):
    """A task of a tool that had no label when it was asked for."""

    __tablename__ = "integration_task"

    integration_id: Mapped[str] = mapped_column(
        ForeignKey("integration.id", ondelete="CASCADE"), primary_key=True
    )
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    address: Mapped[str] = mapped_column(Text)  # of its image, as the tool has it
    image_digest: Mapped[str | None] = mapped_column(Digest)
    status: Mapped[str] = mapped_column(Status)  # waiting | pushed | failed
    version: Mapped[str | None] = mapped_column(String(256))  # of what was pushed
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    touched_at: Mapped[float]

    __table_args__ = (Index(None, "integration_id", "status", "task_id"),)
