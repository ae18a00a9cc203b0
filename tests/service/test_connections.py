"""Connections over HTTP: what is stored, what is never shown, and what a test of one says."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from domain import connections
from domain.jobs import new_job_row
from domain.secrets import KEY_FILE
from storage.remote import fetching
from tests.support.http_server import Handler, WebServer, redirect, serve
from tests.support.installation import Installation, installation
from tests.support.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server

WEB: dict[str, Any] = {
    "name": "exports",
    "kind": "http",
    "config": {"base_url": "https://data.example.com/exports"},
    "secrets": {"bearer_token": "5ecret-token"},
}
BUCKET: dict[str, Any] = {
    "name": "lab-bucket",
    "kind": "s3",
    "config": {"bucket": "lab", "prefix": "street", "access_key_id": "reader"},
    "secrets": {"secret_access_key": "5ecret-key", "session_token": "5ecret-session"},
}


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.01, 0.01))


@pytest.fixture
def site(catalog_url: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation that may fetch from this machine."""
    changes = {"fetch_allow_networks": "127.0.0.1/32"}
    with installation(catalog_url, tmp_path / "data", **changes) as opened:
        yield opened


@pytest.fixture
def web() -> Iterator[WebServer]:
    def guarded(handler: Handler) -> None:
        known = handler.headers["Authorization"] == "Bearer 5ecret-token"
        handler.answer(200 if known else 401, b"pixels")

    with serve({"/data/": guarded, "/data/a.png": guarded}) as server:
        yield server


def post(site: Installation, body: Any, **more: Any) -> Any:
    return site.client.post("/v1/connections", json=body, **more)


