"""Label Studio's ML backend: its protocol to the letter, against a server of our own."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from formats.label_setup import label_studio_config
from formats.label_studio_brush import decode_brush, encode_brush
from service import label_studio
from tests.support.api import get_items, get_png, post_images, post_set
from tests.support.http_server import WebServer, serve
from tests.support.images import jpeg_bytes
from tests.support.ingest import open_tiny_site
from tests.support.installation import Installation
from tests.support.interop import needs_peers, read_with
from tests.support.keys import make_key

NAMES = ["road", "sky", "car"]
COLOURS = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]
CONFIG = label_studio_config(NAMES, COLOURS)
FILES = {f"night/{i}.jpg": jpeg_bytes(i, height_px=24, width_px=32) for i in range(3)}
OTHER = jpeg_bytes(9, height_px=24, width_px=32)
TOKEN = "0123456789abcdef"
BASE = "/integrations/label-studio/city"


def take(handler: Any) -> None:
    handler.answer(201, b"{}")


@pytest.fixture
def web() -> Iterator[WebServer]:
    routes = {
        "/api/predictions/": take,
        "/api/token/refresh": lambda handler: handler.answer(200, b'{"access": "short"}'),
        "/data/upload/1/0123abcd-other.jpg": OTHER,
        "/elsewhere/a.jpg": jpeg_bytes(8, height_px=24, width_px=32),
    }
    with serve(routes) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    with open_tiny_site(tmp_path) as opened:
        yield opened


def make(site: Installation, image_set: str, **more: Any) -> dict[str, Any]:
    body = {"name": "city", "image_set": image_set, "model": "tiny", "pipeline": {"select": None}}
    answer = site.client.post("/v1/integrations", json={**body, **more})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def connect(site: Installation, address: str, token: str = TOKEN) -> None:
    """A connection `ls` to the Label Studio at an address without a slash at its end."""
    body = {"name": "ls", "kind": "label_studio", "config": {"base_url": f"{address}/"},
            "secrets": {"access_token": token}}  # fmt: skip
    answer = site.client.post("/v1/connections", json=body)
    assert answer.status_code == 201, answer.text
    assert token not in answer.text


def task(number: int, address: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "data": {"image": address}, **more}


def predict(site: Installation, *tasks: Any, **more: Any) -> list[dict[str, Any]]:
    body = {"tasks": list(tasks), "label_config": CONFIG, **more}
    answer = site.client.post(f"{BASE}/predict", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    assert len(found) == len(tasks)
    return found


def label_of(prediction: dict[str, Any]) -> np.ndarray:
    label = np.full((24, 32), 255, np.uint8)
    for region in prediction["result"]:
        plane = decode_brush(region["value"]["rle"], 24, 32)
        label[plane >= 128] = NAMES.index(region["value"]["brushlabels"][0])
    return label


def counts(site: Installation) -> dict[str, int]:
    found: dict[str, int] = site.client.get("/v1/integrations/city").json()["tasks"]
    return found


@pytest.fixture
def labelled(site: Installation) -> str:
    """A job that has labelled all images, and a profile of its labels."""
    made = post_images(site, FILES)
    site.settle()
    make(site, made["image_set"]["id"])
    return str(made["job"]["id"])


class TestProtocol:
    def test_health_and_setup(self, site: Installation, labelled: str) -> None:
        for path in ("", "/", "/health"):
            answer = site.client.get(BASE + path)
            assert (answer.status_code, answer.json()["status"]) == (200, "UP")
        body = {
            "project": "12.17",
            "schema": CONFIG,
            "hostname": "http://evil",
            "access_token": "x",
        }
        answer = site.client.post(f"{BASE}/setup", json=body)
        assert answer.status_code == 200
        assert answer.json()["model_version"].startswith("tiny:1@")
        assert site.client.get("/integrations/label-studio/other/health").status_code == 404
        for path in ("train", "job_status", "validate", "versions"):
            assert site.client.post(f"{BASE}/{path}", json={}).status_code == 404

    def test_an_api_key_is_the_password(self, site: Installation, labelled: str) -> None:
        _, headers = make_key(site.catalog, "write")
        key = headers["Authorization"].removeprefix("Bearer ")
        wrong = {"Authorization": f"Basic {base64.b64encode(b'a:sv_wrong').decode()}"}
        assert site.client.get(f"{BASE}/health", headers=wrong).status_code == 401
        pair = base64.b64encode(f"anybody:{key}".encode()).decode()
        basic = {"Authorization": f"Basic {pair}"}
        assert site.client.get(f"{BASE}/health", headers=basic).status_code == 200
        assert site.client.post(f"{BASE}/setup", json={}, headers=basic).status_code == 200
        _, reader = make_key(site.catalog, "read")
        assert site.client.post(f"{BASE}/predict", json={}, headers=reader).status_code == 403

    def test_stored_labels_pixel_for_pixel(self, site: Installation, labelled: str) -> None:
        items = get_items(site, labelled)
        found = predict(
            site,
            task(1, "s3://bucket/night/0.jpg"),
            task(2, "/data/local-files/?d=mnt/night/1.jpg"),
            task(3, "x", meta={"external_id": "night/2.jpg"}),
            task(4, "s3://bucket/unknown.jpg"),
        )
        for number, prediction in enumerate(found[:3]):
            stored = get_png(site, items[f"night/{number}.jpg"]["label_id"])
            assert (label_of(prediction) == stored).all()
            assert prediction["model_version"].startswith("tiny:1@")
            assert prediction["score"] == pytest.approx(items[f"night/{number}.jpg"]["quality"])
            assert {r["from_name"] for r in prediction["result"]} == {"seg"}
        assert found[3]["result"] == []
        assert found[3]["score"] == 0.0

    def test_a_correction_is_shown_from_then_on(self, site: Installation, labelled: str) -> None:
        mask = np.ones((24, 32), np.uint8)
        region = {"type": "brushlabels", "original_width": 32, "original_height": 24,
                  "value": {"format": "rle", "rle": encode_brush(mask == 1),
                            "brushlabels": ["sky"]}}  # fmt: skip
        body = {"action": "ANNOTATION_CREATED", "task": task(1, "s3://b/night/0.jpg"),
                "annotation": {"id": 7, "result": [region]},
                "project": {"id": 1, "label_config": CONFIG}}  # fmt: skip
        for _ in range(2):  # it comes twice
            answer = site.client.post(f"{BASE}/webhook", json=body)
            assert (answer.status_code, answer.json()["status"]) == (201, "ok")
        label = answer.json()["result"]["label"]
        history = site.client.get(f"/v1/labels/{label}/reviews").json()["reviews"]
        assert [(r["decision"], r["source"]) for r in history] == [("corrected", "label_studio")]
        assert (label_of(predict(site, task(1, "s3://b/night/0.jpg"))[0]) == 1).all()
        frozen = site.client.post("/v1/label-sets", json={"jobs": [labelled]}).json()
        assert frozen["reviewed"] == 1

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"action": "PROJECT_UPDATED"}, 200),
            ({}, 200),
            ({"action": "ANNOTATION_DELETED"}, 201),
            ({"action": "START_TRAINING"}, 201),
            ({"action": "ANNOTATION_CREATED"}, 201),
            ({"action": "ANNOTATION_CREATED", "task": {"data": {"image": "night/0.jpg"}},
              "annotation": {"result": [{"type": "polygonlabels"}]}}, 201),
            ({"action": "ANNOTATION_CREATED", "task": {"data": {"image": "night/0.jpg"}},
              "annotation": {"result": [{"type": "brushlabels", "value": {"rle": [1]}}]}}, 201),
            ({"action": "ANNOTATION_UPDATED", "task": 3, "annotation": []}, 201),
        ],
        ids=str,
    )  # fmt: skip
    def test_other_events(
        self, site: Installation, labelled: str, body: dict[str, Any], status: int
    ) -> None:
        assert site.client.post(f"{BASE}/webhook", json=body).status_code == status
        assert len(site.client.get("/v1/review").json()["items"]) == 3

    def test_strange_tasks_get_an_empty_entry_each(self, site: Installation, labelled: str) -> None:
        strange = [None, 3, {}, {"id": "a"}, {"id": 2**70, "data": 1}, {"data": {"image": 5}},
                   {"id": -1, "data": {"image": "http://["}}, {"id": True}]  # fmt: skip
        assert all(found["result"] == [] for found in predict(site, *strange))

    @pytest.mark.parametrize(
        "tasks", [None, {}, "x", [{}] * 10_001], ids=["no", "map", "s", "many"]
    )
    def test_no_tasks(self, site: Installation, labelled: str, tasks: Any) -> None:
        assert site.client.post(f"{BASE}/predict", json={"tasks": tasks}).status_code == 422

    def test_the_names_of_the_project_are_used(self, site: Installation, labelled: str) -> None:
        config = (
            '<View><Image name="pic" value="$url"/><BrushLabels name="b" toName="pic">'
            '<Label value="road"/></BrushLabels></View>'
        )
        found = predict(
            site, {"id": 1, "data": {"url": "night/0.jpg", "note": "x"}}, label_config=config
        )[0]
        regions = {(r["from_name"], r["to_name"], *r["value"]["brushlabels"])
                   for r in found["result"]}  # fmt: skip
        assert regions == {("b", "pic", "road")}
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><View>&a;</View>'
        assert predict(site, task(1, "night/0.jpg"), label_config=bomb)[0]["result"]

    @needs_peers
    def test_the_sdk_takes_them(self, site: Installation, labelled: str, tmp_path: Path) -> None:
        found = predict(site, *(task(i, f"night/{i}.jpg") for i in range(3)))
        given, planes = tmp_path / "predictions.json", tmp_path / "planes.npz"
        given.write_text(json.dumps({"config": CONFIG, "predictions": found}))
        assert read_with("label_studio_predictions", given, planes) == []
        read = np.load(planes)
        items = get_items(site, labelled)
        for number in range(3):
            label = get_png(site, items[f"night/{number}.jpg"]["label_id"])
            for index, name in enumerate(NAMES):
                if (label == index).any():
                    assert ((read[f"{number}.{name}"] == 255) == (label == index)).all()


class TestPush:
    def test_missing_labels_are_made_and_sent(self, site: Installation, web: WebServer) -> None:
        connect(site, web.url)
        make(site, post_set(site, FILES)["id"], connection="ls")
        asked = [task(5, "night/0.jpg"), task(6, "s3://b/night/1.jpg")]
        assert [found["result"] for found in predict(site, *asked)] == [[], []]
        assert counts(site) == {"waiting": 2, "pushed": 0, "failed": 0}
        predict(site, *asked)  # asking again starts nothing anew
        site.settle()
        assert counts(site) == {"waiting": 0, "pushed": 2, "failed": 0}
        sent = {json.loads(body)["task"]: json.loads(body) for _, _, body in web.posted}
        assert set(sent) == {5, 6}
        assert len(web.posted) == 2
        assert web.posted[0][1]["authorization"] == f"Token {TOKEN}"
        again = predict(site, *asked)
        for number, prediction in zip((5, 6), again, strict=True):
            assert sent[number]["result"] == prediction["result"]
            assert sent[number]["model_version"] == prediction["model_version"]

    def test_images_of_tasks_are_fetched_with_the_token_of_their_server_alone(
        self, site: Installation, web: WebServer
    ) -> None:
        with serve({"/foreign.jpg": jpeg_bytes(7, height_px=24, width_px=32)}) as foreign:
            connect(site, web.url)
            make(site, post_set(site, FILES)["id"], connection="ls")
            found = predict(
                site,
                task(1, "/data/upload/1/0123abcd-other.jpg"),
                task(2, f"{foreign.url}/foreign.jpg"),
                task(3, "s3://bucket/not-there.jpg"),
                task(4, "/data/upload/1/gone.jpg"),
            )
            assert all(entry["result"] == [] for entry in found)
            site.settle()
            assert counts(site) == {"waiting": 0, "pushed": 2, "failed": 2}
            assert {json.loads(body)["task"] for _, _, body in web.posted} == {1, 2}
            fetched = dict(web.seen)["/data/upload/1/0123abcd-other.jpg"]
            assert fetched["authorization"] == f"Token {TOKEN}"
            assert "authorization" not in dict(foreign.seen)["/foreign.jpg"]
        assert predict(site, task(1, "/data/upload/1/0123abcd-other.jpg"))[0]["result"]

    def test_a_personal_access_token_is_exchanged(self, site: Installation, web: WebServer) -> None:
        connect(site, web.url, token="eyJhbGciOi.x.y")
        make(site, post_set(site, FILES)["id"], connection="ls")
        predict(site, task(5, "night/0.jpg"))
        site.settle()
        refreshed, sent = web.posted
        assert (refreshed[0], json.loads(refreshed[2])) == (
            "/api/token/refresh",
            {"refresh": "eyJhbGciOi.x.y"},
        )
        assert sent[1]["authorization"] == "Bearer short"

    def test_a_server_that_refuses(self, site: Installation) -> None:
        with serve({"/api/predictions/": lambda handler: handler.answer(400)}) as web:
            connect(site, web.url)
            make(site, post_set(site, FILES)["id"], connection="ls")
            predict(site, task(5, "night/0.jpg"))
            site.settle()
        assert counts(site) == {"waiting": 0, "pushed": 0, "failed": 1}

    def test_a_server_that_is_away(self, site: Installation) -> None:
        with serve({}) as web:
            connect(site, web.url)
        make(site, post_set(site, FILES)["id"], connection="ls")
        predict(site, task(5, "night/0.jpg"))
        site.settle()
        jobs = site.client.get("/v1/jobs").json()["jobs"]
        assert {job["type"]: job["status"] for job in jobs}["push"] == "failed"
        assert counts(site)["waiting"] == 1  # sent when it is asked for again

    def test_what_is_too_much_for_one_answer_is_sent(
        self,
        site: Installation,
        web: WebServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        connect(site, web.url)
        made = post_images(site, FILES)
        site.settle()
        make(site, made["image_set"]["id"], connection="ls")
        monkeypatch.setattr(label_studio, "MAX_ANSWERED", 1)
        found = predict(site, *(task(i, f"night/{i}.jpg") for i in range(3)))
        assert [bool(entry["result"]) for entry in found] == [True, False, False]
        site.settle()
        assert {json.loads(body)["task"] for _, _, body in web.posted} == {1, 2}

    def test_without_a_connection_the_labels_are_there_at_the_next_question(
        self, site: Installation
    ) -> None:
        make(site, post_set(site, FILES)["id"])
        assert predict(site, task(5, "night/0.jpg"))[0]["result"] == []
        site.settle()
        assert predict(site, task(5, "night/0.jpg"))[0]["result"]
        assert counts(site) == {"waiting": 0, "pushed": 1, "failed": 0}


class TestProfiles:
    def test_made_listed_and_deleted(self, site: Installation, labelled: str) -> None:
        image_set = site.client.get(f"/v1/jobs/{labelled}").json()["image_set"]
        listed = site.client.get("/v1/integrations").json()["integrations"]
        assert [(one["name"], one["image_set"]) for one in listed] == [("city", image_set)]
        body = {"name": "city", "image_set": image_set, "model": "tiny"}
        assert site.client.post("/v1/integrations", json=body).status_code == 409
        assert site.client.delete("/v1/integrations/city").status_code == 204
        assert site.client.get(f"{BASE}/health").status_code == 404

    @pytest.mark.parametrize(
        ("changed", "status"),
        [({"model": "none"}, 404), ({"connection": "none"}, 404), ({"name": "A b"}, 422)],
    )
    def test_refused(
        self, site: Installation, labelled: str, changed: dict[str, str], status: int
    ) -> None:
        image_set = site.client.get(f"/v1/jobs/{labelled}").json()["image_set"]
        body = {"name": "new", "image_set": image_set, "model": "tiny", **changed}
        assert site.client.post("/v1/integrations", json=body).status_code == status

    def test_a_connection_needs_its_token(self, site: Installation) -> None:
        body = {"name": "ls", "kind": "label_studio", "config": {"base_url": "https://x.org"}}
        assert site.client.post("/v1/connections", json=body).status_code == 422
