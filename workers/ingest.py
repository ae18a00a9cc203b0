"""Ingest: fetch what a source holds ▸ look at it ▸ store images ▸ entries of the set. No torch.

Files are fetched a few at a time and taken in order. A file that cannot be fetched or used is an
entry with a reason; it harms no other.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any, BinaryIO, Final, cast

from api_schemas.problems import (
    InputProblem,
    NotFound,
    SecretsUnreadable,
    SourceMissing,
    SourceProblem,
    StorageFull,
    WorkerLost,
)
from domain import image_sets, ingest
from domain.connections import open_source
from domain.image_sets import ReceivedFile
from domain.leases import ClaimedChunk
from formats.errors import InputRefused
from formats.found_files import IntakeLimits, found_files, is_archive, look_at, rejected
from storage.objects import ObjectMissing
from storage.remote.sources import RemoteSource
from workers.committing import Draining
from workers.ingest_entries import (
    Entry,
    as_hopeless,
    bucket_entries,
    count_lines,
    listed_entries,
    spooled,
)
from workers.ingest_writer import IngestWriter, behind
from workers.run_chunk import JobHopeless
from workers.runtime import Runtime, log

FETCH_THREADS: Final = 8
LOOK_UP_SECONDS: Final = 2.0
ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
CHANGED: Final = InputProblem(
    "source-changed",
    "The archive changed at its source while it was being read. What came before is kept; add the "
    "rest as a set of its own.",
)
DEADLY: Final = WorkerLost(
    "A worker died each time that it worked on this file, so the file was set aside. Check it, or "
    "give the worker more memory."
)


@dataclass
class Fetched:
    """What came of one entry: files that are through, or an archive that is open."""

    files: list[ReceivedFile]
    archive: IO[bytes] | None = None
    sha256: str | None = None
    closing: ExitStack | None = None

    def close(self) -> None:
        if self.closing is not None:
            self.closing.close()


def ingest_chunk(runtime: Runtime, claimed: ClaimedChunk) -> None:
    """Fill the image set of a job from where it stands.

    Raises:
        LeaseLost, JobOver, Draining: stop working on this chunk.
        JobHopeless: the source as a whole cannot be read.
        StorageUnavailable: the object store failed; try the chunk again.
    """
    source: dict[str, Any] = claimed.job.params["source"]
    writer = IngestWriter(runtime, claimed)
    try:
        with ExitStack() as stack:
            taker = _Taker(runtime, writer)
            if source["type"] == "upload":
                _take_upload(stack, runtime, taker, source)
            else:
                _take_remote(stack, runtime, taker, source, claimed)
        writer.close()
    except Draining:
        writer.flush()
        raise
    except OSError as error:
        raise StorageFull("The disk of the light worker is full or fails. Make room.") from error
    _forget_list(runtime, source)


def _take_upload(
    stack: ExitStack, runtime: Runtime, taker: "_Taker", source: dict[str, Any]
) -> None:
    try:
        pieces = runtime.objects.open_stream(source["object_key"])
        file = stack.enter_context(spooled(_ticking(pieces, taker.writer.look_up)))
    except ObjectMissing as error:
        raise JobHopeless(SourceMissing("The bytes of the upload are gone.")) from error
    name = str(source["file_name"])
    entry = Entry(here=0, next=1, reference=None, name=name)
    if taker.writer.place["at"] != entry.next:
        taker.take(entry, Fetched([], archive=file))


def _take_remote(
    stack: ExitStack,
    runtime: Runtime,
    taker: "_Taker",
    source: dict[str, Any],
    claimed: ClaimedChunk,
) -> None:
    try:
        remote = stack.enter_context(
            open_source(runtime.catalog, runtime.settings, source.get("connection_id"))
        )
    except (NotFound, SecretsUnreadable, SourceProblem) as problem:
        raise JobHopeless(problem) from problem
    entries = _entries(stack, runtime, taker.writer, remote, source, claimed)
    try:
        taker.take_all(remote, entries)
    except InputRefused as refusal:
        raise as_hopeless(refusal) from refusal


def _entries(
    stack: ExitStack,
    runtime: Runtime,
    writer: IngestWriter,
    remote: RemoteSource,
    source: dict[str, Any],
    claimed: ClaimedChunk,
) -> Iterator[Entry]:
    start = writer.place["at"]
    if source["type"] == "s3_prefix":
        return bucket_entries(
            remote, source["prefix"], source["suffixes"], source["max_files"], start, writer.wait
        )
    if source["type"] == "manifest" and start is None:
        _keep_manifest(runtime, writer, remote, source)
    try:
        pieces = runtime.objects.open_stream(source["worklist"])
        file = stack.enter_context(spooled(_ticking(pieces, writer.tick)))
    except ObjectMissing as error:
        raise JobHopeless(SourceMissing("The list of files is gone.")) from error
    if start is None:
        try:
            ingest.expect(runtime.catalog, claimed.lease, count_lines(file))
        except InputRefused as refusal:
            raise as_hopeless(refusal) from refusal
    return listed_entries(file, start)


def _keep_manifest(
    runtime: Runtime, writer: IngestWriter, remote: RemoteSource, source: dict[str, Any]
) -> None:
    """Keep a copy: the list must not change between two workers."""
    try:
        with remote.open(
            source["manifest"],
            max_bytes=runtime.settings.max_manifest_bytes,
            on_progress=lambda _: writer.tick(),
        ) as fetched:
            runtime.objects.put_new(source["worklist"], cast(BinaryIO, fetched.file))
    except SourceProblem as problem:
        raise JobHopeless(problem) from problem


def _forget_list(runtime: Runtime, source: dict[str, Any]) -> None:
    if "worklist" in source:
        runtime.objects.delete([source["worklist"]])


def _ticking(pieces: Iterator[bytes], tick: Callable[[], None]) -> Iterator[bytes]:
    for piece in pieces:
        tick()
        yield piece


class _Taker:
    """Takes entries in order, from the place on that the last commit left."""

    def __init__(self, runtime: Runtime, writer: IngestWriter) -> None:
        self.writer = writer
        self._objects = runtime.objects
        self._settings = runtime.settings
        self._limits = IntakeLimits(runtime.image_limits, runtime.archive_limits)
        self._stopped = threading.Event()

    def take_all(self, remote: RemoteSource, entries: Iterator[Entry]) -> None:
        with self._fetched_ahead(remote, entries) as pairs:
            for entry, fetched in pairs:
                try:
                    self.take(entry, fetched)
                finally:
                    fetched.close()

    def take(self, entry: Entry, fetched: Fetched) -> None:
        """Take what came of one entry."""
        if fetched.archive is not None:
            self._take_archive(entry, fetched, fetched.archive)
        for file in fetched.files:
            named = replace(file, external_id=entry.external_id)
            self.writer.add(named, behind(entry.next))
        self.writer.pass_on(entry.next)

    def _take_archive(self, entry: Entry, fetched: Fetched, archive: IO[bytes]) -> None:
        place = self.writer.place
        taken = int(place["taken"]) if place["at"] == entry.here else 0
        if taken and place.get("sha256") != fetched.sha256:
            fetched.files = [_with_problem(entry, CHANGED.to_json())]
            return
        try:
            self._take_members(entry, fetched, archive, taken)
        except InputRefused as refusal:  # the archive as a whole
            fetched.files = [_with_problem(entry, rejected(entry.name, refusal).problem)]

    def _take_members(self, entry: Entry, fetched: Fetched, archive: IO[bytes], taken: int) -> None:
        def place() -> dict[str, Any]:
            return {"at": entry.here, "taken": taken, "sha256": fetched.sha256}

        if taken and not self.writer.try_file(entry.here, taken):
            taken += 1
            self.writer.add(_with_problem(entry, DEADLY.to_json()), place())
        members = found_files(
            entry.name,
            cast(BinaryIO, archive),
            self._limits,
            skip=taken,
            tick=self.writer.look_up,
        )
        for found in members:
            file = _inside(image_sets.store(self._objects, found), entry)
            taken += 1
            self.writer.add(file, place())
            self.writer.try_file(entry.here, taken)

    @contextmanager
    def _fetched_ahead(
        self, remote: RemoteSource, entries: Iterator[Entry]
    ) -> Iterator[Iterator[tuple[Entry, Fetched]]]:
        """Yield entries with what came of them, in order, some of them fetched ahead."""
        pending: deque[tuple[Entry, Future[Fetched] | None]] = deque()
        with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
            try:
                yield self._in_order(pool, remote, entries, pending)
            finally:
                self._stopped.set()
                for _, future in pending:
                    if future is not None and not future.cancel():
                        _close_unused(future)

    def _in_order(
        self,
        pool: ThreadPoolExecutor,
        remote: RemoteSource,
        entries: Iterator[Entry],
        pending: deque[tuple[Entry, Future[Fetched] | None]],
    ) -> Iterator[tuple[Entry, Fetched]]:
        for entry in entries:
            if self.writer.is_careful:
                while pending:
                    yield self._next(remote, pending)
                if self._is_begun(entry) or self.writer.try_file(entry.here, 0):
                    yield entry, self._fetch(remote, entry)
                else:
                    yield entry, Fetched([_with_problem(entry, DEADLY.to_json())])
                continue
            # an archive may fill a disk: one at a time
            ahead = None if _is_archive_name(entry) else pool.submit(self._fetch, remote, entry)
            pending.append((entry, ahead))
            if len(pending) >= FETCH_THREADS:
                yield self._next(remote, pending)
        while pending:
            yield self._next(remote, pending)

    def _is_begun(self, entry: Entry) -> bool:
        place = self.writer.place
        return bool(place["at"] == entry.here and place["taken"])

    def _next(
        self, remote: RemoteSource, pending: deque[tuple[Entry, Future[Fetched] | None]]
    ) -> tuple[Entry, Fetched]:
        entry, future = pending[0]
        if future is None:
            pending.popleft()
            return entry, self._fetch(remote, entry, self.writer.look_up)
        while not future.done():
            wait([future], timeout=LOOK_UP_SECONDS)
            self.writer.look_up()
        pending.popleft()
        return entry, future.result()

    def _fetch(
        self,
        remote: RemoteSource,
        entry: Entry,
        tick: Callable[[], None] | None = None,
    ) -> Fetched:
        """Fetch one entry; if it is no archive, look at it and store it as well."""
        if entry.reference is None:
            return Fetched([_with_problem(entry, entry.problem)])
        settings, show_life = self._settings, tick or self._show_life
        max_bytes = settings.max_image_bytes
        if _is_archive_name(entry):
            max_bytes = settings.max_upload_bytes
        with ExitStack() as stack:
            try:
                opened = remote.open(
                    entry.reference, max_bytes=max_bytes, on_progress=lambda _: show_life()
                )
                fetched = stack.enter_context(opened)
            except SourceProblem as problem:
                return Fetched([_with_problem(entry, problem.to_json())])
            file = cast(BinaryIO, fetched.file)
            if is_archive(file):
                return Fetched([], fetched.file, fetched.sha256, stack.pop_all())
            found = look_at(entry.name, file, self._limits.image)
            return Fetched([image_sets.store(self._objects, found)])

    def _show_life(self) -> None:
        """Tick from another thread, and end a fetch that nobody waits for any more."""
        if self._stopped.is_set():
            raise Draining
        self.writer.tick()


def _close_unused(future: Future[Fetched]) -> None:
    try:
        future.result().close()
    except Exception as error:  # the chunk ends for another reason, which is told
        log.info("a file fetched ahead was dropped", error=type(error).__name__)


def _is_archive_name(entry: Entry) -> bool:
    return entry.name.lower().endswith(ARCHIVE_SUFFIXES)


def _with_problem(entry: Entry, problem: dict[str, Any] | None) -> ReceivedFile:
    return ReceivedFile(entry.name, None, problem=problem)


def _inside(file: ReceivedFile, entry: Entry) -> ReceivedFile:
    if entry.external_id is None:
        return file
    return replace(file, external_id=f"{entry.external_id}/{file.file_name}")
