"""Region models over HTTP: which one a job gets, what is refused, and what keeps them."""

from typing import Any

import pytest

from api_schemas.problems import StateConflict
from domain import models
from domain.models import NewVersion
from tests.service.test_deletion import conflict, delete
from tests.support.api import get_job, index_png, post_annotations, post_set, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.model_files import bundle_files, post_files

IMAGES = {"a.png": png_bytes(1)}
AGGREGATE: dict[str, Any] = {"select": {"thresholds": 0.5}, "aggregate": {"region_model": "sam"}}


def register(site: Installation, name: str = "sam", digest: str = "d", kind: str = "region-model"):
    """A version in the catalog alone; no worker loads it here."""
    new = NewVersion(
        name=name,
        kind=kind,
        digest=digest * 64,
        files={},
        ontology={},
        size_bytes=0,
        facts={},
        provenance={},
    )
    with site.catalog.write() as session:
        return models.reference_of(models.register_version(session, new, promote=True))


def body(site: Installation, **changes: Any) -> dict[str, Any]:
    image_set = post_set(site, IMAGES)["id"]
    wanted = {"type": "generate", "image_set": image_set, "model": "tiny", "pipeline": AGGREGATE}
    return wanted | changes


def refused(site: Installation, document: dict[str, Any]) -> tuple[int, str, list[str]]:
    """Status, code and pointers of a refusal."""
    answer = site.client.post("/v1/jobs", json=document)
    assert "detail" in answer.json(), answer.text
    problem = answer.json()
    pointers = [error["pointer"] for error in problem.get("errors", [])]
    return answer.status_code, problem["code"], pointers


class TestPinning:
    def test_a_name_means_the_version_that_is_current_when_the_job_is_made(
        self, tiny_site: Installation
    ) -> None:
        site = tiny_site
        assert register(site) == "sam:1"
        first = start_job(site, **body(site))
        assert register(site, digest="e") == "sam:2"
        second = start_job(site, **body(site))
        assert [get_job(site, job["id"])["region_model"] for job in (first, second)] == [
            "sam:1",
            "sam:2",
        ]
        site.client.post(f"/v1/jobs/{first['id']}:cancel")
        site.schedule()
        retry = site.client.post(f"/v1/jobs/{first['id']}:retry", json={"only": "all"})
        assert retry.json()["region_model"] == "sam:1"

    @pytest.mark.parametrize("name", ["nano", "graph"])
    def test_built_in_ones_need_no_catalog(self, tiny_site: Installation, name: str) -> None:
        pipeline = {**AGGREGATE, "aggregate": {"region_model": name}}
        job = start_job(tiny_site, **body(tiny_site, pipeline=pipeline))
        assert job["region_model"] == name

    def test_without_aggregate_there_is_none(self, tiny_site: Installation) -> None:
        job = start_job(tiny_site, **body(tiny_site, pipeline={"select": None}))
        assert job["region_model"] is None

    def test_in_one_request_with_the_images(self, tiny_site: Installation) -> None:
        answer = tiny_site.client.post(
            "/v1/pseudo-labels",
            files=[("files", ("a.png", IMAGES["a.png"]))],
            data={"model": "tiny", "pipeline": '{"aggregate": {"region_model": "nobody"}}'},
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert "selvage models pull" in answer.json()["detail"]
        assert tiny_site.client.get("/v1/image-sets").json()["image_sets"] == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("region_model", "status", "code"),
        [
            ("nobody", 404, "not-found"),
            ("sam:9", 404, "not-found"),
            ("tiny", 422, "validation-error"),
        ],
    )
    def test_what_is_no_region_model(
        self, tiny_site: Installation, region_model: str, status: int, code: str
    ) -> None:
        register(tiny_site)
        pipeline = {**AGGREGATE, "aggregate": {"region_model": region_model}}
        found = refused(tiny_site, body(tiny_site, pipeline=pipeline))
        assert found == (status, code, ["/pipeline/aggregate/region_model"])

    def test_a_region_model_is_no_segmenter(self, tiny_site: Installation) -> None:
        site = tiny_site
        register(site)
        wanted = (422, "validation-error", ["/model"])
        generate = body(site, model="sam:1", pipeline={})
        assert refused(site, generate) == wanted
        adapt = {"type": "adapt", "image_set": generate["image_set"], "model": "sam"}
        assert refused(site, adapt) == wanted
        truth = {"a.png": index_png([[0] * 32] * 24)}
        annotations = post_annotations(site, generate["image_set"], truth, purpose="evaluation")
        evaluate = {"type": "evaluate", "annotation_set": annotations.json()["id"], "model": "sam"}
        assert refused(site, evaluate) == wanted

    def test_a_model_is_evaluated_without_a_fit_over_the_job(self, tiny_site: Installation) -> None:
        image_set = post_set(tiny_site, IMAGES)["id"]
        truth = {"a.png": index_png([[0] * 32] * 24)}
        made = post_annotations(tiny_site, image_set, truth, purpose="evaluation").json()["id"]
        document = {
            "type": "evaluate",
            "annotation_set": made,
            "model": "tiny",
            "pipeline": {"select": None, "correct": {}},
        }
        assert refused(tiny_site, document) == (422, "validation-error", [])
        document["pipeline"] = {"select": None, "correct": {"fit": "model"}}
        assert tiny_site.client.post("/v1/jobs", json=document).status_code == 202

    def test_one_name_has_one_sort(self, tiny_site: Installation) -> None:
        site = tiny_site
        register(site)
        for name, kind in (("tiny", "region-model"), ("sam", "bundle"), ("nano", "region-model")):
            with pytest.raises(StateConflict, match=name):
                register(site, name, "f", kind)
        answer = post_files(site, bundle_files(), name="sam")
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


