"""How long the stage `rectify` takes: against the naive field, and against `predict`.

The dense field and the naive one are the same network, asked at every pixel of an image of
1024 x 2048 with features of stride 4. The stage is timed against the prediction that it follows,
of a network of SegFormer-B0's size. Weights are random; the classifier is sharpened until the mean
confidence is that of a trained model, since only doubtful pixels ask the second opinion.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console

from benchmarks.speed.figures import spread
from models.config import PredictConfig
from models.ontology import Ontology
from models.prediction import Prediction, Predictor
from models.rectification.auxiliary import AuxiliaryHead
from models.rectification.calibration import PlattScaling
from models.rectification.config import RectifyConfig
from models.rectification.dense import dense_logits
from models.rectification.field import FieldInput, FieldShape, ImplicitRectifier
from models.rectification.rectifier import Rectifier
from models.rectification.stage import rectify
from models.segmentation.base import SegmentationModel
from models.segmentation.huggingface import HuggingFaceSegmenter
from models.torchvision_operators import ensure_torchvision_operators

GOAL_NAIVE_TO_EXACT: Final = 10.0
MOST_DIFFERENCE: Final = 1e-5
CLASSES: Final = 19
CHANNELS: Final = 256  # of the decoder of SegFormer-B0
STRIDE: Final = 4
POINTS_AT_ONCE: Final = 8192  # the fastest for the naive field
MEAN_CONFIDENCE: Final = 0.8
_IMAGENET: Final = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@dataclass(frozen=True)
class RectificationPlan:
    """What is measured.

    Attributes:
        field_hw: size of the image that the field is asked on, in pixels.
        stage_hw: sizes of the images that the stage is timed on, each with its goal: the share of
            the time of `predict` that it may take.
        repeats: how often each way is timed, by turns.
    """

    field_hw: tuple[int, int] = (1024, 2048)
    stage_hw: tuple[tuple[tuple[int, int], float], ...] = (
        ((1024, 2048), 1 / 3),
        ((360, 480), 1 / 2),
    )
    repeats: int = 3


def measure(plan: RectificationPlan, console: Console) -> dict[str, Any]:
    """Both comparisons in a process of its own, with one thread."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(time_field, (plan.field_hw, plan.repeats))
        console.print(f"naive / exact: {found['ratio']['median']:.1f}", style="dim")
        stages = [
            pool.apply(time_stage, (size_hw, goal, plan.repeats)) for size_hw, goal in plan.stage_hw
        ]
    return {"field": found, "stages": stages}


def time_field(size_hw: tuple[int, int], repeats: int) -> dict[str, Any]:
    """Seconds of the naive field, of `exact` and of `coarse`, one thread, by turns."""
    torch.set_num_threads(1)
    field, given = _field(CHANNELS), _made_up_input(size_hw)
    label = _blobs(size_hw)
    answers: dict[str, torch.Tensor] = {}
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "naive": lambda: naive_logits(field, given, size_hw),
        "exact": lambda: dense_logits(field, given, size_hw),
        "coarse": lambda: dense_logits(field, given, size_hw, mode="coarse", label=label),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            answers[name] = way()
            seconds[name].append(time.perf_counter() - start)
    ratios = [n / e for n, e in zip(seconds["naive"], seconds["exact"], strict=True)]
    difference = float((answers["naive"] - answers["exact"]).abs().max())
    ratio = spread(ratios)
    return {
        "size_hw": list(size_hw),
        "seconds": {name: spread(runs) for name, runs in seconds.items()},
        "ratio": ratio,
        "goal": GOAL_NAIVE_TO_EXACT,
        "difference": difference,
        "most_difference": MOST_DIFFERENCE,
        "reached": ratio["median"] >= GOAL_NAIVE_TO_EXACT and difference <= MOST_DIFFERENCE,
    }


