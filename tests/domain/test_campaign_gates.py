"""Gates on literal figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_schemas.campaigns import Gates
from domain.campaign_gates import (
    LabelFigures,
    check_labels,
    check_model,
    distance,
    first_failure,
)


def failed(figures: LabelFigures, **gates: float) -> str | None:
    result = first_failure(check_labels(figures, Gates.model_validate(gates)))
    return result.gate if result else None


GOOD = LabelFigures(2, 0.5, {"road": 60, "sky": 40}, {"road": 50, "sky": 50}, 0.1)


@pytest.mark.parametrize(
    ("figures", "gates", "expected"),
    [
        (GOOD, {}, None),
        (GOOD, {"min_images": 3}, "min_images"),
        (GOOD, {"min_coverage": 0.51}, "min_coverage"),
        (GOOD, {"max_class_share": 0.59}, "max_class_share"),
        (GOOD, {"max_label_drift": 0.09}, "max_label_drift"),
        (LabelFigures(1, 0.5, {"road": 99, "sky": 1}), {}, "max_class_share"),
        # sky had half of the pixels: below a twentieth it has collapsed
        (LabelFigures(1, 0.5, {"road": 96, "sky": 4}, {"road": 5, "sky": 5}), {},
         "max_collapsed_classes"),
        (LabelFigures(1, 0.5, {"road": 95, "sky": 5}, {"road": 5, "sky": 5}), {}, None),
        (LabelFigures(1, 0.5, {"road": 96, "sky": 4}, {"road": 5, "sky": 5}),
         {"max_collapsed_classes": 1}, None),
        # by people alone: nothing to compare
        (LabelFigures(1, None, {}), {"min_coverage": 1.0}, None),
    ],
)  # fmt: skip
def test_labels(figures: LabelFigures, gates: dict[str, float], expected: str | None) -> None:
    assert failed(figures, **gates) == expected


def test_every_gate_says_what_it_saw() -> None:
    first = check_labels(LabelFigures(2, 0.5, {"road": 3, "sky": 1}), Gates())
    assert [(g.gate, g.value, g.passed) for g in first] == [
        ("min_images", 2, True),
        ("min_coverage", 0.5, True),
        ("max_class_share", 0.75, True),
        ("max_collapsed_classes", None, True),
        ("max_label_drift", None, True),
    ]
    assert "no round before" in first[-1].detail


@pytest.mark.parametrize(
    ("miou", "teacher", "steers", "passed", "value"),
    [
        (0.50, 0.40, True, True, -0.1),
        (0.39, 0.40, True, True, 0.01),
        (0.30, 0.40, True, False, 0.1),
        (0.30, 0.40, False, True, None),
        (None, 0.40, True, True, None),
        (0.30, None, True, True, None),
    ],
)
def test_model(
    miou: float | None, teacher: float | None, steers: bool, passed: bool, value: float | None
) -> None:
    (gate,) = check_model(miou, teacher, Gates(), steers=steers)
    assert gate.passed is passed
    assert gate.value == (None if value is None else pytest.approx(value))


def test_distance_on_literals() -> None:
    assert distance({"0": 1, "1": 1}, {"0": 2}) == 0.5
    assert distance({"0": 1}, {"1": 5}) == 1.0
    assert distance({"0": 3, "1": 1}, {"0": 6, "1": 2}) == 0.0
    assert (distance({}, {}), distance({}, {"0": 1})) == (0.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_no_more_than_the_share_of_pixels_that_differ(pixels: list[tuple[int, int]]) -> None:
    one, other = ({str(c): side.count(c) for c in side} for side in zip(*pixels, strict=True))
    differ = sum(a != b for a, b in pixels) / len(pixels)
    assert 0.0 <= distance(one, other) <= differ + 1e-9
    assert distance(one, other) == pytest.approx(distance(other, one))
