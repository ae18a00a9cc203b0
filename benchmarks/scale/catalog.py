"""How fast the API answers over a catalog of a million items, on SQLite and on PostgreSQL."""

import itertools
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from benchmarks.scale.filling import fill
from benchmarks.speed.figures import percentile
from ops import ports
from ops.processes import module_command
from storage.catalog import migrations
from storage.catalog.engine import Catalog
from tests.support.postgres import start_postgres

GOAL_STATUS_P99_SECONDS: Final = 0.020
GOAL_PAGE_P99_SECONDS: Final = 0.050
JOBS: Final = 10
PAGE_ITEMS: Final = 100
WARM_UP_REQUESTS: Final = 20
PAGES_WALKED: Final = 100


def measure(items: int, requests: int, console: Console) -> dict[str, Any]:
    """Fill a catalog on each database and ask a real API process."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="selvage-scale-") as name:
        url = f"sqlite:///{Path(name) / 'catalog.sqlite3'}"
        results["sqlite"] = _measure_on(url, items, requests, console)
    with start_postgres() as server:
        url = server.new_database("scale")
        results["postgresql"] = _measure_on(url, items, requests, console)
    return {"items": items, "jobs": JOBS, "requests": requests, "databases": results}


def _measure_on(url: str, items: int, requests: int, console: Console) -> dict[str, Any]:
    migrations.upgrade(url)
    catalog = Catalog(url)
    console.print(f"{catalog.engine.dialect.name}: writing {items} items", style="dim")
    started = time.perf_counter()
    job_ids = fill(catalog, JOBS, items // JOBS)
    _refresh_statistics(catalog)
    catalog.close()
    console.print(f"written in {time.perf_counter() - started:.0f} s", style="dim")
    with _api(url) as base, httpx.Client(base_url=base, timeout=60) as client:
        return _figures(_timings(client, job_ids, requests))


def _timings(client: httpx.Client, job_ids: list[str], requests: int) -> dict[str, list[float]]:
    """Seconds of each request, by what was asked for."""
    pick = random.Random(0)
    tokens = _page_tokens(client, job_ids[0])

    def status() -> str:
        return f"/v1/jobs/{pick.choice(job_ids)}"

    def page() -> str:
        token = pick.choice(tokens)
        base = f"/v1/jobs/{job_ids[0]}/items?page_size={PAGE_ITEMS}"
        return f"{base}&page_token={token}" if token else base

    def failed_page() -> str:
        return f"/v1/jobs/{pick.choice(job_ids)}/items?status=failed&page_size={PAGE_ITEMS}"

    kinds: dict[str, Callable[[], str]] = {
        "job_status": status,
        "item_page": page,
        "failed_item_page": failed_page,
        "job_list": lambda: "/v1/jobs",
    }
    return {name: _ask(client, path, requests) for name, path in kinds.items()}


def _ask(client: httpx.Client, path: Callable[[], str], requests: int) -> list[float]:
    seconds = []
    for number in range(WARM_UP_REQUESTS + requests):
        address = path()
        started = time.perf_counter()
        answer = client.get(address)
        took = time.perf_counter() - started
        answer.raise_for_status()
        if number >= WARM_UP_REQUESTS:
            seconds.append(took)
    return seconds


def _page_tokens(client: httpx.Client, job_id: str) -> list[str | None]:
    """Tokens of pages all over a job: a few small pages, between them pages of 1,000."""
    tokens: list[str | None] = [None]
    for _ in range(PAGES_WALKED):
        query = "" if tokens[-1] is None else f"&page_token={tokens[-1]}"
        document = client.get(f"/v1/jobs/{job_id}/items?page_size=1000{query}").json()
        token = document.get("next_page_token")
        if token is None:
            break
        tokens.append(token)
    return tokens


def _figures(timings: dict[str, list[float]]) -> dict[str, Any]:
    goals = {"job_status": GOAL_STATUS_P99_SECONDS, "item_page": GOAL_PAGE_P99_SECONDS}
    figures: dict[str, Any] = {}
    for name, seconds in timings.items():
        figures[name] = {
            "p50_seconds": percentile(seconds, 0.5),
            "p99_seconds": percentile(seconds, 0.99),
            "highest_seconds": max(seconds),
        }
        if name in goals:
            figures[name]["goal_p99_seconds"] = goals[name]
            figures[name]["reached"] = figures[name]["p99_seconds"] <= goals[name]
    return figures


def _refresh_statistics(catalog: Catalog) -> None:
    """What autovacuum does within minutes on PostgreSQL, and nothing does on SQLite."""
    if catalog.engine.dialect.name == "postgresql":
        with catalog.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.commit()


@contextmanager
def _api(database_url: str) -> Iterator[str]:
    """A real API process on the catalog; no queue is needed to read."""
    port = ports.find_free("127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="selvage-scale-api-") as name:
        process = subprocess.Popen(
            module_command("service"),
            env={
                **os.environ,
                "SELVAGE_DATA_DIR": name,
                "SELVAGE_DATABASE_URL": database_url,
                "SELVAGE_REDIS_URL": "redis://127.0.0.1:1/0",
                "SELVAGE_PORT": str(port),
                "SELVAGE_LOG_LEVEL": "WARNING",
            },
        )
        try:
            base = f"http://127.0.0.1:{port}"
            _wait_until_up(base, process)
            yield base
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_up(base: str, process: "subprocess.Popen[bytes]") -> None:
    for attempt in itertools.count():
        if process.poll() is not None or attempt > 300:
            raise RuntimeError("the API did not start; its last words are above")
        try:
            if httpx.get(f"{base}/healthz", timeout=1).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
