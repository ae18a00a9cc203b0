"""Wake-ups for sleepers on an event loop. A lost one costs a poll interval, nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import redis.asyncio
from redis.exceptions import RedisError

from storage.queue import WAKE_CHANNEL

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0


async def listen(broker_url: str, wake: Callable[[], Any]) -> None:
    """Call `wake` at each wake-up until cancelled; while the broker is away, keep trying."""
    pause = FIRST_PAUSE_SECONDS
    client = redis.asyncio.Redis.from_url(
        broker_url, socket_connect_timeout=2, health_check_interval=30
    )
    try:
        while True:
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(WAKE_CHANNEL)
                    pause = FIRST_PAUSE_SECONDS
                    while True:
                        if await channel.get_message(timeout=LONGEST_PAUSE_SECONDS) is not None:
                            wake()
            except (RedisError, OSError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    finally:
        await client.aclose()
