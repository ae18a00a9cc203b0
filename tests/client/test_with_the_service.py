"""The client against the real service: keys, resources, uploads in parts, events, deletion."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from selvage_client import AsyncSelvage, RetryPolicy, Selvage, SelvageError
from selvage_client.errors import InvalidInput

from api_schemas.problems import Forbidden
from domain.leases import Commit, commit
from tests.client.fake_service import problem_response
from tests.client.in_process import URL, ask, connect
from tests.support.images import png_bytes, zip_bytes
from tests.support.installation import Installation
from tests.support.keys import make_key
from tests.support.live_server import live_server
from tests.support.rows import LEASE_SECONDS, add_job, claim_items, failure, success
from tests.support.tiny_model import write_tiny_bundle

QUICK = RetryPolicy(3, 3, 0.0, 0.0)
MIB = 1 << 20


@pytest.fixture
def client(sqlite_site: Installation) -> Selvage:
    return connect(sqlite_site)


def key_of(site: Installation, *scopes: str) -> str:
    _, headers = make_key(site.catalog, *scopes)
    return headers["Authorization"].removeprefix("Bearer ")


class TestKeys:
    def test_a_key_opens_what_its_scopes_reach(self, sqlite_site: Installation) -> None:
        admin = connect(sqlite_site, key_of(sqlite_site, "admin"))
        made = admin.keys.create("robot", ["read"], expires_at=timedelta(days=1), quota={"jobs": 3})
        assert made.key is not None
        assert made.expires_at is not None
        assert made.expires_at > datetime.now(UTC) + timedelta(hours=23)
        with pytest.raises(SelvageError) as caught:
            list(connect(sqlite_site).jobs())
        assert caught.value.code == "unauthenticated"
        robot = connect(sqlite_site, made.key)
        assert list(robot.jobs()) == []
        assert robot.quota().limits.jobs == 3
        with pytest.raises(SelvageError, match=r"scope|admin"):
            list(robot.keys.list())
        assert {key.id for key in admin.keys.list()} >= {made.id}
        admin.keys.revoke(made.id)
        assert admin.keys.get(made.id).status == "revoked"
        with pytest.raises(SelvageError):
            robot.quota()

    def test_the_system_is_described(self, client: Selvage) -> None:
        assert client.system().database.kind == "sqlite"


class TestResources:
    def test_pipelines(self, client: Selvage, sqlite_site: Installation, tmp_path: Path) -> None:
        client.pipelines.create("night", {"select": None}, description="argmax")
        second = client.pipelines.create("night", {"select": None, "seed": 1})
        assert second.reference == "night@2"
        assert client.pipelines.get("night").version == 2
        assert client.pipelines.version("night", 1).description == "argmax"
        assert [p.version for p in client.pipelines.versions("night")] == [1, 2]
        assert [p.reference for p in client.pipelines.list()] == ["night@2"]
        sqlite_site.add_tiny_model(tmp_path / "tiny")
        images = [("a.png", png_bytes(1))]
        created = client.pseudo_labels(images, model="tiny", pipeline="night@1")
        assert created.job.pipeline_name == "night@1"
        job = client.generate(created.image_set.id, "tiny", pipeline="night")
        assert job.pipeline_name == "night@2"

    def test_ontologies(self, client: Selvage, sqlite_site: Installation, tmp_path: Path) -> None:
        made = client.ontologies.create("street", ["road", {"name": "sky", "color": (1, 2, 3)}])
        assert client.ontologies.get(made.id) == made
        assert [o.id for o in client.ontologies.list()] == [made.id]
        assert "<View>" in client.ontologies.label_studio_config(made.id)
        assert [label.name for label in client.ontologies.cvat_labels(made.id)][:2] == [
            "road",
            "sky",
        ]
        sqlite_site.add_tiny_model(tmp_path / "tiny")
        assert client.ontologies.of_model("tiny", 1).names == ["road", "sky", "car"]
        assert "road" in client.ontologies.label_studio_config_of_model("tiny", 1)
        assert client.ontologies.cvat_labels_of_model("tiny", 1)

    def test_schedules(self, client: Selvage, sqlite_site: Installation, tmp_path: Path) -> None:
        sqlite_site.add_tiny_model(tmp_path / "tiny")
        images = client.create_image_set([("a.png", png_bytes(1))])
        job = {"type": "generate", "image_set": images.id, "model": "tiny", "pipeline": None}
        made = client.schedules.create(
            "nightly", "30 2 * * *", job, time_zone="Europe/Berlin", overlap="queue"
        )
        assert made.job["model"] == "tiny"
        assert client.schedules.pause(made.id).upcoming == []
        assert len(client.schedules.resume(made.id).upcoming) == 3
        assert client.schedules.change(made.id, name="later", cron="0 4 * * *").name == "later"
        assert client.schedules.run(made.id).schedule == made.id
        assert [s.id for s in client.schedules.list()] == [made.id]
        assert client.schedules.get(made.id).cron == "0 4 * * *"
        assert [job.schedule for job in client.jobs(filter=f"schedule={made.id}")] == [made.id]
        assert [tick.outcome for tick in client.schedules.ticks(made.id)] == ["fired"]
        client.schedules.delete(made.id)
        assert list(client.schedules.list()) == []

    def test_connections_keep_their_secrets(self, client: Selvage) -> None:
        config = {"base_url": "https://data.invalid/"}
        made = client.connections.create(
            "exports", "http", config, secrets={"bearer_token": "hush-hush"}
        )
        assert made.secrets == ["bearer_token"]
        changed = client.connections.change("exports", name="renamed")
        assert changed.secrets == ["bearer_token"]
        assert client.connections.change("renamed", secrets={"bearer_token": None}).secrets == []
        assert not client.connections.test("renamed", "a.png").ok
        assert [c.id for c in client.connections.list()] == [made.id]
        client.connections.delete(made.id)
        with pytest.raises(SelvageError):
            client.connections.get("renamed")


class TestJobs:
    def test_times_policy_refine_formats_lineage_and_deletion(
        self, client: Selvage, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        sqlite_site.add_tiny_model(tmp_path / "tiny")
        created = client.pseudo_labels(
            [("a.png", png_bytes(1))],
            model="tiny",
            pipeline={"select": None},
            deadline_at=timedelta(hours=2),
            schedule_at=datetime.now(UTC) - timedelta(seconds=1),
            failure_policy={"max_failed_fraction": 0.1},
        )
        assert created.job.failure_policy.max_failed_fraction == 0.1
        assert created.job.deadline_at is not None
        sqlite_site.settle()
        job = client.wait(created.job.id, timeout_seconds=30)
        assert job.status == "succeeded"
        refined = client.refine(job.id, pipeline={"select": None, "seed": 3}, priority=5)
        assert (refined.type, refined.refined_from) == ("refine", job.id)
        sqlite_site.settle()
        assert client.wait(refined.id).status == "succeeded"
        by_priority = client.jobs(order_by="priority desc", filter="status=succeeded")
        assert [found.id for found in by_priority] == [refined.id, job.id]

        (item,) = client.items(job.id, filter='external_id="a.png"')
        assert item.label_id is not None
        assert client.label_as(item.label_id, "mask").startswith(b"\x89PNG")
        assert client.label_as(item.label_id, "overlay").startswith(b"\xff\xd8")
        assert json.loads(client.label_as(item.label_id, "coco"))["images"][0]["id"] == 1
        assert job.id in [shown.job for shown in client.lineage(item.label_id).jobs]

        client.delete_job(refined.id)
        client.delete_label(item.label_id, force=True)
        with pytest.raises(SelvageError) as caught:
            client.label(item.label_id)
        assert caught.value.code == "gone"
        with pytest.raises(SelvageError) as caught:
            client.delete_image_set(created.image_set.id)
        assert caught.value.problem.status == 409
        client.delete_image_set(created.image_set.id, force=True)
        assert list(client.image_sets()) == []

    def test_strict_refuses_all_of_it(self, client: Selvage) -> None:
        images = [("a.png", png_bytes(1)), ("b.png", b"no image")]
        with pytest.raises(SelvageError) as caught:
            client.create_image_set(images, handling="strict")
        assert caught.value.code == "files-rejected"
        assert list(client.image_sets()) == []
        assert client.create_image_set(images, handling="lenient").counts.rejected == 1


class TestUploads:
    def test_an_archive_becomes_an_image_set(
        self, client: Selvage, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        archive = tmp_path / "night.zip"
        archive.write_bytes(zip_bytes({f"{n}.png": png_bytes(n) for n in range(3)}))
        counted: list[tuple[int, int]] = []
        upload = client.uploads.send(archive, on_bytes=lambda *both: counted.append(both))
        size_bytes = archive.stat().st_size
        assert (upload.status, counted[-1]) == ("complete", (size_bytes, size_bytes))
        source = {"type": "upload", "upload": upload.id}
        created = client.create_image_set_from(source, name="night")
        sqlite_site.settle()
        assert client.wait(created.job.id).status == "succeeded"
        assert client.image_set(created.image_set.id).counts.accepted == 3
        assert [u.id for u in client.uploads.list("complete")] == [upload.id]

    def test_only_what_is_missing_is_sent_again(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        file = tmp_path / "big.bin"
        file.write_bytes(bytes(range(256)) * (11 * MIB // 256) + b"end")
        sent: list[str] = []
        allowed = 1

        def counting(request: httpx.Request) -> httpx.Response:
            if request.method == "PUT":
                if len(sent) == allowed:
                    return problem_response(Forbidden("The line is cut.").problem())
                sent.append(request.url.path)
            return ask(sqlite_site, request)

        begun: list[str] = []
        with Selvage(URL, retries=QUICK, transport=httpx.MockTransport(counting)) as client:
            with pytest.raises(SelvageError, match="The line is cut"):
                client.uploads.send(
                    file,
                    part_bytes=5 * MIB,
                    parts_at_once=1,
                    on_start=lambda upload: begun.append(upload.id),
                )
            allowed = 99
            upload = client.uploads.send(file, upload_id=begun[0])
            assert upload.status == "complete"
            assert client.uploads.send(file, upload_id=begun[0]).status == "complete"
        assert len(sent) == len(set(sent)) == 3

    def test_another_file_does_not_go_on(self, client: Selvage, tmp_path: Path) -> None:
        first, other = tmp_path / "first", tmp_path / "other"
        first.write_bytes(b"abc")
        other.write_bytes(b"abd")
        announced = client.uploads.create("first", 3, sha256="0" * 64)
        for file in (first, other):
            with pytest.raises(InvalidInput, match="is not the file"):
                client.uploads.send(file, upload_id=announced.id)
        client.uploads.put_part(announced.id, 1, b"abc")
        assert [part.status for part in client.uploads.parts(announced.id)] == ["stored"]
        client.uploads.delete(announced.id)
        assert client.uploads.get(announced.id).status == "aborted"

    def test_parts_go_straight_to_the_store_without_the_key(
        self, s3_site: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "big.zip"
        file.write_bytes(bytes(range(256)) * (11 * MIB // 256))
        key = key_of(s3_site, "write")
        asked: list[httpx.Request] = []
        send = httpx.Client.send

        def spy(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
            asked.append(request)
            return send(self, request, **options)

        monkeypatch.setattr(httpx.Client, "send", spy)
        with live_server(s3_site, redirect_bytes=1) as live, Selvage(live.url, key) as client:
            upload = client.uploads.send(file, part_bytes=5 * MIB)
            assert upload.status == "complete"
            images = client.create_image_set([("b.png", png_bytes(2))])
            (entry,) = client.image_set_images(images.id)
            assert entry.image_digest is not None
            assert client.image(entry.image_digest) == png_bytes(2)  # by way of a 303
            at_service = [r for r in asked if str(r.url).startswith(live.url)]
        # What the service itself asks its store is signed for a minute.
        given_out = [r for r in asked if "X-Amz-Expires=900" in str(r.url)]
        at_store = [r for r in given_out if r not in at_service]
        assert [r.method for r in at_store].count("PUT") == 3
        assert [r.method for r in at_store].count("GET") == 1
        assert all("authorization" not in r.headers for r in at_store)
        assert all(r.headers["authorization"] == f"Bearer {key}" for r in at_service)

    def test_the_same_for_coroutines(self, sqlite_site: Installation, tmp_path: Path) -> None:
        file = tmp_path / "big.bin"
        file.write_bytes(bytes(11 * MIB))

        async def run(url: str) -> None:
            async with AsyncSelvage(url) as client:
                upload = await client.uploads.send(file, part_bytes=5 * MIB)
                assert (upload.status, upload.part_count) == ("complete", 3)
                assert [u.id async for u in client.uploads.list()] == [upload.id]

        with live_server(sqlite_site) as live:
            asyncio.run(run(live.url))


class TestModels:
    def test_a_folder_is_packed_checked_and_deleted(
        self, client: Selvage, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        write_tiny_bundle(tmp_path / "tiny")
        job = client.upload_model(tmp_path / "tiny", "street", promote=True)
        assert job.type == "validate"
        sqlite_site.settle()
        assert client.wait(job.id).status == "succeeded"
        assert client.model("street").current_version == 1
        client.delete_version("street", 1, force=True)
        with pytest.raises(SelvageError):
            client.version("street", 1)

    def test_a_pickle_is_not_even_sent(self, client: Selvage, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.bin").write_bytes(b"x")
        with pytest.raises(InvalidInput, match="selvage models convert"):
            client.upload_model(tmp_path, "street")


Finish = Callable[[str, list[int]], None]


def finish(site: Installation, job_id: str, positions: list[int], bad: int) -> None:
    claimed = claim_items(site.catalog, job_id, positions)
    outcomes = [failure(p) if p == bad else success(site.catalog, job_id, p) for p in positions]
    commit(site.catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)


class TestEvents:
    def test_they_come_while_the_job_runs(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 2)
        with live_server(sqlite_site) as live, Selvage(live.url) as client:
            events = client.events(job_id)
            first = next(events)
            assert (first.type, first.data.id) == ("job.snapshot", job_id)
            finish(sqlite_site, job_id, [0, 1], bad=1)
            rest = list(events)
            seen = {event.type: event.data for event in rest}
            assert seen["item.succeeded"].position == 0
            assert seen["item.failed"].problem.detail
            assert rest[-1].data.status == "partial"
            wanted = client.events(job_id, types=["item.failed"], last_event_id="0")
            assert [event.data.position for event in wanted] == [1]
            assert list(client.events(job_id, last_event_id=rest[-1].id)) == []

    def test_for_coroutines(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        finish(sqlite_site, job_id, [0], bad=9)

        async def run(url: str) -> list[str]:
            async with AsyncSelvage(url) as client:
                assert (await client.wait(job_id)).done
                return [event.type async for event in client.events(job_id)]

        with live_server(sqlite_site) as live:
            assert asyncio.run(run(live.url)) == ["job.snapshot", "job.done"]

    def test_a_wait_is_held_by_the_service(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        asked: list[str] = []

        def counting(request: httpx.Request) -> httpx.Response:
            asked.append(request.headers["prefer"])
            finish(sqlite_site, job_id, [0], bad=9)
            return ask(sqlite_site, request)

        transport = httpx.MockTransport(counting)
        with Selvage(URL, transport=transport) as client:
            assert client.wait(job_id).done
        assert asked == ["wait=20"]


def test_events_of_a_campaign(client: Selvage, sqlite_site: Installation, tmp_path: Path) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    target = client.create_image_set([("a.png", png_bytes(1))])
    campaign = client.campaigns.start("tiny", target.id, setting="source_free")
    client.campaigns.stop(campaign.id)
    sqlite_site.settle()
    snapshot, done = client.campaigns.events(campaign.id)
    assert (snapshot.type, snapshot.data) == (
        "campaign.snapshot",
        client.campaigns.get(campaign.id),
    )
    assert (done.type, done.data.status) == ("campaign.done", "stopped")
    told = list(client.campaigns.events(campaign.id, last_event_id="0", types=["campaign.status"]))
    assert [event.data.status for event in told] == ["running", "stopping", "stopped"]
    assert list(client.campaigns.events(campaign.id, last_event_id=done.id)) == []
