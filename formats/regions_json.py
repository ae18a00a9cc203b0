"""The regions of a label as a file: `regions.json`, and what a region in it is."""

import json
import math
from typing import Any, Final

FORMAT_VERSION: Final = 1
_DIGITS: Final = 6


def encode_regions_json(document: dict[str, Any]) -> bytes:
    """Return a document of regions as UTF-8 JSON; equal documents give equal bytes.

    Numbers are rounded to six digits; what is not finite is null, since JSON has no NaN.
    """
    content = {"format_version": FORMAT_VERSION, **document}
    text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    return value
