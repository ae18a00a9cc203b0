"""Multipart uploads whose parts a client sends to the store by itself."""

import os
from collections.abc import Iterator

import httpx
import pytest

from api_schemas.problems import StorageUnavailable
from storage.object_stores import open_store
from storage.objects import Objects
from storage.s3_multipart import (
    MIN_PART_BYTES,
    PartsRefused,
    S3Multipart,
    StoredPart,
    UploadMissing,
)
from storage.store_address import S3Options, StoreAddress
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.s3 import S3Server

KEY = "uploads/upl_1/file"


@pytest.fixture
def store(s3_server: S3Server) -> Objects:
    return Objects.open(s3_server.address(s3_server.new_bucket()))


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server.url) as opened:
        yield opened


def multipart_of(store: Objects) -> S3Multipart:
    multipart = store.multipart
    assert multipart is not None
    return multipart


def send_part(multipart: S3Multipart, upload: str, number: int, data: bytes) -> None:
    url = multipart.part_url(KEY, upload, number, 60, len(data))
    httpx.put(url, content=data).raise_for_status()


class TestMultipart:
    def test_parts_become_one_object(self, store: Objects) -> None:
        multipart = multipart_of(store)
        upload = multipart.create(KEY)
        parts = [os.urandom(MIN_PART_BYTES), os.urandom(MIN_PART_BYTES), b"the end"]
        for number in (3, 1, 2):  # in any order
            send_part(multipart, upload, number, parts[number - 1])
        stored = multipart.parts(KEY, upload)
        assert [(p.number, p.size_bytes) for p in stored] == [
            (1, MIN_PART_BYTES), (2, MIN_PART_BYTES), (3, 7),
        ]  # fmt: skip
        assert not store.exists(KEY)
        multipart.complete(KEY, upload, stored)
        assert store.get(KEY) == b"".join(parts)
        with pytest.raises(UploadMissing):
            multipart.parts(KEY, upload)

    def test_a_part_sent_again_replaces_the_first(self, store: Objects) -> None:
        multipart = multipart_of(store)
        upload = multipart.create(KEY)
        send_part(multipart, upload, 1, b"first")
        send_part(multipart, upload, 1, b"second")
        multipart.complete(KEY, upload, multipart.parts(KEY, upload))
        assert store.get(KEY) == b"second"

    def test_more_parts_than_one_answer_lists(self, s3_server: S3Server) -> None:
        location = open_store(s3_server.address(s3_server.new_bucket())).location
        assert location is not None
        multipart = S3Multipart(location, page_parts=2)
        upload = multipart.create(KEY)
        for number in range(1, 6):
            send_part(multipart, upload, number, b"x")
        assert [p.number for p in multipart.parts(KEY, upload)] == [1, 2, 3, 4, 5]

    def test_the_size_of_a_part_is_signed(self, store: Objects) -> None:
        url = multipart_of(store).part_url(KEY, "up", 1, 60, 12)
        assert "X-Amz-SignedHeaders=content-length%3Bhost" in url

    def test_abort(self, store: Objects) -> None:
        multipart = multipart_of(store)
        upload = multipart.create(KEY)
        send_part(multipart, upload, 1, b"x")
        multipart.abort(KEY, upload)
        multipart.abort(KEY, upload)
        assert not store.exists(KEY)
        with pytest.raises(UploadMissing):
            multipart.parts(KEY, upload)

    def test_what_the_store_does_not_accept(self, store: Objects) -> None:
        multipart = multipart_of(store)
        upload = multipart.create(KEY)
        send_part(multipart, upload, 1, b"too small for a part that is not the last")
        send_part(multipart, upload, 2, b"x")
        with pytest.raises(PartsRefused, match="EntityTooSmall"):
            multipart.complete(KEY, upload, multipart.parts(KEY, upload))
        with pytest.raises(PartsRefused, match="InvalidPart"):
            multipart.complete(KEY, upload, [StoredPart(1, 1, '"another"')])

    def test_the_collector_aborts_old_ones(self, store: Objects) -> None:
        multipart = multipart_of(store)
        upload = multipart.create(KEY)
        [found] = multipart.unfinished()
        assert (found.key, found.upload_id) == (KEY, upload)
        # this server says of every upload that it was begun in 2010
        assert store.remove_unfinished(100 * 365 * 86400) == 0
        assert store.remove_unfinished(86400) == 1
        assert list(multipart.unfinished()) == []

    def test_without_a_key_pair_the_api_takes_the_parts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        options = S3Options(endpoint="http://127.0.0.1:1")
        assert Objects.open(StoreAddress("s3://b", options)).multipart is None
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert Objects.open(StoreAddress("s3://b", options)).multipart is not None

    def test_a_bucket_that_is_gone_is_a_fault_of_the_store(self, s3_server: S3Server) -> None:
        multipart = multipart_of(Objects.open(s3_server.address("no-such-bucket")))
        with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
            multipart.create(KEY)


class TestFaults:
    @pytest.fixture
    def multipart(self, s3_server: S3Server, proxy: FaultyProxy) -> S3Multipart:
        address = s3_server.address(s3_server.new_bucket(), endpoint=proxy.url, timeout_seconds=1.0)
        return multipart_of(Objects.open(address))

    @pytest.mark.parametrize(
        "fault",
        [{"answer_500": True}, {"refuse": True}, {"silent": True}, {"cut_answer_after_bytes": 40}],
    )
    def test_a_store_that_fails(
        self, multipart: S3Multipart, proxy: FaultyProxy, fault: dict[str, object]
    ) -> None:
        upload = multipart.create(KEY)
        for name, value in fault.items():
            setattr(proxy.faults, name, value)
        with pytest.raises(StorageUnavailable) as caught:
            multipart.parts(KEY, upload)
        assert "/" not in str(caught.value)  # no path and no address
        proxy.faults.mend()
        assert multipart.parts(KEY, upload) == []
