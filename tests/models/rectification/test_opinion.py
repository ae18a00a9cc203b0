import pytest
import torch

from models.rectification.opinion import opinion_weight, weighed

# Four cells, from surely class 0 to hardly.
P = torch.tensor([[0.99, 0.95, 0.7, 0.6], [0.01, 0.05, 0.3, 0.4]]).view(1, 2, 1, 4)


def saying(*classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), 2).T.float().view(1, 2, 1, -1)


@pytest.mark.parametrize(
    ("opinion", "weight"),
    [
        (saying(0, 0, 0, 0), 1.0),
        (saying(0, 0, 0, 1), 1.0),  # where the model is in doubt another opinion is welcome
        (saying(0, 1, 1, 0), 0.0),  # one of three: the median counts as sure
        (saying(1, 1, 0, 0), 0.0),
    ],
)
def test_only_the_surest_half_counts(opinion, weight):
    assert opinion_weight(P, opinion) == weight


def test_between_its_bounds_the_weight_rises():
    p = torch.full((1, 2, 10, 10), 0.1)
    p[:, 0] = 0.9
    opinion = torch.zeros(1, 2, 10, 10)
    opinion[0, 0].view(-1)[:69] = 1  # 69 of 100 agree; all are as sure
    opinion[0, 1].view(-1)[69:] = 1
    assert opinion_weight(p, opinion) == pytest.approx((0.69 - 0.6) / 0.15)


def test_the_rest_is_what_the_model_says():
    found = weighed(saying(1, 1), P[..., :2], 0.25)
    torch.testing.assert_close(found[0, 1, 0], torch.tensor([0.2575, 0.2875]))
    opinion = saying(1, 0)
    assert weighed(opinion, P, 1.0) is opinion
