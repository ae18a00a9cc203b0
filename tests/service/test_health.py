"""/readyz says what works, in bounded time, whatever the parts behind it do."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.health_checks import Finding, HealthChecks
from tests.support.catalogs import new_sqlite_catalog
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.installation import Installation, installation
from tests.support.s3 import S3Server


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server.url) as opened:
        yield opened


@pytest.fixture
def site(s3_server: S3Server, proxy: FaultyProxy, tmp_path: Path) -> Iterator[Installation]:
    """Objects on S3 behind a proxy, with the default patience."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    changes = s3_server.settings(s3_server.new_bucket(), s3_endpoint=proxy.url)
    with installation(url, tmp_path / "data", **changes) as opened:
        yield opened


class TestReadiness:
    def test_s3_that_answers(self, site: Installation) -> None:
        answer = site.client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"] == {"catalog": True, "objects": True, "queue": True}
        assert answer.json()["details"] == {}

    @pytest.mark.parametrize("fault", ["silent", "refuse", "answer_500"])
    def test_a_dead_s3(self, site: Installation, proxy: FaultyProxy, fault: str) -> None:
        setattr(proxy.faults, fault, True)
        began = time.monotonic()
        answer = site.client.get("/readyz")
        assert time.monotonic() - began < 6
        assert answer.status_code == 503
        assert answer.json()["checks"] == {"catalog": True, "objects": False, "queue": True}
        assert "127.0.0.1" not in answer.text
        proxy.faults.mend()
        assert site.client.get("/readyz").status_code == 200

    def test_a_folder_that_is_gone(self, sqlite_site: Installation, tmp_path: Path) -> None:
        (tmp_path / "data" / "objects").rename(tmp_path / "elsewhere")
        answer = sqlite_site.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["objects"] is False
        assert str(tmp_path) not in answer.text

    def test_a_disk_without_room_is_told(self, tmp_path: Path) -> None:
        """What is there can be read, so that requests should still come here."""
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        with installation(url, tmp_path / "data", min_free_bytes=1 << 60) as site:
            answer = site.client.get("/readyz")
        assert answer.status_code == 200
        assert "free space" in answer.json()["details"]["objects"]


class TestChecks:
    def test_one_that_hangs_is_late_and_runs_once(self) -> None:
        checks = HealthChecks()
        release = threading.Event()
        started = []

        def hang() -> Finding:
            started.append(1)
            release.wait(30)
            return Finding(True)

        for _ in range(3):
            found = checks.run({"slow": hang, "fast": lambda: Finding(True)}, seconds=0.05)
            assert found["fast"].is_well
            assert not found["slow"].is_well
        assert len(started) == 1
        release.set()
        time.sleep(0.1)
        assert checks.run({"slow": hang}, seconds=5)["slow"].is_well

    def test_one_that_raises_has_failed(self) -> None:
        def broken() -> Finding:
            raise RuntimeError("/a/path")

        assert HealthChecks().run({"x": broken}) == {
            "x": Finding(False, "The check failed (RuntimeError).")
        }
