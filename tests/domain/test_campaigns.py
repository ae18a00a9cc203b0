"""What a campaign may not be asked to do."""

from typing import Any

import pytest

from api_schemas.campaigns import CampaignCreate
from api_schemas.problems import (
    NotFound,
    OntologyMismatch,
    StateConflict,
    ValidationProblem,
)
from domain import annotations
from storage.catalog.engine import Catalog
from tests.support.campaigns import (
    add_version_of,
    annotated,
    start,
)
from tests.support.rows import CLASSES, add_set, add_version, digest_of


@pytest.fixture
def target(catalog: Catalog) -> str:
    add_version(catalog)
    return add_set(catalog, 3)


class TestRefused:
    def test_classes_that_differ(self, catalog: Catalog, target: str) -> None:
        with catalog.write() as session:
            other = annotations.store(
                session, image_set_id=target, purpose="source",
                ontology={"name": "t", "classes": CLASSES[::-1]},
                annotations=[("0.png", digest_of(0), "k")], rejected=0,
            ).id  # fmt: skip
        with pytest.raises(OntologyMismatch, match="Map them to the model's classes"):
            start(catalog, target, setting="uda", source={"annotations": other})

    def test_purposes(self, catalog: Catalog, target: str) -> None:
        sets = {p: annotated(catalog, target, p) for p in ("source", "initial", "evaluation")}
        with pytest.raises(StateConflict, match="purpose 'evaluation'"):
            start(catalog, target, setting="uda", source={"annotations": sets["evaluation"]})
        with pytest.raises(StateConflict, match="purpose 'initial'"):
            start(catalog, target, evaluation=sets["initial"])
        with pytest.raises(StateConflict, match="purpose 'source'"):
            start(catalog, target, reviewed=sets["source"])
        assert start(catalog, target, setting="uda", source={"annotations": sets["source"]})

    def test_what_cannot_be_trained(self, catalog: Catalog, target: str) -> None:
        add_version_of(catalog, "other", "x", kind="huggingface")
        with pytest.raises(ValidationProblem, match="only bundles"):
            start(catalog, target, model="other:1")
        with pytest.raises(NotFound):
            start(catalog, target, model="nobody")
        with pytest.raises(ValidationProblem, match="no usable image"):
            start(catalog, add_set(catalog, 0, rejected=1))
        with pytest.raises(ValidationProblem, match="no class 'tram'"):
            start(catalog, target, selection={"classes": ["tram"]})
        elsewhere = annotated(catalog, add_set(catalog, 1), "initial", [0])
        with pytest.raises(ValidationProblem, match="not of the target"):
            start(catalog, target, reviewed=elsewhere)

    @pytest.mark.parametrize(
        "body",
        [
            {"setting": "uda"},
            {"setting": "source_free", "source": {"annotations": "ann_" + "0" * 26}},
            {"rounds": 0},
            {"recipe": {"learning_rat": 1}},
            {"recipe": {"batch_size": 0}},
            {"recipe": {"augmentation": {"scale": [2.0, 1.0]}}},
            {"recipe": {"terms": {"pull": {"weight": float("nan")}}}},
            {"gates": {"max_label_drift": 0}},
            {"seed": 2**31 - 50},
        ],
    )
    def test_bodies(self, body: dict[str, Any]) -> None:
        whole = {"model": "tiny", "target": "set_" + "0" * 26, "setting": "source_free", **body}
        with pytest.raises(ValueError, match=r"validation error"):
            CampaignCreate.model_validate(whole)
