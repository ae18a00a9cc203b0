"""AWS Signature Version 4 for requests with headers.

Written here and not left to an S3 library, because a library dials for itself: it resolves names
anew, follows redirects and asks the metadata service for credentials, all past the guard.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import httpx

from storage.s3_signing import ALGORITHM, scope_of, signature_of

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class S3Credentials:
    """What signs a request; shows no secret when printed."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def encoded(text: str, *, safe: str = "") -> str:
    """Percent-encode as S3 does when it checks a signature."""
    return quote(text, safe=safe + "-_.~")


def query_string(parameters: dict[str, str]) -> str:
    """Return a query in the order and encoding that is signed."""
    return "&".join(
        f"{encoded(name)}={encoded(value)}" for name, value in sorted(parameters.items())
    )


def signed_headers(
    url: httpx.URL,
    credentials: S3Credentials,
    region: str,
    now: datetime | None = None,
    *,
    method: str = "GET",
    content_sha256: str = EMPTY_SHA256,
) -> dict[str, str]:
    """Return the headers that sign a request; path and query of `url` are canonical already."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    signed = {
        "host": url.netloc.decode("ascii"),
        "x-amz-content-sha256": content_sha256,
        "x-amz-date": moment,
    }
    if credentials.session_token is not None:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    request = "\n".join(
        [
            method,
            url.raw_path.partition(b"?")[0].decode("ascii"),
            url.query.decode("ascii"),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            content_sha256,
        ]
    )
    signature = signature_of(request, credentials.secret_access_key, moment, region)
    headers = {name: value for name, value in signed.items() if name != "host"}
    headers["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope_of(moment, region)}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers
