"""Masks of whatever a grid of points finds, without near duplicates."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from models.memory import in_parts
from models.promptable.base import Masks, ProposalConfig
from models.promptable.candidates import Answered, Candidates, boxes_of
from models.promptable.frame import Frame
from models.promptable.sam_architecture import SamArchitecture
from models.promptable.settling import MASK_THRESHOLD, MaskList, masks_at, prompts_at_once
from models.promptable.two_way import answer_prompts_of_image, chosen_masks
from models.torchvision_operators import greedy_nms

# The low-resolution stability of a mask differs from the full one the more the smaller the mask.
_STABILITY_MARGIN = 0.02
_STABILITY_MARGIN_OF_A_SIDE = 1.0
# The fast mode thins out what it holds when it holds this much.
_HELD_BYTES = 64 * 2**20


class GridAsker:
    """Asks a SAM about single points of one image."""

    def __init__(
        self,
        sam: Sam,
        features: Tensor,
        frame: Frame,
        architecture: SamArchitecture,
        config: ProposalConfig,
    ) -> None:
        self.sam, self.features, self.frame, self.config = sam, features, frame, config
        self.at_once = prompts_at_once(architecture, features.device)

    def answers(
        self, points_xy: npt.NDArray[np.float64], least_stability: float, margin: float
    ) -> Iterator[Answered]:
        """Batch by batch the masks whose estimated IoU and low-resolution stability suffice.

        Args:
            points_xy: (N, 2) in the image.
            least_stability: masks below it go, ...
            margin: ... if they are so many times the uncertainty of their stability below it.
        """

        def part(start: int, stop: int) -> Answered:
            answered = self._ask(points_xy[start:stop])
            stability, uncertainty = self._low_stability(answered)
            # Written so that an empty mask, whose stability is NaN, goes as well.
            stays = stability + margin * uncertainty >= least_stability
            if least_stability <= 0:
                stays = torch.ones_like(stays)
            places = stays.nonzero()[:, 0]
            return Answered(
                answered.low[places],
                answered.iou[places],
                stability[places],
                answered.points_xy[places.cpu().numpy()],
            )

        return in_parts(len(points_xy), self.at_once, part)

    def _ask(self, points_xy: npt.NDArray[np.float64]) -> Answered:
        device = self.features.device
        places = torch.from_numpy(self.frame.places_in_square(points_xy)).to(device)
        labels = torch.ones(len(places), 1, dtype=torch.int, device=device)
        sparse = self.sam.prompt_encoder(points=(places[:, None], labels), boxes=None, masks=None)
        answers = answer_prompts_of_image(self.sam, self.features, sparse[0])
        # Mask 0 answers several prompts; a single point is ambiguous, and 1 to 3 answer that.
        wanted = answers.iou[:, 1:] > self.config.least_iou
        if self.config.least_iou <= 0:
            wanted = torch.ones_like(wanted)
        prompt, mask = wanted.nonzero(as_tuple=True)
        mask = mask + 1
        if len(prompt):
            low = chosen_masks(self.sam, answers, prompt, mask)
        else:
            low = self.features.new_empty(0, self.frame.low_px, self.frame.low_px)
        iou = answers.iou[prompt, mask]
        return Answered(low, iou, torch.ones_like(iou), points_xy[prompt.cpu().numpy()])

    def _low_stability(self, answered: Answered) -> tuple[Tensor, Tensor]:
        height, width = self.frame.low_hw
        seen = answered.low[:, :height, :width]
        offset = self.config.stability_offset
        inner = (seen > MASK_THRESHOLD + offset).sum((1, 2)).float()
        outer = (seen > MASK_THRESHOLD - offset).sum((1, 2)).float()
        uncertainty = _STABILITY_MARGIN + _STABILITY_MARGIN_OF_A_SIDE / outer.clamp(min=1).sqrt()
        return inner / outer, uncertainty


def propose(
    sam: Sam, features: Tensor, frame: Frame, architecture: SamArchitecture, config: ProposalConfig
) -> Masks:
    """The proposals of one image by falling estimated IoU; see `RegionModel.proposals`.

    Args:
        sam: the network.
        features: the image's embedding, float [C, h, w].
        frame: of the image.
        architecture: sizes of the network.
        config: how many points, what is kept.
    """
    asker = GridAsker(sam, features, frame, architecture, config)
    return _exact(asker) if config.mode == "exact" else _fast(asker)


def grid_xy(points_per_side: int, size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Centres of n x n equal cells of an image, float64 (n, n, 2) as rows, columns, (x, y)."""
    offset = 1 / (2 * points_per_side)
    along = np.linspace(offset, 1 - offset, points_per_side)
    x, y = np.meshgrid(along * size_hw[1], along * size_hw[0])
    return np.stack([x, y], axis=-1)


