"""The translated source images of a step, for all terms that look at them."""

from collections.abc import Mapping

from torch import Tensor

from models.adaptation.terms import SourceBatch, StepInputs, TermContext
from models.adaptation.translation import ENGINES, translated
from models.config_checks import check, is_number
from models.errors import ConfigError


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
