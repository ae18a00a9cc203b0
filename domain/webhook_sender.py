"""Sends the messages of the outbox, a few at a time, each under a lease.

Threads of the scheduler's process. Any number of senders may run: a claim is one conditional
update. A sender that dies leaves a claim that ends by itself, and the message is sent again under
the same `webhook-id`: at least once, and receivers see that they have it already.
"""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.problems import ProblemError, SecretsUnreadable, SourceRefused, SourceUnreachable
from api_schemas.webhook_signatures import sign
from domain import webhook_rules
from domain.secrets import SecretKeeper
from domain.settings import Settings
from domain.webhook_rules import Verdict
from domain.webhooks import signing_secrets
from storage.catalog import deliveries, webhooks
from storage.catalog.engine import Catalog
from storage.catalog.tables import WebhookDeliveryRow
from storage.remote.posting import Poster

log = structlog.get_logger("webhooks")
THREADS: Final = 8
PER_TARGET: Final = 2  # at a time, so that one that hangs holds up no other
LOOK_SECONDS: Final = 0.5
LEASE_MARGIN_SECONDS: Final = 20.0
MAX_RESPONSE_BYTES: Final = 1024


@dataclass(frozen=True)
class Message:
    """What one attempt sends, and where."""

    row: WebhookDeliveryRow
    url: str
    secrets: list[str]


@dataclass(frozen=True)
class Attempt:
    """How one attempt went."""

    verdict: Verdict
    entry: dict[str, Any]
    is_gone: bool = False


class Sender:
    """Sends what is due. Safe to use from several threads."""

    def __init__(self, settings: Settings, catalog: Catalog, poster: Poster | None = None) -> None:
        self._seconds = settings.webhook_seconds
        self._catalog = catalog
        self._keeper = SecretKeeper(settings)
        self._poster = poster or Poster(webhook_rules.policy_of(settings))

    def due(self, busy: Counter[str], limit: int) -> list[deliveries.Due]:
        """Return what to send next, at most `PER_TARGET` to one target with those under way."""
        full = [target for target, n in busy.items() if n >= PER_TARGET]
        with self._catalog.read() as session:
            found = deliveries.due(session, full, 10 * limit)
        taken = Counter(busy)
        chosen: list[deliveries.Due] = []
        for one in found:
            if taken[one.target] < PER_TARGET and len(chosen) < limit:
                taken[one.target] += 1
                chosen.append(one)
        return chosen

    def send(self, delivery_id: str) -> Attempt | None:
        """Claim a delivery, send it, and write how it went; None if it was not there to claim."""
        claimed = self._claim(delivery_id)
        if claimed is None:
            return None
        row = claimed.row if isinstance(claimed, Message) else claimed[0]
        attempt = self._post(claimed) if isinstance(claimed, Message) else claimed[1]
        with self._catalog.write() as session:
            kept = deliveries.settle(
                session,
                row.id,
                row.epoch,
                status=attempt.verdict.status,
                log=[*row.log, attempt.entry],
                next_in_seconds=attempt.verdict.next_in_seconds,
            )
            deliveries.tally(session, attempt.verdict.outcome)
            if attempt.is_gone and row.endpoint_id is not None:
                reason = f"It answered 410 to {row.id}: it wants no more messages."
                webhooks.disable(session, row.endpoint_id, reason)
        log.info(
            "a webhook was sent",
            delivery=row.id,
            webhook_event=row.event,
            outcome=attempt.verdict.outcome,
            status_code=attempt.entry.get("status_code"),
            kept=kept,
        )
        return attempt

    def _claim(self, delivery_id: str) -> Message | tuple[WebhookDeliveryRow, Attempt] | None:
        """Take a delivery with its address and keys, or with why it is not sent."""
        with self._catalog.write() as session:
            row = deliveries.claim(session, delivery_id, self._seconds + LEASE_MARGIN_SECONDS)
            if row is None:
                return None
            if row.endpoint_id is None:
                return Message(row, row.url or "", [])
            endpoint = webhooks.find_endpoint(session, row.endpoint_id)
            if endpoint is None or not endpoint.enabled:
                why = "was deleted" if endpoint is None else "is switched off"
                verdict = Verdict("cancelled", "cancelled")
                return row, _attempt(verdict, 0.0, f"The endpoint {why}.")
            try:
                return Message(row, endpoint.url, signing_secrets(session, self._keeper, endpoint))
            except SecretsUnreadable as problem:
                verdict = webhook_rules.after_silence(len(row.log) + 1)
                return row, _attempt(verdict, 0.0, problem.detail)

    def _post(self, message: Message) -> Attempt:
        row = message.row
        body = row.body.encode("ascii")
        headers = {
            "Content-Type": "application/json",
            **sign(message.secrets, row.message_id, int(time.time()), body),
        }
        attempts = len(row.log) + 1
        started = time.monotonic()
        try:
            answer = self._poster.post(
                message.url,
                body,
                headers,
                seconds=self._seconds,
                max_response_bytes=MAX_RESPONSE_BYTES,
            )
        except SourceUnreachable as problem:
            verdict = webhook_rules.after_silence(attempts)
            return _attempt(verdict, time.monotonic() - started, problem.detail)
        except SourceRefused as problem:
            return _attempt(Verdict("failed", "failed"), time.monotonic() - started, problem.detail)
        verdict = webhook_rules.after_answer(
            answer.status, attempts, answer.headers.get("retry-after")
        )
        delivered = verdict.outcome == "delivered"
        detail = "" if delivered else webhook_rules.explain(answer.status)
        attempt = _attempt(verdict, answer.seconds, detail, answer.status)
        if row.endpoint_id is not None:
            # of an address that a job names nothing is kept: it would read for whoever wrote it
            text = answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")
            attempt.entry["response"] = text
        return Attempt(attempt.verdict, attempt.entry, answer.status == webhook_rules.GONE)


