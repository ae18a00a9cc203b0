"""Large files in parts that can be resumed."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api_schemas.uploads import StoredPart, Upload, UploadPart, UploadStatus, UploadSummary
from selvage_client.errors import SelvageError
from selvage_client.gathering import all_or_first_error
from selvage_client.multipart import BytesProgress
from selvage_client.requests import uploads
from selvage_client.resources.base import AsyncResource, Resource
from selvage_client.sending import PARTS_AT_ONCE, LocalFile, Sending, SharedParts

Started = Callable[[Upload], None]


class Uploads(Resource):
    """`client.uploads`: files of any size, for image sets and models."""

    def send(
        self,
        path: str | os.PathLike[str],
        *,
        upload_id: str | None = None,
        part_bytes: int | None = None,
        parts_at_once: int = PARTS_AT_ONCE,
        on_bytes: BytesProgress | None = None,
        on_start: Started | None = None,
    ) -> Upload:
        """Send a file in parts and complete it; with `upload_id` go on where it stopped.

        The parts go to the service, or straight to its object store, which never sees the API key.
        The service compares the SHA-256 of the whole.

        Args:
            upload_id: an upload that was begun with this file; only what is missing is sent.
            part_bytes: size of a part; by default the service's choice.
            on_bytes: called with (bytes there, bytes in all) after each part.
            on_start: called with the upload before the first part; keep its `id` to resume.

        Raises:
            SelvageError: it could not be sent; what is sent stays, for `upload_id`.
        """
        file = LocalFile.look_at(Path(path))
        if upload_id is None:
            upload = self.create(
                file.path.name, file.size_bytes, sha256=file.sha256, part_bytes=part_bytes
            )
        else:
            upload = self.get(upload_id)
            file.check(upload)
        if on_start is not None:
            on_start(upload)
        if upload.status == "open":
            self._send_parts(Sending(file, upload, on_bytes), upload.id, parts_at_once)
        return self.complete(upload.id)

    def create(
        self,
        file_name: str,
        size_bytes: int,
        *,
        sha256: str | None = None,
        part_bytes: int | None = None,
        idempotency_key: str | None = None,
    ) -> Upload:
        """Announce a file; `send` does this and all that follows."""
        call = uploads.create(file_name, size_bytes, sha256, part_bytes, idempotency_key)
        return self._send(call)

    def get(self, upload_id: str) -> Upload:
        """Return an upload with the first of its parts."""
        return self._send(uploads.upload(upload_id))

    def parts(self, upload_id: str) -> Iterator[UploadPart]:
        """Yield all parts of an upload, each with a fresh address."""
        return self._entries(uploads.parts(upload_id))

    def put_part(self, upload_id: str, number: int, content: bytes) -> StoredPart:
        """Send the bytes of a part to the service, where it takes them itself."""
        return self._send(uploads.put_part(upload_id, number, (content,), len(content)))

    def complete(self, upload_id: str) -> Upload:
        """Make one file of the parts; asked again after a break it goes on."""
        return self._send(uploads.complete(upload_id))

    def delete(self, upload_id: str) -> None:
        """Abort an upload, or delete what is complete."""
        self._send(uploads.delete_upload(upload_id))

    def list(self, status: UploadStatus | None = None) -> Iterator[UploadSummary]:
        """Yield uploads, the newest first."""
        return self._entries(uploads.uploads(status))

    def _send_parts(self, sending: Sending, upload_id: str, parts_at_once: int) -> None:
        while True:
            sending.start_round()
            parts = SharedParts(self.parts(upload_id))
            count = max(1, parts_at_once)
            with ThreadPoolExecutor(count) as pool:
                try:
                    futures = [pool.submit(self._work, sending, parts) for _ in range(count)]
                    for future in futures:
                        future.result()
                finally:
                    parts.stop()
            if not sending.needs_another_round:
                return

    def _work(self, sending: Sending, parts: SharedParts) -> None:
        try:
            while (part := parts.next()) is not None:
                self._send_part(sending, part)
        except BaseException:
            parts.stop()
            raise

    def _send_part(self, sending: Sending, part: UploadPart) -> None:
        if part.status == "missing":
            try:
                self._send(uploads.send_part(part, sending.slice_of(part)))
            except SelvageError as error:
                sending.failed(part, error)
                return
        sending.there(part)


class AsyncUploads(AsyncResource):
    """The same for coroutines."""

    async def send(
        self,
        path: str | os.PathLike[str],
        *,
        upload_id: str | None = None,
        part_bytes: int | None = None,
        parts_at_once: int = PARTS_AT_ONCE,
        on_bytes: BytesProgress | None = None,
        on_start: Started | None = None,
    ) -> Upload:
        """Send a file in parts and complete it; with `upload_id` go on where it stopped."""
        file = await asyncio.to_thread(LocalFile.look_at, Path(path))
        if upload_id is None:
            upload = await self.create(
                file.path.name, file.size_bytes, sha256=file.sha256, part_bytes=part_bytes
            )
        else:
            upload = await self.get(upload_id)
            file.check(upload)
        if on_start is not None:
            on_start(upload)
        if upload.status == "open":
            await self._send_parts(Sending(file, upload, on_bytes), upload.id, parts_at_once)
        return await self.complete(upload.id)

    async def create(
        self,
        file_name: str,
        size_bytes: int,
        *,
        sha256: str | None = None,
        part_bytes: int | None = None,
        idempotency_key: str | None = None,
    ) -> Upload:
        """Announce a file; `send` does this and all that follows."""
        call = uploads.create(file_name, size_bytes, sha256, part_bytes, idempotency_key)
        return await self._send(call)

    async def get(self, upload_id: str) -> Upload:
        """Return an upload with the first of its parts."""
        return await self._send(uploads.upload(upload_id))

    def parts(self, upload_id: str) -> AsyncIterator[UploadPart]:
        """Yield all parts of an upload, each with a fresh address."""
        return self._entries(uploads.parts(upload_id))

    async def put_part(self, upload_id: str, number: int, content: bytes) -> StoredPart:
        """Send the bytes of a part to the service, where it takes them itself."""
        return await self._send(uploads.put_part(upload_id, number, (content,), len(content)))

    async def complete(self, upload_id: str) -> Upload:
        """Make one file of the parts; asked again after a break it goes on."""
        return await self._send(uploads.complete(upload_id))

    async def delete(self, upload_id: str) -> None:
        """Abort an upload, or delete what is complete."""
        await self._send(uploads.delete_upload(upload_id))

    def list(self, status: UploadStatus | None = None) -> AsyncIterator[UploadSummary]:
        """Yield uploads, the newest first."""
        return self._entries(uploads.uploads(status))

    async def _send_parts(self, sending: Sending, upload_id: str, parts_at_once: int) -> None:
        while True:
            sending.start_round()
            parts, lock = self.parts(upload_id), asyncio.Lock()
            workers = (self._work(sending, parts, lock) for _ in range(max(1, parts_at_once)))
            await all_or_first_error(workers)
            if not sending.needs_another_round:
                return

    async def _work(
        self, sending: Sending, parts: AsyncIterator[UploadPart], lock: asyncio.Lock
    ) -> None:
        while True:
            async with lock:
                part = await anext(parts, None)
            if part is None:
                return
            await self._send_part(sending, part)

    async def _send_part(self, sending: Sending, part: UploadPart) -> None:
        if part.status == "missing":
            try:
                await self._send(uploads.send_part(part, sending.slice_of(part)))
            except SelvageError as error:
                sending.failed(part, error)
                return
        sending.there(part)
