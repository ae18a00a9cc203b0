import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selvage_client import RetryPolicy, Selvage, SelvageError, ServiceUnreachable, WaitTimeout

from api_schemas.problems import StateConflict
from tests.client.fake_service import (
    ANNOTATION_SET_ID,
    JOB_ID,
    SET_ID,
    FakeService,
    make_job,
    make_label_line,
    make_model,
    problem_response,
    served,
)

QUICK = RetryPolicy(3, 3, 0.0, 0.0)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> Iterator[Selvage]:
    with Selvage("http://fake", retries=QUICK, transport=service.transport()) as client:
        yield client


def test_pseudo_labels_sends_a_folder(
    client: Selvage, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(b"pixels")
    created = client.pseudo_labels(tmp_path, model="demo", metadata={"run": "7"}, pipeline={})
    assert created.job.id == JOB_ID
    assert created.image_set.counts.accepted == 1
    assert service.uploads == [
        {
            "model": [(None, b"demo")],
            "pipeline": [(None, b"{}")],
            "metadata": [(None, b'{"run": "7"}')],
            "files": [("sub/a.png", b"pixels")],
        }
    ]


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("server left"),
        httpx.Response(503),
        httpx.Response(429, headers={"retry-after": "0"}),
    ],
)
def test_a_post_is_sent_again_with_its_key_and_whole_body(
    client: Selvage, service: FakeService, fault: httpx.Response | Exception
) -> None:
    service.faults = [fault, fault]
    client.pseudo_labels([("a.png", b"pixels")], model="demo")
    keys = {request.headers["idempotency-key"] for request in service.requests}
    bodies = {request.content for request in service.requests}
    assert (len(service.requests), len(keys), len(bodies)) == (3, 1, 1)


def test_a_post_whose_answer_was_lost_makes_one_job() -> None:
    service = FakeService()
    lost: list[bool] = []

    def answer_once_into_the_void(request: httpx.Request) -> httpx.Response:
        answer = service.handle(request)
        if not lost:
            lost.append(True)
            raise httpx.ReadError("reset after the work was done")
        return answer

    with Selvage(
        "http://fake", retries=QUICK, transport=httpx.MockTransport(answer_once_into_the_void)
    ) as client:
        client.pseudo_labels([("a.png", b"pixels")], model="demo")
    assert len(service.requests) == 2
    assert len(service.uploads) == 1


def test_two_calls_have_two_keys(client: Selvage, service: FakeService) -> None:
    client.cancel(JOB_ID)
    client.cancel(JOB_ID)
    keys = [request.headers["idempotency-key"] for request in service.requests]
    assert keys[0] != keys[1]


def test_a_given_key_is_used(client: Selvage, service: FakeService) -> None:
    client.generate(SET_ID, "demo", idempotency_key="nightly")
    assert service.requests[0].headers["idempotency-key"] == "nightly"


def test_patience_ends_with_what_to_do(client: Selvage, service: FakeService) -> None:
    service.faults = [httpx.ConnectError("refused")] * 3
    with pytest.raises(ServiceUnreachable, match="selvage up"):
        client.job(JOB_ID)
    assert len(service.requests) == 3


def test_a_service_that_answered_before_gets_more_patience(service: FakeService) -> None:
    patient = RetryPolicy(5, 2, 0.0, 0.0)
    with Selvage("http://fake", retries=patient, transport=service.transport()) as client:
        client.job(JOB_ID)
        service.faults = [httpx.ConnectError("refused")] * 4
        assert client.job(JOB_ID).id == JOB_ID


def test_problems_are_raised_as_they_came(client: Selvage, service: FakeService) -> None:
    problem = StateConflict("Job is done already.").problem()
    service.faults = [problem_response(problem)]
    with pytest.raises(SelvageError, match="Job is done already") as caught:
        client.cancel(JOB_ID)
    assert caught.value.problem == problem
    assert len(service.requests) == 1


def test_listings_read_page_after_page(client: Selvage, service: FakeService) -> None:
    row = make_model().model_dump(mode="json")
    service.pages["/v1/models"] = [
        {"models": [row, {**row, "name": "b"}], "next_page_token": "1"},
        {"models": [], "next_page_token": "2"},
        {"models": [{**row, "name": "c"}]},
    ]
    models = client.models()
    assert next(models).name == "demo"
    assert len(service.requests) == 1
    assert [model.name for model in models] == ["b", "c"]


def test_promote_returns_the_model(client: Selvage) -> None:
    assert client.promote("demo", 2).current_version == 2
    assert [version.reference for version in client.versions("demo")] == ["demo:2"]


