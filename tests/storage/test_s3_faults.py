"""S3 behind a bad network: bounded waiting, the right bytes, nothing half-written."""

import io
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from api_schemas.problems import StorageUnavailable
from storage.objects import SINGLE_PUT_BYTES, Objects
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.s3 import S3Server

DATA = bytes(range(256)) * 2000
BIG = DATA * 40  # three parts
TIMEOUT_SECONDS = 1.0

Call = Callable[[Objects], object]
CALLS: dict[str, Call] = {
    "get": lambda store: store.get("images/ab/there"),
    "stream": lambda store: b"".join(store.stream("images/ab/there")),
    "size": lambda store: store.size("images/ab/there"),
    "list": lambda store: list(store.list("images")),
    "put_new": lambda store: store.put_new("images/ab/new", DATA),
    "put_file": lambda store: store.put_file("images/ab/new", io.BytesIO(BIG)),
    "delete": lambda store: store.delete(["images/ab/old"]),
    "check": lambda store: store.check(),
}


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server.url) as opened:
        yield opened


@pytest.fixture
def direct(s3_server: S3Server) -> Objects:
    """The same bucket past the proxy."""
    store = Objects.open(s3_server.address(s3_server.new_bucket()))
    store.put_new("images/ab/there", DATA)
    store.put_new("images/ab/old", DATA)
    return store


@pytest.fixture
def store(s3_server: S3Server, proxy: FaultyProxy, direct: Objects) -> Objects:
    address = s3_server.address(
        s3_server.last_bucket, endpoint=proxy.url, timeout_seconds=TIMEOUT_SECONDS, retries=2
    )
    return Objects.open(address)


@pytest.mark.parametrize("fault", ["answer_500", "refuse", "silent", "cut"])
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_that_lasts(
    store: Objects, direct: Objects, proxy: FaultyProxy, fault: str, call: str
) -> None:
    """The answer comes in bounded time, and afterwards everything is as before or done."""
    if fault == "cut":
        proxy.faults.cut_request_after_bytes = 0
        proxy.faults.cut_answer_after_bytes = 30
    else:
        setattr(proxy.faults, fault, True)
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match="try again") as caught:
        CALLS[call](store)
    assert time.monotonic() - began < 4 * TIMEOUT_SECONDS
    for secret in ("127.0.0.1", "bucket-", "images/ab", "/srv/data"):
        assert secret not in str(caught.value)
    proxy.faults.mend()
    assert direct.get("images/ab/there") == DATA
    if call in ("put_new", "put_file"):
        expected = DATA if call == "put_new" else BIG
        CALLS[call](store)
        assert direct.get("images/ab/new") == expected


def test_a_fault_that_passes_is_not_noticed(store: Objects, proxy: FaultyProxy) -> None:
    """A store that answers 500 for a moment costs a moment."""
    proxy.faults.answer_500 = True
    threading.Timer(0.15, proxy.faults.mend).start()
    assert store.get("images/ab/there") == DATA
    assert sum("images/ab/there" in line for line in proxy.faults.requests) > 1


def test_a_slow_store_that_keeps_sending(store: Objects, proxy: FaultyProxy) -> None:
    """Longer than the timeout as a whole, but never silent for so long."""
    proxy.faults.delay_seconds = 0.2
    began = time.monotonic()
    assert store.get("images/ab/there") == DATA
    assert time.monotonic() - began > TIMEOUT_SECONDS


def test_an_answer_cut_short_is_fetched_to_its_end(store: Objects, proxy: FaultyProxy) -> None:
    """What came is kept, the rest is asked for; the bytes are the right ones."""
    proxy.faults.cut_answer_after_bytes = len(DATA) * 2 // 3
    for call in ("get", "stream"):
        assert CALLS[call](store) == DATA


def test_a_put_whose_answer_is_lost(store: Objects, direct: Objects, proxy: FaultyProxy) -> None:
    """The bytes have arrived, the answer has not: asking again finds them."""
    proxy.faults.only = ("PUT",)
    proxy.faults.cut_answer_after_bytes = 0
    with pytest.raises(StorageUnavailable):
        store.put_new("images/ab/new", DATA)
    assert direct.get("images/ab/new") == DATA
    proxy.faults.mend()
    assert not store.put_new("images/ab/new", DATA)


def test_a_large_file_that_breaks_half_way(
    store: Objects, direct: Objects, proxy: FaultyProxy
) -> None:
    """The parts that arrived are not an object, and go when the collector comes."""
    proxy.faults.only = ("PUT",)
    proxy.faults.cut_request_after_bytes = SINGLE_PUT_BYTES // 2
    with pytest.raises(StorageUnavailable):
        store.put_file("images/ab/new", io.BytesIO(BIG))
    assert not direct.exists("images/ab/new")
    assert "images/ab/new" not in {facts.key for facts in direct.list("images")}
    direct.remove_unfinished(0)
    assert direct.multipart is not None
    assert list(direct.multipart.unfinished()) == []
