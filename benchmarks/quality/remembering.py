"""A region model that is asked the same by several stages, and computes it once."""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from models.promptable.base import (
    Embedding,
    Masks,
    Prompts,
    ProposalConfig,
    RegionModel,
    RgbImage,
)

MOST_IMAGES: Final = 128


@dataclass(frozen=True)
class _Known:
    embedding: Embedding
    proposals: dict[ProposalConfig, Masks] = field(default_factory=dict)


class RememberingRegionModel:
    """Gives the answers of another region model; embeddings and proposals are kept.

    Args:
        model: who answers.
        most_images: of so many images answers are kept; with one more all are forgotten.
    """

    def __init__(self, model: RegionModel, most_images: int = MOST_IMAGES) -> None:
        self.kind, self.digest, self.device = model.kind, model.digest, model.device
        self.proposal_defaults = model.proposal_defaults
        self._model = model
        self._most_images = most_images
        self._known: dict[bytes, _Known] = {}
        # An embedding is kept as long as its id is in use here.
        self._by_id: dict[int, _Known] = {}

    def encode(self, image: RgbImage) -> Embedding:
        key = hashlib.sha256(b"%d:" % image.shape[1] + image.tobytes()).digest()
        if key not in self._known:
            if len(self._known) >= self._most_images:
                self._known.clear()
                self._by_id.clear()
            known = _Known(self._model.encode(image))
            self._known[key] = self._by_id[id(known.embedding)] = known
        return self._known[key].embedding

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        return self._model.masks(embedding, prompts)

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        known = self._by_id.get(id(embedding))
        if known is None:
            return self._model.proposals(embedding, config)
        if config not in known.proposals:
            known.proposals[config] = self._model.proposals(embedding, config)
        return known.proposals[config]