def test_annotations_go_as_a_zip(client: Selvage, service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("{}")
    report = client.upload_annotations(
        SET_ID, tmp_path, purpose="evaluation", stored_ignore_value=11
    )
    assert report.id == ANNOTATION_SET_ID
    (upload,) = service.uploads
    assert upload["purpose"] == [(None, b"evaluation")]
    assert upload["stored_ignore_value"] == [(None, b"11")]
    assert upload["file"][0][1].startswith(b"PK")


def test_jobs_of_each_type_are_created(client: Selvage, service: FakeService) -> None:
    client.generate(SET_ID, "demo", pipeline={"select": None})
    client.evaluate(ANNOTATION_SET_ID, labels_of_job=JOB_ID)
    client.adapt(SET_ID, "demo", sample_images=8, promote=True)
    client.fit_connectivity(ANNOTATION_SET_ID, "demo", pipeline="grow", views=2)
    client.fit_rectifier(ANNOTATION_SET_ID, "demo", seed=1)
    client.fit_rectifier(None, "demo", image_set=SET_ID)
    sent = [json.loads(request.content) for request in service.requests]
    assert sent == [
        {"type": "generate", "image_set": SET_ID, "model": "demo", "pipeline": {"select": None}},
        {"type": "evaluate", "annotation_set": ANNOTATION_SET_ID, "labels_of_job": JOB_ID},
        {
            "type": "adapt",
            "image_set": SET_ID,
            "model": "demo",
            "sample_images": 8,
            "promote": True,
        },
        {
            "type": "fit_connectivity",
            "annotation_set": ANNOTATION_SET_ID,
            "model": "demo",
            "pipeline": "grow",
            "views": 2,
        },
        {
            "type": "fit_rectifier",
            "annotation_set": ANNOTATION_SET_ID,
            "model": "demo",
            "seed": 1,
        },
        {"type": "fit_rectifier", "image_set": SET_ID, "model": "demo"},
    ]


LABEL_SET_ID = "lbs_01J9Z3N6V1QG8T2B4C5D6E7F8G"


def test_a_training_is_asked_for(client: Selvage, service: FakeService) -> None:
    client.train(LABEL_SET_ID, "demo", setting="source_free", recipe={"batch_size": 2})
    client.train(LABEL_SET_ID, "demo", source={"annotations": ANNOTATION_SET_ID}, steps=5)
    common = {"type": "train", "label_set": LABEL_SET_ID, "model": "demo"}
    assert [json.loads(request.content) for request in service.requests] == [
        {**common, "setting": "source_free", "recipe": {"batch_size": 2}},
        {**common, "source": {"annotations": ANNOTATION_SET_ID}, "steps": 5},
    ]
    with pytest.raises(SelvageError, match="source"):
        client.train(LABEL_SET_ID, "demo")


def test_progress_yields_changes_and_ends(client: Selvage, service: FakeService) -> None:
    running = make_job("running", 1)
    service.job_states = [make_job("queued"), running, running, make_job("succeeded", 4)]
    seen = [(job.status, job.counts.succeeded) for job in client.progress(JOB_ID)]
    assert seen == [("queued", 0), ("running", 1), ("succeeded", 4)]
    assert len(service.requests) == 4


def test_wait_returns_the_end_whatever_it_is(client: Selvage, service: FakeService) -> None:
    service.job_states = [make_job("running", 1), make_job("failed", 1)]
    assert client.wait(JOB_ID, timeout_seconds=5).status == "failed"


def test_wait_gives_up_in_time(client: Selvage, service: FakeService) -> None:
    service.job_states = [make_job("running", 1)]
    with pytest.raises(WaitTimeout) as caught:
        client.wait(JOB_ID, timeout_seconds=0.0)
    assert caught.value.job.counts.succeeded == 1


def test_download_writes_the_folder_and_goes_on_where_it_stopped(
    client: Selvage, service: FakeService, tmp_path: Path
) -> None:
    service.lines = [make_label_line(f"{n}.png", f"lab_{n}") for n in range(5)]
    counted: list[tuple[int, int]] = []
    report = client.download(JOB_ID, tmp_path, on_file=lambda *count: counted.append(count))
    assert (report.labels, report.fetched_files, report.kept_files) == (5, 10, 0)
    assert counted == [(n, 10) for n in range(1, 11)]
    path = tmp_path / "confidence" / "3.png"
    assert path.read_bytes() == b"png of /v1/labels/lab_3/artifacts/confidence.png"
    path.unlink()
    before = len(service.requests)
    report = client.download(JOB_ID, tmp_path)
    assert (report.fetched_files, report.kept_files) == (1, 9)
    assert len(service.requests) - before == 2  # the results, and the missing file


def test_a_download_that_fails_can_be_called_again(tmp_path: Path) -> None:
    service = FakeService(lines=[make_label_line(f"{n}.png", f"lab_{n}") for n in range(20)])
    broken = True

    def sometimes(request: httpx.Request) -> httpx.Response:
        if broken and "lab_7/artifacts/label" in request.url.path:
            return httpx.Response(500)
        return service.handle(request)

    with Selvage("http://fake", retries=QUICK, transport=httpx.MockTransport(sometimes)) as client:
        with pytest.raises(SelvageError, match="HTTP 500"):
            client.download(JOB_ID, tmp_path)
        broken = False
        report = client.download(JOB_ID, tmp_path)
    assert report.fetched_files + report.kept_files == 40
    assert len(list(tmp_path.glob("*/*.png"))) == 40
    assert not list(tmp_path.glob("*/.*"))


def test_over_a_real_connection(tmp_path: Path) -> None:
    for n in range(40):
        (tmp_path / f"{n:02}.png").write_bytes(bytes([n]) * 50_000)
    service = FakeService(faults=[RuntimeError("the server dies on the first request")])
    sent: list[int] = []
    with served(service) as url, Selvage(url, retries=QUICK) as client:
        created = client.pseudo_labels(
            tmp_path, model="demo", on_bytes=lambda done, _: sent.append(done)
        )
        assert client.wait(JOB_ID).status == "succeeded"
    assert created.image_set.counts.accepted == 40
    files = service.uploads[0]["files"]
    assert files[7] == ("07.png", b"\x07" * 50_000)
    keys = [r.headers.get("idempotency-key") for r in service.requests[:2]]
    assert keys[0] == keys[1]
    assert sent[-1] > 40 * 50_000
