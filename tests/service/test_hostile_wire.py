"""What no HTTP client would send: bytes on a socket, lengths that lie, bodies without end."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.service.test_hostile_http import JSON, LEAKS, assert_sound
from tests.support.api import multipart, post_images
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.wire import Wire, wire_to

MAX_JSON, MAX_UPLOAD = 20_000, 50_000


ODD_FIELDS = [
    {"priority": "NaN"}, {"priority": "9" * 5000}, {"priority": "-101"}, {"priority": "1.5"},
    {"metadata": "[" * 10_000}, {"metadata": '{"a": "\\ud800"}'}, {"metadata": "null"},
    {"metadata": '{"\\u0000": ""}'}, {"metadata": '{"a": NaN}'},
    {"metadata": '{"a": "' + "x" * 600 + '"}'}, {"pipeline": '{"predict": {"scales": [1e999]}}'},
    {"pipeline": "[]"}, {"pipeline": '"x@1"'}, {"pipeline": '{"select": {"thresholds": [NaN]}}'},
    {"name": "x" * 5000}, {"model": "../../etc/passwd"}, {"model": "x" * 5000}, {"model": ""},
    {"model": "tiny:0"}, {"model": "tiny:999999999999"},
]  # fmt: skip


@pytest.fixture
def small_site(tmp_path: Path) -> Iterator[Installation]:
    """An installation with small limits."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    limits = {"max_json_bytes": MAX_JSON, "max_upload_bytes": MAX_UPLOAD}
    with installation(url, tmp_path / "data", **limits) as site:
        site.add_tiny_model(tmp_path / "model")
        yield site


@pytest.fixture
def wire(small_site: Installation) -> Iterator[Wire]:
    with wire_to(small_site) as opened:
        yield opened
        assert opened.request("GET", "/healthz").status == 200  # whatever came before


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def request(head: str, body: bytes = b"") -> bytes:
    return (head.replace("\n", "\r\n") + "\r\nHost: x\r\nConnection: close\r\n\r\n").encode(
        "latin-1"
    ) + body


class TestLengths:
    def test_a_declared_length_is_refused_before_the_body(self, wire: Wire) -> None:
        for path, length in (("jobs", MAX_JSON + 1), ("jobs", 10**30), ("image-sets", 10**12)):
            head = (
                f"POST /v1/{path} HTTP/1.1\nContent-Length: {length}\n"
                "Content-Type: multipart/form-data; boundary=b"
            )
            answer = wire.raw(request(head))
            assert statuses(answer) in ([413], [400])  # 400: beyond what the parser counts to
            if b" 413 " in answer:
                assert b'"code":"payload-too-large"' in answer

    def test_a_body_without_length_is_cut_off(self, wire: Wire) -> None:
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=b"):
            for path in ("jobs", "image-sets", "pseudo-labels"):
                head = f"POST /v1/{path} HTTP/1.1\nTransfer-Encoding: chunked\nContent-Type: {kind}"
                answer = wire.raw(request(head, chunk * 40))
                expected = [413]
                if kind == "text/plain" and path != "jobs":
                    expected = [422]  # refused by its type, unread
                assert statuses(answer) == expected, (kind, path)

    def test_json_has_a_smaller_limit_than_files(self, wire: Wire) -> None:
        body = json.dumps({"name": "x" * MAX_JSON}).encode()
        answer = wire.request("POST", "/v1/api-keys", body, JSON)
        assert_sound(answer, "json")
        assert answer.status == 413
        files = "multipart/form-data; boundary=b"  # not where a form is expected
        assert wire.request("POST", "/v1/jobs", body, {"Content-Type": files}).status == 413

    def test_lengths_that_lie(self, wire: Wire) -> None:
        head = "POST /v1/jobs HTTP/1.1\nContent-Type: application/json\nContent-Length: 500"
        assert statuses(wire.raw(request(head, b'{"a": 1}'), hang_up=True)) == []
        form = "POST /v1/image-sets HTTP/1.1\nContent-Type: multipart/form-data; boundary=b"
        body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nxx'
        cut = wire.raw(request(form + "\nContent-Length: 5000", body), hang_up=True)
        assert statuses(cut) == []
        short = wire.raw(request(head.replace("500", "2"), b"{}GET /v1/jobs HTTP/1.1\r\n\r\n"))
        assert statuses(short)[0] == 422

    @pytest.mark.parametrize(
        "lengths",
        [
            "Content-Length: -1", "Content-Length: ten", "Content-Length: 1\nContent-Length: 2",
            "Content-Length: 5\nTransfer-Encoding: chunked", "Transfer-Encoding: x",
            "Content-Length: 0x10", "Transfer-Encoding: chunked, chunked",
        ],
    )  # fmt: skip
    def test_lengths_that_make_no_sense(self, wire: Wire, lengths: str) -> None:
        head = f"POST /v1/jobs HTTP/1.1\nContent-Type: application/json\n{lengths}"
        answer = wire.raw(request(head, b"5\r\n{    \r\n0\r\n\r\n"))
        assert answer == b"" or set(statuses(answer)) <= {400, 411, 422, 501}
        assert not LEAKS.search(answer)

    def test_broken_chunks(self, wire: Wire) -> None:
        head = "POST /v1/jobs HTTP/1.1\nContent-Type: application/json\nTransfer-Encoding: chunked"
        for body in (
            b"zz\r\n",
            b"5\r\n{}",
            b"-5\r\nabcde\r\n",
            b"ffffffffffffffffff\r\nx",
            b"5\r\n",
        ):
            answer = wire.raw(request(head, body), seconds=1)
            assert set(statuses(answer)) <= {400, 413, 422}
            assert not LEAKS.search(answer)


