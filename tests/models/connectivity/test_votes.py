from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.runs import runs_of
from models.connectivity.votes import KeptVotes
from models.rle import Rle

KEPT = np.array([[0, 255, 2], [0, 1, 255]], np.uint8)


def drawn(*rows: Any) -> Any:
    return Rle.encode(np.array([[c == "#" for c in row] for row in rows]))


def test_kept_pixels_vote_by_class():
    votes = KeptVotes(KEPT, 4)
    assert votes.of(drawn("###", "###")).tolist() == [2, 1, 1, 0]
    assert votes.of(drawn("##.", "#.#")).tolist() == [2, 0, 0, 0]


def test_masks_without_kept_pixels_have_no_votes():
    votes = KeptVotes(KEPT, 3)
    for mask in (drawn(".#.", "..#"), drawn("...", "...")):
        assert votes.of(mask).tolist() == [0, 0, 0]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_counting_by_runs_equals_counting_pixels(seed, height, width):
    rng = np.random.default_rng(seed)
    inside = rng.random((height, width)) < rng.random()
    kept = rng.choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
    mask = Rle.encode(inside)
    starts, ends = runs_of(mask)
    assert [p for r in zip(starts, ends, strict=True) for p in range(*r)] == mask.pixels().tolist()
    found = KeptVotes(kept, 3).of(mask)
    assert found.tolist() == [(inside & (kept == c)).sum() for c in range(3)]
