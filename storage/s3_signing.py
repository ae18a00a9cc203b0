"""Presigned S3 addresses: AWS Signature Version 4 in the query string, and its core.

obstore signs plain reads and writes but no `?uploads`, `?partNumber=…&uploadId=…`, which
multipart uploads by clients need.
Source: docs.aws.amazon.com, "Authenticating Requests: Using Query Parameters".
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Credentials:
    """A key pair that does not change while the process lives."""

    access_key_id: str
    secret_access_key: SecretStr
    session_token: SecretStr | None = None


def presign(
    method: str,
    url: str,
    *,
    credentials: Credentials,
    region: str,
    seconds: int,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> str:
    """Return `url` with a signature that holds for `seconds`.

    Args:
        url: scheme, host and unescaped path.
        query: parameters of the request.
        headers: further headers that the client must send with exactly these values.
        now: time of the signature; default the present.

    Raises:
        ValueError: `seconds` is not between 1 and seven days.
    """
    if not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(f"a signature holds 1 to {MAX_SECONDS} seconds, not {seconds}")
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = scope_of(stamp, region)
    parts = urlsplit(url)
    signed = {"host": parts.netloc, **{k.lower(): v for k, v in (headers or {}).items()}}
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": ";".join(sorted(signed)),
    }
    if credentials.session_token is not None:
        parameters["X-Amz-Security-Token"] = credentials.session_token.get_secret_value()
    path = quote(parts.path, safe="/-_.~")
    encoded = "&".join(
        sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in parameters.items())
    )
    canonical = "\n".join(
        (
            method,
            path,
            encoded,
            *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
            "",
            ";".join(sorted(signed)),
            "UNSIGNED-PAYLOAD",
        )
    )
    secret = credentials.secret_access_key.get_secret_value()
    signature = signature_of(canonical, secret, stamp, region)
    return f"{parts.scheme}://{parts.netloc}{path}?{encoded}&X-Amz-Signature={signature}"


def scope_of(stamp: str, region: str) -> str:
    """Return what a signature is good for: a day, a region, S3."""
    return f"{stamp[:8]}/{region}/s3/aws4_request"


def signature_of(canonical: str, secret_access_key: str, stamp: str, region: str) -> str:
    """Return the signature of a canonical request at the time `stamp`."""
    scope, digest = scope_of(stamp, region), hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + secret_access_key).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()
