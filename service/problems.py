"""Every error leaves the service as application/problem+json, with a request id."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from api_schemas.problems import (
    PROBLEM_MEDIA_TYPE,
    PROBLEM_TYPE_BASE,
    FieldProblem,
    NotFound,
    Problem,
    ProblemError,
    ValidationProblem,
)
from formats.errors import InputRefused

log = structlog.get_logger("service")

_SLUGS = {404: "not-found", 405: "method-not-allowed", 413: "payload-too-large"}
_DETAILS = {
    404: "There is nothing at this address. The API is described at /docs and /openapi.json.",
    405: "This address does not take that method. See /docs.",
    413: "The request body is larger than this installation accepts (SELVAGE_MAX_UPLOAD_BYTES). "
    "Send the images in several requests.",
}

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any error, as a problem document (RFC 9457)",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def problem_response(
    request: Request, problem: Problem, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Render a problem document for this request."""
    request_id = getattr(request.state, "request_id", None)
    document = problem.model_copy(update={"instance": request.url.path, "request_id": request_id})
    if request_id is not None:
        headers = {**(headers or {}), "X-Request-Id": request_id}
    return JSONResponse(
        document.model_dump(mode="json", exclude_none=True),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def not_found_response(request: Request) -> JSONResponse:
    """Answer to a request for an address that cannot exist."""
    return problem_response(request, NotFound(_DETAILS[404]).problem())


def http_problem_response(request: Request, error: HTTPException) -> JSONResponse:
    """Render an error of the framework."""
    status = error.status_code
    slug = _SLUGS.get(status, "http-error" if status >= 500 else "bad-request")
    problem = Problem(
        type=PROBLEM_TYPE_BASE + slug,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_DETAILS.get(status, str(error.detail)),
        code=slug,
    )
    return problem_response(request, problem, dict(error.headers or {}))


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> JSONResponse:
        return problem_response(request, error.problem(), error.headers)

    @app.exception_handler(InputRefused)
    async def _refused(request: Request, error: InputRefused) -> JSONResponse:
        return problem_response(
            request,
            Problem(
                type=PROBLEM_TYPE_BASE + error.code,
                title="The upload cannot be used",
                status=422,
                detail=str(error),
                code=error.code,
            ),
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(request, validation_problem(list(error.errors())).problem())

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return http_problem_response(request, error)

    @app.exception_handler(OperationalError)
    async def _catalog(request: Request, error: OperationalError) -> JSONResponse:
        log.error("the catalog failed", exc_info=error)
        problem = Problem(
            type=PROBLEM_TYPE_BASE + "catalog-unavailable",
            title="The catalog did not answer",
            status=503,
            detail="The database did not answer. Nothing was lost; try again shortly.",
            code="catalog-unavailable",
            retryable=True,
        )
        return problem_response(request, problem, {"Retry-After": "2"})

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", path=request.url.path, exc_info=error)
        problem = ProblemError(
            "The service hit an error of its own. The log has the details under this request id."
        ).problem()
        return problem_response(request, problem)


def validation_problem(errors: list[Any]) -> ValidationProblem:
    """Turn Pydantic's error list into one problem with JSON pointers."""
    found = [
        FieldProblem(
            pointer="/" + "/".join(str(part) for part in error["loc"] if part != "body"),
            detail=error["msg"],
        )
        for error in errors
    ]
    summary = "; ".join(f"{f.pointer}: {f.detail}" for f in found[:3])
    return ValidationProblem(f"The request is not valid: {summary}.", errors=found)
