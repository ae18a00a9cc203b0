"""Many clients of one event stream in one process, as cheap as can be: the API is measured."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

CONNECTS_AT_A_TIME: Final = 20


class StreamFailed(RuntimeError):
    """A stream was refused, or ended before the job was done."""


@dataclass
class Watched:
    """What one client has seen."""

    types: Counter[str] = field(default_factory=Counter)
    first_succeeded: int = 0  # as the snapshot says
    last: dict[str, Any] | None = None  # data of job.done
    last_id: int = -1
    done_at: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """The final counts.

        Raises:
            StreamFailed: there are none.
        """
        if self.last is None:
            raise StreamFailed("a stream ended before the job was done")
        counts: dict[str, int] = self.last["counts"]
        return counts

    @property
    def adds_up(self) -> bool:
        """Whether the successes of the snapshot and those told since are those of the end."""
        return self.first_succeeded + self.types["item.succeeded"] == self.counts["succeeded"]

    def take(self, block: bytes) -> None:
        """Read one event; only the first and the last are parsed.

        Raises:
            StreamFailed: the events are out of order.
        """
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line[1:])
        if b"event" not in fields:
            return
        name = fields[b"event"].decode()
        number = int(fields[b"id"])
        if number <= self.last_id:
            raise StreamFailed(f"event {number} came after {self.last_id}")
        self.last_id = number
        self.types[name] += 1
        if name == "job.snapshot":
            self.first_succeeded = json.loads(fields[b"data"])["counts"]["succeeded"]
        elif name == "job.done":
            self.last = json.loads(fields[b"data"])
            self.done_at = time.monotonic()


def watch_all(urls: Sequence[str], job_id: str, clients: int) -> list[Watched]:
    """Watch a job with so many clients, dealt out over the addresses, until all know its end."""
    return asyncio.run(_watch_all(urls, job_id, clients))


async def _watch_all(urls: Sequence[str], job_id: str, clients: int) -> list[Watched]:
    gate = asyncio.Semaphore(CONNECTS_AT_A_TIME)
    tasks = [_watch(urls[n % len(urls)], job_id, gate) for n in range(clients)]
    return list(await asyncio.gather(*tasks))


async def _watch(url: str, job_id: str, gate: asyncio.Semaphore) -> Watched:
    address = urlsplit(url)
    watched = Watched()
    async with gate:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise StreamFailed(head.decode("latin-1"))
    rest = b""
    while size := int(await reader.readline(), 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        *blocks, rest = rest.split(b"\n\n")
        for block in blocks:
            watched.take(block)
    writer.close()
    return watched
