import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selvage_client.sync_client import Selvage

from api_schemas.image_sets import ImageSetEntry
from api_schemas.jobs import JobItem
from api_schemas.problems import InputProblem, NotFound, StageFailed
from tests.client.cli.command import selvage
from tests.client.fake_service import (
    JOB_ID,
    FakeService,
    make_job,
    make_label_line,
    make_model,
    problem_response,
    served,
)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def url(service: FakeService) -> Iterator[str]:
    with served(service) as address:
        yield address


def test_submit_prints_the_job_alone(service: FakeService, url: str, images: Path) -> None:
    result = selvage("submit", images, "--model", "demo", "--url", url)
    assert (result.exit_code, result.stdout) == (0, f"{JOB_ID}\n")
    assert "2 images accepted" in result.stderr
    assert "no image's: 1 files in" in result.stderr
    assert [name for name, _ in service.uploads[0]["files"]] == ["a.png", "b.png"]


def test_submit_sends_the_pipeline_and_waits(
    service: FakeService, url: str, images: Path, tmp_path: Path
) -> None:
    pipeline = tmp_path / "pipeline.json"
    pipeline.write_text('{"select": null}')
    service.job_states = [make_job("running", 1), make_job("succeeded", 4)]
    result = selvage("submit", images, "-m", "demo", "--url", url, "--wait", "--pipeline", pipeline)
    assert result.exit_code == 0
    assert service.uploads[0]["pipeline"] == [(None, b'{"select": null}')]
    assert "running: 1/4 images, 2.0 images/s, 0:03 left" in result.stderr
    assert "succeeded" in result.stdout


def test_submit_shows_rejected_files(service: FakeService, url: str, images: Path) -> None:
    problem = InputProblem("not-an-image", "This is no image. Send PNG or JPEG.").problem()
    service.rejected = [
        ImageSetEntry(file_name="c.png", external_id="c.png", status="rejected", problem=problem)
    ]
    result = selvage("submit", images, "--model", "demo", "--url", url)
    assert "This is no image. Send PNG or JPEG." in result.stderr
    assert result.stdout == f"{JOB_ID}\n"


def test_submit_as_json_keeps_stdout_clean(url: str, images: Path) -> None:
    result = selvage("submit", images, "--model", "demo", "--url", url, "--json")
    assert json.loads(result.stdout)["job"]["id"] == JOB_ID


def test_status_lists_jobs(service: FakeService, url: str) -> None:
    row = make_job("partial", 3, model="night-model:3").model_dump(mode="json")
    service.pages["/v1/jobs"] = [{"jobs": [row]}]
    result = selvage("status", "--url", url)
    for text in (JOB_ID, "partial", "night-model:3", "3/4"):
        assert text in result.stdout
    assert json.loads(selvage("status", "--url", url, "--json").stdout)[0]["status"] == "partial"


def test_status_reads_only_the_pages_that_it_shows(service: FakeService, url: str) -> None:
    row = make_job().model_dump(mode="json")
    service.pages["/v1/jobs"] = [{"jobs": [row] * 3, "next_page_token": "1"}]
    assert len(json.loads(selvage("status", "--limit", 2, "--url", url, "--json").stdout)) == 2
    assert len(service.requests) == 1


def test_status_of_a_job_tells_why_images_have_no_label(service: FakeService, url: str) -> None:
    service.job_states = [make_job("partial", 3)]
    service.failed_items = [
        JobItem(
            id="itm_1",
            position=0,
            external_id="night/7.png",
            file_name="7.png",
            status="failed",
            attempts=3,
            error=StageFailed("predict failed. Send the image alone.").problem(),
        )
    ]
    result = selvage("status", JOB_ID, "--url", url)
    assert "night/7.png" in result.stdout
    assert "predict failed. Send the image alone." in result.stdout


def test_watch_ends_with_the_job(service: FakeService, url: str) -> None:
    service.job_states = [make_job("running", 2), make_job("succeeded", 4)]
    result = selvage("watch", JOB_ID, "--url", url)
    assert result.exit_code == 0
    assert "succeeded" in result.stdout


def test_watch_of_a_failed_job_exits_with_one(service: FakeService, url: str) -> None:
    error = StageFailed("All images failed.").problem()
    service.job_states = [make_job("failed", 0, error=error)]
    result = selvage("watch", JOB_ID, "--url", url)
    assert result.exit_code == 1
    assert "All images failed." in result.stdout


def test_an_interrupted_watch_says_how_to_go_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Selvage, "progress", interrupted)
    result = selvage("watch", JOB_ID, "--url", url)
    assert result.exit_code == 130
    assert f"selvage watch {JOB_ID} --url {url}" in result.stderr


def test_an_interrupted_upload_ends_quietly(
    url: str, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Selvage, "pseudo_labels", interrupted)
    result = selvage("submit", images, "--model", "demo", "--url", url)
    assert result.exit_code == 130
    assert "Interrupted." in result.stderr


