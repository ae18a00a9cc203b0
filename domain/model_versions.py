"""Model versions by upload: begun as `validating`, with the job that decides about them."""

from typing import Any

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.jobs import FailurePolicy
from api_schemas.models import ModelPrefixSource, ModelVersionCreate
from domain import connections, jobs, uploads
from domain.models import check_sort, get_version, set_current
from storage.catalog import models
from storage.catalog.tables import JobRow, ModelVersionRow


def create(
    session: Session, name: str, request: ModelVersionCreate, max_queued: int, created_by: str
) -> JobRow:
    """Begin the next version of a model and return the job that checks it.

    The same files twice make two versions of one digest: each upload has its own number and
    provenance, while files and labels are shared.

    Raises:
        NotFound: unknown upload or connection.
        StateConflict: the upload is not complete, or the name is that of a region model.
        QuotaExceeded: too much work is waiting.
    """
    jobs.check_room(session, 1, max_queued)
    source = _settled_source(session, request)
    check_sort(session, name, is_region_model=False)  # region models come in on the machine
    models.ensure_model(session, name)
    models.get_model(session, name, lock=True)
    number = models.next_version(session, name)
    models.add_version(
        session,
        {
            "id": new_id("ver"),
            "model_name": name,
            "version": number,
            "status": "validating",
            "kind": "",
            "digest": "",
            "files": {},
            "ontology": {},
            "size_bytes": 0,
            "facts": {},
            "provenance": {"source": source["type"], **source, "metadata": request.metadata},
            "created_by": created_by,
        },
    )
    session.flush()
    return jobs.new_job_row(
        session,
        job_type="validate",
        image_set_id=None,
        total=1,
        params={"name": f"{name}:{number}", "source": source, "promote": request.promote},
        priority=0,
        failure_policy=FailurePolicy().model_dump(),
        metadata=request.metadata,
        version=get_version(session, name, number),
        created_by=created_by,
    )


def _settled_source(session: Session, request: ModelVersionCreate) -> dict[str, Any]:
    """Return the source with the ids under which it is found later, kept from being deleted."""
    source = request.source
    if isinstance(source, ModelPrefixSource):
        connection = connections.lock(session, source.connection)
        return {**source.model_dump(), "connection_id": connection.id}
    upload = uploads.use(session, source.upload)
    return {**source.model_dump(), "file_name": upload.file_name}


def make_ready(
    session: Session, version_id: str, values: dict[str, Any], *, promote: bool
) -> ModelVersionRow:
    """Give a version what its check found out, and let it be used.

    Raises:
        LookupError: the version is gone, or was decided about already.
    """
    version = models.get_version(session, version_id)
    if version is None or version.status != "validating":
        raise LookupError(f"version {version_id} is not being checked")
    model = models.get_model(session, version.model_name, lock=True)
    for name, value in values.items():
        setattr(version, name, value)
    version.status = "ready"
    if promote or model is None or model.current_version is None:
        set_current(session, version)
    return version
