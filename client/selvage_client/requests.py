"""Every call of the API: what to send and what comes back. No I/O."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from api_schemas.annotations import AnnotationSet, AnnotationSetReport, Purpose
from api_schemas.image_sets import (
    EntryStatus,
    ImageSet,
    ImageSetEntry,
    ImageSetEntryPage,
    ImageSetPage,
    ImageSetReport,
)
from api_schemas.jobs import (
    ItemStatus,
    Job,
    JobCreate,
    JobItem,
    JobItemPage,
    JobPage,
    JobStatus,
    JobType,
    ResultLine,
)
from api_schemas.labels import Label, PseudoLabelsCreated
from api_schemas.models import Model, ModelPage, ModelVersion, ModelVersionPage
from api_schemas.pipelines import PipelineConfig
from selvage_client.calls import Call, Listing, Page, listing, post, segment, upload
from selvage_client.errors import invalid_fields
from selvage_client.multipart import BytesProgress, FilePart, MultipartBody

Pipeline = PipelineConfig | Mapping[str, Any]

_JOB_CREATE: Final[TypeAdapter[Any]] = TypeAdapter(JobCreate)


def pseudo_labels(
    parts: Sequence[FilePart],
    *,
    model: str,
    pipeline: Pipeline | None,
    metadata: Mapping[str, str] | None,
    name: str | None,
    priority: int | None,
    idempotency_key: str | None,
    on_bytes: BytesProgress | None,
) -> Call[PseudoLabelsCreated]:
    """POST /v1/pseudo-labels: images and a model → image set and job."""
    fields = [("model", model)]
    if pipeline is not None:
        fields.append(("pipeline", json.dumps(pipeline_json(pipeline))))
    if metadata:
        fields.append(("metadata", json.dumps(dict(metadata))))
    if name is not None:
        fields.append(("name", name))
    if priority is not None:
        fields.append(("priority", str(priority)))
    body = MultipartBody(fields, [("files", part) for part in parts], on_bytes)
    parse = PseudoLabelsCreated.model_validate_json
    return upload("/v1/pseudo-labels", parse, body, idempotency_key)


def create_image_set(
    parts: Sequence[FilePart],
    *,
    name: str | None,
    idempotency_key: str | None,
    on_bytes: BytesProgress | None,
) -> Call[ImageSetReport]:
    """POST /v1/image-sets."""
    fields = [] if name is None else [("name", name)]
    body = MultipartBody(fields, [("files", part) for part in parts], on_bytes)
    return upload("/v1/image-sets", ImageSetReport.model_validate_json, body, idempotency_key)


def upload_annotations(
    image_set_id: str,
    part: FilePart,
    *,
    purpose: Purpose,
    stored_ignore_value: int | None,
    idempotency_key: str | None,
    on_bytes: BytesProgress | None,
) -> Call[AnnotationSetReport]:
    """POST /v1/image-sets/{id}/annotations."""
    fields: list[tuple[str, str]] = [("purpose", purpose)]
    if stored_ignore_value is not None:
        fields.append(("stored_ignore_value", str(stored_ignore_value)))
    body = MultipartBody(fields, [("file", part)], on_bytes)
    path = f"/v1/image-sets/{segment(image_set_id)}/annotations"
    return upload(path, AnnotationSetReport.model_validate_json, body, idempotency_key)


def generate(
    image_set_id: str, model_reference: str, pipeline: Pipeline | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the request for a generate job."""
    return {
        "type": "generate",
        "image_set": image_set_id,
        "model": model_reference,
        "pipeline": pipeline,
        **options,
    }


