"""The label path with the stages for regions."""

import numpy as np
import pytest

from models.config import PipelineConfig, SelectConfig
from models.connectivity.config import AggregateConfig, CorrectConfig
from models.connectivity.evidence import pack_evidence, unpack_evidence
from models.errors import CorrectionFitMissing, ModelOutputInvalid
from models.pipeline import LabelPipeline
from models.promptable.base import Embedding, RgbImage
from models.region_label import finish_label, paint
from tests.models.connectivity.fakes import DrawnRegionModel, masks_of
from tests.models.fakes import RedModel

# Of the two rows the upper is surely 0, the lower surely 1; the last column is in doubt.
REDS = np.array([[0, 0, 0, 110], [255, 255, 255, 140]], np.uint8)
UPPER = np.array([[1, 1, 1, 1], [0, 0, 0, 0]])
LOWER = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
SELECT = SelectConfig(thresholds=0.9)
AGGREGATE = AggregateConfig()


def picture() -> RgbImage:
    image = np.zeros((2, 4, 3), np.uint8)
    image[..., 0] = REDS
    return image


def drawn() -> DrawnRegionModel:
    return DrawnRegionModel(masks_of([UPPER, LOWER], [0.9, 0.8]))


class BrokenRegionModel(DrawnRegionModel):
    def encode(self, image: RgbImage) -> Embedding:
        raise ModelOutputInvalid("the embedding is not finite")


def pipeline(
    correct: CorrectConfig | None = None, keep_stages: bool = False, **more
) -> LabelPipeline:
    config = PipelineConfig(
        select=SELECT, aggregate=AGGREGATE, correct=correct, keep_stages=keep_stages
    )
    return LabelPipeline(RedModel(), config, region_model=more.pop("region_model", drawn()), **more)


def test_kept_pixels_grow_to_whole_masks():
    (maps,) = pipeline(keep_stages=True).label([picture()])
    assert maps.stages["select"].tolist() == [[0, 0, 0, 255], [1, 1, 1, 255]]
    assert maps.label.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert maps.stages["aggregate"].tolist() == maps.label.tolist()
    assert list(maps.stages) == ["predict", "select", "aggregate"]
    assert maps.summary["coverage"] == 1.0
    assert maps.regions_json is not None
    assert [r["area"] for r in maps.regions_json["regions"]] == [4, 4]
    assert "notes" not in maps.summary


def test_confidence_of_a_grown_pixel_is_between_its_own_and_that_of_its_region():
    (maps,) = pipeline().label([picture()])
    own = np.rint(255 / (1 + np.exp(-np.abs(10.0 * REDS / 255 - 5))))
    assert maps.confidence[0, 3] > own[0, 3]
    assert maps.confidence[0, 3] < maps.confidence[0, 0]


def test_an_image_on_which_the_region_model_fails_keeps_its_label():
    (maps,) = pipeline(region_model=BrokenRegionModel(), keep_stages=True).label([picture()])
    assert maps.label.tolist() == [[0, 0, 0, 255], [1, 1, 1, 255]]
    assert maps.summary["notes"] == ["aggregate was left out: the embedding is not finite"]


def test_aggregate_needs_a_region_model():
    with pytest.raises(ValueError, match="'aggregate' needs a region model"):
        LabelPipeline(RedModel(), PipelineConfig(aggregate=AGGREGATE))


def test_stages_for_regions_need_the_image():
    path = pipeline()
    (prediction,) = path.predict([picture()])
    with pytest.raises(ValueError, match="give it"):
        path.finish(prediction)


def test_given_labels_take_the_place_of_selected_ones():
    path = pipeline()
    (prediction,) = path.predict([picture()])
    given = np.full((2, 4), 255, np.uint8)
    given[0, :3] = 1  # the other way round than the model would have it
    maps = path.finish(prediction, picture(), kept=given)
    assert maps.label.tolist() == [[1, 1, 1, 1], [255, 255, 255, 255]]


class TestCorrect:
    def test_without_a_classifier_regions_are_kept_or_rejected(self):
        config = CorrectConfig(fit="model", keep_below=0.6)
        (maps,) = pipeline(config, keep_stages=True).label([picture()])
        assert maps.regions_json is not None
        assert maps.regions_json["decided_by"] == "none"
        assert {r["decision"] for r in maps.regions_json["regions"]} <= {"kept", "rejected"}
        assert maps.stages["correct"].tolist() == maps.label.tolist()

    def test_without_aggregate_the_regions_are_the_components_of_the_kept_pixels(self):
        config = PipelineConfig(select=SELECT, correct=CorrectConfig(fit="model", keep_below=1.0))
        (maps,) = LabelPipeline(RedModel(), config).label([picture()])
        assert maps.label.tolist() == [[0, 0, 0, 255], [1, 1, 1, 255]]
        assert maps.regions_json is not None
        assert [r["area"] for r in maps.regions_json["regions"]] == [3, 3]

    def test_a_fit_of_the_job_takes_two_passes(self):
        path = pipeline(CorrectConfig())
        assert path.needs_job_fit
        (prediction,) = path.predict([picture()])
        with pytest.raises(CorrectionFitMissing):
            path.finish(prediction, picture())

    def test_two_passes_give_what_one_call_gives(self):
        images = [picture(), np.ascontiguousarray(picture()[::-1]), picture()[:, ::-1].copy()]
        at_once = pipeline(CorrectConfig()).label(images)
        path = pipeline(CorrectConfig())
        fit = path.fit_correction([])  # three images are too few for a fit of their own
        for image, expected in zip(images, at_once, strict=True):
            (prediction,) = path.predict([image])
            evidence = unpack_evidence(pack_evidence(path.evidence(prediction, image)))
            found = finish_label(evidence, fit, "any")
            np.testing.assert_array_equal(found.label, expected.label)
            # Evidence keeps confidences in steps of 1/255.
            assert np.abs(found.confidence.astype(int) - expected.confidence).max() <= 2


def test_painting_regions_gives_the_label_back():
    path = pipeline()
    (prediction,) = path.predict([picture()])
    regions = path.evidence(prediction, picture()).regions
    assert paint(regions, regions.classes).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert paint(regions, np.array([255, 1], np.uint8)).tolist() == [[255] * 4, [1] * 4]
