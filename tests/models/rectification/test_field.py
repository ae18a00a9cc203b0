from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.rectification.field import (
    FieldInput,
    FieldShape,
    ImplicitRectifier,
    neighbours,
)
from tests.models.rectification.field_toys import SWITCHES, centres, random_input, small_field


def test_four_cells_of_two_pixels_are_asked_by_area():
    y = neighbours(torch.tensor([0.5, 1.0, 2.5, 3.0, 7.9]), 4, 8.0, ensemble=True)
    assert y.index.tolist() == [[0, 0], [0, 1], [0, 1], [1, 2], [3, 3]]
    # 2.5 px lies three quarters of the way from the centre at 1 px to the one at 3 px.
    assert y.weight[:4].tolist() == [[0.25, 0.75], [1, 0], [0.25, 0.75], [1, 0]]
    assert y.delta[:4].tolist() == [[-0.5, -0.5], [0, -2], [1.5, -0.5], [0, -2]]


def test_without_the_ensemble_the_nearest_code_answers_alone():
    y = neighbours(torch.tensor([0.5, 1.5, 2.0, 9.0]), 2, 4.0, ensemble=False)
    assert y.index.tolist() == [[0], [0], [1], [1]]
    assert y.delta.tolist() == [[-0.5], [0.5], [-1], [1]]
    assert y.weight.tolist() == [[1], [1], [1], [1]]


def test_weights_are_shares():
    positions = torch.rand(500, generator=torch.Generator().manual_seed(0)) * 50 - 10
    for ensemble in (True, False):
        weight = neighbours(positions, 7, 30.0, ensemble).weight
        assert (weight >= 0).all()
        torch.testing.assert_close(weight.sum(-1), torch.ones(500).double())


def test_agreement_is_read_and_that_of_a_single_look_is_its_confidence():
    field = small_field(agreement=True)
    one_look = random_input((3, 4), (12.0, 16.0))
    several = random_input((3, 4), (12.0, 16.0), agreement=True)
    points = centres(12, 16)
    assert not torch.allclose(field(several, points), field(one_look, points))
    same = replace(one_look, agreement=one_look.probabilities.amax(1, keepdim=True))
    torch.testing.assert_close(field(same, points), field(one_look, points))
    torch.testing.assert_close(
        small_field()(several, points), small_field()(one_look, points)
    )  # not read unless asked for
    assert several.agreement is not None
    for bad in (several.agreement[..., :1], several.agreement * torch.nan):
        with pytest.raises(ValueError, match="agreement"):
            field(replace(several, agreement=bad), points)


@pytest.mark.parametrize("switches", SWITCHES)
def test_every_ablation_answers_a_probability(switches):
    field = small_field(**switches)
    given = random_input((3, 4), (12.0, 16.0), images=2)
    logits = field(given, centres(12, 16, images=2))
    assert logits.shape == ((2, 192, 3) if field.shape.per_class else (2, 192))
    reliability = logits.sigmoid()
    assert ((reliability > 0) & (reliability < 1)).all()


def test_a_new_field_believes_nine_labels_of_ten():
    last = ImplicitRectifier(FieldShape(feature_channels=5, num_classes=3)).rest[-1]
    assert isinstance(last, torch.nn.Linear)
    assert last.bias.sigmoid().item() == pytest.approx(0.9)


def test_a_field_is_liifs_query_at_one_code():
    """One cell without the ensemble: the perceptron on [codes, probabilities, dy, dx]."""
    field = small_field(ensemble=False, unfold=False)
    given = random_input((1, 1), (4.0, 4.0), coarse_hw=(1, 1), coarse_cover_hw_px=(4.0, 4.0))
    code = field.reduce(given.features)[0, :, 0, 0]
    inputs = torch.cat([code, given.probabilities[0, :, 0, 0], torch.tensor([-0.5, 0.75])])
    expected = field.rest(field.first(inputs))
    torch.testing.assert_close(field(given, torch.tensor([[[1.0, 3.5]]])), expected[None])


