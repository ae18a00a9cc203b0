"""The same promises of every store: a folder, memory, S3 over HTTP."""

import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from api_schemas.problems import StorageFull, StorageUnavailable
from storage import objects as module
from storage.objects import ObjectMissing, Objects, file_sha256
from storage.store_address import StoreAddress
from tests.support.s3 import S3Server

DIGEST = "ab" * 32
BIG = bytes(range(256)) * (80 * 1024)  # 20 MiB: more than one part


def open_kind(kind: str, request: pytest.FixtureRequest, folder: Path) -> Objects:
    if kind == "memory":
        return Objects.open("memory://")
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        return Objects.open(server.address(server.new_bucket()))
    return Objects.open(f"file://{folder / 'objects'}")


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return open_kind(request.param, request, tmp_path)


@pytest.fixture
def s3_store(s3_server: S3Server) -> Objects:
    return Objects.open(s3_server.address(s3_server.new_bucket()))


class TestObjects:
    def test_first_bytes_stay(self, store: Objects) -> None:
        assert store.put_new("images/ab/x", b"first")
        assert not store.put_new("images/ab/x", b"second")
        assert store.get("images/ab/x") == b"first"

    def test_file_is_put_from_its_position(self, store: Objects) -> None:
        file = io.BytesIO(b"0123456789" * 1000)
        file.seek(10)
        assert store.put_new("images/ab/x", file)
        assert store.get("images/ab/x") == b"0123456789" * 999

    @pytest.mark.parametrize("size_bytes", [0, 1, module.SINGLE_PUT_BYTES + 1, len(BIG)])
    def test_files_of_all_sizes(self, store: Objects, size_bytes: int) -> None:
        data = BIG[:size_bytes]
        assert store.put_file("models/a/x", io.BytesIO(data))
        assert not store.put_file("models/a/x", io.BytesIO(data))
        assert store.size("models/a/x") == size_bytes
        assert b"".join(store.stream("models/a/x")) == data

    def test_first_bytes_of_a_large_file_stay(self, store: Objects) -> None:
        store.put_new("models/a/x", b"first")
        assert not store.put_file("models/a/x", io.BytesIO(BIG))
        assert store.get("models/a/x") == b"first"

    def test_stream_gives_the_same_bytes(self, store: Objects) -> None:
        data = bytes(range(256)) * 100
        store.put_new("images/ab/x", data)
        assert b"".join(store.stream("images/ab/x", chunk_bytes=1000)) == data

    def test_ranges(self, store: Objects) -> None:
        store.put_new("images/ab/x", b"0123456789")
        assert store.get_range("images/ab/x", 2, 3) == b"234"
        assert store.get_range("images/ab/x", 8, 30) == b"89"
        with pytest.raises(ObjectMissing):
            store.get_range("images/ab/none", 0, 1)

    def test_missing(self, store: Objects) -> None:
        assert not store.exists("images/ab/none")
        with pytest.raises(ObjectMissing):
            store.get("images/ab/none")
        with pytest.raises(ObjectMissing):
            store.size("images/ab/none")
        with pytest.raises(ObjectMissing):
            list(store.stream("images/ab/none"))
        with pytest.raises(ObjectMissing):  # at the call already, before the first piece
            store.open_stream("images/ab/none")
        store.check()

    def test_put_stream(self, store: Objects) -> None:
        store.put_stream(
            "uploads/u/file", (BIG[i : i + 999_999] for i in range(0, len(BIG), 999_999))
        )
        assert store.get("uploads/u/file") == BIG
        store.put_stream("uploads/u/file", iter([b"other"]))
        assert store.get("uploads/u/file") == b"other"
        store.put_stream("uploads/u/empty", iter([]))
        assert store.get("uploads/u/empty") == b""

    def test_a_stream_that_fails_leaves_nothing(self, store: Objects) -> None:
        def pieces() -> Iterator[bytes]:
            yield BIG
            raise KeyError("the source broke")

        with pytest.raises(KeyError, match="the source broke"):
            store.put_stream("uploads/u/file", pieces())
        assert not store.exists("uploads/u/file")
        assert list(store.list("uploads")) == []

    def test_replace_file(self, store: Objects) -> None:
        for data in (b"first", BIG, b""):
            store.replace_file("uploads/u/parts/00001", io.BytesIO(data))
            assert store.get("uploads/u/parts/00001") == data

    def test_listing_and_deletion(self, store: Objects) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        keys = {f"images/{n:02}/x" for n in range(30)}
        for key in keys:
            store.put_new(key, b"123")
        store.put_new("images-other/x", b"1234")
        found = list(store.list("images"))
        assert {facts.key for facts in found} == keys
        assert {facts.size_bytes for facts in found} == {3}
        assert all(before < f.modified_at <= datetime.now(UTC) for f in found)
        assert list(store.list("images/none")) == []
        store.delete([*sorted(keys)[1:], "images/00/none"])
        assert [facts.key for facts in store.list("images")] == ["images/00/x"]
        assert store.exists("images-other/x")
        store.delete([])

    @pytest.mark.parametrize(
        "key",
        ["", "/images/a", "images", "images/", "images//a", "../a", "images/../a", "images/..",
         "images/.hidden", "images/a b", "images/a\n", "Images/a", "images/a\x00",
         "a/b/c/d/e/f/g/h", "images\\a", "images/a\\b", "images/\u00e4", "im\u00e4ges/a",
         "images/\u2025/a", "images/a%2Fb", "images/a#1", "C:/images/a", "//images/a",
         "images/\uff0e\uff0e/a"],
    )  # fmt: skip
    def test_keys_of_another_form_are_refused(self, store: Objects, key: str) -> None:
        file = io.BytesIO(b"")
        for call in (
            lambda: store.put_new(key, b""),
            lambda: store.put_file(key, file),
            lambda: store.put_stream(key, iter([])),
            lambda: store.replace_file(key, file),
            lambda: store.get(key),
            lambda: store.get_range(key, 0, 1),
            lambda: store.open_stream(key),
            lambda: store.size(key),
            lambda: store.delete([key]),
        ):
            with pytest.raises(ValueError, match="not a key"):
                call()

    @pytest.mark.parametrize("prefix", ["", "..", "/images", "images/../..", "images/"])
    def test_folders_of_another_form_are_refused(self, store: Objects, prefix: str) -> None:
        with pytest.raises(ValueError, match="not a key"):
            list(store.list(prefix))

    def test_many_writers_of_one_key(self, store: Objects) -> None:
        """One of them stores, and nobody ever reads anything but its whole bytes."""
        stored: list[bytes] = []

        def put(data: bytes) -> None:
            if store.put_new("images/ab/x", data):
                stored.append(data)

        contents = [bytes([n]) * 200_000 for n in range(8)]
        threads = [threading.Thread(target=put, args=(data,)) for data in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(stored) == 1
        assert store.get("images/ab/x") == stored[0]


class TestLocal:
    def test_a_store_that_fails_says_so(self, tmp_path: Path) -> None:
        store = Objects.open(f"file://{tmp_path / 'objects'}")
        (tmp_path / "objects" / "images").write_bytes(b"a file where a folder should be")
        with pytest.raises(StorageUnavailable, match="try again") as caught:
            store.put_new("images/ab/x", b"")
        assert "objects/" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)

    @pytest.mark.parametrize("name", ["with space", "with#hash", "with%41percent", "with?mark"])
    def test_any_folder_name_works(self, tmp_path: Path, name: str) -> None:
        store = Objects.open((tmp_path / name).as_uri())
        store.put_new("images/ab/x", b"data")
        assert (tmp_path / name / "images" / "ab" / "x").read_bytes() == b"data"

    def test_no_presigned_links(self, tmp_path: Path) -> None:
        for store in (Objects.open(f"file://{tmp_path / 'objects'}"), Objects.open("memory://")):
            assert store.presign_get("images/ab/x", 60) is None
            assert store.presign_put("images/ab/x", 60) is None
            assert store.multipart is None

    def test_a_folder_that_is_gone_is_no_healthy_store(self, tmp_path: Path) -> None:
        store = Objects.open(f"file://{tmp_path / 'objects'}")
        store.check()
        (tmp_path / "objects").rmdir()
        with pytest.raises(StorageUnavailable):
            store.check()

    def test_room_is_kept(self, tmp_path: Path) -> None:
        """2^60 bytes must stay free: no disk has them."""
        url = f"file://{tmp_path / 'objects'}"
        store = Objects.open(StoreAddress(url, min_free_bytes=1 << 60))
        for write in (
            lambda: store.put_new("images/ab/x", b"1"),
            lambda: store.put_file("images/ab/x", io.BytesIO(b"1")),
            lambda: store.put_stream("images/ab/x", iter([b"1"])),
            lambda: store.replace_file("images/ab/x", io.BytesIO(b"1")),
        ):
            with pytest.raises(StorageFull, match="free space"):
                write()
        assert list(store.list("images")) == []
        store.check()  # it can be read
        free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
        roomy = Objects.open(StoreAddress(url, min_free_bytes=1))
        roomy.require_room(1)
        with pytest.raises(StorageFull):
            roomy.require_room(2 * free)

    def test_litter_of_dead_writers(self, tmp_path: Path) -> None:
        """A writer that is killed half way: no object, and its staged file goes in time."""
        url = f"file://{tmp_path / 'objects'}"
        script = (
            "import os, sys\n"
            "from storage.objects import Objects\n"
            "def pieces():\n"
            "    yield b'x' * (9 << 20)\n"
            "    yield b'x' * (9 << 20)\n"
            "    os._exit(9)\n"
            "Objects.open(sys.argv[1]).put_stream('uploads/u/file', pieces())\n"
        )
        done = subprocess.run([sys.executable, "-c", script, url], check=False)
        assert done.returncode == 9
        store = Objects.open(url)
        assert not store.exists("uploads/u/file")
        assert list(store.list("uploads")) == []
        store.put_new("uploads/u/other", b"1")
        assert [p.name for p in (tmp_path / "objects/uploads/u").iterdir()] != ["other"]
        assert store.remove_unfinished(3600) == 0
        assert store.remove_unfinished(-1) == 1
        assert [p.name for p in (tmp_path / "objects/uploads/u").iterdir()] == ["other"]


