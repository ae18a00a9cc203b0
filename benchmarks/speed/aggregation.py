"""How long a region model takes over an image, against the plain use of segment-anything.

Both ask the same network, with the same weights, about the same grid and the same components of one
generated scene. The plain use is the package's generator, and then its predictor once for each
component. The floor is what no way of asking can avoid: the encoder once, and the transformer of
the package's decoder over all prompts.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import psutil
import torch
from rich.console import Console

from benchmarks.scenes import generate_scene, split_seeds
from benchmarks.scenes.ontology import SCENE_ONTOLOGY
from benchmarks.speed import package_use
from benchmarks.speed.figures import spread
from benchmarks.speed.images import STYLE
from models.connectivity.aggregation import aggregate
from models.connectivity.config import AggregateConfig
from models.connectivity.prompts import component_prompts
from models.connectivity.variants import psa_settings
from models.errors import ModelRefused
from models.metrics.confusion import confusion_matrix, iou_full, mean_over_present
from models.promptable.base import Embedding, Masks, Prompts, ProposalConfig, RgbImage
from models.promptable.builtin import load_built_in
from models.promptable.proposals import grid_xy
from models.promptable.sam import SamRegionModel
from models.promptable.sam_architecture import NANO, build_sam
from models.promptable.settling import prompts_at_once
from models.promptable.two_way import answer_prompts_of_image

GOAL_EXACT_TO_FLOOR: Final = 1.5
GOAL_EXACT_TO_FLOOR_QUICK: Final = 2.0
QUICK_MS: Final = 3.0
GOAL_PACKAGE_TO_FAST: Final = 5.0
GOAL_MIOU_LOSS: Final = 0.002
GOAL_PROMPTS_SECONDS: Final = 0.2
GOAL_MEMORY_BYTES: Final = 2 * 2**30
MEMORY_PROPOSALS: Final = 1024
UNSURE_PX: Final = 6
KINDS: Final = [info.kind for info in SCENE_ONTOLOGY.classes]
CLASSES: Final = len(KINDS)


@dataclass(frozen=True)
class AggregationPlan:
    """What is measured.

    Attributes:
        size_hw: height and width of the image in pixels.
        points_per_side: of the grid.
        repeats: how often each way is timed, by turns.
    """

    size_hw: tuple[int, int]
    points_per_side: int
    repeats: int


@dataclass(frozen=True)
class _Task:
    """An image, what is known of it, and what is asked."""

    image: RgbImage
    truth: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.uint8]
    prompts: Prompts
    config: ProposalConfig


def measure(plan: AggregationPlan, threads: int, console: Console) -> dict[str, Any]:
    """Time all ways in one process, and take the memory in another."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        result: dict[str, Any] = pool.apply(time_all, (plan, threads))
    console.print(f"{result['seconds']['package']['median']:.1f} s by the package", style="dim")
    with context.Pool(1) as pool:
        result["memory"] = pool.apply(peak_memory, (plan.size_hw, plan.points_per_side, threads))
    result["reached"] = all(
        row["reached"]
        for row in (*result["ratio"].values(), result["prompts"], result["loss"], result["memory"])
    )
    return result


