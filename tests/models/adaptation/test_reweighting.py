import pytest
import torch

from models.adaptation.reweighting import ConfidenceBank, class_weights, confidence_sums


def test_the_example_by_hand():
    weights = class_weights(torch.tensor([0.9, 0.5, 0.1]), 0.5)
    torch.testing.assert_close(weights, torch.tensor([0.481, 1.076, 1.443]), rtol=0, atol=1e-3)
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))


@pytest.mark.parametrize("power", [0.0, 0.5, 3.0])
def test_sure_classes_weigh_less_and_the_mean_is_one(power):
    confidence = torch.tensor([0.2, 0.4, 0.6, 0.99]).requires_grad_()
    weights = class_weights(confidence, power)
    assert not weights.requires_grad
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    assert bool((weights.diff() < 0).all()) == (power > 0)
    assert torch.equal(class_weights(torch.ones(3), power), torch.ones(3))


def test_confidences_are_of_pixels_with_a_class_and_finite():
    probabilities = torch.tensor([[[[0.9, 0.2, float("nan"), 0.5]], [[0.1, 0.8, 0.5, 0.5]]]])
    sums, counts = confidence_sums(probabilities, torch.tensor([[[0, 0, 1, 255]]]))
    torch.testing.assert_close(sums, torch.tensor([1.7, 0.0], dtype=torch.float64))
    assert counts.tolist() == [2, 0]


def test_a_class_that_is_absent_keeps_its_confidence():
    bank = ConfidenceBank(2, momentum=0.75)
    bank.update(torch.tensor([1.6, 0.0]), torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(bank.confidence, torch.tensor([0.8, 0.0]))
    bank.update(torch.tensor([0.4, 0.3]), torch.tensor([1.0, 1.0]))
    # A plain mean of two steps for the one, the first step for the other.
    torch.testing.assert_close(bank.confidence, torch.tensor([0.6, 0.3]))
    for _ in range(4):
        bank.update(torch.tensor([0.6, 0.0]), torch.tensor([1.0, 0.0]))
    before = bank.confidence.clone()
    bank.update(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(bank.confidence[0], 0.75 * before[0] + 0.25)
    assert bank.confidence[1] == before[1]