FULL_DISK = """
import io, resource, signal, sys
from api_schemas.problems import StorageFull
from storage.objects import Objects

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails with an error
store = Objects.open(sys.argv[1])
store.put_new("images/ab/good", b"good")
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
big = b"x" * (1 << 20)
writes = [
    lambda: store.put_new("images/ab/x", big),
    lambda: store.put_file("images/ab/x", io.BytesIO(big * 9)),
    lambda: store.put_stream("images/ab/x", iter([big])),
    lambda: store.replace_file("images/ab/good", io.BytesIO(big)),
]
for write in writes:
    try:
        write()
    except StorageFull as error:
        assert sys.argv[1] not in str(error)
        print(error.code)
assert [facts.key for facts in store.list("images")] == ["images/ab/good"]
assert store.get("images/ab/good") == b"good"
"""

READ_ONLY = """
import os, sys
from api_schemas.problems import StorageReadOnly
from storage.objects import Objects

store = Objects.open(sys.argv[1])
if os.getuid() == 0:
    os.setuid(65534)
assert store.get("images/ab/good") == b"good"
store.check()
for write in (
    lambda: store.put_new("images/ab/x", b"1"),
    lambda: store.put_stream("images/ab/x", iter([b"1"])),
    lambda: store.delete(["images/ab/good"]),
):
    try:
        write()
    except StorageReadOnly as error:
        assert "objects" not in str(error).replace("of the objects", "")
        print(error.code)
"""