def test_unfolding_reads_rows_of_three_with_zeros_outside():
    field = small_field(reduced_channels=1, ensemble=False)
    given = random_input((2, 2), (2.0, 2.0))
    seen = []
    field.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0, :9]))
    field(given, torch.tensor([[[0.5, 1.5]]]))
    a, b, c, d = field.codes(given).flatten().tolist()
    assert seen[0].tolist() == [0, 0, 0, a, b, 0, c, d, 0]


def test_points_seen_at_two_resolutions_agree():
    field = small_field()
    given = random_input((3, 3), (9.0, 9.0))
    coarse = field(given, centres(9, 9)).view(9, 9)
    # Pixels of a third of the size: every third one has its centre on a coarse one.
    fine = field(given, centres(27, 27) / 3).view(27, 27)
    torch.testing.assert_close(fine[1::3, 1::3], coarse, rtol=0, atol=1e-5)


def test_only_the_ensemble_is_continuous_across_cells():
    given = random_input((4, 4), (16.0, 16.0))
    x = torch.arange(1.0, 16)  # borders of cells, and of what codes are asked
    x = torch.cat([x - 1e-4, x + 1e-4])
    points = torch.stack([torch.full_like(x, 7.3), x], dim=-1)[None]

    def jump(field: ImplicitRectifier) -> float:
        before, after = field(given, points)[0].detach().sigmoid().chunk(2)
        return float((after - before).abs().max())

    assert jump(small_field()) < 1e-3
    assert jump(small_field(ensemble=False)) > 1e-2


def test_one_image_answers_as_in_a_batch():
    field = small_field()
    given = random_input((3, 5), (10.0, 13.0), images=3)
    together = field(given, centres(10, 13, images=3))
    for index in range(3):
        one = replace(
            given,
            features=given.features[index : index + 1],
            probabilities=given.probabilities[index : index + 1],
        )
        alone = field(one, centres(10, 13))[0]
        torch.testing.assert_close(alone, together[index], rtol=0, atol=1e-6)


def test_flips_of_image_and_points_commute():
    """With a field that is even in x itself: delta unread, the same weights left and right."""
    field = small_field(relative=False, unfold=False)
    given = random_input((3, 4), (12.0, 16.0), coarse_hw=(3, 4), coarse_cover_hw_px=(12.0, 16.0))
    flipped = replace(
        given, features=given.features.flip(3), probabilities=given.probabilities.flip(3)
    )
    points = centres(12, 16)
    mirrored = torch.stack([points[..., 0], 16 - points[..., 1]], dim=-1)
    torch.testing.assert_close(field(flipped, mirrored), field(given, points))


def test_a_crop_along_cells_answers_as_the_whole_inside():
    field = small_field()
    whole = random_input((6, 6), (24.0, 24.0), coarse_hw=(6, 6), coarse_cover_hw_px=(24.0, 24.0))
    crop = FieldInput(whole.features[..., 1:], (24.0, 20.0), whole.probabilities[..., 1:], (24, 20))
    points = torch.tensor([[[11.2, 12.9], [9.5, 15.0]]])
    shifted = points - torch.tensor([0.0, 4.0])
    torch.testing.assert_close(field(crop, shifted), field(whole, points))


def test_points_outside_read_the_border():
    field = small_field()
    given = random_input((3, 2), (12.0, 8.0))
    outside = torch.tensor([[[-5.0, 3.0], [99.0, 99.0]]])
    border = torch.tensor([[[0.0, 3.0], [12.0, 8.0]]])
    torch.testing.assert_close(field(given, outside), field(given, border))


def test_probabilities_are_read_between_their_cells():
    field = small_field()
    given = random_input((1, 1), (8.0, 8.0), coarse_hw=(2, 2), coarse_cover_hw_px=(8.0, 8.0))
    seen = []
    field.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, :, 36:39]))
    field(given, centres(8, 8))
    expected = F.interpolate(given.probabilities, (8, 8), mode="bilinear")[0].flatten(1).T
    torch.testing.assert_close(seen[0], expected)


