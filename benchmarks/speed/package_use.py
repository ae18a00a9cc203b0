"""The plain use of segment-anything, as its documentation and the public code of SeCo show it."""

from typing import Final

import numpy as np
import torch

from models.promptable.base import Masks, Prompts, ProposalConfig, RgbImage
from models.promptable.sam import SamRegionModel
from models.rle import Rle

BATCH: Final = 64


def generated_and_predicted(
    model: SamRegionModel, image: RgbImage, prompts: Prompts, config: ProposalConfig
) -> tuple[Masks, Masks]:
    """The generator's masks, and the predictor's for each prompt; both encode the image."""
    from segment_anything import SamAutomaticMaskGenerator, SamPredictor

    generator = SamAutomaticMaskGenerator(
        model.sam,
        points_per_side=config.points_per_side,
        points_per_batch=BATCH,
        pred_iou_thresh=config.least_iou,
        stability_score_thresh=config.least_stability,
        stability_score_offset=config.stability_offset,
        box_nms_thresh=config.nms_iou,
        output_mode="uncompressed_rle",
    )
    size_hw = (image.shape[0], image.shape[1])
    generated = [
        (
            Rle(size_hw, np.array(record["segmentation"]["counts"], np.uint32)),
            record["predicted_iou"],
        )
        for record in generator.generate(image)
    ]
    predictor = SamPredictor(model.sam)
    predictor.set_image(image)
    predicted = []
    boxes, points, labels = prompts.boxes_xyxy, prompts.points_xy, prompts.point_labels
    for place in range(len(prompts)):
        mask, iou, _ = predictor.predict(
            None if points is None else points[place],
            None if labels is None else labels[place],
            None if boxes is None else boxes[place],
            multimask_output=False,
        )
        predicted.append((Rle.encode(mask[0]), float(iou[0])))
    return _masks(generated), _masks(predicted)


def transform(model: SamRegionModel, features: torch.Tensor, sparse: torch.Tensor) -> None:
    """The transformer as `MaskDecoder.predict_masks` calls it, and nothing after it.

    Args:
        model: the network.
        features: the image's embedding, float [C, h, w].
        sparse: embedded prompts, float [N, T, C].
    """
    decoder, encoder = model.sam.mask_decoder, model.sam.prompt_encoder
    count = len(sparse)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(count, -1, -1), sparse], dim=1)
    no_mask = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    source = torch.repeat_interleave(features[None], count, dim=0) + no_mask
    position = torch.repeat_interleave(encoder.get_dense_pe(), count, dim=0)
    decoder.transformer(source, position, tokens)


def _masks(found: list[tuple[Rle, float]]) -> Masks:
    rles = [rle for rle, _ in found]
    return Masks(
        rles=rles,
        iou=np.array([iou for _, iou in found], np.float32),
        stability=np.ones(len(found), np.float32),
        boxes_xyxy=np.array([rle.box_xyxy() for rle in rles], np.int32).reshape(-1, 4),
        areas_px=np.array([rle.area_px for rle in rles], np.int64),
        points_xy=np.full((len(found), 2), np.nan, np.float32),
    )
