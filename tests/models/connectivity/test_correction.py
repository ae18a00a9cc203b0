import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.connectivity.classifier import fit_prior
from models.connectivity.config import CorrectConfig
from models.connectivity.correction import apply_correction, fit_correction
from models.connectivity.correction_fit import CorrectionFit
from models.connectivity.features import mean_probabilities
from models.connectivity.regions import Regions
from models.connectivity.rules import Decision
from models.connectivity.sample import Sample, image_key, merge_parts, sample_of
from models.connectivity.training import TrainingSettings
from tests.models.connectivity.region_toys import CLASSES, WIDTH, regions_of_vectors, toy

torch.set_num_threads(1)
QUICK = TrainingSettings(hidden=32, round_steps=16, learning_rate=3e-3)
ENOUGH = CorrectConfig(mode="mixture", least_regions=100)
KEPT, RELABELLED, REJECTED = (int(decision) for decision in Decision)


@pytest.fixture(scope="module")
def found():
    return toy(count=900, noise=0.3)


@pytest.fixture(scope="module")
def sample(found):
    return found.sample()


@pytest.fixture(scope="module")
def own(sample):
    return fit_correction(sample, ENOUGH, settings=QUICK)


@pytest.fixture(scope="module")
def prior():
    other = toy(count=800, noise=0.3, seed=3)
    images = other.images.astype(np.uint64)
    return fit_prior(other.features, other.given, other.true, images, CLASSES, settings=QUICK)


def fates(fit: Any, found: Any) -> Any:
    """Decisions on all regions of a toy, in its order."""
    decisions = np.zeros(len(found.given), np.uint8)
    after = np.zeros(len(found.given), np.uint8)
    for image in np.unique(found.images):
        of_image = apply_correction(fit, found.regions(image), f"image {image}")
        assert of_image.decided_by == fit.decided_by
        decisions[found.images == image] = of_image.decisions
        after[found.images == image] = of_image.classes_after
    return decisions, after


def test_a_jobs_own_fit_finds_and_mends_what_is_wrong(found, own):
    assert own.decided_by == "job"
    assert "fall into two groups" in own.reason
    assert own.separation == own.mixture.separation > 2
    assert own.rounds > 0
    assert sum(own.class_regions) == 900
    decisions, after = fates(own, found)
    kept, relabelled = decisions == KEPT, decisions == RELABELLED
    assert not found.flipped[kept].mean() > 0.1
    assert kept.mean() > 0.6
    assert relabelled[found.flipped].mean() > 0.5
    assert (after == found.true)[relabelled].mean() > 0.9
    assert (after[decisions == REJECTED] == 255).all()


def test_the_posterior_and_the_probability_of_what_is_written(found, own):
    result = apply_correction(own, found.regions(2), "image 2")
    flipped = found.flipped[found.images == 2]
    assert result.posterior[flipped].min() > result.posterior[~flipped].mean()
    written = result.decisions != REJECTED
    assert (result.probability[written] > 0.5).mean() > 0.9
    assert (result.probability[result.decisions == RELABELLED] > 0.95).all()
    assert {result.posterior.dtype, result.probability.dtype} == {np.dtype(np.float32)}


