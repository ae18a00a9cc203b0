"""Connections."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from api_schemas.connections import Connection, ConnectionKind, ConnectionTest
from selvage_client.requests import connections
from selvage_client.resources.base import AsyncResource, Resource


class Connections(Resource):
    """`client.connections`: places outside, with credentials. Needs the scope `admin`."""

    def create(
        self,
        name: str,
        kind: ConnectionKind,
        config: Mapping[str, Any] | BaseModel,
        *,
        secrets: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Connection:
        """Give a bucket or a web server a name.

        Args:
            config: of `s3`: `bucket`, `prefix`, `endpoint`, `region`, `access_key_id`, …; of
                `http`: `base_url`, `username`, `header_name`.
            secrets: of `s3`: `secret_access_key`, `session_token`; of `http` one of
                `bearer_token`, `password`, `header_value`. The service never shows them again.
        """
        call = connections.create(name, kind, config, secrets, idempotency_key)
        return self._send(call)

    def get(self, reference: str) -> Connection:
        """Return a connection by its id or name."""
        return self._send(connections.connection(reference))

    def change(
        self,
        reference: str,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str | None] | None = None,
    ) -> Connection:
        """Change what is given; in `config` and `secrets` None removes an entry."""
        return self._send(connections.change(reference, name, config, secrets))

    def test(self, reference: str, key: str | None = None) -> ConnectionTest:
        """Let the service list and read there, now.

        Args:
            key: a file to read; without it the first one of the list.
        """
        return self._send(connections.test(reference, key))

    def delete(self, reference: str) -> None:
        self._send(connections.delete_connection(reference))

    def list(self) -> Iterator[Connection]:
        return self._entries(connections.connections())


class AsyncConnections(AsyncResource):
    """`client.connections`: places outside, with credentials. Needs the scope `admin`."""

    async def create(
        self,
        name: str,
        kind: ConnectionKind,
        config: Mapping[str, Any] | BaseModel,
        *,
        secrets: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Connection:
        """Give a bucket or a web server a name.

        Args:
            config: of `s3`: `bucket`, `prefix`, `endpoint`, `region`, `access_key_id`, …; of
                `http`: `base_url`, `username`, `header_name`.
            secrets: of `s3`: `secret_access_key`, `session_token`; of `http` one of
                `bearer_token`, `password`, `header_value`. The service never shows them again.
        """
        call = connections.create(name, kind, config, secrets, idempotency_key)
        return await self._send(call)

    async def get(self, reference: str) -> Connection:
        """Return a connection by its id or name."""
        return await self._send(connections.connection(reference))

    async def change(
        self,
        reference: str,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str | None] | None = None,
    ) -> Connection:
        """Change what is given; in `config` and `secrets` None removes an entry."""
        return await self._send(connections.change(reference, name, config, secrets))

    async def test(self, reference: str, key: str | None = None) -> ConnectionTest:
        """Let the service list and read there, now.

        Args:
            key: a file to read; without it the first one of the list.
        """
        return await self._send(connections.test(reference, key))

    async def delete(self, reference: str) -> None:
        await self._send(connections.delete_connection(reference))

    def list(self) -> AsyncIterator[Connection]:
        return self._entries(connections.connections())
