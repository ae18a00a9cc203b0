"""The XML that S3 answers with: pages of a listing, and the code of an error."""

import re
from dataclasses import dataclass, field
from typing import IO, Any, Final
from urllib.parse import unquote
from xml.parsers import expat

from storage.remote.sources import RemoteObject

MAX_PAGE_BYTES: Final = 16 << 20
_MAX_DEPTH: Final = 16
_MAX_OBJECTS: Final = 10_000
_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class BadListing(ValueError):
    """The answer is no page of a listing."""


@dataclass
class ListingPage:
    """Up to 1000 objects, in the order of the store."""

    objects: list[RemoteObject] = field(default_factory=list)
    truncated: bool = False
    next_token: str | None = None


def error_code(body: bytes) -> str | None:
    """Return the `Code` of an error document, None where there is none."""
    found = _ERROR_CODE.search(body)
    return found.group(1).decode("ascii") if found else None


def read_page(file: IO[bytes]) -> ListingPage:
    """Read a `ListBucketResult` that was asked for with `encoding-type=url`.

    Raises:
        BadListing: it is something else, or carries a document type (and with it entities).
    """
    reader = _PageReader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.ParseFile(file)
    except (expat.ExpatError, ValueError, UnicodeError) as error:
        raise BadListing("the answer to a listing is not valid") from error
    if not reader.is_listing:
        raise BadListing("the answer to a listing is another document")
    try:
        return reader.decoded()
    except UnicodeError as error:
        raise BadListing("a key is not UTF-8") from error


class _PageReader:
    """Collects a page while the parser walks through it."""

    def __init__(self) -> None:
        self.page = ListingPage()
        self.is_listing = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._entry: dict[str, str] = {}
        self._encoded = False

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._path.append(tag.rpartition(" ")[2])
        if len(self._path) > _MAX_DEPTH:
            raise BadListing("nested too deeply")
        self._text = []
        if self._path == ["ListBucketResult"]:
            self.is_listing = True
        if self._path[1:] == ["Contents"]:
            self._entry = {}

    def text(self, data: str) -> None:
        self._text.append(data)

    def end(self, _tag: str) -> None:
        path, value = self._path[1:], "".join(self._text).strip()
        match path:
            case ["Contents", name]:
                # a key's own spaces arrive encoded, or else must not be stripped
                self._entry[name] = "".join(self._text) if name == "Key" else value
            case ["Contents"]:
                self._add()
            case ["IsTruncated"]:
                self.page.truncated = value == "true"
            case ["NextContinuationToken"]:
                self.page.next_token = value
            case ["EncodingType"]:
                self._encoded = value == "url"
        self._path.pop()
        self._text = []

    def refuse_doctype(self, *_: Any) -> None:
        raise BadListing("document types are not read")

    def _add(self) -> None:
        if "Key" not in self._entry:
            raise BadListing("an entry without a key")
        size = self._entry.get("Size", "")
        if not size.isascii() or not size.isdigit() or len(size) > 18:
            raise BadListing("an entry without a size")
        if len(self.page.objects) >= _MAX_OBJECTS:
            raise BadListing("more entries than a page has")
        key = self._entry["Key"]
        etag = self._entry.get("ETag", "").strip('"')
        self.page.objects.append(RemoteObject(key, int(size), etag[:256] or None))

    def decoded(self) -> ListingPage:
        """The page with its keys as they are; `EncodingType` may come after the entries."""
        if self._encoded:
            self.page.objects = [
                RemoteObject(
                    unquote(entry.key.replace("+", " "), errors="strict"),
                    entry.size_bytes,
                    entry.etag,
                )
                for entry in self.page.objects
            ]
        return self.page
