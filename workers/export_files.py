"""Where the files of an export go: a zip in the store, or a prefix of a bucket."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import IO, Final

from formats.exports.base import Document, Entry, Member, Section
from formats.zip_writer import ZipStream, packed
from storage.remote.s3_writing import S3Target

_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class DocumentFile:
    """A document whose entries are all there; `pieces` reads it."""

    path: str
    pieces: Callable[[], Iterator[bytes]]


ExportFile = Member | DocumentFile


class Spool:
    """Entries of documents, on disk until the end. Use it in a `with` block."""

    def __init__(self, documents: tuple[Document, ...]) -> None:
        self._documents = documents
        self._stack = ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        self._separators: dict[str, bytes] = {}
        for document in documents:
            for part in document.parts:
                if isinstance(part, Section):
                    file = self._stack.enter_context(TemporaryFile())  # noqa: SIM115
                    self._files[part.name] = file
                    self._separators[part.name] = part.separator

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, entry: Entry) -> None:
        """Keep an entry.

        Raises:
            OSError: the disk is full.
        """
        file = self._files[entry.section]
        if file.tell():
            file.write(self._separators[entry.section])
        file.write(entry.text)

    def documents(self) -> Iterator[DocumentFile]:
        """Yield the documents; read each before the next."""
        for document in self._documents:
            yield DocumentFile(document.path, partial(self._read, document))

    def _read(self, document: Document) -> Iterator[bytes]:
        for part in document.parts:
            if isinstance(part, bytes):
                yield part
                continue
            file = self._files[part.name]
            file.seek(0)
            while piece := file.read(_PIECE_BYTES):
                yield piece


class ZipSink:
    """Turns files into the bytes of a zip, and knows afterwards what they were."""

    def __init__(self) -> None:
        self.files = 0
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def bytes_of(self, files: Iterator[ExportFile]) -> Iterator[bytes]:
        """Yield the archive."""
        for piece in self._zipped(files):
            self.size_bytes += len(piece)
            self._digest.update(piece)
            yield piece

    def _zipped(self, files: Iterator[ExportFile]) -> Iterator[bytes]:
        with ZipStream() as stream:
            for file in files:
                self.files += 1
                if isinstance(file, Member):
                    yield from stream.member(file.path, file.data)
                    continue
                with packed(file.pieces()) as content:
                    yield from stream.file(file.path, content)
            yield from stream.end()


class BucketSink:
    """Puts files one by one; the last one is the last."""

    def __init__(self, target: S3Target) -> None:
        self._target = target
        self.files = 0
        self.size_bytes = 0

    def put_all(self, files: Iterator[ExportFile]) -> None:
        """Put every file.

        Raises:
            DestinationRefused, SourceProblem: one was not taken.
        """
        for file in files:
            self.files += 1
            if isinstance(file, Member):
                self.size_bytes += self._target.put(file.path, io.BytesIO(file.data))
                continue
            with TemporaryFile() as spooled:
                for piece in file.pieces():
                    spooled.write(piece)
                self.size_bytes += self._target.put(file.path, spooled)
