"""Campaigns."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx
from pydantic import BaseModel

from api_schemas.campaigns import (
    Campaign,
    CampaignEventType,
    Round,
    Setting,
)
from selvage_client.campaign_events import CampaignEvent, CampaignFeed
from selvage_client.requests import campaigns
from selvage_client.requests.pipelines import Pipeline
from selvage_client.resources.base import AsyncResource, Resource

POLL_SECONDS = 2.0


class Campaigns(Resource):
    """`client.campaigns`: rounds of labels and training."""

    def start(
        self,
        model: str,
        target: str,
        *,
        setting: Setting | None = None,
        source: str | None = None,
        pipeline: Pipeline | None = None,
        recipe: Mapping[str, Any] | BaseModel | None = None,
        rounds: int | None = None,
        steps: int | None = None,
        seed: int | None = None,
        evaluation: str | None = None,
        promote: bool | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Campaign:
        """Start a campaign: label, train, measure, decide, again and again.

        Args:
            model: the first teacher, `name` or `name:version`.
            target: image set of the new domain.
            setting: `uda` (with `source`), `source_free` or `black_box`.
            source: annotation set of purpose `source`.
            evaluation: annotation set that each model is measured with.
            more: whatever else POST /v1/campaigns takes: `selection`, `gates`, `reviewed`, `adapt`,
                `priority`, `metadata`.
        """
        fields = {
            "model": model,
            "target": target,
            "setting": setting,
            "source": source,
            "pipeline": pipeline,
            "recipe": recipe,
            "rounds": rounds,
            "steps": steps,
            "seed": seed,
            "evaluation": evaluation,
            "promote": promote,
            "name": name,
            **more,
        }
        return self._send(campaigns.create(fields, idempotency_key))

    def get(self, campaign_id: str) -> Campaign:
        return self._send(campaigns.campaign(campaign_id))

    def rounds(self, campaign_id: str) -> Sequence[Round]:
        """Return the rounds so far, in order."""
        return self._send(campaigns.rounds(campaign_id))

    def round(self, campaign_id: str, number: int) -> Round:
        return self._send(campaigns.round_of(campaign_id, number))

    def pause(self, campaign_id: str) -> Campaign:
        """Begin no further step; a job that is under way goes on."""
        return self._send(campaigns.act(campaign_id, "pause"))

    def resume(self, campaign_id: str) -> Campaign:
        """Go on with the next step."""
        return self._send(campaigns.act(campaign_id, "resume"))

    def stop(self, campaign_id: str) -> Campaign:
        """End a campaign; what its rounds have made stays."""
        return self._send(campaigns.act(campaign_id, "stop"))

    def delete(self, campaign_id: str, *, force: bool = False) -> None:
        """Delete a campaign; its models, label sets and jobs stay."""
        self._send(campaigns.delete_campaign(campaign_id, force=force))

    def list(self) -> Iterator[Campaign]:
        return self._entries(campaigns.campaigns())

    def progress(self, campaign_id: str) -> Iterator[Campaign]:
        """Yield a campaign now and after every change; end when it is over."""
        last = None
        while True:
            found = self.get(campaign_id)
            if found != last:
                yield found
            if found.done:
                return
            last = found
            time.sleep(POLL_SECONDS)

    def events(
        self,
        campaign_id: str,
        *,
        types: Sequence[CampaignEventType] | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[CampaignEvent]:
        """Yield what happens to a campaign, as it happens; end when it is over."""
        feed = CampaignFeed(campaign_id, types, last_event_id)
        while not feed.finished:
            yield from self._one_stream(feed)
            if not feed.finished:
                time.sleep(feed.pause_seconds)

    def _one_stream(self, feed: CampaignFeed) -> Iterator[CampaignEvent]:
        with self._transport.stream(feed.call()) as response:
            if not feed.opened(response.status_code):
                return
            try:
                for chunk in response.iter_bytes():
                    yield from feed.read(chunk)
                    if feed.finished:
                        return
            except httpx.TransportError:
                return


class AsyncCampaigns(AsyncResource):
    """`client.campaigns`: rounds of labels and training."""

    async def start(
        self,
        model: str,
        target: str,
        *,
        setting: Setting | None = None,
        source: str | None = None,
        pipeline: Pipeline | None = None,
        recipe: Mapping[str, Any] | BaseModel | None = None,
        rounds: int | None = None,
        steps: int | None = None,
        seed: int | None = None,
        evaluation: str | None = None,
        promote: bool | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Campaign:
        """Start a campaign: label, train, measure, decide, again and again.

        Args:
            model: the first teacher, `name` or `name:version`.
            target: image set of the new domain.
            setting: `uda` (with `source`), `source_free` or `black_box`.
            source: annotation set of purpose `source`.
            evaluation: annotation set that each model is measured with.
            more: whatever else POST /v1/campaigns takes: `selection`, `gates`, `reviewed`, `adapt`,
                `priority`, `metadata`.
        """
        fields = {
            "model": model,
            "target": target,
            "setting": setting,
            "source": source,
            "pipeline": pipeline,
            "recipe": recipe,
            "rounds": rounds,
            "steps": steps,
            "seed": seed,
            "evaluation": evaluation,
            "promote": promote,
            "name": name,
            **more,
        }
        return await self._send(campaigns.create(fields, idempotency_key))

    async def get(self, campaign_id: str) -> Campaign:
        return await self._send(campaigns.campaign(campaign_id))

    async def rounds(self, campaign_id: str) -> Sequence[Round]:
        """Return the rounds so far, in order."""
        return await self._send(campaigns.rounds(campaign_id))

    async def round(self, campaign_id: str, number: int) -> Round:
        return await self._send(campaigns.round_of(campaign_id, number))

    async def pause(self, campaign_id: str) -> Campaign:
        """Begin no further step; a job that is under way goes on."""
        return await self._send(campaigns.act(campaign_id, "pause"))

    async def resume(self, campaign_id: str) -> Campaign:
        """Go on with the next step."""
        return await self._send(campaigns.act(campaign_id, "resume"))

    async def stop(self, campaign_id: str) -> Campaign:
        """End a campaign; what its rounds have made stays."""
        return await self._send(campaigns.act(campaign_id, "stop"))

    async def delete(self, campaign_id: str, *, force: bool = False) -> None:
        """Delete a campaign; its models, label sets and jobs stay."""
        await self._send(campaigns.delete_campaign(campaign_id, force=force))

    def list(self) -> AsyncIterator[Campaign]:
        return self._entries(campaigns.campaigns())

    async def progress(self, campaign_id: str) -> AsyncIterator[Campaign]:
        """Yield a campaign now and after every change; end when it is over."""
        last = None
        while True:
            found = await self.get(campaign_id)
            if found != last:
                yield found
            if found.done:
                return
            last = found
            await asyncio.sleep(POLL_SECONDS)

    async def events(
        self,
        campaign_id: str,
        *,
        types: Sequence[CampaignEventType] | None = None,
        last_event_id: str | None = None,
    ) -> AsyncIterator[CampaignEvent]:
        """Yield what happens to a campaign, as it happens; end when it is over."""
        feed = CampaignFeed(campaign_id, types, last_event_id)
        while not feed.finished:
            async for event in self._one_stream(feed):
                yield event
            if not feed.finished:
                await asyncio.sleep(feed.pause_seconds)

    async def _one_stream(self, feed: CampaignFeed) -> AsyncIterator[CampaignEvent]:
        async with self._transport.stream(feed.call()) as response:
            if not feed.opened(response.status_code):
                return
            try:
                async for chunk in response.aiter_bytes():
                    for event in feed.read(chunk):
                        yield event
                    if feed.finished:
                        return
            except httpx.TransportError:
                return
