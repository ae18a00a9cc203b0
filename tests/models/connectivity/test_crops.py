from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.connectivity.crops import (
    CROP_HW,
    ResNetBackbone,
    SegmenterBackbone,
    crop_features,
    crop_region,
    crop_window_xyxy,
)
from models.connectivity.extraction import regions_of
from models.connectivity.features import Pixels
from models.errors import ModelRefused
from models.ontology import Ontology
from models.rle import Rle
from models.segmentation.base import SegmentationOutput
from tests.models.connectivity.region_toys import regions_of_vectors

torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1000, 500, 1010, 520), (749, 382, 1261, 638)),  # around the centre
        ((0, 0, 10, 10), (0, 0, 512, 256)),  # shifted in from the top left
        ((2040, 1020, 2048, 1024), (1536, 768, 2048, 1024)),  # and from the bottom right
        ((500, 300, 1524, 400), (500, 94, 1524, 606)),  # twice as wide as the crop: grown
        ((1000, 200, 1010, 840), (365, 200, 1645, 840)),  # 2.5 times as high
        ((0, 0, 2048, 1024), (0, 0, 2048, 1024)),
    ],
)
def test_the_window_of_a_box(box, expected):
    assert crop_window_xyxy(box, (1024, 2048)) == expected


def test_the_window_of_a_small_image_is_the_image():
    assert crop_window_xyxy((3, 4, 5, 6), (100, 700)) == (0, 0, 512, 100)
    assert crop_window_xyxy((3, 4, 5, 6), (100, 200)) == (0, 0, 200, 100)


def test_a_crop_has_the_image_and_the_mask_of_its_window():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 600, 3)).astype(np.uint8)
    mask = np.zeros((300, 600), bool)
    mask[40:50, 70:90] = True
    shown, placed = crop_region(image, Rle.encode(mask), (20, 10, 532, 266))
    assert (shown == image[10:266, 20:532]).all()
    assert (placed == mask[10:266, 20:532]).all()


def test_a_mask_that_is_shrunk_does_not_vanish():
    mask = np.zeros((1024, 2048), bool)
    mask[513, :] = True
    image = np.zeros((1024, 2048, 3), np.uint8)
    window = crop_window_xyxy((0, 513, 2048, 514), (1024, 2048))
    shown, placed = crop_region(image, Rle.encode(mask), window)
    assert (shown.shape, placed.shape) == ((*CROP_HW, 3), CROP_HW)
    assert placed.any(0).all()
    assert placed.sum() <= 2 * CROP_HW[1]


class Colours:
    """A segmenter whose features are the colours of every fourth pixel."""

    device = CPU
    ontology = Ontology.from_names("halves", ["left", "right"])
    has_batch_statistics = False

    def forward(self, images: torch.Tensor) -> SegmentationOutput:
        return SegmentationOutput(images, images[:, :, 1::4, 1::4])


def two_halves() -> Any:
    """The left half red, the right half blue, as two regions."""
    image = np.zeros((256, 512, 3), np.uint8)
    image[:, :256, 0], image[:, 256:, 2] = 255, 255
    label = (np.arange(512) >= 256).astype(np.uint8)[None].repeat(256, 0)
    ones = np.ones(label.shape, np.float32)
    aggregation = SimpleNamespace(
        label=label, pieces=np.zeros(label.shape, np.int32), quality=np.zeros(0, np.float32)
    )
    return image, regions_of(aggregation, Pixels(image, label, ones, ones), 2, ())


def test_masked_pooling_of_the_segmenters_features():
    image, regions = two_halves()
    found = crop_features(image, regions, SegmenterBackbone(Colours()), batch_size=1)
    assert found.dtype == np.float16
    assert found.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_segmenter_without_features_and_features_that_are_not_finite_are_refused():
    image, regions = two_halves()
    blind = SimpleNamespace(device=CPU, forward=lambda x: SegmentationOutput(x))
    with pytest.raises(ValueError, match="no features"):
        crop_features(image, regions, SegmenterBackbone(blind))
    bad = SimpleNamespace(
        device=CPU, vectors=lambda images, masks: torch.full((len(images), 2), float("nan"))
    )
    with pytest.raises(ValueError, match="'crop'"):
        crop_features(image, regions, bad)
    with pytest.raises(ValueError, match="without regions"):
        crop_features(image, regions_of_vectors({}, np.zeros(0, np.uint8)), bad)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    from models.torchvision_operators import ensure_torchvision_operators

    ensure_torchvision_operators()
    from torchvision.models import resnet18

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(resnet18().state_dict(), path)
    return ResNetBackbone.load(path, CPU, "resnet18")


def test_the_masked_stem_of_a_resnet(resnet):
    image, regions = two_halves()
    found = crop_features(image, regions, resnet)
    assert found.shape == (2, 512)
    # Only what lies under the mask, and what the stem sees around it, counts.
    changed = image.copy()
    changed[:, 300:] = 77
    again = crop_features(changed, regions, resnet)
    assert (again[0] == found[0]).all()
    assert (again[1] != found[1]).any()


def test_an_empty_file_and_another_network_are_refused(resnet, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(1000, 512)}, other)
    for path in (broken, other, tmp_path / "missing.safetensors"):
        with pytest.raises(ModelRefused) as refusal:
            ResNetBackbone.load(path, CPU, "resnet18")
        assert refusal.value.code == "crop-backbone-unreadable"
        assert path.name in refusal.value.reason