def test_cancel_and_retry(service: FakeService, url: str) -> None:
    assert "is cancelling" in selvage("cancel", JOB_ID, "--url", url).stdout
    assert selvage("retry", JOB_ID, "--url", url).stdout == f"{JOB_ID}\n"
    assert selvage("retry", JOB_ID, "--all", "--url", url).exit_code == 0
    assert [r.content for r in service.requests[1:]] == [b'{"only":"failed"}', b'{"only":"all"}']


def test_download_writes_and_resumes(service: FakeService, url: str, tmp_path: Path) -> None:
    service.lines = [make_label_line("a.png", "lab_1")]
    first = selvage("download", JOB_ID, "--out", tmp_path / "out", "--url", url)
    assert "1 labels in" in first.stdout
    assert "(2 files fetched, 0 were there)" in first.stdout
    again = selvage("download", JOB_ID, "--out", tmp_path / "out", "--url", url)
    assert "(0 files fetched, 2 were there)" in again.stdout


def test_models_are_listed_and_shown(service: FakeService, url: str) -> None:
    service.pages["/v1/models"] = [{"models": [make_model().model_dump(mode="json")]}]
    assert "demo" in selvage("models", "list", "--url", url).stdout
    shown = selvage("models", "show", "demo", "--url", url).stdout
    assert "demo:2" in shown
    assert "0 road" in shown
    assert json.loads(selvage("models", "list", "--url", url, "--json").stdout)[0]["versions"] == 2


def test_errors_are_a_sentence_and_what_to_do(service: FakeService, url: str) -> None:
    service.faults = [
        problem_response(NotFound("No job 'x'. List them: selvage status.").problem())
    ]
    result = selvage("status", "x", "--url", url)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Not found.\nNo job 'x'. List them: selvage status.\n"


def test_a_folder_that_cannot_be_written_is_named(
    service: FakeService, url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    service.lines = [make_label_line("a.png", "lab_1")]
    result = selvage("download", JOB_ID, "--out", tmp_path / "file" / "out", "--url", url)
    assert result.exit_code == 1
    assert "cannot be used: Not a directory." in result.stderr
    assert "Check the path" in result.stderr


def test_an_unknown_error_is_no_traceback_either(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the disk is [full]")

    monkeypatch.setattr(Selvage, "job", broken)
    result = selvage("status", JOB_ID, "--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("the disk is [full]\n")
    assert "Traceback" not in result.output
    monkeypatch.setenv("SELVAGE_DEBUG", "1")
    assert isinstance(selvage("status", JOB_ID, "--url", url).exception, RuntimeError)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--pipeline", "missing.json"], "cannot be read"),
        (["--model", "weights/demo"], "selvage models add weights/demo --name NAME"),
        (["--model", "Demo!"], "write 'name' or 'name:version'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(
    service: FakeService, url: str, images: Path, arguments: list[str], text: str
) -> None:
    result = selvage("submit", images, "--model", "demo", *arguments, "--url", url)
    assert result.exit_code == 1
    assert text in result.stderr
    assert service.requests == []


def test_an_unknown_model_is_found_before_the_upload(
    service: FakeService, url: str, images: Path
) -> None:
    result = selvage("submit", images, "--model", "other:3", "--url", url)
    assert result.exit_code == 1
    assert service.paths == ["GET /v1/models/other"]


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_pipeline_file_is_a_json_object(
    url: str, images: Path, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(content)
    result = selvage("submit", images, "-m", "demo", "--pipeline", path, "--url", url)
    assert result.exit_code == 1
    assert "JSON" in result.stderr


def test_a_service_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> httpx.Response:
        raise httpx.UnsupportedProtocol("not here")

    monkeypatch.setattr(httpx.Client, "send", refused)
    result = selvage("status", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "No service answers at http://127.0.0.1:9" in result.stderr


def test_train_reads_a_recipe(service: FakeService, url: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"batch_size": 2}')
    label_set = "lbs_01J9Z3N6V1QG8T2B4C5D6E7F8G"
    result = selvage("train", label_set, "-m", "demo", "--recipe", recipe, "--url", url)
    assert (result.exit_code, result.stdout) == (0, f"{JOB_ID}\n")
    assert json.loads(service.requests[-1].content) == {
        "type": "train",
        "label_set": label_set,
        "model": "demo",
        "setting": "source_free",
        "recipe": {"batch_size": 2},
        "promote": False,
    }


def test_a_training_is_watched(service: FakeService, url: str) -> None:
    training = {"stage": "training", "step": 12, "steps": 40, "losses": {"a": 0.25, "b": 0.5}}
    service.job_states = [
        make_job("running", type="train", training=training),
        make_job("succeeded", 4),
    ]
    result = selvage("watch", JOB_ID, "--url", url)
    assert "running: step 12/40, loss 0.750" in result.stderr
