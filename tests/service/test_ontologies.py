from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.installation import Installation

STREET: dict[str, Any] = {
    "name": "street",
    "classes": [
        {"name": "road", "color": [128, 64, 128], "aliases": ["street"], "train_id": 0},
        {"name": "sky & clouds"},
        {"name": "vehicle:car", "kind": "thing"},
    ],
}


def post(site: Installation, body: Any, **more: Any) -> Any:
    return site.client.post("/v1/ontologies", json=body, **more)


class TestCreate:
    def test_what_was_left_out_is_filled_in(self, site: Installation) -> None:
        answer = post(site, STREET)
        assert answer.status_code == 201
        document = answer.json()
        assert document["id"].startswith("ont_")
        assert document["classes"] == [
            {"id": 0, "name": "road", "kind": "stuff", "color": [128, 64, 128],
             "aliases": ["street"], "train_id": 0},
            {"id": 1, "name": "sky & clouds", "kind": "stuff", "color": [0, 128, 0],
             "aliases": [], "train_id": None},
            {"id": 2, "name": "vehicle:car", "kind": "thing", "color": [128, 128, 0],
             "aliases": [], "train_id": None},
        ]  # fmt: skip
        (note,) = document["notes"]
        assert "'vehicle:car' is called 'vehicle_car' in CVAT" in note
        assert site.client.get(answer.headers["location"]).json() == document

    def test_the_same_content_is_the_same_id(self, site: Installation) -> None:
        first = post(site, STREET)
        with_ids = [{**c, "id": i} for i, c in enumerate(STREET["classes"])]
        again = post(site, {"name": "street", "classes": with_ids})
        assert (again.status_code, again.json()) == (200, first.json())
        other = post(site, {**STREET, "name": "street2"})
        assert (other.status_code, other.json()["id"] != first.json()["id"]) == (201, True)

    def test_many_at_once(self, site: Installation) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(site, STREET), range(8)))
        assert sorted(a.status_code for a in answers) == [200] * 7 + [201]
        assert len({a.json()["id"] for a in answers}) == 1

    def test_255_classes_with_colours_of_their_own(self, sqlite_site: Installation) -> None:
        body = {"name": "many", "classes": [{"name": f"c{i}"} for i in range(255)]}
        answer = post(sqlite_site, body)
        assert answer.status_code == 201
        colours = {tuple(c["color"]) for c in answer.json()["classes"]}
        assert len(colours | {(0, 0, 0)}) == 256

    def test_idempotency(self, sqlite_site: Installation) -> None:
        headers = {"Idempotency-Key": "one"}
        first = post(sqlite_site, STREET, headers=headers)
        again = post(sqlite_site, STREET, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())

    @pytest.mark.parametrize(
        ("classes", "hint"),
        [
            ([], "at least 1"),
            ([{"name": f"c{i}"} for i in range(256)], "at most 255"),
            ([{"name": "a"}, {"name": "a"}], "more than one class is called 'a'"),
            ([{"name": "a", "aliases": ["b"]}, {"name": "b"}], "more than one class is called 'b'"),
            ([{"name": "a", "id": 1}], "0, 1, 2"),
            ([{"name": "a", "id": 0}, {"name": "b", "id": 0}], "0, 1, 2"),
            ([{"name": "a", "color": [1, 2, 3]}, {"name": "b", "color": [1, 2, 3]}], "'a', 'b'"),
            ([{"name": "a", "color": [0, 0, 0]}], "black"),
            ([{"name": "a", "color": [0, 0, 256]}], "255"),
            ([{"name": "a", "color": [0, 0]}], "equired"),
            ([{"name": "a\nb"}], "one line"),
            ([{"name": "a\u202eb"}], "one line"),
            ([{"name": "  "}], "at least 1"),
            ([{"name": "x" * 129}], "128"),
            ([{"name": "a", "aliases": ["a\u2028b"]}], "one line"),
            ([{"name": "a", "train_id": 256}], "255"),
            ([{"name": "a", "kind": "object"}], "thing"),
            ([{"name": "a", "colour": [1, 2, 3]}], "xtra"),
            (["a"], "bject"),
        ],
    )
    def test_bad_classes(self, sqlite_site: Installation, classes: Any, hint: str) -> None:
        answer = post(sqlite_site, {"name": "bad", "classes": classes})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        assert hint in answer.text
        assert sqlite_site.client.get("/v1/ontologies").json()["ontologies"] == []


class TestRead:
    def test_pages_newest_first(self, site: Installation) -> None:
        ids = [post(site, {"name": n, "classes": [{"name": "a"}]}).json()["id"] for n in "abc"]
        first = site.client.get("/v1/ontologies", params={"page_size": 2}).json()
        token = first["next_page_token"]
        second = site.client.get("/v1/ontologies", params={"page_token": token}).json()
        found = [o["id"] for o in first["ontologies"] + second["ontologies"]]
        assert found == sorted(ids, reverse=True)
        assert second["next_page_token"] is None

    @pytest.mark.parametrize("suffix", ["", "/label-studio-config", "/cvat-labels"])
    def test_etag(self, sqlite_site: Installation, suffix: str) -> None:
        url = f"/v1/ontologies/{post(sqlite_site, STREET).json()['id']}{suffix}"
        first = sqlite_site.client.get(url)
        headers = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
        again = sqlite_site.client.get(url, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        other = sqlite_site.client.get(url, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content) == (200, first.content)

    @pytest.mark.parametrize("suffix", ["", "/label-studio-config", "/cvat-labels"])
    def test_unknown(self, sqlite_site: Installation, suffix: str) -> None:
        answer = sqlite_site.client.get(f"/v1/ontologies/ont_x{suffix}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert "GET /v1/ontologies" in answer.json()["detail"]


class TestTools:
    def test_label_studio(self, sqlite_site: Installation) -> None:
        url = f"/v1/ontologies/{post(sqlite_site, STREET).json()['id']}/label-studio-config"
        answer = sqlite_site.client.get(url)
        assert answer.headers["content-type"] == "application/xml"
        labels = ElementTree.fromstring(answer.content).iter("Label")
        assert [label.attrib for label in labels] == [
            {"value": "road", "background": "#804080"},
            {"value": "sky & clouds", "background": "#008000"},
            {"value": "vehicle:car", "background": "#808000"},
        ]

    def test_cvat(self, sqlite_site: Installation) -> None:
        url = f"/v1/ontologies/{post(sqlite_site, STREET).json()['id']}/cvat-labels"
        assert sqlite_site.client.get(url).json() == [
            {"name": "road", "color": "#804080", "type": "mask", "attributes": []},
            {"name": "sky & clouds", "color": "#008000", "type": "mask", "attributes": []},
            {"name": "vehicle_car", "color": "#808000", "type": "mask", "attributes": []},
        ]

    def test_of_a_model(self, tiny_site: Installation) -> None:
        base = "/v1/models/tiny/versions/1/ontology"
        document = tiny_site.client.get(base).json()
        assert document == tiny_site.client.get("/v1/models/tiny/versions/1").json()["ontology"]
        xml = tiny_site.client.get(f"{base}/label-studio-config").content
        values = [label.get("value") for label in ElementTree.fromstring(xml).iter("Label")]
        assert values == ["road", "sky", "car"]
        cvat = tiny_site.client.get(f"{base}/cvat-labels").json()
        assert [label["color"] for label in cvat] == ["#804080", "#4682b4", "#00008e"]
        missing = tiny_site.client.get("/v1/models/tiny/versions/2/ontology")
        assert missing.status_code == 404
