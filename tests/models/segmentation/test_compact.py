import json

import pytest
import torch
from torch.nn import functional as F

from models.segmentation.compact import CompactSegmenter


@pytest.fixture(scope="module")
def model() -> CompactSegmenter:
    torch.manual_seed(0)
    return CompactSegmenter(5, width=6, feature_channels=8).eval()


@pytest.mark.parametrize(
    ("size_hw", "logits_hw", "features_hw"),
    [
        ((1, 1), (1, 1), (1, 1)),
        ((3, 50), (3, 50), (1, 13)),
        ((16, 32), (4, 8), (4, 8)),
        ((20, 36), (5, 9), (5, 9)),
        ((37, 53), (37, 53), (10, 14)),
    ],
)
def test_any_size_gives_logits_over_the_whole_extent(model, size_hw, logits_hw, features_hw):
    with torch.inference_mode():
        out = model(torch.rand(2, 3, *size_hw))
    assert out.logits.shape == (2, 5, *logits_hw)
    assert out.features.shape == (2, 8, *features_hw)
    assert torch.isfinite(out.logits).all()


def test_odd_size_equals_cropping_the_replicated_image(model):
    image = torch.rand(1, 3, 30, 45)
    padded = F.pad(image, (0, 3, 0, 2), mode="replicate")
    with torch.inference_mode():
        odd = model(image).logits
        even = F.interpolate(model(padded).logits, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(odd, even[..., :30, :45])


def test_logits_are_the_classifier_on_the_features(model):
    with torch.inference_mode():
        out = model(torch.rand(1, 3, 32, 32))
        torch.testing.assert_close(model.classify(out.features), out.logits)


def test_config_survives_json_and_rebuilds_the_shapes(model):
    rebuilt = CompactSegmenter.from_config(json.loads(json.dumps(model.config())))
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.config() == {"num_classes": 5, "width": 6, "feature_channels": 8}


def test_default_size_lies_in_the_stated_range():
    count = sum(value.numel() for value in CompactSegmenter(10).parameters())
    assert 1_500_000 <= count <= 2_500_000


@pytest.mark.parametrize("num_classes", [0, 256])
def test_impossible_class_count_is_refused(num_classes):
    with pytest.raises(ValueError, match=r"1\.\.255"):
        CompactSegmenter(num_classes)


def test_normalisation_is_part_of_the_network(model):
    image = torch.rand(1, 3, 16, 16)
    bare = CompactSegmenter.from_config(model.config()).eval()
    bare.load_state_dict(model.state_dict())
    bare.channel_mean.zero_()
    bare.channel_std.fill_(1.0)
    with torch.inference_mode():
        torch.testing.assert_close(bare((image - 0.45) / 0.25).logits, model(image).logits)
