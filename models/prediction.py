"""Stage `predict`: the most probable class of every pixel, and its probability."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.config import PredictConfig
from models.errors import ConfigError, ModelOutputInvalid, OutOfMemory
from models.memory import MemoryPlan, or_none_if_out_of_memory
from models.prediction_detail import DetailCollector, PredictionDetail
from models.segmentation.base import SegmentationModel
from models.segmentation.sliding_window import Blender, Block, WindowGrid
from models.segmentation.views import View, look, probability_strips

CPU_BATCH_SIZE = 1
GPU_BATCH_SIZE = 8
# Values in a strip of probabilities: 16 MiB stays near a CPU's cache, a GPU wants larger pieces.
_CPU_STRIP_ELEMENTS = 1 << 22
_GPU_STRIP_ELEMENTS = 1 << 26

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image, and what the stage `rectify` made of it.

    Attributes:
        label: most probable class of each pixel, uint8 (H, W); of equal ones the lowest id. After
            `rectify` the class that it wrote.
        p_max: its probability, float32 (H, W), in [0, 1]. After `rectify` the estimated
            probability that the class written is right.
        window_px: longest side of a window; less than configured if memory ran out.
        detail: what the later stages need beside; None if it was not asked for.
        agreement: mean over several looks at the image of the largest probability where a look says
            the class of their mean, and of 0 where it says another, float32 (H, W); None of a
            single look, or without detail.
        predicted: the class map before `rectify`, uint8 (H, W); None where it has not run.
        mixed: means over cells of 4 x 4 pixels of the class probabilities after `rectify`, float16
            (K, ceil(H / 4), ceil(W / 4)); None where no class may change, or it has not run.
        note: why `rectify` could not do its work, where that is so.
    """

    label: npt.NDArray[np.uint8]
    p_max: npt.NDArray[np.float32]
    window_px: int
    detail: PredictionDetail | None = None
    agreement: npt.NDArray[np.float32] | None = None
    predicted: npt.NDArray[np.uint8] | None = None
    mixed: npt.NDArray[np.float16] | None = None
    note: str | None = None

    @property
    def nbytes(self) -> int:
        parts = (self.label, self.p_max, self.detail, self.agreement, self.predicted, self.mixed)
        return sum(part.nbytes for part in parts if part is not None)


