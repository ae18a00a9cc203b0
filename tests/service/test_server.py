"""The API as a process of its own: how it stops."""

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from ops.ports import find_free
from storage.catalog.engine import Catalog
from tests.support.catalogs import new_sqlite_catalog
from tests.support.rows import add_job
from tests.support.sse import Reader, Received

ROOT = Path(__file__).parents[2]
Running = tuple["subprocess.Popen[bytes]", httpx.Client]


@pytest.fixture
def catalog_url(tmp_path: Path) -> str:
    return new_sqlite_catalog(tmp_path / "catalog.sqlite3")


@contextmanager
def api_process(folder: Path, catalog_url: str, **variables: str) -> Iterator[Running]:
    """A process of the API, ready, and a client of it."""
    port = find_free("127.0.0.1")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("OTEL_")},
        "SELVAGE_DATA_DIR": str(folder),
        "SELVAGE_DATABASE_URL": catalog_url,
        "SELVAGE_REDIS_URL": "redis://127.0.0.1:1",
        "SELVAGE_PORT": str(port),
        **variables,
    }
    api = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=90, trust_env=False) as client:
            until_ready(client)
            yield api, client
    finally:
        api.kill()
        api.wait()


def until_ready(client: httpx.Client) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            assert client.get("/healthz").status_code == 200
            return
        except httpx.TransportError:
            assert time.monotonic() < until, "the API does not start"
            time.sleep(0.1)


def test_a_signal_ends_streams_and_waits_at_once(tmp_path: Path, catalog_url: str) -> None:
    catalog = Catalog(catalog_url)
    job_id = add_job(catalog, 1)
    found: list[Received] = []
    statuses: list[int] = []

    def stream(client: httpx.Client) -> None:
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            found.extend(Reader().read(response.iter_lines()))

    def wait(client: httpx.Client) -> None:
        answer = client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=60"})
        statuses.append(answer.status_code)

    with api_process(tmp_path, catalog_url) as (api, client):
        threads = [threading.Thread(target=f, args=(client,)) for f in (stream, stream, wait)]
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
    catalog.close()
    assert [e.type for e in found] == ["job.snapshot"] * 2
    assert statuses == [200]


def test_the_last_spans_are_sent(tmp_path: Path, catalog_url: str) -> None:
    """What was recorded right before the signal reaches the collector."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 - the name that http.server asks for
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    try:
        with api_process(tmp_path, catalog_url, **variables) as (api, client):
            assert client.get("/v1/jobs/job_none").status_code == 404
            api.send_signal(signal.SIGTERM)
            api.wait(timeout=20)
    finally:
        collector.shutdown()
        collector.server_close()
    assert b"GET /v1/jobs/{job_id}" in b"".join(bodies)
