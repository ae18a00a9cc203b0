"""The signature of a PUT is the one that botocore makes."""

import hashlib
from datetime import UTC, datetime

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from storage.remote.s3_signing import S3Credentials, encoded, signed_headers

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a-token"])
def test_botocore_signs_the_same(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded("bucket/mine/exports/ü 1.png", safe="/")
    url, body = f"http://127.0.0.1:9000/{path}", b"pixels"
    digest = hashlib.sha256(body).hexdigest()
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    request = AWSRequest("PUT", url, headers={"X-Amz-Content-SHA256": digest}, data=body)
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(Credentials("id", "secret", token), "s3", "eu-west-1").add_auth(request)
    ours = signed_headers(
        httpx.URL(url), S3Credentials("id", "secret", token), "eu-west-1", NOW,
        method="PUT", content_sha256=digest,
    )  # fmt: skip
    assert ours["Authorization"] == request.headers["Authorization"]