class Predictor:
    """Runs a model over images of any sizes, in bounded memory.

    Images of one shape are batched. An image with a side longer than `config.window_px` is computed
    window by window. When memory runs out the batch and then the window are halved; a smaller batch
    is kept for later images, a smaller window is not, so that labels do not depend on the images
    before them.

    Args:
        model: the segmenter.
        config: how it is run.
        with_detail: give every prediction its `detail`.

    Raises:
        ConfigError: if the model takes images of one size only and a scale is above 1.
    """

    def __init__(
        self, model: SegmentationModel, config: PredictConfig, with_detail: bool = False
    ) -> None:
        self._model = model
        self._with_detail = with_detail
        self._with_agreement = with_detail and config.looks > 1
        self._config = config
        on_gpu = model.device.type != "cpu"
        self._autocast = on_gpu and config.precision == "bfloat16"
        self._strip_elements = _GPU_STRIP_ELEMENTS if on_gpu else _CPU_STRIP_ELEMENTS
        # Only programs that were recorded for one size have this attribute.
        self._fixed_size_hw: tuple[int, int] | None = getattr(model, "fixed_size_hw", None)
        if self._fixed_size_hw is not None and max(config.scales) > 1:
            raise ConfigError(
                "predict.scales", "this model takes images of one size, so no scale above 1"
            )
        self._batch_size = config.batch_size or (GPU_BATCH_SIZE if on_gpu else CPU_BATCH_SIZE)

    @property
    def precision(self) -> str:
        """The precision that is really used, "float32" or "bfloat16"."""
        return "bfloat16" if self._autocast else "float32"

    def predict(self, images: Sequence[RgbImage]) -> Iterator[tuple[int, Prediction]]:
        """Yields (position in `images`, prediction), grouped by shape.

        Args:
            images: uint8 (H, W, 3) RGB, upright, H, W >= 1.

        Raises:
            ValueError: if an image has another shape or dtype.
            OutOfMemory: if an image does not fit with a batch of one and the smallest window.
            ModelOutputInvalid: if the model gives no finite scores of the right shape.
        """
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for position, image in enumerate(images):
            _check_image(image)
            by_shape[image.shape].append(position)
        for positions in by_shape.values():
            yield from self._predict_alike(images, positions)

    def _predict_alike(
        self, images: Sequence[RgbImage], positions: list[int]
    ) -> Iterator[tuple[int, Prediction]]:
        height, width = images[positions[0]].shape[:2]
        window_px = self._config.window_px
        while positions:
            plan = MemoryPlan(self._batch_size, window_px)
            grid = self._plan_grid((height, width), plan.window_px)
            count = plan.batch_size if len(grid) == 1 else 1
            chunk = [images[position] for position in positions[:count]]
            predictions = or_none_if_out_of_memory(partial(self._predict, chunk, grid, plan))
            if predictions is None:
                plan = self._smaller(plan, max(height, width))
                self._batch_size, window_px = plan.batch_size, plan.window_px
                continue
            yield from zip(positions, predictions, strict=False)
            positions = positions[count:]

    def _plan_grid(self, size_hw: tuple[int, int], window_px: int) -> WindowGrid:
        if self._fixed_size_hw is not None:
            return WindowGrid.of_fixed_size(size_hw, self._fixed_size_hw, self._config.overlap)
        return WindowGrid.plan(size_hw, window_px, self._config.overlap)

    def _smaller(self, plan: MemoryPlan, longest_side_px: int) -> MemoryPlan:
        if self._fixed_size_hw is not None and plan.batch_size == 1:
            raise OutOfMemory(max(self._fixed_size_hw))
        return plan.smaller(longest_side_px)

    def _predict(
        self, images: list[RgbImage], grid: WindowGrid, plan: MemoryPlan
    ) -> list[Prediction]:
        """Predictions of images of one shape: several of one window each, or one of several."""
        size_hw = images[0].shape[0], images[0].shape[1]
        window_px = max(self._fixed_size_hw) if self._fixed_size_hw else plan.window_px
        if len(grid) > 1:
            collector = self._collector(size_hw, grid)
            blocks = self._blended_blocks(images[0], grid, plan.batch_size, collector)
            return [self._reduce(blocks, images[0], window_px, collector)]
        views = self._look(images)
        predictions = []
        for index in range(len(images)):
            collector = self._collector(size_hw, grid)
            if collector is not None:
                collector.add_features(views[0], index, next(iter(grid)))
            blocks = self._single_window_blocks(views, index, size_hw)
            predictions.append(self._reduce(blocks, images[index], window_px, collector))
        return predictions

    def _collector(self, size_hw: tuple[int, int], grid: WindowGrid) -> DetailCollector | None:
        if not self._with_detail:
            return None
        num_classes = self._model.ontology.num_classes
        return DetailCollector(size_hw, num_classes, grid, self._with_agreement)

    def _single_window_blocks(
        self, views: list[View], index: int, size_hw: tuple[int, int]
    ) -> Iterator[Block]:
        for top, strip in self._strips(views, index, size_hw):
            yield Block(top, 0, strip)

    def _blended_blocks(
        self,
        image: RgbImage,
        grid: WindowGrid,
        batch_size: int,
        collector: DetailCollector | None,
    ) -> Iterator[Block]:
        height, width = grid.window_hw
        channels = self._model.ontology.num_classes + int(self._with_agreement)
        blender = Blender(grid, channels, self._model.device)
        windows = list(grid)
        for first in range(0, len(windows), batch_size):
            batch = windows[first : first + batch_size]
            views = self._look([image[w.y : w.y + height, w.x : w.x + width] for w in batch])
            for index, window in enumerate(batch):
                if collector is not None:
                    collector.add_features(views[0], index, window)
                for row, strip in self._strips(views, index, grid.window_hw):
                    yield from blender.add(window, row, strip)

    def _strips(
        self, views: list[View], index: int, size_hw: tuple[int, int]
    ) -> Iterator[tuple[int, Tensor]]:
        return probability_strips(views, index, size_hw, self._strip_elements, self._with_agreement)

    def _look(self, images: list[RgbImage]) -> list[View]:
        with torch.inference_mode():
            batch = to_tensor(images, self._model.device)
            return look(self._model, batch, self._config, self._autocast)

    def _reduce(
        self,
        blocks: Iterator[Block],
        image: RgbImage,
        window_px: int,
        collector: DetailCollector | None,
    ) -> Prediction:
        size_hw = image.shape[0], image.shape[1]
        label = np.empty(size_hw, dtype=np.uint8)
        p_max = np.empty(size_hw, dtype=np.float32)
        agreement = np.empty(size_hw, dtype=np.float32) if self._with_agreement else None
        num_classes = self._model.ontology.num_classes
        with torch.inference_mode():
            for block in blocks:
                highest, winner = block.probabilities[:num_classes].max(dim=0)
                if not bool(torch.isfinite(highest).all()):
                    raise ModelOutputInvalid(
                        "the model gave scores that are not finite (NaN or inf)"
                    )
                rows = slice(block.y, block.y + highest.shape[0])
                columns = slice(block.x, block.x + highest.shape[1])
                label[rows, columns] = winner.to(torch.uint8).cpu().numpy()
                # Sums of shares may pass 1 by a rounding error.
                p_max[rows, columns] = highest.clamp(max=1.0).cpu().numpy()
                if agreement is not None:
                    agreed = block.probabilities[num_classes].clamp(max=1.0)
                    agreement[rows, columns] = agreed.cpu().numpy()
                if collector is not None:
                    collector.add_block(block)
        detail = None if collector is None else collector.finish(image)
        return Prediction(label, p_max, window_px, detail, agreement)


def to_tensor(images: Sequence[RgbImage], device: torch.device) -> Tensor:
    """Images uint8 (H, W, 3) of one shape as float32 [B, 3, H, W] in [0, 1] on `device`."""
    stacked = torch.from_numpy(np.stack(images)).to(device)
    return stacked.permute(0, 3, 1, 2).float().div_(255).contiguous()


def _check_image(image: RgbImage) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image is uint8 (H, W, 3) with H, W >= 1, not {image.dtype} {image.shape}"
        )
