"""Presigned S3 addresses: AWS Signature Version 4 in the query string, nothing else.

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

_ALGORITHM = "AWS4-HMAC-SHA256"
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
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    parts = urlsplit(url)
    signed = {"host": parts.netloc, **{k.lower(): v for k, v in (headers or {}).items()}}
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
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
    to_sign = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + credentials.secret_access_key.get_secret_value()).encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"{parts.scheme}://{parts.netloc}{path}?{encoded}&X-Amz-Signature={signature}"
