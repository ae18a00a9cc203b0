"""The client: one method per call of the API, and the few things that take several calls."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from selvage_client.downloads import DownloadReport, Fetch, plan_download, write_atomically
from selvage_client.resources.campaigns import Campaigns
from selvage_client.resources.connections import Connections
from selvage_client.resources.exports import Exports
from selvage_client.resources.images import Images
from selvage_client.resources.integrations import Integrations
from selvage_client.resources.jobs import Jobs
from selvage_client.resources.keys import Keys
from selvage_client.resources.label_sets import LabelSets
from selvage_client.resources.labels import Labels
from selvage_client.resources.models import Models
from selvage_client.resources.ontologies import Ontologies
from selvage_client.resources.pipelines import Pipelines
from selvage_client.resources.reviews import Reviews
from selvage_client.resources.schedules import Schedules
from selvage_client.resources.system import Installation
from selvage_client.resources.uploads import Uploads
from selvage_client.resources.webhooks import Webhooks
from selvage_client.retrying import RetryPolicy
from selvage_client.transport import Options, SyncTransport, key_to_use, service_url


class Selvage(Images, Models, Jobs, Labels, Installation):
    """A connection to a Selvage service. Use it in a `with` block, or call `close`.

    Every method raises `SelvageError` when the service refuses or cannot be reached; its text says
    what to do. Calls that get no answer, 429, 502, 503 or 504 are tried again; a POST carries an
    `Idempotency-Key`, so that a second try never makes a second job.

    Args:
        url: address of the service; without it `SELVAGE_URL`, else http://127.0.0.1:8700.
        api_key: `sv_…`, sent to the service alone; without it `SELVAGE_API_KEY`, else none.
        timeout_seconds: patience for one answer (uploads get at least ten minutes).
        retries: how often and how fast to try again.
        transport: another httpx transport, for tests.

    Attributes:
        campaigns: rounds of labels and training.
        connections: places outside, with credentials.
        integrations: profiles by which labelling tools ask for labels.
        keys: API keys.
        label_sets: frozen selections of labels.
        exports: labels in the format of a tool.
        ontologies: classes, for Label Studio and CVAT as well.
        pipelines: configurations with a name.
        reviews: labels that wait for a look, and decisions on them.
        schedules: jobs by the clock.
        uploads: large files in parts.
        webhooks: who is told about what.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = service_url(url)
        key = key_to_use(api_key)
        options = Options(self.url, timeout_seconds, retries or RetryPolicy(), key)
        super().__init__(SyncTransport(options, transport))
        self.campaigns = Campaigns(self._transport)
        self.connections = Connections(self._transport)
        self.integrations = Integrations(self._transport)
        self.keys = Keys(self._transport)
        self.label_sets = LabelSets(self._transport)
        self.exports = Exports(self._transport)
        self.ontologies = Ontologies(self._transport)
        self.pipelines = Pipelines(self._transport)
        self.reviews = Reviews(self._transport)
        self.schedules = Schedules(self._transport)
        self.uploads = Uploads(self._transport)
        self.webhooks = Webhooks(self._transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def download(
        self,
        job_id: str,
        folder: str | os.PathLike[str],
        *,
        confidence: bool = True,
        regions: bool = False,
        threads: int = 4,
        on_file: Callable[[int, int], None] | None = None,
    ) -> DownloadReport:
        """Put the labels of a job into a folder; a second call fetches what is missing.

        Writes `labels/NAME.png` (index PNG, 255 = ignore), `confidence/NAME.png` and
        `results.jsonl`, whose lines name the files.

        Args:
            confidence: also fetch the confidence maps.
            regions: also fetch `regions/NAME.json`, where labels are made of regions.
            threads: files fetched at a time.
            on_file: called with (files there, files in all).
        """
        lines = self.results(job_id)
        plan = plan_download(Path(folder), lines, confidence=confidence, regions=regions)
        total = plan.kept_files + len(plan.fetches)
        with ThreadPoolExecutor(max(1, threads)) as pool:
            try:
                for done, _ in enumerate(pool.map(self._fetch, plan.fetches), 1):
                    if on_file is not None:
                        on_file(plan.kept_files + done, total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return plan.report()

    def _fetch(self, fetch: Fetch) -> None:
        write_atomically(fetch.path, self.artifact(fetch.label_id, fetch.artifact))
