"""What the processes need for themselves."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import Base, Id, Status


class WorkerRow(Base):
    """A worker process that said it is alive."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    queue: Mapped[str] = mapped_column(Status)  # label | light | training
    host: Mapped[str] = mapped_column(String(256))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    device_id: Mapped[str | None] = mapped_column(String(320))  # the row of `device` it computes on
    yielded_epoch: Mapped[int | None]  # it has made room for the lease of this epoch
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    started_at: Mapped[float]
    seen_at: Mapped[float]


class DeviceRow(Base):
    """A GPU or the processor of a machine, and who has it to himself for the time being."""

    __tablename__ = "device"

    id: Mapped[str] = mapped_column(String(320), primary_key=True)  # machine/cpu, machine/gpu-0
    owner: Mapped[str | None] = mapped_column(Id)
    epoch: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float | None]


class LockRow(Base):
    """A lock with an end: who dispatches, who migrates."""

    __tablename__ = "lock"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(Id)
    until: Mapped[float]


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
