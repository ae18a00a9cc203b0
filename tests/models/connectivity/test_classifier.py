import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from models.connectivity.classifier import (
    Classifier,
    calibrate,
    fit_own,
    fit_prior,
    own_inputs,
    softmax,
)
from models.connectivity.head import Columns, FeaturesDiffer
from models.connectivity.negatives import drawn_flips, flip_classes
from models.connectivity.training import TrainingSettings
from tests.models.connectivity.region_toys import CLASSES, WIDTH, toy

torch.set_num_threads(1)
QUICK = TrainingSettings(hidden=32, round_steps=16, learning_rate=3e-3)
INPUTS = (Columns("appearance", 0, WIDTH, WIDTH),)


@pytest.fixture(scope="module")
def own():
    found = toy(count=800, noise=0.3)
    images = found.images.astype(np.uint64)
    return found, fit_own(found.features, found.given, images, INPUTS, CLASSES, QUICK)


@pytest.fixture(scope="module")
def prior():
    found = toy(count=800, noise=0.3)
    images = found.images.astype(np.uint64)
    return fit_prior(found.features, found.given, found.true, images, CLASSES, settings=QUICK)


def test_each_region_is_scored_by_the_head_that_has_not_seen_its_image(own):
    found, fit = own
    for image in (3, 4, 5):
        rows = found.images == image
        features = {"appearance": found.vectors[rows]}
        again = fit.classifier.scores(features, found.given[rows], image)
        np.testing.assert_allclose(again, fit.scores[rows], rtol=1e-4, atol=1e-4)
        assert (fit.classifier.heads[image % 3].scores(found.vectors[rows]) == again).all()


def test_probabilities_are_of_the_true_class_and_not_of_the_noisy_one(own):
    found, fit = own
    probabilities = fit.classifier.probabilities(fit.scores)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    best = probabilities.argmax(1)
    assert (best == found.true).mean() > 0.9
    # 30 % of the classes are wrong, and yet the head may be very sure of the right one.
    sure = probabilities.max(1) > 0.95
    assert sure.mean() > 0.5
    assert (best == found.true)[sure].mean() > 0.95
    assert fit.classifier.noise == pytest.approx(
        0.4, abs=0.1
    )  # a quarter of it hits the true class


def test_the_temperature_of_scores_that_are_too_small_or_too_large():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    targets = np.array([rng.choice(5, p=p) for p in softmax(scores)])
    for factor in (0.5, 1.0, 2.0):
        temperature, noise = calibrate(scores * factor, targets, with_noise=False)
        assert temperature == pytest.approx(factor, rel=0.1)
        assert noise == 0
    spoilt = np.where(rng.random(4000) < 0.3, rng.integers(0, 5, 4000), targets)
    temperature, noise = calibrate(scores, spoilt, with_noise=True)
    assert temperature == pytest.approx(1, rel=0.2)
    assert noise == pytest.approx(0.3, abs=0.06)


def test_what_a_jobs_own_classifier_reads():
    groups = {"votes": 13, "appearance": 21, "segmenter": 64}
    assert own_inputs(groups, ("segmenter", "votes", "region_model"), 4) == (
        Columns("segmenter", 0, 64, 64),
        Columns("votes", 8, 13, 13),
    )


def test_a_classifier_survives_json_and_safetensors(own, prior):
    for classifier in (own[1].classifier, prior):
        again = Classifier.from_dict(json.loads(json.dumps(classifier.to_dict())))
        stored = load(save(classifier.tensors()))
        from_bundle = Classifier.from_tensors(classifier.config(), stored)
        features, given = own[0].features, own[0].given
        expected = classifier.scores(features, given, 4)
        for copy in (again, from_bundle):
            assert copy.config() == classifier.config()
            assert (copy.scores(features, given, 4) == expected).all()


def test_what_is_no_classifier_is_refused(prior):
    config, tensors = prior.config(), prior.tensors()
    with pytest.raises(ValueError, match="version"):
        Classifier.from_tensors({**config, "format_version": 99}, tensors)
    with pytest.raises(ValueError, match="no weights of a head"):
        Classifier.from_tensors(config, {})
    with pytest.raises(ValueError, match="no classifier"):
        Classifier.from_tensors({"format_version": 1}, tensors)
    with pytest.raises(ValueError, match="do not fit its description"):
        Classifier.from_tensors({**config, "num_classes": CLASSES + 3}, tensors)
    bad = {**tensors, "heads.0.bias_in": np.full_like(tensors["heads.0.bias_in"], np.nan)}
    with pytest.raises(ValueError, match="not finite"):
        Classifier.from_tensors(config, bad)


def test_missing_and_foreign_features(prior):
    given = np.zeros(2, np.uint8)
    with pytest.raises(FeaturesDiffer, match="'appearance' are missing"):
        prior.scores({}, given, 0)
    with pytest.raises(FeaturesDiffer, match="'appearance' are 3 wide, not 12"):
        prior.scores({"appearance": np.zeros((2, 3), np.float16)}, given, 0)
    assert prior.lacks({"appearance": WIDTH, "votes": 4}) is None
    assert "missing" in prior.lacks({"votes": 4})


