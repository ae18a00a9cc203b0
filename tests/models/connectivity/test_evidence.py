import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.connectivity.evidence import (
    EvidenceUnreadable,
    RegionEvidence,
    pack_evidence,
    unpack_evidence,
)
from models.connectivity.extraction import regions_of
from models.connectivity.features import Pixels
from tests.models.connectivity.test_extraction import LABEL, P_MAX, aggregation, pixels

NAMES = ("boxes_xyxy", "areas_px", "classes", "votes", "quality", "confidence")


def evidence() -> Any:
    return RegionEvidence(
        regions_of(aggregation(), pixels(), 3),
        LABEL,
        P_MAX,
        {"predict": LABEL.copy()},
        {"window_px": 512},
    )


def through_a_file(arrays: Any) -> Any:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


def assert_same(found: Any, expected: Any) -> Any:
    for name in NAMES:
        one, other = getattr(found.regions, name), getattr(expected.regions, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert found.regions.size_hw == expected.regions.size_hw
    counts = [[rle.counts.tolist() for rle in e.regions.rles] for e in (found, expected)]
    assert counts[0] == counts[1]
    assert sorted(found.regions.features) == sorted(expected.regions.features)
    for name, vectors in expected.regions.features.items():
        assert np.array_equal(found.regions.features[name], vectors)
    assert np.array_equal(found.kept, expected.kept)
    np.testing.assert_allclose(found.weight, expected.weight, atol=0.5 / 255 + 1e-6)
    assert {n: m.tolist() for n, m in found.maps.items()} == {
        n: m.tolist() for n, m in expected.maps.items()
    }
    assert found.facts == expected.facts


def test_evidence_survives_a_file_without_pickles():
    assert_same(unpack_evidence(through_a_file(pack_evidence(evidence()))), evidence())


def test_the_same_evidence_gives_the_same_bytes():
    one, other = pack_evidence(evidence()), pack_evidence(evidence())
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in other.items()}


def test_packing_twice_changes_nothing_more():
    once = unpack_evidence(pack_evidence(evidence()))
    twice = unpack_evidence(pack_evidence(once))
    assert np.array_equal(once.weight, twice.weight)


@settings(deadline=None, max_examples=20)
@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0, 2, 255]),
    )
)
def test_any_label_survives(label):
    ones = np.ones(label.shape, np.float32)
    image = np.zeros((*label.shape, 3), np.uint8)
    regions = regions_of(
        aggregation(label, np.zeros(label.shape, np.int32), ()),
        Pixels(image, label, ones, ones),
        3,
    )
    given_evidence = RegionEvidence(regions, label, ones)
    assert_same(unpack_evidence(through_a_file(pack_evidence(given_evidence))), given_evidence)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("about", np.frombuffer(b"[]", np.uint8)),
        ("about", np.frombuffer(b"no json", np.uint8)),
        ("about", np.frombuffer(b'{"version": 7}', np.uint8)),
        ("kept", np.zeros(0, np.uint8)),
        ("kept", np.arange(40, dtype=np.uint8)),
        ("classes", np.zeros(3, np.uint8)),
        ("classes", np.zeros(4, np.int64)),
        ("features.votes", np.zeros((4, 11), np.float32)),
        ("rle_ends", np.array([1, 2, 3, 4])),
        ("rle_ends", np.array([1, 2, 3, 400])),
        ("rle_counts", np.zeros(3, np.uint32)),
    ],
)
def test_damaged_evidence_is_refused(name, value):
    with pytest.raises(EvidenceUnreadable):
        unpack_evidence({**pack_evidence(evidence()), name: value})


@pytest.mark.parametrize("name", ["about", "weight", "votes", "rle_ends"])
def test_evidence_that_lacks_a_part_is_refused(name):
    arrays = pack_evidence(evidence())
    del arrays[name]
    with pytest.raises(EvidenceUnreadable, match=name):
        unpack_evidence(arrays)
