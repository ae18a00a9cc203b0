"""Models, the classes they know, and stored configurations of the label path."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


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


class OntologyRow(Base):
    """Classes with names, colours, aliases; immutable."""

    __tablename__ = "ontology"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(Digest, unique=True)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)


class PipelineRow(Base):
    __tablename__ = "pipeline"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    config: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class PipelineVersionRow(Base):
    """A name and a number for a stored configuration; immutable."""

    __tablename__ = "pipeline_version"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("pipeline.digest"))
    description: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
