"""The run folder of a training, filled from catalog and object store.

Images and labels stream through the cache and are linked, one after the other, so that memory does
not grow with their number. What is gone or damaged is left out and counted. The manifests are
written last: a folder that has them is complete.
"""

import hashlib
import json
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from domain.logs import in_this_context
from domain.training_data import Sample
from formats.decode import decode_image, plain_suffix
from formats.errors import InputRefused
from formats.index_png import decode_label_png, encode_confidence_png
from formats.opening import ImageLimits
from storage.objects import ObjectMissing, image_key
from storage.units import name_of
from workers.committing import Draining
from workers.training.file_cache import DataTooLarge, FileCache, FileDamaged, link
from workers.training.run_folder import RunFolder

log = structlog.get_logger("workers.training")
THREADS: Final = 4
AHEAD: Final = 16
IGNORE: Final = 255
_NAME_LENGTH: Final = 40
_ROOM_EVERY: Final = 200
_PNG_COMPRESS_LEVEL: Final = 1


@dataclass(frozen=True)
class DomainCounts:
    """What became of the samples of one domain."""

    used: int
    left_out: int


class DataWriter:
    """Writes `source/` and `target/` of one run.

    Args:
        num_classes: of the model; labels with others are left out.
        max_bytes: of all files of the run together.
        tick: called after each image, with the number of those that are through.
    """

    def __init__(
        self,
        files: FileCache,
        limits: ImageLimits,
        *,
        num_classes: int,
        max_bytes: int,
        tick: Callable[[int], None],
    ) -> None:
        self._files = files
        self._limits = limits
        self._num_classes = num_classes
        self._max_bytes = max_bytes
        self._tick = tick
        self._done = 0
        self._bytes = 0
        self._stopped = threading.Event()

    def write(self, folder: Path, samples: Iterable[Sample]) -> DomainCounts:
        """Fill a folder; a second call on it finds most of the work done.

        Raises:
            DataTooLarge: the files are more than the disk of trainings may hold.
            StorageUnavailable: the store failed.
            OSError: the local disk failed.
            Exception: what `tick` raises.
        """
        manifest = folder / "manifest.jsonl"
        manifest.unlink(missing_ok=True)
        for name in ("images", "labels", "confidences", "regions"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        used = left_out = 0
        temporary = folder / ".manifest.tmp"
        with temporary.open("w") as lines:
            for line in self._prepared(folder, samples):
                if line is None:
                    left_out += 1
                else:
                    used += 1
                    lines.write(json.dumps(line, sort_keys=True) + "\n")
                self._note(line)
        temporary.rename(manifest)
        return DomainCounts(used, left_out)

    def _note(self, line: dict[str, Any] | None) -> None:
        self._done += 1
        if self._bytes > self._max_bytes:
            raise DataTooLarge(self._bytes)
        if self._done % _ROOM_EVERY == 0:
            self._files.make_room(0)
        self._tick(self._done)

    def _prepared(self, folder: Path, samples: Iterable[Sample]) -> Iterator[dict[str, Any] | None]:
        """Yield lines of the manifest in order, working a few images ahead in other threads."""
        pending: deque[Future[dict[str, Any] | None]] = deque()
        self._stopped.clear()
        prepare = in_this_context(self._prepare)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="training-data") as pool:
            try:
                for sample in samples:
                    pending.append(pool.submit(prepare, folder, sample))
                    if len(pending) >= AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                self._stopped.set()
                for future in pending:
                    future.cancel()

    def _prepare(self, folder: Path, sample: Sample) -> dict[str, Any] | None:
        try:
            return self._linked(folder, sample)
        except (ObjectMissing, FileDamaged, InputRefused) as error:
            log.warning(
                "an image is left out of the training",
                image=sample.image_digest,
                reason=f"{type(error).__name__}: {error}"[:300],
            )
            return None

    def _linked(self, folder: Path, sample: Sample) -> dict[str, Any]:
        name = hashlib.sha256(sample.label_key.encode()).hexdigest()[:_NAME_LENGTH]
        label = f"labels/{name}.png"
        label_path = self._fetch(sample.label_key, _digest_in(sample.label_key))
        classes = decode_label_png(label_path.read_bytes(), self._limits, self._num_classes)
        if classes.shape != (sample.height_px, sample.width_px):
            raise InputRefused("label-invalid", "Label and image differ in size.")
        self._link(label_path, folder / label)
        line: dict[str, Any] = {"id": sample.external_id, "label": label}
        line["image"] = self._link_image(folder, sample)
        if folder.name == "source":
            return line
        line["confidence"] = self._link_confidence(folder, name, sample, classes)
        if sample.regions_key is not None:
            line["regions"] = f"regions/{name}.json"
            self._link(self._fetch(sample.regions_key, None), folder / line["regions"])
        return {**line, "weight": sample.weight, "reviewed": sample.reviewed}

    def _link_image(self, folder: Path, sample: Sample) -> str:
        """Give the run an image that any decoder reads as ours does: upright, RGB, 8 bits."""
        path = self._fetch(image_key(sample.image_digest), sample.image_digest)
        with path.open("rb") as file:
            suffix = plain_suffix(file, self._limits)
        name = f"images/{sample.image_digest}.{suffix or 'png'}"
        target = folder / name
        if suffix is not None:
            self._link(path, target)
            return name
        if not target.exists():
            _write_png(target, decode_image(path.read_bytes(), self._limits))
        self._bytes += target.stat().st_size
        return name

    def _link_confidence(
        self,
        folder: Path,
        name: str,
        sample: Sample,
        classes: np.ndarray[Any, np.dtype[np.uint8]],
    ) -> str:
        name = f"confidences/{name}.png"
        target = folder / name
        if sample.confidence_key is not None:
            self._link(self._fetch(sample.confidence_key, None), target)
            return name
        certain = np.where(classes == IGNORE, 0, 255).astype(np.uint8)
        target.write_bytes(encode_confidence_png(certain))
        return name

    def _fetch(self, key: str, digest: str | None) -> Path:
        return self._files.fetch(key, digest, self._go_on)

    def _link(self, source: Path, target: Path) -> None:
        link(source, target)
        self._bytes += target.stat().st_size  # about: the threads do not wait for each other

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Draining


def write_model(source: Path, run: RunFolder) -> None:
    """Copy the files of the model to start from."""
    shutil.rmtree(run.model, ignore_errors=True)
    shutil.copytree(source, run.model)


def _digest_in(key: str) -> str | None:
    """Return the digest of the bytes where the key is named after it: uploaded labels."""
    return name_of(key) if key.startswith("annotations/") else None


def _write_png(target: Path, rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    from PIL import Image

    temporary = target.with_name(f".{target.name}.tmp")
    Image.fromarray(rgb).save(temporary, format="PNG", compress_level=_PNG_COMPRESS_LEVEL)
    temporary.rename(target)
