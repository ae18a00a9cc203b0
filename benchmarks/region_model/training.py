"""Trains a SAM of any size from scratch or from given weights; stops and resumes exactly.

Every draw is a function of (seed, step, place in the batch), so that a checkpoint holds weights,
their moving average and the optimizer's state, and nothing else.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from benchmarks.region_model.batches import LabelledSources, SampleBatch, draw_batches
from benchmarks.region_model.hints import hinted_share, hints_of
from benchmarks.region_model.initial import focus_cross_attention
from benchmarks.region_model.losses import affinity_loss, prompt_loss
from benchmarks.region_model.samples import Source
from benchmarks.training import schedule, training_bar
from models.promptable.decoding import all_masks, answer_prompts
from models.promptable.sam_architecture import SamArchitecture, build_sam

_WEIGHT_DECAY = 0.05
_CLIP_NORM = 1.0
_EMA_DECAY = 0.998
_AFFINITY_WEIGHT = 0.5
_BOX_AND_POINTS_PROBABILITY = 0.2
_PROMPTS_A_BOX = 3  # every third prompt is a box; points are harder


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train; see `train_region_model`.

    Attributes:
        steps: optimizer steps.
        seed: of the initial weights and of every draw.
        batch_size: images in a step.
        learning_rate: peak for the encoder.
        decoder_factor: the peak of the decoder over it; it is small and learns at a higher rate.
        hint_steps: until when the share of hinted prompts falls.
        checkpoint_every_steps: steps between two checkpoints.
    """

    steps: int
    seed: int = 0
    batch_size: int = 4
    learning_rate: float = 1e-3
    decoder_factor: float = 3.0
    hint_steps: int = 1000
    checkpoint_every_steps: int = 100


def train_region_model(
    sources: LabelledSources | Sequence[Source],
    architecture: SamArchitecture,
    config: TrainingConfig,
    checkpoint: Path | None,
    initial: dict[str, Tensor] | None = None,
    progress: bool = True,
    fine_tuned: bool = False,
    device: str = "cpu",
    workers: int = 1,
) -> Sam:
    """The trained network: the moving average of its weights, in evaluation mode, on the CPU.

    Args:
        sources: labelled images; their classes do not matter, only where segments end.
        architecture: the size of the SAM.
        config: length and pace.
        checkpoint: file to save to and, if it exists, to resume from; None for neither.
        initial: state dict to start from, for fine-tuning.
        progress: show a bar with loss, rate and time left.
        fine_tuned: whether the sources are others than those that `initial` was trained on; noted
            in the checkpoint.
        device: where to train. On a GPU a resumed run ends near an undisturbed one, not on it.
        workers: processes that draw images; the result does not depend on how many.

    Raises:
        ValueError: there are no images, or the checkpoint belongs to a run with other settings.
    """
    if len(sources) == 0:
        raise ValueError("the training set has no images")
    torch.manual_seed(config.seed)
    sam = build_sam(architecture)
    if initial is None:
        focus_cross_attention(sam)
    else:
        sam.load_state_dict(initial)
    helper = nn.Conv2d(architecture.prompt_dim, architecture.prompt_dim, 1)
    place = torch.device(device)
    sam, helper = sam.to(place), helper.to(place)
    model = nn.ModuleDict({"sam": sam, "helper": helper})
    average = {name: value.clone() for name, value in sam.state_dict().items()}
    groups = _groups(sam, helper, config)
    optimizer = torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)
    )
    settings = {**vars(config), "architecture": architecture.to_dict(), "images": len(sources)}
    settings["fine_tuned"] = fine_tuned
    settings["initial"] = None if initial is None else weights_digest(initial)
    first_step = _resume(checkpoint, settings, model, average, optimizer)
    model.train()
    batches = draw_batches(
        sources,
        architecture.image_px,
        seed=config.seed,
        batch_size=config.batch_size,
        first_step=first_step,
        steps=config.steps,
        workers=workers,
    )
    with training_bar(progress, "images") as bar:
        task = bar.add_task("train", total=config.steps, completed=first_step, loss=0.0, rate=0.0)
        smooth = math.nan
        for step, batch in enumerate(batches, start=first_step):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule(step, config.steps)
            share = hinted_share(step, config.hint_steps)
            draws = torch.Generator().manual_seed(config.seed + step)
            loss = _loss(sam, helper, batch.to(place), draws, share)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
            optimizer.step()
            _average(average, sam, step)
            value = float(loss.detach())
            smooth = value if math.isnan(smooth) else 0.98 * smooth + 0.02 * value
            speed = (step + 1 - first_step) / max(bar.tasks[0].elapsed or 0.0, 1e-9)
            bar.update(task, advance=1, loss=smooth, rate=speed * config.batch_size)
            last = step + 1 == config.steps
            if checkpoint is not None and (last or (step + 1) % config.checkpoint_every_steps == 0):
                _save(checkpoint, settings, model, average, optimizer, step + 1)
    sam.load_state_dict(average)
    return sam.cpu().eval()


