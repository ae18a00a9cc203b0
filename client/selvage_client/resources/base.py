"""What the methods of both clients have in common: a call is sent, a listing read page by page."""

from collections.abc import AsyncIterator, Iterator

from selvage_client.calls import AnswerT, Call, EntryT, Listing
from selvage_client.transport import AsyncTransport, SyncTransport


class Resource:
    """Methods that send calls over a connection to the service."""

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport

    def _send(self, call: Call[AnswerT]) -> AnswerT:
        return self._transport.send(call)

    def _entries(self, listing: Listing[EntryT]) -> Iterator[EntryT]:
        token = None
        while True:
            page = self._transport.send(listing.page(token))
            yield from page.entries
            token = page.next_page_token
            if token is None:
                return


class AsyncResource:
    """The same for coroutines."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def _send(self, call: Call[AnswerT]) -> AnswerT:
        return await self._transport.send(call)

    async def _entries(self, listing: Listing[EntryT]) -> AsyncIterator[EntryT]:
        token = None
        while True:
            page = await self._transport.send(listing.page(token))
            for entry in page.entries:
                yield entry
            token = page.next_page_token
            if token is None:
                return
