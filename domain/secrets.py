"""Credentials at rest: encrypted with Fernet under keys of the operator, or of a file of our own.

`SELVAGE_SECRET_KEY` names the keys: the first encrypts, all decrypt. Without it the keys stand in
`secret.key` in the data folder, which is made when the first secret is stored.
"""

import contextlib
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from filelock import FileLock

from api_schemas.problems import SecretsUnreadable
from domain.settings import Settings, is_fernet_key

KEY_FILE: Final = "secret.key"
KEPT_KEYS: Final = 2  # of the key file: this one, and the one before


class SecretKeeper:
    """Encrypts and decrypts; holds no secret itself and shows none when printed."""

    def __init__(self, settings: Settings) -> None:
        self._given = settings.secret_key
        self._path = settings.data_dir.absolute() / KEY_FILE

    @property
    def is_file(self) -> bool:
        """Whether the keys stand in the data folder."""
        return self._given is None

    def seal(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return secrets with their names readable and their values encrypted.

        Makes the key file where needed.

        Raises:
            SecretsUnreadable: the keys are not usable.
        """
        if not secrets:
            return {}
        keys = self._fernets(create=True)
        return {
            name: keys.encrypt(value.encode()).decode("ascii") for name, value in secrets.items()
        }

    def unseal(self, sealed: Mapping[str, str]) -> dict[str, str]:
        """Return what `seal` was given.

        Raises:
            SecretsUnreadable: no key fits.
        """
        if not sealed:
            return {}
        try:
            keys = self._fernets(create=False)
            return {name: keys.decrypt(token.encode()).decode() for name, token in sealed.items()}
        except (InvalidToken, UnicodeError) as error:
            raise SecretsUnreadable(
                "The stored credentials were encrypted with another key. Give the former key back "
                f"to this installation ({self._where}), or set the credentials anew."
            ) from error

    def fingerprint(self, values: Mapping[str, str]) -> str:
        """Return a digest of secrets that nobody without the key can guess them from."""
        key = self._keys(create=True)[0].encode()
        text = json.dumps(dict(values), sort_keys=True).encode()
        return hmac.new(hashlib.sha256(key).digest(), text, hashlib.sha256).hexdigest()

    def new_file_key(self) -> None:
        """Put a fresh key in front of the key file; the one before it still decrypts.

        Raises:
            SecretsUnreadable: the keys are the operator's, not the file's; or are none.
        """
        if not self.is_file:
            raise SecretsUnreadable(
                "The keys are in SELVAGE_SECRET_KEY. Put the new key in front there."
            )
        with self._changing_file():
            self._write([new_key(), *self._keys(create=False)][:KEPT_KEYS])

    @property
    def _where(self) -> str:
        return f"the file {KEY_FILE} in its data folder" if self.is_file else "SELVAGE_SECRET_KEY"

    def _fernets(self, *, create: bool) -> MultiFernet:
        keys = self._keys(create=create)
        if not keys:
            raise InvalidToken
        return MultiFernet([Fernet(key) for key in keys])

    def _keys(self, *, create: bool) -> list[str]:
        if self._given is not None:
            text = self._given.get_secret_value()
        else:
            # read each time: another process may have put a new key in front
            text = self._file_text(create)
        keys = [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]
        if (create and not keys) or not all(is_fernet_key(key) for key in keys):
            raise SecretsUnreadable(
                f"{self._where} holds something else than Fernet keys. "
                "`selvage secrets new-key` prints a key."
            )
        return keys

    def _file_text(self, create: bool) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._read()
        if not create:
            return ""
        with self._changing_file():
            if not self._path.exists():  # another process may have been first
                self._write([new_key()])
            return self._read()

    def _read(self) -> str:
        try:
            return self._path.read_text("ascii", "replace")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unusable() from error

    @contextmanager
    def _changing_file(self) -> Iterator[None]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_name(f"{KEY_FILE}.lock")):
                yield
        except OSError as error:
            raise self._unusable() from error

    def _write(self, keys: list[str]) -> None:
        """Replace the key file by one that only we may read, on the disk before it is used."""
        fresh = self._path.with_name(f"{KEY_FILE}.new")
        fresh.unlink(missing_ok=True)  # of a process that died here
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unusable(self) -> SecretsUnreadable:
        return SecretsUnreadable(
            f"{KEY_FILE} in the data folder cannot be read or written. Correct its permissions, "
            "make room, or set SELVAGE_SECRET_KEY."
        )


def new_key() -> str:
    """Return a fresh key."""
    return Fernet.generate_key().decode("ascii")