class TestReading:
    def test_a_version_has_its_kind_and_no_classes(self, sqlite_site: Installation) -> None:
        register(sqlite_site)
        version = sqlite_site.client.get("/v1/models/sam/versions/1").json()
        assert (version["kind"], version["ontology"]) == ("region-model", None)
        answer = sqlite_site.client.get("/v1/models/sam/versions/1/ontology")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


class TestDeleting:
    def test_not_under_a_job_that_is_not_over(self, tiny_site: Installation) -> None:
        site = tiny_site
        register(site)
        job = start_job(site, **body(site))["id"]
        register(site, digest="e")  # which is current now
        assert conflict(delete(site, "models/sam/versions/1", force=True)) == [f"/v1/jobs/{job}"]
        site.client.post(f"/v1/jobs/{job}:cancel")
        site.schedule()
        assert delete(site, "models/sam/versions/1").status_code == 204
        answer = site.client.post(f"/v1/jobs/{job}:retry", json={"only": "all"})
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")
        assert "region model 'sam:1'" in answer.json()["detail"]
        pipeline = {**AGGREGATE, "aggregate": {"region_model": "sam:1"}}
        assert refused(site, body(site, pipeline=pipeline))[:2] == (410, "gone")

    @pytest.mark.parametrize("by_name", [False, True])
    def test_schedules_that_name_it_are_told(self, tiny_site: Installation, by_name: bool) -> None:
        site = tiny_site
        register(site)
        register(site, digest="e")
        pipeline: Any = {**AGGREGATE, "aggregate": {"region_model": "sam:1"}}
        if by_name:
            made = site.client.post("/v1/pipelines", json={"name": "grown", "config": pipeline})
            pipeline = made.json()["reference"]
        document = {"name": "n", "cron": "0 3 * * *", "job": body(site, pipeline=pipeline)}
        schedule = site.client.post("/v1/schedules", json=document).json()["id"]
        assert conflict(delete(site, "models/sam/versions/1")) == [f"/v1/schedules/{schedule}"]
        assert delete(site, "models/sam/versions/1", force=True).status_code == 204