def weights_digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 over names and values of a state dict."""
    content = hashlib.sha256()
    for name, value in weights.items():
        content.update(name.encode())
        content.update(value.cpu().numpy().tobytes())
    return content.hexdigest()


def _groups(sam: Sam, helper: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Parameters by learning rate and decay: the decoder is small and learns faster."""
    encoder = [*sam.image_encoder.parameters(), *helper.parameters()]
    decoder = [*sam.prompt_encoder.parameters(), *sam.mask_decoder.parameters()]
    groups = []
    for parameters, peak in (
        (encoder, config.learning_rate),
        (decoder, config.learning_rate * config.decoder_factor),
    ):
        groups.append({"params": [p for p in parameters if p.ndim > 1], "peak": peak})
        plain = [p for p in parameters if p.ndim <= 1]
        groups.append({"params": plain, "peak": peak, "weight_decay": 0.0})
    return groups


def _loss(
    sam: Sam,
    helper: nn.Module,
    batch: SampleBatch,
    generator: torch.Generator,
    hinted_share: float,
) -> Tensor:
    images = batch.images.permute(0, 3, 1, 2).float()
    # As `Sam.preprocess` does; the square is full already, and what pads it is zero afterwards.
    inside = images.amax(1, keepdim=True) > 0
    images = (images - sam.pixel_mean) / sam.pixel_std * inside
    with torch.autocast(images.device.type, torch.bfloat16):
        embeddings = sam.image_encoder(images)
        looks = helper(embeddings)
    # The decoder in plain precision: its tensors are small, casting them costs more than it gains.
    sparse, hints, ambiguous = _embed(sam, batch, generator, hinted_share)
    prompts = batch.numbers.shape[1]
    answers = answer_prompts(
        sam, embeddings.float().repeat_interleave(prompts, dim=0) + hints, sparse
    )
    masks = all_masks(sam, answers)
    side = masks.shape[-1]
    loss = prompt_loss(masks, answers.iou, batch.masks(side), batch.valid(side), ambiguous)
    return loss + _AFFINITY_WEIGHT * affinity_loss(looks, batch.pure(looks.shape[-1]), generator)


def _embed(
    sam: Sam, batch: SampleBatch, generator: torch.Generator, hinted_share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Embedded prompts of a step, what hints add to the image, and which prompts are one point.

    Returns:
        float [N, T, C], float [N, C, h, w], bool [N].
    """
    encoder = sam.prompt_encoder
    boxes, points = batch.boxes_xyxy.flatten(0, 1), batch.points_xy.flatten(0, 1)
    device = boxes.device
    use_box = torch.arange(len(boxes), device=device) % _PROMPTS_A_BOX == 0
    hinted = (torch.rand(len(boxes), generator=generator) < hinted_share).to(device)
    hints = hints_of(sam, boxes, points[:, 0], use_box, hinted)
    if torch.rand((), generator=generator) < _BOX_AND_POINTS_PROBABILITY:
        count = int(torch.randint(1, 3, (), generator=generator))
        labelled = points[:, :count], torch.ones(len(points), count, device=device)
        both: Tensor = encoder(points=labelled, boxes=boxes, masks=None)[0]
        return both, hints, torch.zeros_like(use_box)
    single = points[:, :1], torch.ones(len(points), 1, device=device)
    as_points = encoder(points=single, boxes=None, masks=None)[0]
    as_boxes = encoder(points=None, boxes=boxes, masks=None)[0]
    # Both have two tokens: a point is padded by one that says "not a point".
    return torch.where(use_box[:, None, None], as_boxes, as_points), hints, ~use_box


def _average(average: dict[str, Tensor], sam: Sam, step: int) -> None:
    decay = min(_EMA_DECAY, (step + 1) / (step + 10))
    for name, value in sam.state_dict().items():
        average[name].lerp_(value.detach(), 1 - decay)


def _save(
    path: Path,
    settings: dict[str, Any],
    model: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    content = {
        "settings": settings,
        "model": model.state_dict(),
        "average": average,
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    torch.save(content, temporary)
    os.replace(temporary, path)


def _resume(
    path: Path | None,
    settings: dict[str, Any],
    model: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    if path is None or not path.exists():
        return 0
    content = torch.load(path, weights_only=True, map_location="cpu")
    if content["settings"] != settings:
        raise ValueError(f"{path} belongs to a run with other settings; delete it to start anew")
    model.load_state_dict(content["model"])
    for name, value in content["average"].items():
        average[name].copy_(value)
    optimizer.load_state_dict(content["optimizer"])
    return int(content["step"])
