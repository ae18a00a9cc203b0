"""A refinement that changes only `correct` starts from the evidence of the job it refines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models.prediction import Predictor
from tests.support import rows
from tests.support.api import get_job, post_images, start_job
from tests.support.counting_stage import CountingStage
from tests.support.images import png_bytes
from tests.support.installation import Installation

IMAGES = {f"{i}.png": png_bytes(i) for i in range(3)}
PIPELINE: dict[str, Any] = {"select": {"keep_fraction": 0.5}, "correct": {}}


@pytest.mark.parametrize(
    ("change", "evidence", "predicted"),
    [
        ({"correct": {"keep_below": 0.5}}, 0, 0),
        ({"predict": {"flip": True}}, 3, 3),
    ],
)
def test_what_is_done_again(
    sqlite_site: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    evidence: int,
    predicted: int,
) -> None:
    site, stage = sqlite_site, CountingStage()
    site.add_tiny_model(tmp_path / "m")
    site.runtime.job_wide = stage
    old = post_images(site, IMAGES, pipeline=PIPELINE)["job"]["id"]
    site.settle()
    assert (get_job(site, old)["status"], stage.calls.count("evidence")) == ("succeeded", 3)
    stage.calls.clear()
    images: list[int] = []
    predict = Predictor.predict

    def counted(self: Predictor, given: Sequence[Any]) -> Any:
        images.append(len(given))
        return predict(self, given)

    monkeypatch.setattr(Predictor, "predict", counted)
    new = start_job(site, type="refine", labels={"job": old}, pipeline={**PIPELINE, **change})["id"]
    site.settle()
    assert get_job(site, new)["status"] == "succeeded"
    assert stage.calls == ["evidence"] * evidence + ["fit"] + ["finish"] * 3
    assert sum(images) == predicted  # by the pilot, whose predictions pass 1 takes over
    rows.assert_consistent(site.catalog, new)
