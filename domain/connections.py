"""Connections: create, change, delete, and open what they lead to."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api_schemas.connections import (
    ConnectionUpdate,
    HttpConfig,
    HttpConnectionCreate,
    LabelStudioConfig,
    LabelStudioConnectionCreate,
    S3Config,
    S3ConnectionCreate,
)
from api_schemas.ids import new_id
from api_schemas.problems import FieldProblem, NotFound, StateConflict, ValidationProblem
from domain.connection_rules import checked_config, checked_secrets
from domain.fetching import fetch_limits, open_fetcher, open_sender
from domain.label_studio import access_headers
from domain.secrets import SecretKeeper
from domain.settings import Settings
from storage.catalog import connections
from storage.catalog.engine import Catalog
from storage.catalog.tables import ConnectionRow
from storage.remote.addresses import AddressPolicy
from storage.remote.fetching import Fetcher
from storage.remote.s3 import S3Place, S3Source
from storage.remote.s3_signing import S3Credentials
from storage.remote.s3_writing import S3Target
from storage.remote.sources import HttpSource, RemoteSource, UrlSource
from storage.remote.urls import origin_of


def get(session: Session, reference: str) -> ConnectionRow:
    """Return a connection by id or name.

    Raises:
        NotFound: with what to do.
    """
    return _found(connections.find_connection(session, reference), reference)


def lock(session: Session, reference: str) -> ConnectionRow:
    """Return the same, kept from changing until the transaction ends.

    Who starts a job that reads from a connection takes this lock first, so that the connection
    is not deleted in between.

    Raises:
        NotFound: with what to do.
    """
    return _found(connections.find_connection(session, reference, lock=True), reference)


def _found(row: ConnectionRow | None, reference: str) -> ConnectionRow:
    if row is None:
        raise NotFound(
            f"There is no connection '{reference[:80]}'. List them: GET /v1/connections."
        )
    return row


def create(
    session: Session,
    keeper: SecretKeeper,
    policy: AddressPolicy,
    request: S3ConnectionCreate | HttpConnectionCreate | LabelStudioConnectionCreate,
    created_by: str,
) -> ConnectionRow:
    """Store a connection.

    Raises:
        StateConflict: the name is taken.
        ValidationProblem, SourceRefused: it leads nowhere, or its secrets do not fit.
    """
    dumped: dict[str, SecretStr] = request.secrets.model_dump(exclude_none=True)
    secrets = checked_secrets(request.kind, dumped)
    config = checked_config(policy, request.kind, request.config.model_dump(), secrets)
    connection_id = new_id("con")
    values = {
        "id": connection_id,
        "name": request.name,
        "kind": request.kind,
        "config": config,
        "secrets": _sealed(keeper.seal(secrets)),
        "created_by": created_by,
    }
    if not connections.add_connection(session, values):
        raise _name_taken(request.name)
    return get(session, connection_id)


def change(
    session: Session,
    keeper: SecretKeeper,
    policy: AddressPolicy,
    reference: str,
    request: ConnectionUpdate,
) -> ConnectionRow:
    """Change a connection; what a test found about it before is forgotten.

    Secrets do not move to another server: with a new `base_url` they have to be given again, so
    that nobody who may change a connection can have its credentials sent to a server of his own.

    Raises:
        NotFound, StateConflict, ValidationProblem, SourceRefused: as for `get` and `create`.
    """
    row = lock(session, reference)
    before = secrets_of(row)
    given = {name: value for name, value in request.secrets.items() if value is not None}
    kept = {name: token for name, token in before.items() if name not in request.secrets}
    sealed = {**kept, **keeper.seal(checked_secrets(row.kind, given))}
    if request.config or request.secrets:
        merged = {**row.config, **request.config}
        present = {name: value for name, value in merged.items() if value is not None}
        config = checked_config(policy, row.kind, present, sealed)
        if kept and row.kind in ("http", "label_studio"):
            _check_same_server(row.config["base_url"], config["base_url"])
        row.config, row.secrets = config, _sealed(sealed)
        row.tested_at, row.test_result = None, None
    if request.name is not None:
        row.name = request.name
    try:
        session.flush()
    except IntegrityError as error:
        raise _name_taken(request.name or "") from error
    return row


def _check_same_server(before: str, after: str) -> None:
    if origin_of(httpx.URL(before)) != origin_of(httpx.URL(after)):
        raise ValidationProblem(
            "The new base_url is another server. Give the secrets again, or set them to null: "
            "stored ones are not sent to a new server.",
            errors=[FieldProblem(pointer="/secrets", detail="needed with another server")],
        )


def remove(session: Session, reference: str) -> None:
    """Delete a connection.

    Raises:
        NotFound: there is none.
        StateConflict: a job that is not done reads from it, or writes to it.
    """
    row = lock(session, reference)
    jobs = connections.unfinished_jobs(session, row.id)
    if jobs:
        raise StateConflict(
            f"The connection is in use by {', '.join(jobs)}. Cancel it, or wait until it is done."
        )
    connections.delete_connection(session, row.id)


def secrets_of(row: ConnectionRow) -> dict[str, str]:
    """Return the names of a connection's secrets with the encrypted values."""
    found: dict[str, str] = {} if row.secrets is None else json.loads(row.secrets)
    return found


