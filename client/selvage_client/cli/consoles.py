"""Results go to stdout, everything else (bars, notes, errors) to stderr."""

import sys
from typing import Final

from rich.console import Console

PIPED_COLUMNS: Final = 160


def output_console() -> Console:
    """Return stdout; where it is no terminal, lines are long enough for whole tables."""
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)


def errors_console() -> Console:
    return Console(stderr=True)
