"""What an ingest job reads, one entry at a time, from any place on: lists, listings, uploads."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from api_schemas.problems import InputProblem, SourceProblem, SourceUnreachable
from formats.errors import InputRefused
from formats.manifests import ManifestLine, read_manifest
from formats.names import clean_file_name
from storage.remote.sources import RemoteSource
from workers.run_chunk import JobHopeless

LISTING_PAUSES_SECONDS: Final = (1.0, 4.0, 15.0, 40.0)
_SPOOL_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class Entry:
    """One thing to fetch: a file, or an archive of files.

    Attributes:
        here: where to begin again in order to meet this entry first.
        next: where to go on after it.
        reference: what to ask the source for; None if the list was wrong here.
        name: what it is called, clean.
        external_id: what its owner calls it, clean.
        problem: what was wrong with the list.
    """

    here: Any
    next: Any
    reference: str | None
    name: str
    external_id: str | None = None
    problem: dict[str, Any] | None = None


@contextmanager
def spooled(pieces: Iterator[bytes]) -> Iterator[IO[bytes]]:
    """Yield a seekable local copy of a stream, at its start."""
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as file:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
        yield file


def listed_entries(file: IO[bytes], start: int | None) -> Iterator[Entry]:
    """Yield the files of a work list from line `start` on.

    Raises:
        InputRefused: it is no list.
    """
    file.seek(0)
    for line in read_manifest(file):
        if start is None or line.number >= start:
            yield _of_line(line)


def count_lines(file: IO[bytes]) -> int:
    """Return how many files a work list names.

    Raises:
        InputRefused: it is no list.
    """
    file.seek(0)
    return sum(1 for _ in read_manifest(file))


def _of_line(line: ManifestLine) -> Entry:
    here, following = line.number, line.number + 1
    if line.reference is None:
        problem = InputProblem("manifest-invalid", line.problem or "The line cannot be read.")
        return Entry(here, following, None, f"line {line.number}", problem=problem.to_json())
    external_id = None if line.external_id is None else clean_file_name(line.external_id)
    return Entry(here, following, line.reference, name_of(line.reference), external_id)


def name_of(reference: str) -> str:
    """Return what a file is called: the end of a URL's path, or the whole of a key."""
    scheme, separator, rest = reference.partition("://")
    if not separator:
        return clean_file_name(reference.partition("?")[0])
    if scheme == "s3":
        return clean_file_name(rest.partition("/")[2])
    try:
        path = urlsplit(reference).path
    except ValueError:
        return clean_file_name("")
    return clean_file_name(unquote(path).rpartition("/")[2])


def bucket_entries(
    source: RemoteSource,
    prefix: str,
    suffixes: list[str],
    max_files: int | None,
    start: dict[str, Any] | None,
    wait: Callable[[float], None],
) -> Iterator[Entry]:
    """Yield the files below a prefix, in the order of their keys.

    Args:
        start: an entry's `here` or `next`.
        wait: sleeps between two tries of a listing that fails.

    Raises:
        JobHopeless: it cannot be listed.
    """
    start = start or {"after": None, "seen": 0}
    seen, after = int(start["seen"]), start.get("after")
    if "key" in start:  # in the middle of an archive: it comes first, whatever was added since
        after = start["key"]
        seen += 1
        yield _of_key(after, seen)
    for key in _keys(source, prefix, suffixes, after, wait):
        if max_files is not None and seen >= max_files:
            return
        seen += 1
        yield _of_key(key, seen)


def _of_key(key: str, seen: int) -> Entry:
    here = {"key": key, "seen": seen - 1}
    return Entry(here, {"after": key, "seen": seen}, key, clean_file_name(key))


def _keys(
    source: RemoteSource,
    prefix: str,
    suffixes: list[str],
    after: str | None,
    wait: Callable[[float], None],
) -> Iterator[str]:
    failures = 0
    while True:
        try:
            for found in source.iterate(prefix, suffixes=suffixes, start_after=after):
                failures = 0
                after = found.key
                yield found.key
            return
        except SourceUnreachable as problem:
            if failures == len(LISTING_PAUSES_SECONDS):
                raise JobHopeless(problem) from problem
            wait(LISTING_PAUSES_SECONDS[failures])
            failures += 1
        except SourceProblem as problem:
            raise JobHopeless(problem) from problem


def as_hopeless(refusal: InputRefused) -> JobHopeless:
    """Return the end of a job whose list cannot be read."""
    detail = f"{refusal.detail} {refusal.hint}" if refusal.hint else refusal.detail
    return JobHopeless(InputProblem(refusal.code, detail))
