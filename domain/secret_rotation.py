"""Encrypt all stored secrets anew under the first key, so that former keys can go."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sqlalchemy.orm import Session

from api_schemas.problems import SecretsUnreadable
from domain import webhooks as webhook_use_cases
from domain.connections import secrets_of
from domain.secrets import SecretKeeper
from storage.catalog import connections, webhooks
from storage.catalog.engine import Catalog
from storage.catalog.tables import ConnectionRow, WebhookEndpointRow

BATCH_ROWS: Final = 500


_RowT = TypeVar("_RowT", ConnectionRow, WebhookEndpointRow)


@dataclass
class Rotation:
    """What became of the stored secrets; `unreadable` names what no key fits."""

    rotated: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate(catalog: Catalog, keeper: SecretKeeper) -> Rotation:
    """Bring the secrets of connections and webhook endpoints under the first key.

    Where the keys stand in a file of our own, under a fresh one. Safe to run again wherever it
    died, and while the service runs.

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

    def connection(session: Session, row: ConnectionRow) -> bool:
        sealed = json.dumps(keeper.seal(keeper.unseal(secrets_of(row))), sort_keys=True)
        return connections.replace_secrets(session, row.id, str(row.secrets), sealed)

    def endpoint(session: Session, row: WebhookEndpointRow) -> bool:
        sealed = webhook_use_cases.reseal(keeper, row)
        return webhooks.replace_secrets(session, row.id, row.secrets, sealed)

    _walk(catalog, found, connections.encrypted, connection)
    _walk(catalog, found, webhooks.encrypted, endpoint)
    return found


def _walk(
    catalog: Catalog,
    found: Rotation,
    batch: Callable[[Session, str, int], Sequence[_RowT]],
    reseal: Callable[[Session, _RowT], bool],
) -> None:
    last = ""
    while True:
        with catalog.write() as session:
            rows = batch(session, last, BATCH_ROWS)
            for row in rows:
                try:
                    found.rotated += reseal(session, row)
                except SecretsUnreadable:
                    found.unreadable.append(row.name)
        if not rows:
            return
        last = rows[-1].id