def changed(body: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {**body, "config": {**body["config"], **config}}


def created(site: Installation, body: dict[str, Any]) -> dict[str, Any]:
    answer = post(site, body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def try_out(site: Installation, name: str, **body: Any) -> dict[str, Any]:
    answer = site.client.post(f"/v1/connections/{name}:test", json=body or None)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


class TestCreate:
    def test_both_kinds(self, site: Installation) -> None:
        web = created(site, WEB)
        assert web["id"].startswith("con_")
        assert web["config"] == {
            "base_url": "https://data.example.com/exports/", "username": None, "header_name": None,
        }  # fmt: skip
        assert (web["secrets"], web["last_test"], web["created_by"]) == (
            ["bearer_token"],
            None,
            "local",
        )
        bucket = created(site, BUCKET)
        assert bucket["config"] == {
            "bucket": "lab", "endpoint": None, "region": "us-east-1", "prefix": "street/",
            "path_style": None, "anonymous": False, "access_key_id": "reader",
        }  # fmt: skip
        assert bucket["secrets"] == ["secret_access_key", "session_token"]
        for document in (web, bucket):
            for reference in (document["id"], document["name"]):
                assert site.client.get(f"/v1/connections/{reference}").json() == document

    def test_secrets_are_nowhere(self, site: Installation) -> None:
        with structlog.testing.capture_logs() as logs:
            answers = [post(site, WEB), post(site, BUCKET), post(site, WEB)]
            answers += [
                site.client.get("/v1/connections"),
                site.client.get("/v1/connections/exports"),
                site.client.patch("/v1/connections/exports", json={"name": "renamed"}),
                site.client.post("/v1/connections/renamed:test"),
                post(site, {**WEB, "secrets": {"bearer_token": "5ecret\n"}}),
                post(site, {**WEB, "secrets": {"bearer_token": ["5ecret"]}}),
                post(site, {**WEB, "secrets": "5ecret"}),
                post(site, {**WEB, "kind": "s3"}),
            ]
        for answer in answers:
            assert "5ecret" not in answer.text
        assert "5ecret" not in repr(logs)
        with site.catalog.read() as session:
            rows = session.execute(text("SELECT * FROM connection")).all()
            kept = session.execute(text("SELECT * FROM idempotency")).all()
        assert len(rows) == 2
        assert "5ecret" not in repr(rows) + repr(kept)
        assert (site.settings.data_dir / KEY_FILE).stat().st_mode & 0o077 == 0

    def test_a_name_is_taken_once(self, site: Installation) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(site, WEB), range(8)))
        assert sorted(a.status_code for a in answers) == [201] + [409] * 7
        assert post(site, WEB).json()["code"] == "state-conflict"

    def test_idempotency(self, site: Installation) -> None:
        key = {"Idempotency-Key": "once"}
        first = post(site, WEB, headers=key)
        again = post(site, WEB, headers=key)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()
        other = post(site, {**WEB, "secrets": {"bearer_token": "other"}}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/"),
            ({**WEB, "kind": "ftp"}, "/"),
            ({**WEB, "name": "Upper"}, "/http/name"),
            ({**WEB, "name": "../x"}, "/http/name"),
            ({**WEB, "name": "a" * 65}, "/http/name"),
            ({**WEB, "extra": 1}, "/http/extra"),
            (changed(WEB, base_url="ftp://example.com/"), "/http/config/base_url"),
            (changed(WEB, base_url="https://user:pw@example.com/"), "/http/config/base_url"),
            (changed(WEB, base_url="https://example.com/?a=b"), "/http/config/base_url"),
            (changed(WEB, base_url="https://example.com/a/../b"), "/config/base_url"),
            (changed(WEB, base_url="https://example.com/%2e%2e/b"), "/config/base_url"),
            (changed(WEB, username="me"), "/config/username"),
            (changed(WEB, header_name="X-Key"), "/config/header_name"),
            ({**WEB, "secrets": {"password": "x"}}, "/config/username"),
            ({**WEB, "secrets": {"bearer_token": "a", "header_value": "b"}}, "/secrets"),
            ({**WEB, "secrets": {"bearer_token": "a\r\nX: b"}}, "/secrets/bearer_token"),
            ({**WEB, "secrets": {"bearer_token": "a\x00"}}, "/"),
            ({**WEB, "secrets": {"bearer_token": "ü"}}, "/secrets/bearer_token"),
            ({**WEB, "secrets": {"bearer_token": " a"}}, "/secrets/bearer_token"),
            ({**WEB, "secrets": {"bearer_token": ""}}, "/http/secrets/bearer_token"),
            ({**WEB, "secrets": {"bearer_token": "a" * 9000}}, "/http/secrets/bearer_token"),
            ({**WEB, "secrets": {"private_key": "a"}}, "/http/secrets/private_key"),
            (
                {**changed(WEB, header_name="Host"), "secrets": {"header_value": "a"}},
                "/config/header_name",
            ),
            (
                {**changed(WEB, header_name="a b"), "secrets": {"header_value": "a"}},
                "/http/config/header_name",
            ),
            (changed(BUCKET, bucket=".."), "/s3/config/bucket"),
            (changed(BUCKET, bucket="a/b"), "/s3/config/bucket"),
            (changed(BUCKET, bucket="a..b"), "/s3/config/bucket"),
            (changed(BUCKET, region="eu west"), "/s3/config/region"),
            (changed(BUCKET, endpoint="https://example.com/path"), "/s3/config/endpoint"),
            (changed(BUCKET, endpoint="https://user@example.com"), "/s3/config/endpoint"),
            (changed(BUCKET, prefix="../x"), "/config/prefix"),
            (changed(BUCKET, prefix="/x"), "/config/prefix"),
            (changed(BUCKET, prefix="a\x07"), "/config/prefix"),
            (changed(BUCKET, prefix="\ud800"), "/"),
            (changed(BUCKET, anonymous=True), "/config/anonymous"),
            (changed(BUCKET, access_key_id=None), "/secrets/secret_access_key"),
            (changed(BUCKET, access_key_id="a b"), "/s3/config/access_key_id"),
            ({**BUCKET, "secrets": {"session_token": "x"}}, "/secrets/secret_access_key"),
            ({**BUCKET, "secrets": {}}, "/secrets/secret_access_key"),
        ],
    )
    def test_what_does_not_fit(self, sqlite_site: Installation, body: Any, pointer: str) -> None:
        content = json.dumps(body).encode()
        answer = sqlite_site.client.post(
            "/v1/connections", content=content, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        assert pointer in {error["pointer"] for error in answer.json()["errors"]}, answer.text
        assert sqlite_site.client.get("/v1/connections").json()["connections"] == []

    @pytest.mark.parametrize(
        "host",
        ["169.254.169.254", "127.0.0.1", "10.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "2130706433",
         "0x7f.1", "100.64.0.1"],
    )  # fmt: skip
    def test_private_addresses(self, sqlite_site: Installation, host: str) -> None:
        for body in (
            changed(WEB, base_url=f"http://{host}/"),
            changed(BUCKET, endpoint=f"http://{host}:9000"),
        ):
            answer = post(sqlite_site, body)
            assert (answer.status_code, answer.json()["code"]) == (422, "source-refused")


class TestList:
    def test_pages_by_name(self, site: Installation) -> None:
        for name in ("b", "c", "a"):
            created(site, {**WEB, "name": name})
        first = site.client.get("/v1/connections", params={"page_size": 2}).json()
        assert [c["name"] for c in first["connections"]] == ["a", "b"]
        params = {"page_size": 2, "page_token": first["next_page_token"]}
        second = site.client.get("/v1/connections", params=params).json()
        assert [c["name"] for c in second["connections"]] == ["c"]
        assert second["next_page_token"] is None

    @pytest.mark.parametrize(
        "reference", ["none", "con_01J9Z3N6V1QG8T2B4C5D6E7F8G", "%2e%2e", "a%00b"]
    )
    def test_unknown(self, site: Installation, reference: str) -> None:
        for method, tail in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", ":test")):
            answer = site.client.request(
                method, f"/v1/connections/{reference}{tail}", json={} if method == "PATCH" else None
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), answer.text


class TestChange:
    def change(self, site: Installation, name: str, /, **body: Any) -> Any:
        return site.client.patch(f"/v1/connections/{name}", json=body)

    def test_what_is_not_given_stays(self, site: Installation) -> None:
        before = created(site, BUCKET)
        assert self.change(site, "lab-bucket").json() == before
        answer = self.change(
            site, "lab-bucket", name="lab", config={"prefix": "night", "region": "eu-west-1"}
        )
        config = {**before["config"], "prefix": "night/", "region": "eu-west-1"}
        assert answer.json() == {**before, "name": "lab", "config": config}
        assert self.change(site, before["id"], config={"region": None}).json()["config"] == {
            **config,
            "region": "us-east-1",
        }
        assert self.change(site, "lab", secrets={"session_token": None}).json()["secrets"] == [
            "secret_access_key"
        ]
        assert site.client.get("/v1/connections/lab-bucket").status_code == 404

    def test_a_new_secret_is_used(self, site: Installation, web: WebServer) -> None:
        body = changed(WEB, base_url=f"{web.url}/data/")
        created(site, {**body, "secrets": {"bearer_token": "wrong"}})
        assert not try_out(site, "exports")["ok"]
        answer = self.change(site, "exports", secrets={"bearer_token": "5ecret-token"})
        assert answer.json()["last_test"] is None
        assert try_out(site, "exports")["ok"]

    def test_secrets_do_not_move_to_another_server(self, site: Installation) -> None:
        created(site, WEB)
        for url in ("https://evil.example.com/", "http://data.example.com/exports/",
                    "https://data.example.com:8443/exports/"):  # fmt: skip
            answer = self.change(site, "exports", config={"base_url": url})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/secrets")
        same = self.change(site, "exports", config={"base_url": "https://data.example.com/other"})
        assert same.json()["config"]["base_url"] == "https://data.example.com/other/"
        moved = self.change(
            site,
            "exports",
            config={"base_url": "https://new.example.com"},
            secrets={"bearer_token": "n"},
        )
        assert moved.status_code == 200
        bare = self.change(
            site,
            "exports",
            config={"base_url": "https://b.example.com"},
            secrets={"bearer_token": None},
        )
        assert bare.json()["secrets"] == []

    @pytest.mark.parametrize(
        "body",
        [{"config": {"bucket": None}}, {"config": {"base_url": "https://example.com"}},
         {"config": {"anonymous": True}}, {"config": {"prefix": "../x"}}, {"config": {"x" * 99: 1}},
         {"config": {"endpoint": {"a": 1}}}, {"secrets": {"secret_access_key": None}},
         {"secrets": {"bearer_token": "x"}}, {"secrets": {"secret_access_key": "a\nb"}},
         {"kind": "http"}, {"name": None, "id": "x"}, {"name": "A"}, {"secrets": None}, []],
    )  # fmt: skip
    def test_what_does_not_fit(self, sqlite_site: Installation, body: Any) -> None:
        before = created(sqlite_site, BUCKET)
        answer = sqlite_site.client.patch("/v1/connections/lab-bucket", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        assert sqlite_site.client.get("/v1/connections/lab-bucket").json() == before

    def test_a_taken_name(self, site: Installation) -> None:
        created(site, WEB)
        before = created(site, BUCKET)
        answer = self.change(site, "lab-bucket", name="exports", config={"prefix": "x"})
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
        assert site.client.get("/v1/connections/lab-bucket").json() == before


class TestDelete:
    def start_ingest(self, site: Installation, connection_id: str, status: str) -> str:
        with site.catalog.write() as session:
            job = new_job_row(
                session,
                job_type="ingest",
                image_set_id=None,
                total=1,
                params={"source": {"type": "s3_prefix", "connection_id": connection_id}},
                priority=0,
                failure_policy={},
                metadata={},
            )
            job.status = status
            return job.id

    def test_gone(self, site: Installation) -> None:
        created(site, WEB)
        assert site.client.delete("/v1/connections/exports").status_code == 204
        assert site.client.get("/v1/connections/exports").status_code == 404
        created(site, WEB)

    @pytest.mark.parametrize("status", ["queued", "running", "cancelling"])
    def test_refused_while_a_job_reads(self, site: Installation, status: str) -> None:
        web, bucket = created(site, WEB), created(site, BUCKET)
        job = self.start_ingest(site, bucket["id"], status)
        answer = site.client.delete("/v1/connections/lab-bucket")
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
        assert job in answer.json()["detail"]
        assert site.client.delete(f"/v1/connections/{web['id']}").status_code == 204

    @pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "expired"])
    def test_done_jobs_do_not_matter(self, site: Installation, status: str) -> None:
        bucket = created(site, BUCKET)
        self.start_ingest(site, bucket["id"], status)
        assert site.client.delete("/v1/connections/lab-bucket").status_code == 204


