"""Export: walk labels ▸ encode them ▸ zip in the store, or files in a bucket. No torch.

One worker walks from the start to the end; after a death another one begins anew. The zip is one
object that is not there before it is whole, and becomes the export's when the job ends.
"""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from api_schemas.exports import ExportLoss, ExportReport
from api_schemas.problems import (
    DestinationRefused,
    ExportLossyRefused,
    NotFound,
    QuotaExceeded,
    SecretsUnreadable,
    SourceProblem,
    StorageFull,
)
from domain import export_sources, exports
from domain.connections import open_target
from domain.exports import ExportCommit, ThroughItem
from domain.leases import ClaimedChunk
from formats.exports.base import Entry, Loss, Member, json_file
from formats.exports.names import without_suffix
from formats.exports.registry import exporter_of
from formats.exports.wire import classes_of, losses_of, options_of
from storage.objects import export_key
from workers.committing import Draining, JobOver
from workers.export_encoding import Encoded, Encoder
from workers.export_files import BucketSink, ExportFile, Spool, ZipSink
from workers.run_chunk import JobHopeless
from workers.runtime import Runtime

COMMIT_SECONDS: Final = 1.0
COMMIT_ITEMS: Final = 500
# CVAT looks at what an archive holds before it believes in a format: nothing of ours in there.
WITHOUT_RECORD: Final = ("cvat-mask", "cityscapes-cvat")
RECORD_NAME: Final = "export.json"


def export_chunk(runtime: Runtime, claimed: ClaimedChunk) -> None:
    """Write an export from its first label to its last.

    Raises:
        LeaseLost, JobOver, Draining: stop working on this chunk.
        JobHopeless: the export as a whole cannot be made.
        StorageUnavailable: the object store failed; try the chunk again.
    """
    if not exports.begin(runtime.catalog, claimed.lease):
        raise JobOver("export")
    walk = _Walk(runtime, claimed)
    try:
        if claimed.job.params.get("destination"):
            _to_bucket(runtime, claimed, walk)
        else:
            _to_store(runtime, claimed, walk)
    except (DestinationRefused, SourceProblem, SecretsUnreadable, NotFound, QuotaExceeded) as error:
        raise JobHopeless(error) from error
    except OSError as error:
        raise StorageFull("The disk of the light worker is full or fails. Make room.") from error


def _to_store(runtime: Runtime, claimed: ClaimedChunk, walk: "_Walk") -> None:
    sink = ZipSink()
    key = export_key(claimed.job.id, claimed.lease.epoch)
    runtime.objects.put_stream(key, sink.bytes_of(walk.files()))
    facts = {"files": sink.files, "size_bytes": sink.size_bytes, "sha256": sink.sha256}
    walk.finish(facts, key, sink.size_bytes)


def _to_bucket(runtime: Runtime, claimed: ClaimedChunk, walk: "_Walk") -> None:
    place = claimed.job.params["destination"]
    connection, prefix = place["connection_id"], place["prefix"]
    with open_target(runtime.catalog, runtime.settings, connection, prefix) as target:
        sink = BucketSink(target)
        sink.put_all(walk.files())
    walk.finish({"files": sink.files, "size_bytes": sink.size_bytes}, None, 0)


