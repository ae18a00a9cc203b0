"""Exports."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from api_schemas.exports import Export, ExportFormat, ExportReport
from selvage_client.export_file import ExportFile, OnBytes, target_of
from selvage_client.polling import pauses_seconds
from selvage_client.requests import exports
from selvage_client.resources.base import AsyncResource, Resource

Fields = Mapping[str, Any]


class Exports(Resource):
    """`client.exports`: labels in the format of a tool."""

    def create(
        self,
        format: ExportFormat,
        source: Mapping[str, str],
        *,
        filters: Fields | None = None,
        options: Fields | None = None,
        destination: Fields | None = None,
        strict: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Export:
        """Begin an export.

        Args:
            source: one of `{"job": …}`, `{"label_set": …}`, `{"image_set": …}`.
            filters: such as `{"min_quality": 0.8, "reviewed_only": True, "classes": ["road"]}`.
            options: such as `{"include_images": True}`; the API document has all.
            destination: `{"connection": …, "prefix": "exports/1/"}` for files in a bucket.
            strict: refuse an export that would lose something.
        """
        fields = exports.request_fields(format, source, filters, options)
        fields |= {"destination": destination, "metadata": metadata}
        call = exports.create(fields, strict=strict, idempotency_key=idempotency_key)
        return self._send(call)

    def validate(
        self,
        format: ExportFormat,
        source: Mapping[str, str],
        *,
        filters: Fields | None = None,
        options: Fields | None = None,
    ) -> ExportReport:
        """Return what an export would hold and lose; nothing is written."""
        return self._send(
            exports.validate(exports.request_fields(format, source, filters, options))
        )

    def get(self, export_id: str) -> Export:
        return self._send(exports.export(export_id))

    def list(self) -> Iterator[Export]:
        return self._entries(exports.exports())

    def cancel(self, export_id: str) -> Export:
        """Ask an export to stop; no half file is left."""
        return self._send(exports.cancel(export_id))

    def delete(self, export_id: str, *, force: bool = False) -> None:
        """Delete an export with its file."""
        self._send(exports.delete_export(export_id, force=force))

    def progress(self, export_id: str) -> Iterator[Export]:
        """Yield an export now and after every change; end when it is done."""
        last = None
        for pause_seconds in pauses_seconds():
            export = self.get(export_id)
            if export != last:
                yield export
            if export.done:
                return
            last = export
            time.sleep(pause_seconds)

    def wait(self, export_id: str) -> Export:
        """Return an export when it is done, however it ended."""
        for export in self.progress(export_id):
            last = export
        return last

    def content(self, export_id: str) -> bytes:
        """Return the zip of an export that is done, in memory; `download` is for large ones."""
        return self._send(exports.file(export_id))

    def download(
        self,
        export_id: str,
        path: str | os.PathLike[str],
        *,
        on_bytes: OnBytes | None = None,
    ) -> Path:
        """Fetch the zip of an export that is done; returns where it is.

        Args:
            path: a file, or a folder that is there. The file appears when it is whole.
            on_bytes: called with the bytes that are there, and those in all.
        """
        export = self.get(export_id)
        target = target_of(export, path)
        with (
            ExportFile(export, target, on_bytes) as file,
            self._transport.stream(exports.file(export_id)) as response,
        ):
            for piece in response.iter_bytes():
                file.write(piece)
        return target


class AsyncExports(AsyncResource):
    """`client.exports`: labels in the format of a tool."""

    async def create(
        self,
        format: ExportFormat,
        source: Mapping[str, str],
        *,
        filters: Fields | None = None,
        options: Fields | None = None,
        destination: Fields | None = None,
        strict: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Export:
        """Begin an export.

        Args:
            source: one of `{"job": …}`, `{"label_set": …}`, `{"image_set": …}`.
            filters: such as `{"min_quality": 0.8, "reviewed_only": True, "classes": ["road"]}`.
            options: such as `{"include_images": True}`; the API document has all.
            destination: `{"connection": …, "prefix": "exports/1/"}` for files in a bucket.
            strict: refuse an export that would lose something.
        """
        fields = exports.request_fields(format, source, filters, options)
        fields |= {"destination": destination, "metadata": metadata}
        call = exports.create(fields, strict=strict, idempotency_key=idempotency_key)
        return await self._send(call)

    async def validate(
        self,
        format: ExportFormat,
        source: Mapping[str, str],
        *,
        filters: Fields | None = None,
        options: Fields | None = None,
    ) -> ExportReport:
        """Return what an export would hold and lose; nothing is written."""
        return await self._send(
            exports.validate(exports.request_fields(format, source, filters, options))
        )

    async def get(self, export_id: str) -> Export:
        return await self._send(exports.export(export_id))

    def list(self) -> AsyncIterator[Export]:
        return self._entries(exports.exports())

    async def cancel(self, export_id: str) -> Export:
        """Ask an export to stop; no half file is left."""
        return await self._send(exports.cancel(export_id))

    async def delete(self, export_id: str, *, force: bool = False) -> None:
        """Delete an export with its file."""
        await self._send(exports.delete_export(export_id, force=force))

    async def progress(self, export_id: str) -> AsyncIterator[Export]:
        """Yield an export now and after every change; end when it is done."""
        last = None
        for pause_seconds in pauses_seconds():
            export = await self.get(export_id)
            if export != last:
                yield export
            if export.done:
                return
            last = export
            await asyncio.sleep(pause_seconds)

    async def wait(self, export_id: str) -> Export:
        """Return an export when it is done, however it ended."""
        async for export in self.progress(export_id):
            last = export
        return last

    async def content(self, export_id: str) -> bytes:
        """Return the zip of an export that is done, in memory; `download` is for large ones."""
        return await self._send(exports.file(export_id))

    async def download(
        self,
        export_id: str,
        path: str | os.PathLike[str],
        *,
        on_bytes: OnBytes | None = None,
    ) -> Path:
        """Fetch the zip of an export that is done; returns where it is.

        Args:
            path: a file, or a folder that is there. The file appears when it is whole.
            on_bytes: called with the bytes that are there, and those in all.
        """
        export = await self.get(export_id)
        target = target_of(export, path)
        with ExportFile(export, target, on_bytes) as file:
            async with self._transport.stream(exports.file(export_id)) as response:
                async for piece in response.aiter_bytes():
                    file.write(piece)
        return target
