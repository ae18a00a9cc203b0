"""Uploaded files → stored images: unpack, look at the header, digest, store. Blocking."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from api_schemas.problems import InputProblem
from domain.image_sets import Intake, ReceivedFile
from formats.archives import iter_zip_members, looks_like_zip
from formats.decode import inspect_image
from formats.errors import InputRefused
from formats.names import clean_file_name
from formats.sniffing import name_mismatch
from service.state import ServiceState
from service.uploads import Upload, UploadedFile
from storage.objects import image_key

COPY_BYTES = 1 << 20
SPOOL_BYTES = 4 << 20
RENEW_EVERY_FILES = 100


def ingest(state: ServiceState, upload: Upload, renew: Callable[[], None]) -> Intake:
    """Store the images of an upload; one entry for each file, good or bad.

    Args:
        renew: called now and then, to keep the request's idempotency lock.

    Raises:
        InputRefused: an archive that is unsafe or broken as a whole.
        StorageUnavailable: the object store failed.
    """
    intake = Intake()
    for received in _receive(state, upload):
        intake.add(received)
        if len(intake.entries) % RENEW_EVERY_FILES == 0:
            renew()
    return intake


def _receive(state: ServiceState, upload: Upload) -> Iterator[ReceivedFile]:
    for part in upload.files:
        head = part.file.read(64)
        part.file.seek(0)
        if looks_like_zip(head):
            yield from _receive_zip(state, part)
        else:
            yield _receive_file(state, clean_file_name(part.name), part.file)


def _receive_zip(state: ServiceState, part: UploadedFile) -> Iterator[ReceivedFile]:
    for member in iter_zip_members(part.file, state.archive_limits):
        if member.problem is not None:
            yield _rejected(member.name, member.problem)
            continue
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as copy:
            try:
                with member.open() as source:
                    while piece := source.read(COPY_BYTES):
                        copy.write(piece)
            except InputRefused as error:
                yield _rejected(member.name, error)
                continue
            copy.seek(0)
            yield _receive_file(state, member.name, copy)  # type: ignore[arg-type]


def _receive_file(state: ServiceState, name: str, file: BinaryIO) -> ReceivedFile:
    try:
        header = inspect_image(file, state.image_limits)
    except InputRefused as error:
        return _rejected(name, error)
    digest, size_bytes = _digest(file)
    key = image_key(digest)
    state.objects.put_new(key, file)
    image: dict[str, Any] = {
        "digest": digest,
        "object_key": key,
        "media_type": f"image/{header.format.lower()}",
        "size_bytes": size_bytes,
        "width_px": header.width_px,
        "height_px": header.height_px,
    }
    return ReceivedFile(name, image, note=name_mismatch(name, header.format))


def _digest(file: BinaryIO) -> tuple[str, int]:
    file.seek(0)
    digest, size_bytes = hashlib.sha256(), 0
    while piece := file.read(COPY_BYTES):
        digest.update(piece)
        size_bytes += len(piece)
    file.seek(0)
    return digest.hexdigest(), size_bytes


def _rejected(name: str, error: InputRefused) -> ReceivedFile:
    detail = f"{error.detail} {error.hint}" if error.hint else error.detail
    return ReceivedFile(name, None, problem=InputProblem(error.code, detail).to_json())