def test_a_fit_is_plain_json_and_depends_on_the_sample_alone(found, own):
    parts = [sample_of(found.regions(i), f"image {i}", 0) for i in np.unique(found.images)]
    shuffled = merge_parts([*parts[::-1], parts[3]])
    assert shuffled is not None
    again = fit_correction(shuffled, ENOUGH, settings=QUICK)
    text = json.dumps(own.to_dict(), allow_nan=False)
    assert json.dumps(again.to_dict()) == text
    copy = CorrectionFit.from_dict(json.loads(text))
    assert copy.to_dict() == own.to_dict()
    for image in (0, 1):
        one = apply_correction(own, found.regions(image), f"image {image}")
        other = apply_correction(copy, found.regions(image), f"image {image}")
        assert (one.posterior == other.posterior).all()
        assert (one.classes_after == other.classes_after).all()
    with pytest.raises(ValueError, match="version"):
        CorrectionFit.from_dict({**own.to_dict(), "format_version": 0})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fit": "model"}, "the configuration says so"),
        ({"least_regions": 901}, "900 regions are fewer than 901"),
        ({"least_class_regions": 400}, "regions, fewer than 400"),
        ({"least_separation": 50.0}, r"do not fall into two groups \(Ashman's D"),
        ({"features": ("segmenter",)}, "none of the features asked for"),
    ],
)
def test_where_the_own_fit_is_not_used_the_models_classifier_decides(
    found, sample, prior, change, reason
):
    fit = fit_correction(sample, replace(ENOUGH, **change), prior, QUICK)
    assert fit.decided_by == "model"
    assert re.search(reason, fit.reason)
    assert fit.classifier is prior
    decisions, after = fates(fit, found)
    assert (found.flipped[decisions == KEPT]).mean() < 0.1
    assert (after == found.true)[decisions == RELABELLED].mean() > 0.95
    assert (decisions == RELABELLED)[found.flipped].mean() > 0.5
    without = fit_correction(sample, replace(ENOUGH, **change), None, QUICK)
    assert without.decided_by == "none"
    assert without.reason == f"{fit.reason}; the model has no classifier"


def test_the_models_classifier_keeps_what_is_not_too_improbable(found, sample, prior):
    fit = fit_correction(sample, replace(ENOUGH, fit="model"), prior)
    regions = found.regions(5)
    result = apply_correction(fit, regions, "image 5")
    probabilities = prior.probabilities(prior.scores(regions.features, regions.classes, 0))
    of_given = np.take_along_axis(probabilities, regions.classes[:, None].astype(int), 1)[:, 0]
    np.testing.assert_allclose(result.posterior, 1 - of_given, atol=1e-6)
    assert ((result.decisions == KEPT) == (of_given > 0.4)).all()


@pytest.mark.parametrize(
    ("vote_share", "confidence", "decision"),
    [(1.0, 0.9, KEPT), (0.7, 0.6, KEPT), (0.6, 0.6, REJECTED), (1.0, 0.3, REJECTED)],
)
def test_without_a_classifier_regions_are_kept_or_rejected(vote_share, confidence, decision):
    classes = np.array([2, 0], np.uint8)
    regions = regions_of_vectors({}, classes, vote_share=vote_share, confidence=confidence)
    fit = fit_correction(Sample.empty(CLASSES), CorrectConfig())
    result = apply_correction(fit, regions, "any")
    assert (result.decided_by, result.decisions.tolist()) == ("none", [decision] * 2)
    assert result.classes_after.tolist() == ([2, 0] if decision == KEPT else [255, 255])
    np.testing.assert_allclose(result.probability, vote_share * confidence, rtol=1e-6)
    np.testing.assert_allclose(result.posterior, 1 - vote_share * confidence, rtol=1e-6)


def test_without_votes_the_quality_of_the_mask_counts():
    regions = regions_of_vectors({}, np.zeros(2, np.uint8))
    regions.votes[:] = 0
    regions.quality[1] = 0.2
    fit = fit_correction(Sample.empty(CLASSES), CorrectConfig())
    assert apply_correction(fit, regions, "any").decisions.tolist() == [KEPT, REJECTED]


def test_no_regions_at_all(prior):
    fit = fit_correction(Sample.empty(CLASSES), CorrectConfig(), prior)
    assert (fit.decided_by, fit.reason) == ("model", "there are no regions")
    nothing = regions_of_vectors(
        {"appearance": np.zeros((0, WIDTH), np.float16)}, np.zeros(0, np.uint8)
    )
    for some_fit in (fit, fit_correction(Sample.empty(CLASSES), CorrectConfig())):
        result = apply_correction(some_fit, nothing, "any")
        assert [len(part) for part in (result.decisions, result.classes_after)] == [0, 0]
        assert len(result.posterior) == len(result.probability) == 0


