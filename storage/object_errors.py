"""What a store says when it fails → problems that say what to do, without a path of the machine."""

import errno
import os
import re

from api_schemas.problems import StorageFull, StorageReadOnly, StorageUnavailable

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHORT_SECONDS, _LONG_SECONDS = "5", "60"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def storage_problem(error: Exception) -> StorageUnavailable:
    """Return the problem for an error of the store's library or of the operating system."""
    number = _errno(error)
    if number in _FULL:
        return disk_full()
    if number in _READ_ONLY:
        return StorageReadOnly(
            "The object store cannot be written to. Reading works; ask the operator to make the "
            "folder of the objects writable for the service, then send the request again.",
            headers={"Retry-After": _LONG_SECONDS},
        )
    return StorageUnavailable(
        f"The object store failed ({_name(error, number)}). Nothing was lost; try again shortly.",
        headers={"Retry-After": _SHORT_SECONDS},
    )


def disk_full() -> StorageFull:
    """Return the problem for a disk with no room left."""
    return StorageFull(
        "The disk of the object store is full. Nothing was lost; ask the operator to free space "
        "(`selvage gc`) or to add a disk, then send the request again.",
        headers={"Retry-After": _LONG_SECONDS},
    )


def is_full_disk(error: OSError) -> bool:
    """Whether the operating system refused to write for want of room."""
    return error.errno in _FULL


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(str(error))  # obstore has no other field for it
    return int(found.group(1)) if found else None


def _name(error: Exception, number: int | None) -> str:
    """A word for the reader; the error's own text would show paths and addresses."""
    return os.strerror(number) if number else type(error).__name__
