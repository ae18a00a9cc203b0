"""Webhooks over HTTP: endpoints and their secrets, deliveries, jobs that name an address."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from selvage_client import SignatureMismatch, verify_webhook
from sqlalchemy import text

from domain.webhook_sender import Sender
from tests.support.api import get_job, multipart, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.webhook_receiver import Receiver, receive

BASE = "/v1/webhook-endpoints"
OWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def site(catalog_url: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation that may tell this machine."""
    changes = {"webhook_allow_networks": "127.0.0.1/32", "webhook_seconds": 2.0}
    with installation(catalog_url, tmp_path / "data", **changes) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as server:
        yield server


def created(site: Installation, **body: Any) -> dict[str, Any]:
    answer = site.client.post(BASE, json={"name": "ci", "url": "https://example.com/h", **body})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def post(site: Installation, path: str, status: int, body: Any = None, **more: Any) -> Any:
    answer = site.client.post(path, json=body, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def send_all(site: Installation) -> None:
    """Play the sender."""
    sender = Sender(site.settings, site.catalog)
    with site.catalog.read() as session:
        found = session.execute(
            text("SELECT id FROM webhook_delivery WHERE status = 'pending' ORDER BY id")
        ).all()
    for (delivery_id,) in found:
        sender.send(delivery_id)


class TestEndpoints:
    def test_made_read_changed_deleted(self, site: Installation) -> None:
        made = created(site, events=["job.failed", "job.failed", "round.completed"])
        assert made["id"].startswith("whe_")
        assert made["secret"].startswith("whsec_")
        assert (made["enabled"], made["events"]) == (True, ["job.failed", "round.completed"])
        del made["secret"]
        for reference in (made["id"], "ci"):
            assert site.client.get(f"{BASE}/{reference}").json() == made
        assert site.client.get(BASE).json()["webhook_endpoints"] == [made]
        changed = site.client.patch(f"{BASE}/ci", json={"name": "cd", "enabled": False}).json()
        assert (changed["name"], changed["enabled"], changed["events"]) == (
            "cd",
            False,
            made["events"],
        )
        assert site.client.patch(f"{BASE}/cd", json={"events": []}).json()["events"] == []
        assert site.client.delete(f"{BASE}/cd").status_code == 204
        assert site.client.get(f"{BASE}/cd").status_code == 404
        assert site.client.delete(f"{BASE}/cd").status_code == 404

    def test_names_are_unique(self, site: Installation) -> None:
        created(site)
        created(site, name="cd")
        body = {"name": "ci", "url": "https://example.com/h"}
        assert post(site, BASE, 409, body)["code"] == "state-conflict"
        assert site.client.patch(f"{BASE}/cd", json={"name": "ci"}).status_code == 409

    def test_pages(self, site: Installation) -> None:
        for name in ("b", "c", "a"):
            created(site, name=name)
        first = site.client.get(BASE, params={"page_size": 2}).json()
        assert [one["name"] for one in first["webhook_endpoints"]] == ["a", "b"]
        more = {"page_size": 2, "page_token": first["next_page_token"]}
        assert [one["name"] for one in site.client.get(BASE, params=more).json()[
            "webhook_endpoints"]] == ["c"]  # fmt: skip

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"url": "ftp://example.com"}, "/url"),
            ({"url": "https://user:5ecret@example.com/"}, "/url"),
            ({"url": "http://10.0.0.1/hook"}, "/url"),
            ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
            ({"url": "http://[::1]:80/"}, "/url"),
            ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
            ({"url": "http://0x7f.1/"}, "/url"),
            ({"url": "https://example.com/#part"}, "/url"),
            ({"url": "https://example.com/\r\nX: y"}, "/url"),
            ({"name": "Ci"}, "/name"),
            ({"events": ["job.exploded"]}, "/events/0"),
            ({"events": ["webhook.ping"]}, "/events/0"),
            ({"secret": "whsec_5ecret"}, "/secret"),
            ({"more": 1}, "/more"),
        ],
    )
    def test_what_is_refused(self, sqlite_site: Installation, body: Any, pointer: str) -> None:
        given = {"name": "ci", "url": "https://example.com/h", **body}
        problem = post(sqlite_site, BASE, 422, given)
        assert problem["errors"][0]["pointer"] == pointer
        assert "5ecret" not in json.dumps(problem)
        if "name" not in body and "secret" not in body:
            created(sqlite_site)
            assert sqlite_site.client.patch(f"{BASE}/ci", json=body).status_code == 422

    def test_secrets_are_nowhere(self, site: Installation, receiver: Receiver) -> None:
        key = {"headers": {"Idempotency-Key": "once"}}
        body = {"name": "ci", "url": receiver.url, "secret": OWN_SECRET}
        with structlog.testing.capture_logs() as logs:
            assert post(site, BASE, 201, body, **key)["secret"] == OWN_SECRET
            again = post(site, BASE, 201, body, **key)
            assert "secret" not in again
            other = {**body, "secret": OWN_SECRET.replace("Mf", "Mg")}
            assert post(site, BASE, 422, other, **key)["code"] == "idempotency-key-reused"
            post(site, f"{BASE}/ci:ping", 202)
            send_all(site)
            answers = [site.client.get(BASE), site.client.get(f"{BASE}/ci/deliveries")]
        assert len(receiver.seen) == 1
        assert OWN_SECRET[6:] not in "".join(answer.text for answer in answers) + repr(logs)
        with site.catalog.read() as session:
            rows = [
                session.execute(text(f"SELECT * FROM {table}")).all()
                for table in ("webhook_endpoint", "webhook_delivery", "idempotency")
            ]
        assert OWN_SECRET[6:] not in repr(rows)

    def test_a_rotation(self, site: Installation, receiver: Receiver) -> None:
        former = created(site, url=receiver.url)["secret"]
        rotated = post(site, f"{BASE}/ci:rotate-secret", 200)
        assert rotated["former_secret_until"] is not None
        current = rotated["secret"]
        assert current != former
        post(site, f"{BASE}/ci:ping", 202)
        send_all(site)
        seen = receiver.seen[-1]
        for secret in (former, current):
            assert verify_webhook(secret, seen.headers, seen.body).type == "webhook.ping"
        stolen = post(site, f"{BASE}/ci:rotate-secret", 200, {"overlap_seconds": 0})
        assert stolen["former_secret_until"] is None
        post(site, f"{BASE}/ci:ping", 202)
        send_all(site)
        seen = receiver.seen[-1]
        verify_webhook(stolen["secret"], seen.headers, seen.body)
        with pytest.raises(SignatureMismatch):
            verify_webhook(current, seen.headers, seen.body)


