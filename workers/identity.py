"""Digests: the names of results, made of everything that their bytes depend on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from api_schemas.pipelines import PipelineConfig as WireConfig

# What evidence does not depend on: the stage that reads it, and what shapes the pilot fit alone.
_NOT_OF_EVIDENCE: Final = ("correct", "pilot_images", "seed")


def canonical_digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def early_digest_of(config: WireConfig) -> str:
    """Return the digest of the stages up to `aggregate`."""
    return canonical_digest(config.model_dump(mode="json", exclude=set(_NOT_OF_EVIDENCE)))


@dataclass(frozen=True)
class Recipe:
    """Everything but the image that the bytes of a job's labels depend on.

    Attributes:
        pipeline_digest: of the whole configuration; labels depend on it.
        early_digest: of its stages up to `aggregate` (`early_digest_of`); evidence depends on it.
        region_model_digest: None without `aggregate`.
        kept_digests: {image: label that it comes with, in place of what `select` keeps}.
    """

    pipeline_digest: str
    early_digest: str
    model_digest: str
    pilot_fit_digest: str | None
    algorithm_versions: dict[str, int]
    precision: str
    region_model_digest: str | None = None
    kept_digests: Mapping[str, str] = field(default_factory=dict)

    def evidence_digest(self, image_digest: str) -> str:
        """Name of what pass 1 leaves for this image; the same whatever `correct` does with it."""
        versions = {k: v for k, v in self.algorithm_versions.items() if k != "correct"}
        document = {
            "kind": "evidence",
            "pipeline": self.early_digest,
            "algorithm_versions": versions,
        }
        return canonical_digest({**self._inputs(image_digest), **document})

    def label_digest(self, image_digest: str, job_fit_digest: str | None = None) -> str:
        """Name of the label of this image."""
        document = {
            "kind": "label",
            "job_fit": job_fit_digest,
            "pipeline": self.pipeline_digest,
            "algorithm_versions": self.algorithm_versions,
        }
        return canonical_digest({**self._inputs(image_digest), **document})

    def _inputs(self, image_digest: str) -> dict[str, Any]:
        inputs: dict[str, Any] = {
            "image": image_digest,
            "model": self.model_digest,
            "pilot_fit": self.pilot_fit_digest,
            "precision": self.precision,
        }
        if self.region_model_digest is not None:  # others keep the names that they always had
            inputs["region_model"] = self.region_model_digest
        if image_digest in self.kept_digests:
            inputs["kept"] = self.kept_digests[image_digest]
        return inputs
