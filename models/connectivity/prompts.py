"""Questions to a region model, one for each component of the classes that are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.connectivity.boxes import grown_boxes, offset_boxes
from models.connectivity.components import ComponentTable, components_of
from models.connectivity.purity import purity_map
from models.connectivity.variants import (
    LEAST_CLASS_PX,
    LEAST_COMPONENT_PX,
    PURITY_RADIUS_PX,
    PsaSettings,
)
from models.ontology import IGNORE_LABEL
from models.promptable.base import Prompts


@dataclass(frozen=True, eq=False)
class ComponentPrompts:
    """N components and what is asked for each: a box and points inside, in one batch.

    They stand by rising class, within a class by their first pixels in rows from the top.

    Attributes:
        table: class, area and tight box of each component.
        prompts: the questions.
    """

    table: ComponentTable
    prompts: Prompts

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True, eq=False)
class ComponentPixels:
    """The pixels of N components, one component after another, each in rows from the top.

    Attributes:
        x, y: int64 (P,).
        starts: int64 (N + 1,), where each component starts, and P.
    """

    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def boxes_xyxy(self) -> npt.NDArray[np.int32]:
        """The tight boxes, int32 (N, 4), half open."""
        first, last = self.starts[:-1], self.starts[1:] - 1
        sides = [
            np.minimum.reduceat(self.x, first),
            self.y[first],
            np.maximum.reduceat(self.x, first) + 1,
            self.y[last] + 1,
        ]
        return np.column_stack(sides).astype(np.int32)

    def outlines_xy(self) -> list[npt.NDArray[np.int32]]:
        """The first and last pixel of each row of each component; their hull is its own."""
        new_row = np.diff(self.y, prepend=-1) != 0
        new_row[self.starts[:-1]] = True
        first = np.flatnonzero(new_row)
        last = np.append(first[1:], len(self.x)) - 1
        ends = np.column_stack([self.x[first], self.y[first], self.x[last], self.y[last]])
        cuts = np.searchsorted(first, self.starts[1:-1])
        return [rows.reshape(-1, 2) for rows in np.split(ends.astype(np.int32), cuts)]


def component_prompts(
    label: npt.NDArray[np.uint8], num_classes: int, classes: Sequence[int], settings: PsaSettings
) -> ComponentPrompts:
    """Boxes and points for the components of `classes`.

    Classes of fewer than 11 pixels and components of fewer than 10 are not asked for.

    Args:
        label: uint8 (H, W), below `num_classes` or 255; not changed.
        num_classes: K.
        classes: those to ask for.
        settings: how boxes grow, and how many points lie where.
    """
    asked_for = np.full(IGNORE_LABEL + 1, IGNORE_LABEL, dtype=np.uint8)
    asked_for[list(classes)] = list(classes)
    table, pixels = _large_components(asked_for.take(label), settings.most_prompts)
    if not len(table):
        return ComponentPrompts(table, Prompts())
    if settings.box == "area":
        boxes = grown_boxes(table.boxes_xyxy, settings.box_factor, label.shape)
    else:
        boxes = offset_boxes(pixels.outlines_xy(), settings.box_factor, label.shape)
    purity = None
    if settings.point_at != "centre":
        purity = purity_map(label, num_classes, PURITY_RADIUS_PX)[pixels.y, pixels.x]
    points = points_inside(pixels, purity, settings.points, central=settings.point_at != "purest")
    return ComponentPrompts(
        table,
        Prompts(
            boxes_xyxy=boxes,
            points_xy=points.astype(np.float32),
            point_labels=np.ones(points.shape[:2], dtype=np.int64),
        ),
    )


def points_inside(
    pixels: ComponentPixels,
    purity: npt.NDArray[np.float32] | None,
    points: int,
    *,
    central: bool,
) -> npt.NDArray[np.int64]:
    """As many points in each of N components as asked for.

    The pixels of a component, in their order, are cut into as many parts of equal length (to one
    pixel), and each part gives the pixel of the lowest purity value.

    Args:
        pixels: of the components, each of at least `points` pixels.
        purity: float32 (P,), or None if all pixels are alike.
        points: points for each component.
        central: of several lowest pixels take the one nearest to the mean of its part, else the
            first.

    Returns:
        int64 (N, points, 2) as x, y.
    """
    lengths = np.diff(pixels.starts)[:, None]
    cuts = (pixels.starts[:-1, None] + lengths * np.arange(points) // points).ravel()
    sizes = np.diff(cuts, append=pixels.starts[-1])
    part = np.repeat(np.arange(len(cuts)), sizes)
    best = np.arange(len(part))
    if purity is not None:
        best = np.flatnonzero(purity == np.minimum.reduceat(purity, cuts)[part])
    if central:
        part_of_best = part[best]
        distance = np.zeros(len(best))
        for places in (pixels.x, pixels.y):
            mean = np.add.reduceat(places, cuts) / sizes
            distance += (places[best] - mean[part_of_best]) ** 2
        least = np.minimum.reduceat(distance, _starts_of(part_of_best))
        best = best[distance == least[part_of_best]]
    chosen = best[_starts_of(part[best])]
    return np.column_stack([pixels.x[chosen], pixels.y[chosen]]).reshape(-1, points, 2)


def _large_components(
    label: npt.NDArray[np.uint8], most: int | None
) -> tuple[ComponentTable, ComponentPixels]:
    """The components that are large enough, at most the largest `most`, and their pixels."""
    components, count = components_of(label)
    where = np.flatnonzero(label != IGNORE_LABEL)
    component = components.ravel()[where] - 1
    areas = np.bincount(component, minlength=count)
    classes = np.zeros(count, dtype=np.uint8)
    classes[component] = label.ravel()[where]
    class_px = np.bincount(classes, weights=areas, minlength=IGNORE_LABEL + 1)
    large = np.flatnonzero((areas >= LEAST_COMPONENT_PX) & (class_px[classes] >= LEAST_CLASS_PX))
    if most is not None:
        large = np.sort(large[np.argsort(-areas[large], kind="stable")[:most]])
    large = large[np.argsort(classes[large], kind="stable")]

    # Sorting by integers of 16 bits is several times faster.
    place_of = np.full(count, len(large), np.uint16 if len(large) < 2**16 else np.int32)
    place_of[large] = np.arange(len(large))
    place = place_of[component]
    starts = np.concatenate([[0], np.cumsum(areas[large])])
    where = where[np.argsort(place, kind="stable")[: starts[-1]]]
    y = where // label.shape[1]
    pixels = ComponentPixels(where - y * label.shape[1], y, starts)
    boxes = pixels.boxes_xyxy() if len(large) else np.zeros((0, 4), np.int32)
    return ComponentTable(classes[large], areas[large], boxes), pixels


def _starts_of(rising: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each value of a rising array starts."""
    return np.flatnonzero(np.diff(rising, prepend=-1))
