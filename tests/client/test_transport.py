import threading

import httpx
import pytest
from selvage_client.calls import Call
from selvage_client.errors import InvalidInput, ServiceUnreachable, UnexpectedAnswer
from selvage_client.requests.jobs import job, jobs, results
from selvage_client.retrying import RetryPolicy
from selvage_client.transport import LineSplitter, Options, SyncTransport, service_url

from tests.client.fake_service import JOB_ID, make_label_line

QUICK = Options("http://fake", retries=RetryPolicy(3, 3, 0.0, 0.0))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_end_at_newlines_alone(size: int) -> None:
    content = 'a\u2028b\n\nü\x85\n{"c": 1}'.encode()
    splitter = LineSplitter()
    lines = []
    for start in range(0, len(content), size):
        lines += splitter.feed(content[start : start + size])
    lines += splitter.finish()
    assert [line.decode() for line in lines] == ["a\u2028b", "ü\x85", '{"c": 1}']


def test_results_come_before_the_answer_ends() -> None:
    first_line_read = threading.Event()
    line = make_label_line("a.png", "lab_1").model_dump_json().encode() + b"\n"

    class Slow(httpx.SyncByteStream):
        def __iter__(self):
            yield line
            assert first_line_read.wait(5)
            yield line

    transport = SyncTransport(
        QUICK, httpx.MockTransport(lambda _: httpx.Response(200, stream=Slow()))
    )
    lines = transport.lines(results(JOB_ID))
    assert next(lines).label_id == "lab_1"
    first_line_read.set()
    assert len(list(lines)) == 1


def test_a_stream_that_breaks_is_an_error_not_an_end() -> None:
    line = make_label_line("a.png", "lab_1").model_dump_json().encode() + b"\n"

    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield line
            raise httpx.ReadError("connection reset")

    transport = SyncTransport(
        QUICK, httpx.MockTransport(lambda _: httpx.Response(200, stream=Broken()))
    )
    with pytest.raises(ServiceUnreachable, match="connection reset"):
        list(transport.lines(results(JOB_ID)))


@pytest.mark.parametrize("content", ["<html>", '{"jobs": 3}'])
def test_a_strange_answer_is_told_from_a_good_one(content: str) -> None:
    transport = SyncTransport(
        QUICK, httpx.MockTransport(lambda _: httpx.Response(200, text=content))
    )
    with pytest.raises(UnexpectedAnswer, match="http://fake"):
        transport.send(jobs(None, None).page(None))


def test_redirects_are_not_followed_but_explained() -> None:
    redirect = httpx.Response(307, headers={"location": "http://elsewhere/"})
    transport = SyncTransport(QUICK, httpx.MockTransport(lambda _: redirect))
    with pytest.raises(Exception, match="HTTP 307"):
        transport.send(job(JOB_ID))


@pytest.mark.parametrize(
    ("given", "variable", "chosen"),
    [
        (None, None, "http://127.0.0.1:8700"),
        (None, "https://lab:1/base/", "https://lab:1/base"),
        ("http://a", "http://b", "http://a"),
    ],
)
def test_the_address_comes_from_argument_variable_or_default(
    monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str | None, chosen: str
) -> None:
    monkeypatch.delenv("SELVAGE_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("SELVAGE_URL", variable)
    assert service_url(given) == chosen


@pytest.mark.parametrize("url", ["localhost:8700", "ftp://x", "http://", "http://a:b"])
def test_half_an_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is no address"):
        service_url(url)


@pytest.mark.parametrize(
    ("url", "trusts"),
    [
        ("http://127.0.0.1:1", False),
        ("http://localhost", False),
        ("http://[::1]:8700", False),
        ("http://selvage.example", True),
    ],
)
def test_no_proxy_stands_before_the_loopback_address(url: str, trusts: bool) -> None:
    assert Options(url).client_arguments()["trust_env"] is trusts


def test_uploads_have_patience_for_their_answer() -> None:
    call = Call("POST", "/x", bytes, answer_seconds=600.0)
    assert QUICK.timeout(call).read == 600.0
    assert QUICK.timeout(call).connect == 5.0
    assert QUICK.timeout(Call("GET", "/x", bytes)).read == 30.0


@pytest.mark.parametrize(
    ("link", "by_proxy"),
    [
        ("http://127.0.0.1:9000/a", False),
        ("http://localhost:9000/a", False),
        ("http://[::1]:9000/a", False),
        ("http://store.example/a", True),
    ],
)
def test_nor_before_a_store_on_it(
    monkeypatch: pytest.MonkeyPatch, link: str, by_proxy: bool
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    with httpx.Client(**QUICK.store_arguments()) as client:
        chosen = client._transport_for_url(httpx.URL(link))
        assert (chosen is not client._transport) is by_proxy
