"""An ordered list of classes with names, kinds and colours. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

IGNORE_LABEL = 255
MAX_CLASSES = 255
KINDS = ("stuff", "thing")


@dataclass(frozen=True)
class ClassInfo:
    """One class: its id is the value written into label maps, its colour is RGB in 0..255."""

    id: int
    name: str
    kind: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Ontology:
    """Classes with ids 0, 1, …, K-1 in this order and distinct names; 1 <= K <= 255.

    Raises:
        ValueError: on construction, if ids, names, kinds or colours break these rules.
    """

    name: str
    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise ValueError(
                f"an ontology has 1 to {MAX_CLASSES} classes, this one has {len(self.classes)}"
            )
        for position, info in enumerate(self.classes):
            _check_class(position, info)
        names = [info.name for info in self.classes]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"class names occur more than once: {', '.join(twice)}")

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: {name, classes: [{id, name, kind, color: [r, g, b]}]}."""
        return {
            "name": self.name,
            "classes": [
                {"id": c.id, "name": c.name, "kind": c.kind, "color": list(c.color)}
                for c in self.classes
            ],
        }

    @classmethod
    def from_dict(cls, data: Any) -> "Ontology":
        """The ontology that `to_dict` described; `kind` and `color` may be left out.

        Raises:
            ValueError: with the place and the reason.
        """
        if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
            raise ValueError("an ontology is an object with a name and a list of classes")
        name = data.get("name", "classes")
        if not isinstance(name, str) or not name:
            raise ValueError("the name of an ontology is a non-empty string")
        classes = tuple(_class_from_dict(i, entry) for i, entry in enumerate(data["classes"]))
        return cls(name=name, classes=classes)

    @classmethod
    def from_names(cls, name: str, class_names: Sequence[str]) -> "Ontology":
        """Classes of kind `stuff` with colours of `distinct_color`, in the order of the names."""
        return cls(
            name=name,
            classes=tuple(
                ClassInfo(id=i, name=class_name, kind="stuff", color=distinct_color(i))
                for i, class_name in enumerate(class_names)
            ),
        )


def distinct_color(class_id: int) -> tuple[int, int, int]:
    """RGB of a class: distinct for ids 0..254 and never black, which PASCAL VOC gives to id 0.

    The colour map of PASCAL VOC (Everingham et al., development kit, `VOClabelcolormap`), one up.
    """
    red = green = blue = 0
    code = class_id + 1
    for bit in range(7, -1, -1):
        red |= (code & 1) << bit
        green |= (code >> 1 & 1) << bit
        blue |= (code >> 2 & 1) << bit
        code >>= 3
    return red, green, blue


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _check_class(position: int, info: ClassInfo) -> None:
    if info.id != position:
        raise ValueError(f"class ids are 0, 1, 2, … in order; place {position} has id {info.id}")
    if not isinstance(info.name, str) or not info.name:
        raise ValueError(f"class {position} has no name")
    if info.kind not in KINDS:
        raise ValueError(f"class '{info.name}': kind is 'stuff' or 'thing', not '{info.kind}'")
    if len(info.color) != 3 or not all(_is_byte(part) for part in info.color):
        raise ValueError(f"class '{info.name}': color is three integers in 0..255")


def _class_from_dict(position: int, entry: Any) -> ClassInfo:
    if not isinstance(entry, dict) or "name" not in entry:
        raise ValueError(f"class {position} is an object with at least a name")
    color = entry.get("color", distinct_color(position))
    if not isinstance(color, list | tuple):
        raise ValueError(f"class {position}: color is three integers in 0..255")
    return ClassInfo(
        id=entry.get("id", position),
        name=entry["name"],
        kind=entry.get("kind", "stuff"),
        color=tuple(color),
    )
