"""The rival of the service: one process, one loop, no queue, no catalog, no store.

It reads the same files, runs the same pilot and `LabelPipeline`, and writes the same artefacts.
As a program it answers requests, one JSON object a line, so that its model stays as warm as the
model of a worker.
"""

import argparse
import hashlib
import heapq
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil
import torch

from api_schemas.pipelines import PipelineConfig as WireConfig
from benchmarks.quality.folders import ImageArray
from benchmarks.speed.running import cpu_seconds
from domain.planning import sample_rank
from formats.decode import decode_image
from formats.index_png import encode_confidence_png, encode_label_png
from formats.opening import ImageLimits
from models.pipeline import LabelPipeline
from models.prediction import Prediction
from models.segmentation.base import SegmentationModel
from models.segmentation.loading import load_model
from models.selection import ConfidenceHistogram, PilotFit, fit_thresholds
from ops.processes import environment, module_command
from workers.context import label_config

LIMITS = ImageLimits(max_pixels=64_000_000, max_bytes=100 * 2**20)


def label_files(
    model: SegmentationModel,
    wire: WireConfig,
    images: Sequence[Path],
    out: Path,
    *,
    keep_predictions: bool = False,
) -> dict[str, float]:
    """Label image files and write `out/STEM/label.png` and `out/STEM/confidence.png`.

    Args:
        keep_predictions: do not predict the images of the pilot twice. The service does not either;
            the price is memory for all of them.

    Returns:
        Seconds by step. `all` leaves out the drawing of the sample: the service has done that
        before its job starts.
    """
    sample = _sample(wire, images) if wire.needs_pilot else []
    seconds = dict.fromkeys(("read", "pilot", "label", "encode", "write"), 0.0)
    kept: dict[Path, Prediction] | None = {} if keep_predictions else None
    started = time.perf_counter()
    pipeline = LabelPipeline(model, label_config(wire), _pilot(model, wire, sample, kept))
    seconds["pilot"] = time.perf_counter() - started
    palette = [info.color for info in model.ontology.classes]
    for path in images:
        clock = time.perf_counter()
        prediction = kept.pop(path, None) if kept else None
        if prediction is None:
            image = _read(path)
            clock = _note(seconds, "read", clock)
            (maps,) = pipeline.label([image])
        else:
            maps = pipeline.finish(prediction)
        clock = _note(seconds, "label", clock)
        files = {
            "label.png": encode_label_png(maps.label, palette),
            "confidence.png": encode_confidence_png(maps.confidence),
        }
        clock = _note(seconds, "encode", clock)
        folder = out / path.stem
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        _note(seconds, "write", clock)
    return {"all": time.perf_counter() - started, **seconds}


def _note(seconds: dict[str, float], step: str, since: float) -> float:
    now = time.perf_counter()
    seconds[step] += now - since
    return now


def _sample(wire: WireConfig, images: Sequence[Path]) -> list[Path]:
    """The images of the pilot, chosen as the service chooses them."""
    by_digest = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in images}
    ranked = heapq.nsmallest(
        wire.pilot_images, ((sample_rank(wire.seed, digest), digest) for digest in by_digest)
    )
    return [by_digest[digest] for _, digest in ranked]


def _pilot(
    model: SegmentationModel,
    wire: WireConfig,
    sample: Sequence[Path],
    kept: dict[Path, Prediction] | None,
) -> PilotFit | None:
    """Fit the thresholds of the set; leaves the predictions in `kept` if there is such a thing."""
    config = label_config(wire)
    if not sample or config.select is None:
        return None
    pipeline = LabelPipeline(model, config)
    total = ConfidenceHistogram.empty(model.ontology.num_classes)
    for path in sample:
        (prediction,) = pipeline.predict([_read(path)])
        total = total.merge(pipeline.histogram(prediction))
        if kept is not None:
            kept[path] = prediction
    return fit_thresholds(total, config.select)


def _read(path: Path) -> ImageArray:
    return decode_image(path.read_bytes(), LIMITS)


class BareLoop:
    """The loop in a process of its own, with the model loaded once. Use it in a `with` block."""

    def __init__(self, model_folder: Path, threads: int) -> None:
        command = module_command(
            "benchmarks.speed.bare_loop", str(model_folder), "--threads", str(threads)
        )
        self._stack = ExitStack()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def __enter__(self) -> Self:
        self._stack.enter_context(self._process)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # the loop ends at the end of its input
        self._stack.close()

    def cpu_seconds(self) -> float:
        """Processor time of the loop so far."""
        return cpu_seconds(psutil.Process(self._process.pid))

    def label(
        self,
        images: Sequence[Path],
        out: Path,
        pipeline: dict[str, Any],
        *,
        keep_predictions: bool = False,
    ) -> dict[str, float]:
        """Label files; returns the seconds of `label_files`.

        Raises:
            RuntimeError: the process has died; its last words are on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "images": [str(path) for path in images],
            "out": str(out),
            "pipeline": pipeline,
            "keep_predictions": keep_predictions,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the bare loop has died")
        seconds: dict[str, float] = json.loads(answer)
        return seconds


def main() -> None:
    """Answer requests until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.bare_loop")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model = load_model(arguments.model, "cpu")
    for line in sys.stdin:
        request = json.loads(line)
        wire = WireConfig.model_validate(request["pipeline"])
        images = [Path(path) for path in request["images"]]
        seconds = label_files(
            model,
            wire,
            images,
            Path(request["out"]),
            keep_predictions=request["keep_predictions"],
        )
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
