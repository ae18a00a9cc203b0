"""Every error leaves the service as application/problem+json, with a request id."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from api_schemas.problems import (
    PROBLEM_MEDIA_TYPE,
    PROBLEM_TYPE_BASE,
    FieldProblem,
    Problem,
    ProblemError,
    ValidationProblem,
)
from formats.errors import InputRefused
from service.allowed_methods import AllowedMethods
from service.pages.errors import error_page, wants_page
from storage.object_errors import disk_full, is_full_disk

log = structlog.get_logger("service")

CATALOG_ERRORS = (OperationalError, InterfaceError, PoolTimeout)  # the last: no free connection

NOTHING_HERE = "There is nothing at this address. The API is described at /docs and /openapi.json."
MAX_TEXT_LENGTH = 2000  # of what is repeated from the request
MAX_POINTER_LENGTH = 300
MAX_ERRORS = 100

_SLUGS = {
    404: "not-found",
    405: "method-not-allowed",
    408: "request-too-slow",
    413: "payload-too-large",
    414: "address-too-long",
    431: "headers-too-large",
}
_DETAILS = {
    404: NOTHING_HERE,
    405: "This address does not take that method. See /docs.",
    408: "The body of the request stopped coming, or came too slowly. Send it again; over slow "
    "lines send large files in parts: POST /v1/uploads.",
    413: "The request body is larger than this installation accepts (SELVAGE_MAX_UPLOAD_BYTES for "
    "files, SELVAGE_MAX_JSON_BYTES for all else). Send less at once.",
    414: "The address is too long. Send long values in the body.",
    431: "The headers are too large. Send fewer, or shorter ones.",
}

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any error, as a problem document (RFC 9457)",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def problem_response(
    request: Request, problem: Problem, headers: dict[str, str] | None = None
) -> Response:
    """Render a problem document for this request; a page for who looks at pages."""
    changes = {
        "instance": request.url.path[:MAX_TEXT_LENGTH],
        "detail": problem.detail[:MAX_TEXT_LENGTH],
        "request_id": getattr(request.state, "request_id", None),
    }
    told = problem.model_copy(update=changes)
    if wants_page(request):
        return error_page(request, told, headers)
    return JSONResponse(
        told.model_dump(mode="json", exclude_none=True),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def error_response(request: Request, error: Exception) -> Response:
    """Render any error; what nobody foresaw is logged, and its cause told to nobody else."""
    if isinstance(error, ProblemError):
        return problem_response(request, error.problem(), error.headers)
    if isinstance(error, InputRefused):
        return problem_response(request, _refused_upload(error))
    if isinstance(error, RequestValidationError):
        return problem_response(request, validation_problem(list(error.errors())).problem())
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        if error.status_code == 405:
            allowed: AllowedMethods = request.app.state.allowed_methods
            headers["Allow"] = allowed.header(request.url.path) or headers.get("Allow", "")
        return problem_response(request, _http_problem(error), headers)
    if isinstance(error, OSError) and is_full_disk(error):
        return error_response(request, disk_full())
    if isinstance(error, CATALOG_ERRORS):
        log.error("the catalog failed", exc_info=error)
        return problem_response(request, _catalog_unavailable(), {"Retry-After": "2"})
    log.error("unexpected error", exc_info=error)
    problem = ProblemError(
        "The service hit an error of its own. The log has the details under this request id."
    ).problem()
    return problem_response(request, problem)


def install(app: FastAPI) -> None:
    """Register the handlers of foreseen errors; the envelope answers all others."""

    async def handler(request: Request, error: Exception) -> Response:
        return error_response(request, error)

    for kind in (
        ProblemError,
        InputRefused,
        RequestValidationError,
        HTTPException,
        *CATALOG_ERRORS,
    ):
        app.add_exception_handler(kind, handler)


def _refused_upload(error: InputRefused) -> Problem:
    return Problem(
        type=PROBLEM_TYPE_BASE + error.code,
        title="The upload cannot be used",
        status=422,
        detail=str(error),
        code=error.code,
    )


def _http_problem(error: HTTPException) -> Problem:
    """An error of the framework."""
    status = error.status_code
    slug = _SLUGS.get(status, "http-error" if status >= 500 else "bad-request")
    return Problem(
        type=PROBLEM_TYPE_BASE + slug,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_DETAILS.get(status, str(error.detail)),
        code=slug,
    )


def _catalog_unavailable() -> Problem:
    return Problem(
        type=PROBLEM_TYPE_BASE + "catalog-unavailable",
        title="The catalog did not answer",
        status=503,
        detail="The database did not answer. Nothing was lost; try again shortly.",
        code="catalog-unavailable",
        retryable=True,
    )


def validation_problem(errors: list[Any]) -> ValidationProblem:
    """Turn Pydantic's error list into one problem with JSON pointers."""
    found = [
        FieldProblem(
            pointer=("/" + "/".join(str(part) for part in error["loc"] if part != "body"))[
                :MAX_POINTER_LENGTH
            ],
            detail=error["msg"][:MAX_TEXT_LENGTH],
        )
        for error in errors[:MAX_ERRORS]
    ]
    summary = "; ".join(f"{f.pointer}: {f.detail}" for f in found[:3])
    more = f" ({len(errors)} errors)" if len(errors) > 3 else ""
    return ValidationProblem(f"The request is not valid: {summary}{more}.", errors=found)