def _exact(asker: GridAsker) -> Masks:
    """What `SamAutomaticMaskGenerator` gives, but for masks without a pixel, which are left out."""
    config, frame = asker.config, asker.frame
    candidates = Candidates(frame, config)
    points = grid_xy(config.points_per_side, frame.size_hw).reshape(-1, 2)
    for batch in asker.answers(points, config.least_stability, margin=1):
        candidates.take(batch)
    return candidates.without_duplicates()


def _fast(asker: GridAsker) -> Masks:
    """Every second point of every second row first, the others only where nothing was found."""
    config, frame = asker.config, asker.frame
    held = _Held(frame, config.nms_iou)
    grid = grid_xy(config.points_per_side, frame.size_hw)
    first = np.zeros(grid.shape[:2], dtype=bool)
    first[::2, ::2] = True
    held.take(asker.answers(grid[first], config.least_stability, margin=0))
    rest = grid[~first]
    held.take(asker.answers(rest[~held.covers(rest)], config.least_stability, margin=0))
    found = MaskList(frame)
    for low, iou, stability, point_xy in held.masks():
        (square,) = frame.in_square(low[None])
        found.add(square, iou, stability, point_xy)
    masks = found.masks()
    return masks_at(masks, np.flatnonzero(masks.areas_px))


class _Held:
    """Masks at low resolution without near duplicates, by falling estimated IoU."""

    def __init__(self, frame: Frame, nms_iou: float) -> None:
        self._frame, self._nms_iou = frame, nms_iou
        self._low: list[Tensor] = []
        self._boxes: list[Tensor] = []
        self._numbers: list[tuple[float, float, list[float]]] = []

    def take(self, batches: Iterator[Answered]) -> None:
        """Add all masks of all batches, then drop near duplicates."""
        height, width = self._frame.low_hw
        for batch in batches:
            seen = batch.low[:, :height, :width] > MASK_THRESHOLD
            boxes = boxes_of(seen)
            places = seen.any(2).any(1).nonzero()[:, 0].tolist()
            numbers = zip(
                batch.iou.tolist(), batch.stability.tolist(), batch.points_xy.tolist(), strict=True
            )
            numbers_by_place = list(numbers)
            # Copies: a view would hold the whole batch.
            self._low += [batch.low[place].clone() for place in places]
            self._boxes += [boxes[place] for place in places]
            self._numbers += [numbers_by_place[place] for place in places]
            if self._bytes() > _HELD_BYTES:
                self._thin_out()
        self._thin_out()

    def covers(self, points_xy: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Whether each point, (N, 2) in the image, lies in a mask."""
        height, width = self._frame.low_hw
        covered = np.zeros((height, width), dtype=bool)
        for low in self._low:
            covered |= (low[:height, :width] > MASK_THRESHOLD).cpu().numpy()
        places = self._frame.places_in_square(points_xy)
        places *= self._frame.low_px / self._frame.square_px
        x, y = places.astype(np.int64).T
        inside: npt.NDArray[np.bool_] = covered[np.minimum(y, height - 1), np.minimum(x, width - 1)]
        return inside

    def masks(self) -> Iterator[tuple[Tensor, float, float, list[float]]]:
        """Logits [low, low], estimated IoU, stability and point of each mask."""
        for low, numbers in zip(self._low, self._numbers, strict=True):
            yield low, *numbers

    def _bytes(self) -> int:
        return 4 * self._frame.low_px**2 * len(self._low)

    def _thin_out(self) -> None:
        if not self._low:
            return
        iou = torch.tensor([numbers[0] for numbers in self._numbers])
        boxes = torch.stack(self._boxes).cpu()
        kept = greedy_nms(boxes, iou, self._nms_iou).tolist()
        self._low = [self._low[place] for place in kept]
        self._boxes = [self._boxes[place] for place in kept]
        self._numbers = [self._numbers[place] for place in kept]
