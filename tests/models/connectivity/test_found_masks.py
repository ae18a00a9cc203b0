import numpy as np

from models.connectivity.config import AggregateConfig
from models.connectivity.found_masks import FoundMasks
from models.connectivity.prompts import component_prompts
from models.connectivity.variants import psa_settings
from models.promptable.base import Masks
from tests.models.connectivity.fakes import masks_of

SETTINGS = psa_settings(AggregateConfig())
KEPT = np.full((12, 20), 255, np.uint8)
KEPT[1:5, 1:5] = 0
KEPT[1:5, 12:16] = 1


def test_answers_are_those_at_the_box_that_was_asked_for():
    asked = component_prompts(KEPT, 2, [0, 1], SETTINGS)
    whole = np.ones(KEPT.shape)
    answers = masks_of([KEPT == 0, whole])
    found = FoundMasks(Masks(), [], answers, asked)
    assert list(found.answers_at_their_box(0.3)) == [0]
    assert list(found.answers_at_their_box(0.0)) == [0, 1]


def test_empty_answers_are_left_out():
    asked = component_prompts(KEPT, 2, [0, 1], SETTINGS)
    answers = masks_of([np.zeros(KEPT.shape), KEPT == 1])
    assert list(FoundMasks(Masks(), [], answers, asked).answers_at_their_box(0.0)) == [1]
    nothing = component_prompts(KEPT, 2, [], SETTINGS)
    assert list(FoundMasks(Masks(), [], Masks(), nothing).answers_at_their_box(0.0)) == []
