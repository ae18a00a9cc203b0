import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.pixel_votes import WHOLE_VOTE, PixelVotes
from models.connectivity.stacked_runs import StackedRuns
from models.connectivity.voting import OWN_VOTE, PURITY_EXPONENT, count_votes, elect, purity
from models.rle import Rle

KEPT = np.array([[0, 0, 1, 255]], np.uint8)
VOTES = PixelVotes(KEPT, np.array([[1, 1, 0.5, 0]], np.float32), None)


def runs(*rows: str) -> StackedRuns:
    return StackedRuns([Rle.encode(np.array([[c == "#" for c in row]])) for row in rows], 4)


def test_votes_in_a_mask_are_counted_by_class():
    shares = count_votes(runs("####", "..##", "...#"), VOTES, [0, 1])
    assert shares.tolist() == [[0.8, 0.2], [0, 1], [0, 0]]
    assert count_votes(runs("####"), VOTES, []).shape == (1, 0)
    assert count_votes(runs(), VOTES, [0, 1]).shape == (0, 2)


def test_a_mask_is_the_purer_the_fewer_classes_share_it():
    found = purity(np.array([[1, 0], [0.5, 0.5], [0, 0]]))
    assert found == pytest.approx([1, 0.5**PURITY_EXPONENT, 1])


def test_masks_and_the_pixel_itself_decide_together():
    said = np.array([[0.1, 0.0], [0.0, 0.2]])
    label = elect(runs("###.", ".##."), said, VOTES, [3, 7])
    # No pixel votes for 3 or 7: the masks alone decide, and the last pixel lies in none.
    assert label.tolist() == [3, 7, 7, 255]
    own = elect(runs("###."), np.array([[0.0, 0.1]]), VOTES, [0, 1])
    assert OWN_VOTE > 0.1
    assert own.tolist() == [0, 0, 1, 255]


def test_of_equal_sums_the_lowest_class_is_written_and_without_votes_none():
    masks = runs("...#")
    assert elect(masks, np.array([[0.5, 0.5]]), VOTES, [0, 1]).tolist() == [255, 255, 255, 0]
    assert elect(masks, np.array([[0.0, 0.0]]), VOTES, [0, 1]).tolist() == [255] * 4
    assert elect(runs(), np.zeros((0, 2)), VOTES, [0, 1]).tolist() == [255] * 4


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_election_by_runs_equals_one_pixel_by_pixel(seed):
    rng = np.random.default_rng(seed)
    kept = rng.choice([0, 1, 2, 255], (5, 6)).astype(np.uint8)
    votes = PixelVotes(kept, rng.random((5, 6)).astype(np.float32), None)
    drawn = rng.random((4, 5, 6)) < 0.4
    drawn[:, 2, 3] = True
    masks = StackedRuns([Rle.encode(mask) for mask in drawn], kept.size)
    said = rng.random((4, 3))
    label = elect(masks, said, votes, [0, 1, 2]).reshape(kept.shape, order="F")
    own = np.stack([votes.of(c).reshape(kept.shape, order="F") for c in range(3)], axis=-1)
    for place in np.ndindex(kept.shape):
        inside = drawn[(slice(None), *place)]
        total = np.rint(said[inside] * WHOLE_VOTE).sum(0) + np.rint(OWN_VOTE * own[place])
        assert label[place] == (total.argmax() if inside.any() else 255)