def test_the_size_of_the_pixel_counts_only_if_it_is_read():
    given, points = random_input((3, 2), (12.0, 8.0)), centres(12, 8)
    for cell in (True, False):
        field = small_field(cell=cell)
        same = torch.equal(field(given, points), field(given, points, (4.0, 2.0)))
        assert same is not cell
    assert small_field(cell=True).cell_inputs(given, (4.0, 2.0)).tolist() == [2, 1]


def test_no_gradient_reaches_the_teacher():
    given = random_input((3, 2), (12.0, 8.0))
    given.features.requires_grad_()
    given.probabilities.requires_grad_()
    field = small_field()
    torch.autograd.backward(field(given, centres(4, 4)).sum())
    assert given.features.grad is None
    assert given.probabilities.grad is None
    for parameter in field.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_features_are_normalised_inside():
    field = small_field()
    mean, std = torch.tensor([1.0, 2, 3, 4, 5]), torch.tensor([2.0, 4, 1, 0, 3])
    given = random_input((3, 2), (12.0, 8.0))
    before = field(given, centres(4, 4))
    field.normalise_by(mean, std)
    scale = torch.tensor([2.0, 4, 1, 1, 3])  # a channel that does not vary is only centred
    scaled = given.features * scale[:, None, None] + mean[:, None, None]
    after = field(replace(given, features=scaled), centres(4, 4))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert {"feature_mean", "feature_scale"} <= set(field.state_dict())
    with pytest.raises(ValueError, match="finite"):
        field.normalise_by(mean, mean * torch.nan)
    with pytest.raises(ValueError, match="negative"):
        field.normalise_by(mean, -mean)


@pytest.mark.parametrize("name", ["features", "probabilities"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(name, bad):
    given = random_input((3, 2), (12.0, 8.0))
    getattr(given, name)[0, 1, 1, 0] = bad
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        small_field()(given, centres(4, 4))


def test_shapes_that_do_not_fit_are_refused():
    field, given = small_field(), random_input((3, 2), (12.0, 8.0))
    for wrong in (
        replace(given, features=given.features[:, :4]),
        replace(given, probabilities=given.probabilities[:, :2]),
        replace(given, features=given.features.repeat(2, 1, 1, 1)),
        replace(given, features_cover_hw_px=(0.0, 8.0)),
    ):
        with pytest.raises(ValueError, match="must"):
            field(wrong, centres(4, 4))
    for points in (torch.zeros(4, 2), torch.zeros(2, 4, 2), torch.full((1, 1, 2), torch.nan)):
        with pytest.raises(ValueError, match="coordinates must be"):
            field(given, points)


def test_half_precision_features_are_taken():
    given = random_input((3, 2), (12.0, 8.0))
    halves = replace(
        given, features=given.features.half(), probabilities=given.probabilities.half()
    )
    field = small_field()
    logits = field(halves, centres(4, 4))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, field(given, centres(4, 4)), rtol=0, atol=1e-2)


def test_sizes_go_to_json_and_back():
    shape = FieldShape(64, 11, hidden=(256, 256), fourier_octaves=4, per_class=True)
    assert FieldShape.from_dict(shape.to_dict()) == shape
    assert FieldShape.from_dict({"feature_channels": 8, "num_classes": 2}) == FieldShape(8, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 4},
        {"hidden": 128},
        {"hidden": []},
        {"hidden": [128, 0]},
        {"unfold": 1},
        {"num_classes": "11"},
        {"num_classes": True},
        {"fourier_octaves": -1},
    ],
)
def test_wrong_sizes_are_refused(change):
    with pytest.raises(ValueError, match=r"must be|no size named"):
        FieldShape.from_dict({**FieldShape(64, 11).to_dict(), **change})


def test_missing_sizes_are_refused():
    with pytest.raises(ValueError, match="missing"):
        FieldShape.from_dict({"num_classes": 11})
