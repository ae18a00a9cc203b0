"""A region model of the catalog in the label path: loaded once, and named by its labels."""

from pathlib import Path
from typing import Any

import pytest

from models.promptable import folder as region_model_folders
from models.promptable.folder import write_region_model
from storage.objects import model_key
from tests.models.promptable.tiny import TINY, tiny_sam
from tests.support.api import get_items, get_job, post_images, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation
from workers.model_folder import store_folder
from workers.region_model_folder import check_region_model

IMAGES = {f"{i}.png": png_bytes(i) for i in range(2)}
PIPELINE: dict[str, Any] = {
    "select": {"keep_fraction": 0.5, "scope": "image"},
    "aggregate": {"region_model": "sam", "proposals": {"points_per_side": 2}},
}


@pytest.fixture
def region_site(sqlite_site: Installation, tmp_path: Path) -> tuple[Installation, str]:
    """An installation with a segmenter `tiny` and a region model `sam`, and the latter's digest."""
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    folder = tmp_path / "sam"
    write_region_model(folder, tiny_sam(), TINY, {"source": "test"})
    facts = check_region_model(folder)
    row = store_folder(
        sqlite_site.catalog,
        sqlite_site.objects,
        folder,
        name="sam",
        ontology=facts.pop("ontology"),
        kind=facts.pop("kind"),
        facts=facts,
        provenance={"source": "test"},
        promote=True,
    )
    return sqlite_site, row.digest


def test_labels_name_it_and_it_is_loaded_once(
    region_site: tuple[Installation, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, digest = region_site
    loads: list[Path] = []
    load = region_model_folders.load_region_model

    def counted(folder: Path, device: str = "cpu") -> Any:
        loads.append(folder)
        return load(folder, device)

    monkeypatch.setattr(region_model_folders, "load_region_model", counted)
    old = post_images(site, IMAGES, pipeline=PIPELINE)["job"]["id"]
    site.settle()
    assert get_job(site, old)["status"] == "succeeded"
    used = {"reference": "sam:1", "digest": digest}
    for item in get_items(site, old).values():
        path = f"/v1/labels/{item['label_id']}"
        assert site.client.get(path).json()["lineage"]["region_model"] == used
        assert site.client.get(f"{path}/lineage").json()["region_model"] == used
    new = start_job(site, type="refine", labels={"job": old})["id"]
    site.settle()
    assert get_job(site, new)["result"]["taken_over"] == 2
    other = {**PIPELINE, "aggregate": {**PIPELINE["aggregate"], "start": "nothing"}}
    third = start_job(site, type="refine", labels={"job": old}, pipeline=other)["id"]
    site.settle()
    assert get_job(site, third)["result"]["taken_over"] == 0
    assert len(loads) == 1


def test_a_damaged_one_ends_the_job_with_the_reason(region_site: tuple[Installation, str]) -> None:
    site, digest = region_site
    site.objects.delete([model_key(digest, "region_model.safetensors")])
    job = post_images(site, IMAGES, pipeline=PIPELINE)["job"]["id"]
    site.settle()
    found = get_job(site, job)
    assert (found["status"], found["error"]["code"]) == ("failed", "model-unusable")
    assert "sam:1" in found["error"]["detail"]
