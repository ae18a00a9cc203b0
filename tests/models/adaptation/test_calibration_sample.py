import pytest
import torch

from models.adaptation.calibration_sample import CalibrationSample


def test_the_newest_answers_are_kept():
    sample = CalibrationSample(size=4)
    sample.add(torch.tensor([1.0, float("nan"), 2.0]), torch.tensor([True, True, False]))
    sample.add(torch.tensor([3.0, 4.0, 5.0]), torch.tensor([True, False, True]))
    assert sorted(zip(sample.logits.tolist(), sample.right.tolist(), strict=True)) == [
        (2, False), (3, True), (4, False), (5, True),
    ]  # fmt: skip


def test_logits_become_probabilities():
    sample = CalibrationSample()
    logits = 6 * torch.rand(4000, generator=torch.Generator().manual_seed(0)) - 3
    chance = torch.rand(4000, generator=torch.Generator().manual_seed(1))
    sample.add(logits, chance < (0.5 * logits + 1).sigmoid())
    found = sample.calibration()
    assert found is not None
    assert found.scale == pytest.approx(0.5, abs=0.1)
    assert found.shift == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("logits", "right"),
    [([], []), ([1.0, 2.0], [True, True]), ([2.0, -1.0, 1.9, -1.1], [False, True, False, True])],
)
def test_what_tells_nothing_calibrates_nothing(logits, right):
    sample = CalibrationSample()
    sample.add(torch.tensor(logits), torch.tensor(right, dtype=torch.bool))
    assert sample.calibration() is None