class TestDisks:
    """Real refusals of the operating system, in a process of its own."""

    def test_a_full_disk(self, tmp_path: Path) -> None:
        """A limit on the size of files is what a full disk can be had with everywhere."""
        url = f"file://{tmp_path / 'objects'}"
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, url], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["storage-full"] * 4
        files = [p for p in (tmp_path / "objects").rglob("*") if p.is_file()]
        assert [p.name for p in files] == ["good"]  # nothing half-written stays

    def test_a_folder_that_cannot_be_written(self) -> None:
        """Root may write anywhere, so the process becomes another user if the tests are root's."""
        with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to other users
            folder = Path(name) / "objects"
            Objects.open(f"file://{folder}").put_new("images/ab/good", b"good")
            Path(name).chmod(0o755)
            folders = (folder / "images/ab", folder / "images", folder)
            for path in folders:
                path.chmod(0o555)
            done = subprocess.run(
                [sys.executable, "-c", READ_ONLY, f"file://{folder}"],
                capture_output=True,
                text=True,
                check=False,
            )
            for path in folders:
                path.chmod(0o755)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["storage-read-only"] * 3


class TestS3:
    def test_a_link_to_read(self, s3_store: Objects) -> None:
        s3_store.put_new("labels/ab/x/label.png", b"the label")
        url = s3_store.presign_get("labels/ab/x/label.png", 60, "image/png")
        assert url is not None
        answer = httpx.get(url)
        assert (answer.status_code, answer.content) == (200, b"the label")
        assert answer.headers["content-type"] == "image/png"

    def test_a_link_says_when_it_ends(self, s3_store: Objects) -> None:
        url = s3_store.presign_get("labels/ab/x/label.png", 900)
        assert url is not None
        assert "X-Amz-Expires=900&" in url

    def test_a_link_to_write(self, s3_store: Objects) -> None:
        url = s3_store.presign_put("uploads/u/file", 60)
        assert url is not None
        httpx.put(url, content=b"from a client").raise_for_status()
        assert s3_store.get("uploads/u/file") == b"from a client"

    def test_links_point_to_the_public_address(self, s3_server: S3Server) -> None:
        address = s3_server.address("b", public_endpoint="https://objects.example.org")
        url = Objects.open(address).presign_get("images/ab/x", 60)
        assert url is not None
        assert url.startswith("https://objects.example.org/b/pre/fix/images/ab/x?")

    def test_a_store_that_clients_do_not_reach(self, s3_server: S3Server) -> None:
        """No links; all else works, and the collector still finds what was left half done."""
        address = s3_server.address(s3_server.new_bucket(), has_links=False)
        store = Objects.open(address)
        assert store.multipart is None
        assert store.presign_get("images/ab/x", 60) is None
        assert store.presign_put("images/ab/x", 60) is None
        assert store.put_file("images/ab/x", io.BytesIO(BIG))
        store.delete(["images/ab/x"])
        linked = Objects.open(s3_server.address(s3_server.last_bucket))
        assert linked.multipart is not None
        linked.multipart.create("uploads/u/file")
        assert store.remove_unfinished(0) == 1

    def test_secrets_are_not_shown(self, s3_server: S3Server) -> None:
        address = s3_server.address("b")
        assert "test-secret" not in repr(address)
        url = Objects.open(address).presign_get("images/ab/x", 60)
        assert url is not None
        assert "test-secret" not in url

    def test_wrong_bucket_and_dead_server_are_problems(self, s3_server: S3Server) -> None:
        store = Objects.open(s3_server.address("no-such-bucket"))
        with pytest.raises(StorageUnavailable) as caught:
            store.put_new("images/ab/x", b"1")
        assert "no-such-bucket" not in str(caught.value)
        dead = Objects.open(s3_server.address("b", endpoint="http://127.0.0.1:1"))
        for call in (lambda: dead.get("images/ab/x"), dead.check):
            with pytest.raises(StorageUnavailable, match="try again") as caught:
                call()
            assert "127.0.0.1" not in str(caught.value)

    def test_plain_http_only_where_the_address_says_so(self, s3_server: S3Server) -> None:
        endpoint = s3_server.url.replace("http://", "https://")
        store = Objects.open(s3_server.address("b", endpoint=endpoint, retries=0))
        with pytest.raises(StorageUnavailable):
            store.check()

    def test_unknown_addresses(self) -> None:
        for url in ("gs://bucket", "s3://", "ftp://x", "/folder"):
            with pytest.raises(ValueError, match="SELVAGE_OBJECTS_URL"):
                Objects.open(url)


class TestKeys:
    def test_every_key_of_ours_has_the_form_of_keys(self) -> None:
        assert module.image_key(DIGEST) == f"images/ab/{DIGEST}"
        assert module.label_key(DIGEST, "stages/predict.png") == (
            f"labels/ab/{DIGEST}/stages/predict.png"
        )
        keys = [
            module.image_key(DIGEST),
            module.label_key(DIGEST, "label.png"),
            module.label_key(DIGEST, "stages/predict.png"),
            module.evidence_key(DIGEST),
            module.fit_key("pilot", DIGEST),
            module.model_key(DIGEST, "segmenter.safetensors"),
            module.annotation_key(DIGEST),
            module.upload_key("upl_01HZX3K6ZQ0V9C2W8J5N7M4R1T"),
            module.upload_part_key("upl_01HZX3K6ZQ0V9C2W8J5N7M4R1T", 10_000),
        ]
        store = Objects.open("memory://")
        assert [store.put_new(key, b"") for key in keys] == [True] * len(keys)


def test_file_sha256_reads_from_the_start_and_rewinds() -> None:
    file = io.BytesIO(b"abc")
    file.read(2)
    # of "abc", FIPS 180-2 appendix B.1
    assert file_sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file.tell() == 0
