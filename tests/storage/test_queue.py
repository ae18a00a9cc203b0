import time

from storage.queue import Queue

NOBODY = "redis://127.0.0.1:1/0"


class TestQueueWithoutBroker:
    def test_nothing_raises(self) -> None:
        queue = Queue(NOBODY)
        assert queue.send_chunk("chk_x") is False
        queue.wake()
        assert queue.was_wiped() is None
        assert queue.ping() is False
        queue.close()

    def test_listener_just_sleeps(self) -> None:
        queue = Queue(NOBODY)
        started = time.monotonic()
        assert queue.listener().wait(0.2) is False
        assert 0.2 <= time.monotonic() - started < 5.0
        queue.close()
