import numpy as np
import pytest
import torch

from models.connectivity.features import FeatureMap
from models.connectivity.pixel_votes import WEIGHT_OF_OTHERS, WHOLE_VOTE, PixelVotes

KEPT = np.array([[0, 255], [1, 255]], np.uint8)
WEIGHT = np.array([[0.75, 9], [0.5, 9]], np.float32)
# One cell for each pixel, so that nothing lies between.
PROBABILITIES = FeatureMap(
    torch.tensor([[[0.5, 0.25], [1.0, 0.0]], [[0.5, 0.75], [0.0, 1.0]]]), (2, 2)
)


def votes_for(class_id: int, probabilities: FeatureMap | None) -> np.ndarray:
    votes = PixelVotes(KEPT, WEIGHT, probabilities).of(class_id)
    assert votes.dtype == np.int64
    return votes.reshape(2, 2, order="F") / WHOLE_VOTE


def test_kept_pixels_give_their_confidence_to_their_class_and_the_rest_by_probability():
    first, second = votes_for(0, PROBABILITIES), votes_for(1, PROBABILITIES)
    assert first[:, 0].tolist() == [0.75 + 0.25 * 0.5, 0.5 * 1.0]
    assert second[:, 0].tolist() == [0.25 * 0.5, 0.5]
    assert first[:, 1] == pytest.approx([WEIGHT_OF_OTHERS * 0.25, 0], abs=1e-4)
    assert second[:, 1] == pytest.approx([WEIGHT_OF_OTHERS * 0.75, WEIGHT_OF_OTHERS], abs=1e-4)


def test_without_probabilities_only_kept_pixels_vote():
    assert votes_for(0, None).tolist() == [[0.75, 0], [0, 0]]
    assert votes_for(1, None).tolist() == [[0, 0], [0.5, 0]]


def test_probabilities_are_interpolated_between_cells_and_cut_at_the_image():
    kept = np.full((1, 6), 255, np.uint8)
    cells = FeatureMap(torch.tensor([[[0.0, 1.0]]], dtype=torch.float16), (1, 8))
    votes = PixelVotes(kept, np.zeros((1, 6), np.float32), cells).of(0) / WHOLE_VOTE
    expected = np.array([0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8])
    assert votes == pytest.approx(WEIGHT_OF_OTHERS * expected, abs=1e-4)
