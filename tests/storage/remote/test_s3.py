"""Buckets of others: listing and reading at a real S3 server, and at false ones."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from api_schemas.problems import (
    SourceDenied,
    SourceMissing,
    SourceProblem,
    SourceRefused,
    SourceTooLarge,
    SourceUnreachable,
)
from storage.remote import fetching, s3
from storage.remote.addresses import AddressPolicy
from storage.remote.fetching import Fetcher, FetchLimits
from storage.remote.s3 import S3Place, S3Source
from storage.remote.s3_listing import BadListing, error_code, read_page
from storage.remote.s3_signing import S3Credentials, encoded, query_string, signed_headers
from tests.support.http_server import Handler, redirect, serve
from tests.support.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server

LOCAL = AddressPolicy.parse("127.0.0.1/32")
LIMITS = FetchLimits(max_bytes=0, total_seconds=10.0, idle_seconds=3.0)
CREDENTIALS = S3Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
KEYS = ("a/1.png", "a/2 b.PNG", "a/sub/3.jpg", "a/&<>\"'.png", "a/ü+x%41.jpg", "b/4.png", "c.txt")


@contextmanager
def opened(endpoint: str, bucket: str = "bucket", **changes: Any) -> Iterator[S3Source]:
    place = S3Place(bucket, "eu-west-1", endpoint, credentials=CREDENTIALS)
    fields = {**place.__dict__, **changes}
    with S3Source(Fetcher(LOCAL), LIMITS, S3Place(**fields)) as source:
        yield source


def read(source: S3Source, key: str, max_bytes: int = 1000) -> bytes:
    with source.open(key, max_bytes=max_bytes) as fetched:
        return fetched.file.read()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.01, 0.01))


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """A bucket with a few odd names and a directory marker; each file holds its own key."""
    name = s3_server.new_bucket()
    for key in (*KEYS, "a/sub/"):
        put(s3_server, name, key, b"" if key.endswith("/") else key.encode())
    return name


def put(server: S3Server, bucket: str, key: str, data: bytes) -> None:
    httpx.put(f"{server.url}/{bucket}/{encoded(key, safe='/')}", content=data).raise_for_status()


class TestBucket:
    def test_everything_listed_can_be_read(self, s3_server: S3Server, bucket: str) -> None:
        with opened(s3_server.url, bucket) as source:
            found = list(source.iterate())
            assert [entry.key for entry in found] == sorted(KEYS, key=str.encode)
            for entry in found:
                assert entry.size_bytes == len(entry.key.encode())
                assert read(source, entry.key).decode() == entry.key
                assert read(source, f"s3://{bucket}/{entry.key}").decode() == entry.key

    def test_prefix_suffixes_and_going_on(self, s3_server: S3Server, bucket: str) -> None:
        with opened(s3_server.url, bucket) as source:
            assert [e.key for e in source.iterate("b/")] == ["b/4.png"]
            assert [e.key for e in source.iterate("a/2")] == ["a/2 b.PNG"]
            png = [e.key for e in source.iterate(suffixes=(".png",))]
            assert png == ["a/&<>\"'.png", "a/1.png", "a/2 b.PNG", "b/4.png"]
            rest = [e.key for e in source.iterate(suffixes=(".PNG",), start_after="a/1.png")]
            assert rest == ["a/2 b.PNG", "b/4.png"]
            assert list(source.iterate("nothing/")) == []

    def test_a_place_is_all_there_is(self, s3_server: S3Server, bucket: str) -> None:
        with opened(s3_server.url, bucket, prefix="a/") as source:
            assert [e.key for e in source.iterate("sub/")] == ["sub/3.jpg"]
            assert read(source, "sub/3.jpg") == b"a/sub/3.jpg"
            assert read(source, f"s3://{bucket}/a/1.png") == b"a/1.png"
            with pytest.raises(SourceMissing):
                read(source, "b/4.png")
            for outside in (f"s3://{bucket}/b/4.png", "s3://other/a/1.png", "https://x/a/1.png"):
                with pytest.raises(SourceRefused, match="reads below"):
                    source.check_reference(outside)
            for crooked in (
                "../b/4.png",
                "sub/../../b/4.png",
                "%2e%2e/b/4.png",
                "",
                "sub/",
                "a\x00",
                "\ud800",
            ):
                with pytest.raises(SourceRefused, match="The key"):
                    source.check_reference(crooked)

    def test_pages(self, s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "PAGE_OBJECTS", 2)
        with opened(s3_server.url, bucket) as source:
            assert [e.key for e in source.iterate()] == sorted(KEYS, key=str.encode)
            assert [e.key for e in source.iterate(start_after="a/2 b.PNG")] == [
                "a/sub/3.jpg", "a/ü+x%41.jpg", "b/4.png", "c.txt",
            ]  # fmt: skip

    def test_too_large(self, s3_server: S3Server, bucket: str) -> None:
        with opened(s3_server.url, bucket) as source, pytest.raises(SourceTooLarge):
            read(source, "a/1.png", max_bytes=6)

    def test_what_is_missing(self, s3_server: S3Server, bucket: str) -> None:
        with (
            opened(s3_server.url, bucket) as source,
            pytest.raises(SourceMissing, match=f"There is no s3://{bucket}/none.png"),
        ):
            read(source, "none.png")
        with opened(s3_server.url, "no-such-bucket") as source:
            with pytest.raises(SourceMissing, match="no bucket 'no-such-bucket'"):
                list(source.iterate())
            assert [(c.name, type(c.problem)) for c in source.check()] == [("list", SourceMissing)]

    def test_check(self, s3_server: S3Server, bucket: str) -> None:
        with opened(s3_server.url, bucket) as source:
            assert [(c.name, c.note) for c in source.check()] == [
                ("list", "8 objects"),
                ("read", "11 bytes"),
            ]
            assert [c.note for c in source.check("c.txt")] == ["8 objects", "5 bytes"]
            assert [type(c.problem) for c in source.check("none")] == [type(None), SourceMissing]


class TestSigning:
    @pytest.mark.parametrize("token", [None, "session/token=="])
    @pytest.mark.parametrize("key", KEYS)
    def test_as_botocore_signs(self, key: str, token: str | None) -> None:
        query = query_string({"prefix": key, "list-type": "2", "start-after": "ü &=+/~"})
        for tail in ("", "?" + query):
            url = httpx.URL(f"https://store.example:9000/bucket/{encoded(key, safe='/')}{tail}")
            now = datetime.now(UTC)
            ours = signed_headers(url, S3Credentials("AKID", "secret", token), "eu-west-1", now)
            request = AWSRequest("GET", str(url))
            request.context["client_config"] = None
            # the moment that botocore signs for is the one it reads from the clock: take ours
            theirs = S3SigV4Auth(Credentials("AKID", "secret", token), "s3", "eu-west-1")
            request.context["timestamp"] = ours["x-amz-date"]
            request.headers["X-Amz-Date"] = ours["x-amz-date"]
            request.headers["X-Amz-Content-SHA256"] = ours["x-amz-content-sha256"]
            if token is not None:
                request.headers["X-Amz-Security-Token"] = token
            canonical = theirs.canonical_request(request)
            signature = theirs.signature(theirs.string_to_sign(request, canonical), request)
            assert ours["Authorization"].endswith(f"Signature={signature}")

    def test_nothing_secret_is_printed(self) -> None:
        assert "secret" not in repr(S3Credentials("AKID", "secret-key", "secret-token"))

    def test_addresses_of_buckets(self) -> None:
        assert S3Place("b", "eu-west-1").base_url == "https://b.s3.eu-west-1.amazonaws.com/"
        assert S3Place("b.c", "eu-west-1").base_url == "https://s3.eu-west-1.amazonaws.com/b.c/"
        assert S3Place("b", "r", "http://h:9").base_url == "http://h:9/b/"
        assert S3Place("b", "r", "http://h:9", path_style=False).base_url == "http://b.h:9/"

    def test_signed_only_with_credentials(self) -> None:
        with serve({"/bucket/k": b"x"}) as web:
            with opened(web.url) as source:
                read(source, "k")
            with opened(web.url, credentials=None) as source:
                read(source, "k")
            signed, anonymous = (headers for _, headers in web.seen)
        assert "Credential=test-access-key/" in signed["authorization"]
        assert "authorization" not in anonymous
        assert "x-amz-date" not in anonymous


def listing(*entries: str, more: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    contents = "".join(entries)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bucket</Name><EncodingType>url</EncodingType>{contents}{more}</ListBucketResult>"
    ).encode()


def entry(key: str, size: str = "3") -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;e&quot;</ETag></Contents>"


class TestFalseStores:
    @pytest.mark.parametrize(
        ("body", "match"),
        [
            (b"<html></html>", "something else"),
            (b"no xml", "something else"),
            (b"", "something else"),
            (b"\xff\xfe\x00", "something else"),
            (b"<a>" * 100_000, "something else"),
            (b'<!DOCTYPE x [<!ENTITY a "aa">]>' + listing(entry("&a;"))[38:], "something else"),
            (b'<!DOCTYPE x SYSTEM "http://169.254.169.254/">' + listing()[38:], "something else"),
            (listing(entry("k", "-1")), "something else"),
            (listing(entry("k", "9" * 30)), "something else"),
            (listing(entry("k", "٣")), "something else"),
            (listing("<Contents><Size>3</Size></Contents>"), "something else"),
            (listing(entry("%ff")), "something else"),
            (listing(*[entry("k")] * 10_001), "something else"),
            (listing(entry("other/k")), "not asked for"),
            (listing(more="<IsTruncated>true</IsTruncated>"), "come to an end"),
            (
                listing(
                    entry("k"),
                    more="<IsTruncated>true</IsTruncated>"
                    "<NextContinuationToken>same</NextContinuationToken>",
                ),
                "come to an end",
            ),
        ],
    )
    def test_listings(self, body: bytes, match: str) -> None:
        with (
            serve({"/bucket/": body}) as web,
            opened(web.url, prefix="k") as source,
            pytest.raises(SourceUnreachable, match=match),
        ):
            list(source.iterate())

    def test_pages_of_nothing_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "MAX_EMPTY_PAGES", 20)
        numbers = iter(range(1000))

        def page(handler: Handler) -> None:
            token = f"<NextContinuationToken>{next(numbers)}</NextContinuationToken>"
            handler.answer(200, listing(more=f"<IsTruncated>true</IsTruncated>{token}"))

        with (
            serve({"/bucket/": page}) as web,
            opened(web.url) as source,
            pytest.raises(SourceUnreachable, match="come to an end"),
        ):
            list(source.iterate())

    def test_huge_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "MAX_PAGE_BYTES", 1000)
        with (
            serve({"/bucket/": listing(*[entry("k")] * 20)}) as web,
            opened(web.url) as source,
            pytest.raises(SourceTooLarge),
        ):
            list(source.iterate())

    @pytest.mark.parametrize(
        ("status", "code", "problem", "match"),
        [
            (403, "SignatureDoesNotMatch", SourceDenied, "secret_access_key is wrong"),
            (403, "InvalidAccessKeyId", SourceDenied, "access_key_id is not known"),
            (403, "RequestTimeTooSkewed", SourceDenied, "clocks"),
            (400, "AuthorizationHeaderMalformed", SourceDenied, "region is wrong"),
            (403, "InvalidObjectState", SourceDenied, "archive"),
            (403, "Whatever", SourceDenied, "do not allow"),
            (404, "NoSuchKey", SourceMissing, "There is no s3://bucket/k"),
            (400, "InvalidRequest", SourceRefused, "status 400"),
            (503, "SlowDown", SourceUnreachable, "SlowDown"),
        ],
    )
    def test_errors(self, status: int, code: str, problem: type[SourceProblem], match: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>at /srv/store</Message></Error>".encode()
        with (
            serve({"/bucket/k": lambda handler: handler.answer(status, body)}) as web,
            opened(web.url) as source,
            pytest.raises(problem, match=match) as caught,
        ):
            read(source, "k")
        assert "/srv/store" not in caught.value.detail

    @pytest.mark.parametrize("location", ["http://169.254.169.254/", "/bucket/other", ""])
    def test_redirects_are_not_followed(self, location: str) -> None:
        routes = {"/bucket/k": redirect(location, 307), "/bucket/other": b"secret"}
        with serve(routes) as web, opened(web.url) as source:
            with pytest.raises(SourceRefused):
                read(source, "k")
            assert len(web.seen) == 1

    def test_another_region_is_named(self) -> None:
        def page(handler: Handler) -> None:
            handler.answer(301, b"<Code>PermanentRedirect</Code>", x_amz_bucket_region="us-west-2")

        with (
            serve({"/bucket/k": page}) as web,
            opened(web.url) as source,
            pytest.raises(SourceRefused, match="'us-west-2'"),
        ):
            read(source, "k")

    def test_the_guard_stands_before_endpoints_too(self) -> None:
        for endpoint in ("http://127.0.0.2:9000", "http://169.254.169.254", "http://[::1]:9000"):
            with pytest.raises(SourceRefused), opened(endpoint):
                pass
        inside = Fetcher(LOCAL, lambda host, port: ["10.0.0.1"])
        place = S3Place("bucket", "eu-west-1", "http://store.example:9000", path_style=False)
        with S3Source(inside, LIMITS, place) as source, pytest.raises(SourceRefused):
            list(source.iterate())


class TestReading:
    def test_encoding_may_be_declared_last_or_not_at_all(self) -> None:
        body = listing(entry("a%2Fb+c%2B.png")).replace(b"<EncodingType>url</EncodingType>", b"")
        assert read_page(io.BytesIO(body)).objects[0].key == "a%2Fb+c%2B.png"
        last = body.replace(b"<IsTruncated>", b"<EncodingType>url</EncodingType><IsTruncated>")
        assert read_page(io.BytesIO(last)).objects[0].key == "a/b c+.png"

    def test_other_fields_do_not_disturb(self) -> None:
        owner = "<Contents><Owner><Key>no</Key></Owner><Key> k </Key><Size>1</Size></Contents>"
        page = read_page(io.BytesIO(listing(owner, "<CommonPrefixes/>", entry("l"))))
        assert [(o.key, o.size_bytes) for o in page.objects] == [(" k ", 1), ("l", 3)]

    def test_a_cut_page_is_no_page(self) -> None:
        body = listing(entry("k"))
        for length in (0, 10, len(body) // 2, len(body) - 1):
            with pytest.raises(BadListing):
                read_page(io.BytesIO(body[:length]))

    def test_error_code(self) -> None:
        assert error_code(b"<Error><Code>NoSuchKey</Code></Error>") == "NoSuchKey"
        assert error_code(b"<Code><b>x</b></Code>") is None
        assert error_code(b"") is None
