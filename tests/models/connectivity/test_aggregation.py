import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.aggregation import aggregate
from models.connectivity.config import VARIANTS, AggregateConfig
from models.connectivity.features import FeatureMap
from models.errors import ModelOutputInvalid
from models.promptable.base import Masks
from tests.models.connectivity.fakes import DrawnRegionModel, embedding_of, masks_of, taken

OURS = AggregateConfig()
PAPER = AggregateConfig(variant="paper")
PUBLIC_CODE = AggregateConfig(variant="public-code")
STUFF = ("stuff", "stuff", "stuff")


def label_of(*rows: Any) -> Any:
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def drawing(*rows: Any) -> Any:
    return np.array([[c == "#" for c in row] for row in rows], np.uint8)


def rows_of(label: Any) -> Any:
    return ["".join("." if c == 255 else str(c) for c in row) for row in label]


def grown(
    kept: Any,
    model: Any,
    kinds: Any = STUFF,
    config: Any = OURS,
    weight: Any = 1.0,
    probabilities: Any = None,
) -> Any:
    weights = np.broadcast_to(np.float32(weight), kept.shape)
    embedding = embedding_of(kept.shape)
    return aggregate(kept, weights, embedding, model, kinds, config, probabilities)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class TestAlignment:
    KEPT = label_of("0011......", "..........")
    LEFT = drawing("#####.....", "#####.....")

    def test_a_mask_takes_the_class_of_most_of_its_kept_pixels(self):
        kept = label_of("01111.....", "..........")
        found = grown(kept, DrawnRegionModel(masks_of([self.LEFT], [0.75])))
        assert rows_of(found.label) == ["11111.....", "11111....."]
        assert found.pieces.tolist() == [[1] * 5 + [0] * 5] * 2
        assert found.quality.tolist() == [0.75]
        assert (found.label.dtype, found.pieces.dtype, found.quality.dtype) == (
            np.uint8,
            np.int32,
            np.float32,
        )

    def test_votes_count_with_their_confidence(self):
        kept = label_of("00011", ".....")
        weight = np.array([[0.5, 0.5, 0.5, 1, 1], [0] * 5], np.float32)
        model = DrawnRegionModel(masks_of([np.ones((2, 5))]))
        found = aggregate(kept, weight, embedding_of((2, 5)), model, STUFF, OURS)
        assert rows_of(found.label) == ["11111", "11111"]

    def test_pixels_that_were_not_kept_vote_by_their_probabilities(self):
        kept = label_of("01...", ".....")
        model = DrawnRegionModel(masks_of([np.ones((2, 5))]))
        likely = torch.zeros(3, 2, 5)
        likely[0], likely[1] = 0.25, 0.75
        found = grown(kept, model, probabilities=FeatureMap(likely, (2, 5)))
        assert rows_of(found.label) == ["11111", "11111"]
        # Without probabilities the two kept pixels are at odds, and each stays what it is.
        assert rows_of(grown(kept, model).label) == ["01000", "00000"]

    def test_a_class_without_kept_pixels_is_not_written(self):
        kept = label_of("0....", ".....")
        model = DrawnRegionModel(masks_of([np.ones((2, 5))]))
        certain = torch.zeros(3, 2, 5)
        certain[2] = 1.0
        found = grown(kept, model, probabilities=FeatureMap(certain, (2, 5)))
        assert rows_of(found.label) == ["00000", "00000"]

    def test_public_code_wants_more_than_a_fifth_of_all_labelled_pixels(self):
        kinds = ("stuff", "thing", "stuff")
        ten = label_of("00111", "11111")  # exactly 0.20 is stuff
        nothing = grown(ten, DrawnRegionModel(masks_of([np.ones((2, 5))])), kinds, PUBLIC_CODE)
        assert rows_of(nothing.label) == [".....", "....."]
        more = label_of("00011", "11111")
        found = grown(more, DrawnRegionModel(masks_of([np.ones((2, 5))])), kinds, PUBLIC_CODE)
        assert rows_of(found.label) == ["00000", "00000"]

    def test_paper_has_no_threshold(self):
        kept = label_of("01111", "11111")
        model = DrawnRegionModel(masks_of([np.ones((2, 5))]))
        found = grown(kept, model, ("stuff", "thing"), PAPER)
        assert rows_of(found.label) == ["00000", "00000"]

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_mask_may_have_to_have_enough_kept_pixels_and_a_majority(self, variant):
        ones = DrawnRegionModel(masks_of([np.ones((2, 5))]))
        one_in_ten = label_of("1....", ".....")
        config = AggregateConfig(variant=variant, least_coverage=0.1)
        assert rows_of(grown(one_in_ten, ones, config=config).label) == ["11111", "11111"]
        config = AggregateConfig(variant=variant, start="nothing", least_coverage=0.11)
        assert rows_of(grown(one_in_ten, ones, config=config).label) == [".....", "....."]
        config = AggregateConfig(variant=variant, start="nothing", least_share=0.5)
        two_of_four = label_of("0011.", ".....")
        assert rows_of(grown(two_of_four, ones, config=config).label) == [".....", "....."]

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_mask_without_kept_pixels_leaves_its_pixels_untouched(self, variant):
        away = drawing("......####", "......####")
        model = DrawnRegionModel(masks_of([away, self.LEFT]))
        found = grown(self.KEPT, model, config=AggregateConfig(variant=variant))
        assert rows_of(found.label)[0][5:] == "....."
        assert rows_of(found.label)[1][5:] == "....."


