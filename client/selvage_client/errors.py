"""Errors of the client: each carries a problem document whose `detail` says what to do."""

from typing import Final

from pydantic import ValidationError

from api_schemas.jobs import Job
from api_schemas.problems import PROBLEM_TYPE_BASE, FieldProblem, Problem

NO_ANSWER_STATUS: Final = 0
STORE_REFUSED: Final = "store-refused"


class SelvageError(Exception):
    """Something that was asked for could not be done.

    Attributes:
        problem: what the service said, or a problem made by the client itself. `status` is the
            HTTP status, and 0 where no answer of the service stands behind it.
        retry_after_seconds: when the service says that it is worth trying again.
    """

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        lines = [f"{self.problem.title}: {self.problem.detail}"]
        lines += [f"  {error.pointer}: {error.detail}" for error in self.problem.errors]
        if self.problem.request_id:
            lines.append(f"  (request {self.problem.request_id})")
        return "\n".join(lines)

    @property
    def code(self) -> str:
        """The stable slug of the problem, such as ``not-found``."""
        return self.problem.code


class ServiceUnreachable(SelvageError):
    """No answer from the address, after all retries."""


class UnexpectedAnswer(SelvageError):
    """The address answers, but not as a Selvage service of this version does."""


class InvalidInput(SelvageError):
    """The client found the mistake itself; nothing was sent."""


class WaitTimeout(SelvageError):
    """The job was not done in time; it goes on. `job` is its last known state."""

    def __init__(self, problem: Problem, job: Job) -> None:
        super().__init__(problem)
        self.job = job


def client_problem(
    code: str, title: str, detail: str, errors: list[FieldProblem] | None = None
) -> Problem:
    """Return a problem document that the client itself writes."""
    return Problem(
        type=PROBLEM_TYPE_BASE + code,
        title=title,
        status=NO_ANSWER_STATUS,
        detail=detail,
        code=code,
        errors=errors or [],
    )


def invalid_input(detail: str) -> InvalidInput:
    """Return the error for a mistake in what the caller passed."""
    return InvalidInput(client_problem("invalid-input", "Not possible with this input", detail))


def invalid_fields(what: str, error: ValidationError) -> InvalidInput:
    """Return the error for arguments that the wire contract does not allow."""
    fields = [
        FieldProblem(pointer="/" + "/".join(map(str, entry["loc"])), detail=entry["msg"])
        for entry in error.errors(include_url=False)
    ]
    detail = f"The {what} was not sent, because it is not valid. Correct these fields."
    return InvalidInput(
        client_problem("validation-error", "The request is not valid", detail, fields)
    )


def wait_timeout(job: Job, timeout_seconds: float) -> WaitTimeout:
    """Return the error for a job that is still running after the caller's patience."""
    detail = (
        f"Job {job.id} is '{job.status}' after {timeout_seconds:g} s "
        f"({job.progress.fraction:.0%} done) and goes on. Wait for it again, or cancel it."
    )
    return WaitTimeout(client_problem("wait-timeout", "Not done in time", detail), job)
