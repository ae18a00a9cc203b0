"""The object store: immutable bytes under keys made by us, local, memory or S3, by address.

Puts are create-only: who comes second leaves the first bytes in place. Nothing here relies on
compare-and-swap, which a local folder cannot do; pointers that move live in the catalog.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import SEEK_END
from typing import BinaryIO, Final, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from api_schemas.problems import StorageUnavailable
from storage.local_litter import remove_staged_files
from storage.object_errors import disk_full, storage_problem
from storage.object_stores import OpenedStore, open_store
from storage.s3_multipart import S3Multipart
from storage.store_address import StoreAddress

# One request up to this size; a larger file goes in parts, so that it is never whole in memory.
SINGLE_PUT_BYTES: Final = 8 << 20
_PART_BYTES: Final = 8 << 20
_BIG_FILE_BYTES: Final = 10_000 * _PART_BYTES  # S3 takes at most 10,000 parts
_BIG_PART_BYTES: Final = 512 << 20
_PARTS_AT_ONCE: Final = 2
_DELETE_BATCH: Final = 500
_LIST_BATCH: Final = 1000

_KEY = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*(?:/[A-Za-z0-9][A-Za-z0-9._-]*){1,6}")


class ObjectMissing(LookupError):
    """No object has this key."""


def image_key(digest: str) -> str:
    """Key of an uploaded image."""
    return f"images/{digest[:2]}/{digest}"


def label_key(digest: str, name: str) -> str:
    """Key of an artefact of a label."""
    return f"labels/{digest[:2]}/{digest}/{name}"


def evidence_key(digest: str) -> str:
    """Key of the evidence that pass 1 leaves for pass 2."""
    return f"evidence/{digest[:2]}/{digest}.npz"


def sample_key(job_id: str, digest: str) -> str:
    """Key of what a chunk adds to the sample of its job, by the digest of its bytes."""
    return f"samples/{job_id}/{digest}.npz"


def fit_key(kind: str, digest: str) -> str:
    """Key of a pilot fit or a job fit."""
    return f"fits/{kind}/{digest}.json"


def model_key(digest: str, name: str) -> str:
    """Key of a file of a model version."""
    return f"models/{digest}/{name}"


def checkpoint_key(job_id: str, digest: str) -> str:
    """Key of a file of a checkpoint of a training, by the digest of its bytes."""
    return f"checkpoints/{job_id}/{digest}"


def worklist_key(request_id: str) -> str:
    """Key of the list of files that an ingest job reads, for as long as it runs."""
    return f"worklists/{request_id}.jsonl"


def annotation_key(digest: str) -> str:
    """Key of an uploaded true label (normalised index PNG, 255 = ignore)."""
    return f"annotations/{digest[:2]}/{digest}.png"


def export_key(job_id: str, epoch: int) -> str:
    """Key of the file of an export, by the epoch of the lease under which it is written."""
    return f"exports/{job_id}/{epoch}.zip"


def upload_key(upload_id: str) -> str:
    """Key of a file that arrived in parts."""
    return f"uploads/{upload_id}/file"


def upload_part_key(upload_id: str, number: int) -> str:
    """Key of one part of it, where the API takes the parts."""
    return f"uploads/{upload_id}/parts/{number:05d}"


@dataclass(frozen=True)
class ObjectFacts:
    """What a listing says of an object."""

    key: str
    size_bytes: int
    modified_at: datetime


class Objects:
    """Bytes by key. Safe to share between threads.

    Every method raises StorageUnavailable when the store fails, and those that write its kinds
    StorageFull and StorageReadOnly.
    """

    def __init__(self, store: OpenedStore, min_free_bytes: int = 0) -> None:
        self._store = store
        self._min_free_bytes = min_free_bytes

    @classmethod
    def open(cls, address: StoreAddress | str) -> "Objects":
        """Open the store at `file:///folder`, `memory://` or `s3://bucket/prefix`.

        Raises:
            ValueError: the address is not one that is understood.
            StorageUnavailable: the local folder cannot be made.
        """
        if isinstance(address, str):
            address = StoreAddress(address)
        with _problems():
            return cls(open_store(address), address.min_free_bytes)

    @property
    def multipart(self) -> S3Multipart | None:
        """Uploads whose parts clients send to the store; None where the API must take them."""
        return self._store.multipart if self._store.links is not None else None

    def put_new(self, key: str, data: bytes | BinaryIO) -> bool:
        """Store `data` unless the key exists; returns whether this call stored it."""
        if not isinstance(data, bytes):
            return self._put_file(_checked(key), data)
        self.require_room(len(data))
        return self._create(_checked(key), data)

    def put_file(self, key: str, file: BinaryIO) -> bool:
        """Store the rest of a file of any size unless the key exists; as `put_new`."""
        return self._put_file(_checked(key), file)

    def put_stream(self, key: str, pieces: Iterable[bytes]) -> None:
        """Store pieces as one object, atomically; replaces what is there.

        Whatever `pieces` raises is raised here, and no object is left.
        """
        _checked(key)
        failed: list[BaseException] = []

        def guarded() -> Iterator[bytes]:
            try:
                self.require_room(0)
                for piece in pieces:
                    self.require_room(len(piece))
                    yield piece
            except BaseException as error:  # the library would wrap it beyond recognition
                failed.append(error)
                raise

        try:
            self._put_parts(key, guarded(), None)
        except StorageUnavailable:
            if failed:
                raise failed[0] from None
            raise

    def replace_file(self, key: str, file: BinaryIO) -> None:
        """Store the rest of a file, atomically; replaces what is there.

        Only for what may change: parts of an upload that is not complete.
        """
        _checked(key)
        size_bytes = _rest_bytes(file)
        self.require_room(size_bytes)
        self._put_parts(key, file, size_bytes)

    def get(self, key: str) -> bytes:
        """Return the bytes of a key.

        Raises:
            ObjectMissing: there is no such key.
        """
        with _problems(key):
            return bytes(obstore.get(self._store.bulk, _checked(key)).bytes())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; errors as in `get`."""
        with _problems(key):
            found = obstore.get_range(self._store.bulk, _checked(key), start=start, length=length)
            return bytes(found)

    def stream(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Yield the bytes of a key piece by piece; errors as in `get`, at the first piece."""
        yield from self.open_stream(key, chunk_bytes)

    def open_stream(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Return the bytes of a key piece by piece; errors as in `get`, at this call.

        For answers over HTTP, where after the first piece no status can be sent any more.
        """
        with _problems(key):
            stream = obstore.get(self._store.bulk, _checked(key)).stream(min_chunk_size=chunk_bytes)

        def pieces() -> Iterator[bytes]:
            with _problems(key):
                for piece in stream:
                    yield bytes(piece)

        return pieces()

    def exists(self, key: str) -> bool:
        """Whether the key exists."""
        return self._exists(key)

    def size(self, key: str) -> int:
        """Return the size of an object in bytes.

        Raises:
            ObjectMissing: there is no such key.
        """
        with _problems(key):
            return int(obstore.head(self._store.quick, _checked(key))["size"])

    def list(self, prefix: str) -> Iterator[ObjectFacts]:
        """Yield what lies under a folder of keys (`images`, `uploads/upl_…`), in no given order."""
        checked = _checked_folder(prefix)
        with _problems():
            for batch in obstore.list(self._store.quick, checked, chunk_size=_LIST_BATCH):
                for found in batch:
                    yield ObjectFacts(
                        found["path"], int(found["size"]), found["last_modified"].astimezone(UTC)
                    )

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that do not exist do no harm."""
        wanted = [_checked(key) for key in keys]
        size = _DELETE_BATCH if self._store.folder is None else 1  # a folder has no bulk delete
        for start in range(0, len(wanted), size):
            with _problems():
                try:
                    obstore.delete(self._store.quick, wanted[start : start + size])
                except FileNotFoundError:
                    continue

    def presign_get(self, key: str, seconds: int, media_type: str | None = None) -> str | None:
        """Return an address from which anybody can read an object for `seconds`.

        None where the store has no addresses: local and in memory.
        """
        if self._store.links is not None and self._store.location is not None:
            query = {"response-content-type": media_type} if media_type else None
            return self._store.location.sign(
                "GET", _checked(key), seconds, query=query, public=True
            )
        return self._sign("GET", key, seconds)

    def presign_put(self, key: str, seconds: int) -> str | None:
        """Return an address to which anybody can PUT an object for `seconds`; None as above."""
        if self._store.links is not None and self._store.location is not None:
            return self._store.location.sign("PUT", _checked(key), seconds, public=True)
        return self._sign("PUT", key, seconds)

    def require_room(self, size_bytes: int) -> None:
        """Raise StorageFull when a local disk would be (nearly) full after so many bytes."""
        if self._store.folder is None or not self._min_free_bytes:
            return
        with _problems():
            free_bytes = shutil.disk_usage(self._store.folder).free
        if free_bytes - size_bytes < self._min_free_bytes:
            raise disk_full()

    def remove_unfinished(self, older_than_seconds: float) -> int:
        """Remove what writers that died have left half done; returns how many things."""
        if self._store.folder is not None:
            with _problems():
                return remove_staged_files(self._store.folder, older_than_seconds)
        multipart = self._store.multipart
        if multipart is None:
            return 0
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        stale = [u for u in multipart.unfinished() if u.begun_at < before]
        for upload in stale:
            multipart.abort(upload.key, upload.upload_id)
        return len(stale)

    def check(self) -> None:
        """Raise StorageUnavailable unless the store answers soon."""
        if self._store.folder is not None and not self._store.folder.is_dir():
            raise StorageUnavailable("The folder of the objects is gone. Mount or restore it.")
        try:
            with _problems("health/probe"):
                obstore.head(self._store.probe, "health/probe")
        except ObjectMissing:
            return

    def _exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectMissing:
            return False
        return True

    def _put_file(self, key: str, file: BinaryIO) -> bool:
        size_bytes = _rest_bytes(file)
        self.require_room(size_bytes)
        if size_bytes <= SINGLE_PUT_BYTES:
            return self._create(key, file.read())
        # In parts there is no create-only, so this looks first. Keys of ours name their content:
        # who comes between look and put brings the same bytes.
        if self._exists(key):
            return False
        self._put_parts(key, file, size_bytes)
        return True

    def _create(self, key: str, data: bytes) -> bool:
        with _problems():
            try:
                obstore.put(self._store.quick, key, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def _put_parts(
        self, key: str, data: BinaryIO | Iterator[bytes], size_bytes: int | None
    ) -> None:
        part_bytes = _PART_BYTES
        if size_bytes is not None and size_bytes > _BIG_FILE_BYTES:
            part_bytes = _BIG_PART_BYTES
        with _problems():
            obstore.put(
                self._store.bulk,
                key,
                data,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def _sign(self, method: Literal["GET", "PUT"], key: str, seconds: int) -> str | None:
        if self._store.links is None:
            return None
        with _problems():
            return obstore.sign(
                self._store.links, method, _checked(key), timedelta(seconds=seconds)
            )


def file_sha256(file: BinaryIO, chunk_bytes: int = 1 << 20) -> str:
    """Return the SHA-256 of a file from its start; leaves it rewound."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(chunk_bytes):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def _rest_bytes(file: BinaryIO) -> int:
    position = file.tell()
    size_bytes = file.seek(0, SEEK_END) - position
    file.seek(position)
    return size_bytes


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of ours: {key!r}")
    return key


def _checked_folder(prefix: str) -> str:
    _checked(f"{prefix}/x")
    return prefix


@contextmanager
def _problems(key: str | None = None) -> Iterator[None]:
    """Turn errors of the store into problems; a missing object too, where `key` names one."""
    try:
        yield
    except FileNotFoundError as error:
        if key is not None:
            raise ObjectMissing(key) from error
        raise storage_problem(error) from error
    except (BaseError, OSError) as error:
        raise storage_problem(error) from error