class TestOverlaps:
    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.sampled_from(VARIANTS), st.sampled_from(["kept", None]))
    def test_is_independent_of_the_order_of_proposals(self, seed, variant, start):
        rng = np.random.default_rng(seed)
        kept = np.kron(rng.choice([0, 1, 2, 255], (4, 5)), np.ones((4, 4))).astype(np.uint8)
        weight = rng.choice([0.25, 0.5, 1.0], kept.shape).astype(np.float32)
        drawings, iou = [], []
        for _ in range(rng.integers(0, 9)):
            mask = np.zeros(kept.shape)
            y, x = rng.integers(0, 12, 2)
            mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = 1
            drawings.append(mask)
            iou.append(rng.choice([0.5, 0.75, 1.5]))
        drawings += drawings[:2]
        proposals = masks_of(drawings, iou + iou[:2])
        config = AggregateConfig(variant=variant, start=start)
        before = kept.copy()
        results = []
        for order in (list(range(len(drawings))), rng.permutation(len(drawings)).tolist()):
            model = DrawnRegionModel(taken(proposals, order))
            kinds = ("stuff", "stuff", "thing")
            results.append(aggregate(kept, weight, embedding_of(kept.shape), model, kinds, config))
        one, other = results
        assert (one.label == other.label).all()
        assert (one.pieces == other.pieces).all()
        assert (one.quality == other.quality).all()
        assert (kept == before).all()

    def test_the_paper_paints_better_masks_over_worse_ones(self):
        kept = label_of("000011", "000011", "0000..")
        whole, right = np.ones((3, 6)), drawing("....##", "....##", "....##")
        masks = masks_of([whole, right], [0.8, 0.9])
        found = grown(kept, DrawnRegionModel(masks), config=PAPER)
        assert rows_of(found.label) == ["000011"] * 3
        assert found.pieces.tolist() == [[1, 1, 1, 1, 2, 2]] * 3
        assert found.quality == pytest.approx([0.8, 0.9])

    def test_in_ours_the_purer_mask_has_more_to_say_and_each_pixel_a_mask_of_its_class(self):
        kept = label_of("000011", "000011", "0000..")
        whole, right = np.ones((3, 6)), drawing("....##", "....##", "....##")
        for masks in (masks_of([whole, right], [0.9, 0.8]), masks_of([right, whole], [0.8, 0.9])):
            found = grown(kept, DrawnRegionModel(masks))
            assert rows_of(found.label) == ["000011"] * 3
            assert found.pieces.tolist() == [[2, 2, 2, 2, 1, 1]] * 3
            assert found.quality == pytest.approx([0.8, 0.9])

    def test_in_ours_a_mask_that_is_hardly_trusted_has_little_to_say(self):
        kept = label_of("000011", "000011", "0000..")
        whole, right = np.ones((3, 6)), drawing("....##", "....##", "....##")
        masks = masks_of([whole, right], [1.0, 0.1])
        found = grown(kept, DrawnRegionModel(masks))
        # Only the pixels that were kept hold out, with the small mask, where nothing else was said.
        assert rows_of(found.label)[2] == "000000"

    def test_public_code_paints_worse_proposals_over_better_ones(self):
        kept = label_of("000011", "000011", "0000..")
        whole, right = np.ones((3, 6)), drawing("....##", "....##", "....##")
        found = grown(
            kept, DrawnRegionModel(masks_of([whole, right], [0.8, 0.9])), STUFF, PUBLIC_CODE
        )
        assert rows_of(found.label) == ["000000"] * 3
        found = grown(
            kept, DrawnRegionModel(masks_of([whole, right], [0.9, 0.8])), STUFF, PUBLIC_CODE
        )
        assert rows_of(found.label) == ["000011"] * 3

    def test_starting_from_nothing_loses_pixels_in_no_mask_and_from_kept_does_not(self):
        kept = label_of("00.2", "00.2")
        model = DrawnRegionModel(masks_of([drawing("###.", "###.")]))
        assert rows_of(grown(kept, model).label) == ["0002", "0002"]
        from_nothing = grown(kept, model, config=replace(OURS, start="nothing"))
        assert rows_of(from_nothing.label) == ["000.", "000."]
        assert rows_of(grown(kept, model, config=PAPER).label) == ["000.", "000."]
        from_kept = grown(kept, model, config=replace(PAPER, start="kept"))
        assert rows_of(from_kept.label) == ["0002", "0002"]