def _sealed(secrets: Mapping[str, str]) -> str | None:
    return json.dumps(dict(secrets), sort_keys=True) if secrets else None


def _name_taken(name: str) -> StateConflict:
    return StateConflict(f"There is a connection '{name}' already. Names are unique; use another.")


def open_source(
    catalog: Catalog,
    settings: Settings,
    reference: str | None,
    *,
    fetcher: Fetcher | None = None,
) -> RemoteSource:
    """Open the place that a connection leads to; without one, plain URLs. Close it afterwards.

    Args:
        reference: id or name of a connection, None for files by URL without credentials.
        fetcher: for tests; closed with the source.

    Raises:
        NotFound: there is no such connection.
        SecretsUnreadable: its secrets cannot be decrypted.
        SourceRefused: its address is not fetched from any more.
    """
    if reference is None:
        return UrlSource(fetcher or open_fetcher(settings), fetch_limits(settings, 0))
    with catalog.read() as session:
        row = get(session, reference)
    secrets = SecretKeeper(settings).unseal(secrets_of(row))
    return source_of(settings, row.kind, row.config, secrets, fetcher or open_fetcher(settings))


def open_target(catalog: Catalog, settings: Settings, reference: str, prefix: str) -> S3Target:
    """Open a prefix of a bucket for writing. Close it afterwards.

    Raises:
        NotFound: there is no such connection.
        SecretsUnreadable: its secrets cannot be decrypted.
        SourceRefused: its address is not one to talk to.
    """
    with catalog.read() as session:
        row = get(session, reference)
    secrets = SecretKeeper(settings).unseal(secrets_of(row))
    place = _place(S3Config.model_validate(row.config), secrets)
    return S3Target(open_sender(settings), place, prefix)


def source_of(
    settings: Settings,
    kind: str,
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
    fetcher: Fetcher,
) -> RemoteSource:
    """Return the source for a configuration and its secrets.

    Raises:
        SourceRefused: its address is not fetched from.
    """
    limits = fetch_limits(settings, 0)
    if kind == "s3":
        return S3Source(fetcher, limits, _place(S3Config.model_validate(config), secrets))
    if kind == "label_studio":
        base_url = LabelStudioConfig.model_validate(config).base_url
        headers = access_headers(settings, base_url, secrets["access_token"])
        return HttpSource(fetcher, limits, base_url, headers)
    http = HttpConfig.model_validate(config)
    return HttpSource(fetcher, limits, http.base_url, auth_headers(http, secrets))


def _place(config: S3Config, secrets: Mapping[str, str]) -> S3Place:
    credentials = None
    if not config.anonymous and config.access_key_id is not None:
        credentials = S3Credentials(
            config.access_key_id, secrets["secret_access_key"], secrets.get("session_token")
        )
    return S3Place(
        bucket=config.bucket,
        region=config.region,
        endpoint=config.endpoint,
        prefix=config.prefix,
        path_style=config.path_style,
        credentials=credentials,
    )


def auth_headers(config: HttpConfig, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that show who asks."""
    if "bearer_token" in secrets:
        return {"Authorization": f"Bearer {secrets['bearer_token']}"}
    if "password" in secrets:
        pair = f"{config.username}:{secrets['password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
    if "header_value" in secrets and config.header_name is not None:
        return {config.header_name: secrets["header_value"]}
    return {}
