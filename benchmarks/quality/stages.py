"""The pipelines whose labels are compared, by the names of their rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# Where the stages for regions start; fixed before any of them was looked at.
SEED_COVERAGE: Final = 0.5
_SEED: Final = {"mode": "class_balanced", "keep_fraction": SEED_COVERAGE}

PLAIN: Final[Mapping[str, dict[str, Any]]] = {
    "predict": {"select": None},
    "select": {"select": {"mode": "class_balanced", "keep_fraction": 0.7}},
}
SEED: Final[Mapping[str, dict[str, Any]]] = {"seed": {"select": _SEED}}

# Only models that carry a rectifier run these.
RECTIFIED: Final[Mapping[str, dict[str, Any]]] = {
    "rectify": {"rectify": {}, "select": None},
    "rectify_select": {"rectify": {}, "select": {"mode": "class_balanced", "keep_fraction": 0.7}},
}

# As in the ablations of SeCo, a half of PSA that is alone takes care of all classes. Ours asks for
# nothing, so `psa` is alignment alone.
REGIONS: Final[Mapping[str, dict[str, Any]]] = {
    "prompting_only": {"aggregate": {"align": "none", "prompt": "all"}},
    "psa": {"aggregate": {}},
    "psa_prompted": {"aggregate": {"prompt": "things"}},
    "psa_paper": {"aggregate": {"variant": "paper"}},
    "psa_public_code": {"aggregate": {"variant": "public-code"}},
    "psa_scc": {"aggregate": {}, "correct": {}},
    "psa_scc_quantile": {"aggregate": {}, "correct": {"mode": "quantile"}},
    "psa_scc_model": {"aggregate": {}, "correct": {"fit": "model"}},
    "rectify_psa_scc": {"rectify": {}, "aggregate": {}, "correct": {}},
}
STAGES: Final = (*PLAIN, *SEED, *RECTIFIED, *REGIONS)


def needs_rectifier(stage: str) -> bool:
    """Whether a stage of `STAGES` is for models with a rectifier alone."""
    return "rectify" in {**RECTIFIED, **REGIONS}.get(stage, {})


@dataclass(frozen=True)
class Stage:
    """One pipeline.

    Attributes:
        row: name of its row; stages for regions have the name of the region model in it.
        pipeline: the API's pipeline object.
        region_model: name of the region model, None for stages that look at pixels alone.
    """

    row: str
    pipeline: dict[str, Any]
    region_model: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        stages: of `STAGES`; `predict` always runs, since the others are compared with it.
        region_models: for the stages for regions; a folder is registered, None means that the name
            is known already.
    """

    stages: tuple[str, ...] = STAGES
    region_models: Mapping[str, Path | None] = field(default_factory=lambda: {"graph": None})

    def __post_init__(self) -> None:
        unknown = sorted(set(self.stages) - set(STAGES))
        if unknown:
            raise ValueError(f"'{unknown[0]}' is no stage; there are {', '.join(STAGES)}")

    @property
    def looks_at_regions(self) -> bool:
        return any(name in REGIONS for name in self.stages)

    def plain(self) -> Iterator[Stage]:
        """The stages that every model runs."""
        for name, pipeline in PLAIN.items():
            if name == "predict" or name in self.stages:
                yield Stage(name, pipeline)

    def adapted(self, references: Mapping[str, str]) -> Iterator[Stage]:
        """The stages that the adapted model runs beside.

        Args:
            references: by which name the labeller knows each region model.
        """
        for name, pipeline in {**SEED, **RECTIFIED}.items():
            if name in self.stages:
                yield Stage(name, pipeline)
        for region_model in self.region_models:
            for name, pipeline in REGIONS.items():
                if name in self.stages:
                    yield Stage(
                        f"{name}_{region_model}",
                        region_pipeline(pipeline, references[region_model]),
                        region_model,
                    )


def region_pipeline(stages: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """A pipeline of `REGIONS` from the seed on, with a region model."""
    aggregate = {**stages["aggregate"], "region_model": reference}
    return {**stages, "select": _SEED, "aggregate": aggregate}
