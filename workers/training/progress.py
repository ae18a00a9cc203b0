"""What the process that trains says of itself, line by line, checked before it is told on.

A line may be half written, absurdly long, or hold a NaN, which no JSON column takes.
"""

import json
import math
from pathlib import Path
from typing import Any, Final

MAX_NAMES: Final = 300
MAX_NAME_LENGTH: Final = 128
_READ_BYTES: Final = 1 << 20
_LONGEST_LINE_BYTES: Final = 1 << 18


class ProgressTail:
    """Reads a file that grows, from where it stands; survives one that begins anew."""

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() and not from_start else 0
        self._rest = b""

    def newest(self) -> dict[str, Any] | None:
        """Return the last line that came since the last call, or None if there is none."""
        found = None
        while data := self._read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > _LONGEST_LINE_BYTES:
                self._rest = b""
            for line in reversed(lines):
                parsed = parse_line(line)
                if parsed is not None:
                    found = parsed
                    break
        return found

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._offset:
                    self._offset, self._rest = 0, b""
                file.seek(self._offset)
                data = file.read(_READ_BYTES)
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, with finite numbers only; None if it is none of ours."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    step, steps = document.get("step"), document.get("steps")
    if not _is_count(step) or not _is_count(steps):
        return None
    return {
        "step": step,
        "steps": steps,
        "losses": _numbers(document.get("losses")),
        "figures": _figures(document.get("figures")),
        "images_per_second": _number(document.get("images_per_second")),
        "memory_bytes": _number(document.get("memory_bytes")),
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _numbers(values: Any) -> dict[str, float]:
    found = {name: _number(value) for name, value in _named(values)}
    return {name: value for name, value in found.items() if value is not None}


def _figures(values: Any) -> dict[str, float | dict[str, float]]:
    """Numbers by name, or numbers by class by name."""
    found: dict[str, float | dict[str, float]] = {}
    for name, value in _named(values):
        if isinstance(value, dict):
            found[name] = _numbers(value)
        elif (number := _number(value)) is not None:
            found[name] = number
    return found


def _named(values: Any) -> list[tuple[str, Any]]:
    if not isinstance(values, dict):
        return []
    return [
        (str(name)[:MAX_NAME_LENGTH].replace("\x00", ""), value)
        for name, value in list(values.items())[:MAX_NAMES]
    ]
