"""The labels of Cityscapes, and which of them our classes are.

Ids, names, colours and the 19 classes that are trained on are those of the data set's own table
(`labels.py` of cityscapesScripts), written down anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from formats.index_png import IGNORE_INDEX, Colour

NOT_TRAINED: Final = 255


@dataclass(frozen=True)
class CityscapesLabel:
    """One label: its id in `labelIds`, its id for training, whether there are instances of it."""

    id: int
    name: str
    train_id: int
    has_instances: bool
    color: Colour


_ROWS: Final = (
    (0, "unlabeled", 255, False, (0, 0, 0)),
    (1, "ego vehicle", 255, False, (0, 0, 0)),
    (2, "rectification border", 255, False, (0, 0, 0)),
    (3, "out of roi", 255, False, (0, 0, 0)),
    (4, "static", 255, False, (0, 0, 0)),
    (5, "dynamic", 255, False, (111, 74, 0)),
    (6, "ground", 255, False, (81, 0, 81)),
    (7, "road", 0, False, (128, 64, 128)),
    (8, "sidewalk", 1, False, (244, 35, 232)),
    (9, "parking", 255, False, (250, 170, 160)),
    (10, "rail track", 255, False, (230, 150, 140)),
    (11, "building", 2, False, (70, 70, 70)),
    (12, "wall", 3, False, (102, 102, 156)),
    (13, "fence", 4, False, (190, 153, 153)),
    (14, "guard rail", 255, False, (180, 165, 180)),
    (15, "bridge", 255, False, (150, 100, 100)),
    (16, "tunnel", 255, False, (150, 120, 90)),
    (17, "pole", 5, False, (153, 153, 153)),
    (18, "polegroup", 255, False, (153, 153, 153)),
    (19, "traffic light", 6, False, (250, 170, 30)),
    (20, "traffic sign", 7, False, (220, 220, 0)),
    (21, "vegetation", 8, False, (107, 142, 35)),
    (22, "terrain", 9, False, (152, 251, 152)),
    (23, "sky", 10, False, (70, 130, 180)),
    (24, "person", 11, True, (220, 20, 60)),
    (25, "rider", 12, True, (255, 0, 0)),
    (26, "car", 13, True, (0, 0, 142)),
    (27, "truck", 14, True, (0, 0, 70)),
    (28, "bus", 15, True, (0, 60, 100)),
    (29, "caravan", 255, True, (0, 0, 90)),
    (30, "trailer", 255, True, (0, 0, 110)),
    (31, "train", 16, True, (0, 80, 100)),
    (32, "motorcycle", 17, True, (0, 0, 230)),
    (33, "bicycle", 18, True, (119, 11, 32)),
)
LABELS: Final = tuple(CityscapesLabel(*row) for row in _ROWS)
UNLABELED: Final = LABELS[0]
_BY_NAME: Final = {label.name.replace(" ", ""): label for label in LABELS}
# Other names of the same things, as data sets beside Cityscapes write them.
_ALSO: Final = {
    "pavement": "sidewalk",
    "footpath": "sidewalk",
    "columnpole": "pole",
    "signsymbol": "traffic sign",
    "trafficsignfront": "traffic sign",
    "tree": "vegetation",
    "pedestrian": "person",
    "bicyclist": "rider",
    "bike": "bicycle",
    "motorbike": "motorcycle",
    "motorcycle/scooter": "motorcycle",
    "void": "unlabeled",
    "unlabelled": "unlabeled",
}


def label_named(name: str) -> CityscapesLabel | None:
    """Return the label of a name; case, spaces, `_` and `-` do not matter.

    >>> label_named("Traffic_Light").id
    19
    """
    key = "".join(c for c in name.lower() if c not in " _-")
    found = _BY_NAME.get(key)
    return _BY_NAME[_ALSO[key].replace(" ", "")] if found is None and key in _ALSO else found


def labels_of(names: Sequence[str], class_map: Mapping[str, str]) -> list[CityscapesLabel | None]:
    """Return the label that each of our classes is; None where Cityscapes has no such thing.

    Args:
        class_map: class name → name of a label, which goes before what the name itself says.
    """
    return [label_named(class_map.get(name, name)) for name in names]


def table_of(values: Sequence[int], otherwise: int) -> npt.NDArray[np.uint8]:
    """Return a table of 256 entries: values of our classes, `otherwise` beyond and for ignore."""
    table = np.full(IGNORE_INDEX + 1, otherwise, np.uint8)
    table[: len(values)] = values
    return table
