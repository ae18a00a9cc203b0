import asyncio
import inspect
from pathlib import Path

import httpx
import pytest
from selvage_client import AsyncSelvage, RetryPolicy, Selvage, SelvageError

from tests.client.fake_service import JOB_ID, SET_ID, FakeService, make_job, make_label_line, served

QUICK = RetryPolicy(3, 3, 0.0, 0.0)


def connect(service: FakeService) -> AsyncSelvage:
    return AsyncSelvage("http://fake", retries=QUICK, transport=service.transport())


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        renamed = {"threads": "at_a_time"}
        return {
            name: [renamed.get(p, p) for p in inspect.signature(method).parameters]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert shape(AsyncSelvage) == shape(Selvage)


def test_a_post_is_sent_again_with_its_key_and_whole_body() -> None:
    service = FakeService(faults=[httpx.ConnectError("refused"), httpx.Response(503)])

    async def run() -> None:
        async with connect(service) as client:
            created = await client.pseudo_labels([("a.png", bytes(600_000))], model="demo")
            assert created.job.id == JOB_ID

    asyncio.run(run())
    keys = {request.headers["idempotency-key"] for request in service.requests}
    assert (len(service.requests), len(keys)) == (3, 1)
    assert service.uploads[0]["files"] == [("a.png", bytes(600_000))]


def test_progress_results_and_download(tmp_path: Path) -> None:
    service = FakeService(
        job_states=[make_job("queued"), make_job("running", 1), make_job("succeeded", 4)],
        lines=[make_label_line(f"{n}.png", f"lab_{n}") for n in range(5)],
    )
    counted: list[tuple[int, int]] = []

    async def run() -> None:
        async with connect(service) as client:
            statuses = [job.status async for job in client.progress(JOB_ID)]
            assert statuses == ["queued", "running", "succeeded"]
            assert (await client.wait(JOB_ID)).done
            assert [line.label_id async for line in client.results(JOB_ID)][4] == "lab_4"
            report = await client.download(
                JOB_ID, tmp_path, on_file=lambda *count: counted.append(count)
            )
            assert (report.labels, report.fetched_files) == (5, 10)

    asyncio.run(run())
    assert counted == [(n, 10) for n in range(1, 11)]
    assert (
        tmp_path / "labels/0.png"
    ).read_bytes() == b"png of /v1/labels/lab_0/artifacts/label.png"


def test_an_error_in_a_download_is_raised_as_it_is(tmp_path: Path) -> None:
    service = FakeService(lines=[make_label_line(f"{n}.png", f"lab_{n}") for n in range(9)])

    def broken(request: httpx.Request) -> httpx.Response:
        if "lab_3" in request.url.path:
            return httpx.Response(500)
        return service.handle(request)

    async def run() -> None:
        transport = httpx.MockTransport(broken)
        async with AsyncSelvage("http://fake", retries=QUICK, transport=transport) as client:
            with pytest.raises(SelvageError, match="HTTP 500"):
                await client.download(JOB_ID, tmp_path)

    asyncio.run(run())


def test_annotations_and_jobs(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("{}")
    service = FakeService()

    async def run() -> None:
        async with connect(service) as client:
            report = await client.upload_annotations(SET_ID, tmp_path, purpose="evaluation")
            assert report.accepted == 1
            assert (await client.generate(SET_ID, "demo")).status == "queued"
            assert (await client.promote("demo", 2)).name == "demo"
            with pytest.raises(SelvageError, match="There is nothing"):
                await client.label("lab_1")

    asyncio.run(run())
    assert service.uploads[0]["file"][0][1].startswith(b"PK")


def test_over_a_real_connection(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(900_000))
    service = FakeService()

    async def run(url: str) -> None:
        async with AsyncSelvage(url, retries=QUICK) as client:
            await client.pseudo_labels(tmp_path, model="demo")

    with served(service) as url:
        asyncio.run(run(url))
    assert service.uploads[0]["files"] == [("a.png", bytes(900_000))]
