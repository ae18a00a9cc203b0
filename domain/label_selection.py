"""Which labels get into a label set. Pure functions on candidates."""

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from api_schemas.label_sets import LabelSelection

LEAST_SHARE: Final = 0.001  # of its pixels, from which on an image shows a class


@dataclass(frozen=True)
class Candidate:
    """The label of one image.

    Attributes:
        content: names the bytes of the label: digest of a label, key of an annotation.
        class_pixels: class index → kept pixels; empty for annotations.
        reviewed: whether a person stands behind it.
    """

    external_id: str
    image_digest: str
    content: str
    label_id: str | None = None
    annotation_key: str | None = None
    weight: float = 1.0
    quality: float | None = None
    coverage: float | None = None
    pixels: int = 0
    class_pixels: Mapping[int, int] = field(default_factory=dict)
    reviewed: bool = False

    @property
    def classes(self) -> list[int]:
        """The classes that the image shows."""
        least = max(1.0, LEAST_SHARE * self.pixels)
        return sorted(c for c, n in self.class_pixels.items() if n >= least)


def select(
    candidates: Iterable[Candidate], selection: LabelSelection, classes: Sequence[int] | None
) -> list[Candidate]:
    """Return the candidates that get in, in their order.

    Args:
        candidates: at most one for each image.
        classes: indices of `selection.classes`; None for all.
    """
    found = [c for c in candidates if c.reviewed or _is_good(c, selection, classes)]
    if selection.max_images is None or len(found) <= selection.max_images:
        return found
    reviewed = [c for c in found if c.reviewed][: selection.max_images]
    labels = [c for c in found if not c.reviewed]
    room = selection.max_images - len(reviewed)
    choose = _balanced if selection.balance == "classes" else _best
    chosen = {c.image_digest for c in (*reviewed, *choose(labels, room))}
    return [c for c in found if c.image_digest in chosen]


def _is_good(c: Candidate, selection: LabelSelection, classes: Sequence[int] | None) -> bool:
    if selection.reviewed_only or not c.coverage or c.quality is None:
        return False
    if selection.min_quality is not None and c.quality < selection.min_quality:
        return False
    if c.coverage < selection.min_coverage:
        return False
    return classes is None or not set(classes).isdisjoint(c.classes)


def _order(c: Candidate) -> tuple[float, str]:
    """The best first; those of equal quality in an order that no upload has a say in."""
    return -(c.quality or 0.0), c.image_digest


def _best(candidates: list[Candidate], room: int) -> list[Candidate]:
    return heapq.nsmallest(room, candidates, key=_order)


def _balanced(candidates: list[Candidate], room: int) -> list[Candidate]:
    """Take, one by one, the best image of the class that the fewest taken images show."""
    in_order = sorted(candidates, key=_order)
    waiting: dict[int, list[Candidate]] = {}
    for candidate in reversed(in_order):  # the best is the last
        for index in candidate.classes or [-1]:
            waiting.setdefault(index, []).append(candidate)
    shown = Counter(dict.fromkeys(waiting, 0))
    taken: dict[str, Candidate] = {}
    while waiting and len(taken) < room:
        rarest = min(waiting, key=lambda index: (shown[index], index))
        candidate = waiting[rarest].pop()
        if not waiting[rarest]:
            del waiting[rarest]
        if candidate.image_digest not in taken:
            taken[candidate.image_digest] = candidate
            shown.update(candidate.classes or [-1])
    return list(taken.values())


def digest_of(class_names: Sequence[str], chosen: Iterable[Candidate]) -> str:
    """Return the SHA-256 over all that training reads of a selection, whatever its order."""
    entries = sorted([c.image_digest, c.content, c.weight] for c in chosen)
    text = json.dumps([list(class_names), entries], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Figures:
    """What a selection holds; all but the counts is of labels, not of annotations."""

    images: int
    reviewed: int
    quality: float | None
    coverage: float | None
    class_pixels: dict[int, int]
    class_images: dict[int, int]


def figures_of(chosen: Sequence[Candidate]) -> Figures:
    """Add up a selection."""
    labels = [c for c in chosen if c.label_id is not None]
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    for label in labels:
        pixels.update(label.class_pixels)
        images.update(label.classes)
    return Figures(
        images=len(chosen),
        reviewed=sum(c.reviewed for c in chosen),
        quality=_mean([c.quality for c in labels if c.quality is not None]),
        coverage=_mean([c.coverage for c in labels if c.coverage is not None]),
        class_pixels=dict(sorted(pixels.items())),
        class_images=dict(sorted(images.items())),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