class TestRequestLines:
    @pytest.mark.parametrize(
        "line",
        [
            "GET /v1/images/../../../etc/passwd HTTP/1.1", "GET //v1/jobs HTTP/1.1",
            "GET /v1/jobs/../api-keys HTTP/1.1", "GET /v1/labels/%2e%2e/%2e%2e/x HTTP/1.1",
            "GET http://evil.example/v1/nothing HTTP/1.1", "OPTIONS * HTTP/1.1",
            "GET /v1/jobs/\xff\xfe HTTP/1.1", "GET /v1/jobs?x=\xff HTTP/1.1",
            "GET /v1/jobs#x HTTP/1.1", "GET \\v1\\jobs HTTP/1.1", "GET /v1/jobs HTTP/9.9",
            "GET /v1/jobs", "BREW /v1/jobs HTTP/1.1", "get /v1/jobs HTTP/1.1",
            "GET  /v1/jobs HTTP/1.1", "\x00\x01\x02\x03", "CONNECT x:1 HTTP/1.1",
            "PRI * HTTP/2.0", "GET /v1/jobs/\x00 HTTP/1.1", "GET /%ZZ HTTP/1.1", "GET /%2 HTTP/1.1",
        ],
    )  # fmt: skip
    def test_odd_lines(self, wire: Wire, line: str) -> None:
        answer = wire.raw(request(line))
        assert all(status < 500 for status in statuses(answer)), answer
        assert not LEAKS.search(answer)
        assert b"root:" not in answer
        assert b"200 OK" in answer or b"application/problem+json" in answer

    def test_an_address_without_end(self, wire: Wire) -> None:
        for length, status in ((17_000, 414), (60_000, 414), (10**6, 431)):
            answer = wire.raw(request("GET /v1/jobs/" + "x" * length + " HTTP/1.1"))
            # nothing: closed while we still send
            assert statuses(answer) in ([status], [400], []), length
            assert b"application/problem+json" in answer or not answer
            assert len(answer) < 10_000

    def test_what_is_repeated_is_bounded(self, wire: Wire) -> None:
        answer = wire.request("GET", "/v1/jobs/" + "x" * 15_000)
        assert answer.status == 404
        assert len(answer.body) < 10_000


