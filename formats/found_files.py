"""What a file that came in holds: one image, or an archive of them, looked at one by one."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

from api_schemas.problems import InputProblem
from formats.archive_rules import ArchiveLimits
from formats.archives import ArchiveMember, archive_kind, iter_archive_members
from formats.decode import ImageHeader, inspect_image
from formats.errors import InputRefused
from formats.names import clean_file_name
from formats.opening import ImageLimits
from formats.sniffing import (
    ARCHIVE_HEAD_BYTES,
    PACKED_KINDS,
    name_mismatch,
    sniff_media,
)

_COPY_BYTES: Final = 1 << 20
_SPOOL_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class FoundFile:
    """One file, with what is known of it.

    Attributes:
        name: relative path with forward slashes, clean to show and store.
        file: the content of an image, at its start; usable until the next one is asked for.
        image: digest, media type and sizes of an image, None where the file is rejected.
        note: something odd that does no harm.
        problem: document that says why the file is rejected.
    """

    name: str
    file: BinaryIO | None
    image: dict[str, Any] | None
    note: str | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class IntakeLimits:
    image: ImageLimits
    archive: ArchiveLimits


def nothing() -> None:
    """Do nothing: a `tick` for who does not care."""


def is_archive(file: BinaryIO) -> bool:
    """Tell by its head whether a file is opened as an archive; leaves it at its start."""
    return archive_kind(_head(file)) is not None


def found_files(
    name: str,
    file: BinaryIO,
    limits: IntakeLimits,
    *,
    skip: int = 0,
    tick: Callable[[], None] = nothing,
) -> Iterator[FoundFile]:
    """Yield the image in `file`, or all files in the archive that it is.

    Args:
        name: as its owner calls it.
        file: seekable; left open.
        skip: so many files of an archive are passed over: they were taken before.
        tick: called now and then while nothing is yielded.

    Raises:
        InputRefused: an archive that is unsafe or broken as a whole, before its first file.
        OSError: the file itself could not be read.
    """
    if not is_archive(file):
        if not skip:
            yield look_at(clean_file_name(name), file, limits.image)
        return
    for number, member in enumerate(iter_archive_members(file, limits.archive, tick=tick)):
        tick()
        if number >= skip:
            yield from _look_into(member, limits.image)


def look_at(name: str, file: BinaryIO, limits: ImageLimits) -> FoundFile:
    """Return what is known of a single file from its header and its bytes.

    Raises:
        OSError: the file itself could not be read.
    """
    try:
        header = inspect_image(file, limits)
    except InputRefused as error:
        return rejected(name, error)
    digest, size_bytes = _digest(file)
    image = {
        "digest": digest,
        "media_type": f"image/{header.format.lower()}",
        "size_bytes": size_bytes,
        "width_px": header.width_px,
        "height_px": header.height_px,
    }
    return FoundFile(name, file, image, note=_note(name, header))


def _note(name: str, header: ImageHeader) -> str | None:
    notes = [name_mismatch(name, header.format)]
    if header.frames > 1:
        notes.append("The file holds several pictures (frames, pages); the first one is used.")
    return " ".join(note for note in notes if note) or None


def rejected(name: str, error: InputRefused) -> FoundFile:
    """Return a file that cannot be used, with the reason."""
    detail = f"{error.detail} {error.hint}" if error.hint else error.detail
    return FoundFile(name, None, None, problem=InputProblem(error.code, detail).to_json())


def _look_into(member: ArchiveMember, limits: ImageLimits) -> Iterator[FoundFile]:
    if member.problem is not None:
        yield rejected(member.name, member.problem)
        return
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spooled:
        copy = cast(BinaryIO, spooled)
        try:
            with member.open() as source:
                while piece := source.read(_COPY_BYTES):
                    copy.write(piece)
            if is_archive(copy) or sniff_media(_head(copy)) in PACKED_KINDS:
                raise InputRefused(
                    "nested-archive",
                    "The member is an archive itself, and archives in archives are not opened.",
                    "Upload it by itself, or pack its files directly.",
                )
        except InputRefused as error:
            yield rejected(member.name, error)
            return
        yield look_at(member.name, copy, limits)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(ARCHIVE_HEAD_BYTES)
    file.seek(0)
    return head


def _digest(file: BinaryIO) -> tuple[str, int]:
    file.seek(0)
    digest, size_bytes = hashlib.sha256(), 0
    while piece := file.read(_COPY_BYTES):
        digest.update(piece)
        size_bytes += len(piece)
    file.seek(0)
    return digest.hexdigest(), size_bytes
