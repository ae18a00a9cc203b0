"""Run folders of toys, and the training process started in them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from models.adaptation.config import Recipe
from models.adaptation.data import SourceSample, TargetSample
from models.normalisation import save_model
from tests.models.adaptation.toys import QUICK, compact, source, target

ROOT = Path(__file__).parents[3]


def write_run(
    folder: Path,
    *,
    steps: int = 4,
    setting: str = "uda",
    recipe: Recipe = QUICK,
    samples: Sequence[TargetSample] | None = None,
    labelled: Sequence[SourceSample] | None = None,
    **spec: Any,
) -> Path:
    """A run folder that is ready to be started."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(compact(), folder / "model")
    document = {
        "version": 1,
        "setting": setting,
        "seed": 0,
        "steps": steps,
        "threads": 1,
        "recipe": recipe.to_dict(),
        **spec,
    }
    (folder / "spec.json").write_text(json.dumps(document))
    if setting == "uda":
        chosen = source() if labelled is None else labelled
        lines = [_stored(folder / "source", sample) for sample in chosen]
        _write_manifest(folder / "source", lines)
    lines = []
    for sample in target() if samples is None else samples:
        line = _stored(folder / "target", sample)
        path = folder / "target" / f"{sample.id}.confidence.png"
        Image.fromarray(sample.confidence).save(path)
        lines.append({**line, "confidence": path.name, "weight": 1.0, "reviewed": sample.reviewed})
    _write_manifest(folder / "target", lines)
    return folder


def start(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """The training process, its errors in FOLDER/stderr."""
    with (folder / "stderr").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "models.adaptation", str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def wait_for(path: Path, process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    """Until a file is there; raises AssertionError if the process ends before, or never comes."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.02)


def weights(folder: Path) -> bytes:
    """Of the resulting model."""
    return (folder / "result" / "model" / "segmenter.safetensors").read_bytes()


def _stored(folder: Path, sample: SourceSample | TargetSample) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    Image.fromarray(sample.image).save(folder / f"{sample.id}.image.png")
    Image.fromarray(sample.label).save(folder / f"{sample.id}.label.png")
    return {"id": sample.id, "image": f"{sample.id}.image.png", "label": f"{sample.id}.label.png"}


def _write_manifest(folder: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "manifest.jsonl").write_text(text)
