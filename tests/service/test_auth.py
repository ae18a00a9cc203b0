"""Who gets in: keys, scopes, open paths, and that a refusal comes before the body is read."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from service import key_gate
from service.access import METRICS_PATH, OPEN, RULES, scope_needed
from storage.catalog.tables import ApiKeyRow
from tests.service.test_problems import assert_problem
from tests.support.api import multipart
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.keys import bearer, make_key

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[Installation]:
    """An installation that other machines reach: keys are asked for."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    with installation(url, tmp_path / "data", host="0.0.0.0") as opened:
        yield opened


class TestWithoutKey:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/jobs"), ("POST", "/v1/pseudo-labels"), ("GET", "/v1/nothing"),
            ("GET", "/"), ("HEAD", "/v1/jobs"), ("DELETE", "/v1/api-keys/key_x"),
            ("GET", "/metrics"), ("TRACE", "/v1/jobs"), ("GET", "/v1/api-keys%0A"),
            ("GET", "/redoc"), ("POST", "/docs"),
        ],
    )  # fmt: skip
    def test_refused(self, reachable: Installation, method: str, path: str) -> None:
        answer = reachable.client.request(method, path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="selvage"'
        if method != "HEAD":
            document = assert_problem(answer, 401, "unauthenticated")
            assert "Authorization: Bearer" in document["detail"]

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
    def test_open_paths(self, reachable: Installation, path: str) -> None:
        assert reachable.client.get(path).status_code == 200
        assert reachable.client.head(path).status_code == 200
        assert reachable.client.get(path, headers=bearer("sv_wrong")).status_code == 200

    def test_the_body_is_not_read(self, reachable: Installation) -> None:
        sent = 0

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(1000):
                sent += 1
                yield b"x" * 1000

        answer = reachable.client.post("/v1/image-sets", content=pieces())
        assert answer.status_code == 401
        assert sent <= 1


class TestKey:
    def test_each_scope_opens_what_it_should(self, reachable: Installation) -> None:
        scopes = [["read"], ["write"], ["train"], ["read", "train"], ["admin"]]
        clients = [make_key(reachable.catalog, *names)[1] for names in scopes]
        asked: list[tuple[str, str, list[bool]]] = [
            ("GET", "/v1/jobs", [True, True, False, True, True]),
            ("GET", "/metrics", [True, True, False, True, True]),
            ("POST", "/v1/jobs", [False, True, False, False, True]),
            ("DELETE", "/v1/jobs/job_x", [False, True, False, False, True]),
            ("POST", "/v1/models/m/versions/1:promote", [False, False, True, True, True]),
            ("GET", "/v1/api-keys", [False, False, False, False, True]),
            ("POST", "/v1/connections/x:test", [False, False, False, False, True]),
        ]
        for method, path, expected in asked:
            allowed = []
            for headers in clients:
                answer = reachable.client.request(method, path, headers=headers)
                allowed.append(answer.status_code != 403)
                assert answer.status_code != 401
                if answer.status_code == 403:
                    assert_problem(answer, 403, "forbidden")
                    scope = scope_needed(method, path)
                    assert answer.headers["WWW-Authenticate"] == (
                        f'Bearer error="insufficient_scope", scope="{scope}"'
                    )
            assert allowed == expected, path

    def test_unknown_expired_and_revoked(self, site: Installation) -> None:
        key_id, headers = make_key(site.catalog, "read")
        for wrong in ("sv_", "sv_" + "x" * 43, "sv_" + "ü" * 43, headers["Authorization"] + "x"):
            sent = {b"Authorization": f"Bearer {wrong}".encode()}
            answer = site.client.get("/v1/jobs", headers=sent)
            assert_problem(answer, 401, "unauthenticated")
        assert site.client.get("/v1/jobs", headers=headers).status_code == 200
        for change, word in (({"expires_at": 1.0}, "expired"), ({"revoked_at": 1.0}, "revoked")):
            with site.catalog.write() as session:
                session.execute(update(ApiKeyRow).values(**change))
            answer = site.client.get("/v1/jobs", headers=headers)
            document = assert_problem(answer, 401, "unauthenticated")
            assert key_id in document["detail"]
            assert word in document["detail"]
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    @pytest.mark.parametrize(
        "value",
        [
            "Bearer",
            "Bearer ",
            "Basic {basic}",
            "Token {key}",
            "{key}",
            "Bearer  {other}",
            "Digest x",
        ],
    )
    def test_other_forms_are_no_key(self, reachable: Installation, value: str) -> None:
        key = make_key(reachable.catalog, "admin")[1]["Authorization"].removeprefix("Bearer ")
        basic = base64.b64encode(f"user:{key}".encode()).decode()
        sent = value.format(basic=basic, key=key, other=key[3:])
        answer = reachable.client.get("/v1/jobs", headers={"Authorization": sent})
        assert_problem(answer, 401, "unauthenticated")

    def test_the_scheme_is_named_in_any_case(self, reachable: Installation) -> None:
        key = make_key(reachable.catalog, "read")[1]["Authorization"].removeprefix("Bearer ")
        for scheme in ("bearer", "BEARER", "Bearer "):
            headers = {"Authorization": f"{scheme} {key}"}
            assert reachable.client.get("/v1/jobs", headers=headers).status_code == 200

    def test_two_headers_are_refused(self, reachable: Installation) -> None:
        key = make_key(reachable.catalog, "read")[1]["Authorization"]
        twice = [("Authorization", key), ("Authorization", "Bearer sv_x")]
        answer = reachable.client.get("/v1/jobs", headers=twice)
        assert_problem(answer, 400, "bad-request")

    def test_basic_on_integrations_only(self, reachable: Installation) -> None:
        key = make_key(reachable.catalog, "write")[1]["Authorization"].removeprefix("Bearer ")
        answer = reachable.client.post("/integrations/x", auth=("anybody", key))
        assert_problem(answer, 404, "not-found")  # let in; there is nothing yet
        for auth in (("anybody", "secret"), ("anybody", "sv_" + "x" * 43), (key, "")):
            answer = reachable.client.post("/integrations/x", auth=auth)
            assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"].startswith('Basic realm="selvage", Bearer')
        assert reachable.client.get("/v1/jobs", auth=("anybody", key)).status_code == 401
        bad = {"Authorization": "Basic !!!"}
        assert reachable.client.post("/integrations/x", headers=bad).status_code == 401

    def test_last_use_is_noted_once_a_minute(self, site: Installation) -> None:
        key_id, headers = make_key(site.catalog, "admin")

        def last_use() -> float | None:
            with site.catalog.read() as session:
                row = session.get(ApiKeyRow, key_id)
                assert row is not None
                return row.last_used_at

        assert last_use() is None
        site.client.get("/v1/jobs", headers=headers)
        first = last_use()
        assert first is not None
        site.client.get("/v1/jobs", headers=headers)
        assert last_use() == first
        with site.catalog.write() as session:
            session.execute(update(ApiKeyRow).values(last_used_at=first - 61))
        site.client.get("/v1/jobs", headers=headers)
        assert (last_use() or 0) >= first

    def test_what_is_made_bears_its_name(self, site: Installation, tmp_path: Path) -> None:
        site.add_tiny_model(tmp_path / "tiny")
        key_id, headers = make_key(site.catalog, "write")
        files = multipart({"a.png": png_bytes(1)})
        data = {"model": "tiny"}
        made = site.client.post("/v1/pseudo-labels", files=files, data=data, headers=headers).json()
        assert made["job"]["created_by"] == made["image_set"]["created_by"] == key_id
        body = {"type": "generate", "image_set": made["image_set"]["id"], "model": "tiny"}
        job = site.client.post("/v1/jobs", json=body, headers=headers).json()
        image_set = site.client.post("/v1/image-sets", files=files, headers=headers).json()
        assert job["created_by"] == image_set["created_by"] == key_id


class TestWhenKeysAreAskedFor:
    def test_loopback_is_open_until_the_first_key(self, sqlite_site: Installation) -> None:
        client = sqlite_site.client
        assert client.get("/v1/jobs").status_code == 200
        made = client.post("/v1/api-keys", json={"name": "first", "scopes": ["admin"]})
        assert made.status_code == 201
        assert client.get("/v1/jobs").status_code == 401
        headers = bearer(made.json()["key"])
        assert client.get("/v1/jobs", headers=headers).status_code == 200
        assert client.get("/metrics").status_code != 401  # Prometheus on the same machine
        assert client.delete(made.json()["links"]["self"], headers=headers).status_code == 204
        assert client.get("/v1/jobs").status_code == 200

    def test_a_key_made_elsewhere_counts_within_seconds(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(key_gate, "CACHE_SECONDS", 0.0)
        assert sqlite_site.client.get("/v1/jobs").status_code == 200
        make_key(sqlite_site.catalog, "admin")
        assert sqlite_site.client.get("/v1/jobs").status_code == 401

    def test_an_expired_key_does_not_open_the_door(self, sqlite_site: Installation) -> None:
        make_key(sqlite_site.catalog, "admin")
        with sqlite_site.catalog.write() as session:
            session.execute(update(ApiKeyRow).values(expires_at=1.0))
        assert sqlite_site.client.get("/v1/jobs").status_code == 401

    @pytest.mark.parametrize(("mode", "status"), [("always", 401), ("never", 200)])
    def test_the_setting_decides(self, tmp_path: Path, mode: str, status: int) -> None:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        with installation(url, tmp_path / "data", require_keys=mode) as site:
            if mode == "never":
                make_key(site.catalog, "admin")
            assert site.client.get("/v1/jobs").status_code == status
            wrong = bearer("sv_" + "x" * 43)  # a key that is sent is meant to be valid
            assert site.client.get("/v1/jobs", headers=wrong).status_code == 401

    def test_foreign_credentials_are_not_ours_while_no_key_is_asked_for(
        self, sqlite_site: Installation
    ) -> None:
        headers = {"Authorization": "Basic cHJveHk6c2VjcmV0"}  # of a proxy in front
        assert sqlite_site.client.get("/v1/jobs", headers=headers).status_code == 200

    def test_a_page_of_another_site_cannot_post(self, sqlite_site: Installation) -> None:
        files = multipart({"a.png": png_bytes(1)})
        for site, status in (("cross-site", 403), ("same-origin", 201), ("none", 201)):
            headers = {"Sec-Fetch-Site": site}
            answer = sqlite_site.client.post("/v1/image-sets", files=files, headers=headers)
            assert answer.status_code == status


class TestTable:
    def test_the_page_about_keys_shows_it(self) -> None:
        page = (REPOSITORY / "docs/keys.md").read_text()
        for rule in RULES:
            path = rule.path.replace("|", "\\|")
            assert f"| {rule.methods} | `{path}` | {rule.scope or 'no key'} |" in page

    def test_every_operation_says_what_it_needs(self, sqlite_site: Installation) -> None:
        document = sqlite_site.client.get("/openapi.json").json()
        assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                scope = scope_needed(method.upper(), path)
                expected: list[dict[str, list[str]]] = (
                    [] if scope is OPEN else [{"ApiKey": [scope]}]
                )
                if path == METRICS_PATH:  # on loopback it is open to who collects them
                    expected.append({})
                assert operation["security"] == expected, path
                assert ({"401", "403"} <= set(operation["responses"])) == (scope is not OPEN)


class TestOwnership:
    """What another key made is deleted by an admin alone."""

    def test_of_each_kind(self, tiny_site: Installation) -> None:
        site = tiny_site
        owner = make_key(site.catalog, "write", "train")[1]
        other = make_key(site.catalog, "write", "train")[1]
        admin = make_key(site.catalog, "admin")[1]
        files = multipart({"a.png": png_bytes(1)})
        image_set = site.client.post("/v1/image-sets", files=files, headers=owner).json()
        job = site.client.post(
            "/v1/jobs",
            json={"type": "generate", "image_set": image_set["id"], "model": "tiny"},
            headers=owner,
        ).json()
        site.settle()
        items = site.client.get(job["links"]["items"], headers=owner).json()["items"]
        upload = site.client.post(
            "/v1/uploads", json={"file_name": "a.zip", "size_bytes": 10}, headers=owner
        ).json()
        schedule = site.client.post(
            "/v1/schedules",
            json={
                "name": "nightly",
                "cron": "0 2 * * *",
                "job": {"type": "generate", "image_set": image_set["id"], "model": "tiny"},
            },
            headers=owner,
        ).json()
        label = f"/v1/labels/{items[0]['label_id']}"
        for path in (
            f"/v1/uploads/{upload['id']}", f"/v1/schedules/{schedule['id']}",
            job["links"]["self"] + "?force=true", image_set["links"]["self"] + "?force=true",
        ):  # fmt: skip
            refused = site.client.delete(path, headers=other)
            assert_problem(refused, 403, "forbidden")
            assert site.client.delete(path, headers=owner).status_code == 204, path
        for headers, status in ((owner, 403), (admin, 204)):
            answer = site.client.delete(label + "?force=true", headers=headers)
            # gone with its job, for who may ask
            assert answer.status_code in (status, *((404, 410) if status == 204 else ()))
        for headers, status in ((owner, 403), (admin, 204)):  # made on this machine, without a key
            answer = site.client.delete("/v1/models/tiny/versions/1?force=true", headers=headers)
            assert answer.status_code == status
