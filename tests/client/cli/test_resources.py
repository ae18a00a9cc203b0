"""The commands about resources, with the real service behind a socket."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from selvage_client.cli import flows
from typer.testing import Result

from tests.client.cli.command import selvage
from tests.support.images import png_bytes, zip_bytes
from tests.support.installation import Installation
from tests.support.keys import make_key
from tests.support.live_server import live_server
from tests.support.tiny_model import write_tiny_bundle

Run = Callable[..., Result]


@pytest.fixture
def silent_log() -> Iterator[None]:
    """Keep the service's log out of what the command prints: both are in this process."""
    before = structlog.get_config()
    with open(os.devnull, "w") as nowhere:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(nowhere))
        yield
        structlog.configure(**before)


@pytest.fixture
def run(sqlite_site: Installation, silent_log: None) -> Iterator[Run]:
    """Run a command against the service; it has to end well."""
    with live_server(sqlite_site) as live:

        def command(*arguments: object, code: int = 0, stdin: str | None = None) -> Result:
            result = selvage(*arguments, "--url", live.url, stdin=stdin)
            assert result.exit_code == code, result.output
            return result

        yield command


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "night"
    folder.mkdir()
    for n in range(2):
        (folder / f"{n}.png").write_bytes(png_bytes(n))
    return folder