class TestDeliveries:
    def test_ping_log_and_redelivery(self, site: Installation) -> None:
        with receive(404, 200) as server:
            created(site, url=server.url)
            sent = post(site, f"{BASE}/ci:ping", 202)
            assert (sent["status"], sent["attempts"]) == ("pending", [])
            again = f"{BASE}/ci/deliveries/{sent['id']}:redeliver"
            assert post(site, again, 409)["code"] == "state-conflict"
            send_all(site)
            log = site.client.get(sent["links"]["self"]).json()
            assert (log["status"], log["attempts"][0]["status_code"]) == ("failed", 404)
            assert log["attempts"][0]["response"] == "noted"
            second = post(site, again, 202)
            assert (second["redelivery_of"], second["webhook_id"]) == (
                sent["id"],
                sent["webhook_id"],
            )
            send_all(site)
            assert {one.headers["webhook-id"] for one in server.seen} == {sent["webhook_id"]}
        listed = site.client.get(f"{BASE}/ci/deliveries").json()["deliveries"]
        assert [one["status"] for one in listed] == ["delivered", "failed"]
        only = {"status": "failed", "event": "webhook.ping"}
        found = site.client.get(f"{BASE}/ci/deliveries", params=only).json()["deliveries"]
        assert [one["id"] for one in found] == [sent["id"]]
        page = site.client.get(f"{BASE}/ci/deliveries", params={"page_size": 1}).json()
        rest = {"page_size": 1, "page_token": page["next_page_token"]}
        (last,) = site.client.get(f"{BASE}/ci/deliveries", params=rest).json()["deliveries"]
        assert last["id"] == sent["id"]
        figures = site.client.get("/metrics").text
        assert 'selvage_webhook_deliveries_total{outcome="delivered"} 1.0' in figures
        assert 'selvage_webhook_deliveries_total{outcome="failed"} 1.0' in figures
        assert "selvage_webhooks_waiting 0.0" in figures

    def test_those_of_another_endpoint_are_not_there(self, site: Installation) -> None:
        created(site)
        created(site, name="cd")
        sent = post(site, f"{BASE}/ci:ping", 202)
        for path in (f"{BASE}/cd/deliveries/{sent['id']}", f"{BASE}/ci/deliveries/dlv_x"):
            assert site.client.get(path).status_code == 404
            assert site.client.post(f"{path}:redeliver").status_code == 404

    def test_switched_off(self, site: Installation) -> None:
        created(site)
        site.client.patch(f"{BASE}/ci", json={"enabled": False})
        assert "enabled" in post(site, f"{BASE}/ci:ping", 409)["detail"]


