"""Resumable uploads by a client that breaks off, repeats, lies, and sends parts side by side."""

import hashlib
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api_schemas.problems import StorageUnavailable
from domain import upload_completion, uploads
from storage.catalog.tables import LockRow, UploadRow
from storage.objects import Objects, upload_key
from tests.support.catalogs import new_sqlite_catalog
from tests.support.installation import Installation, installation
from tests.support.live_server import live_server
from tests.support.s3 import S3Server
from tests.support.uploads import announce, complete, put, send_missing, slice_of, upload

MIB = 2**20


class Killed(BaseException):
    """The process is gone, between two instructions."""


class Store:
    """An installation with the sizes that suit its store."""

    def __init__(self, site: Installation, part_bytes: int) -> None:
        self.site = site
        self.part_bytes = part_bytes
        self.data = random.Random(7).randbytes(3 * part_bytes + 11)

    def announce(self, **more: Any) -> dict[str, Any]:
        answer = announce(self.site, self.data, part_bytes=self.part_bytes, **more)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def keys(self) -> list[str]:
        return sorted(facts.key for facts in self.site.objects.list("uploads"))

    def read(self, upload_id: str) -> bytes:
        return self.site.objects.get(upload_key(upload_id))


@pytest.fixture(params=["sqlite", "postgresql", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    settings: dict[str, Any] = {"upload_min_part_bytes": 1}
    part_bytes = 1000
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database(f"up_{tmp_path.name[-40:]}")
    else:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    if request.param == "memory":
        settings["objects_url"] = "memory://"
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        settings = server.settings(server.new_bucket())
        part_bytes = 5 * MIB
    with installation(url, tmp_path / "data", **settings) as site:
        yield Store(site, part_bytes)


@pytest.fixture
def local(sqlite_site: Installation) -> Installation:
    return sqlite_site


def small(folder: Path, **changes: Any) -> Any:
    """An installation on SQLite and local files that takes parts of any size."""
    url = new_sqlite_catalog(folder / "catalog.sqlite3")
    return installation(url, folder / "data", **{"upload_min_part_bytes": 1, **changes})


class TestAClient:
    def test_whole_with_a_break(self, store: Store) -> None:
        """Two parts, a break, what is missing, done; the bytes are those of the file."""
        site, data = store.site, store.data
        upload = store.announce(sha256=hashlib.sha256(data).hexdigest())
        assert (upload["status"], upload["part_count"]) == ("open", 4)
        assert [p["size_bytes"] for p in upload["parts"]] == [store.part_bytes] * 3 + [11]
        assert send_missing(site, upload["id"], data, limit=2) == 2
        after = site.client.get(f"/v1/uploads/{upload['id']}").json()
        assert [p["status"] for p in after["parts"]] == ["stored"] * 2 + ["missing"] * 2
        early = complete(site, upload["id"])
        assert (early.status_code, early.json()["code"]) == (409, "upload-incomplete")
        assert "2 of 4 parts are missing: 3, 4" in early.json()["detail"]
        assert send_missing(site, upload["id"], data) == 2
        answer = complete(site, upload["id"])
        assert (answer.status_code, answer.json()["status"]) == (200, "complete"), answer.text
        assert store.read(upload["id"]) == data
        assert store.keys() == [upload_key(upload["id"])]
        assert complete(site, upload["id"]).status_code == 200
        again = site.client.get(f"/v1/uploads/{upload['id']}").json()
        assert {p["status"] for p in again["parts"]} == {"stored"}
        assert {p["url"] for p in again["parts"]} == {None}

    def test_parts_side_by_side_and_out_of_order(self, store: Store) -> None:
        upload = store.announce(sha256=hashlib.sha256(store.data).hexdigest())
        parts = upload["parts"][::-1]
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(
                    lambda p: put(store.site, p, slice_of(upload, p["number"], store.data)), parts
                )
            )
        assert [a.status_code for a in answers] == [200] * 4
        etags = {p["number"]: a.headers["etag"] for p, a in zip(parts, answers, strict=True)}
        listed = [{"number": n, "etag": etags[n]} for n in (1, 2, 3, 4)]
        wrong = [*listed[:3], {"number": 4, "etag": "0" * 32}]
        for bad in (wrong, listed[:3], [*listed, listed[0]]):
            answer = complete(store.site, upload["id"], parts=bad)
            assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        answer = complete(store.site, upload["id"], parts=listed)
        assert answer.status_code == 200, answer.text
        assert store.read(upload["id"]) == store.data

    def test_a_part_sent_again_replaces_the_first(self, store: Store) -> None:
        upload = store.announce(sha256=hashlib.sha256(store.data).hexdigest())
        first = upload["parts"][0]
        assert put(store.site, first, bytes(store.part_bytes)).status_code == 200
        send_missing(store.site, upload["id"], store.data)
        for _ in range(2):
            sent = slice_of(upload, 1, store.data)
            assert put(store.site, first, sent).status_code == 200
        assert complete(store.site, upload["id"]).status_code == 200
        assert store.read(upload["id"]) == store.data

    def test_another_file_than_announced(self, store: Store) -> None:
        upload = store.announce(sha256="0" * 64)
        send_missing(store.site, upload["id"], store.data)
        answer = complete(store.site, upload["id"])
        assert (answer.status_code, answer.json()["code"]) == (422, "upload-digest-mismatch")
        assert store.keys() == []
        closed = store.site.client.get(f"/v1/uploads/{upload['id']}").json()
        assert (closed["status"], closed["parts"]) == ("aborted", [])
        assert closed["problem"]["code"] == "upload-digest-mismatch"
        again = complete(store.site, upload["id"])
        assert (again.status_code, again.json()["code"]) == (409, "state-conflict")

    def test_abort(self, store: Store) -> None:
        upload = store.announce()
        send_missing(store.site, upload["id"], store.data, limit=2)
        url = f"/v1/uploads/{upload['id']}"
        for _ in range(2):
            assert store.site.client.delete(url).status_code == 204
        assert store.keys() == []
        late = put(store.site, upload["parts"][3], store.data[-11:])
        assert not late.is_success
        assert store.keys() == []
        assert store.site.client.get(url).json()["status"] == "aborted"
        assert complete(store.site, upload["id"]).status_code == 409

    def test_expiry(self, store: Store) -> None:
        """First the bytes go, later the row; one that a job reads lives on."""
        site = store.site
        half = store.announce()["id"]
        send_missing(site, half, store.data, limit=1)
        whole = upload(site, store.data, part_bytes=store.part_bytes)
        fresh = store.announce()["id"]
        _age(site, half, whole)
        assert uploads.expire(site.catalog, site.objects, keep_hours=1) == 2
        assert store.keys() == []
        for upload_id in (half, whole):
            document = site.client.get(f"/v1/uploads/{upload_id}").json()
            assert (document["status"], "expired" in document["problem"]["detail"]) == (
                "aborted",
                True,
            )
        assert uploads.expire(site.catalog, site.objects, keep_hours=1) == 0
        _age(site, half, whole)
        assert uploads.expire(site.catalog, site.objects, keep_hours=1) == 2
        assert site.client.get(f"/v1/uploads/{half}").status_code == 404
        assert site.client.get(f"/v1/uploads/{fresh}").json()["status"] == "open"


def _age(site: Installation, *upload_ids: str) -> None:
    with site.catalog.write() as session:
        for upload_id in upload_ids:
            row: Any = session.get(UploadRow, upload_id)
            row.expires_at = 1.0


class TestKilledWhileCompleting:
    """The process dies before or after any step that others can see; asked again, it goes on."""

    @pytest.mark.parametrize(
        "step",
        [
            "_set_status",
            "require_room",
            "put_stream",
            "after put_stream",
            "_end_complete",
            "delete",
        ],
    )
    def test_local(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        with small(tmp_path) as site:
            store = Store(site, 1000)
            upload_id = store.announce(sha256=hashlib.sha256(store.data).hexdigest())["id"]
            send_missing(site, upload_id, store.data)
            self._die_at(monkeypatch, step)
            with pytest.raises(Killed):
                upload_completion.complete(
                    site.catalog, site.objects, upload_id, None, site.settings
                )
            monkeypatch.undo()
            self._goes_on(store, upload_id)

    @pytest.mark.parametrize("step", ["_set_status", "_verify", "_end_complete"])
    def test_s3(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_server: S3Server, step: str
    ) -> None:
        with small(tmp_path, **s3_server.settings(s3_server.new_bucket())) as site:
            store = Store(site, 5 * MIB)
            upload_id = store.announce(sha256=hashlib.sha256(store.data).hexdigest())["id"]
            send_missing(site, upload_id, store.data)
            self._die_at(monkeypatch, step)
            with pytest.raises(Killed):
                upload_completion.complete(
                    site.catalog, site.objects, upload_id, None, site.settings
                )
            monkeypatch.undo()
            self._goes_on(store, upload_id)

    @staticmethod
    def _die_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        def die(*_: object, **__: object) -> None:
            raise Killed

        if step == "after put_stream":
            original = Objects.put_stream

            def put_and_die(self: Objects, *arguments: Any) -> None:
                original(self, *arguments)
                raise Killed

            monkeypatch.setattr(Objects, "put_stream", put_and_die)
        elif step.startswith("_"):
            monkeypatch.setattr(upload_completion, step, die)
        else:
            monkeypatch.setattr(Objects, step, die)
        monkeypatch.setattr(upload_completion._Hold, "drop", lambda self: None)

    @staticmethod
    def _goes_on(store: Store, upload_id: str) -> None:
        client = store.site.client
        status = client.get(f"/v1/uploads/{upload_id}").json()["status"]
        if status != "complete":
            busy = complete(store.site, upload_id)
            assert (busy.status_code, busy.json()["code"]) == (409, "upload-busy")
            assert busy.headers["retry-after"] == "2"
            with store.site.catalog.write() as session:
                lock: Any = session.get(LockRow, f"upload {upload_id}")
                lock.until = 1.0
        answer = complete(store.site, upload_id)
        assert answer.status_code == 200, answer.text
        assert store.read(upload_id) == store.data

    def test_store_that_fails_for_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with small(tmp_path) as site:
            store = Store(site, 1000)
            upload_id = store.announce()["id"]
            send_missing(site, upload_id, store.data)

            def fail(*_: object) -> None:
                raise StorageUnavailable("The object store failed.")

            with monkeypatch.context() as patch:
                patch.setattr(Objects, "put_stream", fail)
                assert complete(site, upload_id).status_code == 503
                assert complete(site, upload_id).status_code == 503  # its lock was let go
            assert complete(site, upload_id).status_code == 200
            assert store.read(upload_id) == store.data

    def test_parts_that_the_store_has_lost(self, tmp_path: Path) -> None:
        with small(tmp_path) as site:
            store = Store(site, 1000)
            upload_id = store.announce()["id"]
            send_missing(site, upload_id, store.data)
            site.objects.delete(store.keys()[1:2])
            answer = complete(site, upload_id)
            assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
            assert "lost parts" in answer.json()["detail"]
            assert store.keys() == []


class TestParts:
    """The API's own taking of parts: exact sizes, or nothing."""

    def test_wrong_sizes_leave_nothing(self, tmp_path: Path) -> None:
        with small(tmp_path) as site:
            store = Store(site, 1000)
            url = store.announce()["parts"][0]["url"]
            pieces = [bytes(400), bytes(400), bytes(400)]
            for content in (b"", bytes(999), bytes(1001), iter(pieces), iter(pieces[:2])):
                answer = site.client.put(url, content=content)
                assert (answer.status_code, answer.json()["code"]) == (422, "part-size-mismatch")
            assert store.keys() == []

    def test_numbers_and_closed_uploads(self, tmp_path: Path) -> None:
        with small(tmp_path) as site:
            store = Store(site, 1000)
            upload_id = store.announce()["id"]
            base = f"/v1/uploads/{upload_id}/parts"
            for number, status in (("5", 404), ("10001", 422), ("0", 422), ("x", 422), ("-1", 422)):
                answer = site.client.put(f"{base}/{number}", content=bytes(1000))
                assert answer.status_code == status
            unknown = "/v1/uploads/upl_00000000000000000000000000"
            assert site.client.put(f"{unknown}/parts/1", content=b"x").status_code == 404
            assert site.client.delete(unknown).status_code == 404
            assert site.client.post(f"{unknown}:complete").status_code == 404
            send_missing(site, upload_id, store.data)
            assert complete(site, upload_id).status_code == 200
            answer = site.client.put(f"{base}/1", content=bytes(1000))
            assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
            assert store.read(upload_id) == store.data

    def test_closed_while_the_part_was_on_its_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with small(tmp_path) as site:
            store = Store(site, 1000)
            upload_id = store.announce()["id"]
            original = Objects.put_file

            def put_and_abort(self: Objects, *arguments: Any) -> bool:
                stored = original(self, *arguments)
                assert site.client.delete(f"/v1/uploads/{upload_id}").status_code == 204
                return stored

            monkeypatch.setattr(Objects, "put_file", put_and_abort)
            answer = site.client.put(f"/v1/uploads/{upload_id}/parts/1", content=bytes(1000))
            assert answer.status_code == 409
            assert store.keys() == []

    def test_many_parts_come_in_pages(self, tmp_path: Path) -> None:
        with small(tmp_path) as site:
            upload = announce(site, bytes(10_000), part_bytes=1).json()
            assert (upload["part_count"], len(upload["parts"])) == (10_000, 100)
            page = site.client.get(
                f"/v1/uploads/{upload['id']}",
                params={"page_size": 1000, "page_token": upload["next_page_token"]},
            ).json()
            assert [page["parts"][i]["number"] for i in (0, -1)] == [101, 1100]


class TestOverHttp:
    """A real server, whose clients hang up."""

    def test_a_part_that_is_cut_leaves_nothing(self, tmp_path: Path) -> None:
        with small(tmp_path) as site, live_server(site) as live:
            upload_id = announce(site, bytes(3_000_000), part_bytes=3_000_000).json()["id"]
            host, port = live.url.removeprefix("http://").split(":")
            for sent_bytes in (0, 1, 70_000, 2_999_999):
                with socket.create_connection((host, int(port))) as connection:
                    connection.sendall(
                        f"PUT /v1/uploads/{upload_id}/parts/1 HTTP/1.1\r\nHost: x\r\n"
                        "Content-Length: 3000000\r\n\r\n".encode()
                    )
                    connection.sendall(bytes(sent_bytes))
            with live.client() as client:  # the server has seen the ends of those before this one
                found = client.get(f"/v1/uploads/{upload_id}").json()
                assert [part["status"] for part in found["parts"]] == ["missing"]
                assert list(site.objects.list("uploads")) == []
                answer = client.put(f"/v1/uploads/{upload_id}/parts/1", content=bytes(3_000_000))
                assert answer.status_code == 200, answer.text
                assert client.post(f"/v1/uploads/{upload_id}:complete").status_code == 200
            assert site.objects.size(upload_key(upload_id)) == 3_000_000

    def test_refused_before_its_bytes_come(self, tmp_path: Path) -> None:
        """Who announces a part of another size hears it without sending it."""
        with small(tmp_path) as site, live_server(site) as live:
            upload_id = announce(site, b"abc").json()["id"]
            host, port = live.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(
                    f"PUT /v1/uploads/{upload_id}/parts/1 HTTP/1.1\r\nHost: x\r\n"
                    "Content-Length: 99999\r\n\r\n".encode()
                )
                assert connection.recv(200).startswith(b"HTTP/1.1 422")


class TestBounds:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"file_name": "a", "size_bytes": 0},
            {"file_name": "a", "size_bytes": -1},
            {"file_name": "a", "size_bytes": 2**63},
            {"file_name": "a", "size_bytes": 10**15},
            {"file_name": "", "size_bytes": 1},
            {"file_name": "x" * 1025, "size_bytes": 1},
            {"file_name": "a", "size_bytes": 10, "sha256": "nothing"},
            {"file_name": "a", "size_bytes": 10, "extra": 1},
            {"file_name": "a", "size_bytes": 10**9, "part_bytes": 1000},
            {"file_name": "a", "size_bytes": 10**11, "part_bytes": 6 * 10**6},
            {"file_name": "a", "size_bytes": 10**11, "part_bytes": 50 * 10**9},
        ],
    )
    def test_refused(self, local: Installation, body: dict[str, Any]) -> None:
        answer = local.client.post("/v1/uploads", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        assert answer.json()["errors"]

    @pytest.mark.parametrize(
        ("size_bytes", "parts"), [(1, 1), (64 * MIB, 1), (64 * MIB + 1, 2), (200 * 2**30, 3200)]
    )
    def test_sizes_chosen(self, local: Installation, size_bytes: int, parts: int) -> None:
        body = {"file_name": "../a\u202eb/c.zip", "size_bytes": size_bytes}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Objects, "require_room", lambda *_: None)
            upload = local.client.post("/v1/uploads", json=body).json()
        assert (upload["part_count"], upload["file_name"]) == (parts, "ab/c.zip")
        assert upload["part_bytes"] * (parts - 1) < size_bytes <= upload["part_bytes"] * parts

    def test_open_uploads(self, tmp_path: Path) -> None:
        with small(tmp_path, upload_max_open=2) as site:
            ids = [announce(site, b"abc").json()["id"] for _ in range(2)]
            answer = announce(site, b"abc")
            assert (answer.status_code, answer.json()["code"]) == (429, "quota-exceeded")
            assert answer.headers["retry-after"] == "60"
            listed = site.client.get("/v1/uploads", params={"status": "open"}).json()["uploads"]
            assert [u["id"] for u in listed] == ids[::-1]
            assert site.client.delete(f"/v1/uploads/{ids[0]}").status_code == 204
            assert announce(site, b"abc").status_code == 201

    def test_idempotency_key(self, local: Installation) -> None:
        body = {"file_name": "a", "size_bytes": 3}
        headers = {"Idempotency-Key": "k"}
        first, second = (
            local.client.post("/v1/uploads", json=body, headers=headers) for _ in range(2)
        )
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
        assert len(local.client.get("/v1/uploads").json()["uploads"]) == 1
