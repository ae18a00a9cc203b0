"""How many labels a second a light worker exports, and how much memory it takes for that.

A finished job of labels of CamVid size is written straight into a catalog and a local store: the
exact labels of generated street scenes, each stored many times under keys of its own. Every format
is exported in a fresh process by the worker's own code, through the catalog and into the store.
"""

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from rich.console import Console
from sqlalchemy import insert, select

from api_schemas.exports import ExportCreate
from api_schemas.ids import new_id
from benchmarks.scale.filling import digest_of
from benchmarks.scenes import SCENE_ONTOLOGY, SEED_RANGES, generate_scene
from domain import export_sources, exports
from domain.settings import Settings
from formats.index_png import encode_confidence_png, encode_label_png
from formats.label_studio_brush import encode_class
from formats.runs import row_runs
from storage.catalog.engine import Catalog
from storage.catalog.migrations import upgrade
from storage.catalog.tables import (
    ChunkRow,
    ImageRow,
    JobItemRow,
    JobRow,
    LabelRow,
    ModelRow,
    ModelVersionRow,
    PipelineRow,
)
from storage.objects import Objects, label_key
from workers.light_kinds import LIGHT_HANDLERS
from workers.progress import Progress
from workers.run_chunk import run_chunk
from workers.runtime import open_runtime

SIZE_HW: Final = (360, 480)
BRUSH_SIZE_HW: Final = (1024, 2048)
BRUSH_CLASSES: Final = 19
DISTINCT: Final = 16

GOAL_PER_SECOND: Final = 200.0
GOAL_BYTES: Final = 300_000_000
GOAL_BRUSH_SECONDS: Final = 0.1
_BATCH: Final = 500
_LOOK_SECONDS: Final = 0.05


def measure(labels: int, formats: tuple[str, ...], console: Console) -> dict[str, Any]:
    """Export a job of `labels` labels once in each format."""
    with tempfile.TemporaryDirectory(prefix="selvage-exports-") as name:
        folder = Path(name)
        settings = settings_of(folder)
        job_id = fill(settings, labels)
        console.print(f"{labels} labels are there", style="dim")
        found = {}
        for export_format in formats:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[export_format] = pool.apply(export_once, (folder, job_id, export_format))
            console.print(f"{export_format}: {found[export_format]}", style="dim")
    slowest = min(one["labels_per_second"] for one in found.values())
    largest = max(one["peak_bytes"] for one in found.values())
    brush = brush_seconds()
    return {
        "labels": labels,
        "size_hw": list(SIZE_HW),
        "formats": found,
        "goal_labels_per_second": GOAL_PER_SECOND,
        "goal_bytes": GOAL_BYTES,
        "brush_seconds": brush,
        "goal_brush_seconds": GOAL_BRUSH_SECONDS,
        "reached": slowest >= GOAL_PER_SECOND and largest <= GOAL_BYTES,
        "brush_reached": brush <= GOAL_BRUSH_SECONDS,
    }


def settings_of(folder: Path) -> Settings:
    """Return the settings of an installation in a folder, whatever the environment says."""
    return Settings(
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'catalog.db'}",
        objects_url=(folder / "objects").as_uri(),
        redis_url="redis://127.0.0.1:1",
    )


def export_once(folder: Path, job_id: str, export_format: str) -> dict[str, Any]:
    """Export a job as a light worker does it; seconds, and the memory of this process."""
    settings = settings_of(folder)
    runtime = open_runtime(settings, new_id("wrk"), Progress())
    content = {"format": export_format, "source": {"job": job_id}}
    request = ExportCreate.model_validate(content)
    with runtime.catalog.write() as session:
        resolved = export_sources.resolve(session, request.source)
        row = exports.create(session, request, resolved, strict=False, created_by="local")
    with runtime.catalog.read() as session:
        query = select(ChunkRow.id).where(ChunkRow.job_id == row.id)
        chunk_id = session.scalar(query) or ""
    looks: list[tuple[float, int]] = []
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stop, looks))
    watcher.start()
    started, processor = time.perf_counter(), time.process_time()
    run_chunk(runtime, LIGHT_HANDLERS, chunk_id)
    seconds = time.perf_counter() - started
    processor = time.process_time() - processor
    stop.set()
    watcher.join()
    with runtime.catalog.read() as session:
        done = exports.get_export(session, row.id)
    if done.status != "succeeded" or done.result is None:
        raise RuntimeError(f"the export ended {done.status}: {done.error}")
    third = len(looks) // 3
    return {
        "labels_per_second": done.succeeded / seconds,
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_bytes": max((size for _, size in looks), default=0),
        "bytes_in_thirds": [
            max((size for _, size in looks[start : start + third]), default=0)
            for start in (0, third, 2 * third)
        ],
        "zip_bytes": done.result["size_bytes"],
        "files": done.result["files"],
    }


def _watch(stop: threading.Event, looks: list[tuple[float, int]]) -> None:
    process = psutil.Process()
    while not stop.wait(_LOOK_SECONDS):
        looks.append((time.perf_counter(), process.memory_info().rss))


