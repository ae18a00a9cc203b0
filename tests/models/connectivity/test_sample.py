import hashlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.sample import (
    Sample,
    SampleUnreadable,
    image_key,
    merge_parts,
    pack_part,
    sample_of,
    unpack_part,
)
from tests.models.connectivity.region_toys import regions_of_vectors

K = 3


def merged_of(*arguments: Any, **more: Any) -> Sample:
    merged = merge_parts(*arguments, **more)
    assert merged is not None
    return merged


def part_of(image: Any, classes: Any, seed: Any = 0, value: Any = 0.0) -> Any:
    """A part whose vectors tell image and index apart."""
    classes = np.array(classes, np.uint8)
    vectors = np.stack([np.full(len(classes), value), np.arange(len(classes))], 1)
    features = {"votes": vectors[:, 1:].astype(np.float16), "appearance": vectors[:, :1]}
    features["appearance"] = features["appearance"].astype(np.float16)
    return sample_of(regions_of_vectors(features, classes, K), image, seed)


def same(one: Any, other: Any) -> Any:
    names = ("keys", "images", "classes", "vectors")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names) and (
        (one.num_classes, one.groups) == (other.num_classes, other.groups)
    )


def test_the_key_of_a_region_is_a_hash_of_seed_image_and_index():
    part = part_of("abc", [0, 1, 2], seed=7)
    expected = sorted(hashlib.sha256(f"7:abc:{i}".encode()).digest() for i in range(3))
    assert [key.tobytes() for key in part.keys] == expected
    index = {hashlib.sha256(f"7:abc:{i}".encode()).digest(): i for i in range(3)}
    order = [index[key.tobytes()] for key in part.keys]
    assert part.classes.tolist() == order  # class i is that of region i
    assert part.features["votes"][:, 0].tolist() == order
    assert part.groups == {"appearance": 1, "votes": 1}
    assert (part.images == image_key("abc")).all()


@settings(deadline=None, max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(0, 30))
def test_order_chunks_and_repeats_do_not_matter(random, size):
    classes = [[0, 1, 2, 2, 2], [1], [], [0, 0, 0, 1], [2, 2]]
    parts = [part_of(f"image {i}", c, value=i) for i, c in enumerate(classes)]
    whole = merged_of(parts, size)
    shuffled = [*parts, random.choice(parts)]
    random.shuffle(shuffled)
    cut = random.randint(0, len(shuffled))
    halves = [merged_of(half, size) for half in (shuffled[:cut], shuffled[cut:]) if half]
    assert same(merged_of(halves, size), whole)
    assert same(merged_of(iter(shuffled), size), whole)


def test_the_smallest_keys_of_each_class_stay():
    parts = [part_of(f"image {i}", [0, 0, 1, 2]) for i in range(50)]
    merged = merged_of(parts, size=30)
    assert np.bincount(merged.classes).tolist() == [10, 10, 10]
    everything = merged_of(parts, size=10_000)
    assert len(everything) == 200
    for c in range(K):
        keys = everything.keys[everything.classes == c][:10]
        assert (merged.keys[merged.classes == c] == keys).all()


def test_a_rare_class_leaves_its_room_empty():
    merged = merged_of([part_of("a", [0] * 50 + [1])], size=30)
    assert np.bincount(merged.classes, minlength=K).tolist() == [10, 1, 0]


def test_no_parts_and_parts_without_regions():
    assert merge_parts([]) is None
    empty = part_of("a", [])
    assert len(merged_of([empty, empty])) == 0
    assert len(merged_of([Sample.empty(K), part_of("b", [1])])) == 1
    assert Sample.empty(K, {"votes": 2}).features["votes"].shape == (0, 2)


def test_images_that_lack_features_do_not_count():
    full = part_of("a", [0, 1])
    lacking = sample_of(
        regions_of_vectors({"votes": np.zeros((2, 1), np.float16)}, np.zeros(2, np.uint8), K),
        "b",
        0,
    )
    assert same(merged_of([lacking, full, lacking]), full)
    assert len(merged_of([lacking])) == 2


def test_parts_of_different_jobs_are_refused():
    part = part_of("a", [0, 1])
    with pytest.raises(SampleUnreadable, match="classes"):
        merged_of([part, replace(part, num_classes=4)])
    wider = replace(part, groups={"appearance": 2, "votes": 1})
    with pytest.raises(SampleUnreadable, match="widths"):
        merged_of([part, wider])


@pytest.mark.parametrize("classes", [[], [0, 2, 1]])
def test_a_part_survives_a_file_without_pickles(classes):
    part = part_of("a", classes)
    file = io.BytesIO()
    np.savez(file, **dict[str, Any](pack_part(part)))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        assert same(unpack_part(dict(arrays)), part)


@pytest.mark.parametrize(
    "change",
    [
        {"keys": np.zeros((3, 31), np.uint8)},
        {"vectors": np.zeros((3, 2), np.float32)},
        {"vectors": np.zeros((3, 3), np.float16)},
        {"images": np.zeros(2, np.uint64)},
        {"classes": np.full(3, 3, np.uint8)},
        {"about": np.frombuffer(b"{}", np.uint8)},
        {"about": np.frombuffer(b"\xff\xfe", np.uint8)},
    ],
)
def test_what_is_no_part_is_refused(change):
    with pytest.raises(SampleUnreadable):
        unpack_part({**pack_part(part_of("a", [0, 1, 2])), **change})


def test_a_part_without_an_array_is_refused():
    arrays = pack_part(part_of("a", [0]))
    del arrays["keys"]
    with pytest.raises(SampleUnreadable, match="keys"):
        unpack_part(arrays)
