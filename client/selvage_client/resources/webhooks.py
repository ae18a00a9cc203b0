"""Webhooks: endpoints, and what became of each message."""

from collections.abc import AsyncIterator, Iterator, Sequence

from api_schemas.webhooks import (
    DeliveryStatus,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpointWithSecret,
)
from selvage_client.requests import webhooks
from selvage_client.resources.base import AsyncResource, Resource


class Webhooks(Resource):
    """`client.webhooks`: who is told about what. Endpoints need the scope `admin`."""

    def create(
        self,
        name: str,
        url: str,
        *,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> WebhookEndpointWithSecret:
        """Have an address told; its `secret` is shown this once.

        Args:
            events: such as `job.failed`, `job.*` or `*`; all without it. An empty list: only
                what jobs ask for by themselves.
            secret: `whsec_…` of your own; by default a fresh one.
        """
        return self._send(webhooks.create(name, url, events, secret, idempotency_key))

    def get(self, reference: str) -> WebhookEndpoint:
        """Return an endpoint by its id or name."""
        return self._send(webhooks.endpoint(reference))

    def list(self) -> Iterator[WebhookEndpoint]:
        return self._entries(webhooks.endpoints())

    def change(
        self,
        reference: str,
        *,
        name: str | None = None,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> WebhookEndpoint:
        """Change what is given."""
        wanted = None if events is None else [*events]
        fields = {"name": name, "url": url, "events": wanted, "enabled": enabled}
        return self._send(webhooks.change(reference, fields))

    def rotate_secret(
        self, reference: str, *, overlap_seconds: int | None = None
    ) -> WebhookEndpointWithSecret:
        """Return an endpoint with a fresh secret; for a day, or so long, both secrets sign."""
        return self._send(webhooks.rotate_secret(reference, overlap_seconds))

    def ping(self, reference: str) -> WebhookDelivery:
        """Send a message to try an endpoint out; see `delivery` for how it went."""
        return self._send(webhooks.ping(reference))

    def deliveries(
        self, of: str, *, status: DeliveryStatus | None = None, event: str | None = None
    ) -> Iterator[WebhookDelivery]:
        """Messages, newest first.

        Args:
            of: an endpoint, or the id of a job whose `webhook` names an address.
        """
        return self._entries(webhooks.deliveries(of, status, event))

    def delivery(self, of: str, delivery_id: str) -> WebhookDelivery:
        return self._send(webhooks.delivery(of, delivery_id))

    def redeliver(self, of: str, delivery_id: str) -> WebhookDelivery:
        """Send a message again, under the same `webhook-id`."""
        return self._send(webhooks.redeliver(of, delivery_id))

    def delete(self, reference: str) -> None:
        self._send(webhooks.delete_endpoint(reference))


class AsyncWebhooks(AsyncResource):
    """`client.webhooks`: who is told about what. Endpoints need the scope `admin`."""

    async def create(
        self,
        name: str,
        url: str,
        *,
        events: Sequence[str] | None = None,
        secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> WebhookEndpointWithSecret:
        """Have an address told; its `secret` is shown this once.

        Args:
            events: such as `job.failed`, `job.*` or `*`; all without it. An empty list: only
                what jobs ask for by themselves.
            secret: `whsec_…` of your own; by default a fresh one.
        """
        return await self._send(webhooks.create(name, url, events, secret, idempotency_key))

    async def get(self, reference: str) -> WebhookEndpoint:
        """Return an endpoint by its id or name."""
        return await self._send(webhooks.endpoint(reference))

    def list(self) -> AsyncIterator[WebhookEndpoint]:
        return self._entries(webhooks.endpoints())

    async def change(
        self,
        reference: str,
        *,
        name: str | None = None,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> WebhookEndpoint:
        """Change what is given."""
        wanted = None if events is None else [*events]
        fields = {"name": name, "url": url, "events": wanted, "enabled": enabled}
        return await self._send(webhooks.change(reference, fields))

    async def rotate_secret(
        self, reference: str, *, overlap_seconds: int | None = None
    ) -> WebhookEndpointWithSecret:
        """Return an endpoint with a fresh secret; for a day, or so long, both secrets sign."""
        return await self._send(webhooks.rotate_secret(reference, overlap_seconds))

    async def ping(self, reference: str) -> WebhookDelivery:
        """Send a message to try an endpoint out; see `delivery` for how it went."""
        return await self._send(webhooks.ping(reference))

    def deliveries(
        self, of: str, *, status: DeliveryStatus | None = None, event: str | None = None
    ) -> AsyncIterator[WebhookDelivery]:
        """Messages, newest first.

        Args:
            of: an endpoint, or the id of a job whose `webhook` names an address.
        """
        return self._entries(webhooks.deliveries(of, status, event))

    async def delivery(self, of: str, delivery_id: str) -> WebhookDelivery:
        return await self._send(webhooks.delivery(of, delivery_id))

    async def redeliver(self, of: str, delivery_id: str) -> WebhookDelivery:
        """Send a message again, under the same `webhook-id`."""
        return await self._send(webhooks.redeliver(of, delivery_id))

    async def delete(self, reference: str) -> None:
        await self._send(webhooks.delete_endpoint(reference))
