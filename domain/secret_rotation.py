"""Encrypt all stored secrets anew under the first key, so that former keys can go."""

import json
from dataclasses import dataclass, field
from typing import Final

from api_schemas.problems import SecretsUnreadable
from domain.connections import secrets_of
from domain.secrets import SecretKeeper
from storage.catalog import connections
from storage.catalog.engine import Catalog

BATCH_ROWS: Final = 500


@dataclass
class Rotation:
    """What became of the stored secrets; `unreadable` names connections that no key fits."""

    rotated: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate(catalog: Catalog, keeper: SecretKeeper) -> Rotation:
    """Bring the secrets of every connection under the first key; a fresh one, in a key file.

    Safe to run again wherever it died, and while the service runs.

    Raises:
        SecretsUnreadable: the keys are not usable.
    """
    if keeper.is_file:
        # A run that died may have left rows under the key that a fresh one would push out.
        _reencrypt(catalog, keeper)
        keeper.new_file_key()
    return _reencrypt(catalog, keeper)


def _reencrypt(catalog: Catalog, keeper: SecretKeeper) -> Rotation:
    """A row that changes at the same moment keeps the newer secret, encrypted by the service."""
    found = Rotation()
    last = ""
    while True:
        with catalog.write() as session:
            rows = connections.encrypted(session, last, BATCH_ROWS)
            for row in rows:
                try:
                    sealed = keeper.seal(keeper.unseal(secrets_of(row)))
                except SecretsUnreadable:
                    found.unreadable.append(row.name)
                    continue
                new = json.dumps(sealed, sort_keys=True)
                found.rotated += connections.replace_secrets(session, row.id, str(row.secrets), new)
        if not rows:
            return found
        last = rows[-1].id
