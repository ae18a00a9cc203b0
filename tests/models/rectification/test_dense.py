from dataclasses import replace

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from models.rectification import dense
from models.rectification.dense import dense_logits
from models.rectification.field import FieldInput, ImplicitRectifier
from tests.models.rectification.field_toys import SWITCHES, centres, random_input, small_field

LABEL = torch.zeros(1, 24, 40, dtype=torch.uint8)
LABEL[:, 5:14, 11:29] = 2


def naive_logits(
    field: ImplicitRectifier, given: FieldInput, size_hw: tuple[int, int]
) -> torch.Tensor:
    with torch.no_grad():
        logits = field(given, centres(*size_hw, images=len(given.features)))
    if field.shape.per_class:
        return logits.transpose(1, 2).unflatten(2, size_hw)
    return logits.unflatten(1, size_hw)


@pytest.mark.parametrize("switches", SWITCHES)
def test_every_ablation_equals_the_naive_field(switches):
    field = small_field(**switches)
    agreement = field.shape.agreement
    given = random_input((5, 7), (24.0, 41.5), images=2, agreement=agreement)
    torch.testing.assert_close(
        dense_logits(field, given, (24, 40)),
        naive_logits(field, given, (24, 40)),
        rtol=0,
        atol=1e-5,
    )


sides = st.integers(1, 30)
covers = st.floats(0.5, 60, width=32)


@settings(deadline=None, max_examples=30)
@drawn(
    size_hw=st.tuples(sides, sides),
    cells_hw=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    cover_hw_px=st.tuples(covers, covers),
    coarse_hw=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    coarse_cover_hw_px=st.tuples(covers, covers),
    ensemble=st.booleans(),
    unfold=st.booleans(),
    budget_bytes=st.sampled_from([1, 20_000, 64 << 20]),
    tile_values=st.sampled_from([160, 1000, 1 << 18]),
)
def test_any_sizes_equal_the_naive_field(
    size_hw,
    cells_hw,
    cover_hw_px,
    coarse_hw,
    coarse_cover_hw_px,
    ensemble,
    unfold,
    budget_bytes,
    tile_values,
):
    """Odd sizes, strides that are no whole numbers, maps larger or smaller than the image."""
    field = small_field(ensemble=ensemble, unfold=unfold)
    given = random_input(
        cells_hw, cover_hw_px, coarse_hw=coarse_hw, coarse_cover_hw_px=coarse_cover_hw_px
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_CPU_TILE_VALUES", tile_values)
        logits = dense_logits(field, given, size_hw, budget_bytes=budget_bytes)
    torch.testing.assert_close(logits, naive_logits(field, given, size_hw), rtol=0, atol=1e-5)


def test_the_default_sizes_equal_the_naive_field_too():
    field = small_field(reduced_channels=64, hidden=(128, 32))
    given = random_input((16, 16), (64.0, 64.0), coarse_hw=(16, 16), coarse_cover_hw_px=(64, 64))
    torch.testing.assert_close(
        dense_logits(field, given, (64, 64)),
        naive_logits(field, given, (64, 64)),
        rtol=0,
        atol=1e-5,
    )


def test_an_image_smaller_than_a_cell():
    field, given = small_field(), random_input((1, 1), (16.0, 16.0))
    logits = dense_logits(field, given, (2, 3))
    assert logits.shape == (1, 2, 3)
    torch.testing.assert_close(logits, naive_logits(field, given, (2, 3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["exact", "coarse"])
def test_one_image_answers_as_in_a_batch(mode):
    field = small_field()
    given = random_input((6, 10), (24.0, 40.0), images=3)
    label = LABEL.repeat(3, 1, 1)
    together = dense_logits(field, given, (24, 40), mode=mode, label=label)
    for index in range(3):
        some = slice(index, index + 1)
        one = replace(given, features=given.features[some], probabilities=given.probabilities[some])
        alone = dense_logits(field, one, (24, 40), mode=mode, label=label[some])
        assert torch.equal(alone[0], together[index])


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("tile_values", [160, 1 << 18])
def test_coarse_is_exact_near_edges_and_close_elsewhere(per_class, tile_values, monkeypatch):
    monkeypatch.setattr(dense, "_CPU_TILE_VALUES", tile_values)
    field = small_field(per_class=per_class)
    given = random_input((3, 5), (24.0, 40.0))  # smooth: a cell is twice that of the coarse grid
    exact = dense_logits(field, given, (24, 40))
    coarse = dense_logits(field, given, (24, 40), mode="coarse", label=LABEL, band_px=2)
    assert coarse.shape == exact.shape
    near = torch.zeros(24, 40, dtype=torch.bool)
    near[3:16, 9:31] = True
    near[7:12, 13:27] = False
    torch.testing.assert_close(coarse[..., near], exact[..., near], rtol=0, atol=1e-6)
    assert (coarse - exact)[..., ~near].abs().max() > 1e-4
    assert (coarse.sigmoid() - exact.sigmoid()).abs().mean() < 0.02


def test_coarse_takes_sizes_that_are_no_multiple_of_its_cells():
    field, given = small_field(), random_input((3, 5), (23.0, 37.0))
    label = LABEL[:, :23, :37].long()
    exact = dense_logits(field, given, (23, 37))
    coarse = dense_logits(field, given, (23, 37), mode="coarse", label=label)
    assert (coarse.sigmoid() - exact.sigmoid()).abs().mean() < 0.02
    # Every pixel is near an edge then.
    all_near = dense_logits(field, given, (23, 37), mode="coarse", label=label, band_px=40)
    torch.testing.assert_close(all_near, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["features", "probabilities"])
@pytest.mark.parametrize("bad", [torch.nan, -torch.inf])
def test_values_that_are_not_finite_are_refused(name, bad):
    given = random_input((3, 2), (12.0, 8.0))
    getattr(given, name)[0, 1, 1, 0] = bad
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        dense_logits(small_field(), given, (12, 8))


def test_wrong_calls_are_refused():
    field, given = small_field(), random_input((6, 10), (24.0, 40.0))
    with pytest.raises(ValueError, match="exact, coarse, not 'fast'"):
        dense_logits(field, given, (24, 40), mode="fast")
    with pytest.raises(ValueError, match="a pixel or more"):
        dense_logits(field, given, (0, 40))
    for label in (None, LABEL[:, :5]):
        with pytest.raises(ValueError, match="needs the label"):
            dense_logits(field, given, (24, 40), mode="coarse", label=label)
