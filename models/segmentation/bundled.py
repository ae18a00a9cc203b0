"""Adapter of our own bundle: the compact segmenter."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.bundle import Bundle, read_bundle, write_bundle
from models.connectivity.classifier import Classifier
from models.ontology import Ontology
from models.rectification.rectifier import Rectifier
from models.segmentation.base import SegmentationOutput, batch_norms
from models.segmentation.compact import CompactSegmenter


class BundledSegmenter:
    """The segmenter of a bundle on a device. Features: the decoder's map at stride 4.

    Attributes:
        connectivity: the bundle's classifier of regions, or None.
        rectifier: the bundle's rectifier, or None.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.ontology: Ontology = bundle.ontology
        self.device = device
        self.module: CompactSegmenter = bundle.module.to(device).eval()
        self.provenance: dict[str, Any] = bundle.provenance
        self.connectivity: Classifier | None = bundle.connectivity
        self.rectifier: Rectifier | None = bundle.rectifier
        self.has_batch_statistics = bool(batch_norms(self.module))

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "BundledSegmenter":
        """Raises ModelRefused, see `read_bundle`; also where the rectifier is of another model."""
        model = cls(read_bundle(folder), device)
        if model.rectifier is not None:
            model.rectifier.check_fits(model)
        return model

    def save(self, folder: Path) -> None:
        write_bundle(
            folder,
            self.module,
            self.ontology,
            self.provenance,
            connectivity=self.connectivity,
            rectifier=self.rectifier,
        )

    def forward(self, images: Tensor) -> SegmentationOutput:
        output = self.module(images)
        return SegmentationOutput(output.logits, output.features)
