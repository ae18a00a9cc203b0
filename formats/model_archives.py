"""Archives of a model: looked through by name, and unpacked into one flat folder."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from formats.archive_rules import ArchiveLimits
from formats.archives import ArchiveMember, iter_archive_members
from formats.errors import InputRefused
from formats.model_files import flat_names

COPY_BYTES: Final = 1 << 20
MAX_ENTRIES: Final = 1000


def model_limits(max_bytes: int) -> ArchiveLimits:
    """Return the bounds of an archive whose one model may have `max_bytes`."""
    return ArchiveLimits(
        max_entries=MAX_ENTRIES, max_total_bytes=max_bytes, max_member_bytes=max_bytes
    )


def look_through(
    file: BinaryIO, max_bytes: int, *, tick: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """Return path → file name of what would be unpacked, after a look at names and sizes alone.

    Raises:
        InputRefused: the archive, or any file of it, must not be taken; with the reason.
    """
    names = []
    file.seek(0)
    for member in iter_archive_members(file, model_limits(max_bytes), tick=tick):
        _require_good(member)
        names.append(member.name)
        tick()
    return flat_names(names)


def unpack(
    file: BinaryIO, folder: Path, max_bytes: int, *, tick: Callable[[], None] = lambda: None
) -> None:
    """Write the files of a model into an empty folder.

    Raises:
        InputRefused: as `look_through`, and when the content is damaged or over the bounds.
    """
    flat = look_through(file, max_bytes, tick=tick)
    file.seek(0)
    for member in iter_archive_members(file, model_limits(max_bytes), tick=tick):
        if member.name not in flat:
            continue
        with member.open() as source, (folder / flat[member.name]).open("xb") as target:
            while piece := source.read(COPY_BYTES):
                target.write(piece)
                tick()


def _require_good(member: ArchiveMember) -> None:
    if member.problem is not None:
        raise InputRefused(member.problem.code, f"'{member.name[:80]}': {member.problem.detail}")
