"""`classes.json`: the classes that the values of index PNGs stand for."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from formats.errors import InputRefused
from formats.index_png import IGNORE_INDEX, MAX_CLASSES, Colour

MAX_CLASSES_JSON_BYTES: Final = 1_000_000
MAX_NAME_CHARS: Final = 128
_KINDS: Final = ("stuff", "thing")
_DEFAULT_NAME: Final = "classes"
_EXAMPLE: Final = '{"name": "street", "classes": [{"id": 0, "name": "road"}, ...]}'


@dataclass(frozen=True)
class OntologyFileClass:
    """One class: its value in the label, its name, `stuff` or `thing`, its colour in RGB."""

    id: int
    name: str
    kind: str
    color: Colour


@dataclass(frozen=True)
class OntologyFile:
    """The content of a `classes.json`.

    Attributes:
        name: of the whole set of classes.
        classes: ids 0 ... K-1 in order, K <= 255.
        stored_ignore_value: the value that means ignore in the PNGs beside the file.
    """

    name: str
    classes: tuple[OntologyFileClass, ...]
    stored_ignore_value: int = IGNORE_INDEX

    @property
    def palette(self) -> tuple[Colour, ...]:
        """The colours, by class id."""
        return tuple(entry.color for entry in self.classes)


def default_palette(num_classes: int) -> tuple[Colour, ...]:
    """Return one distinct colour a class, never black, the same ones every time.

    The colours of the PASCAL VOC development kit from index 1 on (its `VOClabelcolormap`): the
    three lowest bits of the index become the highest bits of R, G and B, and so on.

    >>> default_palette(3)
    ((128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    if not 0 <= num_classes <= MAX_CLASSES:
        raise ValueError(f"num_classes must be 0 ... {MAX_CLASSES}")
    return tuple(_voc_colour(index) for index in range(1, num_classes + 1))


def parse_classes_json(data: bytes) -> OntologyFile:
    """Return the validated content of a `classes.json`.

    `classes` with `id` and `name` is needed; `kind` defaults to `stuff`, `color` to
    `default_palette`, `stored_ignore_value` to 255. Keys that are not known are passed over.

    Raises:
        InputRefused: `classes-invalid`, with the place and what is expected there.
    """
    document = _document(data)
    entries = document.get("classes")
    if not isinstance(entries, list) or not entries:
        raise _refused(f"'classes' must be a list with at least one class, as in {_EXAMPLE}.")
    if len(entries) > MAX_CLASSES:
        raise _refused(
            f"It has {len(entries)} classes; at most {MAX_CLASSES} fit into an 8-bit label "
            "beside ignore (255)."
        )
    classes = tuple(_parsed_class(entry, position) for position, entry in enumerate(entries))
    _check_distinct(classes)
    if document.get("ignore_index", IGNORE_INDEX) != IGNORE_INDEX:
        raise _refused(
            "'ignore_index' must be 255; the value that the PNGs hold is 'stored_ignore_value'."
        )
    return OntologyFile(
        name=_name(document.get("name", _DEFAULT_NAME), "'name'"),
        classes=tuple(sorted(classes, key=lambda entry: entry.id)),
        stored_ignore_value=_stored_ignore_value(document, len(classes)),
    )


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_CLASSES_JSON_BYTES:
        raise _refused(f"The file is larger than {MAX_CLASSES_JSON_BYTES / 1e6:g} MB.")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused("The file is not valid JSON in UTF-8.") from error
    if not isinstance(document, dict):
        raise _refused(f"It must be a JSON object, as in {_EXAMPLE}.")
    return document


def _parsed_class(entry: Any, position: int) -> OntologyFileClass:
    place = f"classes[{position}]"
    if not isinstance(entry, dict):
        raise _refused(f"{place} must be an object with 'id' and 'name'.")
    class_id = _byte(entry.get("id"))
    if class_id is None or class_id >= MAX_CLASSES:
        raise _refused(f"{place}: 'id' must be a whole number 0 ... {MAX_CLASSES - 1}.")
    kind = entry.get("kind", _KINDS[0])
    if kind not in _KINDS:
        raise _refused(f"{place}: 'kind' must be 'stuff' or 'thing'.")
    return OntologyFileClass(
        id=class_id,
        name=_name(entry.get("name"), f"{place}: 'name'"),
        kind=kind,
        color=_colour(entry["color"], place) if "color" in entry else _voc_colour(class_id + 1),
    )


def _check_distinct(classes: tuple[OntologyFileClass, ...]) -> None:
    ids = [entry.id for entry in classes]
    for what, values in (("id", Counter(ids)), ("name", Counter(c.name for c in classes))):
        for value, count in values.items():
            if count > 1:
                raise _refused(f"The {what} {value!r} occurs {count} times.")
    if sorted(ids) != list(range(len(ids))):
        missing = min(set(range(len(ids))) - set(ids))
        raise _refused(
            f"Class ids must be 0 ... {len(ids) - 1} without gaps; {missing} is missing."
        )


def _stored_ignore_value(document: dict[str, Any], num_classes: int) -> int:
    value = _byte(document.get("stored_ignore_value", IGNORE_INDEX))
    if value is None:
        raise _refused("'stored_ignore_value' must be a whole number 0 ... 255.")
    if value < num_classes:
        raise _refused(
            f"'stored_ignore_value' is {value}, which is also the id of a class; "
            "renumber the classes from 0 and ignore to a value above them."
        )
    return value


def _name(value: Any, place: str) -> str:
    name = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise _refused(f"{place} must be a text of 1 ... {MAX_NAME_CHARS} printable characters.")
    return name


def _colour(value: Any, place: str) -> Colour:
    channels = [_byte(channel) for channel in value] if isinstance(value, list) else []
    match channels:
        case [int(red), int(green), int(blue)]:
            return red, green, blue
    raise _refused(f"{place}: 'color' must be [red, green, blue], each 0 ... 255.")


def _byte(value: Any) -> int | None:
    """Return `value` if it is a whole number 0 ... 255; JSON's true and false are none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    return None


def _voc_colour(index: int) -> Colour:
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def _refused(detail: str) -> InputRefused:
    return InputRefused("classes-invalid", f"classes.json: {detail}")
