"""Adapter of Hugging Face semantic-segmentation folders: SegFormer and UperNet.

A folder holds `config.json`, the weights as `model.safetensors` (or shards with
`model.safetensors.index.json`) and, if need be, `preprocessor_config.json`. Of the last only the
rescaling and normalisation are followed: images are not resized, but looked at as they are.
Nothing is fetched from anywhere, and no code of the folder is run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ontology import Ontology
from models.segmentation.base import SegmentationOutput, batch_norms
from models.segmentation.huggingface_folder import (
    ARCHITECTURES,
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    check_folder,
    read_json,
    read_normalisation,
    read_ontology,
    read_weights,
    unreadable,
)
from models.torchvision_operators import ensure_torchvision_operators

# Least height and width that every stage of these networks accepts; smaller images are padded.
_SMALLEST_SIDE_PX = 32


class HuggingFaceSegmenter:
    """SegFormer or UperNet on a device.

    Features: the decoder's last map before its classifier, at stride 4 (of the padded image where
    an image is smaller than 32 px).
    """

    def __init__(
        self,
        module: nn.Module,
        ontology: Ontology,
        normalisation: tuple[list[float], list[float]],
        preprocessor: bytes | None,
        device: torch.device,
    ) -> None:
        # The library's classes are untyped, and their parts are found by name.
        self.module: Any = module.to(device).eval()
        self.ontology = ontology
        self.device = device
        self.has_batch_statistics = bool(batch_norms(module))
        self._mean = torch.tensor(normalisation[0], device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(normalisation[1], device=device).view(1, 3, 1, 1)
        self._preprocessor = preprocessor

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "HuggingFaceSegmenter":
        """The model in `folder`.

        Raises:
            ModelRefused: `model-has-code`, `model-is-pickle`, `model-not-supported`,
                `too-many-classes`, `model-classes-mismatch`, `model-unreadable`.
        """
        content = read_json(folder / CONFIG_FILE)
        check_folder(folder, content)
        module = _build(content, read_weights(folder))
        path = folder / PREPROCESSOR_FILE
        # Kept as bytes for `save`: the folder may be gone by then.
        preprocessor = path.read_bytes() if path.is_file() else None
        return cls(
            module,
            read_ontology(module.config.id2label, content["model_type"]),
            read_normalisation({} if preprocessor is None else read_json(path)),
            preprocessor,
            device,
        )

    def save(self, folder: Path) -> None:
        """Writes the folder again, with the weights as they are now."""
        with _without_progress_bars():
            self.module.save_pretrained(folder)
        if self._preprocessor is not None:
            (folder / PREPROCESSOR_FILE).write_bytes(self._preprocessor)

    def forward(self, images: Tensor) -> SegmentationOutput:
        height, width = images.shape[-2:]
        pad_bottom = max(0, _SMALLEST_SIDE_PX - height)
        pad_right = max(0, _SMALLEST_SIDE_PX - width)
        x = (images - self._mean) / self._std
        if pad_bottom or pad_right:
            x = F.pad(x, (0, pad_right, 0, pad_bottom), mode="replicate")
        seen: list[Tensor] = []
        head = self.module.decode_head
        hook = head.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits = self._logits(x)
        finally:
            hook.remove()
        return SegmentationOutput(logits, seen[0], (height + pad_bottom, width + pad_right))

    def _logits(self, x: Tensor) -> Tensor:
        """At the stride of the decoder: the UperNet of the library would upsample all classes."""
        if self.module.config.model_type == "upernet":
            feature_maps = self.module.backbone.forward_with_filtered_kwargs(x).feature_maps
            logits: Tensor = self.module.decode_head(feature_maps)
        else:
            logits = self.module(x).logits
        return logits


def _build(content: dict[str, Any], weights: dict[str, Tensor]) -> Any:
    # Where torchvision is installed, transformers imports it with half of its networks.
    ensure_torchvision_operators()
    # Imported here: it takes seconds, which users of our own bundle need not spend.
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    architecture = getattr(transformers, ARCHITECTURES[content["model_type"]])
    invalid = (TypeError, ValueError, KeyError, AttributeError, RuntimeError, StrictDataclassError)
    try:
        config = architecture.config_class.from_dict(content)
        # No folder is given, so the library reads no file; it still knows older weight names.
        with _without_progress_bars():
            module, info = architecture.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except invalid as error:
        raise unreadable(f"The network cannot be built from {CONFIG_FILE}: {error}.") from error
    missing = sorted(
        name for name in info["missing_keys"] if not name.endswith("num_batches_tracked")
    )
    if missing:
        raise unreadable(
            f"The weights lack {len(missing)} tensors of the architecture, first {missing[0]}."
        )
    return module


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