def _attempt(verdict: Verdict, seconds: float, detail: str, status: int | None = None) -> Attempt:
    entry = {
        "at": datetime.now(UTC).isoformat(),
        "seconds": round(seconds, 3),
        "outcome": verdict.outcome,
        "status_code": status,
        "detail": detail,
    }
    return Attempt(verdict, entry)


class SenderThread(threading.Thread):
    """Looks for what is due and hands it to threads until `stop`; errors are logged."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._sender = Sender(settings, catalog)
        self._wait_seconds = settings.webhook_seconds + 2
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")
        while not self._stopping:
            self._wake.clear()
            try:
                self._hand_out(pool)
            except SQLAlchemyError as error:
                log.warning("the catalog failed; trying again", error=type(error).__name__)
            except Exception as error:  # it must not end in silence while the process lives
                log.error("webhooks failed; trying again", exc_info=error)
            self._wake.wait(LOOK_SECONDS)
        pool.shutdown(cancel_futures=True)

    def _hand_out(self, pool: ThreadPoolExecutor) -> None:
        with self._lock:
            busy = Counter({target: n for target, n in self._busy.items() if n})
        for one in self._sender.due(busy, THREADS - busy.total()):
            with self._lock:
                self._busy[one.target] += 1
            pool.submit(self._send, one)

    def _send(self, one: deliveries.Due) -> None:
        try:
            self._sender.send(one.id)
        except (ProblemError, SQLAlchemyError) as error:
            log.warning("a webhook could not be sent; trying again", error=type(error).__name__)
        except Exception as error:  # the message stays; its claim ends by itself
            log.error("a webhook could not be sent; trying again", exc_info=error)
        finally:
            with self._lock:
                self._busy[one.target] -= 1
                if not self._busy[one.target]:
                    del self._busy[one.target]
            self._wake.set()

    def stop(self) -> None:
        """Let what is under way end, for a moment."""
        self._stopping = True
        self._wake.set()
        if self.is_alive():
            self.join(timeout=self._wait_seconds)
