"""Multipart requests: parsed onto disk, never whole in memory."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api_schemas.problems import FieldProblem, ValidationProblem
from service.state import ServiceState
from storage.objects import file_sha256

MAX_FIELD_BYTES = 1 << 20
MAX_FIELDS = 100


@dataclass(frozen=True)
class UploadedFile:
    """One file part, spooled to disk beyond a megabyte."""

    field: str
    name: str
    file: BinaryIO


@dataclass
class Upload:
    """A parsed multipart body."""

    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, as they came."""
        return sum(_size(f.file) for f in self.files)

    def fingerprint_content(self) -> list[Any]:
        """Return what identifies the request: fields, and per file (field, name, SHA-256)."""
        parts: list[Any] = sorted(self.fields.items())
        parts += [(f.field, f.name, file_sha256(f.file)) for f in self.files]
        return parts


@asynccontextmanager
async def read_upload(
    request: Request, state: ServiceState, *, file_field: str, fields: set[str]
) -> AsyncIterator[Upload]:
    """Parse the body; its temporary files live as long as the block.

    Raises:
        ValidationProblem: not multipart, no file, or a part with an unknown name.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ValidationProblem(
            f"Send multipart/form-data with the files in parts named '{file_field}', "
            f"for example: curl -F {file_field}=@image.jpg …"
        )
    async with request.form(
        max_files=state.settings.max_files_per_request,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    ) as form:
        upload = Upload()
        for name, value in form.multi_items():
            _take(upload, name, value, file_field, fields)
        if not upload.files:
            raise ValidationProblem(
                f"The request has no file. Put files in parts named '{file_field}'.",
                errors=[FieldProblem(pointer=f"/{file_field}", detail="at least one file")],
            )
        yield upload


def _take(upload: Upload, name: str, value: Any, file_field: str, fields: set[str]) -> None:
    if isinstance(value, UploadFile) and name == file_field:
        upload.files.append(UploadedFile(name, value.filename or "unnamed", value.file))
    elif isinstance(value, str) and name in fields:
        if "\x00" in value:
            raise ValidationProblem(
                f"The form field '{name}' holds a zero byte, which cannot be stored.",
                errors=[FieldProblem(pointer=f"/{name}", detail="zero byte")],
            )
        upload.fields[name] = value
    else:
        raise ValidationProblem(
            f"Unexpected part '{name[:80]}'. Files go in '{file_field}'; fields are "
            f"{', '.join(sorted(fields)) or 'none'}.",
            errors=[FieldProblem(pointer=f"/{name[:80]}", detail="unexpected part")],
        )


def _size(file: BinaryIO) -> int:
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size_bytes


async def fingerprint(upload: Upload) -> list[Any]:
    """Hash the files of an upload without blocking the event loop."""
    return await run_in_threadpool(upload.fingerprint_content)
