"""A run in a folder: starts or goes on, trains, and leaves a model or the reason why not."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.adaptation.adapt import Adapted, finished, prepared_state
from models.adaptation.batches import BatchSource
from models.adaptation.checkpoints import flush, load_checkpoint, save_checkpoint
from models.adaptation.data import SourceSamples, TargetSamples, all_of
from models.adaptation.errors import DiskFull, RunRefused, Stopped
from models.adaptation.prefetch import Batches, Prefetched
from models.adaptation.processes import any_of_all, process_count, process_rank
from models.adaptation.progress import Progress
from models.adaptation.rare_classes import class_pixels
from models.adaptation.run_folder import RunSpec, source_samples, target_samples
from models.adaptation.training import NotFinite, TrainingState
from models.digest import folder_digest
from models.errors import ConfigError, ModelOutputInvalid, ModelRefused
from models.normalisation import save_model
from models.segmentation.base import ModuleModel
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.loading import load_model

SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
ERROR_FILE = "error.json"
RESULT_MODEL = "result/model"

DONE, REFUSED, DISK_FULL, STOPPED = 0, 65, 74, 75


class Run:
    """A run of a folder in this process.

    Args:
        folder: see `run_folder`.
        device: to train on.
        asked_to_stop: looked at after every step.
    """

    def __init__(
        self, folder: Path, device: torch.device, asked_to_stop: Callable[[], bool]
    ) -> None:
        self._folder, self._device, self._asked_to_stop = folder, device, asked_to_stop
        self._step = 0

    def run(self) -> int:
        """Runs to the end, or until it is stopped; returns the exit status of the process."""
        if (self._folder / RESULT_FILE).exists():
            return DONE
        if process_rank() == 0:
            (self._folder / ERROR_FILE).unlink(missing_ok=True)
        try:
            self._train()
        except Stopped:
            return STOPPED
        except DiskFull as error:
            return self._fail(DISK_FULL, error.code, error)
        except (RunRefused, NotFinite) as error:
            return self._fail(REFUSED, error.code, error)
        except ConfigError as error:
            return self._fail(REFUSED, "bad-spec", error)
        except (ModelRefused, ModelOutputInvalid) as error:
            return self._fail(REFUSED, "wrong-architecture", error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return self._fail(DISK_FULL, DiskFull.code, error)
        return DONE

    def _train(self) -> None:
        spec = RunSpec.read(self._folder / SPEC_FILE)
        if spec.threads is not None:
            torch.set_num_threads(spec.threads)
        model = _load(self._folder / "model", self._device)
        source, target = _samples(self._folder, spec, model.ontology.num_classes)
        donors = self._donor_pixels(source, target, spec, model.ontology.num_classes)
        state = prepared_state(model, spec.setting, target, spec.recipe, spec.steps, spec.seed)
        batches = BatchSource(source, target, spec.recipe, donors, spec.seed, self._device)
        fingerprint = _fingerprint(self._folder, spec)
        self._step = load_checkpoint(self._folder, state, fingerprint)
        if self._device.type == "cpu":
            self._steps(spec, state, batches, fingerprint)
        else:
            with Prefetched(batches, spec.steps) as ahead:
                self._steps(spec, state, ahead, fingerprint)
        self._finish(spec, state, target)

    def _donor_pixels(
        self, source: SourceSamples | None, target: TargetSamples, spec: RunSpec, num_classes: int
    ) -> npt.NDArray[np.int64]:
        """Looks at every sample once, so that what is wrong with one is known at the start."""
        kept = class_pixels(all_of(target, self._stop_if_asked), num_classes)
        if kept.sum() == 0 and spec.recipe.labels != "online":
            raise RunRefused("no-kept-labels", "no pixel of the label set has a label")
        if source is None:
            return kept
        return class_pixels(all_of(source, self._stop_if_asked), num_classes)

    def _steps(
        self, spec: RunSpec, state: TrainingState, batches: Batches, fingerprint: str
    ) -> None:
        recipe, first = spec.recipe, self._step
        progress = None
        if process_rank() == 0:
            in_a_step = recipe.batch_size * process_count()
            progress = Progress(self._folder, state.student.ontology, spec.steps, first, in_a_step)
        try:
            for step in range(first, spec.steps):
                report = state.train_step(batches, step)
                self._step = step + 1
                if progress is not None:
                    progress.report(step, report)
                stop = any_of_all(self._asked_to_stop())
                last = self._step == spec.steps
                if stop or last or self._step % recipe.checkpoint_every_steps == 0:
                    self._save(state, fingerprint)
                if stop:
                    raise Stopped
        finally:
            if progress is not None:
                progress.close()

    def _save(self, state: TrainingState, fingerprint: str) -> None:
        failed: DiskFull | None = None
        if process_rank() == 0:
            try:
                save_checkpoint(self._folder, state, self._step, fingerprint)
            except DiskFull as error:
                failed = error
        # All processes end together, whichever of them writes.
        if any_of_all(failed is not None):
            raise failed or DiskFull("the checkpoint could not be written")

    def _finish(self, spec: RunSpec, state: TrainingState, target: TargetSamples) -> None:
        adapted = finished(state, target, self._stop_if_asked)
        if process_rank() == 0:
            try:
                self._write_result(spec, adapted)
            except OSError as error:
                raise DiskFull(f"the result could not be written: {error}") from error

    def _write_result(self, spec: RunSpec, adapted: Adapted) -> None:
        folder = self._folder / RESULT_MODEL
        unfinished = self._folder / "result.unfinished"
        for old in (unfinished, folder.parent):
            shutil.rmtree(old, ignore_errors=True)
        provenance = {
            "made_by": "models.adaptation",
            "setting": spec.setting,
            "seed": spec.seed,
            "steps": spec.steps,
            "recipe": spec.recipe.to_dict(),
            "trained_from": folder_digest(self._folder / "model"),
        }
        model = adapted.model
        if isinstance(model, BundledSegmenter):
            model.provenance = {**provenance, "parent": model.provenance}
            # What was fitted on the features of the weights before does not fit those of now.
            model.rectifier = adapted.parts.rectifier
            if model.connectivity is not None and any(
                columns.group == "segmenter" for columns in model.connectivity.inputs
            ):
                model.connectivity = None
        save_model(model, unfinished / "model")
        flush(unfinished / "model")
        unfinished.rename(folder.parent)
        _write_json(
            self._folder / RESULT_FILE,
            {"version": 1, "model": RESULT_MODEL, "provenance": provenance},
        )

    def _stop_if_asked(self) -> None:
        if self._asked_to_stop():
            raise Stopped

    def _fail(self, status: int, code: str, error: Exception) -> int:
        if process_rank() == 0:
            document = {"code": code, "message": str(error), "step": self._step}
            try:
                _write_json(self._folder / ERROR_FILE, document)
            except OSError:
                # On a full disk the exit status has to do.
                print(json.dumps(document), flush=True)
        return status


def _load(folder: Path, device: torch.device) -> ModuleModel:
    model: Any = load_model(folder, str(device))
    if not hasattr(model, "module") or not hasattr(model, "save"):
        raise RunRefused(
            "wrong-architecture",
            "an exported program cannot be trained: use a bundle or a Hugging Face folder",
        )
    trainable: ModuleModel = model
    return trainable


def _samples(
    folder: Path, spec: RunSpec, num_classes: int
) -> tuple[SourceSamples | None, TargetSamples]:
    source: SourceSamples | None = None
    if spec.setting == "uda":
        source = source_samples(folder / "source", num_classes)
    return source, target_samples(folder / "target", num_classes)


def _fingerprint(folder: Path, spec: RunSpec) -> str:
    """Of all that decides how the run ends, samples by their names alone."""
    content = hashlib.sha256(folder_digest(folder / "model").encode())
    recipe = json.dumps(spec.recipe.to_dict(), sort_keys=True)
    content.update(f"{spec.setting} {spec.seed} {spec.steps} {recipe} {process_count()}".encode())
    for name in ("source/manifest.jsonl", "target/manifest.jsonl"):
        path = folder / name
        content.update(name.encode() + (path.read_bytes() if path.exists() else b""))
    return content.hexdigest()


def _write_json(path: Path, document: dict[str, Any]) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(document, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
