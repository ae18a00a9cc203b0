"""Models and model versions."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import ModelRow, ModelVersionRow
from storage.catalog.upsert import insert_new


def ensure_model(session: Session, name: str) -> None:
    """Insert the model unless it is there."""
    insert_new(session, ModelRow, {"name": name, "created_at": db_now()}, key=["name"])


def get_model(session: Session, name: str, *, lock: bool = False) -> ModelRow | None:
    return session.get(ModelRow, name, with_for_update=lock)


def list_models(session: Session, after: str | None, limit: int) -> list[ModelRow]:
    """Models by name; `after` is the last name seen."""
    query = select(ModelRow).order_by(ModelRow.name).limit(limit)
    if after:
        query = query.where(ModelRow.name > after)
    return list(session.scalars(query))


def count_versions(session: Session, name: str) -> int:
    query = select(func.count()).where(
        ModelVersionRow.model_name == name, ModelVersionRow.deleted_at.is_(None)
    )
    return session.scalar(query) or 0


def next_version(session: Session, name: str) -> int:
    query = select(func.max(ModelVersionRow.version)).where(ModelVersionRow.model_name == name)
    return (session.scalar(query) or 0) + 1


def add_version(session: Session, values: dict[str, Any]) -> None:
    """Insert a model version; `created_at` is filled in."""
    session.add(ModelVersionRow(**values, created_at=db_now()))


def get_version(session: Session, version_id: str) -> ModelVersionRow | None:
    return session.get(ModelVersionRow, version_id)


def get_versions(
    session: Session, version_ids: Collection[str | None]
) -> dict[str, ModelVersionRow]:
    """Return versions by id, deleted ones too, in one question."""
    wanted = [one for one in version_ids if one]
    rows = session.scalars(select(ModelVersionRow).where(ModelVersionRow.id.in_(wanted)))
    return {row.id: row for row in rows}


def current_kinds(session: Session, names: Collection[str]) -> dict[str, str]:
    """Return model name → kind of the version that the bare name means."""
    query = (
        select(ModelVersionRow.model_name, ModelVersionRow.kind)
        .join(ModelRow, ModelRow.name == ModelVersionRow.model_name)
        .where(
            ModelVersionRow.model_name.in_(names),
            ModelVersionRow.version == ModelRow.current_version,
            ModelVersionRow.deleted_at.is_(None),
        )
    )
    return {row.model_name: row.kind for row in session.execute(query)}


def version_counts(session: Session, names: Collection[str]) -> dict[str, int]:
    """Return model name → number of its versions that were not deleted."""
    query = (
        select(ModelVersionRow.model_name, func.count().label("versions"))
        .where(ModelVersionRow.model_name.in_(names), ModelVersionRow.deleted_at.is_(None))
        .group_by(ModelVersionRow.model_name)
    )
    return {row.model_name: row.versions for row in session.execute(query)}


def find_version(session: Session, name: str, version: int) -> ModelVersionRow | None:
    return session.scalar(
        select(ModelVersionRow).where(
            ModelVersionRow.model_name == name, ModelVersionRow.version == version
        )
    )


def find_version_by_digest(session: Session, name: str, digest: str) -> ModelVersionRow | None:
    """The ready version of this model with exactly these files, if there is one."""
    return session.scalar(
        select(ModelVersionRow)
        .where(
            ModelVersionRow.model_name == name,
            ModelVersionRow.digest == digest,
            ModelVersionRow.status == "ready",
            ModelVersionRow.deleted_at.is_(None),
        )
        .order_by(ModelVersionRow.version)
        .limit(1)
    )


def kinds_of(session: Session, name: str) -> set[str]:
    """Kinds of the ready versions of a model that were not deleted."""
    query = select(ModelVersionRow.kind).where(
        ModelVersionRow.model_name == name,
        ModelVersionRow.status == "ready",
        ModelVersionRow.deleted_at.is_(None),
    )
    return set(session.scalars(query.distinct()))


def reject_undecided(
    session: Session, version_id: str | None, problem: dict[str, Any] | None
) -> None:
    """Reject a version whose check has ended without a decision; one that is ready stays so."""
    session.execute(
        update(ModelVersionRow)
        .where(ModelVersionRow.id == version_id, ModelVersionRow.status == "validating")
        .values(status="rejected", problem=problem)
    )


def list_versions(session: Session, name: str) -> list[ModelVersionRow]:
    return list(
        session.scalars(
            select(ModelVersionRow)
            .where(ModelVersionRow.model_name == name, ModelVersionRow.deleted_at.is_(None))
            .order_by(ModelVersionRow.version)
        )
    )


def set_current(session: Session, name: str, version: int) -> None:
    session.execute(update(ModelRow).where(ModelRow.name == name).values(current_version=version))
