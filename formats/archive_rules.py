"""What an archive and its members must be like, judged by their headers alone."""

import stat
import zipfile
from dataclasses import dataclass
from typing import Final

from formats.errors import InputRefused

_ACCEPTED_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED_FLAG: Final = 0x1
UTF8_FLAG: Final = 0x800
_JUNK_FOLDER: Final = "__MACOSX"
_JUNK_FILES: Final = frozenset({"thumbs.db", "desktop.ini"})
# Below this size a high ratio harms nobody: a black frame compresses well.
_RATIO_FREE_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class ArchiveLimits:
    """What one archive may cost.

    Attributes:
        max_entries: files and folders, junk included.
        max_total_bytes: all members together, unpacked.
        max_ratio: unpacked to packed bytes, for members and archives beyond 1 MiB.
        max_member_bytes: one member, unpacked.
    """

    max_entries: int = 100_000
    max_total_bytes: int = 20_000_000_000
    max_ratio: int = 200
    max_member_bytes: int = 100_000_000


def readable_name(info: zipfile.ZipInfo) -> str:
    """Return the name, as UTF-8 where the archive has it without saying so (macOS, old Linux)."""
    if info.flag_bits & UTF8_FLAG:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return info.orig_filename


def _parts(raw_name: str) -> list[str]:
    return [part for part in raw_name.replace("\\", "/").split("/") if part != "."]


def is_junk(raw_name: str) -> bool:
    """Tell whether an entry is a folder, hidden, or left behind by macOS or Windows."""
    parts = _parts(raw_name)
    if ".." in parts:
        return False
    if not parts or parts[-1] == "":  # a folder; `is_dir` fails on a name that begins with NUL
        return True
    hidden = any(part.startswith(".") for part in parts)
    return hidden or _JUNK_FOLDER in parts or parts[-1].lower() in _JUNK_FILES


def member_problem(info: zipfile.ZipInfo, limits: ArchiveLimits) -> InputRefused | None:
    """Return why a member must not be read, None if its header gives no reason."""
    return name_problem(info.orig_filename) or _kind_problem(info) or _size_problem(info, limits)


def name_problem(raw_name: str) -> InputRefused | None:
    """Return what is wrong with the name of a member that is no junk."""
    parts = _parts(raw_name)
    absolute = parts[0] == "" or parts[0][1:2] == ":"
    if absolute or ".." in parts or "\x00" in raw_name:
        return InputRefused(
            "name-unsafe",
            "The name in the archive is absolute, leads out of its folder or holds a NUL; "
            "use relative names.",
        )
    return None


def _kind_problem(info: zipfile.ZipInfo) -> InputRefused | None:
    file_type = stat.S_IFMT(info.external_attr >> 16)
    if file_type not in (0, stat.S_IFREG):
        return special_file()
    if info.flag_bits & _ENCRYPTED_FLAG:
        return InputRefused("archive-unsafe", "The member is encrypted; pack without a password.")
    if info.compress_type not in _ACCEPTED_METHODS:
        return InputRefused(
            "archive-unsafe",
            "The member is compressed by a method that is not accepted; "
            "use deflate (the usual one) or store.",
        )
    return None


def _size_problem(info: zipfile.ZipInfo, limits: ArchiveLimits) -> InputRefused | None:
    if info.file_size > limits.max_member_bytes:
        return member_too_large(limits.max_member_bytes)
    if _is_bomb(info.file_size, info.compress_size, limits):
        return InputRefused(
            "archive-unsafe",
            f"The member unpacks to more than {limits.max_ratio} times its packed size.",
            "Send the file by itself, or save it as PNG first.",
        )
    return None


def special_file() -> InputRefused:
    return InputRefused(
        "archive-unsafe",
        "The member is a link or a special file; pack the file that it points to.",
    )


def _is_bomb(unpacked_bytes: int, packed_bytes: int, limits: ArchiveLimits) -> bool:
    return unpacked_bytes > max(_RATIO_FREE_BYTES, limits.max_ratio * packed_bytes)


def check_total(total_bytes: int, archive_bytes: int, limits: ArchiveLimits) -> None:
    """Raise `InputRefused` when the members claim to unpack to too much altogether."""
    if total_bytes > limits.max_total_bytes:
        raise total_too_large(limits.max_total_bytes)
    # Members may share their packed bytes (overlapping entries), which no ratio of one shows.
    if _is_bomb(total_bytes, archive_bytes, limits):
        raise too_dense(limits)


def most_unpacked_bytes(archive_bytes: int, limits: ArchiveLimits) -> int:
    """Return how much an archive that is packed as a whole may unpack to."""
    return max(_RATIO_FREE_BYTES, limits.max_ratio * archive_bytes)


def too_dense(limits: ArchiveLimits) -> InputRefused:
    return InputRefused(
        "archive-unsafe",
        f"The archive claims to unpack to more than {limits.max_ratio} times its size.",
    )


def too_many_entries(limits: ArchiveLimits) -> InputRefused:
    return InputRefused(
        "archive-too-large",
        f"The archive lists more than {limits.max_entries} files; split it.",
    )


def total_too_large(max_total_bytes: int) -> InputRefused:
    return InputRefused(
        "archive-too-large",
        f"The archive unpacks to more than {max_total_bytes / 1e6:g} MB; split it.",
    )


def member_too_large(max_member_bytes: int) -> InputRefused:
    return InputRefused(
        "archive-too-large",
        f"The member unpacks to more than the {max_member_bytes / 1e6:g} MB "
        "that one file may have.",
    )


def unreadable() -> InputRefused:
    return InputRefused(
        "archive-member-unreadable",
        "The member is damaged inside the archive; pack and upload it again.",
    )
