"""What a model version carries to judge and mend its own labels.

IR2F-style reconstruction: a continuous field of reliability r, a second opinion b, and a
calibration that makes r a probability.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.errors import ModelRefused
from models.prediction_detail import CELL_PX, PredictionDetail
from models.rectification.auxiliary import AuxiliaryHead
from models.rectification.calibration import PlattScaling
from models.rectification.field import FieldInput, FieldShape, ImplicitRectifier
from models.segmentation.base import SegmentationModel

FORMAT_VERSION: Final = 1
_LEAST_PROBABILITY: Final = 1e-4
_FIELD, _AUXILIARY = "field.", "auxiliary."


@dataclass(frozen=True, eq=False)
class Rectifier:
    """A fitted rectifier, ready for use; on the CPU until it is moved.

    The logit of r at a point is `field(point) + confidence_gain * log_odds(p_max(point))`, plus
    `agreement_gain * log_odds(agreement(point))` where the image was looked at several times, then
    scaled and shifted by the calibration: the field says by how much to mistrust the softmax here.

    Attributes:
        field: the field, in evaluation mode.
        auxiliary: the second opinion b; None leaves the classes as they are.
        confidence_gain: weight of the log odds of max-softmax.
        calibration: from logits to probabilities.
        class_names: of the ontology that it was fitted for, in order.
        fitted_for: digest of the segmenter's learned weights, see `weights_digest`; "" if unknown.
        calibrated: whether true classes stood behind the calibration.
        agreement_gain: weight of the log odds of the agreement of several looks; of a single look
            max-softmax takes its place.
    """

    field: ImplicitRectifier
    auxiliary: AuxiliaryHead | None
    confidence_gain: float
    calibration: PlattScaling
    class_names: tuple[str, ...]
    fitted_for: str
    calibrated: bool
    agreement_gain: float = 0.0

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.field.first.weight.device

    def on(self, device: torch.device) -> "Rectifier":
        """The same rectifier on a device; itself where it is there already."""
        if self.device == device:
            return self
        field, auxiliary = copy.deepcopy((self.field, self.auxiliary))
        moved = None if auxiliary is None else auxiliary.to(device)
        return replace(self, field=field.to(device), auxiliary=moved)

    def check_fits(self, model: SegmentationModel) -> None:
        """Refuse to judge the labels of another model.

        Raises:
            ModelRefused: `rectifier-of-another-model`: other classes, or other learned weights.
                Re-estimated normalisation does not matter.
        """
        remedy = "Fit one for this model with the job fit_rectifier."
        names = tuple(c.name for c in model.ontology.classes)
        if names != self.class_names:
            reason = "The rectifier was fitted for other classes, or for another order of them."
            raise ModelRefused("rectifier-of-another-model", reason, remedy)
        if self.fitted_for and self.fitted_for != weights_digest(model):
            reason = "The rectifier was fitted for a model with other weights."
            raise ModelRefused("rectifier-of-another-model", reason, remedy)

    def config(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "field": self.field.shape.to_dict(),
            "auxiliary": self.auxiliary is not None,
            "confidence_gain": self.confidence_gain,
            "agreement_gain": self.agreement_gain,
            "calibration": {"scale": self.calibration.scale, "shift": self.calibration.shift},
            "class_names": list(self.class_names),
            "fitted_for": self.fitted_for,
            "calibrated": self.calibrated,
        }

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights, float32, by names such as "field.first.weight"."""
        parts = {_FIELD: self.field, _AUXILIARY: self.auxiliary}
        return {
            prefix + name: value.detach().cpu().float().numpy()
            for prefix, module in parts.items()
            if module is not None
            for name, value in module.state_dict().items()
        }

    @classmethod
    def from_tensors(
        cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> "Rectifier":
        """The rectifier that `config()` and `tensors()` described.

        Raises:
            ValueError: either is damaged, of another format, or they do not fit each other.
        """
        if config.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"format version {config.get('format_version')} is not known")
        try:
            names = tuple(str(name) for name in config["class_names"])
            shape = FieldShape.from_dict(config["field"])
            gain = float(config["confidence_gain"])
            agreement_gain = float(config.get("agreement_gain", 0.0))
            calibration = PlattScaling(**{k: float(v) for k, v in config["calibration"].items()})
            fitted_for, calibrated = str(config["fitted_for"]), bool(config["calibrated"])
            has_auxiliary = bool(config["auxiliary"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the description is not complete: {error}") from error
        if shape.num_classes != len(names):
            raise ValueError("the field answers for another number of classes")
        numbers = [gain, agreement_gain, calibration.scale, calibration.shift]
        if not np.isfinite(numbers).all() or calibration.scale <= 0:
            raise ValueError("gains, scale and shift must be finite, and the scale above 0")
        field = ImplicitRectifier(shape)
        _load(field, _FIELD, tensors)
        auxiliary = None
        if has_auxiliary:
            auxiliary = AuxiliaryHead(shape.feature_channels, len(names))
            _load(auxiliary, _AUXILIARY, tensors)
        return cls(
            field.eval(),
            auxiliary,
            gain,
            calibration,
            names,
            fitted_for,
            calibrated,
            agreement_gain,
        )


def field_input(detail: PredictionDetail) -> FieldInput:
    """What a field reads of one image, B = 1.

    A model that gives no features is read by the logarithms of its class probabilities.
    """
    probabilities = torch.from_numpy(detail.probabilities.astype(np.float32))[None]
    cells_hw = probabilities.shape[2:]
    cover_hw_px = (float(cells_hw[0] * CELL_PX), float(cells_hw[1] * CELL_PX))
    features, features_cover_hw_px = log_probabilities(probabilities), cover_hw_px
    if detail.features is not None:
        features = torch.from_numpy(detail.features.astype(np.float32))[None]
        features_cover_hw_px = detail.features_cover_hw_px
    agreement = None
    if detail.agreement is not None:
        agreement = torch.from_numpy(detail.agreement.astype(np.float32))[None, None]
    return FieldInput(features, features_cover_hw_px, probabilities, cover_hw_px, agreement)


def log_probabilities(probabilities: Tensor) -> Tensor:
    """Logarithms of probabilities of at least 1e-4."""
    return probabilities.clamp(min=_LEAST_PROBABILITY).log()


def weights_digest(model: SegmentationModel) -> str:
    """SHA-256 of the learned weights, rounded to float16; "" where they are not at hand.

    Running statistics are not part of it, so that a model keeps its rectifier when they are
    re-estimated; rounded, so that it keeps it when it is stored in float16.
    """
    module: torch.nn.Module | None = getattr(model, "module", None)
    if module is None:
        return ""
    content = hashlib.sha256()
    for name, value in module.named_parameters():
        content.update(name.encode())
        content.update(value.detach().cpu().to(torch.float16).contiguous().numpy().tobytes())
    return content.hexdigest()


def _load(module: torch.nn.Module, prefix: str, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    own = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    if not all(np.isfinite(value).all() for value in own.values()):
        raise ValueError("weights must be finite")
    state = {name: torch.from_numpy(np.asarray(v, np.float32)) for name, v in own.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"weights do not fit the description: {error}") from error
