"""Images per second through the running service, against a bare loop."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.speed.bare_loop import BareLoop
from benchmarks.speed.figures import spread
from benchmarks.speed.images import scene_files
from benchmarks.speed.running import MODEL, MODEL_FOLDER, RunningService, running_service
from benchmarks.speed.worker_log import chunk_spans, time_shares

GOAL_RATIO: Final = 0.85
WARM_UP_IMAGES: Final = 4
# `loop` runs the pilot and then `LabelPipeline.label` on every image; `keeping_loop` keeps the
# predictions of the pilot, as the service does.
CONTENDERS: Final = ("service", "loop", "keeping_loop")
ARTEFACTS: Final = ("label.png", "confidence.png")


class BytesDiffer(RuntimeError):
    """The service and the loop gave different labels; their speeds cannot be compared."""


def measure(
    cache: Path, images: int, threads: int, repeats: int, console: Console
) -> dict[str, Any]:
    """Label the same files with the service and with both loops, in turn, each first in its turn.

    Each repeat draws another pilot (`seed`), so that no label of the one before is used again.
    """
    files = scene_files(cache, images)
    rows = []
    with (
        running_service(threads) as service,
        BareLoop(MODEL_FOLDER, threads) as loop,
        tempfile.TemporaryDirectory(prefix="selvage-loop-") as name,
    ):
        out = Path(name)
        console.print("warming up", style="dim")
        image_set = service.client.create_image_set(list(files)).id
        warm = service.client.pseudo_labels(list(files[:WARM_UP_IMAGES]), model=MODEL)
        service.finish(warm.job.id)
        loop.label(files[:WARM_UP_IMAGES], out / "warm", {})
        for repeat in range(repeats):
            rows.append(_one_repeat(service, loop, image_set, files, out / str(repeat), repeat))
            rates = ", ".join(f"{name} {images / rows[-1][name]['all']:.2f}" for name in CONTENDERS)
            console.print(f"repeat {repeat + 1}, images/s: {rates}", style="dim")
    return summary(images, rows)


def _one_repeat(
    service: RunningService,
    loop: BareLoop,
    image_set: str,
    files: Sequence[Path],
    out: Path,
    repeat: int,
) -> dict[str, dict[str, Any]]:
    pipeline = {"seed": repeat + 1}
    cpu: dict[str, Callable[[], float]] = dict.fromkeys(CONTENDERS, loop.cpu_seconds)
    cpu["service"] = service.cpu_seconds
    row: dict[str, dict[str, Any]] = {}
    job_id = ""
    first = repeat % len(CONTENDERS)
    for name in CONTENDERS[first:] + CONTENDERS[:first]:
        cpu_before = cpu[name]()
        if name == "service":
            job_id, row[name] = _through_service(service, image_set, pipeline)
        else:
            keep = name == "keeping_loop"
            row[name] = loop.label(files, out / name, pipeline, keep_predictions=keep)
        row[name]["processor"] = cpu[name]() - cpu_before
    for name in CONTENDERS[1:]:
        _check_bytes(service, job_id, out / name)
    return row


def summary(images: int, rows: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Rates, ratios of the service to the loops, and where the time went, over all repeats.

    Args:
        images: images of each repeat.
        rows: of each contender the seconds by share or step, with `all` and, over all its
            processes, `processor`.
    """
    ratios = {
        name: spread([row[name]["all"] / row["service"]["all"] for row in rows])
        for name in CONTENDERS[1:]
    }
    return {
        "images": images,
        "images_per_second": {
            name: spread([images / row[name]["all"] for row in rows]) for name in CONTENDERS
        },
        "ratio": ratios,
        # Beside a busy neighbour this ratio still says what the service costs.
        "processor_ratio": {
            name: spread([row[name]["processor"] / row["service"]["processor"] for row in rows])
            for name in CONTENDERS[1:]
        },
        "goal_ratio": GOAL_RATIO,
        "reached": all(ratio["median"] >= GOAL_RATIO for ratio in ratios.values()),
        "bytes_equal": True,
        "seconds": {name: [row[name] for row in rows] for name in CONTENDERS},
    }


def _through_service(
    service: RunningService, image_set: str, pipeline: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    job = service.finish(service.client.generate(image_set, MODEL, pipeline=pipeline).id)
    assert job.started_at is not None
    assert job.finished_at is not None
    pipeline_seconds = sum(
        (item.stage_seconds or {}).get("label", 0.0) for item in service.client.items(job.id)
    )
    shares = time_shares(
        chunk_spans(service.log(), job.id),
        job.started_at.timestamp(),
        job.finished_at.timestamp(),
        pipeline_seconds,
    )
    return job.id, shares


def _check_bytes(service: RunningService, job_id: str, loop_out: Path) -> None:
    """Compare every artefact.

    Raises:
        BytesDiffer: the first that is not the same.
    """
    for line in service.client.results(job_id):
        assert line.label_id is not None
        folder = loop_out / Path(line.file_name).stem
        for name in ARTEFACTS:
            if service.client.artifact(line.label_id, name) != (folder / name).read_bytes():
                raise BytesDiffer(f"{name} of {line.file_name}")
