"""The API as a process of its own: it stops soon although clients are still connected."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from ops.ports import find_free
from storage.catalog import migrations
from storage.catalog.engine import Catalog
from tests.support.rows import add_job
from tests.support.sse import Reader, Received

ROOT = Path(__file__).parents[2]


def test_a_signal_ends_streams_and_waits_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite3'}"
    migrations.upgrade(url)
    catalog = Catalog(url)
    job_id = add_job(catalog, 1)
    port = find_free("127.0.0.1")
    environment = {
        **os.environ,
        "SELVAGE_DATA_DIR": str(tmp_path),
        "SELVAGE_DATABASE_URL": url,
        "SELVAGE_REDIS_URL": "redis://127.0.0.1:1",
        "SELVAGE_PORT": str(port),
    }
    api = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=environment)
    found: list[Received] = []
    statuses: list[int] = []

    def stream() -> None:
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            found.extend(Reader().read(response.iter_lines()))

    def wait() -> None:
        answer = client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=60"})
        statuses.append(answer.status_code)

    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=90, trust_env=False
        ) as client:
            _until_ready(client)
            threads = [threading.Thread(target=f) for f in (stream, stream, wait)]
            for thread in threads:
                thread.start()
            until = time.monotonic() + 20
            while "selvage_http_watching 3.0" not in client.get("/metrics").text:
                assert time.monotonic() < until
                time.sleep(0.1)
            asked = time.monotonic()
            api.send_signal(signal.SIGTERM)
            assert api.wait(timeout=20) in (0, -signal.SIGTERM)
            assert time.monotonic() - asked < 5
            for thread in threads:
                thread.join(timeout=10)
    finally:
        api.kill()
        catalog.close()
    assert [e.type for e in found] == ["job.snapshot"] * 2
    assert statuses == [200]


def _until_ready(client: httpx.Client) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            assert client.get("/healthz").status_code == 200
            return
        except httpx.TransportError:
            assert time.monotonic() < until, "the API does not start"
            time.sleep(0.1)
