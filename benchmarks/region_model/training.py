"""Trains a SAM of any size from scratch or from given weights; stops and resumes exactly.

Every draw is a function of (seed, step, place in the batch), so that a checkpoint holds weights,
their moving average and the optimizer's state, and nothing else.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.region_model.hints import hinted_share, hints_of
from benchmarks.region_model.initial import focus_cross_attention
from benchmarks.region_model.losses import affinity_loss, prompt_loss
from benchmarks.region_model.samples import Sample, Source, draw_sample
from benchmarks.training import schedule, training_bar
from models.promptable.decoding import all_masks, answer_prompts
from models.promptable.sam_architecture import SamArchitecture, build_sam

_WEIGHT_DECAY = 0.05
_CLIP_NORM = 1.0
_EMA_DECAY = 0.998
_AFFINITY_WEIGHT = 0.5
_BOX_AND_POINTS_PROBABILITY = 0.2
_PROMPTS_A_BOX = 3  # every third prompt is a box; points are harder
_ATTEMPTS = 8


class LabelledSources(Protocol):
    """Anything indexable that gives image, label and instances (or None)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Source: ...


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


class _Samples(Dataset[Sample]):
    """Training example i of a run, drawn anew from (seed, i)."""

    def __init__(
        self, sources: LabelledSources, sides_px: tuple[int, int], seed: int, first: int, end: int
    ) -> None:
        self.sources, self.seed = sources, seed
        self.square_px, self.mask_px = sides_px
        self.first, self.end = first, end

    def __len__(self) -> int:
        return self.end - self.first

    def __getitem__(self, offset: int) -> Sample:
        position = self.first + offset
        epoch, place = divmod(position, len(self.sources))
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.sources))
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([self.seed, 2, position, attempt])
            source = self.sources[int(order[(place - attempt) % len(order)])]
            sample = draw_sample(source, self.square_px, self.mask_px, rng)
            if sample is not None:
                return sample
        raise ValueError("the training images hold hardly any segment of 30 pixels")


def train_region_model(
    sources: LabelledSources | Sequence[Source],
    architecture: SamArchitecture,
    config: TrainingConfig,
    checkpoint: Path | None,
    initial: dict[str, Tensor] | None = None,
    progress: bool = True,
    fine_tuned: bool = False,
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
    sides_px = architecture.image_px, 4 * architecture.grid_px
    batches = _batches(sources, sides_px, config, first_step)
    with training_bar(progress, "images") as bar:
        task = bar.add_task("train", total=config.steps, completed=first_step, loss=0.0, rate=0.0)
        smooth = math.nan
        for step, batch in enumerate(batches, start=first_step):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule(step, config.steps)
            share = hinted_share(step, config.hint_steps)
            draws = torch.Generator().manual_seed(config.seed + step)
            loss = _loss(sam, helper, batch, draws, share)
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
    return sam.eval()


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


def _batches(
    sources: LabelledSources | Sequence[Source],
    sides_px: tuple[int, int],
    config: TrainingConfig,
    first_step: int,
) -> Iterator[list[Sample]]:
    count = config.batch_size
    samples = _Samples(sources, sides_px, config.seed, first_step * count, config.steps * count)
    # One process draws ahead. What it draws does not depend on when, so a resume needs no more.
    loader = DataLoader(
        samples, batch_size=count, collate_fn=list, num_workers=1, prefetch_factor=8
    )
    yield from loader


def _loss(
    sam: Sam,
    helper: nn.Module,
    batch: list[Sample],
    generator: torch.Generator,
    hinted_share: float,
) -> Tensor:
    images = torch.from_numpy(np.stack([s.image for s in batch])).permute(0, 3, 1, 2).float()
    # As `Sam.preprocess` does; the square is full already, and what pads it is zero afterwards.
    inside = images.amax(1, keepdim=True) > 0
    images = (images - sam.pixel_mean) / sam.pixel_std * inside
    targets = torch.cat([torch.from_numpy(s.masks) for s in batch])
    counts = [len(s.masks) for s in batch]
    valid = torch.cat(
        [torch.from_numpy(s.valid).expand(n, -1, -1) for s, n in zip(batch, counts, strict=True)]
    )
    with torch.autocast("cpu", torch.bfloat16):
        embeddings = sam.image_encoder(images)
        looks = helper(embeddings)
    # The decoder in plain precision: its tensors are small, casting them costs more than it gains.
    sparse, hints, ambiguous = _embed(sam, batch, generator, hinted_share)
    repeats = torch.repeat_interleave(embeddings.float(), torch.tensor(counts), dim=0) + hints
    answers = answer_prompts(sam, repeats, sparse)
    masks = all_masks(sam, answers)
    loss = prompt_loss(masks.float(), answers.iou.float(), targets, valid, ambiguous)
    return loss + _AFFINITY_WEIGHT * affinity_loss(looks, _coarse(batch, looks), generator)


def _embed(
    sam: Sam, batch: list[Sample], generator: torch.Generator, hinted_share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Embedded prompts of a step, what hints add to the image, and which prompts are one point.

    Returns:
        float [N, T, C], float [N, C, h, w], bool [N].
    """
    encoder = sam.prompt_encoder
    boxes = torch.cat([torch.from_numpy(s.boxes_xyxy) for s in batch])
    points = torch.cat([torch.from_numpy(s.points_xy) for s in batch])
    use_box = torch.arange(len(boxes)) % _PROMPTS_A_BOX == 0
    hinted = torch.rand(len(boxes), generator=generator) < hinted_share
    hints = hints_of(sam, boxes, points[:, 0], use_box, hinted)
    if torch.rand((), generator=generator) < _BOX_AND_POINTS_PROBABILITY:
        count = int(torch.randint(1, 3, (), generator=generator))
        labelled = points[:, :count], torch.ones(len(points), count)
        both: Tensor = encoder(points=labelled, boxes=boxes, masks=None)[0]
        return both, hints, torch.zeros(len(boxes), dtype=torch.bool)
    single = points[:, :1], torch.ones(len(points), 1)
    as_points = encoder(points=single, boxes=None, masks=None)[0]
    as_boxes = encoder(points=None, boxes=boxes, masks=None)[0]
    # Both have two tokens: a point is padded by one that says "not a point".
    return torch.where(use_box[:, None, None], as_boxes, as_points), hints, ~use_box


def _coarse(batch: list[Sample], like: Tensor) -> Tensor:
    """Which of the drawn segments covers each place of the embedding, int64 [B, h, w]; 0 none."""
    numbers = []
    for sample in batch:
        share = F.adaptive_avg_pool2d(
            torch.from_numpy(sample.masks), (like.shape[-2], like.shape[-1])
        )
        best, index = share.max(0)
        numbers.append(torch.where(best > 0.5, index + 1, 0))
    return torch.stack(numbers)


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
    content = torch.load(path, weights_only=True)
    if content["settings"] != settings:
        raise ValueError(f"{path} belongs to a run with other settings; delete it to start anew")
    model.load_state_dict(content["model"])
    average.update(content["average"])
    optimizer.load_state_dict(content["optimizer"])
    return int(content["step"])
