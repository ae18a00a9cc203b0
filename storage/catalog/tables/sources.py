"""Where files come from: places outside, and uploads in parts."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


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
