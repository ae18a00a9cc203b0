"""A Label Studio server behind a connection: who we are there, and what is sent to it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from api_schemas.problems import DestinationRefused, SourceDenied
from domain.settings import Settings
from storage.remote.addresses import AddressPolicy
from storage.remote.posting import Posted, Poster

MAX_ANSWER_BYTES: Final = 1 << 20
JWT_START: Final = "eyJ"  # a personal access token; legacy tokens are hexadecimal


def access_headers(settings: Settings, base_url: str, token: str) -> dict[str, str]:
    """Return the headers that show who asks; a personal access token is exchanged first.

    Raises:
        SourceDenied: the token is not taken.
        SourceProblem: the server cannot be reached.
    """
    if not token.startswith(JWT_START):
        return {"Authorization": f"Token {token}"}
    url = base_url.rstrip("/") + "/api/token/refresh"
    posted = _post(_poster(settings), settings, url, {"refresh": token}, {})
    try:
        access = json.loads(posted.body)["access"] if posted.status == 200 else None
    except (ValueError, KeyError, TypeError):
        access = None
    if not isinstance(access, str) or not access.isascii() or not access.isprintable():
        raise SourceDenied(
            f"{url} answered with status {posted.status}: the personal access token was not taken."
        )
    return {"Authorization": f"Bearer {access}"}


def _poster(settings: Settings) -> Poster:
    return Poster(AddressPolicy.parse(settings.fetch_allow_networks))


def _post(
    poster: Poster,
    settings: Settings,
    url: str,
    document: Mapping[str, Any],
    headers: Mapping[str, str],
) -> Posted:
    return poster.post(
        url,
        json.dumps(document, separators=(",", ":")).encode(),
        {"Content-Type": "application/json", **headers},
        seconds=settings.fetch_seconds,
        max_response_bytes=MAX_ANSWER_BYTES,
    )


class LabelStudioServer:
    """One server, for the length of one job."""

    def __init__(self, settings: Settings, base_url: str, token: str) -> None:
        self._settings = settings
        self._poster = _poster(settings)
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._headers: Mapping[str, str] | None = None

    def add_prediction(self, prediction: Mapping[str, Any]) -> None:
        """POST /api/predictions.

        Raises:
            DestinationRefused: the server does not take it.
            SourceDenied, SourceProblem: it cannot be reached, or not with this token.
        """
        url = f"{self._base_url}/api/predictions/"
        status = self._status(url, prediction)
        if status == 401:  # the access token has run out: exchange it again
            self._headers = None
            status = self._status(url, prediction)
        if status in (401, 403):
            raise SourceDenied(f"{url} answered with status {status}. Check the token.")
        if status not in (200, 201):
            raise DestinationRefused(f"{url} answered with status {status}.")

    def _status(self, url: str, prediction: Mapping[str, Any]) -> int:
        if self._headers is None:
            self._headers = access_headers(self._settings, self._base_url, self._token)
        return _post(self._poster, self._settings, url, prediction, self._headers).status
