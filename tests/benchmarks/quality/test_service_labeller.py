from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from selvage_client import Selvage

from api_schemas.jobs import FailurePolicy, ItemCounts, Job, Progress
from benchmarks.quality.labelling import LabelFolder
from benchmarks.quality.service_labeller import JobDidNotSucceed, ServiceLabeller

IMAGES = [Path("a.png"), Path("b.png")]


def job(status: str, result: dict[str, Any] | None = None) -> Job:
    failed = 1 if status == "partial" else 0
    return Job(
        id="job_1",
        type="generate",
        status=cast(Any, status),
        done=status != "running",
        image_set="ims_1",
        progress=Progress(fraction=1.0),
        counts=ItemCounts(total=2, succeeded=2 - failed, failed=failed),
        stages=[],
        priority=0,
        failure_policy=FailurePolicy(),
        metadata={},
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        result=result,
        links={},
    )


class FakeClient:
    """Notes the calls; jobs end as told."""

    def __init__(self, last: Job, rejected: int = 0) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._last = last
        self._rejected = rejected

    def create_image_set(self, images: list[Path]) -> SimpleNamespace:
        self.calls.append(("upload", [p.name for p in images]))
        return SimpleNamespace(id="ims_1", counts=SimpleNamespace(rejected=self._rejected))

    def generate(self, image_set: str, model: str, *, pipeline: dict[str, Any]) -> Job:
        self.calls.append(("generate", image_set, model, pipeline))
        return job("running")

    def adapt(self, image_set: str, model: str, *, sample_images: int) -> Job:
        self.calls.append(("adapt", image_set, model, sample_images))
        return job("running")

    def progress(self, job_id: str) -> Iterator[Job]:
        yield job("running")
        yield self._last

    def download(self, job_id: str, folder: Path, *, regions: bool) -> None:
        self.calls.append(("download", job_id, folder, regions))


def labeller(client: FakeClient) -> ServiceLabeller:
    return ServiceLabeller(cast(Selvage, client), {})


def test_images_are_uploaded_once_and_labels_downloaded(tmp_path):
    client = FakeClient(job("succeeded"))
    service = labeller(client)
    for name in ("first", "second"):
        out = LabelFolder(tmp_path / name)
        service.label_images(IMAGES, "m:1", {"select": None}, out)
    generate = ("generate", "ims_1", "m:1", {"select": None})
    assert client.calls == [
        ("upload", ["a.png", "b.png"]),
        generate,
        ("download", "job_1", tmp_path / "first", False),
        generate,
        ("download", "job_1", tmp_path / "second", False),
    ]


@pytest.mark.parametrize(
    ("pipeline", "regions"),
    [({"aggregate": {}}, True), ({"correct": {}, "aggregate": None}, True), ({}, False)],
)
def test_regions_are_downloaded_where_a_stage_made_some(pipeline, regions, tmp_path):
    client = FakeClient(job("succeeded"))
    labeller(client).label_images(IMAGES, "m:1", pipeline, LabelFolder(tmp_path))
    assert client.calls[-1] == ("download", "job_1", tmp_path, regions)


def test_adapt_uses_every_image_and_gives_the_new_reference():
    client = FakeClient(job("succeeded", {"model": "m:2"}))
    assert labeller(client).adapt("m:1", IMAGES) == "m:2"
    assert client.calls[-1] == ("adapt", "ims_1", "m:1", 2)


def test_half_a_set_is_not_scored(tmp_path):
    client = FakeClient(job("partial"))
    with pytest.raises(JobDidNotSucceed, match="job_1 ended partial: 1 images failed"):
        labeller(client).label_images(IMAGES, "m:1", {}, LabelFolder(tmp_path))
    assert not any(call[0] == "download" for call in client.calls)


def test_a_rejected_image_ends_the_run(tmp_path):
    client = FakeClient(job("succeeded"), rejected=1)
    with pytest.raises(ValueError, match="rejected 1 images"):
        labeller(client).label_images(IMAGES, "m:1", {}, LabelFolder(tmp_path))
