"""Where a trace goes on, and where nothing of it is believed."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from domain import tracing
from domain.logs import in_this_context
from domain.tracing import parse_traceparent

ROOT = Path(__file__).parents[2]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"

HOSTILE = (
    None, "", "x", VALID.upper(), VALID + " ", VALID + "\n", VALID + "-more", VALID[:-1],
    f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{SPAN}-0g", f"01-{TRACE}-{SPAN}-01-" + "x" * 1000, f"01-{TRACE}-{SPAN}-01-\r\nx",
    "00-" + "é" * 32 + f"-{SPAN}-01", "'; DROP TABLE job; --", "0" * 10_000,
)  # fmt: skip


class TestParse:
    @pytest.mark.parametrize("header", HOSTILE)
    def test_hostile(self, header: str | None) -> None:
        assert parse_traceparent(header) is None

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (VALID, VALID),
            (VALID[:-2] + "00", VALID[:-2] + "00"),
            (f"01-{TRACE}-{SPAN}-01", VALID),  # later versions begin like the first
            (f"cc-{TRACE}-{SPAN}-01-what-comes-later", VALID),
        ],
    )
    def test_valid(self, header: str, expected: str) -> None:
        assert parse_traceparent(header) == expected
        assert tracing.trace_id_of(expected) == TRACE


class TestOff:
    """Nothing is recorded, and what a client sent is handed on."""

    def test_handed_on(self) -> None:
        assert tracing.current_traceparent() is None
        with tracing.span("a", parent=VALID) as span:
            assert span.traceparent == VALID
            with tracing.span("b") as inner:
                inner.rename("c")
                inner.note(n=1)
                inner.fail("x")
                assert inner.traceparent == tracing.current_traceparent() == VALID
        assert tracing.current_traceparent() is None

    def test_into_another_thread(self) -> None:
        found: list[str | None] = []
        with tracing.span("a", parent=VALID):
            function = in_this_context(lambda: found.append(tracing.current_traceparent()))
        threads = [threading.Thread(target=function) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [VALID] * 3

    @pytest.mark.parametrize("variables", [{}, {"OTEL_SDK_DISABLED": "true"}])
    def test_nothing_that_records_is_imported(self, variables: dict[str, str]) -> None:
        script = (
            "import sys; from domain import tracing; import service.app, workers.run_chunk\n"
            "tracing.set_up('api')\n"
            "with tracing.span('a'): pass\n"
            "tracing.shut_down()\n"
            "sys.exit(bool({'domain.tracing_export', 'opentelemetry.exporter'} & set(sys.modules)))"
        )
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if variables else {}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={**kept, **endpoint, **variables}
        )
        assert done.returncode == 0

    def test_the_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr("domain.tracing.importlib.util.find_spec", lambda name: None)
        tracing.set_up("api")
        with tracing.span("a") as span:
            assert span.traceparent is None


class TestExport:
    def test_over_http(self) -> None:
        """A real process sends its spans to a collector before it ends."""
        received: list[ExportTraceServiceRequest] = []

        class Collector(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802 - the name that http.server asks for
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        server = HTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            done = _trace(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            server.server_close()
        assert done.returncode == 0, done.stderr
        spans = [
            s for r in received for rs in r.resource_spans for x in rs.scope_spans for s in x.spans
        ]
        by_name = {s.name: s for s in spans}
        assert set(by_name) == {"outer", "inner"}
        assert by_name["outer"].trace_id.hex() == TRACE
        assert by_name["outer"].parent_span_id.hex() == SPAN
        assert by_name["inner"].parent_span_id == by_name["outer"].span_id
        assert by_name["inner"].status.message == "ValueError"
        resource = received[0].resource_spans[0].resource.attributes
        assert {a.key: a.value.string_value for a in resource}["service.name"] == "selvage-test"

    def test_nobody_takes_them(self) -> None:
        """A collector that is away neither stops the work nor holds up the end."""
        done = _trace("http://127.0.0.1:9")
        assert done.returncode == 0, done.stderr
        assert "done" in done.stdout


def _trace(endpoint: str) -> "subprocess.CompletedProcess[str]":
    script = (
        "from domain import tracing\n"
        "tracing.set_up('test')\n"
        f"with tracing.span('outer', parent='{VALID}', n=1):\n"
        "    try:\n"
        "        with tracing.span('inner'): raise ValueError\n"
        "    except ValueError: pass\n"
        "tracing.shut_down()\n"
        "print('done')\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "HTTP", "http"))}
    environment = {
        **kept,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
    }
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
