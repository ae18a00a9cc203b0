"""Where the time of a job went, from the lines that its worker wrote."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ChunkSpan:
    """One chunk of a job in a worker; times in seconds since the epoch."""

    kind: str
    claimed_at: float
    done_at: float


def chunk_spans(log: str, job_id: str) -> list[ChunkSpan]:
    """The chunks of a job that were claimed and done, in the order in which they were claimed."""
    claimed: dict[str, float] = {}
    spans = []
    for event in _events(log.splitlines()):
        if event.get("job") != job_id:
            continue
        at = datetime.fromisoformat(event["timestamp"]).timestamp()
        if event["event"] == "chunk claimed":
            claimed[event["chunk"]] = at
        elif event["event"] == "chunk done" and event["chunk"] in claimed:
            spans.append(ChunkSpan(event["kind"], claimed[event["chunk"]], at))
    return sorted(spans, key=lambda span: span.claimed_at)


def time_shares(
    spans: list[ChunkSpan], started_at: float, finished_at: float, pipeline_seconds: float
) -> dict[str, Any]:
    """Seconds by what the only worker did between start and end of a job.

    Args:
        spans: its chunks, one after the other.
        started_at, finished_at: of the job, in seconds since the epoch.
        pipeline_seconds: time inside `LabelPipeline.label`, as noted item by item.
    """
    gaps = [
        max(0.0, after.claimed_at - before.done_at)
        for before, after in zip(spans, spans[1:], strict=False)
    ]
    busy = {
        kind: sum(span.done_at - span.claimed_at for span in spans if span.kind == kind)
        for kind in ("pilot", "label")
    }
    return {
        "all": finished_at - started_at,
        "before_first_chunk": spans[0].claimed_at - started_at,
        "pilot_chunks": busy["pilot"],
        "label_chunks": busy["label"],
        "label_chunks_outside_pipeline": busy["label"] - pipeline_seconds,
        "between_chunks": sum(gaps),
        "longest_gap": max(gaps, default=0.0),
        "chunks": len(spans),
    }


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Structured lines of a log; a line is the name of a process, a bar and a JSON object."""
    for line in lines:
        _, _, text = line.partition("| ")
        if text.startswith('{"') and '"timestamp"' in text:
            yield json.loads(text)
