"""Manifests: lists of files elsewhere, one a line, read without holding the whole."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from formats.errors import InputRefused

MAX_REFERENCE_CHARS: Final = 8192
MAX_EXTERNAL_ID_CHARS: Final = 512
_REFERENCE_FIELDS: Final = ("url", "key", "source-ref")  # the last as SageMaker Ground Truth has it
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ManifestLimits:
    """How large a manifest may be; `max_lines` counts blank lines too."""

    max_line_bytes: int = 64 << 10
    max_lines: int = 2_000_000


@dataclass(frozen=True)
class ManifestLine:
    """One line that is not blank: a reference to a file, or what is wrong with the line."""

    number: int
    reference: str | None = None
    external_id: str | None = None
    problem: str | None = None


def read_manifest(
    file: IO[bytes], limits: ManifestLimits = ManifestLimits()
) -> Iterator[ManifestLine]:
    """Yield the lines of a manifest.

    A line is a URL, a key, or a JSON object with one of `url`, `key`, `source-ref`, and perhaps
    `external_id`. Other fields are ignored: Ground Truth writes its labels beside. A line that
    cannot be read is yielded with its problem; the others are not harmed.

    Raises:
        InputRefused: `manifest-too-large`, or `manifest-invalid` where it is no text at all.
    """
    number = 0
    while raw := file.readline(limits.max_line_bytes + 1):
        number += 1
        if number > limits.max_lines:
            raise InputRefused(
                "manifest-too-large",
                f"The manifest has more than {limits.max_lines} lines. Split it.",
            )
        if number == 1:
            raw = raw.removeprefix(_BOM)
            _check_text(raw)
        if len(raw) > limits.max_line_bytes:
            _skip_line(file, raw, limits.max_line_bytes)
            yield ManifestLine(
                number, problem=f"The line is longer than {limits.max_line_bytes} bytes."
            )
            continue
        line = _read_line(number, raw)
        if line is not None:
            yield line


def _check_text(first: bytes) -> None:
    if b"\x00" in first or first.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise InputRefused(
            "manifest-invalid",
            "The manifest is not UTF-8 text with one file a line. Unpack it if it is compressed.",
        )


def _skip_line(file: IO[bytes], raw: bytes, piece_bytes: int) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(piece_bytes)


def _read_line(number: int, raw: bytes) -> ManifestLine | None:
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return ManifestLine(number, problem="The line is not UTF-8.")
    if not text:
        return None
    if not text.startswith(("{", "[", '"')):
        return _checked(number, text, None)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ManifestLine(number, problem="The line begins like JSON, but is not valid JSON.")
    if not isinstance(document, dict):
        return ManifestLine(number, problem="The line is JSON, but not an object.")
    return _from_object(number, document)


def _from_object(number: int, document: dict[str, Any]) -> ManifestLine:
    given = [name for name in _REFERENCE_FIELDS if document.get(name) is not None]
    if len(given) != 1:
        return ManifestLine(
            number, problem="The object needs exactly one of 'url', 'key' and 'source-ref'."
        )
    external_id = document.get("external_id")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        external_id = str(external_id)
    if external_id is not None and (
        not isinstance(external_id, str) or not 0 < len(external_id) <= MAX_EXTERNAL_ID_CHARS
    ):
        return ManifestLine(
            number,
            problem=f"'external_id' must be 1 to {MAX_EXTERNAL_ID_CHARS} characters of text.",
        )
    return _checked(number, document[given[0]], external_id)


def _checked(number: int, reference: Any, external_id: str | None) -> ManifestLine:
    if not isinstance(reference, str) or not reference:
        return ManifestLine(number, problem="The reference to the file is not text.")
    if len(reference) > MAX_REFERENCE_CHARS:
        return ManifestLine(
            number, problem=f"The reference is longer than {MAX_REFERENCE_CHARS} characters."
        )
    for text in (reference, external_id or ""):
        # also lone surrogates, which JSON can spell and no database can store
        if not text.isprintable():
            return ManifestLine(number, problem="The line has characters that cannot be shown.")
    return ManifestLine(number, reference=reference, external_id=external_id)
