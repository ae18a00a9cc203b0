"""Models: which version a reference means, and how a version is registered."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.models import (
    BUILT_IN_REGION_MODELS,
    REGION_MODEL_KIND,
    parse_model_reference,
)
from api_schemas.problems import (
    FieldProblem,
    Gone,
    ModelNotReady,
    NotFound,
    StateConflict,
    ValidationProblem,
)
from domain import webhook_outbox
from storage.catalog import models
from storage.catalog.engine import Catalog
from storage.catalog.locks import hold
from storage.catalog.tables import ModelRow, ModelVersionRow


@dataclass(frozen=True)
class NewVersion:
    """A checked model folder whose files are in the object store already."""

    name: str
    kind: str
    digest: str
    files: dict[str, Any]
    ontology: dict[str, Any]
    size_bytes: int
    facts: dict[str, Any]
    provenance: dict[str, Any]


def get_model(session: Session, name: str) -> ModelRow:
    """Return a model by name.

    Raises:
        NotFound: with what to do.
    """
    row = models.get_model(session, name)
    if row is None:
        known = ", ".join(m.name for m in models.list_models(session, None, 10)) or "none yet"
        raise NotFound(
            f"There is no model '{name}'. Registered models: {known}. "
            "Add one with `selvage models add FOLDER --name NAME`."
        )
    return row


def get_version(session: Session, name: str, number: int) -> ModelVersionRow:
    """Return one version of a model.

    Raises:
        NotFound: the model or the version is unknown.
        Gone: the version was deleted.
    """
    get_model(session, name)
    row = models.find_version(session, name, number)
    if row is None:
        raise NotFound(f"Model '{name}' has no version {number}. See /v1/models/{name}/versions.")
    if row.deleted_at is not None:
        raise Gone(
            f"Version {number} of model '{name}' was deleted. See /v1/models/{name}/versions."
        )
    return row


def resolve(session: Session, reference: str) -> ModelVersionRow:
    """Return the ready segmenter that ``name`` or ``name:7`` means; it is kept from being deleted.

    Raises:
        ValidationProblem: not a reference, or to a region model.
        NotFound, Gone, ModelNotReady: see `resolve_any`.
    """
    row = resolve_any(session, reference)
    if row.kind == REGION_MODEL_KIND:
        raise ValidationProblem(
            f"Model '{reference_of(row)}' is a region model: it has no classes and goes into "
            "`aggregate.region_model` of a pipeline. Name a segmenter with `model`.",
            errors=[FieldProblem(pointer="/model", detail="a region model")],
        )
    return row


def resolve_any(session: Session, reference: str) -> ModelVersionRow:
    """Return the ready version of either sort that a reference means, kept from being deleted.

    Raises:
        ValidationProblem: not a reference.
        NotFound: unknown model or version.
        Gone: the version was deleted.
        ModelNotReady: rejected, or still being checked.
    """
    try:
        name, number = parse_model_reference(reference)
    except ValueError as error:
        raise ValidationProblem(str(error)) from error
    if number is None:
        number = get_model(session, name).current_version
        if number is None:
            raise ModelNotReady(f"Model '{name}' has no version that is ready.")
    hold(session, get_version(session, name, number))
    row = get_version(session, name, number)
    if row.status != "ready":
        raise ModelNotReady(f"Version {number} of model '{name}' is {row.status}.")
    return row


def register_version(session: Session, new: NewVersion, *, promote: bool) -> ModelVersionRow:
    """Add a version, or return the one that has exactly these files already.

    Raises:
        StateConflict: the name is that of segmenters and this is a region model, or the reverse.
    """
    check_sort(session, new.name, is_region_model=new.kind == REGION_MODEL_KIND)
    models.ensure_model(session, new.name)
    model = models.get_model(session, new.name, lock=True)
    found = models.find_version_by_digest(session, new.name, new.digest)
    if found is None:
        number = models.next_version(session, new.name)
        models.add_version(
            session,
            {
                "id": new_id("ver"),
                "model_name": new.name,
                "version": number,
                "status": "ready",
                "kind": new.kind,
                "digest": new.digest,
                "files": new.files,
                "ontology": new.ontology,
                "size_bytes": new.size_bytes,
                "facts": new.facts,
                "provenance": new.provenance,
            },
        )
        session.flush()
        found = get_version(session, new.name, number)
    if promote or model is None or model.current_version is None:
        set_current(session, found)
    return found


def check_sort(session: Session, name: str, *, is_region_model: bool) -> None:
    """Refuse to put a segmenter and a region model under one name.

    Raises:
        StateConflict: the name has versions of the other sort, or is that of a built-in one.
    """
    if is_region_model and name in BUILT_IN_REGION_MODELS:
        raise StateConflict(f"'{name}' is a region model that is built in; give another name.")
    kinds = models.kinds_of(session, name)
    if kinds and (REGION_MODEL_KIND in kinds) != is_region_model:
        other = "segmenters" if is_region_model else "region models"
        raise StateConflict(
            f"The versions of model '{name}' are {other}. Give a model of another sort a name of "
            "its own."
        )


def promote(catalog: Catalog, name: str, number: int) -> ModelRow:
    """Let the bare name of a model mean this version.

    Raises:
        NotFound: unknown model or version.
        ModelNotReady: the version was rejected.
    """
    with catalog.write() as session:
        hold(session, get_version(session, name, number))
        row = get_version(session, name, number)
        if row.status != "ready":
            raise ModelNotReady(f"Version {number} of model '{name}' is {row.status}.")
        set_current(session, row)
        session.flush()
        session.expire_all()
        return get_model(session, name)


def set_current(session: Session, row: ModelVersionRow) -> None:
    """Let the bare name of a model mean this version, and tell who wants to know."""
    model = models.get_model(session, row.model_name)
    changes = model is None or model.current_version != row.version
    models.set_current(session, row.model_name, row.version)
    if changes:
        webhook_outbox.model_promoted(session, row.model_name, row.version)


def reference_of(row: ModelVersionRow) -> str:
    """Return ``name:version``."""
    return f"{row.model_name}:{row.version}"
