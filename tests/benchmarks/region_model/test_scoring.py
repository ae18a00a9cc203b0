from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from benchmarks.region_model.report import print_table, score_folder, score_scenes
from benchmarks.region_model.samples import box_of
from benchmarks.region_model.scoring import (
    ObjectScore,
    _sampled,
    score_image,
    summarise,
    table_of,
    thickness_px,
)
from benchmarks.region_model.segments import segments_of
from tests.benchmarks.region_model.tiny import random_sam, tiny_sources

SCORE = ObjectScore(300, 10.0, True, 0.8, 0.9, 0.4, 0.7, 0.6)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_scores_are_those_of_the_package_s_predictor():
    sam = random_sam()
    image, label, instances = tiny_sources(1)[0]
    scores = score_image(sam, (image, label, instances), np.random.default_rng(7))
    segments = segments_of(label, instances)
    assert [s.area_px for s in scores] == np.bincount(segments.ravel())[1:].tolist()
    assert [s.thing for s in scores] == [False, False, True]
    predictor, rng = SamPredictor(sam), np.random.default_rng(7)
    predictor.set_image(image)
    for number, score in enumerate(scores, start=1):
        target = segments == number
        masks, estimates, _ = predictor.predict(box=box_of(target), multimask_output=False)
        assert score.box_iou == pytest.approx(iou(masks[0], target), abs=1e-3)
        assert score.box_estimate == pytest.approx(estimates[0], abs=1e-4)
        y, x = np.divmod(rng.choice(np.flatnonzero(target)), 64)
        assert target[y, x]
        masks, estimates, _ = predictor.predict(
            np.array([[x, y]]), np.array([1]), multimask_output=True
        )
        every = [iou(mask, target) for mask in masks]
        assert score.point_iou == pytest.approx(every[estimates.argmax()], abs=1e-3)
        assert score.point_estimate == pytest.approx(estimates.max(), abs=1e-4)
        assert score.best_of_three_iou == pytest.approx(max(every), abs=1e-3)


def test_perfect_masks_score_one(monkeypatch):
    image, label, instances = tiny_sources(1)[0]
    segments = segments_of(label, instances)

    def answers(sam, embeddings, sparse):
        return _Answers(len(sparse))

    def masks(sam, found):
        square = np.full((found.count, 4, 64, 64), -1.0, np.float32)
        for number in range(found.count):
            square[number, [0, 2], :48] = np.where(segments == number + 1, 1.0, -1.0)
        return torch.from_numpy(square)

    monkeypatch.setattr("benchmarks.region_model.scoring.answer_prompts", answers)
    monkeypatch.setattr("benchmarks.region_model.scoring.all_masks", masks)
    scores = score_image(random_sam(), (image, label, instances), np.random.default_rng(0))
    assert [s.box_iou for s in scores] == [1.0, 1.0, 1.0]
    assert [s.point_iou for s in scores] == [0.0, 0.0, 0.0]  # it believes in an empty mask
    assert [s.best_of_three_iou for s in scores] == [1.0, 1.0, 1.0]
    assert {(s.box_estimate, round(s.point_estimate, 3)) for s in scores} == {(0.5, 0.9)}


class _Answers:
    def __init__(self, count: int) -> None:
        self.count = count
        self.iou = torch.tensor([[0.5, 0.1, 0.2, 0.9]]).expand(count, -1)


def test_segments_count_at_the_size_of_the_network():
    image, label, instances = tiny_sources(1)[0]
    twice = [np.repeat(np.repeat(v, 2, 0), 2, 1) for v in (image, label)]
    scores = score_image(random_sam(), (twice[0], twice[1], None), np.random.default_rng(0))
    assert sorted(s.area_px for s in scores) == sorted(np.bincount(label.ravel()))
    assert not any(s.thing for s in scores)


def test_nothing_to_find_gives_no_scores():
    image = np.zeros((48, 64, 3), np.uint8)
    for label in (np.full((48, 64), 255, np.uint8), np.arange(3072, dtype=np.uint8) % 200):
        source = (image, label.reshape(48, 64), None)
        assert score_image(random_sam(), source, np.random.default_rng(0)) == []


@pytest.mark.parametrize(
    ("shape", "part", "expected"),
    [
        ((9, 20), np.s_[3:6, :], 4.0),  # a bar of 3 pixels from border to border
        ((9, 20), np.s_[:4, :], 4.0),  # along the border
        ((9, 20), np.s_[2:7, 5:17], 6.0),
        ((3, 3), np.s_[1, 1], 2.0),
    ],
)
def test_thickness(shape, part, expected):
    mask = np.zeros(shape, bool)
    mask[part] = True
    assert thickness_px(mask) == expected


def test_labels_are_taken_at_the_centres_of_pixels():
    values = np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(_sampled(values, (2, 4)), [[0, 1, 3, 4], [5, 6, 8, 9]])
    np.testing.assert_array_equal(_sampled(values, (2, 5)), values)
    np.testing.assert_array_equal(_sampled(values, (1, 10))[0], np.repeat(values[1], 2))


def test_summary_of_objects():
    other = replace(SCORE, box_iou=0.6, box_estimate=0.5, point_iou=0.8, point_estimate=0.7)
    assert summarise([SCORE, other]) == {
        "objects": 2,
        "box_iou": 0.7,
        "point_iou": 0.6,
        "best_of_three_iou": 0.6,
        "box_estimate_error": 0.1,
        "point_estimate_error": 0.2,
        "point_estimate_bias": 0.1,
    }
    empty = summarise([])
    assert empty.pop("objects") == 0
    assert set(empty.values()) == {None}


def test_table_splits_by_style_size_thickness_and_kind():
    scores = {
        "day": [replace(SCORE, area_px=a) for a in (200, 499, 500, 2000)],
        "fog": [replace(SCORE, area_px=8000, thickness_px=6.0, thing=False)],
    }
    counts = {name: row["objects"] for name, row in table_of(scores).items()}
    assert counts == {
        "all": 5,
        "day": 4,
        "fog": 1,
        "200-500 px": 2,
        "500-2000 px": 1,
        "2000-8000 px": 1,
        "from 8000 px": 1,
        "thin (up to 6 px)": 1,
        "thicker": 4,
        "things": 4,
        "stuff": 1,
    }


def test_scenes_are_scored_the_same_each_time_and_printed(capsys):
    from rich.console import Console

    sam = random_sam()
    first, second = (score_scenes(sam, ("day", "fog"), "choose", 1) for _ in range(2))
    assert first["table"] == second["table"]
    assert first["table"]["day"]["objects"] == first["table"]["fog"]["objects"] > 0
    assert first["longest_side_px"] == 64
    print_table(first["table"], Console(width=120))
    assert "thin (up to 6 px)" in capsys.readouterr().out


def test_folder_is_thinned_evenly():
    class Folder(list):
        def __getitem__(self, index):
            asked.append(index)
            return tiny_sources(1)[0][:2]

    asked: list[int] = []
    result = score_folder(random_sam(), Folder(range(6)), 3)  # type: ignore[arg-type]
    assert asked == [0, 2, 4]
    assert result["images"] == 3
    assert result["table"]["images"]["objects"] == 9
