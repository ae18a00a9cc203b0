"""Archives that nobody vouches for, read as a stream of members: zip, tar and tar.gz.

Nothing is unpacked to a path, headers are taken for claims, and one bad member harms one member.
Archives inside archives are never opened. Only formats are read whose unpacking can be bounded
while it goes on, and whose cost does not depend on what the file asks for: xz and Zstandard let
their header choose the memory, and bzip2 a ratio of one to tens of thousands.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal

from formats.archive_members import ArchiveMember
from formats.archive_rules import ArchiveLimits
from formats.sniffing import IMAGE_KINDS, sniff_media
from formats.tar_archives import iter_tar_members, looks_like_tar, looks_like_tar_gz
from formats.zip_archives import iter_zip_members, looks_like_zip

__all__ = [
    "ArchiveMember",
    "archive_kind",
    "iter_archive_members",
    "iter_zip_members",
    "looks_like_zip",
]
ArchiveKind = Literal["zip", "tar", "tar.gz"]


def archive_kind(head: bytes) -> ArchiveKind | None:
    """Return the kind of archive that starts with `head`, None if it is opened as no archive.

    The head decides, whatever is appended to the file: an image with a zip behind it is an image.

    Args:
        head: the first `formats.sniffing.ARCHIVE_HEAD_BYTES`, or all there are.
    """
    if looks_like_zip(head):
        return "zip"
    if looks_like_tar_gz(head):
        return "tar.gz"
    if sniff_media(head) not in IMAGE_KINDS and looks_like_tar(head):
        return "tar"
    return None


def iter_archive_members(
    file: BinaryIO, limits: ArchiveLimits, *, tick: Callable[[], None] = lambda: None
) -> Iterator[ArchiveMember]:
    """Yield the files of an archive in its own order, bad ones with their problem.

    Folders, hidden files and what macOS and Windows leave behind are passed over in silence.

    Args:
        file: seekable binary file; left open.
        limits: bounds; sizes are checked as claimed first and as real while reading.
        tick: called now and then while the archive is looked through.

    Raises:
        InputRefused: `not-an-archive`, `archive-unsafe` or `archive-too-large` for the archive
            as a whole, before the first member.
        OSError: the file itself could not be read.
    """
    file.seek(0)
    kind = archive_kind(file.read(1024))
    if kind in ("tar", "tar.gz"):
        return iter_tar_members(file, limits, gzipped=kind == "tar.gz", tick=tick)
    return iter_zip_members(file, limits)
