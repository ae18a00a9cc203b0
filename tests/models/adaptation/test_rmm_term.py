from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.adaptation.rmm_term import Rmm
from models.adaptation.terms import StepOutputs
from models.adaptation.training import TrainingState
from models.bundle import read_bundle, write_bundle
from models.config import PredictConfig
from models.prediction import Predictor
from models.rectification.config import RectifyConfig
from models.rectification.stage import rectify
from models.segmentation.bundled import BundledSegmenter
from tests.models.adaptation.steps import STEPS, one_step, term, train
from tests.models.adaptation.toys import ONTOLOGY, QUICK, compact, target


def built(setting: str = "uda", **settings: Any) -> Rmm:
    made = term("rmm", setting, points=64, **settings)
    assert isinstance(made, Rmm)
    return made


def names_with_slope(made: Rmm, loss: Tensor) -> set[str]:
    made.zero_grad(set_to_none=True)
    torch.autograd.backward(loss, retain_graph=True)
    moved = [n for n, p in made.named_parameters() if p.grad is not None and p.grad.any()]
    return {name.split(".")[0] for name in moved}


def pieces(made: Rmm, outputs: StepOutputs) -> dict[str, Tensor]:
    """The losses of a step one by one, with gradients."""
    size_hw = (16, 16)
    points = made._points(outputs.inputs.teacher, size_hw, outputs.inputs, "rmm-target")
    look = outputs.student_mixed
    other = made._at(made.auxiliary.logits(look.features), look, size_hw, points)
    main = made._at(look.logits, look, size_hw, points)
    slow = made._slow_opinion(outputs.inputs.teacher, size_hw, points)
    return {
        "mixture": made._mixture(outputs, points, main, other, 0.0),
        "soft": made._soft(outputs, points, slow, main, other, 0.0),
        "anchor": made._anchor(outputs, points, slow, size_hw),
    }


def test_each_loss_teaches_what_it_should():
    made = built()
    state = TrainingState(compact(), [made], QUICK, STEPS, 0)
    outputs = one_step([made], state=state).outputs
    losses = pieces(made, outputs)
    expected = {
        "mixture": ({"reliability", "auxiliary"}, True),
        "soft": ({"auxiliary"}, True),
        "anchor": ({"reliability"}, False),
    }
    for name, (own, student_learns) in expected.items():
        state.student.module.zero_grad(set_to_none=True)
        assert names_with_slope(made, losses[name]) == own
        slopes = [p.grad for p in state.student.module.parameters() if p.grad is not None]
        assert any(bool(s.any()) for s in slopes) is student_learns
        assert all(p.grad is None for p in state.teacher.module.parameters())


def test_full_trust_makes_the_rectified_label_the_teachers():
    made = built()
    outputs = one_step([made]).outputs
    points = made._points(outputs.inputs.teacher, (16, 16), outputs.inputs, "rmm-target")
    logits = torch.zeros_like(points.teacher)
    slow = torch.full_like(points.teacher, 1 / 3)
    trusted, doubted = (
        made._soft(
            outputs, replace(points, logits=points.logits * 0 + s), slow, logits, logits, 0.0
        )
        for s in (40.0, -40.0)
    )
    # Against a uniform student every label costs ln 3.
    torch.testing.assert_close(trusted, doubted)
    peaked = 9 * torch.nn.functional.one_hot(points.predicted, 3).float()
    trusted, doubted = (
        made._soft(
            outputs, replace(points, logits=points.logits * 0 + s), slow, peaked, peaked, 0.0
        )
        for s in (40.0, -40.0)
    )
    assert trusted < doubted


def test_pasted_and_foreign_labels_bring_their_own_reliability():
    made = built()
    outputs = one_step([made]).outputs
    points = made._points(outputs.inputs.teacher, (16, 16), outputs.inputs, "rmm-target")
    foreign = replace(
        outputs,
        mixed=replace(
            outputs.mixed,
            pasted=torch.ones_like(outputs.mixed.pasted),
            labels=torch.zeros_like(outputs.mixed.labels),
            weights=torch.ones_like(outputs.mixed.weights),
            reliability=torch.ones_like(outputs.mixed.reliability),
        ),
    )
    main = torch.randn(points.teacher.shape, generator=torch.Generator().manual_seed(0))
    loss = made._mixture(foreign, points, main, -main, 0.0)
    expected = -main.log_softmax(-1)[..., 0].mean()
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-4)


