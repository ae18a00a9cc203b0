"""Who may ask, what they used, and answers that are given once."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal


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


class PageSessionRow(Base):
    """A browser that signed in with a key; the cookie itself is kept as a hash alone."""

    __tablename__ = "page_session"
    token_sha256: Mapped[str] = mapped_column(Digest, primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_key.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    __table_args__ = (Index(None, "expires_at"),)


class UsageRow(Base):
    """What a key used on a day (UTC, `YYYY-MM-DD`)."""

    __tablename__ = "usage"

    principal: Mapped[str] = mapped_column(Principal, primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    device_seconds: Mapped[float] = mapped_column(default=0.0)
    images: Mapped[int] = mapped_column(default=0)
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0)


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
