"""For who receives webhooks: is this message from the service, and what does it say?"""

import time
from collections.abc import Mapping

from pydantic import ValidationError

from api_schemas.webhook_signatures import TOLERANCE_SECONDS, SignatureMismatch, verify
from api_schemas.webhooks import WebhookEvent


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> WebhookEvent:
    """Check a message and return what it says.

    Messages may come twice: `headers["webhook-id"]` tells which ones are the same.

    Args:
        secret: `whsec_…`, as it was shown when the endpoint was made.
        headers: of the request, in any case of letters.
        body: the bytes as they came. Parsed and written again they are not the same.
        tolerance_seconds: how old a message may be; what is older may be a copy.

    Raises:
        SignatureMismatch: it is not from the service, or too old. Answer 400 and do nothing.
        ValueError: the secret is none.
    """
    verify(secret, headers, body, time.time(), tolerance_seconds)
    try:
        return WebhookEvent.model_validate_json(body)
    except ValidationError as error:
        raise SignatureMismatch("the message is not one of Selvage") from error
