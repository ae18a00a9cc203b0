"""Checkpoints: safetensors and JSON, no pickle; written beside and renamed, the last two kept.

    checkpoints/step-00000123/state.safetensors   student, teacher, terms, optimisers
    checkpoints/step-00000123/state.json          step, fingerprint, optimiser groups, SHA-256

Random choices are keyed by (seed, step, sample), so there is no generator state among it.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.adaptation.errors import DiskFull
from models.adaptation.training import TrainingState
from models.digest import file_sha256

FOLDER = "checkpoints"
TENSORS_FILE = "state.safetensors"
STATE_FILE = "state.json"
VERSION = 1
_KEPT = 2
_UNFINISHED = ".unfinished"


def save_checkpoint(run: Path, state: TrainingState, step: int, fingerprint: str) -> Path:
    """Writes the state after `step` steps and forgets all checkpoints but the last two.

    Args:
        run: folder of the run.
        state: what is stored.
        step: how many steps are done.
        fingerprint: of what the run was started with.

    Raises:
        DiskFull: the checkpoint could not be written; those before it are untouched.
    """
    folder = run / FOLDER / f"step-{step:08d}"
    unfinished = folder.with_name(folder.name + _UNFINISHED)
    try:
        _clear(unfinished)
        unfinished.mkdir(parents=True)
        tensors, groups = _tensors(state)
        save_file(tensors, unfinished / TENSORS_FILE)
        document = {
            "version": VERSION,
            "step": step,
            "fingerprint": fingerprint,
            "optimizers": groups,
            "sha256": file_sha256(unfinished / TENSORS_FILE),
        }
        (unfinished / STATE_FILE).write_text(json.dumps(document))
        flush(unfinished)
        _clear(folder)
        unfinished.rename(folder)
    # safetensors reports a full disk as an error of its own.
    except (OSError, SafetensorError) as error:
        _clear(unfinished)
        raise DiskFull(f"the checkpoint of step {step} could not be written: {error}") from error
    for old in _finished(run)[_KEPT:]:
        _clear(old)
    return folder


def load_checkpoint(run: Path, state: TrainingState, fingerprint: str) -> int:
    """Restores the newest whole checkpoint; returns how many steps are done, 0 without one.

    A checkpoint that is damaged, or of a run that was started with something else, is passed over.
    """
    for folder in _finished(run):
        found = _read(folder, fingerprint)
        if found is not None:
            document, tensors = found
            _restore(state, tensors, document["optimizers"])
            return int(document["step"])
    return 0


def flush(folder: Path) -> None:
    """Makes sure that the files of a folder are on the disk, not in its cache alone."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _finished(run: Path) -> list[Path]:
    """Folders of checkpoints, the newest first."""
    names = (run / FOLDER).glob("step-*")
    return sorted((p for p in names if not p.name.endswith(_UNFINISHED)), reverse=True)


def _read(folder: Path, fingerprint: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    try:
        document = json.loads((folder / STATE_FILE).read_bytes())
        if document["version"] != VERSION or document["fingerprint"] != fingerprint:
            return None
        if file_sha256(folder / TENSORS_FILE) != document["sha256"]:
            return None
        # Copies lie where the allocator aligns them, as the tensors of an undisturbed run do.
        loaded = load_file(folder / TENSORS_FILE)
        return document, {name: tensor.clone() for name, tensor in loaded.items()}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def _optimizers(state: TrainingState) -> dict[str, torch.optim.Optimizer]:
    found: dict[str, torch.optim.Optimizer] = {"main": state.optimizer}
    for term in state.terms:
        found |= {f"{term.name}/{name}": o for name, o in term.own_optimizers().items()}
    return found


def _modules(state: TrainingState) -> dict[str, torch.nn.Module]:
    found = {"student": state.student.module, "teacher": state.teacher.module}
    return found | {f"term/{term.name}": term for term in state.terms}


def _tensors(state: TrainingState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, groups = {}, {}
    for name, module in _modules(state).items():
        for key, value in module.state_dict().items():
            tensors[f"{name}:{key}"] = value
    for name, optimizer in _optimizers(state).items():
        found = optimizer.state_dict()
        groups[name] = found["param_groups"]
        for number, values in found["state"].items():
            for key, value in values.items():
                tensors[f"optimizer/{name}:{number}.{key}"] = torch.as_tensor(value)
    return {
        key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()
    }, groups


def _restore(
    state: TrainingState, tensors: Mapping[str, Tensor], groups: Mapping[str, Any]
) -> None:
    for name, module in _modules(state).items():
        module.load_state_dict(_part(tensors, f"{name}:"))
    for name, optimizer in _optimizers(state).items():
        values: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, f"optimizer/{name}:").items():
            number, _, what = key.partition(".")
            values.setdefault(int(number), {})[what] = value
        optimizer.load_state_dict({"state": values, "param_groups": groups[name]})


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
