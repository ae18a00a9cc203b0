"""Import: read a tool's export ▸ match masks to images ▸ check ▸ store ▸ reviews. No torch.

A mask that cannot be used is an item with a reason; it harms no other.
"""

import time
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO, Final, cast

from api_schemas.problems import (
    InputProblem,
    NotFound,
    ProblemError,
    QuotaExceeded,
    SourceMissing,
    StorageFull,
)
from domain import imports, reviews
from domain.imports import ImageNames, ReadMask, Waiting
from domain.leases import ClaimedChunk
from formats.corrected_masks import encode_corrected
from formats.corrections.formats import READERS, class_map
from formats.corrections.masks import FoundMask, ReadLimits
from formats.errors import InputRefused
from formats.index_png import Colour
from formats.names import clean_file_name
from storage.catalog import labels, models
from storage.catalog.tables import JobRow
from storage.objects import ObjectMissing
from workers.committing import Draining, JobOver
from workers.ingest_entries import as_hopeless, spooled
from workers.run_chunk import JobHopeless
from workers.runtime import Runtime

BATCH_MASKS: Final = 50
FLUSH_SECONDS: Final = 2.0


def import_chunk(runtime: Runtime, claimed: ClaimedChunk) -> None:
    """Read the file of an import job from where it stands.

    Raises:
        LeaseLost, JobOver, Draining: stop working on this chunk.
        JobHopeless: the file as a whole cannot be read.
        StorageUnavailable: the object store failed; try the chunk again.
    """
    importer = _Importer(runtime, claimed)
    key = claimed.job.params["source"]["object_key"]
    try:
        with spooled(runtime.objects.open_stream(key)) as file:
            importer.read(cast(BinaryIO, file))
    except ObjectMissing as error:
        raise JobHopeless(SourceMissing("The bytes of the upload are gone.")) from error
    except InputRefused as refusal:
        raise as_hopeless(refusal) from refusal
    except OSError as error:
        raise StorageFull("The disk of the light worker is full or fails. Make room.") from error


class _Importer:
    """Takes masks in order, from the place on that the last commit left."""

    def __init__(self, runtime: Runtime, claimed: ClaimedChunk) -> None:
        self._runtime = runtime
        self._claimed = claimed
        self._committed_at = time.monotonic()
        self._skip = int((claimed.result or {}).get("taken", 0))
        self._waiting = Waiting(taken=self._skip)
        self._seen: set[str] = set()
        job = claimed.job
        try:
            with runtime.catalog.read() as session:
                self._labelled: JobRow = imports.labelled_job(session, job)
                self._images = ImageNames.of(session, job.image_set_id or "")
                version = models.get_version(session, self._labelled.model_version_id or "")
        except ProblemError as problem:
            raise JobHopeless(problem) from problem
        if version is None:
            raise JobHopeless(NotFound("The model of the labels is gone."))
        classes = version.ontology["classes"]
        self._palette: list[Colour] = [tuple(c["color"]) for c in classes]
        ignore_unknown = job.params["unknown_classes"] == "ignore"
        self._classes = class_map([c["name"] for c in classes], ignore_unknown=ignore_unknown)

    def read(self, file: BinaryIO) -> None:
        reader = READERS[self._claimed.job.params["format"]]
        limits = ReadLimits(self._runtime.image_limits, self._runtime.archive_limits)
        with closing(reader(file, self._classes, limits)) as found:  # type: ignore[type-var]
            for number, mask in enumerate(found):
                self._tick()
                matched = self._images.find(mask.image_names)
                if number < self._skip:
                    self._seen |= {matched[1]} if matched else set()
                    continue
                self._waiting.masks.append(self._looked_at(mask, matched))
                self._waiting.taken = number + 1
                late = time.monotonic() - self._committed_at >= FLUSH_SECONDS
                if late or len(self._waiting.masks) >= BATCH_MASKS:
                    self._commit()
        self._commit(done=True)

    def _tick(self) -> None:
        self._runtime.progress.tick("working")
        if self._runtime.draining.is_set():
            self._commit()
            raise Draining

    def _commit(self, *, done: bool = False) -> None:
        try:
            written = imports.commit(
                self._runtime.catalog,
                self._claimed.lease,
                self._waiting,
                settings=self._runtime.settings,
                done=done,
            )
        except QuotaExceeded as problem:
            raise JobHopeless(problem) from problem
        self._committed_at = time.monotonic()
        if not written:
            raise JobOver("import")

    def _looked_at(self, mask: FoundMask, matched: tuple[str, str] | None) -> ReadMask:
        named = ReadMask(clean_file_name(mask.name))
        try:
            if matched is None:
                raise InputRefused(
                    "label-invalid",
                    f"No image of the set is named '{named.name[:200]}'. A mask has the name of "
                    "its image.",
                )
            external_id, digest = matched
            named = replace(named, external_id=external_id)
            if digest in self._seen:
                raise InputRefused("label-invalid", "Another mask of the file is of this image.")
            return self._stored(named, mask, digest)
        except InputRefused as error:
            problem = InputProblem(error.code, str(error)).to_json()
            return replace(named, problem=problem)

    def _stored(self, named: ReadMask, mask: FoundMask, digest: str) -> ReadMask:
        with self._runtime.catalog.read() as session:
            basis, image = imports.basis_of(session, self._labelled, digest)
            row = labels.get_label(session, basis.label_id) if basis.label_id else None
        encoded = encode_corrected(mask.decode(image.height_px, image.width_px), self._palette)
        if not encoded.coverage:
            raise InputRefused("label-invalid", "The mask has no pixel with a class.")
        self._seen.add(digest)
        named = replace(named, basis=basis)
        if row is not None and self._is_stored(row.artifacts["label.png"], encoded.label_png):
            return named
        corrected = reviews.store_mask(self._runtime.objects, basis, encoded)
        size_bytes = len(encoded.label_png) + len(encoded.confidence_png)
        return replace(named, corrected=corrected, stored_bytes=size_bytes)

    def _is_stored(self, key: str, data: bytes) -> bool:
        try:
            return self._runtime.objects.get(key) == data
        except ObjectMissing:
            return False
