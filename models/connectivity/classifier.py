"""Pooled features of a region to the probabilities of its classes.

A job's own classifier learns the classes that aggregation gave, wrong ones among them (SeCo,
section 3.3). A model's classifier is fitted beforehand on regions whose true class is known; it
also sees which class was given, and may find that a region is of no one class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.connectivity.config import FEATURE_GROUPS
from models.connectivity.features import label_free_columns
from models.connectivity.head import (
    Columns,
    Features,
    FeaturesDiffer,
    Head,
    array_from_json,
    array_to_json,
    gather,
)
from models.connectivity.training import CrossFit, Task, TrainingSettings, cross_fit, fit_head
from models.ontology import IGNORE_LABEL

FOLDS: Final = 3
FORMAT_VERSION: Final = 1
_TEMPERATURES: Final = np.geomspace(0.1, 10, 81)
_NOISE_SHARES: Final = np.linspace(0, 0.9, 46)
_MOST_CALIBRATED: Final = 20_000

Images = npt.NDArray[np.uint64]
Classes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Classifier:
    """Heads over pooled features, one for each fold of images or one for all.

    Attributes:
        num_classes: K.
        inputs: the columns of the features that it reads.
        heads: head f has not seen the images whose key is f modulo their number.
        temperature: scores are divided by it before they become probabilities.
        noise: estimated share of wrong classes among those that it was fitted on.
        knows_given: it is told which class was given.
    """

    num_classes: int
    inputs: tuple[Columns, ...]
    heads: tuple[Head, ...]
    temperature: float = 1.0
    noise: float = 0.0
    knows_given: bool = False

    def scores(self, features: Features, given: Classes, image: int) -> npt.NDArray[np.float32]:
        """Scores (N, K), or (N, K + 1) with "no one class" last, of the regions of one image.

        Args:
            features: {group: float16 (N, D)}.
            given: the class given, uint8 (N,).
            image: the key of the image, see `sample.image_key`.

        Raises:
            FeaturesDiffer: a group is missing or has another width.
        """
        head = self.heads[image % len(self.heads)]
        vectors = gather(features, self.inputs)
        return head.scores(vectors, given if self.knows_given else None)

    def probabilities(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Calibrated probability of each class, (N, K); what is missing to 1 is "no one class"."""
        return softmax(scores, self.temperature)[:, : self.num_classes]

    def lacks(self, groups: Mapping[str, int]) -> str | None:
        """Why it cannot read features of these {group: width}, or None."""
        try:
            gather({name: np.zeros((0, n), np.float16) for name, n in groups.items()}, self.inputs)
        except FeaturesDiffer as error:
            return str(error)
        return None

    def config(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "num_classes": self.num_classes,
            "inputs": [vars(columns) for columns in self.inputs],
            "heads": len(self.heads),
            "temperature": self.temperature,
            "noise": self.noise,
            "knows_given": self.knows_given,
        }

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights, by names such as "heads.0.weight_in"."""
        return {
            f"heads.{number}.{name}": array
            for number, head in enumerate(self.heads)
            for name, array in head.tensors().items()
        }

    @classmethod
    def from_tensors(
        cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[np.float32]]
    ) -> "Classifier":
        """The classifier that `config()` and `tensors()` described.

        Raises:
            ValueError: another format, or weights that do not fit.
        """
        if config.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"this program reads classifiers of version {FORMAT_VERSION}")
        try:
            classifier = cls(
                num_classes=int(config["num_classes"]),
                inputs=tuple(Columns(**columns) for columns in config["inputs"]),
                heads=tuple(
                    Head.from_tensors(_of_head(tensors, number))
                    for number in range(int(config["heads"]))
                ),
                temperature=float(config["temperature"]),
                noise=float(config["noise"]),
                knows_given=bool(config["knows_given"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this describes no classifier: {error!r}") from error
        classifier._check()
        return classifier

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, weights as float32 in base64."""
        weights = {name: array_to_json(array) for name, array in self.tensors().items()}
        return {**self.config(), "weights": weights}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Classifier":
        """Raises ValueError as `from_tensors` does."""
        weights = {name: array_from_json(array) for name, array in data["weights"].items()}
        return cls.from_tensors(data, weights)

    def _check(self) -> None:
        read = sum(columns.count for columns in self.inputs)
        rows = read + (self.num_classes if self.knows_given else 0)
        fits = self.heads and all(
            len(head.mean) == read
            and len(head.weight_in) == rows
            and len(head.bias_out) in (self.num_classes, self.num_classes + 1)
            for head in self.heads
        )
        if not fits or not 0 < self.temperature < np.inf:
            raise ValueError("the weights of the classifier do not fit its description")


@dataclass(frozen=True, eq=False)
class OwnFit:
    """A job's own classifier, and what it says of the sample that it was fitted on.

    Attributes:
        classifier: of as many heads as folds.
        scores: of each region by the head that has not seen its image, float32 (N, K).
        rounds: rounds of fitting before it was stopped.
    """

    classifier: Classifier
    scores: npt.NDArray[np.float32]
    rounds: int


def own_inputs(
    groups: Mapping[str, int], chosen: Sequence[str], num_classes: int
) -> tuple[Columns, ...]:
    """The columns that a job's own classifier reads: those of the chosen groups that there are.

    Votes and probabilities by class are left out: the class given can be read off them, and a head
    that sees it finds every region right.
    """
    found = []
    for name in FEATURE_GROUPS:
        if name in chosen and name in groups:
            start = label_free_columns(num_classes) if name == "votes" else 0
            found.append(Columns(name, start, groups[name], groups[name]))
    return tuple(found)


