"""The same client for coroutines."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from selvage_client.downloads import DownloadReport, Fetch, plan_download, write_atomically
from selvage_client.gathering import all_or_first_error
from selvage_client.resources.campaigns import AsyncCampaigns
from selvage_client.resources.connections import AsyncConnections
from selvage_client.resources.exports import AsyncExports
from selvage_client.resources.images import AsyncImages
from selvage_client.resources.integrations import AsyncIntegrations
from selvage_client.resources.jobs import AsyncJobs
from selvage_client.resources.keys import AsyncKeys
from selvage_client.resources.label_sets import AsyncLabelSets
from selvage_client.resources.labels import AsyncLabels
from selvage_client.resources.models import AsyncModels
from selvage_client.resources.ontologies import AsyncOntologies
from selvage_client.resources.pipelines import AsyncPipelines
from selvage_client.resources.reviews import AsyncReviews
from selvage_client.resources.schedules import AsyncSchedules
from selvage_client.resources.system import AsyncInstallation
from selvage_client.resources.uploads import AsyncUploads
from selvage_client.resources.webhooks import AsyncWebhooks
from selvage_client.retrying import RetryPolicy
from selvage_client.transport import AsyncTransport, Options, key_to_use, service_url


class AsyncSelvage(AsyncImages, AsyncModels, AsyncJobs, AsyncLabels, AsyncInstallation):
    """`Selvage` for coroutines: the same methods and arguments, see there.

    Single answers are awaited (`await client.job(id)`); listings, `results`, `progress` and
    `events` are asynchronous iterators (`async for job in client.progress(id)`).
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = service_url(url)
        key = key_to_use(api_key)
        options = Options(self.url, timeout_seconds, retries or RetryPolicy(), key)
        super().__init__(AsyncTransport(options, transport))
        self.campaigns = AsyncCampaigns(self._transport)
        self.connections = AsyncConnections(self._transport)
        self.integrations = AsyncIntegrations(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.label_sets = AsyncLabelSets(self._transport)
        self.exports = AsyncExports(self._transport)
        self.ontologies = AsyncOntologies(self._transport)
        self.pipelines = AsyncPipelines(self._transport)
        self.reviews = AsyncReviews(self._transport)
        self.schedules = AsyncSchedules(self._transport)
        self.uploads = AsyncUploads(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def download(
        self,
        job_id: str,
        folder: str | os.PathLike[str],
        *,
        confidence: bool = True,
        regions: bool = False,
        at_a_time: int = 4,
        on_file: Callable[[int, int], None] | None = None,
    ) -> DownloadReport:
        """Put the labels of a job into a folder; a second call fetches what is missing."""
        lines = [line async for line in self.results(job_id)]
        plan = await asyncio.to_thread(
            plan_download, Path(folder), lines, confidence=confidence, regions=regions
        )
        total = plan.kept_files + len(plan.fetches)
        waiting = iter(plan.fetches)
        done = plan.kept_files

        async def fetch_some(fetches: Iterator[Fetch]) -> None:
            nonlocal done
            for fetch in fetches:
                content = await self.artifact(fetch.label_id, fetch.artifact)
                await asyncio.to_thread(write_atomically, fetch.path, content)
                done += 1
                if on_file is not None:
                    on_file(done, total)

        await all_or_first_error(fetch_some(waiting) for _ in range(max(1, at_a_time)))
        return plan.report()
