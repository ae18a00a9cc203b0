"""Features of a region from a crop around it, as in SeCo's public code; for comparison.

A crop of 256 x 512 pixels around the centre of the region's box, larger where the box is, with the
same shape, shifted into the image (`datasets/Cityscapes.py` at 04c4a05). It costs one pass of a
network a region, where pooled features cost one an image.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.connectivity.regions import Regions
from models.errors import ModelRefused
from models.rle import Rle
from models.segmentation.base import SegmentationModel
from models.torchvision_operators import ensure_torchvision_operators

CROP_HW: Final = (256, 512)
CROP_GROUP: Final = "crop"
_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class CropBackbone(Protocol):
    """Crops with masks to one vector each."""

    device: torch.device

    def vectors(self, images: Tensor, masks: Tensor) -> Tensor:
        """float [B, D] of images float32 [B, 3, h, w] in [0, 1] and masks float32 [B, 1, h, w]."""
        ...


class SegmenterBackbone:
    """The segmenter's own encoder, with masked average pooling as in the paper."""

    def __init__(self, model: SegmentationModel) -> None:
        self._model = model
        self.device = model.device

    def vectors(self, images: Tensor, masks: Tensor) -> Tensor:
        """Raises ValueError if the segmenter gives no features."""
        features = self._model.forward(images).features
        if features is None:
            raise ValueError("this segmenter gives no features to pool")
        # By area, so that a mask smaller than a cell does not vanish.
        shares = F.interpolate(masks, size=features.shape[-2:], mode="area")
        return (features * shares).sum((2, 3)) / shares.sum((2, 3)).clamp(min=1e-12)


class ResNetBackbone:
    """A ResNet of torchvision as in the public code: the mask cuts the stem, then the whole net.

    Args:
        module: the network; its last layer is not used.
        device: where it runs.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._net: Any = module.to(device).eval()
        self.device = device
        self._mean = torch.tensor(_IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(_IMAGENET_STD, device=device).view(1, 3, 1, 1)

    @classmethod
    def load(
        cls, path: Path, device: torch.device, architecture: str = "resnet101"
    ) -> "ResNetBackbone":
        """From weights under torchvision's names in a safetensors file.

        Raises:
            ModelRefused: `crop-backbone-unreadable` if the file is not that.
        """
        ensure_torchvision_operators()
        from torchvision.models import get_model

        module = get_model(architecture, weights=None)
        try:
            missing = module.load_state_dict(load_file(path), strict=False).missing_keys
        except (SafetensorError, OSError, RuntimeError) as error:
            raise _refused(path, architecture, str(error)) from error
        missing = [name for name in missing if not name.startswith("fc.")]
        if missing:
            raise _refused(path, architecture, f"{missing[0]} is missing")
        return cls(module, device)

    def vectors(self, images: Tensor, masks: Tensor) -> Tensor:
        net = self._net
        x = net.relu(net.bn1(net.conv1((images - self._mean) / self._std)))
        # By maximum, so that a mask thinner than a stride does not vanish.
        x = x * F.adaptive_max_pool2d(masks, x.shape[-2:])
        x = net.layer4(net.layer3(net.layer2(net.layer1(net.maxpool(x)))))
        pooled: Tensor = x.mean((2, 3))
        return pooled


def crop_features(
    image: npt.NDArray[np.uint8], regions: Regions, backbone: CropBackbone, batch_size: int = 8
) -> npt.NDArray[np.float16]:
    """A vector for each region, float16 (N, D), from image uint8 (H, W, 3).

    Raises:
        ValueError: a vector is not finite, or there are no regions to know D from.
    """
    if len(regions) == 0:
        raise ValueError("without regions there are no crops")
    found = []
    with torch.inference_mode():
        for images, masks in _batches(image, regions, batch_size):
            vectors = backbone.vectors(images.to(backbone.device), masks.to(backbone.device))
            found.append(vectors.float().cpu().numpy())
    whole = np.concatenate(found)
    if not np.isfinite(whole).all():
        raise ValueError("the features 'crop' of a region are not finite")
    largest = float(np.finfo(np.float16).max)
    return np.asarray(np.clip(whole, -largest, largest), np.float16)


def crop_window_xyxy(
    box_xyxy: tuple[int, int, int, int],
    size_hw: tuple[int, int],
    crop_hw: tuple[int, int] = CROP_HW,
) -> tuple[int, int, int, int]:
    """The window around a box, half open and inside the image.

    It has the size of the crop, or is as much larger in both directions as the box asks for; where
    the image is smaller than that it ends with the image.
    """
    x0, y0, x1, y1 = box_xyxy
    growth = max(1.0, (y1 - y0) / crop_hw[0], (x1 - x0) / crop_hw[1])
    top, bottom = _span((y0 + y1) / 2, int(np.ceil(crop_hw[0] * growth)), size_hw[0])
    left, right = _span((x0 + x1) / 2, int(np.ceil(crop_hw[1] * growth)), size_hw[1])
    return left, top, right, bottom


def crop_region(
    image: npt.NDArray[np.uint8],
    rle: Rle,
    window_xyxy: tuple[int, int, int, int],
    crop_hw: tuple[int, int] = CROP_HW,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Image uint8 (h, w, 3), bilinear, and mask uint8 (h, w) of 0 and 1, nearest, of a window."""
    x0, y0, x1, y1 = window_xyxy
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    columns, rows = np.divmod(rle.pixels(), rle.size_hw[0])
    mask[rows - y0, columns - x0] = 1
    size_wh = crop_hw[1], crop_hw[0]
    shown = cv2.resize(image[y0:y1, x0:x1], size_wh, interpolation=cv2.INTER_LINEAR)
    placed = cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    if not placed.any():  # a thin region that fell between the samples
        placed = cv2.resize(mask * np.float32(1), size_wh, interpolation=cv2.INTER_AREA)
        placed = (placed > 0).astype(np.uint8)
    return np.asarray(shown, np.uint8), np.asarray(placed, np.uint8)


def _batches(
    image: npt.NDArray[np.uint8], regions: Regions, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(regions), batch_size):
        images, masks = [], []
        for i in range(start, min(start + batch_size, len(regions))):
            x0, y0, x1, y1 = (int(side) for side in regions.boxes_xyxy[i])
            window = crop_window_xyxy((x0, y0, x1, y1), regions.size_hw)
            shown, placed = crop_region(image, regions.rles[i], window)
            images.append(shown)
            masks.append(placed)
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        yield stacked, torch.from_numpy(np.stack(masks))[:, None].float()


def _span(centre: float, length: int, limit: int) -> tuple[int, int]:
    length = min(length, limit)
    start = int(np.clip(round(centre - length / 2), 0, limit - length))
    return start, start + length


def _refused(path: Path, architecture: str, why: str) -> ModelRefused:
    return ModelRefused(
        "crop-backbone-unreadable",
        f"{path.name} has no weights of {architecture}: {why}.",
        "Save torchvision's state dict of that network with safetensors.torch.save_file.",
    )