def evaluate(
    annotation_set_id: str,
    labels_of_job: str | None,
    model_reference: str | None,
    pipeline: Pipeline | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request for an evaluate job."""
    return {
        "type": "evaluate",
        "annotation_set": annotation_set_id,
        "labels_of_job": labels_of_job,
        "model": model_reference,
        "pipeline": pipeline,
        **options,
    }


def adapt(image_set_id: str, model_reference: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for an adapt job."""
    return {"type": "adapt", "image_set": image_set_id, "model": model_reference, **options}


def create_job(request: Mapping[str, Any], idempotency_key: str | None) -> Call[Job]:
    """POST /v1/jobs. Entries of `request` that are None are left to the service.

    Raises:
        InvalidInput: the request does not fit the wire contract.
    """
    given = {name: value for name, value in request.items() if value is not None}
    if "pipeline" in given:
        given["pipeline"] = pipeline_json(given["pipeline"])
    try:
        job = _JOB_CREATE.validate_python(given)
    except ValidationError as error:
        raise invalid_fields("job", error) from error
    content = job.model_dump(mode="json", exclude_unset=True)
    return post("/v1/jobs", Job.model_validate_json, content, idempotency_key)


def image_sets() -> Listing[ImageSet]:
    """GET /v1/image-sets."""

    def parse(content: bytes) -> Page[ImageSet]:
        page = ImageSetPage.model_validate_json(content)
        return Page(page.image_sets, page.next_page_token)

    return listing("/v1/image-sets", parse)


def image_set(image_set_id: str) -> Call[ImageSet]:
    """GET /v1/image-sets/{id}."""
    return Call("GET", f"/v1/image-sets/{segment(image_set_id)}", ImageSet.model_validate_json)


def image_set_images(image_set_id: str, status: EntryStatus | None) -> Listing[ImageSetEntry]:
    """GET /v1/image-sets/{id}/images."""

    def parse(content: bytes) -> Page[ImageSetEntry]:
        page = ImageSetEntryPage.model_validate_json(content)
        return Page(page.images, page.next_page_token)

    return listing(f"/v1/image-sets/{segment(image_set_id)}/images", parse, status=status)


def annotation_set(annotation_set_id: str) -> Call[AnnotationSet]:
    """GET /v1/annotation-sets/{id}."""
    path = f"/v1/annotation-sets/{segment(annotation_set_id)}"
    return Call("GET", path, AnnotationSet.model_validate_json)


def models() -> Listing[Model]:
    """GET /v1/models."""

    def parse(content: bytes) -> Page[Model]:
        page = ModelPage.model_validate_json(content)
        return Page(page.models, page.next_page_token)

    return listing("/v1/models", parse)


def model(name: str) -> Call[Model]:
    """GET /v1/models/{name}."""
    return Call("GET", f"/v1/models/{segment(name)}", Model.model_validate_json)


def versions(name: str) -> Call[list[ModelVersion]]:
    """GET /v1/models/{name}/versions."""
    return Call(
        "GET",
        f"/v1/models/{segment(name)}/versions",
        lambda content: ModelVersionPage.model_validate_json(content).versions,
    )


def version(name: str, number: int) -> Call[ModelVersion]:
    """GET /v1/models/{name}/versions/{n}."""
    path = f"/v1/models/{segment(name)}/versions/{number}"
    return Call("GET", path, ModelVersion.model_validate_json)


def promote(name: str, number: int) -> Call[Model]:
    """POST /v1/models/{name}/versions/{n}:promote."""
    path = f"/v1/models/{segment(name)}/versions/{number}:promote"
    return post(path, Model.model_validate_json, None, None)


def jobs(status: JobStatus | None, job_type: JobType | None) -> Listing[Job]:
    """GET /v1/jobs."""

    def parse(content: bytes) -> Page[Job]:
        page = JobPage.model_validate_json(content)
        return Page(page.jobs, page.next_page_token)

    return listing("/v1/jobs", parse, status=status, type=job_type)


def job(job_id: str) -> Call[Job]:
    """GET /v1/jobs/{id}."""
    return Call("GET", f"/v1/jobs/{segment(job_id)}", Job.model_validate_json)


def items(job_id: str, status: ItemStatus | None) -> Listing[JobItem]:
    """GET /v1/jobs/{id}/items."""

    def parse(content: bytes) -> Page[JobItem]:
        page = JobItemPage.model_validate_json(content)
        return Page(page.items, page.next_page_token)

    return listing(f"/v1/jobs/{segment(job_id)}/items", parse, status=status)


def results(job_id: str) -> Call[ResultLine]:
    """GET /v1/jobs/{id}/results: JSON lines, each of them parsed alone."""
    path = f"/v1/jobs/{segment(job_id)}/results"
    return Call("GET", path, ResultLine.model_validate_json)


def cancel(job_id: str) -> Call[Job]:
    """POST /v1/jobs/{id}:cancel."""
    return post(f"/v1/jobs/{segment(job_id)}:cancel", Job.model_validate_json, None, None)


def retry(job_id: str, only: str) -> Call[Job]:
    """POST /v1/jobs/{id}:retry."""
    path = f"/v1/jobs/{segment(job_id)}:retry"
    return post(path, Job.model_validate_json, {"only": only}, None)


def label(label_id: str) -> Call[Label]:
    """GET /v1/labels/{id}."""
    return Call("GET", f"/v1/labels/{segment(label_id)}", Label.model_validate_json)


def artifact(label_id: str, name: str) -> Call[bytes]:
    """GET /v1/labels/{id}/artifacts/{name}."""
    path = f"/v1/labels/{segment(label_id)}/artifacts/{quote(name, safe='/')}"
    return Call("GET", path, bytes)


def image(digest: str) -> Call[bytes]:
    """GET /v1/images/{digest}."""
    return Call("GET", f"/v1/images/{segment(digest)}", bytes)


def pipeline_json(pipeline: Pipeline) -> dict[str, Any]:
    """Return a pipeline as plain JSON, without what the caller left to the service.

    Raises:
        InvalidInput: it does not fit the wire contract.
    """
    if isinstance(pipeline, PipelineConfig):
        config = pipeline
    else:
        try:
            config = PipelineConfig.model_validate(dict(pipeline))
        except ValidationError as error:
            raise invalid_fields("pipeline", error) from error
    return config.model_dump(mode="json", exclude_unset=True)
