"""The recipe of a run: frozen, checked when made, to and from JSON. Imports no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from models.config_checks import check, is_integer, is_number
from models.errors import ConfigError

SETTINGS = ("uda", "source_free", "black_box")
NORMALISATIONS = ("mixed", "separate", "frozen")
LABEL_SOURCES = ("frozen", "online", "combined")


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes, drawn for every image on its own.

    Attributes:
        scale: least and largest zoom, drawn log-uniformly.
        flip: chance of a left-right flip.
        gamma: least and largest exponent, drawn log-uniformly.
        gain: least and largest factor, drawn log-uniformly.
        channel_gain: least and largest factor of a single channel.
        noise: largest standard deviation of Gaussian noise, as a share of the full range.
    """

    scale: tuple[float, float] = (0.75, 1.5)
    flip: float = 0.5
    gamma: tuple[float, float] = (0.6, 2.6)
    gain: tuple[float, float] = (0.25, 1.3)
    channel_gain: tuple[float, float] = (0.8, 1.2)
    noise: float = 0.04

    def __post_init__(self) -> None:
        for name, least, most in (
            ("scale", 0.1, 10.0),
            ("gamma", 0.1, 10.0),
            ("gain", 0.01, 10.0),
            ("channel_gain", 0.01, 10.0),
        ):
            value = getattr(self, name)
            check(
                len(value) == 2
                and all(is_number(end, least, most) for end in value)
                and value[0] <= value[1],
                f"augmentation.{name}",
                f"two numbers from {least} to {most}, the smaller first",
            )
        check(is_number(self.flip, 0, 1), "augmentation.flip", "a number from 0 to 1")
        check(is_number(self.noise, 0, 1), "augmentation.noise", "a number from 0 to 1")


@dataclass(frozen=True)
class Recipe:
    """How a run trains.

    Attributes:
        crop_hw: height and width of training crops, in pixels.
        batch_size: samples of each domain in one step and process.
        learning_rate: peak of warm-up and cosine (AdamW).
        weight_decay: of AdamW.
        warm_up: share of the steps in which the rate rises.
        clip_norm: largest norm of the gradient.
        teacher_momentum: of the teacher's weights; smaller in the first steps,
            min(1 - 1/(step + 1), this).
        normalisation: of BatchNorm layers in training. "mixed": source and target in one batch;
            "separate": each domain by its own statistics; "frozen": running statistics as they
            came. Networks without batch statistics do the same in all three.
        source_weight, target_weight: of the two cross-entropies.
        consistency_weight: of the soft cross-entropy with the teacher where there is no label.
        labels: where labels of target pixels come from. "frozen": the label set alone; "online":
            the teacher alone; "combined": the label set, and in its holes the teacher.
        online_threshold: least max-softmax of a teacher's label.
        reliability_weights: weigh a kept pixel with its r instead of 1.
        mix_classes: share of the classes of an image that is pasted into another.
        rare_class_temperature: of rare-class sampling, larger is closer to uniform; 0 turns it off.
        statistics_images: target images on which the teacher's batch statistics are re-estimated.
        checkpoint_every_steps: steps between two checkpoints.
        augmentation: ranges.
        terms: settings of the methods by name; one that is absent or of weight 0 is not built.
    """

    crop_hw: tuple[int, int] = (180, 240)
    batch_size: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.05
    clip_norm: float = 5.0
    teacher_momentum: float = 0.99
    normalisation: str = "mixed"
    source_weight: float = 1.0
    target_weight: float = 1.0
    consistency_weight: float = 0.1
    labels: str = "combined"
    online_threshold: float = 0.9
    reliability_weights: bool = True
    mix_classes: float = 0.5
    rare_class_temperature: float = 0.1
    statistics_images: int = 96
    checkpoint_every_steps: int = 100
    augmentation: Augmentation = field(default_factory=Augmentation)
    terms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(
            len(self.crop_hw) == 2 and all(is_integer(side, 16, 4096) for side in self.crop_hw),
            "crop_hw",
            "two integers from 16 to 4096",
        )
        for name, least, most in (
            ("batch_size", 1, 1024),
            ("statistics_images", 1, 1_000_000),
            ("checkpoint_every_steps", 1, 1_000_000),
        ):
            what = f"an integer from {least} to {most}"
            check(is_integer(getattr(self, name), least, most), name, what)
        for name, largest in _NUMBERS.items():
            what = f"a number from 0 to {largest:g}"
            check(is_number(getattr(self, name), 0, largest), name, what)
        check(self.normalisation in NORMALISATIONS, "normalisation", _one_of(NORMALISATIONS))
        check(self.labels in LABEL_SOURCES, "labels", _one_of(LABEL_SOURCES))
        check(isinstance(self.reliability_weights, bool), "reliability_weights", "true or false")
        check(
            isinstance(self.terms, Mapping)
            and all(isinstance(settings, Mapping) for settings in self.terms.values()),
            "terms",
            "an object of objects",
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        data = asdict(self)
        data["crop_hw"] = list(self.crop_hw)
        for name, value in data["augmentation"].items():
            data["augmentation"][name] = list(value) if isinstance(value, tuple) else value
        return data

    @classmethod
    def from_dict(cls, data: Any) -> "Recipe":
        """The recipe of a JSON object; absent keys take their defaults.

        Raises:
            ConfigError: on an unknown key or an invalid value.
        """
        values = _known(cls, "", data)
        if "crop_hw" in values:
            values["crop_hw"] = _tuple("crop_hw", values["crop_hw"])
        if "augmentation" in values:
            ranges = _known(Augmentation, "augmentation", values["augmentation"])
            for name, value in ranges.items():
                if name not in ("flip", "noise"):
                    ranges[name] = _tuple(f"augmentation.{name}", value)
            values["augmentation"] = Augmentation(**ranges)
        return cls(**values)


_NUMBERS = {
    "learning_rate": 1.0,
    "weight_decay": 1.0,
    "warm_up": 1.0,
    "clip_norm": 1e6,
    "teacher_momentum": 1.0,
    "source_weight": 1e3,
    "target_weight": 1e3,
    "consistency_weight": 1e3,
    "online_threshold": 1.0,
    "mix_classes": 1.0,
    "rare_class_temperature": 1e3,
}


def _one_of(names: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f"'{name}'" for name in names)


def _known(cls: type[Any], path: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(path, "an object is expected")
    names = {f.name for f in fields(cls)}
    unknown = sorted(str(key) for key in data if key not in names)
    if unknown:
        raise ConfigError(f"{path}.{unknown[0]}" if path else unknown[0], "no such key")
    return dict(data)


def _tuple(path: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(path, "a list is expected")
    return tuple(value)