def time_all(plan: AggregationPlan, threads: int) -> dict[str, Any]:
    """Seconds of each way, what they found, and the quality of the labels made of it."""
    torch.set_num_threads(threads)
    model, weights = _region_model()
    task, prompts_seconds = _task(model, weights, plan)
    ways: dict[str, Callable[[], Any]] = {
        "floor": lambda: _floor(model, task, shared=False),
        "floor_ours": lambda: _floor(model, task, shared=True),
        "exact": lambda: _ours(model, task, "exact"),
        "fast": lambda: _ours(model, task, "fast"),
        "package": lambda: package_use.generated_and_predicted(
            model, task.image, task.prompts, task.config
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    model.encode(task.image)  # the first call is slower than all others
    for _ in range(plan.repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - started)
    answers = {name: found[name] for name in ("exact", "fast", "package")}
    miou = {name: _miou(model, task, *masks) for name, masks in answers.items()}
    asked = plan.points_per_side**2 + len(task.prompts)
    encoder = found["floor"]
    per_prompt = {
        name: 1e3 * (min(seconds[name]) - encoder) / asked for name in ("floor", "floor_ours")
    }
    return {
        "size_hw": list(plan.size_hw),
        "weights": weights,
        "points": plan.points_per_side**2,
        "components": len(task.prompts),
        "proposals": {name: len(masks[0]) for name, masks in answers.items()},
        "seconds": {name: spread(runs) for name, runs in seconds.items()},
        "encoder_seconds": encoder,
        "decoder_ms_per_prompt": {
            "package": per_prompt["floor"],
            "ours": per_prompt["floor_ours"],
        },
        "ratio": _ratios(seconds, per_prompt["floor"]),
        "label_miou": miou,
        "loss": {
            "value": miou["package"] - miou["fast"],
            "goal": GOAL_MIOU_LOSS,
            "reached": miou["package"] - miou["fast"] <= GOAL_MIOU_LOSS,
        },
        "prompts": {
            "seconds": prompts_seconds,
            "goal": GOAL_PROMPTS_SECONDS,
            "reached": prompts_seconds <= GOAL_PROMPTS_SECONDS,
        },
    }


def peak_memory(size_hw: tuple[int, int], points_per_side: int, threads: int) -> dict[str, Any]:
    """How far the resident set rises above the model's own while an image is aggregated.

    The thresholds are such that about 1,024 proposals remain (all, where the grid has too few).
    """
    torch.set_num_threads(threads)
    model, weights = _region_model()
    # Before anything that leaves memory behind: scene and thresholds count as well.
    resting = psutil.Process().memory_info().rss
    task, _ = _task(model, weights, AggregationPlan(size_hw, points_per_side, 1))
    share = min(1.0, MEMORY_PROPOSALS / (3 * points_per_side**2))
    iou, _ = _looks(model, task.image, points_per_side)
    config = replace(
        task.config,
        mode="exact",
        least_iou=float(np.quantile(iou, 1 - share)) if share < 1 else 0.0,
        least_stability=0.0,
        nms_iou=1.0,
    )
    embedding = model.encode(task.image)
    proposals = model.proposals(embedding, config)
    answers = model.masks(embedding, task.prompts)
    _miou(model, task, proposals, answers)
    # Kibibytes, and the highest of the process's life.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "proposals": len(proposals),
        "resting_bytes": resting,
        "growth_bytes": max(0, peak - resting),
        "goal_bytes": GOAL_MEMORY_BYTES,
        "reached": peak - resting <= GOAL_MEMORY_BYTES,
    }


def _region_model() -> tuple[SamRegionModel, str]:
    """The nano SAM; one of random weights where its own are not there."""
    try:
        model = load_built_in("nano")
    except ModelRefused:
        torch.manual_seed(0)
        return SamRegionModel(build_sam(NANO), NANO, "random", "cpu"), "random"
    assert isinstance(model, SamRegionModel)
    return model, "nano"


def _task(model: SamRegionModel, weights: str, plan: AggregationPlan) -> tuple[_Task, float]:
    """The task, and the seconds that its prompts took."""
    scene = generate_scene(STYLE, split_seeds("choose", 1)[0], plan.size_hw)
    kept = _sure_part(scene.label)
    things = [place for place, kind in enumerate(KINDS) if kind == "thing"]
    settings = psa_settings(AggregateConfig())
    started = time.perf_counter()
    prompts = component_prompts(kept, CLASSES, things, settings).prompts
    seconds = time.perf_counter() - started
    config = replace(model.proposal_defaults, points_per_side=plan.points_per_side)
    if weights == "random":
        # Such a network is neither sure nor stable. Half of its masks pass, and half of those.
        iou, stability = _looks(model, scene.image, 8)
        config = replace(
            config,
            least_iou=float(np.median(iou)),
            least_stability=float(np.median(stability)),
            stability_offset=0.01,
        )
    return _Task(scene.image, scene.label, kept, prompts, config), seconds


def _sure_part(label: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The label without what lies near a border: pseudo-labels are sure in the middle of things."""
    edge = np.zeros(label.shape, dtype=np.uint8)
    edge[1:] |= label[1:] != label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    side = 2 * UNSURE_PX + 1
    near = cv2.dilate(edge, np.ones((side, side), dtype=np.uint8)) > 0
    return np.where(near, np.uint8(255), label)


def _looks(
    model: SamRegionModel, image: RgbImage, points_per_side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Estimated IoU and stability of all masks of a grid."""
    config = ProposalConfig(
        mode="exact",
        points_per_side=points_per_side,
        least_iou=-np.inf,
        least_stability=0.0,
        stability_offset=0.01,
        nms_iou=1.0,
    )
    masks = model.proposals(model.encode(image), config)
    return masks.iou, masks.stability


def _floor(model: SamRegionModel, task: _Task, *, shared: bool) -> float:
    """Encoder and transformer, by the package's way or ours; returns the encoder's seconds."""
    started = time.perf_counter()
    embedding = model.encode(task.image)
    encoder_seconds = time.perf_counter() - started
    assert embedding.features is not None
    frame = model.frame(embedding.size_hw)
    grid = grid_xy(task.config.points_per_side, embedding.size_hw).reshape(-1, 1, 2)
    points = torch.from_numpy(frame.places_in_square(grid)).float()
    boxes = frame.places_in_square(np.asarray(task.prompts.boxes_xyxy).reshape(-1, 2, 2))
    encoder = model.sam.prompt_encoder
    with torch.inference_mode():
        labels = torch.ones(len(points), 1)
        sparse = [encoder(points=(points, labels), boxes=None, masks=None)[0]]
        if len(boxes):
            corners = torch.from_numpy(boxes.reshape(-1, 4)).float()
            sparse.append(encoder(points=None, boxes=corners, masks=None)[0])
        batch = prompts_at_once(model.architecture, model.device) if shared else package_use.BATCH
        for part in (part for kind in sparse for part in kind.split(batch)):
            if shared:
                answer_prompts_of_image(model.sam, embedding.features, part)
            else:
                package_use.transform(model, embedding.features, part)
    return encoder_seconds


def _ours(model: SamRegionModel, task: _Task, mode: str) -> tuple[Masks, Masks]:
    """Proposals and answers."""
    embedding = model.encode(task.image)
    proposals = model.proposals(embedding, replace(task.config, mode=mode))
    return proposals, model.masks(embedding, task.prompts)


class _Prepared:
    """A region model that has answered already."""

    kind = "sam"

    def __init__(self, model: SamRegionModel, proposals: Masks, answers: Masks) -> None:
        self.digest, self.device = model.digest, model.device
        self.proposal_defaults = model.proposal_defaults
        self._proposals, self._answers = proposals, answers

    def encode(self, image: RgbImage) -> Embedding:
        return Embedding((image.shape[0], image.shape[1]), None, image.shape[:2], image)

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        return self._answers

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        return self._proposals


def _miou(model: SamRegionModel, task: _Task, proposals: Masks, answers: Masks) -> float:
    """Mean IoU of the label that is made of what was found; dropped pixels count as wrong."""
    prepared = _Prepared(model, proposals, answers)
    made = aggregate(
        task.kept,
        np.ones(task.kept.shape, np.float32),
        prepared.encode(task.image),
        prepared,
        KINDS,
        AggregateConfig(align="stuff", prompt="things"),
    )
    matrix = confusion_matrix(made.label, task.truth, CLASSES)
    return mean_over_present(iou_full(matrix), matrix)


def _ratios(seconds: dict[str, list[float]], ms_per_prompt: float) -> dict[str, Any]:
    quick = ms_per_prompt < QUICK_MS
    goals = {
        ("exact", "floor"): (GOAL_EXACT_TO_FLOOR_QUICK if quick else GOAL_EXACT_TO_FLOOR, False),
        ("package", "fast"): (GOAL_PACKAGE_TO_FAST, True),
    }
    ratios = {}
    for (one, other), (goal, at_least) in goals.items():
        runs = spread([a / b for a, b in zip(seconds[one], seconds[other], strict=True)])
        reached = runs["median"] >= goal if at_least else runs["median"] <= goal
        ratios[f"{one}_to_{other}"] = {
            **runs,
            "goal": goal,
            "at_least": at_least,
            "reached": reached,
        }
    return ratios
