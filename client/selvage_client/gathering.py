"""Several coroutines at once."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def all_or_first_error(workers: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; when one fails, stop the others and raise its error as it is."""
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