def test_r_learns_from_source_images_in_one_style_a_step():
    made = built()
    inputs = one_step([made]).outputs.inputs
    (first,), (again,) = (tuple(made.teacher_inputs(inputs).values()) for _ in range(2))
    assert torch.equal(first, again)
    assert inputs.source is not None
    assert (first - inputs.source.weak_images).abs().mean() > 0.02
    # The same image twice is the same twice: nothing is drawn for a single one.
    twice = replace(inputs.source, weak_images=inputs.source.weak_images[:1].repeat(2, 1, 1, 1))
    (both,) = made.teacher_inputs(replace(inputs, source=twice)).values()
    assert torch.equal(both[0], both[1])
    (other,) = made.teacher_inputs(replace(inputs, step=5)).values()
    assert not torch.equal(first, other)
    assert made.teacher_inputs(replace(inputs, source=None)) == {}


@pytest.mark.parametrize(("step", "ramp"), [(0, 0.0), (2, 0.0), (3, 0.5), (4, 1.0), (19, 1.0)])
def test_r_counts_fully_at_first_and_as_it_is_later(step, ramp):
    assert built()._ramp(step / STEPS) == pytest.approx(ramp)


def test_features_are_normalised_once():
    made = built()
    outputs = one_step([made]).outputs
    features = outputs.inputs.teacher.features.transpose(0, 1).flatten(1)
    torch.testing.assert_close(made.reliability.field.feature_mean, features.mean(1))
    torch.testing.assert_close(made.slow_auxiliary.feature_mean, features.mean(1))
    before = made.auxiliary.feature_scale.clone()
    one_step([made], step=3)
    assert torch.equal(made.auxiliary.feature_scale, before)


def test_the_slow_head_follows_and_learns_nothing_itself():
    state, _ = train({"rmm": {"points": 64}}, steps=3)
    made = state.terms[0]
    assert isinstance(made, Rmm)
    for slow, fast in zip(
        made.slow_auxiliary.parameters(), made.auxiliary.parameters(), strict=True
    ):
        assert slow.grad is None
        assert not torch.equal(slow, fast)
        assert (slow - fast).abs().max() < 0.1


@pytest.mark.parametrize("setting", ["source_free", "black_box"])
def test_without_source_agreement_is_the_anchor(setting):
    state, reports = train({"rmm": {"points": 64}}, setting, steps=4)
    made = state.terms[0]
    assert isinstance(made, Rmm)
    assert reports[-1].figures["rmm_anchor"] > 0
    rectifier = made.result_parts(state.teacher).rectifier
    assert rectifier is not None
    assert not rectifier.calibrated


def test_held_out_images_calibrate_and_teach_nothing(monkeypatch: pytest.MonkeyPatch):
    made = built(agreement_weight=0.0)
    for chosen in (False, True):
        monkeypatch.setattr(
            made, "_held_out", lambda ids, like, chosen=chosen: torch.full((len(ids),), chosen)
        )
        outputs = one_step([made], step=STEPS - 1).outputs
        assert bool(pieces(made, outputs)["anchor"] > 0) is not chosen
        made.after_step(outputs)
        # Half of 64 points are uniform, of two images; those beyond an image have no label.
        assert (0 < int(made.calibration.added) <= 64) is chosen


def test_answers_are_gathered_late_in_a_run(monkeypatch: pytest.MonkeyPatch):
    made = built()
    monkeypatch.setattr(made, "_held_out", lambda ids, like: torch.ones(len(ids)) > 0)
    made.after_step(one_step([made], step=STEPS // 2).outputs)
    assert int(made.calibration.added) == 0


def test_the_rectifier_goes_into_the_bundle_and_works(tmp_path: Path):
    state, reports = train({"rmm": {"points": 64, "held_out": 2}}, steps=36)
    made = state.terms[0]
    assert isinstance(made, Rmm)
    teacher = state.teacher
    assert isinstance(teacher, BundledSegmenter)
    rectifier = made.result_parts(teacher).rectifier
    assert rectifier is not None
    assert rectifier.calibrated
    write_bundle(tmp_path, teacher.module, ONTOLOGY, {}, rectifier=rectifier)
    read_bundle(tmp_path)
    model = BundledSegmenter.load(tmp_path, teacher.device)
    assert model.rectifier is not None
    ((_, prediction),) = Predictor(model, PredictConfig(), with_detail=True).predict(
        [target()[0].image]
    )
    found = rectify(prediction, model.rectifier, RectifyConfig())
    assert np.isfinite(found.p_max).all()
    losses = [r.figures["rmm_mixture"] + r.figures["rmm_auxiliary"] for r in reports]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
