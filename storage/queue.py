"""The queue: the one producer. Messages carry ids only, and all of them may be lost.

Besides chunks there are wake-ups: hints on a Redis channel that let sleepers look at once. A lost
hint costs a poll interval, nothing else.
"""

import time
from typing import Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

RUN_CHUNK: Final = "workers.run_chunk"
LABEL_QUEUE: Final = "label"
LIGHT_QUEUE: Final = "light"  # for workers without torch
TRAINING_QUEUE: Final = "training"  # for those that start and watch the processes that train
KINDS: Final = {  # queue → kinds of its chunks
    LABEL_QUEUE: (
        "pilot",
        "label",
        "fit",
        "finish",
        "evaluate",
        "adapt",
        "fit_connectivity",
        "fit_rectifier",
        "validate",
    ),
    LIGHT_QUEUE: ("ingest", "import", "export", "push"),
    TRAINING_QUEUE: ("train",),
}
WAKE_CHANNEL: Final = "selvage:wake"
_MARKER_KEY: Final = "selvage:marker"
VISIBILITY_TIMEOUT_SECONDS: Final = 600


def celery_app(broker_url: str) -> Celery:
    """Return the Celery application, configured alike for producer and workers."""
    app = Celery("selvage", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_default_queue=LABEL_QUEUE,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=4,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 4,
            "max_retries": 1,
        },
    )
    return app


class Queue:
    """Sends chunks and wake-ups; survives a broker that is away."""

    def __init__(self, broker_url: str) -> None:
        self._app = celery_app(broker_url)
        self._redis = redis.Redis.from_url(
            broker_url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=30
        )

    def send_chunk(self, chunk_id: str, queue: str = LABEL_QUEUE) -> bool:
        """Hand a chunk's id to the workers of a queue; False when the broker is away."""
        try:
            self._app.send_task(RUN_CHUNK, args=[chunk_id], queue=queue, retry=False)
        except (OperationalError, redis.RedisError, OSError):
            return False
        return True

    def wake(self) -> None:
        """Tell the dispatcher to look now; does nothing when the broker is away."""
        try:
            self._redis.publish(WAKE_CHANNEL, "1")
        except (redis.RedisError, OSError):
            return

    def was_wiped(self) -> bool | None:
        """Whether the broker has lost its data since the last call; None when it is away.

        A marker key is set on the first look. Its absence later means that messages are gone.
        """
        try:
            return bool(self._redis.set(_MARKER_KEY, "1", nx=True))
        except (redis.RedisError, OSError):
            return None

    def ping(self) -> bool:
        """Whether the broker answers."""
        try:
            return bool(self._redis.ping())
        except (redis.RedisError, OSError):
            return False

    def listener(self) -> "WakeListener":
        """Return something to sleep on that `wake` ends."""
        return WakeListener(self._redis)

    def close(self) -> None:
        """Close all connections."""
        self._app.close()
        self._redis.close()


class WakeListener:
    """Sleeps until a wake-up or a time-out, and just sleeps while the broker is away."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._pubsub: redis.client.PubSub | None = None

    def wait(self, timeout_seconds: float) -> bool:
        """Sleep at most `timeout_seconds`; True when woken, False on time-out or no broker."""
        try:
            if self._pubsub is None:
                self._pubsub = self._client.pubsub(  # type: ignore[no-untyped-call]
                    ignore_subscribe_messages=True
                )
                self._pubsub.subscribe(WAKE_CHANNEL)
            message = self._pubsub.get_message(timeout=timeout_seconds)
            while message is not None and self._pubsub.get_message(timeout=0) is not None:
                pass  # many hints are one
        except (redis.RedisError, OSError):
            self._pubsub = None
            time.sleep(timeout_seconds)
            return False
        return message is not None
