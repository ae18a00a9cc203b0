"""Pipelines: what can be run, and which configuration a name means."""

from sqlalchemy.orm import Session

from api_schemas.pipelines import PipelineConfig, PipelineCreate, parse_pipeline_reference
from api_schemas.problems import FieldProblem, NotFound, ValidationProblem
from storage.catalog import jobs, pipelines
from storage.catalog.pipelines import Named
from storage.catalog.tables import LOCAL, PipelineVersionRow


def create(
    session: Session, request: PipelineCreate, created_by: str = LOCAL
) -> tuple[Named, bool]:
    """Store a configuration under a name, as the version after the latest one.

    Returns:
        The version and whether it is new: the configuration of the latest version is that version.
    """
    digest = request.config.digest
    jobs.add_pipeline(session, digest, request.config.model_dump(mode="json"))
    while True:
        latest = pipelines.find_version(session, request.name, None)
        if latest is not None and latest[0].digest == digest:
            return latest, False
        number = 1 if latest is None else latest[0].version + 1
        added = pipelines.add_version(
            session,
            request.name,
            number,
            digest,
            description=request.description,
            created_by=created_by,
        )
        # Where another request took the number in between, the next look sees its row.
        if added:
            return get_version(session, request.name, number), True


def get_version(session: Session, name: str, version: int | None = None) -> Named:
    """Return a version of a named pipeline, by default the latest.

    Raises:
        NotFound: with what to do.
    """
    found = pipelines.find_version(session, name, version)
    if found is not None:
        return found
    if version is not None and pipelines.find_version(session, name, None) is not None:
        raise NotFound(
            f"Pipeline '{name}' has no version {version}. See /v1/pipelines/{name}/versions."
        )
    known = ", ".join(row.name for row, _ in pipelines.list_latest(session, None, 10)) or "none yet"
    raise NotFound(
        f"There is no pipeline '{name[:80]}'. Named pipelines: {known}. "
        "Store one with POST /v1/pipelines."
    )


def resolve(session: Session, ref: str) -> tuple[PipelineConfig, str]:
    """Return the configuration that ``name`` or ``name@7`` means, and its full reference.

    Raises:
        ValidationProblem: not a reference.
        NotFound: unknown name or version.
    """
    try:
        name, version = parse_pipeline_reference(ref)
    except ValueError as error:
        raise ValidationProblem(
            f"{error}.", errors=[FieldProblem(pointer="/pipeline", detail="not a reference")]
        ) from error
    row, stored = get_version(session, name, version)
    return PipelineConfig.model_validate(stored.config), reference_of(row)


def reference_of(row: PipelineVersionRow) -> str:
    """Return ``name@version``."""
    return f"{row.name}@{row.version}"
