"""What a fit learns from made-up labels, a part of them flipped, and where its gradients go."""

from typing import Any

import numpy as np
import pytest
import torch

from models.metrics.ranking import auroc
from models.metrics.reliability import over_classes, reliability_counts
from models.rectification.field import FieldInput, FieldShape
from models.rectification.training import FieldInTraining, TrainingSettings, train_field
from models.rectification.views import LabelledView

CLASSES, CELLS, CELL_PX = 3, 16, 4
FLIPPED = 0.3
SHAPE = FieldShape(CLASSES, CLASSES, 4, (32, 16), unfold=False)
QUICK: dict[str, Any] = {"steps": 200, "views": 2, "points": 256, "learning_rate": 1e-2}


def noisy_view(seed: int) -> LabelledView:
    """Labels of cells, three of ten flipped; the features know the true class, p does not."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, CLASSES, (CELLS, CELLS))
    flipped = rng.random(cells.shape) < FLIPPED
    said = (cells + flipped * rng.integers(1, CLASSES, cells.shape)) % CLASSES
    features = np.eye(CLASSES)[cells] + rng.normal(0, 0.1, (CELLS, CELLS, CLASSES))
    p = 0.1 / (CLASSES - 1) + (0.9 - 0.1 / (CLASSES - 1)) * np.eye(CLASSES)[said]
    cover_hw_px = (float(CELLS * CELL_PX), float(CELLS * CELL_PX))
    maps = [torch.from_numpy(m.transpose(2, 0, 1)[None]).half() for m in (features, p)]
    # The middles of all cells: between them p and features are those of none.
    places = np.stack(np.meshgrid(range(CELLS), range(CELLS), indexing="ij"), -1).reshape(-1, 2)
    confidence = np.full(len(places), 0.9, np.float32)
    return LabelledView(
        FieldInput(maps[0], cover_hw_px, maps[1], cover_hw_px),
        ((places + 0.5) * CELL_PX).astype(np.float32),
        np.ones(len(places), bool),
        confidence,
        confidence,
        said.ravel().astype(np.uint8),
        cells.ravel().astype(np.uint8),
        seed,
    )


def fitted(views: list[LabelledView], **more: Any) -> FieldInTraining:
    return train_field(views, SHAPE, TrainingSettings(**{**QUICK, **more}))


@torch.no_grad()
def reliabilities(model: FieldInTraining, views: list[LabelledView]) -> np.ndarray:
    return np.concatenate([model.logits(view).sigmoid().numpy() for view in views])


def test_flipped_labels_are_told_from_clean_ones():
    model = fitted([noisy_view(seed) for seed in range(12)])
    views = [noisy_view(seed) for seed in range(100, 108)]
    r = reliabilities(model, views)
    said, true = (np.concatenate([getattr(v, n) for v in views]) for n in ("predicted", "true"))
    level = np.rint(r * 255).astype(np.uint8)[None]
    counts = over_classes(reliability_counts(said[None], level, true[None], CLASSES))
    assert auroc(counts) > 0.9


@pytest.mark.parametrize("anchored", [True, False])
def test_without_an_anchor_r_is_1_and_with_one_it_is_the_accuracy(anchored):
    """Of labels that the first head has learnt by heart: noise mode, the pseudo-label as label."""
    views = []
    for seed in range(12):
        view = noisy_view(seed)
        trust = view.right.astype(np.float32)
        views.append(
            LabelledView(
                view.given,
                view.points_yx_px,
                view.uniform,
                view.p_max,
                view.agreement,
                view.predicted,
                view.predicted,
                view.image,
                trust,
            )
        )
    weights = {"anchor_weight": 4.0, "mixture_weight": 0.2} if anchored else {"anchor_weight": 0.0}
    r = reliabilities(fitted(views, second_head=False, **weights), views)
    accuracy = np.concatenate([view.expected for view in views]).mean()
    assert accuracy == pytest.approx(1 - FLIPPED, abs=0.06)
    if anchored:
        assert r.mean() == pytest.approx(accuracy, abs=0.05)
    else:
        assert r.mean() > 0.97


@pytest.mark.parametrize(
    ("weights", "of_field", "of_second_head"),
    [
        ({"anchor_weight": 1.0, "mixture_weight": 0.0}, True, False),
        ({"anchor_weight": 0.0, "mixture_weight": 1.0}, True, True),
        ({"anchor_weight": 0.0, "mixture_weight": 0.0}, False, False),
    ],
)
def test_both_terms_reach_the_field_and_the_mixture_alone_the_second_head(
    weights, of_field, of_second_head
):
    torch.manual_seed(0)
    model, view = FieldInTraining(SHAPE, TrainingSettings(**weights)), noisy_view(0)
    given = (view.given.features, view.given.probabilities)
    for values in given:
        values.requires_grad_()
    loss = model.loss(view)
    if loss.requires_grad:
        torch.autograd.backward(loss)
    assert moved(model.field.first) == moved(model.field.reduce) == of_field
    assert (model.auxiliary is not None) == (weights["mixture_weight"] > 0)
    if model.auxiliary is not None:
        assert moved(model.auxiliary) == of_second_head
    else:
        assert all(values.grad is None for values in given)  # r teaches the segmenter nothing


def moved(module: torch.nn.Module) -> bool:
    """Whether a gradient has reached every weight."""
    gradients = [weights.grad for weights in module.parameters()]
    return all(found is not None and bool(found.any()) for found in gradients)


def test_a_logit_for_each_class_is_that_of_the_predicted_one():
    shape = FieldShape(CLASSES, CLASSES, 4, (16, 8), unfold=False, per_class=True)
    views = [noisy_view(seed) for seed in range(12)]
    model = train_field(views, shape, TrainingSettings(**QUICK))
    view = noisy_view(100)
    points = torch.from_numpy(view.points_yx_px)[None]
    given = FieldInput(
        view.given.features.float(),
        view.given.features_cover_hw_px,
        view.given.probabilities.float(),
        view.given.probabilities_cover_hw_px,
    )
    with torch.no_grad():
        every = model.field(given, points)[0]
        odds = float(np.log(0.9 / 0.1)) * float(model.confidence_gain)
        expected = every.gather(1, torch.from_numpy(view.predicted.astype(np.int64))[:, None])
        torch.testing.assert_close(model.logits(view), expected[:, 0] + odds)
