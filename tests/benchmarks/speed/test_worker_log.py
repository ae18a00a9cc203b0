import json

import pytest

from benchmarks.speed.worker_log import ChunkSpan, chunk_spans, time_shares


def line(event: str, second: float, chunk: str, kind: str, job: str = "job_a") -> str:
    fields = {
        "chunk": chunk,
        "job": job,
        "kind": kind,
        "event": event,
        "level": "info",
        "timestamp": f"2030-01-01T00:00:{second:09.6f}Z",
    }
    return f"worker-0  | {json.dumps(fields)}"


LOG = "\n".join(
    [
        "selvage   | 2030-01-01T00:00:00Z worker-0 started",
        line("chunk claimed", 1.0, "c1", "pilot"),
        line("chunk claimed", 1.5, "cx", "label", job="job_b"),
        "worker-0  | a line of a library {with} braces",
        line("chunk done", 3.0, "c1", "pilot"),
        line("chunk claimed", 3.25, "c2", "label"),
        line("chunk done", 7.25, "c2", "label"),
        line("chunk claimed", 8.0, "c3", "label"),
    ]
)


class TestChunkSpans:
    def test_finished_chunks_of_one_job_in_order(self) -> None:
        first, second = chunk_spans(LOG, "job_a")
        assert (first.kind, second.kind) == ("pilot", "label")
        assert first.done_at - first.claimed_at == pytest.approx(2.0)
        assert second.claimed_at - first.done_at == pytest.approx(0.25)
        assert second.done_at - second.claimed_at == pytest.approx(4.0)

    def test_a_job_that_is_not_there_has_none(self) -> None:
        assert chunk_spans(LOG, "job_c") == []


class TestTimeShares:
    def test_seconds_add_up(self) -> None:
        spans = [
            ChunkSpan("pilot", 10.5, 12.0),
            ChunkSpan("pilot", 12.25, 13.0),
            ChunkSpan("label", 13.125, 17.0),
        ]
        assert time_shares(spans, 10.0, 17.5, pipeline_seconds=3.5) == {
            "all": 7.5,
            "before_first_chunk": 0.5,
            "pilot_chunks": 2.25,
            "label_chunks": 3.875,
            "label_chunks_outside_pipeline": 0.375,
            "between_chunks": 0.375,
            "longest_gap": 0.25,
            "chunks": 3,
        }
