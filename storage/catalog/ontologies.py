"""Ontologies: written once, found again by digest."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import OntologyRow
from storage.catalog.upsert import insert_new


def add_ontology(session: Session, values: dict[str, Any]) -> bool:
    """Insert an ontology unless one with its digest exists; returns whether it was new."""
    return insert_new(session, OntologyRow, {**values, "created_at": db_now()}, key=["digest"])


def get_ontology(session: Session, ontology_id: str) -> OntologyRow | None:
    return session.get(OntologyRow, ontology_id)


def find_ontology(session: Session, digest: str) -> OntologyRow | None:
    return session.scalar(select(OntologyRow).where(OntologyRow.digest == digest))


def list_ontologies(session: Session, after: str | None, limit: int) -> list[OntologyRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(OntologyRow).order_by(OntologyRow.id.desc()).limit(limit)
    if after:
        query = query.where(OntologyRow.id < after)
    return list(session.scalars(query))
