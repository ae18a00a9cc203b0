"""What a worker tells Prometheus: stages, outcomes, quality, memory."""

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.metrics import REGISTRY
from domain.settings import Settings
from domain.stages import measured
from models.errors import OutOfMemory
from models.pipeline import LabelPipeline
from ops.ports import find_free
from tests.support.api import post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation
from workers.metrics import serve_metrics

Read = Callable[..., float]


@pytest.fixture
def tiny_site(sqlite_site: Installation, tmp_path: Path) -> Installation:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    return sqlite_site


@pytest.fixture
def grown() -> Read:
    """How much a figure has grown since the test began."""
    before = _samples()

    def read(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return _samples().get(key, 0.0) - before.get(key, 0.0)

    return read


def _samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(REGISTRY).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


class TestJob:
    def test_every_stage_of_every_image(self, tiny_site: Installation, grown: Read) -> None:
        post_images(tiny_site, {f"{i}.png": png_bytes(i) for i in range(3)})
        tiny_site.settle()
        for stage in ("fetch", "predict", "select", "store"):
            assert grown("selvage_images_total", stage=stage, outcome="succeeded") == 3
            assert grown("selvage_stage_seconds_count", stage=stage) == 3
            assert grown("selvage_stage_seconds_sum", stage=stage) > 0
        assert grown("selvage_label_quality_count") == 3
        assert 0 < grown("selvage_label_quality_sum") <= 3

    def test_labels_that_are_found_are_not_new(self, tiny_site: Installation, grown: Read) -> None:
        for _ in range(2):
            post_images(tiny_site, {"a.png": png_bytes()})
            tiny_site.settle()
        assert grown("selvage_label_quality_count") == 1
        assert grown("selvage_images_total", stage="predict", outcome="succeeded") == 1

    def test_failures_and_memory(
        self, tiny_site: Installation, grown: Read, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OutOfMemory(1)

        monkeypatch.setattr(LabelPipeline, "look", fail)
        post_images(tiny_site, {"a.png": png_bytes(1), "b.png": png_bytes(2)})
        tiny_site.settle()
        assert grown("selvage_oom_total", stage="predict") == 2
        assert grown("selvage_images_total", stage="predict", outcome="failed") == 2
        assert grown("selvage_label_quality_count") == 0


class TestMeasured:
    def test_a_batch_that_fails_is_tried_again(self, grown: Read) -> None:
        with pytest.raises(ValueError, match="x"), measured("predict", 8):
            raise ValueError("x")
        assert grown("selvage_images_total", stage="predict", outcome="failed") == 0
        with measured("predict", 8):
            pass
        assert grown("selvage_images_total", stage="predict", outcome="succeeded") == 8
        assert grown("selvage_stage_seconds_count", stage="predict") == 8

    def test_no_gpu_no_memory(self) -> None:
        assert _samples()[("selvage_gpu_mem_bytes", ())] == 0


class TestPort:
    def test_served(self) -> None:
        port = find_free("127.0.0.1")
        serve_metrics(Settings(worker_metrics_port=port))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        names = {family.name for family in text_string_to_metric_families(text)}
        assert {
            "selvage_images", "selvage_stage_seconds", "selvage_oom", "selvage_label_quality",
            "selvage_gpu_mem_bytes", "process_cpu_seconds",
        } <= names  # fmt: skip

    def test_a_port_that_is_taken_stops_no_worker(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            serve_metrics(Settings(worker_metrics_port=taken.getsockname()[1]))

    def test_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.metrics.start_http_server", None)
        serve_metrics(Settings(worker_metrics_port=0))
