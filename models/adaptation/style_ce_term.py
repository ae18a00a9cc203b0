"""Source images in target style, and plain cross-entropy on them.

A method of its own, so that what this alone brings is not taken for the merit of the others that
translate: the row `style_ce` stands beside `pull` in every table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.adaptation.losses import labelled_loss
from models.adaptation.resolution import upsampled
from models.adaptation.styled_source import (
    check_translation,
    needs_source,
    source_of,
    styled_name,
    styled_source,
)
from models.adaptation.terms import (
    LossTerm,
    MixedBatch,
    StepInputs,
    StepOutputs,
    TermContext,
    TermResult,
)
from models.config_checks import check, is_number


@dataclass(frozen=True)
class StyleCrossEntropySettings:
    """Settings of the term `style_ce`.

    Attributes:
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
