"""The API key goes to the service and nowhere else."""

import asyncio
import logging
import traceback

import httpx
import pytest
from selvage_client import AsyncSelvage, RetryPolicy, Selvage, SelvageError
from selvage_client.errors import InvalidInput
from selvage_client.transport import Options

from api_schemas.problems import NotFound
from tests.client.fake_service import problem_response

KEY = "sv_hush-hush"
QUICK = RetryPolicy(3, 3, 0.0, 0.0)
LINK = "https://store.example:9000/bucket/key?X-Amz-Signature=abc"


class Web:
    """A service that sends everybody to a store, and the store."""

    def __init__(self, *store_answers: httpx.Response | Exception, link: str = LINK) -> None:
        self.requests: list[httpx.Request] = []
        self._store_answers = list(store_answers)
        self._link = link

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host == "service":
            return httpx.Response(303, headers={"location": self._link})
        answer = self._store_answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> Selvage:
        return Selvage(
            "http://service", KEY, retries=QUICK, transport=httpx.MockTransport(self.handle)
        )


def test_a_link_to_a_store_is_followed_without_the_key() -> None:
    web = Web(httpx.Response(200, content=b"png"))
    assert web.client().artifact("lab_1", "label.png") == b"png"
    asked, followed = web.requests
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert str(followed.url) == LINK
    assert "authorization" not in followed.headers


def test_for_coroutines_as_well() -> None:
    web = Web(httpx.Response(200, content=b"png"))

    async def run() -> bytes:
        transport = httpx.MockTransport(web.handle)
        async with AsyncSelvage("http://service", KEY, transport=transport) as client:
            return await client.image("d1")

    assert asyncio.run(run()) == b"png"
    assert ["authorization" in request.headers for request in web.requests] == [True, False]


def test_a_store_that_fails_is_asked_again_by_a_fresh_link() -> None:
    web = Web(httpx.ReadError("reset"), httpx.Response(500), httpx.Response(200, content=b"png"))
    assert web.client().image("d1") == b"png"
    assert [request.url.host for request in web.requests] == ["service", "store.example"] * 3


@pytest.mark.parametrize("answer", [httpx.Response(403, text="<Error/>"), httpx.ReadError("x")])
def test_errors_of_a_store_show_no_signature(answer: httpx.Response | Exception) -> None:
    web = Web(answer, answer, answer)
    with pytest.raises(SelvageError, match="store.example:9000") as caught:
        web.client().image("d1")
    text = "".join(traceback.format_exception(caught.value))
    assert "Signature" not in text
    assert KEY not in text


@pytest.mark.parametrize("link", ["", "/elsewhere", "ftp://store/x", "http://"])
def test_other_links_are_followed_by_nobody(link: str) -> None:
    web = Web(link=link)
    with pytest.raises(SelvageError, match="HTTP 303"):
        web.client().image("d1")
    assert len(web.requests) == 1


def test_a_post_is_never_redirected() -> None:
    web = Web()
    with pytest.raises(SelvageError, match="HTTP 303"):
        web.client().cancel("job_1")
    assert len(web.requests) == 1


def test_it_is_in_no_repr_log_or_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = problem_response(NotFound("There is nothing.").problem())
    transport = httpx.MockTransport(lambda _: refusal)
    client = Selvage("http://service", KEY, retries=QUICK, transport=transport)
    with pytest.raises(SelvageError) as caught:
        client.job("job_1")
    shown = [
        repr(client),
        repr(Options("http://service", api_key=KEY)),
        "".join(traceback.format_exception(caught.value)),
        caplog.text,
    ]
    assert not [text for text in shown if "hush" in text]


def test_it_comes_from_the_argument_or_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def key_sent(api_key: str | None) -> str | None:
        seen: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(404)

        transport = httpx.MockTransport(handle)
        with pytest.raises(SelvageError):
            Selvage("http://service", api_key, retries=QUICK, transport=transport).quota()
        return seen[0].headers.get("authorization")

    monkeypatch.delenv("SELVAGE_API_KEY", raising=False)
    assert key_sent(None) is None
    monkeypatch.setenv("SELVAGE_API_KEY", " sv_variable\n")
    assert key_sent(None) == "Bearer sv_variable"
    assert key_sent("sv_argument") == "Bearer sv_argument"


@pytest.mark.parametrize("key", ["sv_a b", "sv_a\r\nX-Evil: 1", "sv_ü", "x" * 600])
def test_what_is_no_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InvalidInput, match="characters that no key has") as caught:
        Selvage("http://service", key)
    assert key not in str(caught.value)
