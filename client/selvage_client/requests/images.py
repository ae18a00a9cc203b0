"""Images and labels in: `/v1/pseudo-labels`, `/v1/image-sets`, `/v1/annotation-sets`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from api_schemas.annotations import AnnotationSet, AnnotationSetReport, Purpose
from api_schemas.image_sets import (
    EntryStatus,
    ImageSet,
    ImageSetCreate,
    ImageSetCreated,
    ImageSetEntry,
    ImageSetEntryPage,
    ImageSetPage,
    ImageSetReport,
)
from api_schemas.labels import PseudoLabelsCreated
from selvage_client.calls import (
    Call,
    Listing,
    Moment,
    Page,
    delete,
    get,
    listing,
    moment,
    post,
    segment,
    upload,
)
from selvage_client.errors import invalid_fields
from selvage_client.multipart import BytesProgress, FilePart, MultipartBody
from selvage_client.requests.pipelines import Pipeline, pipeline_json

Handling = Literal["strict", "lenient"]
ImageSource = Mapping[str, Any] | BaseModel


def pseudo_labels(
    parts: Sequence[FilePart],
    *,
    model: str,
    pipeline: Pipeline | None = None,
    metadata: Mapping[str, str] | None = None,
    name: str | None = None,
    priority: int | None = None,
    schedule_at: Moment | None = None,
    deadline_at: Moment | None = None,
    failure_policy: Mapping[str, Any] | BaseModel | None = None,
    webhook: Mapping[str, Any] | BaseModel | None = None,
    handling: Handling | None = None,
    idempotency_key: str | None = None,
    on_bytes: BytesProgress | None = None,
) -> Call[PseudoLabelsCreated]:
    """POST /v1/pseudo-labels: images and a model → image set and job."""
    given = {
        "model": model,
        "pipeline": None if pipeline is None else _pipeline_field(pipeline),
        "metadata": json.dumps(dict(metadata)) if metadata else None,
        "failure_policy": _json_field(failure_policy),
        "webhook": _json_field(webhook),
        "name": name,
        "priority": None if priority is None else str(priority),
        "schedule_at": moment("schedule_at", schedule_at),
        "deadline_at": moment("deadline_at", deadline_at),
    }
    fields = [(field, value) for field, value in given.items() if value is not None]
    body = MultipartBody(fields, [("files", part) for part in parts], on_bytes)
    parse = PseudoLabelsCreated.model_validate_json
    return upload("/v1/pseudo-labels", parse, body, idempotency_key, handling)


def _json_field(value: Mapping[str, Any] | BaseModel | None) -> str | None:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    return json.dumps(dict(value)) if value else None


def create_image_set(
    parts: Sequence[FilePart],
    *,
    name: str | None = None,
    handling: Handling | None = None,
    idempotency_key: str | None = None,
    on_bytes: BytesProgress | None = None,
) -> Call[ImageSetReport]:
    """POST /v1/image-sets with the files."""
    fields = [] if name is None else [("name", name)]
    body = MultipartBody(fields, [("files", part) for part in parts], on_bytes)
    parse = ImageSetReport.model_validate_json
    return upload("/v1/image-sets", parse, body, idempotency_key, handling)


def create_image_set_from(
    source: ImageSource, *, name: str | None = None, idempotency_key: str | None = None
) -> Call[ImageSetCreated]:
    """POST /v1/image-sets with where the files are: a job fetches them.

    Raises:
        InvalidInput: the source does not fit the wire contract.
    """
    if isinstance(source, BaseModel):
        source = source.model_dump(mode="json", exclude_unset=True)
    try:
        request = ImageSetCreate.model_validate({"name": name, "source": dict(source)})
    except ValidationError as error:
        raise invalid_fields("image set", error) from error
    content = request.model_dump(mode="json", exclude_none=True)
    content["source"] = {k: v for k, v in content["source"].items() if k in source}
    return post("/v1/image-sets", ImageSetCreated.model_validate_json, content, idempotency_key)


def upload_annotations(
    image_set_id: str,
    part: FilePart,
    *,
    purpose: Purpose,
    stored_ignore_value: int | None = None,
    idempotency_key: str | None = None,
    on_bytes: BytesProgress | None = None,
) -> Call[AnnotationSetReport]:
    """POST /v1/image-sets/{id}/annotations."""
    fields: list[tuple[str, str]] = [("purpose", purpose)]
    if stored_ignore_value is not None:
        fields.append(("stored_ignore_value", str(stored_ignore_value)))
    body = MultipartBody(fields, [("file", part)], on_bytes)
    path = f"{_set_path(image_set_id)}/annotations"
    return upload(path, AnnotationSetReport.model_validate_json, body, idempotency_key)


def image_sets() -> Listing[ImageSet]:
    """GET /v1/image-sets."""

    def parse(content: bytes) -> Page[ImageSet]:
        page = ImageSetPage.model_validate_json(content)
        return Page(page.image_sets, page.next_page_token)

    return listing("/v1/image-sets", parse)


def image_set(image_set_id: str) -> Call[ImageSet]:
    """GET /v1/image-sets/{id}."""
    return get(_set_path(image_set_id), ImageSet.model_validate_json)


def image_set_images(
    image_set_id: str, status: EntryStatus | None, filter: str | None = None
) -> Listing[ImageSetEntry]:
    """GET /v1/image-sets/{id}/images."""

    def parse(content: bytes) -> Page[ImageSetEntry]:
        page = ImageSetEntryPage.model_validate_json(content)
        return Page(page.images, page.next_page_token)

    return listing(f"{_set_path(image_set_id)}/images", parse, status=status, filter=filter)


def delete_image_set(image_set_id: str, *, force: bool) -> Call[None]:
    """DELETE /v1/image-sets/{id}."""
    return delete(_set_path(image_set_id), force=force)


def annotation_set(annotation_set_id: str) -> Call[AnnotationSet]:
    """GET /v1/annotation-sets/{id}."""
    path = f"/v1/annotation-sets/{segment(annotation_set_id)}"
    return get(path, AnnotationSet.model_validate_json)


def delete_annotation_set(annotation_set_id: str, *, force: bool) -> Call[None]:
    """DELETE /v1/annotation-sets/{id}."""
    return delete(f"/v1/annotation-sets/{segment(annotation_set_id)}", force=force)


def image(digest: str) -> Call[bytes]:
    """GET /v1/images/{digest}."""
    return get(f"/v1/images/{segment(digest)}", bytes)


def _set_path(image_set_id: str) -> str:
    return f"/v1/image-sets/{segment(image_set_id)}"


def _pipeline_field(pipeline: Pipeline) -> str:
    """Return a form field: a name as it is, a configuration as JSON."""
    found = pipeline_json(pipeline)
    return found if isinstance(found, str) else json.dumps(found)
