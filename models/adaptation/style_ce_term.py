"""Source images in target style, and plain cross-entropy on them.

A method of its own, so that what this alone brings is not taken for the merit of the others that
translate: the row `style_ce` stands beside `pull` in every table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.adaptation.losses import labelled_loss
from models.adaptation.resolution import upsampled
from models.adaptation.terms import (
    LossTerm,
    MixedBatch,
    SourceBatch,
    StepInputs,
    StepOutputs,
    TermContext,
    TermResult,
)
from models.adaptation.translation import ENGINES, translated
from models.config_checks import check, is_number
from models.errors import ConfigError


@dataclass(frozen=True)
class StyleCrossEntropySettings:
    """Attributes:
    weight: of the loss.
    engine: see `translation.ENGINES`.
    window_share: beta of the Fourier translation; 0.01 is FDA's.
    """

    weight: float = 1.0
    engine: str = "both"
    window_share: float = 0.01

    def __post_init__(self) -> None:
        check(is_number(self.weight, 0, 1e3), "weight", "a number from 0 to 1000")
        check_translation(self.engine, self.window_share)


class StyleCrossEntropy(LossTerm):
    """Cross-entropy of the student on source images in the style of the step's target images.

    Raises:
        ConfigError: the setting has no source images.
    """

    name = "style_ce"

    def __init__(self, settings: StyleCrossEntropySettings, context: TermContext) -> None:
        super().__init__(settings.weight)
        needs_source(self.name, context)
        self._settings = settings

    def extra_inputs(self, inputs: StepInputs, mixed: MixedBatch) -> Mapping[str, Tensor]:
        return styled_source(inputs, self._settings.engine, self._settings.window_share)

    def forward(self, outputs: StepOutputs) -> TermResult:
        name = styled_name(self._settings.engine, self._settings.window_share)
        found, labels = outputs.extra[name], source_of(outputs.inputs).labels
        size_hw = (labels.shape[1], labels.shape[2])
        logits = upsampled(found.logits, size_hw, found.covers_hw_px)
        return TermResult(labelled_loss(logits, labels))


def styled_name(engine: str, window_share: float) -> str:
    """What styled source images are called; terms of like settings share one look at them."""
    return f"styled-{engine}-{window_share:g}"


def styled_source(inputs: StepInputs, engine: str, window_share: float) -> Mapping[str, Tensor]:
    """The source images before recolouring, each in the style of a target image, by their name."""
    source, target = source_of(inputs).weak_images, inputs.target.images
    images = translated(source, target, engine, window_share, inputs.places)
    return {styled_name(engine, window_share): images}


def source_of(inputs: StepInputs) -> SourceBatch:
    """The source samples of a step that has some."""
    assert inputs.source is not None
    return inputs.source


def needs_source(name: str, context: TermContext) -> None:
    """Refuse a setting without source images.

    Raises:
        ConfigError: it is one.
    """
    if context.setting != "uda":
        raise ConfigError(
            f"terms.{name}",
            f"needs labelled source images, and the setting '{context.setting}' has none; "
            "leave it out or set its weight to 0",
        )


def check_translation(engine: str, window_share: float) -> None:
    """Raises ConfigError if an engine is not known, or the window out of bounds."""
    check(engine in ENGINES, "engine", "one of " + ", ".join(ENGINES))
    check(is_number(window_share, 0, 0.5), "window_share", "a number from 0 to 0.5")