def fit_own(
    features: Features,
    classes: Classes,
    images: Images,
    inputs: Sequence[Columns],
    num_classes: int,
    settings: TrainingSettings | None = None,
) -> OwnFit:
    """Fit on the classes given, each region scored by a head that has not seen its image.

    Args:
        features: {group: float16 (N, D)}.
        classes: the classes given, uint8 (N,).
        images: the key of each region's image, uint64 (N,).
        inputs: the columns to read.
        num_classes: K.
        settings: how heads are fitted.

    Raises:
        ValueError: all images are of one fold, see `folds_of`.
    """
    vectors = gather(features, inputs)
    targets = classes.astype(np.int64)
    task = Task(vectors, targets, folds_of(images), num_classes, FOLDS)
    found = _cross_fit(task, settings or TrainingSettings())
    temperature, noise = calibrate(found.scores, targets, with_noise=True)
    classifier = Classifier(num_classes, tuple(inputs), found.heads, temperature, noise)
    return OwnFit(classifier, found.scores, found.rounds)


def fit_prior(
    features: Features,
    given_classes: Classes,
    true_classes: Classes,
    images: Images,
    num_classes: int,
    groups: Sequence[str] = FEATURE_GROUPS,
    settings: TrainingSettings | None = None,
) -> Classifier:
    """Fit a model's classifier on regions whose true class is known.

    It learns P(true class | features, class given), so the regions must be wrong as often, and in
    the ways, as those it will judge: labels of a model under change of style, with some flipped
    (`negatives.flip_classes`) and displaced ones among them. One head is fitted on all images;
    when to stop and the temperature come from heads that leave out a fold of them.

    Args:
        features: {group: float16 (N, D)}; those of `groups` that are missing are not read.
        given_classes: uint8 (N,).
        true_classes: uint8 (N,), 255 for a region of no one class.
        images: the key of each region's image, uint64 (N,); versions of one image share a key.
        num_classes: K.
        groups: which groups are read.
        settings: how heads are fitted.

    Raises:
        ValueError: no regions, no features, or all images are of one fold.
    """
    widths = {name: array.shape[1] for name, array in features.items()}
    inputs = tuple(
        Columns(name, 0, widths[name], widths[name])
        for name in FEATURE_GROUPS
        if name in groups and name in widths
    )
    if not inputs or len(given_classes) == 0:
        raise ValueError("a classifier is fitted on at least one region with features")
    of_no_class = true_classes == IGNORE_LABEL
    targets = np.where(of_no_class, num_classes, true_classes).astype(np.int64)
    outputs = num_classes + bool(of_no_class.any())
    task = Task(
        gather(features, inputs),
        targets,
        folds_of(images),
        outputs,
        FOLDS,
        given_classes,
        num_classes,
    )
    settings = settings or TrainingSettings()
    found = _cross_fit(task, settings)
    temperature, _ = calibrate(found.scores, targets, with_noise=False)
    wrong = float((targets != given_classes).mean())
    head = fit_head(task, settings, found.rounds)
    return Classifier(num_classes, inputs, (head,), temperature, wrong, knows_given=True)


def folds_of(images: Images) -> npt.NDArray[np.int64]:
    """The fold of each region, by the key of its image."""
    return (images % np.uint64(FOLDS)).astype(np.int64)


def calibrate(
    scores: npt.NDArray[np.float32], targets: npt.NDArray[np.int64], *, with_noise: bool
) -> tuple[float, float]:
    """The temperature of held-out scores (N, O) and the share of wrong targets (N,).

    By maximum likelihood of target ~ (1 - noise) softmax(scores / T) + noise q with q the
    frequencies of the targets. Without the second term a temperature fitted on noisy classes
    would make the head as unsure of the true class as the noise makes it of the given one.
    Without `with_noise` the share is 0.
    """
    rows = np.arange(0, len(scores), max(1, -(-len(scores) // _MOST_CALIBRATED)))
    scores, targets = scores[rows].astype(np.float64), targets[rows]
    frequencies = np.bincount(targets, minlength=scores.shape[1]) / len(targets)
    shares = _NOISE_SHARES if with_noise else _NOISE_SHARES[:1]
    best = (-np.inf, 1.0, 0.0)
    for temperature in _TEMPERATURES:
        own = np.take_along_axis(softmax(scores, temperature), targets[:, None], 1)[:, 0]
        for share in shares:
            mixed = (1 - share) * own + share * frequencies[targets]
            likelihood = float(np.log(np.maximum(mixed, 1e-300)).mean())
            best = max(best, (likelihood, float(temperature), float(share)))
    return best[1], best[2]


def softmax(
    scores: npt.NDArray[np.floating[Any]], temperature: float = 1.0
) -> npt.NDArray[np.float64]:
    """Probabilities (N, O) of scores over a temperature."""
    scaled = scores.astype(np.float64) / temperature
    scaled -= scaled.max(1, initial=-np.inf, keepdims=True) if len(scaled) else 0.0
    powers = np.exp(scaled)
    shares: npt.NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


def _cross_fit(task: Task, settings: TrainingSettings) -> CrossFit:
    if len(np.unique(task.folds)) < 2:
        raise ValueError("all regions are from images of one fold, so none can be left out")
    return cross_fit(task, settings)


def _of_head(
    tensors: Mapping[str, npt.NDArray[np.float32]], number: int
) -> dict[str, npt.NDArray[np.float32]]:
    prefix = f"heads.{number}."
    return {
        name.removeprefix(prefix): array
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
