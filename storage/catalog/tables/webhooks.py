"""Webhooks: addresses, and one row for each message to one of them."""

from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


class WebhookEndpointRow(Base):
    """An address that is told, with a signing secret that is encrypted at rest."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    url: Mapped[str] = mapped_column(String(2048))
    events: Mapped[list[Any]]  # types, "job.*" or "*"
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(String(256))
    secrets: Mapped[str] = mapped_column(Text)  # JSON: current and former, each a Fernet token
    former_until: Mapped[float | None]
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)


class WebhookDeliveryRow(Base):
    """A message to one address; an outbox, and afterwards a log.

    It refers to endpoint and job without a foreign key: an event must not fail because somebody
    deletes an endpoint at that moment, and the log outlives both.
    """

    __tablename__ = "webhook_delivery"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    message_id: Mapped[str] = mapped_column(Id)  # webhook-id
    endpoint_id: Mapped[str | None] = mapped_column(Id)
    job_id: Mapped[str | None] = mapped_column(Id)
    url: Mapped[str | None] = mapped_column(String(2048))  # where there is no endpoint
    target: Mapped[str] = mapped_column(Digest)  # what few are sent to at a time: endpoint or host
    event: Mapped[str] = mapped_column(String(32))
    body: Mapped[str] = mapped_column(Text)  # as it is sent, byte by byte: ASCII
    status: Mapped[str] = mapped_column(Status)  # pending | delivered | failed | cancelled
    log: Mapped[list[Any]]  # attempts
    next_at: Mapped[float | None]  # of a pending one: next attempt, or end of the sender's lease
    epoch: Mapped[int] = mapped_column(default=0)  # grows with every claim
    redelivery_of: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[float]
    finished_at: Mapped[float | None]

    __table_args__ = (
        Index(None, "status", "next_at"),
        Index(None, "endpoint_id", "id"),
        Index(None, "job_id", "id"),
        Index(None, "finished_at"),
    )


class WebhookTallyRow(Base):
    """How many attempts ended in which way, ever: the log is kept for some days only."""

    __tablename__ = "webhook_tally"

    outcome: Mapped[str] = mapped_column(Status, primary_key=True)
    count: Mapped[int] = mapped_column(default=0)
