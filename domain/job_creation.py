"""One way from the body of POST /v1/jobs to a row, for requests and for schedules."""

from sqlalchemy.orm import Session

from api_schemas.jobs import (
    AdaptJobCreate,
    EvaluateJobCreate,
    FitConnectivityJobCreate,
    FitRectifierJobCreate,
    GenerateJobCreate,
    RefineJobCreate,
    TrainJobCreate,
)
from domain import annotated_jobs, evaluation, jobs, refinement, training_jobs
from storage.catalog.tables import JobRow

AnyJobCreate = (
    GenerateJobCreate
    | RefineJobCreate
    | EvaluateJobCreate
    | AdaptJobCreate
    | FitConnectivityJobCreate
    | FitRectifierJobCreate
    | TrainJobCreate
)


def create_job(
    session: Session,
    request: AnyJobCreate,
    *,
    max_queued: int,
    created_by: str,
    schedule_id: str | None = None,
) -> JobRow:
    """Create the job that a body asks for.

    Raises:
        ProblemError: what the body names is unknown or not ready, or there is no room.
    """
    if isinstance(request, GenerateJobCreate):
        return jobs.create_generate(session, request, max_queued, created_by, schedule_id)
    if isinstance(request, FitConnectivityJobCreate):
        return annotated_jobs.create_fit_connectivity(session, request, created_by, schedule_id)
    if isinstance(request, FitRectifierJobCreate):
        return annotated_jobs.create_fit_rectifier(session, request, created_by, schedule_id)
    if isinstance(request, RefineJobCreate) and request.labels.annotation_set is not None:
        return annotated_jobs.create_refine_initial(
            session, request, max_queued, created_by, schedule_id
        )
    if isinstance(request, RefineJobCreate):
        return refinement.create_refine(session, request, max_queued, created_by, schedule_id)
    if isinstance(request, TrainJobCreate):
        return training_jobs.create_train(session, request, created_by, schedule_id)
    if isinstance(request, EvaluateJobCreate):
        return evaluation.create_evaluate(session, request, created_by, schedule_id)
    return jobs.create_adapt(session, request, created_by, schedule_id)
