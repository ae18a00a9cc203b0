"""Nothing secret in the logs, whatever a line or an exception has picked up."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

REDACTED: Final = "[redacted]"
_SECRET_NAMES: Final = re.compile(
    r"authorization|password|passwd|secret|token|cookie|credential|api_?key|access_?key",
    re.IGNORECASE,
)
_HARMLESS_NAMES: Final = frozenset({"api_key_id", "page_token"})
# Keys of ours; what follows an authentication scheme; passwords and signatures in addresses.
_SECRETS: Final = (
    (re.compile(r"\bsv_[A-Za-z0-9_-]{8,}"), f"sv_{REDACTED}"),
    (re.compile(r"\b((?i:Bearer|Basic))\s+(?=\S*[0-9A-Z])[\w+/=.~-]{6,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), rf"\1:{REDACTED}@"),
    (re.compile(r"([?&](?:X-Amz-[A-Za-z-]+|[^=&\s]*(?:signature|token)))=[^&\s\"']+", re.I),
     rf"\1={REDACTED}"),
)  # fmt: skip
_MAX_DEPTH: Final = 6


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: take secrets out of names, values and tracebacks of a line."""
    for name, value in event.items():
        event[name] = clean(name, value)
    return event


def clean(name: str, value: Any, depth: int = 0) -> Any:
    """Return a value of a line as it may be written."""
    if (
        _SECRET_NAMES.search(name)
        and name not in _HARMLESS_NAMES
        and isinstance(value, str | bytes)
    ):
        return REDACTED
    if isinstance(value, str):
        return clean_text(value)
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {k: clean(str(k), v, depth + 1) for k, v in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return [clean(name, v, depth + 1) for v in value]
    return value


def clean_text(text: str) -> str:
    """Return a text without what looks like a secret."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
