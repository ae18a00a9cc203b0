"""Wake-ups on an event loop, with a real broker, through its death, and without one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from storage import wakeups
from storage.queue import Queue
from tests.ops.processes import wait_for
from tests.ops.test_broker import RunningBroker


async def until(condition: Callable[[], bool], act: Callable[[], None] | None = None) -> None:
    for _ in range(400):
        if act is not None:
            await asyncio.to_thread(act)
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_a_wake_up_arrives_also_after_the_broker_died(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(wakeups, "FIRST_PAUSE_SECONDS", 0.1)
    running = RunningBroker(tmp_path)
    running.wait_until_it_answers()
    queue = Queue(running.broker.url)
    woken: list[int] = []

    async def listen() -> None:
        task = asyncio.create_task(wakeups.listen(running.broker.url, lambda: woken.append(1)))
        await until(lambda: bool(woken), queue.wake)
        await asyncio.to_thread(_kill_and_restart, running)
        woken.clear()
        await until(lambda: bool(woken), queue.wake)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    try:
        asyncio.run(listen())
    finally:
        queue.close()
        running.client.close()
        running.supervisor.stop()


def _kill_and_restart(running: RunningBroker) -> None:
    old = running.kill()

    def is_back() -> bool:
        running.supervisor.step(0.02)
        return running.supervisor.pids().get("broker") != old

    wait_for(is_back)
    running.wait_until_it_answers()


def test_without_a_broker_it_waits_and_can_be_stopped() -> None:
    async def listen() -> None:
        task = asyncio.create_task(wakeups.listen("redis://127.0.0.1:1", lambda: None))
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(listen())