class TestHeaders:
    def test_large_headers(self, wire: Wire) -> None:
        for headers in ({"X-Large": "x" * 70_000}, {f"X-{n}": "x" * 700 for n in range(99)}):
            answer = wire.request("GET", "/v1/jobs", headers=headers)
            assert_sound(answer, "headers")
            assert (answer.status, answer.json()["code"]) == (431, "headers-too-large")

    def test_headers_without_end(self, wire: Wire) -> None:
        for endless in (b"X-A: " + b"x" * 2**20, b"X-A: b\r\n" * 2**17, b"X" * 2**20):
            answer = wire.raw(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n" + endless, seconds=5)
            assert statuses(answer) in ([431], [400], [])  # []: closed while we still send
            assert not answer or b"application/problem+json" in answer

    @pytest.mark.parametrize(
        "twice",
        [
            "Authorization: Bearer sv_a\nAuthorization: Bearer sv_b",
            "Content-Type: application/json\nContent-Type: text/plain",
            "Idempotency-Key: a\nIdempotency-Key: b",
        ],
    )
    def test_headers_that_came_twice(self, wire: Wire, twice: str) -> None:
        answer = wire.raw(request(f"POST /v1/jobs HTTP/1.1\nContent-Length: 2\n{twice}", b"{}"))
        assert statuses(answer) == [400]
        assert b"came twice" in answer

    @pytest.mark.parametrize(
        "header",
        [
            "X-A: a\x00b", "X-A: a\x0bb", "X A: b", ": b", "X-A", "X-A: b\n X-B: c",
            "X-A: \xff\xfe",
            "Host: [::1", "Host: \xff", "Content-Type: application/json; charset=\xff",
            "Content-Type: multipart/form-data; boundary=" + "b" * 5000,
            'Content-Type: multipart/form-data; boundary="',
            "Content-Type: application/json; charset=utf-7",
            "Content-Type: ;;;", "Content-Type: application/x-www-form-urlencoded",
            "Content-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Upgrade: websocket",
            "Upgrade: h2c\nConnection: Upgrade", "Forwarded: for=evil", "X-Forwarded-Prefix: /evil",
            "X-HTTP-Method-Override: DELETE",
        ],
    )  # fmt: skip
    def test_odd_headers(self, wire: Wire, header: str) -> None:
        for path in ("/v1/jobs", "/v1/image-sets", "/v1/pseudo-labels"):
            line = f"POST {path} HTTP/1.1\nContent-Length: 2\n{header}"
            answer = wire.raw(request(line, b"{}"))
            assert all(400 <= status < 500 for status in statuses(answer)), answer
            assert not LEAKS.search(answer)

    def test_the_log_is_written_by_nobody_else(self, wire: Wire) -> None:
        with capture_logs() as lines:
            wire.request("POST", "/v1/jobs/%0a2026-01-01%20forged%1b[31m")
        (path,) = [line["path"] for line in lines if line.get("method") == "POST"]
        assert path == "/v1/jobs/%0a2026-01-01%20forged%1b[31m"


class TestForms:
    def form(self, wire: Wire, path: str, body: bytes, boundary: str = "b") -> int:
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = wire.request("POST", path, body, kind)
        assert_sound(answer, body[:200])
        return answer.status

    @pytest.mark.parametrize("path", ["/v1/image-sets", "/v1/pseudo-labels"])
    def test_broken_forms(self, wire: Wire, path: str) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        bodies = [
            b"", b"--b", b"--b--", b"--b--\r\n", b"--c\r\n", part % (b"a", b"x"), b"\x00" * 100,
            b"--b\r\n\r\n\r\n--b--\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
            b"--b\r\nX: " + b"x" * 20_000 + b"\r\n\r\n--b--",
            b"--b\r\n" + b"X: x\r\n" * 5000 + b"\r\n--b--",
            b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
            b'--b\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\nx\r\n--b--\r\n',
            b'--b\r\nContent-Disposition: form-data; name="x" ' + b'; y="z"' * 500
            + b"\r\n\r\n\r\n--b--",
            part % (b"a\x00b.png", b"x") + b"--b--\r\n",
            part % (b"\xff\xfe.png", b"x") + b"--b--\r\n",
            part % (b"../../../etc/passwd", png_bytes(1)) + b"--b--\r\n",
            part % (b"C:\\x\\y.png", png_bytes(1)) + b"--b--\r\n",
            part % (b"a" * 3000 + b".png", png_bytes(1)) + b"--b--\r\n",
            part % (b"", png_bytes(1)) + b"--b--\r\n", (part % (b"a", b"")) * 200 + b"--b--\r\n",
        ]  # fmt: skip
        for body in bodies:
            assert self.form(wire, path, body) in (201, 202, 400, 413, 422)

    def test_odd_fields(self, small_site: Installation) -> None:
        files = multipart({"a.png": png_bytes(1)})
        for data in ODD_FIELDS:
            fields = {"model": "tiny", **data}
            answer = small_site.client.post(
                "/v1/pseudo-labels",
                files=files,
                data=fields,
            )
            assert 400 <= answer.status_code < 500, (data, answer.text)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert not LEAKS.search(answer.content)
        assert small_site.client.get("/v1/jobs").json()["jobs"] == []


class TestConditions:
    def test_if_none_match(self, small_site: Installation) -> None:
        url = post_images(small_site, {"a.png": png_bytes(1)})["job"]["links"]["self"]
        etag = small_site.client.get(url).headers["ETag"]
        for sent, status in (
            (etag, 304), (f"W/{etag}", 304), ("*", 304), (f'"x", {etag}', 304),
            (f'{etag},"y"', 304),
            ('"x"', 200), (etag.strip('"'), 200), ("", 200), ('"', 200), (",,,", 200), ("W/", 200),
        ):  # fmt: skip
            answer = small_site.client.get(url, headers={"If-None-Match": sent})
            assert answer.status_code == status, sent
            assert answer.headers["ETag"] == etag
            assert (answer.content == b"") == (status == 304)

    def test_head_is_get_without_a_body(self, small_site: Installation) -> None:
        job = post_images(small_site, {"a.png": png_bytes(1)})["job"]
        links = job["links"]
        for path in (links["self"], links["items"], links["results"], "/v1/jobs", "/healthz"):
            got, head = small_site.client.get(path), small_site.client.head(path)
            assert head.status_code == got.status_code == 200
            assert head.content == b""
            assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert small_site.client.head("/v1/jobs/job_x").status_code == 404
        assert small_site.client.head(links["cancel"]).status_code in (404, 405)

    def test_head_of_a_stream_ends(self, small_site: Installation, wire: Wire) -> None:
        job = post_images(small_site, {"a.png": png_bytes(1)})["job"]  # nobody works on it
        answer = wire.raw(request(f"HEAD /v1/jobs/{job['id']}/events HTTP/1.1"), seconds=5)
        assert statuses(answer) == [200]
        assert b"text/event-stream" in answer