def test_the_models_classifier_knows_right_from_wrong_and_by_how_much(prior):
    fresh = toy(count=1000, noise=0.3, seed=1)
    scores = prior.scores(fresh.features, fresh.given, 0)
    probabilities = prior.probabilities(scores)
    of_given = probabilities[np.arange(1000), fresh.given]
    right = fresh.given == fresh.true
    assert of_given[right].mean() > 0.85
    assert of_given[~right].mean() < 0.15
    # Calibrated: of the regions with a probability around p, p are right.
    assert of_given.mean() == pytest.approx(right.mean(), abs=0.06)
    assert prior.noise == pytest.approx(0.3, abs=0.03)


def test_the_models_classifier_uses_the_class_given():
    # Features that say nothing: what is given is all there is to go by.
    found = toy(count=600, noise=0.25)
    blind = {"appearance": np.zeros((600, 1), np.float16)}
    images = found.images.astype(np.uint64)
    prior = fit_prior(blind, found.given, found.true, images, CLASSES, settings=QUICK)
    given = np.arange(CLASSES, dtype=np.uint8)
    scores = prior.scores({"appearance": np.zeros((CLASSES, 1), np.float16)}, given, 0)
    probabilities = prior.probabilities(scores)
    assert (probabilities.argmax(1) == given).all()
    np.testing.assert_allclose(probabilities.max(1), 0.75, atol=0.1)


def test_regions_of_no_one_class_take_probability_from_all():
    found = toy(count=600, noise=0.0)
    true = found.true.copy()
    true[found.true == 3] = 255
    images = found.images.astype(np.uint64)
    prior = fit_prior(found.features, found.given, true, images, CLASSES, settings=QUICK)
    probabilities = prior.probabilities(prior.scores(found.features, found.given, 0))
    assert probabilities.shape == (600, CLASSES)
    totals = probabilities.sum(1)
    assert totals[true == 255].mean() < 0.2
    assert totals[true != 255].mean() > 0.8
    assert Classifier.from_dict(prior.to_dict()).config() == prior.config()


def test_fits_that_cannot_be_made():
    found = toy(count=30)
    one_fold = np.full(30, 6, np.uint64)
    with pytest.raises(ValueError, match="one fold"):
        fit_own(found.features, found.given, one_fold, INPUTS, CLASSES, QUICK)
    with pytest.raises(ValueError, match="at least one region"):
        fit_prior({}, found.given, found.true, one_fold, CLASSES)
    empty = {"appearance": np.zeros((0, 2), np.float16)}
    with pytest.raises(ValueError, match="at least one region"):
        fit_prior(empty, found.given[:0], found.true[:0], one_fold[:0], CLASSES)


def test_order_of_regions_in_memory_and_views_do_not_matter(own):
    found, fit = own
    wide = np.concatenate([found.vectors, found.vectors], 1)[:, :WIDTH]
    again = fit_own(
        {"appearance": wide},
        found.given,
        found.images.astype(np.uint64),
        INPUTS,
        CLASSES,
        replace(QUICK),
    )
    assert (again.scores == fit.scores).all()


def test_a_flip_changes_what_the_votes_say():
    # K = 2: shares, probabilities, then five that name no class.
    votes = np.array([[0.9, 0.1, 0.8, 0.2, 1, 0.9, 0.7, 0.8, 1]], np.float16)
    features = {"votes": votes, "appearance": np.ones((1, 3), np.float16)}
    flipped = flip_classes(features, np.array([0], np.uint8), np.array([1], np.uint8), 2)
    expected = np.array([[0.1, 0.9, 0.2, 0.8, 1, 0.9, 0.7, 0.8, 1]], np.float16)
    assert (flipped["votes"] == expected).all()
    assert flipped["appearance"] is features["appearance"]
    assert votes[0, 0] == np.float16(0.9)
    assert flip_classes({}, np.zeros(0, np.uint8), np.zeros(0, np.uint8), 2) == {}


def test_flips_follow_the_confusion():
    given = np.repeat(np.arange(3, dtype=np.uint8), 2000)
    confusion = np.array([[50.0, 3, 1], [0, 9, 5], [0, 0, 7]])
    flipped = drawn_flips(given, 0.4, confusion, seed=0)
    changed = flipped != given
    assert changed.mean() == pytest.approx(0.4, abs=0.02)
    assert np.bincount(flipped[changed & (given == 0)], minlength=3)[1:] / 800 == pytest.approx(
        [0.75, 0.25], abs=0.06
    )
    assert (flipped[changed & (given == 1)] == 2).all()
    # A class that was never taken for another is flipped to any.
    assert np.bincount(flipped[changed & (given == 2)], minlength=3)[:2] / 800 == pytest.approx(
        [0.5, 0.5], abs=0.06
    )
    alone = drawn_flips(np.zeros(5, np.uint8), 1.0, np.ones((1, 1)), seed=0)
    assert alone.tolist() == [0] * 5
