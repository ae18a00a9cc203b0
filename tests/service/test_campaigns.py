"""Campaigns over HTTP: every step is real but the training, which keeps the contract and learns
nothing.
"""

import threading
from typing import Any

import pytest

from domain import job_states
from storage.catalog.tables import JobRow
from tests.support.api import (
    get_items,
    get_job,
    get_png,
    index_png,
    post_annotations,
    post_images,
    post_set,
)
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.keys import make_key
from tests.support.live_server import live_server
from tests.support.sse import read_all, read_until_done

FILES = {f"{i}.png": png_bytes(i) for i in range(3)}
PLAIN = {"select": None}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.training.chunk.FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("workers.training.chunk.POLL_SECONDS", 0.02)


def start(site: Installation, target: str, **more: Any) -> Any:
    body = {"model": "tiny", "target": target, "setting": "source_free", "rounds": 1,
            "pipeline": PLAIN, **more}  # fmt: skip
    answer = site.client.post("/v1/campaigns", json=body)
    assert answer.status_code == 201, answer.text
    return answer


def get(site: Installation, campaign: str, path: str = "") -> Any:
    answer = site.client.get(f"/v1/campaigns/{campaign}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def work_until(site: Installation, campaign: str, step: str) -> dict[str, Any]:
    """Schedule and work until a campaign waits for a step; returns its progress."""
    while True:
        site.schedule()
        progress: dict[str, Any] = get(site, campaign)["progress"]
        if progress["step"] == step:
            return progress
        site.work(site.queue.sent.pop(0))


class TestCampaigns:
    def test_the_whole_way(self, both_site: Installation) -> None:
        site = both_site
        labelled = post_images(site, FILES)
        site.settle()
        target = labelled["image_set"]["id"]
        labels = get_items(site, labelled["job"]["id"])
        truths = {name: index_png(get_png(site, item["label_id"])) for name, item in labels.items()}
        truth = post_annotations(site, target, truths).json()["id"]
        answer = start(site, target, evaluation=truth, promote=True, name="night", steps=10,
                       recipe={"batch_size": 2}, metadata={"ticket": "7"})  # fmt: skip
        made = answer.json()
        campaign = made["id"]
        assert answer.headers["Location"] == f"/v1/campaigns/{campaign}"
        assert (made["status"], made["done"], made["model"]) == ("running", False, "tiny:1")
        assert (made["progress"]["round"], made["progress"]["fraction"]) == (0, 0.0)
        assert made["config"]["recipe"] == {"batch_size": 2}
        assert made["metadata"] == {"ticket": "7"}

        assert 0.5 < work_until(site, campaign, "train")["fraction"] < 1.0
        site.settle()
        ended = get(site, campaign)
        assert (ended["status"], ended["done"], ended["reason"]) == ("succeeded", True, None)
        student = "tiny:3"  # version 2 is the first, adapted
        assert (ended["teacher"], ended["progress"]["fraction"]) == (student, 1.0)
        (one,) = get(site, campaign, "/rounds")["rounds"]
        assert one == get(site, campaign, "/rounds/1")
        assert (one["status"], one["model"], one["seed"]) == ("promoted", student, 0)
        assert [s["step"] for s in one["steps"]] == [
            "adapt", "baseline", "generate", "freeze", "check_labels", "train", "evaluate",
            "decide",
        ]  # fmt: skip
        assert all(s["status"] == "done" for s in one["steps"])
        assert one["selected_with_labels"] is False
        assert all(gate["passed"] for gate in one["gates"])
        before, after = one["teacher_scores"], one["scores"]
        assert (before["model"], after["model"]) == (one["teacher"], student)
        for scores in (before, after):
            measured = get_job(site, scores["job"])["result"]["quality"]
            assert scores["miou"] == measured["miou_full"]
            assert scores["iou"] == measured["iou"]
        assert after["miou"] == before["miou"] < 1.0  # it learns nothing
        assert site.client.get("/v1/models/tiny").json()["current_version"] == 3
        version = site.client.get(one["links"]["model"]).json()
        assert (version["provenance"]["campaign"], version["provenance"]["round"]) == (campaign, 1)
        assert version["provenance"]["label_set"] == one["label_set"]
        assert version["provenance"]["recipe"] == {"batch_size": 2}

        # from a label to its round, and from the label set to its labels
        found = site.client.get(one["links"]["label_set"]).json()
        assert (found["campaign"], found["round"], found["images"]) == (campaign, 1, 3)
        entries = site.client.get(f"{one['links']['label_set']}/entries").json()["entries"]
        lineage = site.client.get(entries[0]["links"]["lineage"]).json()
        assert lineage["model"] == one["teacher"]
        shown = [job for job in lineage["jobs"] if job["campaign"] == campaign]
        assert [(job["job"], job["round"]) for job in shown] == [(found["jobs"][0], 1)]
        assert lineage["pipeline_digest"] == one["pipeline_digest"]

    def test_events(self, tiny_site: Installation) -> None:
        target = post_set(tiny_site, FILES)["id"]
        campaign = start(tiny_site, target, adapt=False).json()["id"]
        address = f"/v1/campaigns/{campaign}/events"
        received: list[Any] = []
        with live_server(tiny_site, stream_poll_seconds=0.05) as live, live.client() as client:

            def read() -> None:
                with client.stream("GET", address) as response:
                    received.extend(read_until_done(response))

            reader = threading.Thread(target=read)
            reader.start()
            tiny_site.settle()
            reader.join(timeout=20)
            assert not reader.is_alive()
        assert received[0].type == "campaign.snapshot"
        assert received[-1].type == "campaign.done"
        assert received[-1].data["status"] == "succeeded"
        steps = [e.data["step"] for e in received if e.type == "step.status"
                 and e.data["status"] == "done"]  # fmt: skip
        assert steps == ["generate", "freeze", "check_labels", "train", "decide"]

        ask = tiny_site.client.get
        again = read_all(ask(address).text)
        assert [e.type for e in again] == ["campaign.snapshot", "campaign.done"]
        after = read_all(ask(address, headers={"Last-Event-ID": received[2].id}).text)
        assert [e.id for e in after] == [e.id for e in received[3:]]
        last = {"Last-Event-ID": received[-1].id}
        assert ask(address, headers=last).status_code == 204
        some = read_all(ask(f"{address}?types=campaign.done").text)
        assert [e.type for e in some] == ["campaign.done"]
        assert ask(f"{address}?types=job.done").status_code == 422

    def test_paused_stopped_and_deleted(self, tiny_site: Installation) -> None:
        target = post_set(tiny_site, FILES)["id"]
        client = tiny_site.client
        campaign = start(tiny_site, target, adapt=False).json()["id"]
        address = f"/v1/campaigns/{campaign}"
        assert client.post(f"{address}:pause").json()["status"] == "paused"
        tiny_site.settle()
        assert get(tiny_site, campaign)["progress"]["round"] == 0
        assert client.post(f"{address}:resume").json()["status"] == "running"
        waiting = work_until(tiny_site, campaign, "train")
        refused = client.delete(f"/v1/image-sets/{target}?force=true")
        assert address in [e["pointer"] for e in refused.json()["errors"]]
        assert client.delete(address).status_code == 409
        stopping = client.post(f"{address}:stop")
        assert (stopping.status_code, stopping.json()["status"]) == (202, "stopping")
        tiny_site.settle()
        ended = get(tiny_site, campaign)
        assert (ended["status"], ended["reason"]["code"]) == ("stopped", "campaign-stopped")
        with tiny_site.catalog.read() as session:
            assert job_states.is_done(session.get_one(JobRow, waiting["job"]))
        assert client.post(f"{address}:resume").status_code == 409
        assert client.get("/v1/campaigns").json()["campaigns"] == [ended]
        assert client.delete(address).status_code == 204
        assert client.get(address).status_code == 410
        assert client.get("/v1/campaigns").json()["campaigns"] == []

    def test_the_same_request_again(self, tiny_site: Installation) -> None:
        body = {"model": "tiny", "target": post_set(tiny_site, FILES)["id"],
                "setting": "source_free"}  # fmt: skip
        headers = {"Idempotency-Key": "k"}
        one, two = (
            tiny_site.client.post("/v1/campaigns", json=body, headers=headers) for _ in range(2)
        )
        assert one.json() == two.json()
        assert len(tiny_site.client.get("/v1/campaigns").json()["campaigns"]) == 1

    def test_what_is_not_there(self, tiny_site: Installation) -> None:
        campaign = start(tiny_site, post_set(tiny_site, FILES)["id"]).json()["id"]
        client = tiny_site.client
        assert client.get(f"/v1/campaigns/{campaign}/rounds/1").status_code == 404
        for path in ("", "/rounds", "/rounds/1", "/events"):
            assert client.get(f"/v1/campaigns/cmp_1{path}").status_code == 404
        for verb in ("pause", "resume", "stop"):
            assert client.post(f"/v1/campaigns/cmp_1:{verb}").status_code == 404
        assert client.delete("/v1/campaigns/cmp_1").status_code == 404

    @pytest.mark.parametrize("terms", [{}, {"rmm": {"weight": 0}}])
    def test_rounds_that_would_lack_a_rectifier(
        self, tiny_site: Installation, terms: dict[str, Any]
    ) -> None:
        target = post_set(tiny_site, FILES)["id"]
        body = {"model": "tiny", "target": target, "setting": "source_free", "rounds": 2,
                "pipeline": {"rectify": {}}, "recipe": {"terms": terms}}  # fmt: skip
        answer = tiny_site.client.post("/v1/campaigns", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/recipe/terms"
        assert "'rmm'" in answer.json()["detail"]

    def test_scopes(self, tiny_site: Installation) -> None:
        target = post_set(tiny_site, FILES)["id"]
        body = {"model": "tiny", "target": target, "setting": "source_free"}
        _, write = make_key(tiny_site.catalog, "write")
        _, trainer = make_key(tiny_site.catalog, "train")
        post = tiny_site.client.post
        assert post("/v1/campaigns", json=body, headers=write).status_code == 403
        made = post("/v1/campaigns", json=body, headers=trainer)
        assert made.status_code == 201, made.text
        address = f"/v1/campaigns/{made.json()['id']}"
        assert tiny_site.client.get(address, headers=write).status_code == 200
        _, other = make_key(tiny_site.catalog, "train")
        assert tiny_site.client.delete(address, headers=other).status_code == 403
