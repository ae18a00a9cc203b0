"""The signature, against the worked example of the specification and against botocore."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from pydantic import SecretStr

from storage.s3_signing import Credentials, presign

# docs.aws.amazon.com, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", SecretStr("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
EXAMPLE_SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


def test_the_example_of_the_specification() -> None:
    url = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        credentials=EXAMPLE,
        region="us-east-1",
        seconds=86400,
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert url.endswith(f"&X-Amz-Signature={EXAMPLE_SIGNATURE}")


@pytest.mark.parametrize(
    ("method", "url", "query", "headers", "token"),
    [
        ("GET", "https://s3.example.org/b/pre/images/ab/x", {}, {}, None),
        ("PUT", "http://127.0.0.1:9000/b/k", {"partNumber": "7", "uploadId": "a+b/c=="}, {}, None),
        ("PUT", "http://host:9000/b/k", {"partNumber": "7"}, {"content-length": "12"}, None),
        ("POST", "http://host:9000/b/k.png", {"uploads": ""}, {}, "to/ken+=="),
        ("GET", "http://h/b/k", {"response-content-type": "image/png", "a b": "ä~*"}, {}, None),
    ],
)
def test_botocore_signs_the_same(
    method: str,
    url: str,
    query: dict[str, str],
    headers: dict[str, str],
    token: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None))
    request = AWSRequest(method, url, headers=headers, params=query)
    theirs = S3SigV4QueryAuth(
        BotoCredentials("key", "secret", token), "s3", "eu-west-1", expires=900
    )
    theirs.add_auth(request)
    ours = presign(
        method,
        url,
        credentials=Credentials("key", SecretStr("secret"), SecretStr(token) if token else None),
        region="eu-west-1",
        seconds=900,
        query=query,
        headers=headers,
        now=now,
    )
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(request.url).query)
    assert urlsplit(ours)[:3] == urlsplit(request.url)[:3]


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1])
def test_a_signature_of_no_life_or_too_long_a_life(seconds: int) -> None:
    with pytest.raises(ValueError, match="holds 1 to"):
        presign("GET", "http://h/b/k", credentials=EXAMPLE, region="r", seconds=seconds)