def brush_seconds(repeats: int = 5) -> float:
    """Return the seconds of encoding a large label of many classes for Label Studio, best of some.

    Squares of 16 pixels with a random class each: 8,192 parts.
    """
    rng = np.random.default_rng(0)
    height, width = BRUSH_SIZE_HW
    coarse = rng.integers(0, BRUSH_CLASSES, (height // 16, width // 16))
    label = np.kron(coarse, np.ones((16, 16), int)).astype(np.uint8)
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        runs = row_runs(label)
        for class_id in range(BRUSH_CLASSES):
            encode_class(runs, class_id)
        found.append(time.perf_counter() - started)
    return min(found)


def fill(settings: Settings, labels: int) -> str:
    """Write a finished job of so many labels; returns its id."""
    upgrade(settings.catalog_url)
    catalog = Catalog(settings.catalog_url)
    objects = Objects.open(settings.store_address)
    classes = [
        {"id": i, "name": c.name, "kind": c.kind, "color": list(c.color)}
        for i, c in enumerate(SCENE_ONTOLOGY.classes)
    ]
    with catalog.write() as session:
        session.execute(insert(ModelRow), [{"name": "m", "current_version": 1, "created_at": 1.0}])
        session.execute(insert(ModelVersionRow), [_version(classes)])
        session.execute(
            insert(PipelineRow), [{"digest": digest_of("p"), "config": {}, "created_at": 1.0}]
        )
        job_id = new_id("job")
        session.execute(insert(JobRow), [_job(job_id, labels)])
    files = _files([c.color for c in SCENE_ONTOLOGY.classes])
    rows = (_rows(objects, job_id, number, files) for number in range(labels))
    while batch := list(islice(rows, _BATCH)):
        images, made, items = zip(*batch, strict=True)
        with catalog.write() as session:
            session.execute(insert(ImageRow), list(images))
            session.execute(insert(LabelRow), list(made))
            session.execute(insert(JobItemRow), list(items))
    catalog.close()
    return job_id


def _files(palette: list[Any]) -> list[dict[str, bytes]]:
    """Return artefacts of distinct labels; confidences fall towards edges, with a little noise."""
    rng = np.random.default_rng(0)
    found = []
    for seed in SEED_RANGES["test"][:DISTINCT]:
        label = generate_scene("day", seed, SIZE_HW).label.astype(np.uint8)
        noise = rng.integers(0, 8, label.shape)
        confidence = np.where(label == 255, 0, 240 + noise).astype(np.uint8)
        found.append(
            {
                "label.png": encode_label_png(label, palette),
                "confidence.png": encode_confidence_png(confidence),
            }
        )
    return found


def _rows(
    objects: Objects, job_id: str, number: int, files: list[dict[str, bytes]]
) -> Iterator[dict[str, Any]]:
    image, digest = digest_of(f"image {number}"), digest_of(f"label {number}")
    for name, data in files[number % len(files)].items():
        objects.put_new(label_key(digest, name), data)
    height, width = SIZE_HW
    label_id = f"lab_{number:026d}"
    yield {
        "digest": image,
        "object_key": f"images/{image[:2]}/{image}",
        "media_type": "image/png",
        "size_bytes": 1,
        "width_px": width,
        "height_px": height,
        "created_at": 1.0,
    }
    yield {
        "id": label_id,
        "digest": digest,
        "image_digest": image,
        "model_version_id": "ver_1",
        "pipeline_digest": digest_of("p"),
        "width_px": width,
        "height_px": height,
        "coverage": 0.9,
        "quality": 0.8,
        "calibrated": False,
        "class_pixels": {},
        "artifacts": {name: label_key(digest, name) for name in files[0]},
        "lineage": {},
        "created_at": 1.0,
    }
    name = f"drive/{number:07d}.png"
    yield {
        "job_id": job_id,
        "position": number,
        "external_id": name,
        "file_name": name,
        "image_digest": image,
        "status": "succeeded",
        "label_id": label_id,
        "quality": 0.8,
    }


def _version(classes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "ver_1",
        "model_name": "m",
        "version": 1,
        "status": "ready",
        "kind": "bundle",
        "digest": digest_of("m"),
        "files": {},
        "ontology": {"name": "scenes", "classes": classes},
        "size_bytes": 1,
        "facts": {},
        "provenance": {},
        "created_at": 1.0,
    }


def _job(job_id: str, labels: int) -> dict[str, Any]:
    return {
        "id": job_id,
        "type": "generate",
        "status": "succeeded",
        "phase": "done",
        "model_version_id": "ver_1",
        "pipeline_digest": digest_of("p"),
        "params": {},
        "priority": 0,
        "failure_policy": {"max_failed_fraction": 0.5, "min_failed_images": 20},
        "job_metadata": {},
        "planned": labels,
        "total": labels,
        "queued": 0,
        "succeeded": labels,
        "stage_failed": {},
        "created_at": 1.0,
        "started_at": 2.0,
        "finished_at": 3.0,
    }