class TestPrompts:
    ASKING = replace(OURS, align="stuff", prompt="things")
    KINDS = ("stuff", "thing", "thing")
    KEPT = np.full((20, 30), 255, np.uint8)
    KEPT[2:6, 2:8] = 1
    KEPT[10:18, 4:10] = 2
    KEPT[10:14, 20:26] = 1

    def test_all_components_are_asked_for_in_one_call(self):
        model = DrawnRegionModel()
        found = grown(self.KEPT, model, self.KINDS, replace(self.ASKING, start="nothing"))
        (asked,) = model.asked
        assert len(asked) == 3
        assert asked.points_xy is not None
        assert asked.points_xy.shape == (3, 2, 2)
        assert model.grids == []  # no kept pixel is stuff
        assert found.label[3, 3] == found.label[12, 22] == 1
        assert found.label[12, 6] == 2
        assert sorted(np.unique(found.pieces)) == [0, 1, 2, 3]

    def test_public_code_paints_things_over_stuff_by_rising_class(self):
        kept = self.KEPT.copy()
        kept[:, 28:] = 0
        both = np.zeros((20, 30))
        both[:, :28] = 1
        model = DrawnRegionModel(masks_of([np.ones((20, 30))]), masks_of([both, both, both]))
        found = grown(kept, model, self.KINDS, PUBLIC_CODE)
        assert (found.label[:, :28] == 2).all()
        assert (found.label[:, 28:] == 0).all()

    def test_an_answer_votes_as_any_other_mask_does(self):
        kept = self.KEPT.copy()
        kept[2:6, 8:16] = 0
        leaking = np.zeros((20, 30))
        leaking[2:6, 2:16] = 1  # 24 pixels of class 1, 32 of class 0
        empty = np.zeros((20, 30))
        answers = masks_of([leaking, empty, empty])
        ours = grown(kept, DrawnRegionModel(None, answers), self.KINDS, self.ASKING)
        assert (ours.label[2:6, 8:16] == 0).all()
        theirs = grown(kept, DrawnRegionModel(None, answers), self.KINDS, PUBLIC_CODE)
        assert (theirs.label[2:6, 2:16] == 1).all()

    def test_proposals_take_only_the_classes_that_are_aligned(self):
        kept = self.KEPT.copy()
        kept[:, 28:] = 0
        model = DrawnRegionModel(masks_of([np.ones((20, 30))]))
        found = grown(kept, model, self.KINDS, replace(OURS, align="stuff"))
        assert (found.label[self.KEPT == 255] == 0).all()
        every = grown(kept, model, self.KINDS)
        assert (every.label[kept == 255] == 1).all()

    def test_an_answer_far_from_its_box_is_not_taken(self):
        answers = masks_of([np.ones((20, 30))] * 3)
        kept = np.where(self.KEPT == 2, np.uint8(255), self.KEPT)
        answers = taken(answers, [0, 1])
        ours = grown(kept, DrawnRegionModel(None, answers), self.KINDS, self.ASKING)
        assert (ours.label == kept).all()
        theirs = grown(kept, DrawnRegionModel(None, answers), self.KINDS, PAPER)
        assert (theirs.label == 1).all()

    def test_prompting_only_and_alignment_only(self):
        kept = self.KEPT.copy()
        kept[:, 26:] = 0
        model = DrawnRegionModel(masks_of([np.ones((20, 30))]))
        grown(kept, model, self.KINDS, replace(OURS, align="none", prompt="all"))
        assert model.grids == []
        assert [len(a) for a in model.asked] == [4]
        aligned = DrawnRegionModel(masks_of([self.KEPT == 2]))
        found = grown(kept, aligned, self.KINDS, replace(OURS, align="all", prompt="none"))
        assert aligned.asked == []
        assert found.pieces[12, 6] == 1
        assert found.label[12, 6] == 2
        neither = DrawnRegionModel(masks_of([np.ones((20, 30))]))
        found = grown(kept, neither, self.KINDS, replace(OURS, align="none", prompt="none"))
        assert (found.label == kept).all()
        assert (neither.asked, neither.grids) == ([], [])

    def test_the_grid_is_asked_for_as_configured(self):
        kept = np.zeros((4, 4), np.uint8)
        model = DrawnRegionModel()
        config = AggregateConfig.from_dict({"proposals": {"mode": "exact", "points_per_side": 7}})
        grown(kept, model, STUFF, config)
        (grid,) = model.grids
        assert (grid.mode, grid.points_per_side, grid.least_iou) == ("exact", 7, 0.88)


