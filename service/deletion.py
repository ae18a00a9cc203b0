"""DELETE of what users made. Gone at once for everybody; the storage follows in the background."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from domain import deletion
from service.state import State

router = APIRouter(prefix="/v1", tags=["deletion"])
Force = Annotated[
    bool,
    Query(
        description="Delete although finished jobs, schedules or a model's name refer to it; "
        "a job that is not over is cancelled as well"
    ),
]
VersionNumber = Annotated[int, Path(ge=1, le=999_999_999)]


@router.delete("/image-sets/{image_set_id}", summary="Delete an image set", status_code=204)
def delete_image_set(image_set_id: str, state: State, force: Force = False) -> None:
    """Its annotation sets go with it; images stay that other sets, jobs or labels refer to."""
    deletion.delete_image_set(state.catalog, image_set_id, force=force)


@router.delete(
    "/annotation-sets/{annotation_set_id}", summary="Delete an annotation set", status_code=204
)
def delete_annotation_set(annotation_set_id: str, state: State, force: Force = False) -> None:
    """What was measured with it stays in the results of its jobs."""
    deletion.delete_annotation_set(state.catalog, annotation_set_id, force=force)


@router.delete("/jobs/{job_id}", summary="Delete a job", status_code=204)
def delete_job(job_id: str, state: State, force: Force = False) -> None:
    """Its items go with it, and the labels that no other job shows."""
    deletion.delete_job(state.catalog, job_id, force=force)
    state.queue.wake()


@router.delete("/labels/{label_id}", summary="Delete a label", status_code=204)
def delete_label(label_id: str, state: State, force: Force = False) -> None:
    """Jobs that show it keep their item, without the label."""
    deletion.delete_label(state.catalog, label_id, force=force)


@router.delete(
    "/models/{name}/versions/{number}", summary="Delete a version of a model", status_code=204
)
def delete_model_version(
    name: str, number: VersionNumber, state: State, force: Force = False
) -> None:
    """Labels that it made stay. Its number is never given again."""
    deletion.delete_model_version(state.catalog, name, number, force=force)
