"""A reader of server-sent events that follows the letter of the standard."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Received:
    """One event, as a browser would hand it to a program."""

    type: str
    id: str
    data: Any


@dataclass
class Reader:
    """Reads lines; knows besides events what a browser notes: where it is, how long to pause."""

    last_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)

    def read(self, lines: Iterable[str]) -> Iterator[Received]:
        event = "message"
        data: list[str] = []
        for line in lines:
            if not line:
                if data:
                    yield Received(event, self.last_id, json.loads("\n".join(data)))
                event, data = "message", []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not name:
                self.comments.append(value)
            elif name == "event":
                event = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = value
            elif name == "retry":
                self.retry = int(value)


def read_all(text: str) -> list[Received]:
    """Events of a stream that has ended."""
    return list(Reader().read(text.split("\n")))


def read_until_done(response: httpx.Response) -> list[Received]:
    """Events of a stream up to its end."""
    return list(Reader().read(response.iter_lines()))


def types_of(found: list[Received]) -> list[str]:
    return [e.type for e in found]


def progress_of(found: list[Received]) -> list[Received]:
    return [e for e in found if e.type == "job.progress"]
