"""Label sets over HTTP, with labels that a real model made."""

from typing import Any

from domain import label_sets
from tests.support.api import index_png, post_annotations, post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation

FILES = {f"{i}.png": png_bytes(i) for i in range(3)}


def labelled(site: Installation) -> dict[str, Any]:
    posted = post_images(site, FILES)
    site.settle()
    return posted


def post(site: Installation, key: str | None = None, **body: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else None
    return site.client.post("/v1/label-sets", json=body, headers=headers)


class TestLabelSets:
    def test_frozen_shown_and_deleted(self, both_site: Installation) -> None:
        posted = labelled(both_site)
        job = posted["job"]["id"]
        truth = index_png([[0] * 32] * 24)
        people = post_annotations(
            both_site, posted["image_set"]["id"], {"1.png": truth}, purpose="initial"
        ).json()["id"]
        selection = {"max_images": 2, "reviewed_weight": 3.0}
        answer = post(both_site, jobs=[job], annotation_set=people, selection=selection, name="a")
        assert answer.status_code == 201, answer.text
        made = answer.json()
        address = f"/v1/label-sets/{made['id']}"
        assert answer.headers["Location"] == address
        assert (made["name"], made["images"], made["reviewed"], made["missing"]) == ("a", 2, 1, 0)
        assert [c["name"] for c in made["ontology"]["classes"]] == ["road", "sky", "car"]
        assert sum(made["class_pixels"].values()) == 32 * 24
        assert both_site.client.get(address).json() == made
        assert both_site.client.get("/v1/label-sets").json()["label_sets"] == [made]

        entries = both_site.client.get(f"{address}/entries").json()["entries"]
        (by_people,) = [e for e in entries if e["reviewed"]]
        (by_job,) = [e for e in entries if not e["reviewed"]]
        assert (by_people["external_id"], by_people["weight"]) == ("1.png", 3.0)
        assert by_people["label_id"] is None
        assert by_job["weight"] == 1.0
        assert both_site.client.get(by_job["links"]["lineage"]).json()["jobs"][0]["job"] == job
        assert both_site.client.delete(address).status_code == 204
        assert both_site.client.get(address).status_code == 410
        assert both_site.client.get("/v1/label-sets").json()["label_sets"] == []

    def test_pages(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        ids = [post(tiny_site, jobs=[job]).json()["id"] for _ in range(3)][::-1]
        for path, name, found in (
            ("/v1/label-sets", "label_sets", ids),
            (f"/v1/label-sets/{ids[0]}/entries", "entries", [0, 1, 2]),
        ):
            key = "id" if name == "label_sets" else "position"
            first = tiny_site.client.get(path, params={"page_size": 2}).json()
            token = {"page_size": 2, "page_token": first["next_page_token"]}
            second = tiny_site.client.get(path, params=token).json()
            assert [one[key] for one in first[name] + second[name]] == found
            assert second["next_page_token"] is None

    def test_the_same_request_again(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        one, two = (post(tiny_site, "k", jobs=[job]) for _ in range(2))
        assert (one.json(), two.headers["Idempotency-Replayed"]) == (two.json(), "true")
        assert post(tiny_site, "k", jobs=[job], name="b").status_code == 422
        assert len(tiny_site.client.get("/v1/label-sets").json()["label_sets"]) == 1

    def test_one_that_was_refused_may_be_tried_again(
        self, tiny_site: Installation, monkeypatch: Any
    ) -> None:
        job = labelled(tiny_site)["job"]["id"]
        with monkeypatch.context() as patch:
            patch.setattr(label_sets, "MAX_LABELS", 2)
            refused = post(tiny_site, "k", jobs=[job])
        assert (refused.status_code, refused.json()["code"]) == (422, "validation-error")
        assert "max_images" in refused.json()["detail"]
        assert post(tiny_site, "k", jobs=[job]).status_code == 201

    def test_what_makes_no_sense(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        for body in (
            {},
            {"jobs": [job, job]},
            {"jobs": [job], "selection": {"reviewed_only": True}},
            {"jobs": [job], "selection": {"balance": "classes"}},
            {"jobs": [job], "selection": {"min_quality": 2}},
            {"jobs": [job], "selection": {"classes": []}},
            {"jobs": [job], "selection": {"classes": ["a\u0000"]}},
            {"jobs": ["job_1"]},
            {"jobs": [job], "more": 1},
        ):
            assert post(tiny_site, **body).status_code == 422, body
        empty = post(tiny_site, jobs=[job], selection={"min_quality": 1.0})
        assert (empty.status_code, empty.json()["code"]) == (422, "empty-selection")
        unknown = "lbs_00000000000000000000000000"
        for path in (f"/v1/label-sets/{unknown}", f"/v1/label-sets/{unknown}/entries"):
            assert tiny_site.client.get(path).status_code == 404
        assert tiny_site.client.delete(f"/v1/label-sets/{unknown}").status_code == 404
