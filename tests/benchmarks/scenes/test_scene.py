import hashlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.scenes import (
    GENERATOR_VERSION,
    HELD_OUT_STYLES,
    SCENE_ONTOLOGY,
    SEED_RANGES,
    SOURCE_STYLE,
    STYLES,
    TARGET_STYLES,
    SceneDataset,
    generate_scene,
    split_seeds,
)

SMALL_HW = (96, 128)
THINGS = [info.id for info in SCENE_ONTOLOGY.classes if info.kind == "thing"]
GOLDEN_LABEL_DIGEST = "ce194447ac1a8101da54ae7c2e2f8021f4de21aee98da3a414202fd6e072dbe0"
# Mean red, green and blue of the four quarters of the picture.
GOLDEN_BLOCK_MEANS: dict[str, list[float]] = {
    "day": [207.03, 196.97, 191.53, 130.85, 134.28, 124.72,
        159.05, 147.52, 146.61, 127.01, 117.59, 118.59],
    "night": [90.65, 88.97, 83.89, 71.63, 75.13, 69.98,
        147.52, 142.37, 135.51, 131.54, 125.79, 121.27],
    "fog": [166.46, 169.07, 168.98, 130.27, 136.60, 134.93,
        124.39, 122.85, 120.57, 105.89, 105.10, 103.70],
    "sensor": [69.51, 169.58, 99.29, 43.16, 102.06, 63.45,
        49.46, 124.12, 70.91, 38.13, 95.89, 55.53],
    "rain": [103.90, 105.61, 106.12, 75.26, 79.95, 77.82,
        96.33, 93.61, 91.63, 61.25, 57.89, 58.31],
}  # fmt: skip


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@pytest.mark.parametrize("style", STYLES)
def test_shapes_types_and_range(style):
    scene = generate_scene(style, 5, (97, 131))
    assert scene.image.shape == (97, 131, 3)
    assert scene.image.dtype == np.uint8
    assert scene.image.std() > 5
    assert scene.label.shape == scene.instances.shape == (97, 131)
    assert scene.label.dtype == np.uint8
    assert scene.instances.dtype == np.int32
    assert scene.label.max() < SCENE_ONTOLOGY.num_classes


@pytest.mark.parametrize("style", STYLES)
def test_same_seed_gives_the_same_bytes(style):
    first, again = (generate_scene(style, 11, SMALL_HW) for _ in range(2))
    assert digest(first.image, first.label) == digest(again.image, again.label)
    other = generate_scene(style, 12, SMALL_HW)
    assert digest(first.image) != digest(other.image)
    assert digest(first.label) != digest(other.label)


def test_another_process_gives_the_same_bytes():
    code = (
        "import hashlib\n"
        "from benchmarks.scenes import STYLES, generate_scene\n"
        "for style in reversed(STYLES):\n"
        "    scene = generate_scene(style, 3, (96, 128))\n"
        "    print(style, hashlib.sha256(scene.image.tobytes()).hexdigest())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    elsewhere = dict(line.split() for line in run.stdout.splitlines())
    here = {style: digest(generate_scene(style, 3, SMALL_HW).image) for style in STYLES}
    assert here == elsewhere


@pytest.mark.parametrize("seed", [0, 7, 2_000_003])
def test_style_changes_pixels_and_never_labels(seed):
    scenes = {style: generate_scene(style, seed, SMALL_HW) for style in STYLES}
    day = scenes.pop(SOURCE_STYLE)
    for scene in scenes.values():
        np.testing.assert_array_equal(scene.label, day.label)
        np.testing.assert_array_equal(scene.instances, day.instances)
        assert np.abs(scene.image.astype(int) - day.image).mean() > 5


@pytest.mark.parametrize("seed", range(4))
def test_each_instance_is_one_thing_and_each_thing_an_instance(seed):
    scene = generate_scene("day", seed, (120, 160))
    np.testing.assert_array_equal(scene.instances > 0, np.isin(scene.label, THINGS))
    for number in np.unique(scene.instances[scene.instances > 0]):
        assert len(np.unique(scene.label[scene.instances == number])) == 1


def test_every_class_appears():
    seen = np.zeros(SCENE_ONTOLOGY.num_classes, int)
    for seed in range(12):
        seen += np.bincount(generate_scene("day", seed, SMALL_HW).label.ravel(), minlength=10) > 0
    assert (seen >= 3).all(), seen


def test_golden_scene_changes_only_with_the_version():
    """A change of the pictures or labels needs a new GENERATOR_VERSION; then renew these values."""
    scene = generate_scene("day", 42, (64, 80))
    assert GENERATOR_VERSION == 1
    assert digest(scene.label, scene.instances) == GOLDEN_LABEL_DIGEST
    # Block means and not bytes: the last bit of exp() and of a blur differs between processors.
    for style, expected in GOLDEN_BLOCK_MEANS.items():
        image = generate_scene(style, 42, (64, 80)).image
        means = image.reshape(2, 32, 2, 40, 3).mean(axis=(1, 3)).ravel()
        np.testing.assert_allclose(means, expected, atol=0.15, err_msg=style)


def test_seed_ranges_are_disjoint():
    spans = sorted((seeds.start, seeds.stop) for seeds in SEED_RANGES.values())
    assert set(SEED_RANGES) == {"fit", "choose", "test"}
    assert all(stop <= start for (_, stop), (start, _) in zip(spans, spans[1:], strict=False))


def test_split_seeds_stay_inside_their_range():
    assert split_seeds("choose", 3, 2) == range(1_000_002, 1_000_005)
    with pytest.raises(ValueError, match="no 2 seeds"):
        split_seeds("test", 2, 999_999)


def test_every_style_has_one_role():
    assert {SOURCE_STYLE, *TARGET_STYLES, *HELD_OUT_STYLES} == set(STYLES)
    codes = [code for code, _ in STYLES.values()]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(("style", "size_hw"), [("dusk", (64, 64)), ("day", (31, 64))])
def test_unknown_style_or_tiny_size_is_refused(style, size_hw):
    with pytest.raises(ValueError, match="unknown style|at least 32"):
        generate_scene(style, 0, size_hw)


def test_dataset_gives_the_generated_pairs():
    dataset = SceneDataset("fog", range(4, 6), SMALL_HW)
    image, label = dataset[1]
    scene = generate_scene("fog", 5, SMALL_HW)
    assert len(dataset) == 2
    np.testing.assert_array_equal(image, scene.image)
    np.testing.assert_array_equal(label, scene.label)
    assert dataset[1][0] is image
