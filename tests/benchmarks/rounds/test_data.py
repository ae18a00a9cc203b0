"""Images of the benchmark of rounds."""

from benchmarks.rounds.data import JUDGING_IMAGES, folder_data, scenes_data
from benchmarks.scenes import generate_scene, split_seeds
from tests.benchmarks.quality.tiny_data import write_data


def test_scenes_are_drawn_once_and_a_smaller_set_is_the_beginning_of_a_larger_one(tmp_path):
    large = scenes_data(tmp_path, "night", "choose", (2, 3, 2), (32, 48))
    files = sorted(tmp_path.rglob("*"))
    small = scenes_data(tmp_path, "night", "choose", (1, 2, 1), (32, 48))
    assert sorted(tmp_path.rglob("*")) == files
    assert (small.unlabelled.images == large.unlabelled.images[:2]).all()
    assert small.unlabelled.ids == large.unlabelled.ids[:2]
    first = generate_scene("night", split_seeds("choose", 1)[0], (32, 48))
    assert (small.held_out.labels[0] == first.label).all()
    parts = (large.source, large.judging, large.unlabelled, large.held_out)
    assert len({name for part in parts for name in part.ids}) == 7 + JUDGING_IMAGES
    test = scenes_data(tmp_path, "night", "test", (1, 1, 1), (32, 48))
    assert test.held_out.ids[0] not in {*large.unlabelled.ids, *large.held_out.ids}


def test_every_third_image_of_a_folder_is_held_out(tmp_path):
    data = folder_data(write_data(tmp_path / "data"), (16, 20), (4, 100, 100))
    assert not set(data.unlabelled.ids) & set(data.held_out.ids)
    assert len(data.held_out) == (len(data.unlabelled) + len(data.held_out)) // 3
    assert data.unlabelled.images.shape[1:] == (16, 20, 3)