def time_stage(size_hw: tuple[int, int], goal: float, repeats: int) -> dict[str, Any]:
    """Seconds of `predict` and of `rectify` after it, both modes, one thread, by turns."""
    torch.set_num_threads(1)
    model = segformer_of_size_b0()
    image = _picture(size_hw)
    sharpen(model, image)
    predictor = Predictor(model, PredictConfig(), with_detail=True)
    rectifier = _rectifier(CHANNELS)
    seconds: dict[str, list[float]] = {"predict": [], "exact": [], "coarse": []}
    prediction = _predicted(predictor, image)
    for _ in range(repeats):
        start = time.perf_counter()
        prediction = _predicted(predictor, image)
        seconds["predict"].append(time.perf_counter() - start)
        for mode in ("exact", "coarse"):
            start = time.perf_counter()
            rectify(prediction, rectifier, RectifyConfig(mode=mode))
            seconds[mode].append(time.perf_counter() - start)
    pairs = zip(seconds["exact"], seconds["predict"], strict=True)
    ratio = spread([stage / predict for stage, predict in pairs])
    return {
        "size_hw": list(size_hw),
        "seconds": {name: spread(runs) for name, runs in seconds.items()},
        "mean_confidence": float(prediction.p_max.mean()),
        "ratio": ratio,
        "goal": goal,
        "reached": ratio["median"] <= goal,
    }


@torch.no_grad()
def naive_logits(
    field: ImplicitRectifier, given: FieldInput, size_hw: tuple[int, int]
) -> torch.Tensor:
    """The field asked at every pixel, some points at a time; float [1, H, W]."""
    centres = torch.cartesian_prod(*(torch.arange(side) + 0.5 for side in size_hw))[None]
    codes = field.codes(given)
    parts = [field.at(codes, given, part) for part in torch.split(centres, POINTS_AT_ONCE, 1)]
    return torch.cat(parts, 1).view(1, *size_hw)


def segformer_of_size_b0() -> HuggingFaceSegmenter:
    """SegFormer-B0 with random weights; the library's default sizes are those of B0."""
    ensure_torchvision_operators()
    import transformers

    torch.manual_seed(0)
    library: Any = transformers
    module = library.SegformerForSemanticSegmentation(library.SegformerConfig(num_labels=CLASSES))
    ontology = Ontology.from_names("made-up", [f"class {number}" for number in range(CLASSES)])
    return HuggingFaceSegmenter(module, ontology, _IMAGENET, None, torch.device("cpu"))


@torch.no_grad()
def sharpen(model: SegmentationModel, image: np.ndarray) -> None:
    """Scale the classifier until the mean confidence is `MEAN_CONFIDENCE`."""
    classifier = model.module.decode_head.classifier  # type: ignore[attr-defined]
    pixels = torch.from_numpy(image[:256, :256]).permute(2, 0, 1)[None].float() / 255
    logits = model.forward(pixels).logits
    low, high = 1e-3, 1e6
    for _ in range(60):
        middle = (low * high) ** 0.5
        sure = float((logits * middle).softmax(1).amax(1).mean()) >= MEAN_CONFIDENCE
        low, high = (low, middle) if sure else (middle, high)
    for values in (classifier.weight, classifier.bias):
        values.mul_(high)


def _predicted(predictor: Predictor, image: np.ndarray) -> Prediction:
    ((_, prediction),) = predictor.predict([image])
    return prediction


def _field(channels: int) -> ImplicitRectifier:
    torch.manual_seed(1)
    return ImplicitRectifier(FieldShape(channels, CLASSES)).eval().requires_grad_(False)


def _rectifier(channels: int) -> Rectifier:
    names = tuple(f"class {number}" for number in range(CLASSES))
    field, auxiliary = _field(channels), AuxiliaryHead(channels, CLASSES).requires_grad_(False)
    last: Any = field.rest[-1]
    last.bias.zero_()  # as where training begins: r is about the confidence
    return Rectifier(field, auxiliary.eval(), 1.0, PlattScaling(), names, "", calibrated=False)


def _made_up_input(size_hw: tuple[int, int]) -> FieldInput:
    torch.manual_seed(2)
    cells_hw = [-(-side // STRIDE) for side in size_hw]
    cover_hw_px = (float(cells_hw[0] * STRIDE), float(cells_hw[1] * STRIDE))
    probabilities = torch.randn(1, CLASSES, *cells_hw).mul(2).softmax(1)
    features = torch.randn(1, CHANNELS, *cells_hw)
    return FieldInput(features, cover_hw_px, probabilities, cover_hw_px)


def _blobs(size_hw: tuple[int, int]) -> torch.Tensor:
    """A label of some hundred regions, int64 [1, H, W]."""
    torch.manual_seed(3)
    coarse = torch.randn(1, CLASSES, 16, 32)
    return torch.nn.functional.interpolate(coarse, size_hw, mode="bilinear").argmax(1)


def _picture(size_hw: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 24, 48), np.float32))
    fine = torch.nn.functional.interpolate(coarse, size_hw, mode="bicubic")[0].clamp(0, 1)
    picture: np.ndarray = (fine.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return picture