def test_regions_of_one_class_and_fewer_regions_than_classes():
    config = CorrectConfig(
        mode="mixture", least_regions=0, least_class_regions=0, least_separation=0.0
    )
    found = toy(count=200)
    one_class = replace(found, given=np.zeros(200, np.uint8)).sample()
    fit = fit_correction(one_class, config, settings=QUICK)
    assert (fit.decided_by, fit.reason.split(";")[0]) == ("none", "all regions are of one class")
    few = merge_parts([sample_of(toy(count=3).regions(i), f"image {i}", 0) for i in range(60)])
    assert few is not None
    assert 1 < len(few) < CLASSES
    fit = fit_correction(few, config, settings=QUICK)
    assert "images of one fold" in fit.reason
    assert fit_correction(few, CorrectConfig()).reason.startswith("3 regions are fewer than 2000")


def test_a_models_classifier_that_does_not_fit_is_not_used(found, prior):
    other = replace(found.sample(), groups={"segmenter": WIDTH})
    fit = fit_correction(other, replace(ENOUGH, fit="model"), prior)
    assert fit.decided_by == "none"
    assert "the features 'appearance' are missing" in fit.reason
    fit = fit_correction(Sample.empty(CLASSES + 1), ENOUGH, prior)
    assert (fit.decided_by, fit.classifier) == ("none", None)
    assert f"is for {CLASSES} classes" in fit.reason


def test_an_image_without_the_features_is_judged_by_its_votes(own):
    regions = regions_of_vectors({}, np.array([1, 2], np.uint8))
    result = apply_correction(own, regions, "any")
    assert (result.decided_by, result.decisions.tolist()) == ("none", [KEPT, KEPT])
    assert result.reason.endswith("here the features 'appearance' are missing")


def test_quantiles_decide_if_asked_for(found, sample):
    fit = fit_correction(sample, replace(ENOUGH, mode="quantile"), settings=QUICK)
    assert (fit.decided_by, fit.mixture) == ("job", None)
    decisions, after = fates(fit, found)
    written = decisions != REJECTED
    assert 0.4 < written.mean() < 0.8
    assert (after == found.true)[written].mean() > 0.97
    copy = CorrectionFit.from_dict(json.loads(json.dumps(fit.to_dict())))
    assert (fates(copy, found)[1] == after).all()
    local = fit_correction(
        sample, replace(ENOUGH, mode="quantile", class_balanced=True), settings=QUICK
    )
    passed = fates(local, found)[0] != REJECTED
    assert not (passed & ~written).any()


def test_losses_may_be_split_class_by_class(found, sample, own):
    fit = fit_correction(sample, replace(ENOUGH, class_balanced=True), settings=QUICK)
    assert fit.mixture == own.mixture
    assert sorted(fit.class_mixtures) == list(range(CLASSES))
    decisions, _ = fates(fit, found)
    assert found.flipped[decisions == KEPT].mean() < 0.1
    copy = CorrectionFit.from_dict(json.loads(json.dumps(fit.to_dict())))
    assert copy.class_mixtures == fit.class_mixtures


def test_a_threshold_of_one_keeps_all(found, own):
    fit = replace(own, config=replace(ENOUGH, keep_below=1.0))
    assert (fates(fit, found)[0] == KEPT).all()
    none_relabelled = replace(own, config=replace(ENOUGH, relabel_above=1.0))
    assert not (fates(none_relabelled, found)[0] == RELABELLED).any()


def with_means(regions: Regions) -> Regions:
    """The regions, over which the segmenter believes in class 1 with 0.9."""
    means = np.full((len(regions), CLASSES), 0.1 / (CLASSES - 1))
    means[:, 1] = 0.9
    votes = np.concatenate([np.zeros_like(means), means, np.zeros((len(regions), 5))], 1)
    return replace(regions, features={**regions.features, "votes": votes.astype(np.float16)})


