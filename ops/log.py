"""The one log of an installation: the lines of all its processes, each behind a name."""

import logging
import re
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_OWN_NAME = "selvage"


class _PlainFormatter(logging.Formatter):
    """Leaves out the colours: they are of use on a terminal only."""

    def format(self, record: logging.LogRecord) -> str:
        return _ESCAPES.sub("", record.getMessage())


class ServiceLog:
    """Writes lines to standard error and to a file that is rotated.

    A full disk or a closed terminal costs lines, never the process (`logging` reports and goes on).

    Args:
        path: the file; older ones get the suffixes `.1` to `.5`. None: standard error only.
        console: whether lines go to standard error as well.
        max_bytes: size at which the file is rotated.
    """

    def __init__(
        self, path: Path | None, *, console: bool = True, max_bytes: int = 20 * 2**20
    ) -> None:
        # Not registered with `logging.getLogger`: two logs in one process stay apart.
        self._logger = logging.Logger(_OWN_NAME, logging.INFO)
        if path is not None:
            file_handler = RotatingFileHandler(
                path, maxBytes=max_bytes, backupCount=5, encoding="utf-8", errors="replace"
            )
            file_handler.setFormatter(_PlainFormatter())
            self._logger.addHandler(file_handler)
        if console:
            console_handler = logging.StreamHandler(sys.stderr)
            if not sys.stderr.isatty():
                console_handler.setFormatter(_PlainFormatter())
            self._logger.addHandler(console_handler)

    def line(self, name: str, text: str) -> None:
        """Write one line of the process `name`."""
        self._logger.info("%-9s | %s", name, text)

    def note(self, text: str) -> None:
        """Write one line of the supervisor itself, with the time."""
        self.line(_OWN_NAME, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}")

    def close(self) -> None:
        """Close the file."""
        for handler in list(self._logger.handlers):
            handler.close()
            self._logger.removeHandler(handler)
