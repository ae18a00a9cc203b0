"""Profiles of labelling tools: make them, and find the labels that they are answered with."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.integrations import IntegrationCreate
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import FieldProblem, NotFound, StateConflict, ValidationProblem
from domain import connections, jobs, models, reviews
from domain.entry_names import name_key
from domain.job_fields import resolve_pipeline
from storage.catalog import integrations
from storage.catalog.tables import IntegrationRow, LabelRow, ModelVersionRow

LABEL_STUDIO = "label_studio"
_SHOWN_DIGITS = 8


def create(session: Session, request: IntegrationCreate, created_by: str) -> IntegrationRow:
    """Store a profile.

    Raises:
        ProblemError: what it names is unknown or does not fit; the name is taken.
    """
    image_set = jobs.get_ready_set(session, request.image_set)
    version = models.resolve(session, request.model)
    pipeline, _ = resolve_pipeline(session, request.pipeline)
    jobs.check_pipeline(session, pipeline, version)
    connection_id = None
    if request.connection is not None:
        connection = connections.get(session, request.connection)
        if connection.kind != LABEL_STUDIO:
            raise ValidationProblem(
                f"Connection '{connection.name}' is of kind {connection.kind}; a profile names one "
                "of kind label_studio.",
                errors=[FieldProblem(pointer="/connection", detail="of kind label_studio")],
            )
        connection_id = connection.id
    values = {
        "id": new_id("int"),
        "name": request.name,
        "model": request.model,
        "image_set_id": image_set.id,
        "pipeline": pipeline.model_dump(mode="json"),
        "connection_id": connection_id,
        "created_by": created_by,
    }
    if not integrations.add_integration(session, values):
        raise StateConflict(
            f"There is an integration '{request.name}' already. Delete it, or use another name."
        )
    return get(session, request.name)


def get(session: Session, reference: str) -> IntegrationRow:
    """Return a profile by name or id.

    Raises:
        NotFound: with what to do.
    """
    row = integrations.find_integration(session, reference)
    if row is None:
        raise NotFound(
            f"There is no integration '{reference[:80]}'. Make one: POST /v1/integrations."
        )
    return row


@dataclass(frozen=True)
class Profile:
    """A profile with what it means at this moment.

    Attributes:
        label_version: names the labels: it changes with the model's version and the pipeline.
    """

    row: IntegrationRow
    version: ModelVersionRow
    pipeline: PipelineConfig

    @property
    def label_version(self) -> str:
        """Model, version and pipeline, as tools keep it beside a prediction."""
        return f"{models.reference_of(self.version)}@{self.pipeline.digest[:_SHOWN_DIGITS]}"

    @property
    def classes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.version.ontology["classes"]
        return found


def open_profile(session: Session, reference: str) -> Profile:
    """Return a profile with its model's version of this moment.

    Raises:
        ProblemError: it, or its model, is not there.
    """
    row = get(session, reference)
    version = models.resolve(session, row.model)
    return Profile(row, version, PipelineConfig.model_validate(row.pipeline))


def find_images(
    session: Session, profile: Profile, names: Mapping[int, Iterable[str]]
) -> dict[int, str]:
    """Return key → image digest for those of which a name is that of an image of the set."""
    listed = {key: [name_key(name) for name in found] for key, found in names.items()}
    wanted = {name for found in listed.values() for name in found}
    by_key = integrations.images_by_name_keys(session, profile.row.image_set_id, wanted)
    matched = {}
    for key, found in listed.items():
        digest = next((by_key[name] for name in found if name in by_key), None)
        if digest is not None:
            matched[key] = digest
    return matched


def find_labels(
    session: Session, profile: Profile, image_digests: Collection[str]
) -> dict[str, LabelRow]:
    """Return image digest → the label to show: what people stand behind, else what the profile's
    model and pipeline made last.
    """
    names = [c["name"] for c in profile.classes]
    made = integrations.newest_labels(
        session, image_digests, profile.version.id, profile.pipeline.digest
    )
    judged = reviews.verdicts(session, image_digests, names)
    best = {digest: verdict.best for digest, verdict in judged.items() if verdict.best is not None}
    return {**made, **best}
