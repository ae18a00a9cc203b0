"""What `uploads.send` decides and reads from disk; the sending itself is the transports'."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from api_schemas.uploads import Upload, UploadPart
from selvage_client.errors import SelvageError, invalid_input
from selvage_client.multipart import CHUNK_BYTES, BytesProgress
from selvage_client.requests.uploads import goes_to_store

PARTS_AT_ONCE: Final = 4
FRESH_LINKS: Final = 20  # each is good for a quarter of an hour
EXPIRED_STATUSES: Final = (401, 403)


@dataclass(frozen=True)
class LocalFile:
    """A file to send, as it was when it was looked at."""

    path: Path
    size_bytes: int
    sha256: str

    @classmethod
    def look_at(cls, path: Path) -> "LocalFile":
        """Read a file once, for its digest.

        Raises:
            InvalidInput: it is empty or cannot be read.
        """
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size_bytes = file.tell()
        except OSError as error:
            raise invalid_input(f"'{path}' cannot be read ({error.strerror}).") from error
        if not size_bytes:
            raise invalid_input(f"'{path}' is empty: there is nothing to send.")
        return cls(path, size_bytes, sha256)

    def check(self, upload: Upload) -> None:
        """Refuse to go on with the upload of another file.

        Raises:
            InvalidInput: it is another file, or the upload cannot go on.
        """
        same = upload.size_bytes == self.size_bytes and upload.sha256 in (None, self.sha256)
        if not same:
            raise invalid_input(
                f"'{self.path}' is not the file that upload {upload.id} was begun with "
                f"('{upload.file_name}', {upload.size_bytes} bytes). Send it as a new upload."
            )
        if upload.status == "aborted":
            raise invalid_input(f"Upload {upload.id} was aborted. Send the file as a new upload.")


@dataclass(frozen=True)
class FileSlice:
    """The bytes of one part; read from disk each time that they are sent."""

    file: LocalFile
    first_byte: int
    size_bytes: int

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes.

        Raises:
            InvalidInput: the file was cut short meanwhile.
        """
        left = self.size_bytes
        try:
            with self.file.path.open("rb") as file:
                file.seek(self.first_byte)
                while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise invalid_input(f"'{self.file.path}' cannot be read ({error.strerror}).") from error
        if left:
            raise invalid_input(
                f"'{self.file.path}' changed while it was being sent. Send it again when it is "
                "whole."
            )


class Sending:
    """One upload on its way: which bytes go where, how far it is, and when to ask again.

    Several threads may use it.
    """

    def __init__(self, file: LocalFile, upload: Upload, on_bytes: BytesProgress | None) -> None:
        self._file = file
        self._upload = upload
        self._on_bytes = on_bytes
        self._lock = Lock()
        self._sent_bytes = 0
        self._expired = 0
        self._again = False

    def slice_of(self, part: UploadPart) -> FileSlice:
        """Return the bytes of a part."""
        return FileSlice(self._file, (part.number - 1) * self._upload.part_bytes, part.size_bytes)

    def start_round(self) -> None:
        """Begin to read the list of parts from its start."""
        with self._lock:
            self._sent_bytes = 0
            self._again = False

    def there(self, part: UploadPart) -> None:
        """Note that a part is at its place."""
        with self._lock:
            self._sent_bytes += part.size_bytes
            if self._on_bytes is not None:
                self._on_bytes(self._sent_bytes, self._file.size_bytes)

    def failed(self, part: UploadPart, error: SelvageError) -> None:
        """Take a refusal: an expired link of a store is no harm.

        Raises:
            SelvageError: anything else, or links that are never good.
        """
        if not goes_to_store(part) or error.problem.status not in EXPIRED_STATUSES:
            raise error
        with self._lock:
            self._expired += 1
            self._again = True
            if self._expired > FRESH_LINKS:
                raise error

    @property
    def needs_another_round(self) -> bool:
        """Whether parts are left because their links had expired."""
        return self._again


class SharedParts:
    """The list of parts, read on by several threads while they send: addresses do not live long."""

    def __init__(self, parts: Iterator[UploadPart]) -> None:
        self._parts = parts
        self._lock = Lock()
        self._stopped = False

    def next(self) -> UploadPart | None:
        """Return the next part, None at the end."""
        with self._lock:
            return None if self._stopped else next(self._parts, None)

    def stop(self) -> None:
        """Let the threads end after the parts that they are at."""
        self._stopped = True
