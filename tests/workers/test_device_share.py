"""A training gets a device to itself: label workers make room between two chunks."""

import threading

import pytest

from storage.catalog import devices
from storage.catalog.engine import Catalog
from storage.catalog.workers import add_worker, count_live_workers
from workers.device_share import DeviceShare

CPU = "here/cpu"
LABELLER, TRAINER, OTHER = "wrk_label", "wrk_train", "wrk_other"


@pytest.fixture
def dropped() -> list[str]:
    return []


@pytest.fixture
def share(catalog: Catalog, dropped: list[str]) -> DeviceShare:
    with catalog.write() as session:
        add_worker(
            session, LABELLER, queue="label", host="here", pid=1, device="cpu", device_id=CPU
        )
    return DeviceShare(catalog, CPU, LABELLER, lambda: dropped.append("models"))


def take(catalog: Catalog, owner: str = TRAINER, seconds: float = 60.0) -> int | None:
    with catalog.write() as session:
        return devices.take(session, CPU, owner, seconds)


def at_work(catalog: Catalog, epoch: int | None) -> int:
    assert epoch is not None
    with catalog.read() as session:
        return devices.count_at_work(session, CPU, TRAINER, epoch, silent_seconds=60)


def live(catalog: Catalog) -> int:
    with catalog.read() as session:
        return count_live_workers(session, "label", 60)


def test_one_owner_at_a_time(catalog: Catalog) -> None:
    first = take(catalog)
    assert (first, take(catalog, OTHER)) == (1, None)
    with catalog.write() as session:
        assert devices.renew(session, CPU, TRAINER, 1, 60)
        assert not devices.renew(session, CPU, TRAINER, 2, 60)
        devices.release(session, CPU, OTHER)  # not his
    assert take(catalog, OTHER) is None
    with catalog.write() as session:
        devices.release(session, CPU, TRAINER)
    assert take(catalog, OTHER) == 2
    with catalog.write() as session:
        assert not devices.renew(session, CPU, TRAINER, 1, 60)


def test_a_lease_runs_out(catalog: Catalog) -> None:
    assert take(catalog, seconds=-1.0) == 1
    assert take(catalog, OTHER) == 2


def test_the_dead_give_back(catalog: Catalog) -> None:
    take(catalog)
    with catalog.write() as session:
        devices.release_all(session, TRAINER)
    assert take(catalog, OTHER) == 2


def test_an_idle_worker_makes_room(
    catalog: Catalog, share: DeviceShare, dropped: list[str]
) -> None:
    share.look()
    assert (dropped, live(catalog)) == ([], 1)
    epoch = take(catalog)
    assert (at_work(catalog, epoch), live(catalog)) == (1, 0)
    share.look()
    share.look()
    assert (dropped, at_work(catalog, epoch)) == (["models"], 0)
    with share.working() as may_work:
        assert not may_work
    with catalog.write() as session:
        devices.release(session, CPU, TRAINER)
    assert live(catalog) == 1
    with share.working() as may_work:
        assert may_work


def test_a_worker_finishes_its_chunk_first(
    catalog: Catalog, share: DeviceShare, dropped: list[str]
) -> None:
    with share.working() as may_work:
        assert may_work
        epoch = take(catalog)
        share.look()  # by the heartbeat, in the middle of the chunk
        assert (dropped, at_work(catalog, epoch)) == ([], 1)
    share.look()
    assert (dropped, at_work(catalog, epoch)) == (["models"], 0)


def test_the_next_training_asks_again(catalog: Catalog, share: DeviceShare) -> None:
    take(catalog)
    share.look()
    with catalog.write() as session:
        devices.release(session, CPU, TRAINER)
    epoch = take(catalog)
    assert at_work(catalog, epoch) == 1
    share.look()
    assert at_work(catalog, epoch) == 0


def test_waiting_ends_with_the_lease(
    catalog: Catalog, share: DeviceShare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.device_share.LOOK_SECONDS", 0.01)
    take(catalog)
    draining = threading.Event()
    waiting = threading.Thread(target=share.wait, args=(draining,))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    with catalog.write() as session:
        devices.release(session, CPU, TRAINER)
    waiting.join(10)
    assert not waiting.is_alive()


def test_waiting_ends_with_the_process(
    catalog: Catalog, share: DeviceShare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.device_share.LOOK_SECONDS", 60.0)
    take(catalog)
    draining = threading.Event()
    waiting = threading.Thread(target=share.wait, args=(draining,))
    waiting.start()
    draining.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_workers_of_other_devices_go_on(catalog: Catalog, share: DeviceShare) -> None:
    with catalog.write() as session:
        add_worker(
            session, OTHER, queue="label", host="x", pid=1, device="cpu", device_id="there/cpu"
        )
    epoch = take(catalog)
    share.look()
    assert (at_work(catalog, epoch), live(catalog)) == (0, 1)
