"""The Prefer header (RFC 7240): how long to wait, and what to do about bad files.

Preferences are wishes: one that is unknown or not well formed is ignored, never refused. What was
honoured is told in `Preference-Applied`.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Depends, Header

Handling = Literal["strict", "lenient"]

MAX_WAIT_SECONDS: Final = 60
MAX_HEADER_LENGTH: Final = 2000
APPLIED_HEADER: Final = "Preference-Applied"

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WORD: Final = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
# One element of the list, with parameters that are read over; `=` may stand in white space.
_PREFERENCE: Final = re.compile(
    rf"[ \t]*(?P<name>{_TOKEN})(?:[ \t]*=[ \t]*(?P<word>{_WORD}))?"
    rf"(?:[ \t]*;[ \t]*(?:{_TOKEN}(?:[ \t]*=[ \t]*{_WORD})?)?)*[ \t]*(?=,|\Z)"
)


@dataclass(frozen=True)
class Preferences:
    """What a client prefers; None where it said nothing (usable) about it."""

    wait_seconds: int | None = None
    handling: Handling | None = None

    @property
    def is_strict(self) -> bool:
        """Whether one bad file shall fail the request."""
        return self.handling == "strict"

    def applied(self, *names: Literal["wait", "handling"]) -> dict[str, str]:
        """Return the `Preference-Applied` header for those of `names` that the client sent."""
        values = {"wait": self.wait_seconds, "handling": self.handling}
        told = [f"{name}={values[name]}" for name in names if values[name] is not None]
        return {APPLIED_HEADER: ", ".join(told)} if told else {}


def parse(header: str | None) -> Preferences:
    """Return the preferences in a header; the first of a name counts, a wait is cut to a minute."""
    found: dict[str, str] = {}
    rest = (header or "")[:MAX_HEADER_LENGTH]
    while rest:
        match = _PREFERENCE.match(rest)
        if match:
            found.setdefault(match["name"].lower(), _unquoted(match["word"] or ""))
        end = match.end() if match else 0
        _, _, rest = rest[end:].partition(",")
    return Preferences(_wait_seconds(found.get("wait")), _handling(found.get("handling")))


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _wait_seconds(word: str | None) -> int | None:
    if word is None or not word.isascii() or not word.isdigit():
        return None
    return min(int(word[:9]), MAX_WAIT_SECONDS)


def _handling(word: str | None) -> Handling | None:
    if word == "strict":
        return "strict"
    return "lenient" if word == "lenient" else None


def _of_request(
    prefer: Annotated[
        list[str] | None,
        Header(
            description="RFC 7240: `wait=n` (at most 60 seconds), `handling=strict` or `lenient`",
            examples=[["wait=10, handling=lenient"]],
        ),
    ] = None,
) -> Preferences:
    return parse(", ".join(prefer or []))


Prefer = Annotated[Preferences, Depends(_of_request)]
