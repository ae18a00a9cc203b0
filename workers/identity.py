"""Digests: the names of results, made of everything that their bytes depend on."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


def canonical_digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a document."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Recipe:
    """Everything but the image that the bytes of a job's labels depend on."""

    pipeline_digest: str
    model_digest: str
    pilot_fit_digest: str | None
    algorithm_versions: dict[str, int]
    precision: str

    def evidence_digest(self, image_digest: str) -> str:
        """Name of what pass 1 leaves for this image."""
        return canonical_digest({"kind": "evidence", **self._document(image_digest)})

    def label_digest(self, image_digest: str, job_fit_digest: str | None = None) -> str:
        """Name of the label of this image."""
        return canonical_digest(
            {"kind": "label", "job_fit": job_fit_digest, **self._document(image_digest)}
        )

    def _document(self, image_digest: str) -> dict[str, Any]:
        return {
            "image": image_digest,
            "pipeline": self.pipeline_digest,
            "model": self.model_digest,
            "pilot_fit": self.pilot_fit_digest,
            "algorithm_versions": self.algorithm_versions,
            "precision": self.precision,
        }
