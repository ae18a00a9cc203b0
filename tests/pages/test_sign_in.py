"""Sessions: a key for a cookie, and what the cookie may do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from domain import page_sessions
from service.pages.sign_in import our_path
from storage.catalog.tables import ApiKeyRow, PageSessionRow
from tests.support import campaigns
from tests.support.catalogs import new_sqlite_catalog
from tests.support.installation import Installation, installation
from tests.support.keys import bearer, make_key
from tests.support.rows import add_job, add_set

HTML = {"Accept": "text/html"}
OURS = {"Origin": "http://testserver", "Host": "testserver"}


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[Installation]:
    """An installation that asks for keys."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    with installation(url, tmp_path / "data", host="0.0.0.0") as opened:
        opened.client.follow_redirects = False
        yield opened


def sign_in(site: Installation, key: str, **more: str) -> Any:
    data = {"key": key, **more}
    return site.client.post("/sign-in", data=data, headers={**HTML, **OURS})


def key_with(site: Installation, *scopes: str) -> tuple[str, str]:
    key_id, headers = make_key(site.catalog, *scopes)
    return key_id, headers["Authorization"].removeprefix("Bearer ")


class TestSigningIn:
    def test_pages_lead_there_and_back(self, reachable: Installation) -> None:
        _, key = key_with(reachable, "read")
        answer = reachable.client.get("/jobs?show=open", headers=HTML)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Fjobs%3Fshow%3Dopen"
        assert "API key" in reachable.client.get("/sign-in", headers=HTML).text
        signed = sign_in(reachable, key, next="/jobs?show=open")
        assert (signed.status_code, signed.headers["location"]) == (303, "/jobs?show=open")
        assert reachable.client.get("/jobs", headers=HTML).status_code == 200
        assert reachable.client.get("/v1/jobs").status_code == 200  # pictures, events

    def test_the_cookie(self, reachable: Installation) -> None:
        _, key = key_with(reachable, "read")
        cookie = sign_in(reachable, key).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Path=/" in cookie
        assert key not in cookie
        with reachable.catalog.read() as session:
            (row,) = session.scalars(select(PageSessionRow))
        assert row.token_sha256 not in cookie  # the catalog holds nothing to sign in with

    def test_programs_are_refused_as_ever(self, reachable: Installation) -> None:
        assert reachable.client.get("/jobs").status_code == 401
        assert reachable.client.get("/v1/jobs", headers=HTML).status_code == 401

    @pytest.mark.parametrize("key", ["", "sv_wrong", "sv_" + "x" * 43, "<b>"])
    def test_a_wrong_key(self, reachable: Installation, key: str) -> None:
        answer = sign_in(reachable, key)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert 'role="alert"' in answer.text
        assert key not in answer.text or not key

    def test_not_needed_without_keys(self, sqlite_site: Installation) -> None:
        client = sqlite_site.client
        assert client.get("/", headers=HTML).status_code == 200
        answer = client.get("/sign-in", headers=HTML, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_on_both_databases(site: Installation) -> None:
    """Sessions and the questions of the pages, on SQLite and on PostgreSQL."""
    _, key = key_with(site, "write")
    job = add_job(site.catalog, 2)
    found = campaigns.start(site.catalog, add_set(site.catalog))
    site.client.follow_redirects = False
    assert sign_in(site, key).status_code == 303
    for path in ("/", "/jobs?show=open", f"/jobs/{job}", "/review", "/review?order_by=quality",
                 "/campaigns", f"/campaigns/{found}", "/models", "/models/tiny",
                 "/models/tiny/1"):  # fmt: skip
        assert site.client.get(path, headers=HTML).status_code == 200, path
    assert site.client.post("/sign-out", headers=OURS).status_code == 303
    assert site.client.get("/jobs", headers=HTML).status_code == 303


class TestSession:
    @pytest.fixture
    def signed(self, reachable: Installation) -> tuple[Installation, str]:
        key_id, key = key_with(reachable, "write")
        sign_in(reachable, key)
        return reachable, key_id

    def test_ends_by_signing_out(self, signed: tuple[Installation, str]) -> None:
        site, _ = signed
        cookies = dict(site.client.cookies)
        assert site.client.post("/sign-out", headers=OURS).status_code == 303
        site.client.cookies.update(cookies)  # a copy of the cookie is worth nothing
        assert site.client.get("/jobs", headers=HTML).status_code == 303

    def test_ends_with_its_key(self, signed: tuple[Installation, str]) -> None:
        site, key_id = signed
        key_with(site, "read")  # keys are asked for as before
        with site.catalog.write() as session:
            session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(revoked_at=1.0))
        assert site.client.get("/jobs", headers=HTML).status_code == 303

    def test_ends_by_itself_and_is_swept(self, signed: tuple[Installation, str]) -> None:
        site, _ = signed
        with site.catalog.write() as session:
            session.execute(update(PageSessionRow).values(expires_at=1.0))
        assert site.client.get("/jobs", headers=HTML).status_code == 303
        _, key = key_with(site, "read")
        with site.catalog.write() as session:
            page_sessions.sign_in(session, key)
        with site.catalog.read() as session:
            assert session.scalar(select(func.count()).select_from(PageSessionRow)) == 1

    def test_may_do_what_the_key_may(self, signed: tuple[Installation, str]) -> None:
        site, _ = signed
        assert site.client.get("/v1/api-keys").status_code == 403
        assert site.client.post("/v1/jobs/job_x:cancel", headers=OURS).status_code == 404

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "http://elsewhere"},
            {"Origin": "null"},
            {"Origin": "http://testserver:81"},
            {"Sec-Fetch-Site": "cross-site", **OURS},
            {"Sec-Fetch-Site": "same-site", **OURS},
        ],
    )
    def test_other_pages_cannot_use_it(
        self, signed: tuple[Installation, str], headers: dict[str, str]
    ) -> None:
        """`SameSite=Strict` is the first wall, this the second."""
        site, _ = signed
        for path in ("/v1/jobs/job_x:cancel", "/sign-out", "/sign-in"):
            answer = site.client.post(path, headers=headers, data={})
            assert answer.status_code == 403, path
        assert site.client.get("/jobs", headers=HTML).status_code == 200

    def test_a_key_goes_before_the_cookie(self, signed: tuple[Installation, str]) -> None:
        site, _ = signed
        _, key = key_with(site, "admin")
        answer = site.client.get("/v1/api-keys", headers=bearer(key))
        assert answer.status_code == 200
        wrong = site.client.get("/v1/jobs", headers=bearer("sv_" + "x" * 43))
        assert wrong.status_code == 401

    @pytest.mark.parametrize("cookie", ["", "x", "a" * 43, '"', "=;=", "é"])
    def test_cookies_that_nobody_gave_out(self, reachable: Installation, cookie: str) -> None:
        headers: Any = {"Cookie": f"selvage_session={cookie}".encode()}
        assert reachable.client.get("/v1/jobs", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/jobs?show=open&a=%20", "/jobs?show=open&a=%20"),
        ("//evil.example", "/"), ("/\\evil.example", "/"), ("https://evil.example", "/"),
        ("", "/"), ("/sign-out", "/"), ("/a\r\nSet-Cookie: x", "/"), ("/" + "a" * 3000, "/"),
        ("javascript:alert(1)", "/"), ("/a\\b", "/"),
    ],
)  # fmt: skip
def test_only_paths_of_ours(wanted: str, path: str) -> None:
    assert our_path(wanted) == path
