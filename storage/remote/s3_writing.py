"""A bucket of somebody else, or a part of it: write, through the guard."""

import hashlib
from typing import IO

from api_schemas.problems import SourceRefused
from storage.remote.s3 import S3Place, checked_key
from storage.remote.s3_signing import encoded, signed_headers
from storage.remote.sending import Sender
from storage.remote.urls import parse_url


class S3Target:
    """Puts files below a prefix. What is there under the same key is replaced."""

    def __init__(self, sender: Sender, place: S3Place, prefix: str) -> None:
        self._sender = sender
        self._place = place
        self._prefix = place.prefix + prefix
        self._base = parse_url(place.base_url, sender.policy)

    def put(self, path: str, file: IO[bytes]) -> int:
        """Store the whole of a file as one object; returns its bytes.

        Raises:
            DestinationRefused, SourceProblem: it was not taken.
        """
        credentials = self._place.credentials
        if credentials is None:
            raise SourceRefused("An anonymous connection cannot write. Give it credentials.")
        digest, size_bytes = hashlib.sha256(), 0
        file.seek(0)
        while piece := file.read(1 << 20):
            digest.update(piece)
            size_bytes += len(piece)
        key = checked_key(self._prefix + path)
        url = parse_url(str(self._base) + encoded(key, safe="/"), self._sender.policy)
        headers = signed_headers(
            url, credentials, self._place.region, method="PUT", content_sha256=digest.hexdigest()
        )
        self._sender.put(url, file, size_bytes, headers)
        return size_bytes

    def close(self) -> None:
        """Close connections."""
        self._sender.close()

    def __enter__(self) -> "S3Target":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