class TestTest:
    def test_a_web_server(self, site: Installation, web: WebServer) -> None:
        created(site, changed(WEB, base_url=f"{web.url}/data/"))
        found = try_out(site, "exports")
        assert [(c["name"], c["ok"]) for c in found["checks"]] == [("reach", True)]
        assert site.client.get("/v1/connections/exports").json()["last_test"] == found
        found = try_out(site, "exports", key="a.png")
        assert [(c["name"], c["note"]) for c in found["checks"]] == [("read", "6 bytes")]
        missing = try_out(site, "exports", key="b.png")
        assert not missing["ok"]
        assert missing["checks"][0]["problem"]["code"] == "source-missing"
        outside = try_out(site, "exports", key="../other/b.png")
        assert outside["checks"][0]["problem"]["code"] == "source-refused"

    def test_other_credentials(self, site: Installation) -> None:
        def page(handler: Handler) -> None:
            handler.answer(200, b"x")

        with serve({"/": page}) as web:
            config = {"base_url": f"{web.url}/", "username": "me"}
            created(site, {**WEB, "name": "a", "config": config, "secrets": {"password": "pw"}})
            config = {"base_url": f"{web.url}/", "header_name": "X-Api-Key"}
            created(
                site, {**WEB, "name": "b", "config": config, "secrets": {"header_value": "k v"}}
            )
            created(site, {**changed(WEB, base_url=f"{web.url}/"), "name": "c", "secrets": {}})
            assert all(try_out(site, name)["ok"] for name in "abc")
            basic, header, none = (headers for _, headers in web.seen)
        assert basic["authorization"] == "Basic bWU6cHc="
        assert (header["x-api-key"], "authorization" in header) == ("k v", False)
        assert not {"authorization", "x-api-key"} & set(none)

    def test_a_bucket(self, site: Installation, s3_server: S3Server) -> None:
        bucket = s3_server.new_bucket()
        config: dict[str, Any] = {
            "bucket": bucket, "endpoint": s3_server.url, "access_key_id": ACCESS_KEY_ID,
        }  # fmt: skip
        body = {**BUCKET, "config": config, "secrets": {"secret_access_key": SECRET_ACCESS_KEY}}
        created(site, body)
        found = try_out(site, "lab-bucket")
        assert [(c["name"], c["ok"], c["note"]) for c in found["checks"]] == [
            ("list", True, "0 objects")
        ]
        created(site, {**changed(body, bucket="no-such"), "name": "missing"})
        found = try_out(site, "missing")
        assert found["checks"][0]["problem"]["code"] == "source-missing"
        config = {"bucket": bucket, "endpoint": s3_server.url, "anonymous": True}
        created(site, {**BUCKET, "name": "public", "config": config, "secrets": {}})
        assert try_out(site, "public")["ok"]

    def test_nobody_there(self, site: Installation) -> None:
        created(site, changed(WEB, base_url="http://127.0.0.1:1/"))
        found = try_out(site, "exports")
        assert not found["ok"]
        problem = found["checks"][0]["problem"]
        assert (problem["code"], problem["retryable"]) == ("source-unreachable", True)
        assert site.client.get("/v1/connections/exports").json()["last_test"] == found

    def test_led_inside_by_a_redirect(self, site: Installation) -> None:
        with serve({"/": redirect("http://169.254.169.254/latest/meta-data/")}) as web:
            created(site, changed(WEB, base_url=f"{web.url}/"))
            found = try_out(site, "exports")
        assert found["checks"][0]["problem"]["code"] == "source-refused"

    def test_a_lost_key(self, site: Installation) -> None:
        created(site, WEB)
        before = site.client.get("/v1/connections/exports").json()
        (site.settings.data_dir / KEY_FILE).unlink()
        found = try_out(site, "exports")
        assert [c["name"] for c in found["checks"]] == ["secrets"]
        assert found["checks"][0]["problem"]["code"] == "secrets-unreadable"
        after = site.client.get("/v1/connections/exports").json()
        assert after == {**before, "last_test": found}
        body = {"secrets": {"bearer_token": "again"}}
        assert site.client.patch("/v1/connections/exports", json=body).status_code == 200
        with connections.open_source(site.catalog, site.settings, "exports") as source:
            source.check_reference("a.png")

    def test_odd_bodies(self, sqlite_site: Installation) -> None:
        created(sqlite_site, WEB)
        bodies: list[Any] = [{"key": ""}, {"key": 3}, {"keys": "a"}, [], "a"]
        for body in bodies:
            answer = sqlite_site.client.post("/v1/connections/exports:test", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