class TestJobs:
    def images(self, site: Installation) -> str:
        answer = site.client.post("/v1/image-sets", files=multipart({"a.png": png_bytes()}))
        return str(answer.json()["id"])

    @pytest.fixture
    def site(self, sqlite_site: Installation, tmp_path: Path) -> Installation:  # noqa: PT004
        """On SQLite, with a model, and allowed to tell this machine."""
        sqlite_site.add_tiny_model(tmp_path / "tiny")
        changes = {"webhook_allow_networks": "127.0.0.1/32"}
        for holder in (sqlite_site, sqlite_site.client.app.state.selvage):  # type: ignore[attr-defined]
            object.__setattr__(holder, "settings", holder.settings.model_copy(update=changes))
        return sqlite_site

    def test_an_address_is_told_how_it_ends(self, site: Installation, receiver: Receiver) -> None:
        url = f"{receiver.url}/run/17?token=5ecret"
        files = multipart({"a.png": png_bytes(), "b.png": png_bytes(1)})
        data = {"model": "tiny", "pipeline": '{"select": null}',
                "metadata": '{"ticket": "ML-42"}', "webhook": json.dumps({"url": url})}  # fmt: skip
        answer = site.client.post("/v1/pseudo-labels", files=files, data=data)
        assert answer.status_code == 202, answer.text
        job = answer.json()["job"]
        assert job["webhook"]["url"] == f"{receiver.url}/run/17"
        site.settle()
        send_all(site)
        (seen,) = receiver.seen
        assert seen.path == "/run/17?token=5ecret"
        assert "webhook-signature" not in seen.headers
        said = json.loads(seen.body)
        assert said["type"] == "job.succeeded"
        job = get_job(site, job["id"])
        assert said["data"]["counts"] == job["counts"]
        assert said["data"]["metadata"] == {"ticket": "ML-42"}
        listed = site.client.get(f"/v1/jobs/{job['id']}/deliveries").json()["deliveries"]
        assert [one["webhook_id"] for one in listed] == [seen.headers["webhook-id"]]
        # what an address inside answers is not for whoever may start jobs
        assert listed[0]["attempts"][0]["response"] is None
        assert "5ecret" not in json.dumps([listed, job])
        post(site, listed[0]["links"]["redeliver"], 202)
        send_all(site)
        assert receiver.seen[1].body == seen.body

    def test_an_endpoint_by_name_signs(self, site: Installation, receiver: Receiver) -> None:
        secret = created(site, url=receiver.url, events=[])["secret"]
        webhook = {"endpoint": "ci", "events": ["job.started", "job.succeeded"]}
        body = {"type": "generate", "image_set": self.images(site), "model": "tiny",
                "pipeline": {"select": None}, "webhook": webhook}  # fmt: skip
        job = start_job(site, **body)
        assert job["webhook"] == {**webhook, "url": None}
        site.settle()
        send_all(site)
        types = [verify_webhook(secret, one.headers, one.body).type for one in receiver.seen]
        assert sorted(types) == ["job.started", "job.succeeded"]
        retried = post(site, f"/v1/jobs/{job['id']}:retry", 202, {"only": "all"})
        assert retried["webhook"] == job["webhook"]

    @pytest.mark.parametrize(
        ("webhook", "status"),
        [
            ({}, 422),
            ({"endpoint": "ci", "url": "https://example.com/"}, 422),
            ({"endpoint": "nobody"}, 404),
            ({"url": "http://192.168.0.1/"}, 422),
            ({"url": "https://example.com/", "events": []}, 422),
            ({"url": "https://example.com/", "events": ["*"]}, 422),
        ],
    )
    def test_what_is_refused(self, site: Installation, webhook: Any, status: int) -> None:
        body = {"type": "generate", "image_set": self.images(site), "model": "tiny"}
        post(site, "/v1/jobs", status, {**body, "webhook": webhook})
        assert site.client.get("/v1/jobs").json()["jobs"] == []
