"""A SAM of any size as a region model."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from models.errors import ModelOutputInvalid, RegionModelOutOfMemory
from models.memory import in_parts, or_none_if_out_of_memory
from models.promptable.base import Embedding, Masks, Prompts, ProposalConfig, RgbImage
from models.promptable.frame import Frame
from models.promptable.proposals import propose
from models.promptable.sam_architecture import SamArchitecture
from models.promptable.settling import MaskList, masks_at, prompts_at_once
from models.promptable.two_way import answer_prompts_of_image, chosen_masks


class SamRegionModel:
    """A SAM on a device, in evaluation mode.

    Its answers are those of `SamPredictor` and `SamAutomaticMaskGenerator` with the same weights.
    """

    kind = "sam"

    def __init__(
        self,
        sam: Sam,
        architecture: SamArchitecture,
        digest: str,
        device: torch.device | str,
        precision: str = "float32",
        proposal_defaults: ProposalConfig | None = None,
    ) -> None:
        """
        Args:
            sam: the network; it is moved to the device.
            architecture: its sizes.
            digest: see `models.region_models.region_model_digest`.
            device: where it runs.
            precision: "bfloat16" runs the image encoder in it on a GPU; what a mask is made of
                afterwards, and everything on a CPU, is float32.
            proposal_defaults: how its proposals are made where nothing else is asked for; None: as
                `SamAutomaticMaskGenerator` makes them.
        """
        self.device = torch.device(device)
        self.sam = sam.to(self.device).float().eval().requires_grad_(False)
        self.architecture = architecture
        self.digest = digest
        self.proposal_defaults = proposal_defaults or ProposalConfig()
        self._reduced = precision == "bfloat16" and self.device.type == "cuda"

    def frame(self, size_hw: tuple[int, int]) -> Frame:
        """How an image of this size lies in the square that the network sees."""
        return Frame(size_hw, self.architecture.image_px, 4 * self.architecture.grid_px)

    def encode(self, image: RgbImage) -> Embedding:
        """See `RegionModel.encode`.

        Raises:
            ModelOutputInvalid: if the embedding is not finite.
            RegionModelOutOfMemory: if the image does not fit.
        """
        size_hw = (image.shape[0], image.shape[1])
        frame = self.frame(size_hw)
        seen = torch.from_numpy(frame.image_in_square(image)).to(self.device)
        with torch.inference_mode():
            square = self.sam.preprocess(seen.permute(2, 0, 1).contiguous()[None])
            features = or_none_if_out_of_memory(lambda: self._features(square))
            if features is None:
                raise RegionModelOutOfMemory
            if not bool(torch.isfinite(features).all()):
                raise ModelOutputInvalid("the region model's embedding is not finite (NaN or inf)")
        return Embedding(size_hw, features, frame.covers_hw_px, image)

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        """See `RegionModel.masks`.

        Raises:
            ModelOutputInvalid: if the embedding is not finite.
            RegionModelOutOfMemory: if a single prompt does not fit.
        """
        features = self._checked(embedding)
        frame = self.frame(embedding.size_hw)
        found = MaskList(frame)
        order: list[npt.NDArray[np.int64]] = []
        with torch.inference_mode():
            for places in _alike(prompts):
                answer = partial(self._answer, frame, features, prompts, places)
                at_once = prompts_at_once(self.architecture, self.device)
                for low, ious in in_parts(len(places), at_once, answer):
                    for iou, square in zip(ious, found.squares(low), strict=True):
                        found.add(square, iou)
                order.append(places)
        masks = found.masks()
        return masks_at(masks, np.argsort(np.concatenate(order))) if order else masks

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        """See `RegionModel.proposals`; by falling estimated IoU.

        Raises:
            ModelOutputInvalid: if the embedding is not finite.
            RegionModelOutOfMemory: if a single prompt does not fit.
        """
        features = self._checked(embedding)
        with torch.inference_mode():
            return propose(
                self.sam, features, self.frame(embedding.size_hw), self.architecture, config
            )

    def _checked(self, embedding: Embedding) -> Tensor:
        features = embedding.features
        a = self.architecture
        if features is None or features.shape != (a.prompt_dim, a.grid_px, a.grid_px):
            raise ModelOutputInvalid("the embedding is not one of this region model")
        if not bool(torch.isfinite(features).all()):
            raise ModelOutputInvalid("the region model's embedding is not finite (NaN or inf)")
        return features.to(self.device)

    def _features(self, square: Tensor) -> Tensor:
        """The embedding float32 [C, h, w] of a preprocessed image [1, 3, S, S]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._reduced):
            features: Tensor = self.sam.image_encoder(square)[0]
        return features.float()

    def _answer(
        self,
        frame: Frame,
        features: Tensor,
        prompts: Prompts,
        places: npt.NDArray[np.int64],
        start: int,
        stop: int,
    ) -> tuple[Tensor, list[float]]:
        """Logits [N, low, low] and estimated IoUs of some of the prompts at `places`."""
        part = places[start:stop]
        answers = answer_prompts_of_image(self.sam, features, self._embed(frame, prompts, part))
        every = torch.arange(len(part), device=self.device)
        low = chosen_masks(self.sam, answers, every, torch.zeros_like(every))
        return low, answers.iou[:, 0].tolist()

    def _embed(self, frame: Frame, prompts: Prompts, part: npt.NDArray[np.int64]) -> Tensor:
        """Embedded prompts float [N, T, C] of prompts that are alike."""
        points = boxes = None
        if prompts.points_xy is not None and prompts.point_labels is not None:
            labels = prompts.point_labels[part]
            given = labels >= 0
            count = int(given[0].sum())
            if count or prompts.boxes_xyxy is None:
                places = frame.places_in_square(prompts.points_xy[part][given])
                points = (
                    torch.from_numpy(places.reshape(len(part), count, 2)).float().to(self.device),
                    torch.from_numpy(labels[given].reshape(len(part), count)).int().to(self.device),
                )
        if prompts.boxes_xyxy is not None:
            corners = prompts.boxes_xyxy[part].reshape(-1, 2, 2)
            square = frame.places_in_square(corners).reshape(-1, 4)
            boxes = torch.from_numpy(square).float().to(self.device)
        sparse: Tensor = self.sam.prompt_encoder(points=points, boxes=boxes, masks=None)[0]
        return sparse


def _alike(prompts: Prompts) -> Iterator[npt.NDArray[np.int64]]:
    """Places of prompts with the same number of points.

    A point that is not given is no token: the network would see one that says "not a point".
    """
    if prompts.point_labels is None:
        counts = np.zeros(len(prompts), np.int64)
    else:
        counts = (prompts.point_labels >= 0).sum(1)
    for count in np.unique(counts):
        yield np.flatnonzero(counts == count)
