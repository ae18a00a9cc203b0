from dataclasses import replace

import numpy as np

from models.connectivity.by_vote import vote_on_masks
from models.connectivity.found_masks import FoundMasks
from models.connectivity.pixel_votes import PixelVotes
from models.connectivity.prompts import component_prompts
from models.connectivity.variants import VARIANT_SETTINGS
from models.promptable.base import Masks
from tests.models.connectivity.fakes import masks_of

SETTINGS = VARIANT_SETTINGS["selvage"]
KEPT = np.array([[0, 0, 0, 1, 255, 255], [0, 0, 0, 1, 255, 255]], np.uint8)
VOTES = PixelVotes(KEPT, np.full(KEPT.shape, 0.5, np.float32), None)
WHOLE = np.ones((2, 6))
LEFT = np.array([[1, 1, 1, 0, 0, 0]] * 2)
RIGHT = np.array([[0, 0, 0, 1, 1, 0]] * 2)
END = np.array([[0, 0, 0, 0, 0, 1]] * 2)


def found(masks: Masks, classes: list[int]) -> FoundMasks:
    return FoundMasks(masks, classes, Masks(), component_prompts(KEPT, 2, [], SETTINGS))


def test_nested_masks_decide_together():
    nested = found(masks_of([WHOLE, LEFT, RIGHT]), [0, 1])
    label, pieces, masks = vote_on_masks(nested, KEPT, VOTES, [0, 1], SETTINGS)
    assert label.tolist() == [[0, 0, 0, 1, 1, 0]] * 2
    assert [m.area_px for m in masks] == [4, 6, 12]
    assert [m.class_id for m in masks] == [1, 0, 0]
    assert pieces.tolist() == [[3, 3, 3, 1, 1, 3]] * 2


def test_a_mask_that_is_hardly_stable_has_little_to_say():
    masks = masks_of([WHOLE, RIGHT])
    unstable = Masks(**{**vars(masks), "stability": np.array([1, 0.1], np.float32)})
    label, _, _ = vote_on_masks(found(unstable, [0, 1]), KEPT, VOTES, [0, 1], SETTINGS)
    assert label[:, 4].tolist() == [0, 0]


def test_masks_without_kept_pixels_have_no_say():
    apart = found(masks_of([LEFT, END]), [0, 1])
    label, pieces, masks = vote_on_masks(apart, KEPT, VOTES, [0, 1], SETTINGS)
    assert (label == KEPT).all()
    assert len(masks) == 1
    assert pieces[:, 3:].tolist() == [[0, 0, 0]] * 2


def test_what_is_said_for_a_class_that_may_not_be_taken_is_lost():
    only_ones = found(masks_of([WHOLE]), [1])
    label, _, (mask,) = vote_on_masks(only_ones, KEPT, VOTES, [0, 1], SETTINGS)
    assert mask.class_id == 1
    assert label[:, 5].tolist() == [1, 1]
    strict = replace(SETTINGS, least_share=0.25)  # a quarter of the votes is for class 1
    assert vote_on_masks(only_ones, KEPT, VOTES, [0, 1], strict)[2] == []


def test_without_masks_the_start_is_left():
    none = found(Masks(), [0, 1])
    assert (vote_on_masks(none, KEPT, VOTES, [0, 1], SETTINGS)[0] == KEPT).all()
    nothing = replace(SETTINGS, start="nothing")
    assert (vote_on_masks(none, KEPT, VOTES, [0, 1], nothing)[0] == 255).all()
