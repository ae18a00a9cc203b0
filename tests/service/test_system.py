"""GET /v1/system: facts for operators, and nothing that is secret."""

from sqlalchemy import update

from storage.catalog.migrations import SCRIPTS
from storage.catalog.tables import WorkerRow
from storage.catalog.workers import add_worker
from tests.support.api import post_images
from tests.support.images import png_bytes
from tests.support.installation import WORKER_ID, Installation
from tests.support.keys import make_key


class TestSystem:
    def test_what_is_there(self, both_site: Installation) -> None:
        post_images(both_site, {"a.png": png_bytes(1), "b.png": png_bytes(2)})
        both_site.scheduler.turn()
        with both_site.catalog.write() as session:
            add_worker(
                session, "wrk_light", queue="light", host="secret-host", pid=7, device="cpu",
                facts={"cores": 4},
            )  # fmt: skip
            old = update(WorkerRow).where(WorkerRow.id == "wrk_light")
            session.execute(old.values(seen_at=WorkerRow.seen_at - 3600))
        found = both_site.client.get("/v1/system").json()
        kind = both_site.catalog.engine.dialect.name
        assert (found["database"]["kind"], found["store"], found["broker"]) == (kind, "local", "up")
        newest = max((SCRIPTS / "versions").glob("0*.py")).stem
        assert newest.startswith(f"{found['database']['schema_revision']}_")
        assert found["database"]["version"][0].isdigit()
        assert found["version"]
        assert (found["unfinished_jobs"], found["waiting_images"]) == (1, 2)
        assert found["keys"] is False
        queues = {queue.pop("name"): queue for queue in found["queues"]}
        assert sum(queues["label"].values()) >= 1
        assert queues["light"] == {"ready": 0, "sent": 0, "claimed": 0}
        workers = {worker["id"]: worker for worker in found["workers"]}
        assert workers[WORKER_ID]["alive"] is True
        assert workers["wrk_light"]["alive"] is False
        assert workers["wrk_light"]["facts"] == {"cores": 4}

    def test_no_secrets_no_folders_no_hosts(self, both_site: Installation) -> None:
        headers = make_key(both_site.catalog, "read")[1]
        text = both_site.client.get("/v1/system", headers=headers).text
        settings = both_site.settings
        for hidden in (settings.catalog_url, str(settings.data_dir), "://", "127.0.0.1", "here"):
            assert hidden not in text

    def test_the_broker_is_away(self, tiny_site: Installation) -> None:
        tiny_site.queue.ping = lambda: False  # type: ignore[method-assign]
        assert tiny_site.client.get("/v1/system").json()["broker"] == "down"