class TestPool:
    def test_the_pool_of_both_classifiers(self, found, sample, prior):
        fit = fit_correction(sample, replace(ENOUGH, mode="pool"), prior, QUICK)
        assert fit.decided_by == "job"
        assert fit.reason == (
            "the job's classifier was pooled with the segmenter's probabilities and the model's "
            "classifier"
        )
        regions = found.regions(5)
        result = apply_correction(fit, regions, "image 5")
        key = image_key("image 5")
        assert fit.classifier is not None
        own = fit.classifier.probabilities(
            fit.classifier.scores(regions.features, regions.classes, key)
        )
        other = prior.probabilities(prior.scores(regions.features, regions.classes, key))
        pool = np.sqrt(np.maximum(own, 1e-4)) * np.maximum(other, 1e-4)
        pool *= other.sum(1, keepdims=True) / pool.sum(1, keepdims=True)
        of_given = np.take_along_axis(pool, regions.classes[:, None].astype(int), 1)[:, 0]
        np.testing.assert_allclose(result.posterior, 1 - of_given, atol=1e-5)
        decisions, after = fates(fit, found)
        assert found.flipped[decisions == KEPT].mean() < 0.1
        assert (after == found.true)[decisions == RELABELLED].mean() > 0.95
        copy = CorrectionFit.from_dict(json.loads(json.dumps(fit.to_dict())))
        assert copy.to_dict() == fit.to_dict()

    def test_the_segmenters_probabilities_have_half_the_weight_of_the_models_classifier(
        self, found, sample, prior
    ):
        fit = fit_correction(sample, replace(ENOUGH, mode="pool"), prior, QUICK)
        regions = found.regions(5)
        key = image_key("image 5")
        assert fit.classifier is not None
        own = fit.classifier.probabilities(
            fit.classifier.scores(regions.features, regions.classes, key)
        )
        other = prior.probabilities(prior.scores(regions.features, regions.classes, key))
        regions = with_means(regions)
        means = mean_probabilities(regions)
        assert means is not None
        result = apply_correction(fit, regions, "image 5")
        # Weights 1/2, 1/2 and 1/2: the square root of a product.
        pool = np.sqrt(np.maximum(own, 1e-4) * np.maximum(other, 1e-4) * np.maximum(means, 1e-4))
        pool *= np.sqrt(other.sum(1, keepdims=True)) / pool.sum(1, keepdims=True)
        of_given = np.take_along_axis(pool, regions.classes[:, None].astype(int), 1)[:, 0]
        np.testing.assert_allclose(result.posterior, 1 - of_given, atol=1e-5)

    def test_without_a_classifier_of_the_model_the_segmenters_probabilities_take_its_place(
        self, found, sample
    ):
        fit = fit_correction(sample, replace(ENOUGH, mode="pool"), None, QUICK)
        assert fit.reason == "the job's classifier was pooled with the segmenter's probabilities"
        regions = found.regions(5)
        key = image_key("image 5")
        assert fit.classifier is not None
        own = fit.classifier.probabilities(
            fit.classifier.scores(regions.features, regions.classes, key)
        )
        seen = with_means(regions)
        means = mean_probabilities(seen)
        assert means is not None
        result = apply_correction(fit, seen, "image 5")
        pool = np.sqrt(np.maximum(own, 1e-4)) * means
        pool *= means.sum(1, keepdims=True) / pool.sum(1, keepdims=True)
        of_given = np.take_along_axis(pool, regions.classes[:, None].astype(int), 1)[:, 0]
        np.testing.assert_allclose(result.posterior, 1 - of_given, atol=1e-3)
        # With nothing to pool with, the job's own classifier is alone.
        alone = apply_correction(fit, regions, "image 5")
        of_given = np.take_along_axis(own, regions.classes[:, None].astype(int), 1)[:, 0]
        np.testing.assert_allclose(alone.posterior, 1 - of_given, atol=1e-5)
