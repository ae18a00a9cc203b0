import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.connectivity.rules import (
    QUANTILE_MODES,
    Decision,
    QuantileThresholds,
    mixture_rule,
    order_statistic,
    quantile_rule,
)

KEPT, RELABELLED, REJECTED = (int(decision) for decision in Decision)


@pytest.mark.parametrize(
    ("posterior", "probabilities", "decision", "after"),
    [
        (0.10, [0.97, 0.02, 0.01], KEPT, 0),
        (0.59, [0.01, 0.98, 0.01], KEPT, 0),
        (0.61, [0.01, 0.98, 0.01], RELABELLED, 1),
        (0.61, [0.01, 0.04, 0.95], REJECTED, 255),
        (0.99, [0.20, 0.30, 0.50], REJECTED, 255),
        (0.60, [0.00, 0.00, 1.00], REJECTED, 255),
        (0.99, [0.98, 0.01, 0.01], KEPT, 0),
    ],
)
def test_the_rule_of_the_paper(posterior, probabilities, decision, after):
    decisions, classes = mixture_rule(
        np.array([posterior]), np.array([probabilities]), np.zeros(1, np.uint8), 0.60, 0.95
    )
    assert (decisions.tolist(), classes.tolist()) == ([decision], [after])
    assert {decisions.dtype, classes.dtype} == {np.dtype(np.uint8)}


@st.composite
def regions(draw):
    count, classes = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    scores = draw(hnp.arrays(np.float64, (count, classes), elements=st.floats(-9, 9)))
    powers = np.exp(scores)
    given_classes = draw(hnp.arrays(np.uint8, count, elements=st.integers(0, classes - 1)))
    posterior = draw(hnp.arrays(np.float64, count, elements=st.floats(0, 1, exclude_max=True)))
    return posterior, powers / powers.sum(1, keepdims=True), given_classes


@settings(deadline=None)
@given(regions(), st.floats(0, 1), st.floats(0, 1))
def test_each_region_has_one_fate(found, keep_below, relabel_above):
    posterior, probabilities, classes = found
    decisions, after = mixture_rule(posterior, probabilities, classes, keep_below, relabel_above)
    best = probabilities.argmax(1)
    assert (after[decisions == KEPT] == classes[decisions == KEPT]).all()
    assert (after[decisions == REJECTED] == 255).all()
    relabelled = decisions == RELABELLED
    assert (after[relabelled] == best[relabelled]).all()
    assert (posterior[relabelled] > keep_below).all()
    assert (probabilities.max(1)[relabelled] > relabel_above).all()
    assert (decisions[posterior < keep_below] == KEPT).all()


@settings(deadline=None)
@given(regions())
def test_extreme_thresholds_keep_all_and_relabel_none(found):
    posterior, probabilities, classes = found
    assert (mixture_rule(posterior, probabilities, classes, 1.0, 0.5)[0] == KEPT).all()
    decisions, _ = mixture_rule(posterior, probabilities, classes, 0.5, 1.0)
    assert not (decisions == RELABELLED).any()


@pytest.mark.parametrize(
    ("rho", "expected"), [(0.0, 1), (0.3, 2), (0.5, 3), (0.74, 3), (0.75, 5), (1.0, 5)]
)
def test_order_statistic(rho, expected):
    assert order_statistic(np.array([3.0, 1.0, 5.0, 2.0]), rho) == expected


def test_order_statistic_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        order_statistic(np.zeros(0), 0.5)


LOSSES = np.array([0.1, 0.4, 0.9, 0.2, 0.8])
PROBABILITIES = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
CLASSES = np.array([0, 0, 1, 1, 0], np.uint8)


def test_thresholds_over_all_and_by_predicted_class():
    thresholds = QuantileThresholds.of(LOSSES, PROBABILITIES, 0.5)
    assert vars(thresholds) == {
        "loss": 0.4,
        "score": 0.7,
        "local_losses": (0.4, 0.8),
        "local_scores": (0.7, 0.9),
        "mean_loss": pytest.approx((3 * 0.4 + 2 * 0.8) / 5),
        "mean_score": pytest.approx((3 * 0.7 + 2 * 0.9) / 5),
    }
    again = QuantileThresholds.from_dict(json.loads(json.dumps(thresholds.to_dict())))
    assert again == thresholds


def test_a_class_that_is_never_predicted_has_the_thresholds_over_all():
    wider = np.concatenate([PROBABILITIES, np.zeros((5, 1))], axis=1)
    thresholds = QuantileThresholds.of(LOSSES, wider, 0.5)
    assert (thresholds.local_losses[2], thresholds.local_scores[2]) == (0.4, 0.7)


@pytest.mark.parametrize(
    ("mode", "passed"),
    [
        ("loss", [1, 1, 0, 1, 0]),
        ("score", [1, 1, 0, 1, 1]),
        ("both", [1, 1, 0, 1, 0]),
        ("local_loss", [1, 1, 0, 1, 1]),
        ("local_score", [1, 1, 0, 0, 1]),
        ("local_both", [1, 1, 0, 0, 1]),
        ("both_loss", [1, 1, 0, 1, 1]),
        ("both_score", [1, 1, 0, 0, 1]),
        ("both_both", [1, 1, 0, 0, 1]),
    ],
)
def test_each_mode_of_the_public_code(mode, passed):
    thresholds = QuantileThresholds.of(LOSSES, PROBABILITIES, 0.5)
    decisions, after = quantile_rule(LOSSES, PROBABILITIES, CLASSES, thresholds, mode)
    predicted = np.array([0, 0, 0, 1, 1])
    assert after.tolist() == np.where(passed, predicted, 255).tolist()
    right = np.where(predicted == CLASSES, KEPT, RELABELLED)
    assert decisions.tolist() == np.where(passed, right, REJECTED).tolist()


def test_the_modes_are_those_of_the_table_above():
    thresholds = QuantileThresholds.of(LOSSES, PROBABILITIES, 0.5)
    for mode in QUANTILE_MODES:
        quantile_rule(LOSSES, PROBABILITIES, CLASSES, thresholds, mode)
    with pytest.raises(ValueError, match="not 'median'"):
        quantile_rule(LOSSES, PROBABILITIES, CLASSES, thresholds, "median")


def test_no_regions_have_no_fates():
    thresholds = QuantileThresholds.of(LOSSES, PROBABILITIES, 0.5)
    nothing = np.zeros(0), np.zeros((0, 2)), np.zeros(0, np.uint8)
    assert [len(part) for part in mixture_rule(*nothing, 0.6, 0.95)] == [0, 0]
    assert [len(part) for part in quantile_rule(*nothing, thresholds)] == [0, 0]
