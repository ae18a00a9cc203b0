"""Credentials at rest: what is encrypted, with which keys, and what a lost key means."""

import json
import stat
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from api_schemas.problems import SecretsUnreadable
from api_schemas.webhooks import WebhookEndpointCreate
from domain import connections, secret_rotation, webhooks
from domain.secret_rotation import rotate
from domain.secrets import KEY_FILE, SecretKeeper, new_key
from domain.settings import Settings
from storage.catalog import connections as rows
from storage.catalog.engine import Catalog
from storage.catalog.tables import ConnectionRow
from storage.remote.addresses import AddressPolicy

SECRETS = {"password": "häslich", "token": "t" * 4000}


def keeper_of(folder: Path, *keys: str) -> SecretKeeper:
    return SecretKeeper(Settings(data_dir=folder, secret_key=",".join(keys) if keys else None))


def add_row(catalog: Catalog, keeper: SecretKeeper, name: str, **secrets: str) -> None:
    with catalog.write() as session:
        values: dict[str, Any] = {
            "id": f"con_{name}",
            "name": name,
            "kind": "http",
            "config": {},
            "secrets": json.dumps(keeper.seal(secrets)) if secrets else None,
        }
        assert rows.add_connection(session, values)


def unsealed(catalog: Catalog, keeper: SecretKeeper, name: str) -> dict[str, str]:
    with catalog.read() as session:
        return keeper.unseal(connections.secrets_of(connections.get(session, name)))


