"""DELETE of what users made. Gone at once for everybody; the storage follows in the background."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from domain import deletion
from service.path_types import VERSION
from service.principals import Caller, Principal
from service.state import ServiceState, State
from storage.catalog.models import find_version
from storage.catalog.owners import Owned, owner_of
from storage.catalog.tables import AnnotationSetRow, ImageSetRow, JobRow, LabelSetRow

router = APIRouter(prefix="/v1", tags=["deletion"])
Force = Annotated[
    bool,
    Query(
        description="Delete although finished jobs, schedules or a model's name refer to it; "
        "a job that is not over is cancelled as well"
    ),
]
VersionNumber = Annotated[int, Path(ge=1, le=999_999_999)]


def check_owner(state: ServiceState, caller: Principal, table: Owned, row_id: str) -> None:
    """Let what others made be deleted by an admin alone; what is unknown is for others to say.

    Raises:
        Forbidden: another key made it.
    """
    with state.catalog.read() as session:
        created_by = owner_of(session, table, row_id)
    if created_by is not None:
        caller.require_ownership(created_by)


@router.delete("/image-sets/{image_set_id}", summary="Delete an image set", status_code=204)
def delete_image_set(image_set_id: str, state: State, caller: Caller, force: Force = False) -> None:
    """Its annotation sets go with it; images stay that other sets, jobs or labels refer to."""
    check_owner(state, caller, ImageSetRow, image_set_id)
    deletion.delete_image_set(state.catalog, image_set_id, force=force)


@router.delete(
    "/annotation-sets/{annotation_set_id}", summary="Delete an annotation set", status_code=204
)
def delete_annotation_set(
    annotation_set_id: str, state: State, caller: Caller, force: Force = False
) -> None:
    """What was measured with it stays in the results of its jobs."""
    check_owner(state, caller, AnnotationSetRow, annotation_set_id)
    deletion.delete_annotation_set(state.catalog, annotation_set_id, force=force)


@router.delete("/jobs/{job_id}", summary="Delete a job", status_code=204)
def delete_job(job_id: str, state: State, caller: Caller, force: Force = False) -> None:
    """Its items go with it, and the labels that no other job shows."""
    check_owner(state, caller, JobRow, job_id)
    deletion.delete_job(state.catalog, job_id, force=force)
    state.queue.wake()


@router.delete("/label-sets/{label_set_id}", summary="Delete a label set", status_code=204)
def delete_label_set(label_set_id: str, state: State, caller: Caller, force: Force = False) -> None:
    """Its labels stay as long as a job shows them."""
    check_owner(state, caller, LabelSetRow, label_set_id)
    deletion.delete_label_set(state.catalog, label_set_id, force=force)


@router.delete("/labels/{label_id}", summary="Delete a label", status_code=204)
def delete_label(label_id: str, state: State, caller: Caller, force: Force = False) -> None:
    """Jobs that show it keep their item, without the label. Needs the scope admin: jobs of several
    keys may share a label.
    """
    caller.require("admin")
    deletion.delete_label(state.catalog, label_id, force=force)


@router.delete(
    f"/models/{{name}}/versions/{VERSION}", summary="Delete a version of a model", status_code=204
)
def delete_model_version(
    name: str, number: VersionNumber, state: State, caller: Caller, force: Force = False
) -> None:
    """Labels that it made stay. Its number is never given again."""
    with state.catalog.read() as session:
        row = find_version(session, name, number)
    if row is not None:
        caller.require_ownership(row.created_by)
    deletion.delete_model_version(state.catalog, name, number, force=force)
