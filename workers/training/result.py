"""From what a training has left to a new model version."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from api_schemas.problems import TrainingFailed
from domain.leases import ClaimedChunk
from domain.models import reference_of
from storage.catalog.tables import ModelVersionRow
from workers.model_folder import store_folder
from workers.run_chunk import JobHopeless
from workers.runtime import log
from workers.training.process import training_environment
from workers.training.progress import ProgressTail
from workers.training.run_folder import RunFolder
from workers.training.runtime import TrainingRuntime

POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Checked:
    """What loading a model says about it."""

    kind: str
    ontology: dict[str, Any]
    facts: dict[str, Any]


def check_result(
    runtime: TrainingRuntime, run: RunFolder, parent: ModelVersionRow, tick: Callable[[], None]
) -> Checked:
    """Load the new model in a process of its own: a version that cannot be read breaks later jobs.

    Raises:
        JobHopeless: it cannot be read, or has other classes than the model that it comes from.
        Exception: what `tick` raises.
    """
    document = _loaded(runtime, run, tick)
    checked = Checked(document.pop("kind"), document.pop("ontology"), document)
    names = [c["name"] for c in checked.ontology["classes"]]
    if names != [c["name"] for c in parent.ontology["classes"]]:
        raise JobHopeless(
            TrainingFailed("ontology-mismatch", "The new model has other classes than its parent.")
        )
    return checked


def _loaded(runtime: TrainingRuntime, run: RunFolder, tick: Callable[[], None]) -> dict[str, Any]:
    command = [sys.executable, "-m", "workers.check_model", str(run.result_model)]
    environment = training_environment(os.environ, (), 1)
    until = time.monotonic() + runtime.settings.max_model_load_seconds
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while True:
                tick()
                try:
                    output, errors = process.communicate(timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() > until:
                        raise
        finally:
            process.kill()
    if process.returncode != 0:
        log.error("what was trained cannot be used", detail=errors[-2000:])
        raise JobHopeless(
            TrainingFailed(
                "model-unusable",
                f"What was trained cannot be loaded: {_last_line(errors)} The worker's log says "
                "more.",
            )
        )
    document: dict[str, Any] = json.loads(output.splitlines()[-1])
    return document


def register(
    runtime: TrainingRuntime,
    claimed: ClaimedChunk,
    run: RunFolder,
    parent: ModelVersionRow,
    checked: Checked,
    counts: dict[str, Any],
) -> dict[str, Any]:
    """Store the new version and return the result of the job; the same files twice are one version.

    Raises:
        StorageUnavailable: the store failed; nothing was registered.
    """
    params = claimed.job.params
    row = store_folder(
        runtime.catalog,
        runtime.objects,
        run.result_model,
        name=parent.model_name,
        facts=checked.facts,
        ontology=checked.ontology,
        kind=checked.kind,
        provenance={
            "source": "train",
            "parent": reference_of(parent),
            "job": claimed.job.id,
            "setting": params["setting"],
            "label_set": params["label_set"],
            "source_image_set": claimed.job.image_set_id,
            "annotation_set": params["source_annotations"],
            "recipe": params["recipe"],
            "steps": params["steps"],
            "seed": params["seed"],
            "images": counts,
        },
        promote=params["promote"],
    )
    return {
        "model": reference_of(row),
        "parent": reference_of(parent),
        "images": counts,
        "steps": params["steps"],
        "figures": _figures(run),
    }


def _figures(run: RunFolder) -> dict[str, Any]:
    """Return what the process said last: losses, and how far the model agrees with the labels."""
    last = ProgressTail(run.progress, from_start=True).newest()
    return {} if last is None else {"losses": last["losses"], **last["figures"]}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason was given."
