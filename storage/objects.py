"""The object store: immutable bytes under keys made by us, local or S3, by address.

Puts are create-only: who comes second leaves the first bytes in place. Nothing here relies on
compare-and-swap, which a local folder cannot do; pointers that move live in the catalog.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from api_schemas.problems import StorageUnavailable

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


def fit_key(kind: str, digest: str) -> str:
    """Key of a pilot fit or a job fit."""
    return f"fits/{kind}/{digest}.json"


def model_key(digest: str, name: str) -> str:
    """Key of a file of a model version."""
    return f"models/{digest}/{name}"


def annotation_key(digest: str) -> str:
    """Key of an uploaded true label (normalised index PNG, 255 = ignore)."""
    return f"annotations/{digest[:2]}/{digest}.png"


class Objects:
    """Bytes by key. Safe to share between threads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str) -> "Objects":
        """Open the store at `file:///folder`, `memory://` or `s3://bucket/prefix`."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            return cls(LocalStore(Path(unquote(parts.path)), mkdir=True))
        if parts.scheme == "memory":
            return cls(MemoryStore())
        return cls(from_url(url))

    def put_new(self, key: str, data: bytes | BinaryIO) -> bool:
        """Store `data` unless the key exists; returns whether this call stored it.

        Raises:
            StorageUnavailable: the store failed.
        """
        try:
            obstore.put(self._store, _checked(key), data, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error
        return True

    def get(self, key: str) -> bytes:
        """Return the bytes of a key.

        Raises:
            ObjectMissing: there is no such key.
            StorageUnavailable: the store failed.
        """
        try:
            return bytes(obstore.get(self._store, _checked(key)).bytes())
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def stream(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Yield the bytes of a key piece by piece; errors as in `get`."""
        try:
            for piece in obstore.get(self._store, _checked(key)).stream(min_chunk_size=chunk_bytes):
                yield bytes(piece)
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error

    def exists(self, key: str) -> bool:
        """Whether the key exists."""
        try:
            obstore.head(self._store, _checked(key))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise _unavailable(error) from error
        return True

    def check(self) -> None:
        """Raise StorageUnavailable unless the store answers."""
        self.exists("health/probe")


def file_sha256(file: BinaryIO, chunk_bytes: int = 1 << 20) -> str:
    """Return the SHA-256 of a file from its start; leaves it rewound."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(chunk_bytes):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of ours: {key!r}")
    return key


def _unavailable(error: Exception) -> StorageUnavailable:
    return StorageUnavailable(
        f"The object store failed ({type(error).__name__}). Nothing was lost; try again shortly."
    )
