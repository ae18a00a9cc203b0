"""A running installation of real processes, and the ways to hurt it."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAST = {
    "SELVAGE_LEASE_SECONDS": "4",
    "SELVAGE_HEARTBEAT_SECONDS": "0.5",
    "SELVAGE_SWEEP_SECONDS": "0.5",
    "SELVAGE_RESEND_SECONDS": "5",
    "SELVAGE_CHUNK_MAX_IMAGES": "4",
    "SELVAGE_MAX_ITEM_SECONDS": "6",
    "SELVAGE_THREADS": "1",
    "SELVAGE_DEVICE": "cpu",
    "SELVAGE_SHUTDOWN_SECONDS": "15",
    "SELVAGE_TRAINING_MODULE": "tests.support.stand_in_trainer",
    "SELVAGE_TRAINING_THREADS": "1",
}


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`.

    Raises:
        AssertionError: it stayed false for `seconds`.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain: {what}")


@dataclass
class Running:
    """`selvage up` on a data folder."""

    data_dir: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self) -> None:
        environment = {
            **os.environ,
            **FAST,
            **self.environment,
            "SELVAGE_DATA_DIR": str(self.data_dir),
            "PYTHONPATH": f"{HERE / 'poison'}:{ROOT}",
        }
        with self._complaints.open("wb") as complaints:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops", "up", "--port", "0", "--quiet"],
                env=environment,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
            )
        wait_until(self._is_ready, 90, "the service is ready")

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._last_words()
        announcement = self.data_dir / "up.json"
        if not announcement.exists():
            return False
        document = json.loads(announcement.read_text())
        if document["pid"] != self.process.pid:
            return False
        self.url = document["url"]
        try:
            ready = httpx.get(f"{self.url}/readyz", timeout=5).json()
        except httpx.HTTPError:
            return False
        return bool(ready["status"] == "ok" and ready["workers"] >= 1)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def log(self) -> str:
        path = self.data_dir / "selvage.log"
        return path.read_text() if path.exists() else ""

    @property
    def _complaints(self) -> Path:
        return self.data_dir.parent / "complaints.log"

    def _last_words(self) -> str:
        """What the service wrote last, and why `selvage up` gave up, if it said so."""
        complaints = self._complaints.read_text().splitlines()
        return "\n".join([*self.log().splitlines()[-60:], "standard error:", *complaints[-30:]])

    @property
    def broker_url(self) -> str:
        return str(json.loads((self.data_dir / "up.json").read_text())["broker_url"])

    def processes(self, marker: str) -> list[psutil.Process]:
        """Processes of this installation whose command line has `marker`."""
        assert self.process is not None
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if marker in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda p: p.pid)

    def kill(self, marker: str) -> None:
        """SIGKILL the first process whose command line has `marker`, and see it gone."""
        victim = wait_until(lambda: self.processes(marker), 30, f"{marker} runs")[0]
        victim.kill()
        wait_until(lambda: not victim.is_running() or victim.status() == "zombie", 10, "gone")

    def call(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """A request that outlasts a restart of the API."""
        end = time.monotonic() + 60
        while True:
            try:
                return httpx.request(method, self.url + path, timeout=30, **kwargs)
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def submit(self, files: dict[str, bytes], seed: int, **headers: str) -> str:
        """Start a job whose pipeline differs from others in the seed alone; returns its id."""
        pipeline = {"predict": {"flip": True, "scales": [1.0, 1.5]}, "seed": seed}
        answer = self.call(
            "POST",
            "/v1/pseudo-labels",
            files=[("files", (name, data)) for name, data in files.items()],
            data={"model": "tiny", "pipeline": json.dumps(pipeline)},
            headers=headers,
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job"]["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.call("GET", f"/v1/jobs/{job_id}").json()
        return job

    def wait_for_images(self, job_id: str, count: int) -> None:
        """Wait until so many images are labelled and others are not."""
        assert self.has_images(job_id, count), "the job was over before the fault"

    def has_images(self, job_id: str, count: int) -> bool:
        """Wait until so many images are labelled; whether others are not."""

        def enough() -> bool:
            counts = self.job(job_id)["counts"]
            return bool(counts["succeeded"] >= count)

        wait_until(enough, 90, f"{count} images labelled")
        counts = self.job(job_id)["counts"]
        return bool(counts["queued"] + counts["running"] > 0)

    def holds_a_chunk(self, pid: int) -> bool:
        """Whether the worker in this process has claimed a chunk."""
        with closing(self.catalog()) as connection:
            found = connection.execute(
                "SELECT count(*) FROM chunk JOIN worker ON chunk.owner = worker.id "
                "WHERE worker.pid = ? AND chunk.status = 'claimed'",
                [pid],
            )
            return bool(found.fetchone()[0])

    def can_be_written(self) -> bool:
        """Whether nobody keeps the catalog to himself."""
        with closing(self.catalog()) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
        return True

    def catalog(self) -> sqlite3.Connection:
        path = self.data_dir / "catalog.sqlite3"
        return sqlite3.connect(path, timeout=1, isolation_level=None)

    def wait_done(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        wait_until(lambda: self.job(job_id)["done"], seconds, f"the job ends\n{self.log()[-3000:]}")
        return self.job(job_id)

    def label_bytes(self, job_id: str) -> dict[str, str]:
        """Return external id → digest of label and confidence bytes, of every labelled item."""
        found = {}
        for line in self.call("GET", f"/v1/jobs/{job_id}/results").text.splitlines():
            result = json.loads(line)
            if result["status"] != "succeeded":
                continue
            label = self.call("GET", result["label_url"]).content
            confidence = self.call("GET", result["confidence_url"]).content
            assert result["external_id"] not in found
            found[result["external_id"]] = hashlib.sha256(label + confidence).hexdigest()
        return found