def _components(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Find connected parts; OpenCV is loaded with the first export that needs them."""
    from formats.components import components_by_size

    return components_by_size(mask)


class _Walk:
    """The way over the labels of one export; commits what is through now and then."""

    def __init__(self, runtime: Runtime, claimed: ClaimedChunk) -> None:
        self._runtime = runtime
        self._claimed = claimed
        params = claimed.job.params
        self._request = exports.request_of(claimed.job)
        self._ontology: dict[str, Any] = params["ontology"]
        self._strict: bool = params["strict"]
        classes = classes_of(self._ontology)
        self._options = options_of(self._request, params["origin"])
        self._exporter = exporter_of(
            self._request.format,
            self._ontology["name"],
            classes,
            self._options,
            _components,
        )
        self._waiting = ExportCommit()
        self._committed_at = time.monotonic()
        self._left_out: Counter[str] = Counter()
        self._labels = 0
        self._losses: dict[str, Loss] = {}
        self._lost_by: Counter[str] = Counter()

    def files(self) -> Iterator[ExportFile]:
        """Yield the files of the export, and commit the labels that are through."""
        yield from self._exporter.opening()
        with Spool(self._exporter.documents) as spool:
            for encoded in self._encoded():
                for piece in encoded.pieces:
                    if isinstance(piece, Member):
                        yield piece
                    elif isinstance(piece, Entry):
                        spool.add(piece)
                    else:
                        self._note(piece)
                self._through(encoded)
            yield from spool.documents()
        if self._request.format not in WITHOUT_RECORD or self._claimed.job.params.get(
            "destination"
        ):
            yield Member(RECORD_NAME, json_file(self._record()))

    def finish(self, facts: dict[str, Any], object_key: str | None, stored_bytes: int) -> None:
        """End the job.

        Raises:
            LeaseLost, JobOver: somebody else has the chunk, or the job is over.
        """
        report = self._report().model_dump(mode="json")
        self._waiting.end = {"export": self._claimed.job.id, **facts, "report": report}
        self._waiting.object_key = object_key
        self._waiting.stored_bytes = stored_bytes
        self._commit()

    def _encoded(self) -> Iterator[Encoded]:
        names = [c["name"] for c in self._ontology["classes"]]
        chosen = self._request.filters.classes
        encoder = Encoder(
            self._runtime.objects,
            self._runtime.image_limits,
            self._exporter,
            num_classes=len(names),
            wanted=None if chosen is None else [names.index(name) for name in chosen],
            include_images=self._options.include_images,
        )
        pages = export_sources.walk(
            self._runtime.catalog,
            self._request.source,
            self._request.filters,
            self._ontology,
            self._claimed.job.id,
        )
        return encoder.encode_all(pages)

    def _through(self, encoded: Encoded) -> None:
        if encoded.left_out is not None:
            self._left_out[encoded.left_out] += 1
            self._waiting.left_out += 1
        else:
            item = ThroughItem(
                encoded.external_id, encoded.stem or "-", encoded.quality, encoded.problem
            )
            self._waiting.items.append(item)
            self._labels += encoded.problem is None
        if encoded.stem and self._is_renamed(encoded):
            self._note(
                Loss(
                    "names-changed",
                    "Names that are no file names, or are those of other images without their "
                    f"suffix, were changed: '{encoded.external_id[:80]}' is '{encoded.stem[:80]}'.",
                )
            )
        self._runtime.progress.tick("working")
        if self._runtime.draining.is_set():
            raise Draining
        late = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if late or len(self._waiting.items) >= COMMIT_ITEMS:
            self._commit()

    def _is_renamed(self, encoded: Encoded) -> bool:
        if self._request.format == "cityscapes":  # its manifest says which is which
            return False
        return encoded.stem != without_suffix(encoded.external_id)

    def _note(self, loss: Loss) -> None:
        if self._strict and loss.is_loss:
            raise JobHopeless(
                ExportLossyRefused(
                    f"{loss.detail} It was asked for with `Prefer: handling=strict`, which allows "
                    "no loss."
                )
            )
        self._losses.setdefault(loss.code, loss)
        self._lost_by[loss.code] += 1

    def _commit(self) -> None:
        """Commit what waits.

        Raises:
            LeaseLost, JobOver: stop working on this chunk.
            QuotaExceeded: who asked may not store so much.
        """
        work, self._waiting = self._waiting, ExportCommit()
        self._committed_at = time.monotonic()
        runtime = self._runtime
        if not exports.commit(runtime.catalog, self._claimed.lease, work, runtime.settings):
            raise JobOver("export")

    def _record(self) -> dict[str, Any]:
        asked = self._request.model_dump(mode="json")
        return {**asked, "classes": self._ontology, **self._report().model_dump(mode="json")}

    def _report(self) -> ExportReport:
        planned = losses_of(self._request, self._ontology, self._claimed.job.params["origin"])
        found = [
            ExportLoss(
                code=loss.code,
                detail=loss.detail,
                is_loss=loss.is_loss,
                may_happen=False,
                labels=self._lost_by[code],
            )
            for code, loss in self._losses.items()
        ]
        losses = [loss for loss in planned if not loss.may_happen] + found
        return ExportReport(
            labels=self._labels,
            left_out=dict(self._left_out),
            losses=losses,
            lossless=not any(loss.is_loss for loss in losses),
        )
