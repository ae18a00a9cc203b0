from pathlib import Path

import numpy as np

from benchmarks.quality.folders import TARGET_LABELS, ClassList, LabelledFolder, list_images
from benchmarks.quality.scenes_data import write_scenes
from benchmarks.scenes import SCENE_ONTOLOGY, generate_scene, split_seeds


def write_small(cache: Path, style: str, split: str) -> Path:
    return write_scenes(cache, style, split, counts=(2, 1, 2), size_hw=(48, 64))


def test_scenes_are_laid_out_as_a_data_set(tmp_path):
    data = write_small(tmp_path, "fog", "choose")
    classes = ClassList.read(data / "classes.json")
    assert classes.ontology == SCENE_ONTOLOGY
    counts = {}
    for part, labels in (
        ("source", "labels"),
        ("source_val", "labels"),
        ("target", TARGET_LABELS),
    ):
        images = tuple(list_images(data / part / "images"))
        counts[part] = len(images)
        image, label = LabelledFolder(images, data / part / labels, classes)[0]
        assert image.shape == (48, 64, 3)
        assert label.shape == (48, 64)
    assert counts == {"source": 2, "source_val": 1, "target": 2}


def test_target_has_the_style_and_the_seeds_of_the_split(tmp_path):
    data = write_small(tmp_path, "night", "test")
    seed = split_seeds("test", 1)[0]
    scene = generate_scene("night", seed, (48, 64))
    images = tuple(list_images(data / "target" / "images"))
    truth = LabelledFolder(
        images, data / "target" / TARGET_LABELS, ClassList.read(data / "classes.json")
    )
    image, label = truth[0]
    np.testing.assert_array_equal(image, scene.image)
    np.testing.assert_array_equal(label, scene.label)


def test_no_seed_is_in_two_parts_and_a_second_call_draws_nothing(tmp_path):
    data = write_small(tmp_path, "fog", "choose")
    stems = [p.stem for part in data.glob("*/images") for p in part.iterdir()]
    assert len(set(stems)) == len(stems) == 5
    before = (data / "classes.json").stat().st_mtime_ns
    assert write_small(tmp_path, "fog", "choose") == data
    assert (data / "classes.json").stat().st_mtime_ns == before
