import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.config import PredictConfig
from models.errors import ModelOutputInvalid
from models.segmentation.base import SegmentationOutput
from models.segmentation.views import View, look, probability_strips, upsample_rows
from tests.models.fakes import ConvModel, RedModel, names


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 5), (16, 24), (37, 41)])
@pytest.mark.parametrize("cells_hw", [(1, 1), (4, 6), (16, 24)])
def test_rows_of_the_upsampled_logits_are_those_of_torch(size_hw, cells_hw):
    logits = torch.randn(2, 3, *cells_hw, generator=torch.Generator().manual_seed(1))
    whole = F.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)
    view = View(logits, size_hw, flipped=False)
    for top in range(size_hw[0]):
        bottom = min(size_hw[0], top + 2)
        torch.testing.assert_close(
            upsample_rows(view, 1, size_hw, top, bottom),
            whole[1, :, top:bottom],
            atol=1e-5,
            rtol=0,
        )


def test_logits_of_a_padded_image_are_upsampled_to_the_padding_and_cut():
    logits = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    whole = F.interpolate(logits, size=(12, 16), mode="bilinear", align_corners=False)
    rows = upsample_rows(View(logits, (12, 16), flipped=False), 0, (10, 13), 0, 10)
    torch.testing.assert_close(rows, whole[0, :, :10, :13], atol=1e-5, rtol=0)
    mirrored = upsample_rows(View(logits, (12, 16), flipped=True), 0, (10, 13), 0, 10)
    torch.testing.assert_close(mirrored, whole[0, :, :10, :13].flip(-1), atol=1e-5, rtol=0)


def test_bilinear_weights_in_view():
    view = View(torch.tensor([[[[0.0, 8.0]]]]), (1, 4), flipped=False)
    assert upsample_rows(view, 0, (1, 4), 0, 1).tolist() == [[[0.0, 2.0, 6.0, 8.0]]]


@pytest.mark.parametrize("max_elements", [1, 40, 10_000])
def test_strips_do_not_change_the_probabilities(max_elements):
    model = ConvModel(stride=4)
    images = torch.rand(2, 3, 13, 22, generator=torch.Generator().manual_seed(3))
    views = look(model, images, PredictConfig())
    logits = model.forward(images).logits
    whole = F.interpolate(logits, size=(16, 24), mode="bilinear", align_corners=False)
    expected = whole[1, :, :13, :22].softmax(dim=0)
    strips = list(probability_strips(views, 1, (13, 22), max_elements))
    assert [top for top, _ in strips] == list(
        np.cumsum([0] + [strip.shape[1] for _, strip in strips[:-1]])
    )
    joined = torch.cat([strip for _, strip in strips], dim=1)
    torch.testing.assert_close(joined, expected, atol=1e-5, rtol=0)


def test_flip_and_scales_are_averaged_with_equal_weight():
    model = ConvModel(stride=2)
    images = torch.rand(1, 3, 12, 17, generator=torch.Generator().manual_seed(3))
    config = PredictConfig(flip=True, scales=(1.0, 1.5))
    expected = torch.zeros(3, 12, 17)
    for scaled_hw in ((12, 17), (18, 26)):
        scaled = F.interpolate(images, size=scaled_hw, mode="bilinear", align_corners=False)
        for flipped in (False, True):
            logits = model.forward(scaled.flip(-1) if flipped else scaled).logits
            # The width 17 is padded to 18; 18 by 26 needs no padding.
            whole_hw = (12, 18) if scaled_hw == (12, 17) else (12, 17)
            full = F.interpolate(logits, size=whole_hw, mode="bilinear", align_corners=False)
            full = full[0, :, :, :17].softmax(dim=0)
            expected += (full.flip(-1) if flipped else full) / 4
    (_, strip), *rest = probability_strips(look(model, images, config), 0, (12, 17), 10**6)
    assert not rest
    torch.testing.assert_close(strip, expected, atol=1e-5, rtol=0)


def test_a_mirrored_look_at_a_pointwise_model_changes_nothing():
    images = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(3))
    plain = look(RedModel(), images, PredictConfig())
    both = look(RedModel(), images, PredictConfig(flip=True))
    assert [view.flipped for view in both] == [False, True]
    ((_, once),) = probability_strips(plain, 0, (5, 7), 10**6)
    ((_, twice),) = probability_strips(both, 0, (5, 7), 10**6)
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("max_elements", [1, 10_000])
def test_agreement_counts_the_looks_that_say_what_their_mean_says(max_elements):
    # Two looks at two pixels. Left: 0.9 and 0.4 for class 0, mean 0.65, one agrees.
    # Right: 0.2 and 0.4, mean 0.3, both say class 1 with 0.8 and 0.6.
    shares = torch.tensor([[0.9, 0.2], [0.4, 0.4]])
    views = [
        View(torch.stack([p, 1 - p]).log()[None, :, None], (1, 2), flipped=False) for p in shares
    ]
    ((top, strip),) = probability_strips(views, 0, (1, 2), max_elements, with_agreement=True)
    assert top == 0
    expected = torch.tensor([[[0.65, 0.3]], [[0.35, 0.7]], [[0.45, 0.7]]])
    torch.testing.assert_close(strip, expected)


@pytest.mark.parametrize("shape", [(1, 4, 5, 7), (2, 3, 5, 7), (1, 3, 0, 7), (3, 5, 7)])
def test_logits_of_a_wrong_shape_are_refused(shape):
    class Wrong(RedModel):
        ontology = names(3)

        def forward(self, images):
            return SegmentationOutput(torch.zeros(shape))

    with pytest.raises(ModelOutputInvalid, match="logits of shape"):
        look(Wrong(), torch.zeros(1, 3, 5, 7), PredictConfig())
