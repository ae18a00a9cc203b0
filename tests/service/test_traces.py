"""One trace from the request over the job and its chunks to the stages of an image."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain import tracing
from domain.tracing_export import OtelBackend
from storage.catalog.tables import JobRow
from tests.domain.test_tracing import HOSTILE, SPAN, TRACE, VALID
from tests.support.api import multipart
from tests.support.images import png_bytes
from tests.support.installation import Installation


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    tracing.use(OtelBackend("test", SimpleSpanProcessor(memory)))
    yield memory
    tracing.shut_down()


def label_one(site: Installation, **headers: str) -> tuple[str, str | None]:
    """Label an image; returns the job and the traceparent of the answer."""
    answer = site.client.post(
        "/v1/pseudo-labels",
        files=multipart({"a.png": png_bytes()}),
        data={"model": "tiny", "pipeline": '{"select": null}'},
        headers=headers,
    )
    assert answer.status_code == 202, answer.text
    site.settle()
    return answer.json()["job"]["id"], answer.headers.get("traceparent")


def stored(site: Installation, job_id: str) -> str | None:
    with site.catalog.read() as session:
        row = session.get(JobRow, job_id)
        assert row is not None
        return row.traceparent


def name_of_parent(span: ReadableSpan, spans: tuple[ReadableSpan, ...]) -> str | None:
    ids = {s.context.span_id: s.name for s in spans if s.context}
    return ids.get(span.parent.span_id) if span.parent else None


class TestOn:
    def test_from_request_to_store(
        self, tiny_site: Installation, exporter: InMemorySpanExporter
    ) -> None:
        job_id, returned = label_one(tiny_site, traceparent=VALID)
        spans = tuple(
            s
            for s in exporter.get_finished_spans()
            if s.context and s.context.trace_id == int(TRACE, 16)
        )
        by_name = {s.name: s for s in spans}
        request = by_name["POST /v1/pseudo-labels"]
        assert request.parent is not None
        assert f"{request.parent.span_id:016x}" == SPAN
        assert request.context is not None
        assert returned == f"00-{TRACE}-{request.context.span_id:016x}-01"
        attributes = dict(request.attributes or {})
        assert attributes["http.route"] == "/v1/pseudo-labels"
        assert attributes["http.response.status_code"] == 202
        assert attributes["selvage.job"] == job_id
        parents = {name: name_of_parent(span, spans) for name, span in by_name.items()}
        assert parents["job generate"] == "POST /v1/pseudo-labels"
        assert parents["chunk label"] == "job generate"
        for stage in ("fetch", "predict", "select", "store"):
            assert parents[stage] == "chunk label"
        assert stored(tiny_site, job_id) is not None

    def test_without_a_client_s_trace_there_is_a_new_one(
        self, tiny_site: Installation, exporter: InMemorySpanExporter
    ) -> None:
        first, second = (label_one(tiny_site)[0] for _ in range(2))
        traces = {tracing.trace_id_of(stored(tiny_site, job)) for job in (first, second)}
        assert len(traces) == 2
        assert None not in traces

    def test_a_refused_request(
        self, sqlite_site: Installation, exporter: InMemorySpanExporter
    ) -> None:
        sqlite_site.client.get("/v1/jobs/job_none")
        sqlite_site.client.get("/nowhere/at/all")
        names = [s.name for s in exporter.get_finished_spans()]
        assert names == ["GET /v1/jobs/{job_id}", "GET none"]


class TestOff:
    def test_the_client_s_own_is_handed_on(self, tiny_site: Installation) -> None:
        job_id, returned = label_one(tiny_site, traceparent=VALID)
        assert returned == VALID
        assert stored(tiny_site, job_id) == VALID

    @pytest.mark.parametrize(
        "header", [h for h in HOSTILE if h and h.isascii() and h.isprintable()]
    )
    def test_hostile_ones_are_ignored(self, tiny_site: Installation, header: str) -> None:
        if header.strip() != header:  # HTTP itself takes white space off
            return
        job_id, returned = label_one(tiny_site, traceparent=header)
        assert returned is None
        assert stored(tiny_site, job_id) is None

    def test_none(self, tiny_site: Installation) -> None:
        job_id, returned = label_one(tiny_site)
        assert (returned, stored(tiny_site, job_id)) == (None, None)
