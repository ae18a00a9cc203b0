"""Signatures: the example of the specification, its own library, and what is not right."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from api_schemas.webhook_signatures import SignatureMismatch, key_of, new_secret, sign, verify

# https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example() -> None:
    assert sign([SECRET], ID, TIMESTAMP, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_its_own_library_agrees() -> None:
    now = datetime.now(UTC)
    former, current = new_secret(), new_secret()
    headers = sign([current, former], ID, int(now.timestamp()), BODY)
    for secret in (former, current):
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
        theirs = Webhook(secret).sign(ID, now, BODY.decode())
        assert theirs in headers["webhook-signature"].split()
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_keys_are_fresh_and_long() -> None:
    assert len({new_secret() for _ in range(20)}) == 20
    assert len(key_of(new_secret())) == 32


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", SECRET.removeprefix("whsec_"), "whsec_!!!", "whsec_" + "QUJD",
     "whsec_" + base64.b64encode(b"x" * 65).decode()],
)  # fmt: skip
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        key_of(secret)


class TestVerify:
    def test_headers_in_any_case_and_among_others(self) -> None:
        headers = sign([SECRET], ID, TIMESTAMP, BODY)
        shouted = {name.upper(): value for name, value in headers.items()}
        shouted["WEBHOOK-SIGNATURE"] = f"v1a,xyz v1,AAAA {SIGNATURE}"
        verify(SECRET, {**shouted, "Host": "here"}, BODY, TIMESTAMP)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"webhook-id": "msg_other"}, "no signature fits"),
            ({"webhook-timestamp": str(TIMESTAMP + 1)}, "no signature fits"),
            ({"webhook-timestamp": "²"}, "not a time"),
            ({"webhook-timestamp": "-1"}, "not a time"),
            ({"webhook-signature": ""}, "no signature fits"),
            ({"webhook-signature": SIGNATURE.replace("v1,", "v2,")}, "no signature fits"),
            ({"webhook-signature": "v1,é"}, "no signature fits"),
            ({"webhook-signature": None}, "webhook-signature is missing"),
        ],
    )
    def test_what_is_not_right(self, change: dict[str, str | None], why: str) -> None:
        changed = {**sign([SECRET], ID, TIMESTAMP, BODY), **change}
        headers = {name: value for name, value in changed.items() if value is not None}
        with pytest.raises(SignatureMismatch, match=why):
            verify(SECRET, headers, BODY, TIMESTAMP)

    def test_another_body(self) -> None:
        with pytest.raises(SignatureMismatch):
            verify(SECRET, sign([SECRET], ID, TIMESTAMP, BODY), BODY + b" ", TIMESTAMP)

    @pytest.mark.parametrize("off", [timedelta(minutes=6), -timedelta(minutes=6)])
    def test_at_another_time(self, off: timedelta) -> None:
        headers = sign([SECRET], ID, TIMESTAMP, BODY)
        verify(SECRET, headers, BODY, TIMESTAMP + 299)
        with pytest.raises(SignatureMismatch, match="too old"):
            verify(SECRET, headers, BODY, TIMESTAMP + off.total_seconds())
