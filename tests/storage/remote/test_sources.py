"""Plain URLs, and web servers that ask who we are."""

import pytest

from api_schemas.problems import SourceDenied, SourceMissing, SourceRefused
from storage.remote import fetching
from storage.remote.addresses import AddressPolicy
from storage.remote.fetching import Fetcher, FetchLimits
from storage.remote.sources import HttpSource, UrlSource
from tests.support.http_server import Handler, redirect, serve

LOCAL = AddressPolicy.parse("127.0.0.1/32")
LIMITS = FetchLimits(max_bytes=0, total_seconds=5.0, idle_seconds=1.0)
AUTH = {"Authorization": "Bearer 5ecret"}


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.01, 0.01))


def http_source(base_url: str) -> HttpSource:
    return HttpSource(Fetcher(LOCAL), LIMITS, base_url, AUTH)


def read(source: UrlSource, reference: str) -> bytes:
    with source.open(reference, max_bytes=100) as fetched:
        return fetched.file.read()


def guarded(handler: Handler) -> None:
    if handler.headers["Authorization"] == AUTH["Authorization"]:
        handler.answer(200, b"for you")
    else:
        handler.answer(401)


class TestUrls:
    def test_read(self) -> None:
        with serve({"/a.png": b"x"}) as web, UrlSource(Fetcher(LOCAL), LIMITS) as source:
            assert read(source, f"{web.url}/a.png") == b"x"
            source.check_reference(f"{web.url}/none.png")
            assert len(web.seen) == 1

    def test_only_urls_and_no_list(self) -> None:
        with UrlSource(Fetcher(LOCAL), LIMITS) as source:
            for reference in ("a.png", "s3://bucket/a.png", "/etc/passwd", "http://10.0.0.1/"):
                with pytest.raises(SourceRefused):
                    source.check_reference(reference)
            with pytest.raises(SourceRefused, match="manifest"):
                source.iterate("x")


class TestHttpConnection:
    def test_relative_and_whole_references(self) -> None:
        routes = {"/data/sub/a%20b.png": guarded}
        with serve(routes) as web, http_source(f"{web.url}/data/") as source:
            for reference in (
                "sub/a b.png", "/sub/a%20b.png", f"{web.url}/data/sub/a b.png", "sub/a b.png?at=http://x",
            ):  # fmt: skip
                assert read(source, reference) == b"for you"

    @pytest.mark.parametrize(
        "reference",
        ["{url}/other/a.png", "{url}/data", "{url}/database/a.png", "{url}/data/../other/a.png",
         "../other/a.png", "%2e%2e/other/a.png", "..%2fother/a.png", "{url}/data/%252e%252e/other",
         "http://127.0.0.1:1/data/a.png", "https://127.0.0.1/data/a.png", "http://localhost/data/a",
         "//127.0.0.1/x/../../../a.png", "ftp://127.0.0.1/data/a.png"],
    )  # fmt: skip
    def test_nothing_outside(self, reference: str) -> None:
        with serve({"/other/a.png": guarded}) as web, http_source(f"{web.url}/data/") as source:
            with pytest.raises(SourceRefused):
                read(source, reference.format(url=web.url))
            assert web.seen == []

    def test_credentials_stay_below_the_base_address(self) -> None:
        with serve({"/x": b"elsewhere"}) as other:
            routes = {
                "/data/in": redirect("/data/target"),
                "/data/up": redirect("/login"),
                "/data/out": redirect(f"{other.url}/x"),
                "/data/target": guarded,
                "/login": guarded,
            }
            with serve(routes) as web, http_source(f"{web.url}/data/") as source:
                assert read(source, "in") == b"for you"
                with pytest.raises(SourceDenied):
                    read(source, "up")
                assert read(source, "out") == b"elsewhere"
                sent = {path for path, headers in web.seen if "authorization" in headers}
                assert sent == {"/data/in", "/data/target", "/data/up", "/data/out"}
            assert "authorization" not in other.seen[0][1]

    def test_check(self) -> None:
        routes = {"/data/": guarded, "/open/a.png": b"xyz"}
        with serve(routes) as web:
            with http_source(f"{web.url}/data/") as source:
                assert [(c.name, c.problem) for c in source.check()] == [("reach", None)]
                assert isinstance(source.check("none.png")[0].problem, SourceMissing)
            with http_source(f"{web.url}/open/") as source:
                assert [(c.name, c.problem) for c in source.check()] == [("reach", None)]
                assert [(c.name, c.note) for c in source.check("a.png")] == [("read", "3 bytes")]
            with HttpSource(Fetcher(LOCAL), LIMITS, f"{web.url}/data/", {}) as source:
                assert isinstance(source.check()[0].problem, SourceDenied)