class TestKeys:
    def test_the_key_file_is_made_when_needed_and_ours_alone(self, tmp_path: Path) -> None:
        keeper = keeper_of(tmp_path / "data")
        assert keeper.seal({}) == {}
        assert keeper.unseal({}) == {}
        assert not (tmp_path / "data").exists()
        sealed = keeper.seal(SECRETS)
        path = tmp_path / "data" / KEY_FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {entry.name for entry in path.parent.iterdir()} <= {KEY_FILE, f"{KEY_FILE}.lock"}
        assert keeper_of(tmp_path / "data").unseal(sealed) == SECRETS

    def test_nothing_readable_is_left(self, tmp_path: Path) -> None:
        keeper = keeper_of(tmp_path, key := new_key())
        sealed = keeper.seal(SECRETS)
        assert set(sealed) == set(SECRETS)
        for text in (json.dumps(sealed), repr(keeper), str(vars(keeper))):
            assert "häslich" not in text
            assert "tttt" not in text
            assert key not in text
        assert sealed != keeper.seal(SECRETS)  # not even that two are alike

    def test_many_processes_agree_on_one_key(self, tmp_path: Path) -> None:
        barrier, sealed = Barrier(8), []

        def seal() -> None:
            barrier.wait()
            sealed.append(keeper_of(tmp_path).seal(SECRETS))

        threads = [Thread(target=seal) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [keeper_of(tmp_path).unseal(one) for one in sealed] == [SECRETS] * 8
        assert len((tmp_path / KEY_FILE).read_text().split()) == 1

    def test_the_first_key_encrypts_and_all_decrypt(self, tmp_path: Path) -> None:
        old, new = new_key(), new_key()
        sealed = keeper_of(tmp_path, old).seal(SECRETS)
        both = keeper_of(tmp_path, new, old)
        assert both.unseal(sealed) == SECRETS
        assert keeper_of(tmp_path, new).unseal(both.seal(SECRETS)) == SECRETS
        assert not (tmp_path / KEY_FILE).exists()

    @pytest.mark.parametrize("damage", ["other key", "no file", "empty file", "no keys", "cut"])
    def test_a_lost_key_is_said(self, tmp_path: Path, damage: str) -> None:
        keeper = keeper_of(tmp_path)
        sealed = keeper.seal(SECRETS)
        path = tmp_path / KEY_FILE
        if damage == "no file":
            path.unlink()
        elif damage == "cut":
            sealed = {name: token[:20] for name, token in sealed.items()}
        else:
            text = {"other key": new_key(), "empty file": "", "no keys": "rm -rf /\n"}[damage]
            path.write_text(text)
        with pytest.raises(SecretsUnreadable) as caught:
            keeper.unseal(sealed)
        assert str(tmp_path) not in caught.value.detail
        assert caught.value.status == 409
        assert path.exists() == (damage != "no file")  # reading makes no key

    def test_a_writer_that_died_is_in_nobodys_way(self, tmp_path: Path) -> None:
        (tmp_path / f"{KEY_FILE}.new").write_text("half a k")
        sealed = keeper_of(tmp_path).seal(SECRETS)
        assert keeper_of(tmp_path).unseal(sealed) == SECRETS

    @pytest.mark.parametrize("obstacle", ["no folder", "key is a folder"])
    def test_no_place_for_the_key_file(self, tmp_path: Path, obstacle: str) -> None:
        if obstacle == "no folder":
            (tmp_path / "data").write_text("a file")
        else:
            (tmp_path / "data" / KEY_FILE).mkdir(parents=True)
        with pytest.raises(SecretsUnreadable, match="SELVAGE_SECRET_KEY") as caught:
            keeper_of(tmp_path / "data").seal(SECRETS)
        assert str(tmp_path) not in caught.value.detail

    def test_nothing_is_encrypted_with_a_broken_key_file(self, tmp_path: Path) -> None:
        (tmp_path / KEY_FILE).write_text("not a key\n")
        with pytest.raises(SecretsUnreadable, match="selvage secrets new-key"):
            keeper_of(tmp_path).seal(SECRETS)

    @pytest.mark.parametrize(
        "text",
        ["5ecret", "", f"{Fernet.generate_key().decode()},5ecret", "ü"],
        ids=["no key", "nothing", "a key and no key", "not ASCII"],
    )
    def test_a_bad_setting_is_refused_and_not_shown(self, text: str) -> None:
        with pytest.raises(ValidationError) as caught:
            Settings(secret_key=text)
        assert "5ecret" not in str(caught.value)

    def test_fingerprints(self, tmp_path: Path) -> None:
        keeper = keeper_of(tmp_path, new_key())
        assert keeper.fingerprint({"a": "b"}) == keeper.fingerprint({"a": "b"})
        assert keeper.fingerprint({"a": "b"}) != keeper.fingerprint({"a": "c"})
        assert keeper.fingerprint({"a": "b"}) != keeper_of(tmp_path, new_key()).fingerprint(
            {"a": "b"}
        )


class TestRotation:
    def test_by_setting(self, catalog: Catalog, tmp_path: Path) -> None:
        old, new = new_key(), new_key()
        before = keeper_of(tmp_path, old)
        for name in ("a", "b", "c"):
            add_row(catalog, before, name, password=name)
        add_row(catalog, before, "open")
        done = rotate(catalog, keeper_of(tmp_path, new, old))
        assert (done.rotated, done.unreadable) == (3, [])
        for name in ("a", "b", "c"):
            assert unsealed(catalog, keeper_of(tmp_path, new), name) == {"password": name}
            with pytest.raises(SecretsUnreadable):
                unsealed(catalog, before, name)

    def test_webhook_endpoints_too(self, catalog: Catalog, tmp_path: Path) -> None:
        old, new = new_key(), new_key()
        request = WebhookEndpointCreate(name="ci", url="https://example.com/")
        with catalog.write() as session:
            _, secret = webhooks.create(
                session, keeper_of(tmp_path, old), AddressPolicy(), request, "local"
            )
        lost = rotate(catalog, keeper_of(tmp_path, new))
        assert (lost.rotated, lost.unreadable) == (0, ["ci"])
        assert rotate(catalog, keeper_of(tmp_path, new, old)).rotated == 1
        with catalog.read() as session:
            row = webhooks.get(session, "ci")
            keeper = keeper_of(tmp_path, new)
            assert webhooks.signing_secrets(session, keeper, row) == [secret]

    def test_more_rows_than_a_transaction(
        self, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(secret_rotation, "BATCH_ROWS", 2)
        keeper = keeper_of(tmp_path, new_key())
        for n in range(5):
            add_row(catalog, keeper, f"n{n}", password="p")
        assert rotate(catalog, keeper).rotated == 5

    def test_unreadable_rows_are_named_and_left(self, catalog: Catalog, tmp_path: Path) -> None:
        lost, key = new_key(), new_key()
        add_row(catalog, keeper_of(tmp_path, lost), "lost", password="1")
        add_row(catalog, keeper_of(tmp_path, key), "kept", password="2")
        done = rotate(catalog, keeper_of(tmp_path, key))
        assert (done.rotated, done.unreadable) == (1, ["lost"])
        assert unsealed(catalog, keeper_of(tmp_path, lost), "lost") == {"password": "1"}

    def test_by_key_file_with_a_service_that_runs(self, catalog: Catalog, tmp_path: Path) -> None:
        running = keeper_of(tmp_path)
        add_row(catalog, running, "a", password="1")
        keys = (tmp_path / KEY_FILE).read_text().split()
        for _ in range(3):
            rotate(catalog, keeper_of(tmp_path))
            assert unsealed(catalog, running, "a") == {"password": "1"}
        left = (tmp_path / KEY_FILE).read_text().split()
        assert len(left) == 2
        assert not set(keys) & set(left)
        assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600

    def test_killed_after_the_new_key(
        self, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Run after run dies before it re-encrypts: no key goes that a row still needs."""
        keeper = keeper_of(tmp_path)
        add_row(catalog, keeper, "a", password="1")
        real: Any = secret_rotation._reencrypt
        for _ in range(3):
            calls = iter([real])

            def dies(*args: Any, calls: Any = calls) -> Any:
                step = next(calls, None)
                if step is None:
                    raise KeyboardInterrupt
                return step(*args)

            monkeypatch.setattr(secret_rotation, "_reencrypt", dies)
            with pytest.raises(KeyboardInterrupt):
                rotate(catalog, keeper)
        assert unsealed(catalog, keeper, "a") == {"password": "1"}

    def test_a_newer_secret_wins(self, catalog: Catalog, tmp_path: Path) -> None:
        keeper = keeper_of(tmp_path, new_key())
        add_row(catalog, keeper, "a", password="old")
        with catalog.write() as session:
            row: ConnectionRow = connections.get(session, "a")
            seen = str(row.secrets)
            row.secrets = json.dumps(keeper.seal({"password": "new"}))
        with catalog.write() as session:
            assert not rows.replace_secrets(session, "con_a", seen, "{}")
        assert unsealed(catalog, keeper, "a") == {"password": "new"}
