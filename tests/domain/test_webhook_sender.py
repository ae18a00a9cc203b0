"""Sending to real receivers: that hang, fail, redirect, say 410; senders that race and die."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook

from api_schemas.webhooks import WebhookEndpointCreate
from domain import webhook_rules, webhook_sender, webhooks
from domain.secrets import SecretKeeper
from domain.settings import Settings
from domain.webhook_outbox import publish
from domain.webhook_sender import PER_TARGET, Sender, SenderThread
from storage.catalog import deliveries
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import WebhookDeliveryRow
from storage.remote.posting import Poster
from tests.support.webhook_receiver import Answer, Receiver, drip, flood, hang, receive, redirect


@pytest.fixture
def settings(catalog_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        database_url=catalog_url,
        webhook_allow_networks="127.0.0.1/32",
        webhook_seconds=1.0,
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as server:
        yield server


def add(catalog: Catalog, settings: Settings, url: str, name: str = "ci") -> tuple[str, str]:
    """An endpoint that wants everything; its id and secret."""
    request = WebhookEndpointCreate(name=name, url=url)
    policy = webhook_rules.policy_of(settings)
    with catalog.write() as session:
        row, secret = webhooks.create(session, SecretKeeper(settings), policy, request, "local")
        return row.id, secret


def tell(catalog: Catalog, **data: Any) -> str:
    """Publish something; returns the id of its (latest) delivery."""
    with catalog.write() as session:
        assert publish(session, "export.ready", data) >= 1
        return session.scalars(
            select(WebhookDeliveryRow.id).order_by(WebhookDeliveryRow.id.desc())
        ).first()  # type: ignore[return-value]


def get(catalog: Catalog, delivery_id: str) -> WebhookDeliveryRow:
    with catalog.read() as session:
        row = deliveries.get_delivery(session, delivery_id)
        assert row is not None
        return row


def hurry(catalog: Catalog, delivery_id: str) -> None:
    """Let the next attempt be due now."""
    with catalog.write() as session:
        session.execute(
            update(WebhookDeliveryRow)
            .where(WebhookDeliveryRow.id == delivery_id)
            .values(next_at=db_now())
        )


def send(catalog: Catalog, settings: Settings, delivery_id: str) -> WebhookDeliveryRow:
    assert Sender(settings, catalog).send(delivery_id) is not None
    return get(catalog, delivery_id)


class TestAttempts:
    def test_delivered_and_signed(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        endpoint_id, secret = add(catalog, settings, f"{receiver.url}/hook?from=selvage")
        row = send(catalog, settings, tell(catalog, id="exp_1", name="Größe"))
        (seen,) = receiver.seen
        assert (seen.path, seen.headers["content-type"]) == (
            "/hook?from=selvage",
            "application/json",
        )
        assert seen.headers["webhook-id"] == row.message_id
        said = Webhook(secret).verify(seen.body, seen.headers)
        assert (said["type"], said["data"]) == ("export.ready", {"id": "exp_1", "name": "Größe"})
        assert (row.status, row.next_at, row.endpoint_id) == ("delivered", None, endpoint_id)
        assert row.finished_at is not None
        (attempt,) = row.log
        assert (attempt["outcome"], attempt["status_code"], attempt["response"]) == (
            "delivered",
            200,
            "noted",
        )

    def test_500_then_200_under_the_same_id(self, catalog: Catalog, settings: Settings) -> None:
        with receive(500, 429, 200) as server:
            _, secret = add(catalog, settings, server.url)
            delivery = tell(catalog, id="exp_1")
            row = send(catalog, settings, delivery)
            assert (row.status, row.finished_at) == ("pending", None)
            assert Sender(settings, catalog).send(delivery) is None  # not due yet
            for _ in range(2):
                hurry(catalog, delivery)
                row = send(catalog, settings, delivery)
            assert row.status == "delivered"
            assert [a["status_code"] for a in row.log] == [500, 429, 200]
            assert {one.headers["webhook-id"] for one in server.seen} == {row.message_id}
            assert len({one.body for one in server.seen}) == 1
            for one in server.seen:
                Webhook(secret).verify(one.body, one.headers)
        with catalog.read() as session:
            assert deliveries.tallies(session) == {"retried": 2, "delivered": 1}

    def test_gives_up_in_the_end(self, catalog: Catalog, settings: Settings) -> None:
        with receive(503) as server:
            add(catalog, settings, server.url)
            delivery = tell(catalog, id="exp_1")
            for _ in range(webhook_rules.MAX_ATTEMPTS):
                hurry(catalog, delivery)
                row = send(catalog, settings, delivery)
        assert (row.status, len(row.log)) == ("failed", 7)
        assert [a["outcome"] for a in row.log] == ["retried"] * 6 + ["failed"]
        assert Sender(settings, catalog).send(delivery) is None

    @pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
    def test_no_answer_in_time(self, catalog: Catalog, settings: Settings, answer: Answer) -> None:
        with receive(answer) as server:
            add(catalog, settings, server.url)
            start = time.monotonic()
            row = send(catalog, settings, tell(catalog, id="exp_1"))
            assert time.monotonic() - start < 4
        assert (row.status, row.log[0]["detail"]) == ("pending", "There was no answer in time.")

    def test_an_endless_answer_is_an_answer(self, catalog: Catalog, settings: Settings) -> None:
        with receive(flood) as server:
            add(catalog, settings, server.url)
            row = send(catalog, settings, tell(catalog, id="exp_1"))
        assert (row.status, len(row.log[0]["response"])) == ("delivered", 1024)

    def test_nobody_listens(self, catalog: Catalog, settings: Settings) -> None:
        with receive() as server:
            add(catalog, settings, server.url)
        row = send(catalog, settings, tell(catalog, id="exp_1"))
        assert (row.status, row.log[0]["status_code"]) == ("pending", None)
        assert "refused" in row.log[0]["detail"]

    def test_a_redirect_inside_is_not_followed(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        with receive(redirect(f"{receiver.url}/inside", 307)) as server:
            add(catalog, settings, server.url)
            row = send(catalog, settings, tell(catalog, id="exp_1"))
        assert receiver.seen == []
        assert (row.status, row.log[0]["status_code"]) == ("failed", 307)
        assert "redirects are not followed" in row.log[0]["detail"]

    def test_410_switches_the_endpoint_off(self, catalog: Catalog, settings: Settings) -> None:
        with receive(410) as server:
            add(catalog, settings, server.url)
            first, second = tell(catalog, id="exp_1"), tell(catalog, id="exp_2")
            assert send(catalog, settings, first).status == "failed"
            row = send(catalog, settings, second)
            assert (row.status, row.log[0]["detail"]) == (
                "cancelled",
                "The endpoint is switched off.",
            )
            assert len(server.seen) == 1
        with catalog.write() as session:
            endpoint = webhooks.get(session, "ci")
            assert not endpoint.enabled
            assert "410" in (endpoint.disabled_reason or "")
            assert publish(session, "export.ready", {}) == 0

    def test_deleted_meanwhile(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        add(catalog, settings, receiver.url)
        delivery = tell(catalog, id="exp_1")
        with catalog.write() as session:
            webhooks.remove(session, "ci")
        assert send(catalog, settings, delivery).status == "cancelled"
        assert receiver.seen == []

    def test_the_secret_is_unreadable(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        add(catalog, settings, receiver.url)
        (settings.data_dir / "secret.key").unlink()
        row = send(catalog, settings, tell(catalog, id="exp_1"))
        assert (row.status, receiver.seen) == ("pending", [])
        assert "another key" in row.log[0]["detail"]


class TestGuard:
    def test_a_name_that_leads_inside(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        closed = settings.model_copy(update={"webhook_allow_networks": ""})
        add(catalog, closed, f"http://hooks.example.com:{receiver.port}/x")
        asked = []

        def resolver(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        poster = Poster(webhook_rules.policy_of(closed), resolver)
        delivery = tell(catalog, id="exp_1")
        assert Sender(closed, catalog, poster).send(delivery) is not None
        row = get(catalog, delivery)
        assert (row.status, receiver.seen, asked) == ("failed", [], ["hooks.example.com"])
        assert "SELVAGE_WEBHOOK_ALLOW_NETWORKS" in row.log[0]["detail"]

    def test_resolved_once_for_check_and_dialling(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        """A name server that answers differently the second time gains nothing."""
        answers = iter([["127.0.0.1"], ["169.254.169.254"]])
        poster = Poster(webhook_rules.policy_of(settings), lambda host, port: next(answers))
        add(catalog, settings, f"http://hooks.example.com:{receiver.port}/x")
        delivery = tell(catalog, id="exp_1")
        assert Sender(settings, catalog, poster).send(delivery) is not None
        assert get(catalog, delivery).status == "delivered"
        assert receiver.seen[0].headers["host"] == f"hooks.example.com:{receiver.port}"
        assert next(answers) == ["169.254.169.254"]  # it was not asked for again

    def test_an_address_of_before(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        """The operator closes a network: what is stored goes there no more."""
        add(catalog, settings, receiver.url)
        closed = settings.model_copy(update={"webhook_allow_networks": ""})
        row = send(catalog, closed, tell(catalog, id="exp_1"))
        assert (row.status, receiver.seen) == ("failed", [])


class TestSenders:
    def test_one_of_many_takes_it(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        add(catalog, settings, receiver.url)
        delivery = tell(catalog, id="exp_1")
        senders = [Sender(settings, catalog) for _ in range(6)]
        threads = [threading.Thread(target=s.send, args=(delivery,)) for s in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(receiver.seen) == 1
        assert get(catalog, delivery).epoch == 1

    def test_one_that_was_thought_dead_changes_nothing(
        self, catalog: Catalog, settings: Settings
    ) -> None:
        with receive() as server:
            add(catalog, settings, server.url)
            delivery = tell(catalog, id="exp_1")
            with catalog.write() as session:
                late = deliveries.claim(session, delivery, 0.0)
            assert late is not None
            send(catalog, settings, delivery)
        with catalog.write() as session:
            assert not deliveries.settle(
                session, delivery, late.epoch, status="failed", log=[], next_in_seconds=None
            )
        assert get(catalog, delivery).status == "delivered"

    def test_one_address_that_hangs_holds_up_no_other(
        self, catalog: Catalog, settings: Settings
    ) -> None:
        slow = settings.model_copy(update={"webhook_seconds": 5.0})
        with receive(hang) as stuck, receive() as good:
            add(catalog, slow, stuck.url, "stuck")
            for n in range(12):
                tell(catalog, n=n)
            add(catalog, slow, good.url, "good")
            tell(catalog, n=99)
            due = Sender(slow, catalog).due(Counter(), 8)
            assert max(Counter(one.target for one in due).values()) == PER_TARGET
            thread = SenderThread(slow, catalog)
            thread.start()
            try:
                (seen,) = good.wait(1, seconds=4)
            finally:
                stuck.stopping.set()
                thread.stop()
            assert json.loads(seen.body)["data"] == {"n": 99}

    def test_the_thread_sends_all_that_waits(
        self, catalog: Catalog, settings: Settings, receiver: Receiver
    ) -> None:
        add(catalog, settings, receiver.url)
        expected = {tell(catalog, n=n) for n in range(20)}
        thread = SenderThread(settings, catalog)
        thread.start()
        receiver.wait(20)
        thread.stop()
        assert not thread.is_alive()
        assert len({one.headers["webhook-id"] for one in receiver.seen}) == len(expected) == 20
        assert {get(catalog, one).status for one in expected} == {"delivered"}


SENDER_PROCESS = """
import sys
from domain import webhook_sender
from domain.settings import Settings
from storage.catalog.engine import Catalog
webhook_sender.LEASE_MARGIN_SECONDS = 0.5
settings = Settings(data_dir=sys.argv[1], database_url=sys.argv[2], webhook_seconds=1.5,
                    webhook_allow_networks="127.0.0.1/32")
