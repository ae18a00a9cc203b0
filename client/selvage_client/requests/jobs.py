"""Jobs: `/v1/jobs`."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

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
from selvage_client.calls import (
    Call,
    Listing,
    Page,
    delete,
    get,
    listing,
    moment,
    post,
    segment,
)
from selvage_client.errors import invalid_fields
from selvage_client.requests.pipelines import Pipeline, pipeline_json

_JOB_CREATE: Final[TypeAdapter[Any]] = TypeAdapter(JobCreate)


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


def refine(
    labels_of_job: str | None,
    annotation_set_id: str | None,
    model_reference: str | None,
    pipeline: Pipeline | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request for a refine job."""
    labels = {"job": labels_of_job, "annotation_set": annotation_set_id}
    return {
        "type": "refine",
        "labels": {name: value for name, value in labels.items() if value is not None},
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


def fit_connectivity(
    annotation_set_id: str,
    model_reference: str,
    pipeline: Pipeline | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request for a job that fits a model's classifier of regions."""
    return {
        "type": "fit_connectivity",
        "annotation_set": annotation_set_id,
        "model": model_reference,
        "pipeline": pipeline,
        **options,
    }


def fit_rectifier(
    annotation_set_id: str | None,
    model_reference: str,
    pipeline: Pipeline | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request for a job that fits a model's rectifier."""
    return {
        "type": "fit_rectifier",
        "annotation_set": annotation_set_id,
        "model": model_reference,
        "pipeline": pipeline,
        **options,
    }


def train(label_set_id: str, model_reference: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for a job that trains a model."""
    return {
        "type": "train",
        "label_set": label_set_id,
        "model": model_reference,
        **options,
    }


def job_json(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of POST /v1/jobs. Entries that are None are left to the service.

    Raises:
        InvalidInput: the request does not fit the wire contract.
    """
    given = {name: value for name, value in request.items() if value is not None}
    if "pipeline" in given:
        given["pipeline"] = pipeline_json(given["pipeline"])
    for name in ("schedule_at", "deadline_at"):
        if name in given:
            given[name] = moment(name, given[name])
    try:
        job = _JOB_CREATE.validate_python(given)
    except ValidationError as error:
        raise invalid_fields("job", error) from error
    content: dict[str, Any] = job.model_dump(mode="json", exclude_unset=True)
    return content


def create_job(
    request: Mapping[str, Any] | BaseModel, idempotency_key: str | None = None
) -> Call[Job]:
    """POST /v1/jobs. Entries of `request` that are None are left to the service.

    Raises:
        InvalidInput: the request does not fit the wire contract.
    """
    if isinstance(request, BaseModel):
        request = request.model_dump(mode="json", exclude_unset=True)
    return post("/v1/jobs", Job.model_validate_json, job_json(request), idempotency_key)


def jobs(
    status: JobStatus | None,
    job_type: JobType | None,
    filter: str | None = None,
    order_by: str | None = None,
) -> Listing[Job]:
    """GET /v1/jobs."""

    def parse(content: bytes) -> Page[Job]:
        page = JobPage.model_validate_json(content)
        return Page(page.jobs, page.next_page_token)

    return listing(
        "/v1/jobs", parse, status=status, type=job_type, filter=filter, order_by=order_by
    )


def job(job_id: str, wait_seconds: int = 0) -> Call[Job]:
    """GET /v1/jobs/{id}; with `wait_seconds` the answer comes when the job is done, or then."""
    call = get(_path(job_id), Job.model_validate_json)
    if not wait_seconds:
        return call
    # A service that does not know the wish answers at once.
    patience = wait_seconds + 30.0
    headers = {"Prefer": f"wait={wait_seconds}"}
    return Call("GET", call.path, call.parse, headers=headers, answer_seconds=patience)


def items(job_id: str, status: ItemStatus | None, filter: str | None = None) -> Listing[JobItem]:
    """GET /v1/jobs/{id}/items."""

    def parse(content: bytes) -> Page[JobItem]:
        page = JobItemPage.model_validate_json(content)
        return Page(page.items, page.next_page_token)

    return listing(f"{_path(job_id)}/items", parse, status=status, filter=filter)


def results(job_id: str) -> Call[ResultLine]:
    """GET /v1/jobs/{id}/results: JSON lines, each of them parsed alone."""
    return get(f"{_path(job_id)}/results", ResultLine.model_validate_json)


def cancel(job_id: str) -> Call[Job]:
    """POST /v1/jobs/{id}:cancel."""
    return post(f"{_path(job_id)}:cancel", Job.model_validate_json, None, None)


def retry(job_id: str, only: str) -> Call[Job]:
    """POST /v1/jobs/{id}:retry."""
    return post(f"{_path(job_id)}:retry", Job.model_validate_json, {"only": only}, None)


def delete_job(job_id: str, *, force: bool) -> Call[None]:
    """DELETE /v1/jobs/{id}."""
    return delete(_path(job_id), force=force)


def _path(job_id: str) -> str:
    return f"/v1/jobs/{segment(job_id)}"
