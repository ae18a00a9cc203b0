import numpy as np

from models.connectivity.by_painting import paint_masks
from models.connectivity.found_masks import FoundMasks
from models.connectivity.prompts import component_prompts
from models.connectivity.variants import VARIANT_SETTINGS
from models.promptable.base import Masks
from tests.models.connectivity.fakes import masks_of

PAPER, PUBLIC_CODE = VARIANT_SETTINGS["paper"], VARIANT_SETTINGS["public-code"]
KEPT = np.array([[0, 0, 1, 255], [0, 255, 255, 255]], np.uint8)
WHOLE = np.ones((2, 4))
RIGHT = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])


def test_masks_are_painted_by_quality_or_as_the_generator_gives_them():
    none = component_prompts(KEPT, 2, [], PAPER)
    found = FoundMasks(masks_of([WHOLE, RIGHT], [0.8, 0.9]), [0, 1], Masks(), none)
    label, pieces, masks = paint_masks(found, KEPT, 2, PAPER)
    assert label.tolist() == [[0, 0, 1, 1]] * 2
    assert pieces.tolist() == [[1, 1, 2, 2]] * 2
    assert [m.class_id for m in masks] == [0, 1]
    label, _, _ = paint_masks(found, KEPT, 2, PUBLIC_CODE)
    assert label.tolist() == [[0] * 4] * 2


def test_answers_are_painted_with_the_class_of_their_component():
    kept = np.full((6, 8), 255, np.uint8)
    kept[1:5, 1:5] = 1
    asked = component_prompts(kept, 2, [1], PAPER)
    wide = np.zeros(kept.shape)
    wide[1:5, 1:7] = 1
    label, _, (mask,) = paint_masks(
        FoundMasks(Masks(), [], masks_of([wide]), asked), kept, 2, PAPER
    )
    assert mask.prompt == 0
    assert (label == np.where(wide, 1, 255)).all()
