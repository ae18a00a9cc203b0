from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.runs import intersection_px, runs_of
from models.connectivity.votes import KeptVotes
from models.rle import Rle

KEPT = np.array([[0, 255, 2], [0, 1, 255]], np.uint8)
WEIGHT = np.array([[0.5, 9, 0.75], [0.25, 1, 9]], np.float32)


def drawn(*rows: Any) -> Any:
    return Rle.encode(np.array([[c == "#" for c in row] for row in rows]))


def test_kept_pixels_vote_by_class():
    votes = KeptVotes(KEPT, None, 4)
    assert votes.of(drawn("###", "###"))[0].tolist() == [2, 1, 1, 0]
    counted, pixels = votes.of(drawn("##.", "#.#"))
    assert counted.tolist() == [2, 0, 0, 0]
    assert pixels == 2


def test_votes_count_with_their_weight_and_others_not_at_all():
    counted, pixels = KeptVotes(KEPT, WEIGHT, 3).of(drawn("###", "###"))
    assert counted.tolist() == [0.75, 1, 0.75]
    assert pixels == 4


def test_masks_without_kept_pixels_have_no_votes():
    votes = KeptVotes(KEPT, WEIGHT, 3)
    for mask in (drawn(".#.", "..#"), drawn("...", "...")):
        counted, pixels = votes.of(mask)
        assert counted.tolist() == [0, 0, 0]
        assert pixels == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_counting_by_runs_equals_counting_pixels(seed, height, width):
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, height, width)) < rng.random((2, 1, 1))
    kept = rng.choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
    weight = rng.integers(0, 9, (height, width)).astype(np.float32)
    mask = Rle.encode(one)
    starts, ends = runs_of(mask)
    assert [p for r in zip(starts, ends, strict=True) for p in range(*r)] == mask.pixels().tolist()
    assert intersection_px(mask, Rle.encode(other)) == (one & other).sum()
    counted, pixels = KeptVotes(kept, weight, 3).of(mask)
    assert counted.tolist() == [weight[one & (kept == c)].sum() for c in range(3)]
    assert pixels == (one & (kept != 255)).sum()
