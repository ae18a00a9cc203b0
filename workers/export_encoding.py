"""From a stored label to the pieces of an export: fetch ▸ decode ▸ filter ▸ encode."""

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from api_schemas.problems import InputProblem, NotFound
from domain.export_sources import ExportedLabel, Found, LeftOut
from formats.decode import decode_image, plain_suffix
from formats.errors import InputRefused
from formats.exports.base import Exporter, LabelledImage, Picture, Piece
from formats.exports.names import TakenNames
from formats.exports.pngs import picture_png
from formats.index_png import IGNORE_INDEX, decode_grey_png, decode_label_png
from formats.opening import ImageLimits
from storage.objects import ObjectMissing, Objects, image_key

ENCODING_THREADS: Final = 2
# Labels under way at once: enough for the threads, few enough for large images.
AHEAD: Final = 4


@dataclass(frozen=True)
class Encoded:
    """What became of one label: pieces, a reason why it does not get in, or a problem."""

    external_id: str
    stem: str = ""
    quality: float | None = None
    pieces: list[Piece] = field(default_factory=list)
    left_out: str | None = None
    problem: dict[str, Any] | None = None


class Encoder:
    """Encodes labels of one export, some of them at once."""

    def __init__(
        self,
        objects: Objects,
        limits: ImageLimits,
        exporter: Exporter,
        *,
        num_classes: int,
        wanted: Sequence[int] | None,
        include_images: bool,
    ) -> None:
        """Prepare.

        Args:
            wanted: indices of the classes that are written; None for all.
        """
        self._objects = objects
        self._limits = limits
        self._exporter = exporter
        self._num_classes = num_classes
        self._include_images = include_images
        self._kept: npt.NDArray[np.uint8] | None = None
        if wanted is not None:
            self._kept = np.full(IGNORE_INDEX + 1, IGNORE_INDEX, np.uint8)
            self._kept[list(wanted)] = list(wanted)
        self._names = TakenNames()
        self._number = 0

    def encode_all(self, pages: Iterator[list[Found]]) -> Iterator[Encoded]:
        """Yield what becomes of labels, in their order."""
        pending: deque[Future[Encoded] | Encoded] = deque()
        with ThreadPoolExecutor(ENCODING_THREADS, thread_name_prefix="encode") as pool:
            try:
                for page in pages:
                    for found in page:
                        pending.append(self._begin(pool, found))
                        if len(pending) >= AHEAD:
                            yield _result(pending.popleft())
                while pending:
                    yield _result(pending.popleft())
            finally:
                for left in pending:
                    if isinstance(left, Future):
                        left.cancel()

    def _begin(self, pool: ThreadPoolExecutor, found: Found) -> Future[Encoded] | Encoded:
        if isinstance(found, LeftOut):
            return Encoded("", left_out=found.reason)
        # Names and numbers are given here, in order; all else happens on the threads.
        self._number += 1
        stems = self._exporter.stems(found.external_id, self._number)
        return pool.submit(self._encode, found, self._names.first_free(stems), self._number)

    def _encode(self, found: ExportedLabel, stem: str, number: int) -> Encoded:
        try:
            image = self._image(found, stem, number)
        except ObjectMissing:
            problem = NotFound("A file of the label is not in the object store any more.")
            return Encoded(found.external_id, problem=problem.to_json())
        except InputRefused as error:
            refused = InputProblem(error.code, error.detail)
            return Encoded(found.external_id, problem=refused.to_json())
        if found.reviewed and self._kept is not None and not (image.label != IGNORE_INDEX).any():
            return Encoded(found.external_id, left_out="without-the-classes")
        pieces = list(self._exporter.pieces(image))
        return Encoded(found.external_id, stem, found.quality, pieces)

    def _image(self, found: ExportedLabel, stem: str, number: int) -> LabelledImage:
        stored = self._objects.get(found.label_key)
        label = decode_label_png(stored, self._limits, self._num_classes)
        confidence, stored_confidence = self._confidence(found)
        if self._kept is not None:
            label = self._kept[label]
            if confidence is not None:
                confidence[label == IGNORE_INDEX] = 0
        return LabelledImage(
            number=number,
            stem=stem,
            external_id=found.external_id,
            label=label,
            confidence=confidence,
            stored_png=stored if self._kept is None else None,
            stored_confidence_png=stored_confidence,
            picture=self._picture(found) if self._include_images else None,
            facts={
                "label_id": found.label_id,
                "quality": found.quality,
                "coverage": found.coverage,
                "reviewed": found.reviewed,
                "image_digest": found.image_digest,
            },
        )

    def _confidence(
        self, found: ExportedLabel
    ) -> tuple[npt.NDArray[np.uint8] | None, bytes | None]:
        """Return the confidence map as pixels or as stored, as the format takes it."""
        if found.confidence_key is None or self._exporter.confidence == "none":
            return None, None
        stored = self._objects.get(found.confidence_key)
        if self._exporter.confidence == "file" and self._kept is None:
            return None, stored
        return decode_grey_png(stored, self._limits), None

    def _picture(self, found: ExportedLabel) -> Picture:
        data = self._objects.get(image_key(found.image_digest))
        suffix = plain_suffix(io.BytesIO(data), self._limits)
        if suffix is not None:
            return Picture(suffix, data)
        return Picture("png", picture_png(decode_image(data, self._limits)))


def _result(done: Future[Encoded] | Encoded) -> Encoded:
    return done.result() if isinstance(done, Future) else done
