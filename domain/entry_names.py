"""Names of the files of an image set: each its own, on every file system that labels go to."""

import hashlib
import secrets
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

_FIRST_NUMBERS: Final = (2, 3, 4)


def name_key(external_id: str) -> str:
    """Return what two names share that could be one file: they differ in case at most."""
    folded = unicodedata.normalize("NFC", external_id.casefold())
    return hashlib.sha256(folded.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def unique_names(
    wanted: Sequence[str],
    first_position: int,
    taken: Callable[[Collection[str]], set[str]],
) -> list[str]:
    """Return a name for each file that no other file of the set has.

    Two questions at most, however many files have one name: a name that is taken is followed by a
    small number, and if those are taken as well by the position of the file (from 1), which no
    other file has.

    Args:
        wanted: names in the order of the files.
        first_position: position of the first of them in the set.
        taken: tells which of some keys (`name_key`) the set has already.
    """
    used = taken({name_key(name) for name in wanted})
    chosen: dict[int, str] = {}
    for i, name in enumerate(wanted):
        if name_key(name) not in used:
            used.add(name_key(name))
            chosen[i] = name
    others = {
        i: list(_alternatives(name, first_position + i))
        for i, name in enumerate(wanted)
        if i not in chosen
    }
    if others:
        used |= taken({name_key(name) for names in others.values() for name in names})
    for i, names in others.items():
        chosen[i] = next(name for name in names if name_key(name) not in used)
        used.add(name_key(chosen[i]))
    return [chosen[i] for i in range(len(wanted))]


def _alternatives(name: str, position: int) -> Iterator[str]:
    for number in (*_FIRST_NUMBERS, position + 1):
        yield _with_suffix(name, f"({number})")
    # only somebody who uploads names of this form gets here: this one cannot be foreseen
    yield _with_suffix(name, f"({position + 1}-{secrets.token_hex(8)})")


def _with_suffix(name: str, suffix: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return f"{stem} {suffix}.{extension}" if dot and stem else f"{name} {suffix}"
