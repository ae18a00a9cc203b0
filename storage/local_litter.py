"""What a writer that was killed leaves in a local store: files that never became objects.

The store writes to `name#number` and renames when all bytes are there, so an object is whole or
not there at all. Listings do not show such files.
"""

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_STAGED: Final = re.compile(r".+#\d+")


def remove_staged_files(folder: Path, older_than_seconds: float) -> int:
    """Delete staged files that nobody has written to for so long; returns how many.

    Raises:
        OSError: a folder cannot be read, or a file not removed.
    """
    before = time.time() - older_than_seconds
    removed = 0
    for path in folder.rglob("*#*"):
        if not _STAGED.fullmatch(path.name):
            continue
        with suppress(FileNotFoundError):  # its writer was alive after all, and has finished
            if path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed
