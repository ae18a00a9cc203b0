"""Names and colours of classes, made fit for tools that need them distinct."""

from collections.abc import Iterable, Sequence
from typing import Final

from formats.classes_json import default_palette
from formats.index_png import IGNORE_COLOUR, MAX_CLASSES, Colour

CVAT_SEPARATOR: Final = ":"  # of the fields of CVAT's labelmap.txt
CVAT_COMMENT: Final = "#"


def distinct_colours(colours: Sequence[Colour | None]) -> list[Colour]:
    """Return one colour a class: no two alike, and none black, which means "no class".

    A colour that is missing, black, or that of an earlier class is replaced by the class's own of
    `default_palette`, or by the next of it that is free.

    >>> distinct_colours([(9, 9, 9), None, (9, 9, 9), (0, 0, 0)])
    [(9, 9, 9), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    """
    defaults = default_palette(MAX_CLASSES)
    found: list[Colour | None] = []
    taken = {IGNORE_COLOUR}
    for colour in colours:
        keep = None if colour is None or colour in taken else colour
        found.append(keep)
        taken |= {keep} if keep else set()
    for place, colour in enumerate(found):
        if colour is None:
            free = next(c for c in (defaults[place], *defaults) if c not in taken)
            found[place] = free
            taken.add(free)
    return [colour for colour in found if colour is not None]


def cvat_names(names: Iterable[str]) -> list[str]:
    """Return the names as CVAT can keep them in a mask import: one line, no `:`, no two alike.

    A line that begins with `#` is a comment there.

    Names that need no change keep theirs, also where another one would become the same.

    >>> cvat_names(["a:b", "a_b", "c"])
    ['a_b_2', 'a_b', 'c']
    """
    given = list(names)
    taken = {name for name in given if _plain(name) == name}
    found = []
    for name in given:
        plain = _plain(name)
        if plain != name:
            plain = _free(plain, taken)
            taken.add(plain)
        found.append(plain)
    return found


def _plain(name: str) -> str:
    kept = (c if c.isprintable() and c != CVAT_SEPARATOR else "_" for c in name)
    plain = "".join(kept).strip() or "_"
    return f"_{plain[1:]}" if plain.startswith(CVAT_COMMENT) else plain


def _free(name: str, taken: set[str]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def hex_colour(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
