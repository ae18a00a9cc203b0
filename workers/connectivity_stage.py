"""The stage `correct` where it is fitted on the whole job (SCC)."""

from collections.abc import Iterable
from typing import Any

from models.config import ALGORITHM_VERSIONS
from models.connectivity.correction_fit import CorrectionFit
from models.connectivity.evidence import RegionEvidence, pack_evidence, unpack_evidence
from models.connectivity.sample import merge_parts, pack_part, sample_of, unpack_part
from models.label_maps import LabelMaps
from models.pipeline import LabelPipeline
from models.region_label import finish_label
from workers.job_wide import Finisher
from workers.npz import Arrays


class ConnectivityStage:
    """Implements `workers.job_wide.JobWideStage`; an empty sample has no arrays."""

    version = ALGORITHM_VERSIONS["correct"]

    def evidence(self, found: RegionEvidence) -> Arrays:
        return pack_evidence(found)

    def sample(self, image_digest: str, evidence: Arrays, seed: int) -> Arrays:
        return pack_part(sample_of(unpack_evidence(evidence).regions, image_digest, seed))

    def merge(self, parts: Iterable[Arrays]) -> Arrays:
        merged = merge_parts(unpack_part(part) for part in parts if part)
        return {} if merged is None else pack_part(merged)

    def fit(self, pipeline: LabelPipeline, sample: Arrays) -> dict[str, Any]:
        parts = [unpack_part(sample)] if sample else []
        return pipeline.fit_correction(parts).to_dict()

    def finisher(self, fit: dict[str, Any], *, keep_stages: bool) -> Finisher:
        found = CorrectionFit.from_dict(fit)

        def finish(image_digest: str, evidence: Arrays) -> LabelMaps:
            return finish_label(unpack_evidence(evidence), found, image_digest, keep_stages)

        return finish
