"""Validate: fetch the files of a new model version, try the model, decide: ready or rejected.

The files come from outside. Names, JSON and the headers of the tensors are judged before anything
is loaded; nothing is unpickled. A model that kills this process is rejected by the lease's rules.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api_schemas.ontologies import Ontology
from api_schemas.problems import (
    InputProblem,
    NotFound,
    ProblemError,
    StorageUnavailable,
)
from domain import model_versions
from domain.connections import open_source
from domain.leases import ClaimedChunk, Commit, Outcome, commit
from domain.models import reference_of
from formats.errors import InputRefused
from formats.model_archives import unpack
from formats.model_files import check_contents, flat_names
from models.errors import ModelRefused
from models.segmentation.loading import check_model
from storage.catalog import jobs, uploads
from storage.objects import ObjectMissing, upload_key
from storage.remote.sources import RemoteSource
from workers.committing import Draining, JobOver
from workers.context import version_of
from workers.label_runtime import LabelRuntime
from workers.model_folder import put_folder
from workers.runtime import log

MAX_LISTED = 1000


class ModelInvalid(InputProblem):
    """Why a model was rejected, with the slug that its reader gave."""

    title = "The model cannot be used"


def validate_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Decide about the model version of a job, and end the job with it.

    Raises:
        LeaseLost, Draining, StorageUnavailable: nothing was decided, the chunk is done again.
        JobOver: the job was cancelled, and with it the version.
    """
    version = version_of(runtime, claimed)
    try:
        with tempfile.TemporaryDirectory(prefix="selvage-validate-") as name:
            values = _checked_files(runtime, claimed, Path(name))
    except (StorageUnavailable, Draining):
        raise
    except ProblemError as error:
        _reject(runtime, claimed, error)
        return
    promote = claimed.job.params["promote"]

    def decide(session: Session) -> None:
        job = jobs.lock_job(session, claimed.job.id)
        if job.status != "running":  # cancelled meanwhile: the version is not wanted any more
            raise JobOver(job.status)
        model_versions.make_ready(session, version.id, values, promote=promote)

    result = {"model": reference_of(version), "digest": values["digest"]}
    outcomes = [Outcome(position=item.position) for item in claimed.items]
    work = Commit(outcomes=outcomes, close=True, job_changes={"result": result}, also=decide)
    commit(runtime.catalog, claimed.lease, work, runtime.settings.lease_seconds)


def _reject(runtime: LabelRuntime, claimed: ClaimedChunk, error: ProblemError) -> None:
    """End the job, and with it the version's check."""
    problem = error.to_json()
    outcomes = [
        Outcome(position=item.position, error=problem, failed_stage="validate")
        for item in claimed.items
    ]
    changes = {"error": problem, "status": "cancelling"}
    work = Commit(outcomes=outcomes, close=True, job_changes=changes)
    commit(runtime.catalog, claimed.lease, work, runtime.settings.lease_seconds)
    log.info("model rejected", job=claimed.job.id, reason=problem["code"])


def _checked_files(runtime: LabelRuntime, claimed: ClaimedChunk, folder: Path) -> dict[str, Any]:
    """Return the columns of a version whose files were fetched, tried and stored.

    Raises:
        ProblemError: the model is not taken, or its source gives no files.
    """

    def tick() -> None:
        runtime.progress.tick("loading")
        if runtime.draining.is_set():
            raise Draining

    tick()
    files = folder / "model"
    files.mkdir()
    try:
        _fetch(runtime, claimed.job.params["source"], folder, tick)
        tick()
        check_contents(files)
        facts = _tried(files, runtime.models.device)
    except InputRefused as error:
        raise ModelInvalid(error.code, str(error)) from error
    except ModelRefused as error:
        raise ModelInvalid(error.code, f"{error.reason} {error.remedy}") from error
    tick()
    ontology, kind = facts.pop("ontology"), facts.pop("kind")
    digest, stored = put_folder(runtime.objects, files)
    return {
        "kind": kind,
        "digest": digest,
        "files": stored,
        "ontology": ontology,
        "size_bytes": sum(f["size_bytes"] for f in stored.values()),
        "facts": facts,
    }


