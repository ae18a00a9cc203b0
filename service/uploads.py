"""Multipart requests: parsed onto disk, never whole in memory."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api_schemas.problems import FieldProblem, ValidationProblem
from service.multipart import FieldPart, FilePart, FormLimits, FormReader, read_form
from service.state import ServiceState
from storage.object_errors import disk_full

MAX_FIELD_BYTES = 1 << 20
MAX_FIELDS = 100


@dataclass
class Upload:
    """A parsed multipart body."""

    files: list[FilePart] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, as they came."""
        return sum(f.size_bytes for f in self.files)

    def fingerprint_content(self) -> list[Any]:
        """Return what identifies the request: fields, and per file (field, name, SHA-256)."""
        parts: list[Any] = sorted(self.fields.items())
        parts += [(f.field, f.name, f.sha256) for f in self.files]
        return parts


@asynccontextmanager
async def read_upload(
    request: Request, state: ServiceState, *, file_field: str, fields: set[str]
) -> AsyncIterator[Upload]:
    """Parse the body; its temporary file lives as long as the block.

    Raises:
        ValidationProblem: not multipart, no file, or a part with an unknown name.
        StorageFull: the disk has no room for it.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ValidationProblem(
            f"Send multipart/form-data with the files in parts named '{file_field}', "
            f"for example: curl -F {file_field}=@image.jpg …"
        )
    await run_in_threadpool(_require_room, request, state)
    limits = FormLimits(state.settings.max_files_per_request, MAX_FIELDS, MAX_FIELD_BYTES)
    with closing(FormReader(request.headers["content-type"], limits)) as reader:
        await read_form(request.stream(), reader)
        upload = Upload()
        for part in reader.parts:
            _take(upload, part, file_field, fields)
        if not upload.files:
            raise ValidationProblem(
                f"The request has no file. Put files in parts named '{file_field}'.",
                errors=[FieldProblem(pointer=f"/{file_field}", detail="at least one file")],
            )
        yield upload


def _require_room(request: Request, state: ServiceState) -> None:
    """Refuse a body for which there is no room, before it is sent."""
    declared = request.headers.get("content-length", "")
    size_bytes = int(declared) if declared.isdecimal() else 0
    if shutil.disk_usage(tempfile.gettempdir()).free < size_bytes:
        raise disk_full()
    state.objects.require_room(size_bytes)


def _take(upload: Upload, part: FilePart | FieldPart, file_field: str, fields: set[str]) -> None:
    name = part.field
    if isinstance(part, FilePart) and name == file_field:
        upload.files.append(part if part.name else replace(part, name="unnamed"))
    elif isinstance(part, FieldPart) and name in fields:
        if "\x00" in part.value:
            raise ValidationProblem(
                f"The form field '{name}' holds a zero byte, which cannot be stored.",
                errors=[FieldProblem(pointer=f"/{name}", detail="zero byte")],
            )
        upload.fields[name] = part.value
    else:
        raise ValidationProblem(
            f"Unexpected part '{name[:80]}'. Files go in '{file_field}'; fields are "
            f"{', '.join(sorted(fields)) or 'none'}.",
            errors=[FieldProblem(pointer=f"/{name[:80]}", detail="unexpected part")],
        )


async def fingerprint(upload: Upload) -> list[Any]:
    """Return what identifies the request; see `Upload.fingerprint_content`."""
    return upload.fingerprint_content()
