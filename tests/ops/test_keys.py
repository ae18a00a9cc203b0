"""`selvage keys`, and that the service listens on other addresses only once there is a key."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from sqlalchemy import select

from domain.api_keys import CREATE_COMMAND, KeysNeeded, refuse_open_service
from domain.settings import Settings
from ops import ports
from storage.catalog.engine import Catalog
from storage.catalog.tables import ApiKeyRow
from tests.ops.processes import own_environment, wait_for
from tests.ops.test_cli import selvage
from tests.ops.test_up import Up
from tests.support.catalogs import new_sqlite_catalog
from tests.support.keys import make_key


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    return tmp_path


def rows(data_dir: Path) -> list[ApiKeyRow]:
    catalog = Catalog(f"sqlite:///{data_dir / 'catalog.sqlite3'}")
    with catalog.read() as session:
        found = list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id)))
    catalog.close()
    return found


class TestCommands:
    def test_a_key_is_printed_once_and_stored_as_a_hash(self, data_dir: Path) -> None:
        made = selvage(
            data_dir, "keys", "create", "nightly", "--scope", "read", "--scope", "train",
            "--days", "30", "--jobs", "3", "--stored-bytes", "1000",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        secret = made.stdout.strip()
        assert secret.startswith("sv_")
        assert len(secret) == 46
        (row,) = rows(data_dir)
        assert f"This is the key {row.id} 'nightly' (read, train)." in made.stderr
        assert (row.scopes, row.hint) == (["read", "train"], secret[:9])
        assert row.quota == {"jobs": 3, "stored_bytes_per_day": 1000}
        assert row.expires_at is not None
        assert 29.9 < (row.expires_at - row.created_at) / 86400 < 30.1
        assert secret.encode() not in (data_dir / "catalog.sqlite3").read_bytes()
        shown = selvage(data_dir, "keys", "list", COLUMNS="200").stdout
        assert row.id in shown
        assert "active" in shown
        assert secret not in shown

    def test_revoking_twice_does_no_harm(self, data_dir: Path) -> None:
        selvage(data_dir, "keys", "create", "a", "--quiet")
        (row,) = rows(data_dir)
        for _ in range(2):
            revoked = selvage(data_dir, "keys", "revoke", row.id)
            assert (revoked.returncode, revoked.stdout) == (0, f"{row.id} is revoked.\n")
        assert rows(data_dir)[0].revoked_at is not None
        assert "revoked" in selvage(data_dir, "keys", "list", COLUMNS="200").stdout

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["create", "a", "--scope", "root"], "scopes"),
            (["create", ""], "name"),
            (["create", "a", "--days", "1e9"], "--days"),
            (["create", "a", "--days", "90000"], "expires_at"),
            (["revoke", "key_x"], "selvage keys list"),
        ],
    )
    def test_mistakes_are_named(self, data_dir: Path, arguments: list[str], word: str) -> None:
        ended = selvage(data_dir, "keys", *arguments)
        assert ended.returncode == 1
        assert word in ended.stderr
        assert "Traceback" not in ended.stderr
        assert rows(data_dir) == []

    def test_without_a_catalog_it_says_what_to_do(self, tmp_path: Path) -> None:
        ended = selvage(tmp_path, "keys", "create", "a")
        assert ended.returncode == 1
        assert "selvage db upgrade" in ended.stderr

    def test_names_cannot_write_on_the_terminal(self, data_dir: Path) -> None:
        catalog = Catalog(f"sqlite:///{data_dir / 'catalog.sqlite3'}")
        make_key(catalog, "read", name="\x1b[31m[red]evil")
        catalog.close()
        shown = selvage(data_dir, "keys", "list", COLUMNS="200").stdout
        assert "\x1b" not in shown
        assert "[red]evil" in shown


class TestAddress:
    def test_up_says_how_to_make_a_key(self, tmp_path: Path) -> None:
        refused = Up(tmp_path, SELVAGE_HOST="0.0.0.0")
        _, errors = refused.process.communicate(timeout=60)
        assert refused.process.returncode == 1
        assert CREATE_COMMAND in errors

    def test_up_listens_once_there_is_a_key(self, data_dir: Path) -> None:
        selvage(data_dir, "keys", "create", "admin", "--scope", "admin")
        running = Up(data_dir, SELVAGE_HOST="0.0.0.0", SELVAGE_SHUTDOWN_SECONDS="5")
        assert running.wait_until_ready().url.startswith("http://0.0.0.0:")
        running.stop()

    def test_the_api_refuses_then_listens_then_asks(self, data_dir: Path) -> None:
        port = str(ports.find_free("127.0.0.1"))
        env = own_environment(
            SELVAGE_DATA_DIR=str(data_dir), SELVAGE_HOST="0.0.0.0", SELVAGE_PORT=port,
            SELVAGE_REDIS_URL="redis://127.0.0.1:1/0",
        )  # fmt: skip
        command = [sys.executable, "-m", "service"]
        refused = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert refused.returncode == 1
        assert CREATE_COMMAND in refused.stderr
        key = selvage(data_dir, "keys", "create", "admin", "--quiet").stdout.strip()
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: status_of(f"http://127.0.0.1:{port}/healthz") == 200, seconds=60)
            assert status_of(f"http://127.0.0.1:{port}/v1/jobs") == 401
            assert status_of(f"http://127.0.0.1:{port}/v1/jobs", key) == 200
        finally:
            process.terminate()
            process.wait(30)

    def test_never_asking_is_for_loopback(self, data_dir: Path) -> None:
        catalog = Catalog(f"sqlite:///{data_dir / 'catalog.sqlite3'}")
        make_key(catalog, "admin")
        refuse_open_service(Settings(require_keys="never"), catalog)
        with pytest.raises(KeysNeeded, match="SELVAGE_REQUIRE_KEYS=never"):
            refuse_open_service(Settings(host="192.0.2.1", require_keys="never"), catalog)
        refuse_open_service(Settings(host="192.0.2.1"), catalog)
        catalog.close()


def status_of(url: str, key: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
