"""A client of an installation in this process: no sockets, the real service."""

import httpx
from selvage_client import RetryPolicy, Selvage

from tests.support.installation import Installation

URL = "http://testserver"


def ask(site: Installation, request: httpx.Request) -> httpx.Response:
    """Hand a request of the client to the service."""
    answer = site.client.request(
        request.method,
        str(request.url),
        headers=list(request.headers.items()),
        content=request.read(),
        follow_redirects=False,
    )
    return httpx.Response(
        answer.status_code, headers=list(answer.headers.items()), content=answer.content
    )


def connect(site: Installation, api_key: str | None = None) -> Selvage:
    """A client that does not wait between tries."""
    transport = httpx.MockTransport(lambda request: ask(site, request))
    return Selvage(URL, api_key, retries=RetryPolicy(3, 3, 0.0, 0.0), transport=transport)
