"""Addresses of files, checked before anything is opened."""

from typing import Final
from urllib.parse import unquote

import httpx

from api_schemas.problems import SourceRefused
from storage.remote.addresses import AddressPolicy, literal

MAX_URL_CHARS: Final = 8192
MAX_SHOWN_CHARS: Final = 200


def parse_url(text: str, policy: AddressPolicy) -> httpx.URL:
    """Return the address of something that may be asked for.

    The same parser reads the URL here and builds the request, so that there are no two opinions
    on which part is the host.

    Raises:
        SourceRefused: no http(s), a user or password inside, a host that is odd or spelled out
            and not allowed.
    """
    if len(text) > MAX_URL_CHARS:
        raise SourceRefused(f"The URL is longer than {MAX_URL_CHARS} characters.")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise SourceRefused("The URL cannot be read. Percent-encode unusual characters.") from error
    if url.scheme not in ("http", "https"):
        raise SourceRefused("Only http:// and https:// URLs are asked for.")
    if url.userinfo or "@" in url.netloc.decode("ascii", "replace"):
        raise SourceRefused(
            "The URL carries a user or password. Store credentials in a connection instead."
        )
    _check_host(url, policy)
    return url


def _check_host(url: httpx.URL, policy: AddressPolicy) -> None:
    host = wire_host(url)
    try:
        address = literal(host)
    except ValueError as error:
        raise SourceRefused("The URL's host is neither a name nor an ordinary address.") from error
    if address is not None and not policy.allows(host, address):
        raise SourceRefused(
            f"'{host}' is not reached from here: it is not on the open internet. "
            f"The operator can allow it with {policy.setting}."
        )
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise SourceRefused("The URL's port is not one.")


def wire_host(url: httpx.URL) -> str:
    """The host as it is looked up: lower case, IDNA, without brackets."""
    return url.raw_host.decode("ascii", "replace")


def port_of(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def origin_of(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return url.scheme, wire_host(url), port_of(url)


def shown(url: httpx.URL) -> str:
    """The URL without its query, which may be a signature, and not too long."""
    text = str(url.copy_with(query=None, fragment=None))
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def last_segment(url: httpx.URL) -> str:
    """The file name that the path ends in; may be empty, and holds whatever they wrote."""
    return unquote(url.raw_path.split(b"?")[0].decode("ascii", "replace").rpartition("/")[2])


def has_dot_segments(path: str) -> bool:
    """Whether a path goes up, or hides that it does, in one of the spellings that servers read."""
    for _ in range(2):
        path = unquote(path)
    return any(part in (".", "..") for part in path.replace("\\", "/").split("/"))
