"""Errors, once for the whole project: RFC 9457 problem documents with stable slugs.

`ProblemError` is the root of every error that a user may see; small named subclasses write their
own message. The HTTP layer, items and jobs all carry the same `Problem`.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_TYPE_BASE = "/problems/"


class FieldProblem(BaseModel):
    """One thing that is wrong with one place of the input."""

    pointer: str = Field(description="JSON pointer, form field or file name", examples=["/model"])
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem document. `detail` says what to do; `code` is stable."""

    model_config = ConfigDict(extra="ignore")

    type: str = Field(examples=["/problems/not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no job 'job_…'. List jobs with GET /v1/jobs."])
    code: str = Field(examples=["not-found"])
    instance: str | None = None
    request_id: str | None = None
    retryable: bool = False
    errors: list[FieldProblem] = Field(default_factory=list)


class ProblemError(Exception):
    """Root of all errors that a user may see."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed inside the service"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        errors: list[FieldProblem] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}

    def problem(self) -> Problem:
        """Return the document for this error."""
        return Problem(
            type=PROBLEM_TYPE_BASE + self.code,
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            retryable=self.retryable,
            errors=self.errors,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain JSON, for rows of the catalog."""
        return self.problem().model_dump(mode="json", exclude_none=True)


class ValidationProblem(ProblemError):
    code, title, status = "validation-error", "The request is not valid", 422


class Unauthenticated(ProblemError):
    code, title, status = "unauthenticated", "An API key is needed", 401


class Forbidden(ProblemError):
    code, title, status = "forbidden", "The API key does not allow this", 403


class NotFound(ProblemError):
    code, title, status = "not-found", "Not found", 404


class Gone(ProblemError):
    code, title, status = "gone", "Deleted", 410


class StateConflict(ProblemError):
    code, title, status = "state-conflict", "Not possible in this state", 409


class NoUsableImage(ProblemError):
    code, title, status = "no-usable-image", "None of the files is a usable image", 422


class FilesRejected(ProblemError):
    code, title, status = "files-rejected", "Some of the files cannot be used", 422


class OntologyMismatch(ProblemError):
    code, title, status = "ontology-mismatch", "The classes do not match", 422


class RectifierMissing(ProblemError):
    code, title, status = "rectifier-missing", "The model version has no rectifier", 422


class NoErrorsToLearnFrom(ProblemError):
    code, title, status = "no-errors-to-learn-from", "The model errs too little there", 422


class TooFewImages(ProblemError):
    code, title, status = "too-few-images", "There are too few labelled images", 422


class EmptySelection(ProblemError):
    code, title, status = "empty-selection", "No label meets the selection", 422


class ModelNotReady(ProblemError):
    code, title, status = "model-not-ready", "The model version is not ready", 409


class ModelKillsWorker(ProblemError):
    code, title, status = "model-kills-worker", "The worker died each time it tried the model", 422


class IdempotencyKeyReused(ProblemError):
    code, title, status = (
        "idempotency-key-reused",
        "This Idempotency-Key was used for another request",
        422,
    )


class NothingToExport(ProblemError):
    code, title, status = "nothing-to-export", "No label to export", 422


class ExportLossyRefused(ProblemError):
    code, title, status = "export-lossy-refused", "The format would lose something", 422


class DestinationRefused(ProblemError):
    code, title, status = "destination-refused", "The destination cannot be written to", 422


class IdempotencyInProgress(ProblemError):
    code, title, status = (
        "idempotency-in-progress",
        "The first request with this Idempotency-Key is still running",
        409,
    )
    retryable = True


class QuotaExceeded(ProblemError):
    code, title, status = "quota-exceeded", "No room for more work", 429
    retryable = True


class SourceProblem(ProblemError):
    """A file elsewhere that could not be fetched. `detail` names no resolved address, no query."""

    code, title, status = "source-refused", "The source cannot be used", 422


class SourceRefused(SourceProblem):
    """The policy of this installation, or the source's own way of answering, forbids it."""


class SourceMissing(SourceProblem):
    code, title = "source-missing", "The source has no such file"


class SourceDenied(SourceProblem):
    code, title = "source-denied", "The source did not let us read"


class SourceTooLarge(SourceProblem):
    code, title = "source-too-large", "The file at the source is too large"


class SourceUnreachable(SourceProblem):
    code, title = "source-unreachable", "The source did not answer"
    retryable = True


class SecretsUnreadable(ProblemError):
    code, title, status = "secrets-unreadable", "Stored credentials cannot be decrypted", 409


class TooManyStreams(ProblemError):
    code, title, status = "too-many-streams", "No room for another stream", 429
    retryable = True


class StorageUnavailable(ProblemError):
    code, title, status = "storage-unavailable", "The object store did not answer", 503
    retryable = True


class StorageReadOnly(StorageUnavailable):
    code, title = "storage-read-only", "The object store cannot be written to"


class StorageFull(StorageUnavailable):
    code, title, status = "storage-full", "No room is left in the object store", 507


class UploadIncomplete(ProblemError):
    code, title, status = "upload-incomplete", "Parts of the upload are missing", 409


class UploadBusy(ProblemError):
    code, title, status = "upload-busy", "The upload is being completed", 409
    retryable = True


class PartSizeMismatch(ProblemError):
    code, title, status = "part-size-mismatch", "The part has another size than was agreed", 422


class UploadDigestMismatch(ProblemError):
    code, title, status = "upload-digest-mismatch", "The file is not the one announced", 422


class WorkerLost(ProblemError):
    code, title, status = "worker-lost", "The worker died on this image", 500
    retryable = True


class StageFailed(ProblemError):
    code, title, status = "stage-failed", "A stage failed on this image", 500
    retryable = True


class OutOfMemory(ProblemError):
    code, title, status = "gpu-out-of-memory", "Not enough memory for this image", 500


class DeadlineExceeded(ProblemError):
    code, title, status = "deadline-exceeded", "The job was not done by its deadline", 504


class DueTimeMissed(ProblemError):
    code, title, status = "due-time-missed", "The service was not running when this was due", 503


class TooManyFailures(ProblemError):
    code, title, status = "too-many-failures", "The failure policy of the job was breached", 500


class TrainingFailed(ProblemError):
    """A training that gave up, with the slug that the process gave which trains."""

    status = 500
    title = "The training could not be finished"
    KNOWN: ClassVar[tuple[str, ...]] = (
        "bad-spec",
        "disk-full",
        "model-unusable",
        "nan-loss",
        "no-kept-labels",
        "ontology-mismatch",
        "training-data-too-large",
        "wrong-architecture",
    )

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = code if code in self.KNOWN else "training-failed"

    def problem(self) -> Problem:
        """Return the document, typed by that slug."""
        document = super().problem()
        return document.model_copy(
            update={"code": self.slug, "type": PROBLEM_TYPE_BASE + self.slug}
        )


class InputProblem(ProblemError):
    """A file that cannot be used, with the slug that the decoder or archive reader gave."""

    status = 422
    title = "The file cannot be used"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = code

    def problem(self) -> Problem:
        """Return the document, typed by the reader's own slug."""
        document = super().problem()
        return document.model_copy(
            update={"code": self.slug, "type": PROBLEM_TYPE_BASE + self.slug}
        )
