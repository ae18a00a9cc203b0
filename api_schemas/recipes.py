"""The recipe of a training, as `models.adaptation.config.Recipe` reads it; a test compares both.

What is left out is left to the training process, which has the same defaults.
"""

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api_schemas.json_types import Integer, Number, Truth

MAX_RECIPE_BYTES: Final = 1 << 16


_Zoom = Annotated[Number, Field(ge=0.1, le=10.0)]
_Factor = Annotated[Number, Field(ge=0.01, le=10.0)]
_Weight = Annotated[Number, Field(ge=0.0, le=1e3)]
_Share = Annotated[Number, Field(ge=0.0, le=1.0)]
_Side = Annotated[Integer, Field(ge=16, le=4096)]


class AugmentationRanges(BaseModel):
    """Ranges of the random changes, drawn for every image on its own."""

    model_config = ConfigDict(extra="forbid")

    scale: tuple[_Zoom, _Zoom] = (0.75, 1.5)
    flip: _Share = 0.5
    gamma: tuple[_Zoom, _Zoom] = (0.6, 2.6)
    gain: tuple[_Factor, _Factor] = (0.25, 1.3)
    channel_gain: tuple[_Factor, _Factor] = (0.8, 1.2)
    noise: _Share = 0.04

    @model_validator(mode="after")
    def _smaller_first(self) -> Self:
        for name in ("scale", "gamma", "gain", "channel_gain"):
            least, most = getattr(self, name)
            if least > most:
                raise ValueError(f"{name}: give the smaller number first")
        return self


class TrainingRecipe(BaseModel):
    """How a model is trained."""

    model_config = ConfigDict(extra="forbid")

    crop_hw: tuple[_Side, _Side] = (180, 240)
    batch_size: Integer = Field(4, ge=1, le=1024)
    learning_rate: _Share = 1e-3
    weight_decay: _Share = 0.01
    warm_up: _Share = 0.05
    clip_norm: Number = Field(5.0, ge=0.0, le=1e6)
    teacher_momentum: _Share = 0.99
    normalisation: Literal["mixed", "separate", "frozen"] = "mixed"
    source_weight: _Weight = 1.0
    target_weight: _Weight = 1.0
    consistency_weight: _Weight = 0.1
    labels: Literal["frozen", "online", "combined"] = "combined"
    online_threshold: _Share = 0.9
    reliability_weights: Truth = True
    mix_classes: _Share = 0.5
    rare_class_temperature: _Weight = 0.1
    statistics_images: Integer = Field(96, ge=1, le=1_000_000)
    checkpoint_every_steps: Integer = Field(100, ge=1, le=1_000_000)
    augmentation: AugmentationRanges = AugmentationRanges()
    terms: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings of the methods by name; absent or of weight 0: not used",
    )

    @model_validator(mode="after")
    def _terms_are_small(self) -> Self:
        try:
            size = len(json.dumps(self.terms, allow_nan=False))
        except (ValueError, RecursionError):
            raise ValueError("terms: a number that is not finite, or nested too deep") from None
        if size > MAX_RECIPE_BYTES:
            raise ValueError(f"terms: more than {MAX_RECIPE_BYTES} bytes")
        if "\\u0000" in json.dumps(self.terms):
            raise ValueError("terms: text with a zero byte")
        return self