def _fetch(
    runtime: LabelRuntime, source: dict[str, Any], folder: Path, tick: Callable[[], None]
) -> None:
    """Bring the files into `folder/model`."""
    if source["type"] == "upload":
        _fetch_upload(runtime, source["upload"], folder, tick)
        return
    with open_source(runtime.catalog, runtime.settings, source["connection_id"]) as remote:
        _fetch_prefix(remote, source["prefix"], folder / "model", runtime, tick)


def _fetch_upload(
    runtime: LabelRuntime, upload_id: str, folder: Path, tick: Callable[[], None]
) -> None:
    with runtime.catalog.read() as session:
        row = uploads.get_upload(session, upload_id)
    if row is None or row.status != "complete":
        raise _upload_gone(upload_id)
    archive = folder / "archive"
    try:
        with archive.open("wb") as target:
            for piece in runtime.objects.open_stream(upload_key(upload_id)):
                target.write(piece)
                tick()
    except ObjectMissing as error:
        raise _upload_gone(upload_id) from error
    with archive.open("rb") as file:
        unpack(file, folder / "model", runtime.settings.max_model_bytes, tick=tick)
    archive.unlink()


def _upload_gone(upload_id: str) -> NotFound:
    return NotFound(f"Upload '{upload_id}' is not there any more. Upload the model again.")


def _fetch_prefix(
    remote: RemoteSource, prefix: str, folder: Path, runtime: LabelRuntime, tick: Callable[[], None]
) -> None:
    """Fetch what lies directly below a prefix, as a folder of its own."""
    base = prefix.rstrip("/") + "/" if prefix else ""
    found: dict[str, int] = {}
    for item in remote.iterate(base):
        if item.key.startswith(base):
            found[item.key.removeprefix(base)] = item.size_bytes
        if len(found) > MAX_LISTED:
            raise InputRefused(
                "model-unreadable",
                f"More than {MAX_LISTED} files lie below '{prefix[:80]}'. Name the folder of one "
                "model.",
            )
        tick()
    flat = flat_names(list(found))
    left_bytes = runtime.settings.max_model_bytes
    for name, file_name in flat.items():
        with remote.open(base + name, max_bytes=max(1, left_bytes)) as fetched:
            left_bytes -= fetched.size_bytes
            with (folder / file_name).open("xb") as target:
                while piece := fetched.file.read(1 << 20):
                    target.write(piece)
                    tick()


def _tried(folder: Path, device: str) -> dict[str, Any]:
    """Load the model, run one image, and return the facts.

    Raises:
        InputRefused, ModelRefused: with the reason.
    """
    try:
        facts = check_model(folder, device)
    except ModelRefused:
        raise
    except Exception as error:  # whatever a file makes a library do is the file's fault
        log.warning("a model could not be tried", exc_info=error)
        raise InputRefused(
            "model-unreadable",
            f"The model cannot be used. Loading it fails ({type(error).__name__}). Try it with "
            "`selvage models add FOLDER --name NAME` on the machine, whose output says more.",
        ) from error
    facts = json.loads(json.dumps(facts))
    _check_ontology(facts["ontology"])
    return dict(facts)


def _check_ontology(document: dict[str, Any]) -> None:
    """Refuse classes that could not be told to a client, or stored."""
    try:
        Ontology.model_validate(document)
        text = json.dumps(document, ensure_ascii=False).encode()
    except (ValidationError, UnicodeEncodeError) as error:
        raise _bad_classes() from error
    if b"\\u0000" in text:
        raise _bad_classes()


def _bad_classes() -> InputRefused:
    return InputRefused(
        "model-unreadable",
        "The model cannot be used. Its classes need distinct names of 1 to 128 characters and "
        "colours of three bytes. Correct them in bundle.json, or id2label in config.json.",
    )