webhook_sender.SenderThread(settings, Catalog(settings.catalog_url)).run()
"""


def test_a_killed_sender_loses_nothing(
    catalog: Catalog, catalog_url: str, settings: Settings
) -> None:
    """Killed while the receiver works on the message: it comes again, and can be known again."""
    with receive(hang, 200) as server:
        _, secret = add(catalog, settings, server.url)
        delivery = tell(catalog, id="exp_1")
        command = [sys.executable, "-c", SENDER_PROCESS, str(settings.data_dir), catalog_url]
        first = subprocess.Popen(command)
        server.wait(1)
        first.kill()
        first.wait()
        row = get(catalog, delivery)
        assert (row.status, row.log, row.epoch) == ("pending", [], 1)
        second = subprocess.Popen(command)
        try:
            once, again = server.wait(2)
            until = time.monotonic() + 10
            while get(catalog, delivery).status == "pending" and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            second.kill()
            second.wait()
    assert get(catalog, delivery).status == "delivered"
    assert once.headers["webhook-id"] == again.headers["webhook-id"]
    assert once.body == again.body
    Webhook(secret).verify(again.body, again.headers)


def test_a_rotation_signs_with_both_until_it_ends(
    catalog: Catalog, settings: Settings, receiver: Receiver
) -> None:
    _, former = add(catalog, settings, receiver.url)
    with catalog.write() as session:
        _, current = webhooks.rotate_secret(session, SecretKeeper(settings), "ci", 0.6)
    for secret in (former, current):
        send(catalog, settings, tell(catalog, n=1))
        Webhook(secret).verify(receiver.seen[-1].body, receiver.seen[-1].headers)
    assert len(receiver.seen[-1].headers["webhook-signature"].split()) == 2
    time.sleep(0.7)
    send(catalog, settings, tell(catalog, n=2))
    Webhook(current).verify(receiver.seen[-1].body, receiver.seen[-1].headers)
    assert len(receiver.seen[-1].headers["webhook-signature"].split()) == 1


def test_the_log_forgets(catalog: Catalog, settings: Settings, receiver: Receiver) -> None:
    add(catalog, settings, receiver.url)
    sent = tell(catalog, n=1)
    send(catalog, settings, sent)
    waiting = tell(catalog, n=2)
    time.sleep(0.05)
    with catalog.write() as session:
        assert deliveries.remove_old(session, 3600) == 0
        assert deliveries.remove_old(session, 0.01) == 1
        assert deliveries.get_delivery(session, sent) is None
        assert deliveries.get_delivery(session, waiting) is not None
        assert deliveries.tallies(session) == {"delivered": 1}
    assert webhook_sender.MAX_RESPONSE_BYTES == 1024