class TestUnusualInput:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_no_kept_pixels_give_an_empty_label_and_no_question(self, variant):
        model = DrawnRegionModel(masks_of([np.ones((3, 4))]))
        kept = np.full((3, 4), 255, np.uint8)
        found = grown(kept, model, ("stuff", "thing"), AggregateConfig(variant=variant))
        assert (found.label == 255).all()
        assert not found.pieces.any()
        assert found.quality.shape == (0,)
        assert (model.asked, model.grids) == ([], [])

    @pytest.mark.parametrize("proposals", [Masks(), masks_of([np.zeros((3, 4))])])
    def test_without_masks_the_kept_pixels_are_the_label(self, proposals):
        kept = label_of("01..", "01..", "22..")
        found = grown(kept, DrawnRegionModel(proposals))
        assert (found.label == kept).all()
        assert not found.pieces.any()
        from_nothing = grown(kept, DrawnRegionModel(proposals), config=PUBLIC_CODE)
        assert (from_nothing.label == 255).all()

    def test_one_giant_region(self):
        kept = label_of("00..", "0...", "....")
        found = grown(kept, DrawnRegionModel(masks_of([np.ones((3, 4))])))
        assert (found.label == 0).all()
        assert (found.pieces == 1).all()

    def test_all_kept_pixels_without_weight_give_no_class(self):
        kept = np.zeros((3, 4), np.uint8)
        found = grown(kept, DrawnRegionModel(masks_of([np.ones((3, 4))])), weight=0)
        assert (found.label == kept).all()
        assert not found.pieces.any()

    def test_an_estimate_that_is_no_number_counts_as_nought(self):
        kept = np.zeros((3, 4), np.uint8)
        found = grown(kept, DrawnRegionModel(masks_of([np.ones((3, 4))], [np.nan])))
        assert found.quality.tolist() == [0]
        assert (found.pieces == 1).all()

    def test_fifty_thousand_components_of_one_pixel(self):
        kept = np.full((500, 400), 255, np.uint8)
        kept[::2, ::2] = 1
        model = DrawnRegionModel()
        found = grown(kept, model, ("stuff", "thing"), AggregateConfig(prompt="things"))
        assert (found.label == kept).all()
        assert model.asked == []

    def test_what_does_not_belong_together_is_refused(self):
        kept = np.zeros((3, 4), np.uint8)
        weight = np.ones((3, 4), np.float32)
        model = DrawnRegionModel()
        with pytest.raises(ValueError, match="do not belong together"):
            aggregate(kept, weight, embedding_of((4, 3)), model, STUFF, OURS)
        with pytest.raises(ValueError, match="do not belong together"):
            aggregate(kept, weight[:2], embedding_of((3, 4)), model, STUFF, OURS)
        with pytest.raises(ValueError, match="class 3 occurs, but only 3 classes have a kind"):
            aggregate(kept + np.uint8(3), weight, embedding_of((3, 4)), model, STUFF, OURS)

    def test_masks_of_the_wrong_size_or_number_are_refused(self):
        kept = np.zeros((4, 4), np.uint8)
        with pytest.raises(ModelOutputInvalid, match=r"\(2, 2\) pixels for an image of \(4, 4\)"):
            grown(kept, DrawnRegionModel(masks_of([np.ones((2, 2))])))
        config = AggregateConfig(prompt="things")
        with pytest.raises(ModelOutputInvalid, match="1 prompts have 0 answers"):
            grown(kept, DrawnRegionModel(None, Masks()), ("thing",), config)


def test_a_flat_scene_grows_to_its_regions():
    truth = np.kron(label_of("000", "001", "211"), np.ones((8, 8))).astype(np.uint8)
    kept = np.full_like(truth, 255)
    for class_id in range(3):
        ys, xs = np.nonzero(truth == class_id)
        kept[ys[::2], xs[::2]] = class_id
    proposals = masks_of([truth == c for c in (0, 1, 2)], [0.9, 0.95, 0.88])
    for variant in VARIANTS:
        found = grown(kept, DrawnRegionModel(proposals), config=AggregateConfig(variant=variant))
        assert (found.label == truth).all()
        assert len(np.unique(found.pieces)) == 3