def test_jobs_are_submitted_found_refined_and_deleted(
    run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    plain = tmp_path / "plain.json"
    plain.write_text('{"select": null}')
    assert run("pipelines", "create", "plain", plain).stdout == "plain@1\n"
    job = run(
        "submit", image_folder, "-m", "tiny", "--pipeline", "plain", "--deadline-at", "2h"
    ).stdout.strip()
    later = run("submit", image_folder, "-m", "tiny", "--schedule-at", "2099-01-01", code=1)
    assert "schedule_at is more than" in later.stderr
    sqlite_site.settle()
    shown = run("status", job).stdout
    for text in ("succeeded", "plain@1", "deadline"):
        assert text in shown
    events = [json.loads(line) for line in run("jobs", "events", job).stdout.splitlines()]
    assert [event["type"] for event in events] == ["job.snapshot", "job.done"]
    refined = run("refine", job, "--pipeline", "plain", "--priority", 3).stdout.strip()
    sqlite_site.settle()
    assert f"refined from {job}" in " ".join(run("status", refined).stdout.split())
    found = run("jobs", "list", "--filter", "type=refine", "--json").stdout
    assert [one["id"] for one in json.loads(found)] == [refined]
    assert "No job meets" in run("jobs", "list", "--filter", "status=failed").stdout
    assert "is deleted" in run("delete", refined, job).stdout
    assert "No job yet" in run("status").stdout


def test_strict_submits_nothing(
    run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    (image_folder / "bad.png").write_bytes(b"no image")
    result = run("submit", image_folder, "-m", "tiny", "--strict", code=1)
    assert "bad.png" in result.stderr
    assert "No image set yet" in run("image-sets", "list").stdout


def test_image_sets(
    run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path
) -> None:
    (image_folder / "bad.png").write_bytes(b"no image")
    image_set = run("image-sets", "create", image_folder, "--name", "[night]").stdout.strip()
    assert "[night]" in run("image-sets", "list").stdout
    shown = run("image-sets", "show", image_set)
    assert "2 and 0 duplicates of 3 files" in shown.stdout
    assert "bad.png" in shown.stderr
    archive = image_folder.with_suffix(".zip")
    archive.write_bytes(zip_bytes({"a.png": png_bytes(7)}))
    second = run("image-sets", "create-from", "upload", archive).stdout.strip()
    sqlite_site.settle()
    document = json.loads(run("image-sets", "show", second, "--json").stdout)
    assert document["counts"]["accepted"] == 1
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    job = json.loads(run("submit", second, "-m", "tiny", "--json").stdout)
    assert (job["type"], job["image_set"]) == ("generate", second)
    sqlite_site.settle()
    urls = run("image-sets", "create-from", "urls", "https://data.invalid/a.png", "--json").stdout
    assert json.loads(urls)["job"]["type"] == "ingest"
    assert "lab" in run("image-sets", "create-from", "s3-prefix", "lab", code=1).stderr
    run("image-sets", "delete", second, "--force")
    run("image-sets", "show", second, code=1)


def test_uploads(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "night.zip"
    file.write_bytes(zip_bytes({"a.png": png_bytes(1)}))
    sent = run("uploads", "send", file).stdout.strip()
    assert run("upload", file, "--resume", sent).stdout.strip() == sent
    assert "complete" in run("uploads", "list").stdout
    assert "1 of 1" in run("uploads", "show", sent).stdout
    file.write_bytes(b"another")
    (tmp_path / "model.bin").write_bytes(b"x")
    assert "is not the file" in run("uploads", "send", file, "--resume", sent, code=1).stderr
    assert "pickle" in run("models", "upload", tmp_path, "--name", "y", code=1).stderr
    again = run("models", "upload", sent, "--name", "street", "--json").stdout
    assert json.loads(again)["model"] == "street:1"
    other = run("uploads", "send", file).stdout.strip()
    run("uploads", "delete", other)
    assert "There is no file" in run("models", "upload", "x", "--name", "y", code=1).stderr


def test_schedules(run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    job = run("submit", image_folder, "-m", "tiny").stdout.strip()
    sqlite_site.settle()
    made = run("schedules", "create", "[nightly]", "--cron", "30 2 * * *", "--refine", job)
    schedule = made.stdout.strip()
    assert "Due next" in made.stderr
    assert "is paused" in run("schedules", "pause", schedule).stdout
    assert "paused" in run("schedules", "list").stdout
    assert "due next" in run("schedules", "resume", schedule).stdout
    started = run("schedules", "run", schedule).stdout.strip()
    shown = run("schedules", "show", schedule).stdout
    for text in ("[nightly]", "fired", started):
        assert text in shown
    both = run("schedules", "create", "x", "--cron", "30 2 * * *", code=1)
    assert "either --job FILE or --refine JOB" in both.stderr
    run("delete", schedule)
    assert "No schedule yet" in run("schedules", "list").stdout


class TestConnections:
    def test_a_secret_comes_from_a_variable_or_stdin(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LAB_SECRET", "hush-hush")
        s3 = ["connections", "create", "s3", "lab", "--bucket", "lab-bucket"]
        made = run(*s3, "--access-key-id", "reader", "--secret-env", "LAB_SECRET")
        assert "selvage connections test lab" in made.stdout
        http = ["connections", "create", "http", "web", "--base-url", "https://data.invalid/"]
        run(*http, "--bearer", "--secret-stdin", stdin="hush-hush\n")
        listed = run("connections", "list").stdout
        assert "bearer_token" in listed
        assert "secret_access_key" in run("connections", "show", "lab").stdout
        failed = run("connections", "test", "web", "--key", "a.png", code=1)
        assert "failed" in failed.stdout
        for result in (made, failed):
            assert "hush" not in result.output
        run("connections", "delete", "lab")
        assert "lab-bucket" not in run("connections", "list").stdout

    @pytest.mark.parametrize(
        ("options", "text"),
        [([], "--secret-stdin"), (["--secret-env", "NOT_SET"], "NOT_SET is empty")],
    )
    def test_without_a_secret_nothing_is_made(
        self, run: Run, options: list[str], text: str
    ) -> None:
        http = ["connections", "create", "http", "web", "--base-url", "https://data.invalid/"]
        assert text in run(*http, "--username", "me", *options, code=1).stderr
        assert "No connection yet" in run("connections", "list").stdout


def test_pipelines(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "night.json"
    file.write_text('{"select": null}')
    run("pipelines", "create", "night", file, "--description", "argmax")
    run("pipelines", "create", "night", "-", stdin='{"seed": 3}')
    assert "night@2" in run("pipelines", "list").stdout
    assert json.loads(run("pipelines", "show", "night@1").stdout)["select"] is None
    assert json.loads(run("pipelines", "show", "night", "--json").stdout)["version"] == 2
    file.write_text('{"selekt": 1}')
    assert "/selekt" in run("pipelines", "create", "night", file, code=1).stderr


def test_models_are_uploaded_promoted_and_deleted(
    run: Run, sqlite_site: Installation, tmp_path: Path
) -> None:
    write_tiny_bundle(tmp_path / "tiny")
    job = run("models", "upload", tmp_path / "tiny", "--name", "street").stdout.strip()
    sqlite_site.settle()
    assert "succeeded" in run("status", job).stdout
    assert "version 1" in run("models", "promote", "street:1").stdout
    assert "Say which version" in run("delete", "street", code=1).stderr
    run("delete", "street:1", "--force")
    run("models", "promote", "street:1", code=1)


def test_submit_in_parts_waits_for_the_images(
    run: Run,
    sqlite_site: Installation,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    watch = flows.watch_job

    def settled(client: object, job_id: str) -> object:
        sqlite_site.settle()
        return watch(client, job_id)  # type: ignore[arg-type]

    monkeypatch.setattr(flows, "watch_job", settled)
    result = run("submit", image_folder, "-m", "tiny", "--upload", "--wait")
    assert "2 images accepted" in result.stderr
    assert "succeeded" in result.stdout


def test_the_service_and_the_key(
    run: Run, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, headers = make_key(sqlite_site.catalog, "read", name="robot")
    key = headers["Authorization"].removeprefix("Bearer ")
    assert "key" in run("quota", code=1).stderr
    assert "robot" in run("quota", "--api-key", key).stdout
    monkeypatch.setenv("SELVAGE_API_KEY", key)
    assert "robot" in run("quota").stdout
    assert "sqlite" in run("system").stdout
    assert key not in run("quota", "--help").output
    monkeypatch.setenv("SELVAGE_API_KEY", "sv_\u00fc\nx")
    refused = run("quota", code=1)
    assert "characters that no key has" in refused.stderr
    assert "sv_\u00fc" not in refused.output


def test_label_sets_are_frozen_shown_and_deleted(
    run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    job = run("submit", image_folder, "-m", "tiny").stdout.strip()
    sqlite_site.settle()
    assert "No label set yet" in run("label-sets", "list").stdout
    made = run("label-sets", "create", job, "--max-images", 1, "--balance", "--name", "a").stdout
    made = made.strip()
    shown = run("label-sets", "show", made).stdout
    for text in ("1, 0 of them labelled by people", job, "kept pixels"):
        assert text in shown
    assert json.loads(run("label-sets", "show", made, "--json").stdout)["images"] == 1
    assert made in run("label-sets", "list").stdout
    chosen = tmp_path / "selection.json"
    chosen.write_text('{"min_quality": 1.0}')
    refused = run("label-sets", "create", job, "--selection", chosen, code=1)
    assert "No label of these jobs meets" in refused.stderr
    both = run("label-sets", "create", job, "--selection", chosen, "--balance", code=1)
    assert "either --selection" in both.stderr
    assert "is deleted" in run("label-sets", "delete", made).stdout
    assert "was deleted" in run("label-sets", "show", made, code=1).stderr


def test_labels_are_reviewed(
    run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    job = run("submit", image_folder, "-m", "tiny").stdout.strip()
    sqlite_site.settle()
    waiting = json.loads(run("review", "list", "--job", job, "--json").stdout)
    first, second = waiting[0]["label"], waiting[1]["label"]
    assert first in run("review", "list", "--by-quality").stdout
    assert "accepted" in run("review", "accept", first, "--note", "fine").stdout
    mask = tmp_path / "mask.png"
    mask.write_bytes(sqlite_site.client.get(f"/v1/labels/{second}/artifacts/label.png").content)
    made = run("review", "correct", second, mask).stdout.strip()
    assert made.startswith("lab_")
    assert made in run("review", "history", second).stdout
    assert "rejected" in run("review", "reject", made).stdout
    left = json.loads(run("review", "list", "--job", job, "--json").stdout)
    assert {first, second}.isdisjoint(item["label"] for item in left)
    both = run("review", "list", "--job", job, "--image-set", "set_x", code=1)
    assert "either --job" in both.stderr


def test_campaigns_are_started_shown_and_stopped(
    run: Run, sqlite_site: Installation, image_folder: Path, tmp_path: Path
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    assert "No campaign yet" in run("campaign", "list").stdout
    target = run("image-sets", "create", image_folder).stdout.strip()
    more = tmp_path / "more.json"
    more.write_text('{"gates": {"min_images": 9}}')
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"batch_size": 2}')
    options = ("-m", "tiny", "--rounds", 2, "--name", "night", "--recipe", recipe)
    started = run("campaign", "start", target, *options, "--more", more).stdout.strip()
    assert "is paused" in run("campaign", "pause", started).stdout
    assert "goes on" in run("campaign", "resume", started).stdout
    sqlite_site.settle()
    watched = run("campaign", "watch", started)
    assert "round 1 of 2" in watched.stderr
    for text in ("halted", "kept_teacher", "min_images: 2 images"):
        assert text in watched.stdout
    document = json.loads(run("campaign", "status", started, "--json").stdout)
    assert document["config"]["recipe"] == {"batch_size": 2}
    other = run("campaign", "start", target, "-m", "tiny", "--black-box").stdout.strip()
    assert "is stopping" in run("campaign", "stop", other).stdout
    sqlite_site.settle()
    listed = run("campaign", "list").stdout
    for text in (started, other, "night", "stopped"):
        assert text in listed
    more.write_text('{"target": "x"}')
    twice = run("campaign", "start", target, "-m", "tiny", "--more", more, code=1)
    assert "has 'target'" in twice.stderr
    recipe.write_text('{"batch_sise": 2}')
    wrong = run("campaign", "start", target, "-m", "tiny", "--recipe", recipe, code=1)
    assert "batch_sise" in wrong.stderr
    assert "is deleted" in run("campaign", "delete", other).stdout
