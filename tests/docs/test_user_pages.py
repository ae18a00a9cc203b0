"""The commands of the pages for users do what they say, against a real service and a real store."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from selvage_client import Selvage, verify_webhook

from api_schemas.webhook_signatures import new_secret, sign
from benchmarks.scenes import generate_scene
from tests.docs.service_place import ROOT, DemoPlace, demo_place
from tests.support.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.support.webhook_receiver import receive

BASH = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoPlace]:
    with demo_place(tmp_path_factory.mktemp("pages")) as opened:
        yield opened


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def write_night(folder: Path, count: int = 2) -> None:
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        scene = generate_scene("night", seed, (64, 96))
        Image.fromarray(scene.image).save(folder / f"{seed}.png")


def test_first_job(place: DemoPlace) -> None:
    place.run("\n".join(BASH.findall(page("first-job"))))
    names = sorted(path.name for path in (place.folder / "labels" / "labels").iterdir())
    assert len(names) == 4
    label = np.asarray(Image.open(place.folder / "labels" / "labels" / names[0]))
    assert label.shape == (192, 256)
    assert set(np.unique(label)) <= {*range(10), 255}
    assert len((place.folder / "labels" / "results.jsonl").read_text().splitlines()) == 4
    # what the page says before that is what the fixture has done
    assert "selvage models add examples/demo_model --name demo\n$ selvage up\n" in page("first-job")


def test_the_client_page(place: DemoPlace) -> None:
    write_night(place.folder / "night-drive")
    (block,) = BASH.findall(page("client"))
    assert "'succeeded': 2" in place.run(block)


class TestBucket:
    @pytest.fixture
    def bucket(self, s3_server: S3Server, tmp_path: Path) -> tuple[str, str]:
        """A bucket with two images below street/night/; its address and name."""
        name = s3_server.new_bucket()
        write_night(tmp_path / "night")
        for path in (tmp_path / "night").iterdir():
            key = f"{s3_server.url}/{name}/street/night/{path.name}"
            httpx.put(key, content=path.read_bytes()).raise_for_status()
        return s3_server.url, name

    def test_the_page(self, place: DemoPlace, bucket: tuple[str, str]) -> None:
        out = place.run(
            "\n".join(BASH.findall(page("bucket"))),
            ENDPOINT=bucket[0],
            BUCKET=bucket[1],
            ACCESS_KEY=ACCESS_KEY_ID,
            BUCKET_SECRET=SECRET_ACCESS_KEY,
        )
        assert SECRET_ACCESS_KEY not in out
        with Selvage(place.url) as client:
            job = next(iter(client.jobs()))
            assert (job.type, job.counts.succeeded) == ("generate", 2)

    def test_the_script(self, place: DemoPlace, bucket: tuple[str, str]) -> None:
        url, name = bucket
        (command,) = CONSOLE.findall(page("bucket"))
        script = command.removeprefix("$ ").replace("--bucket lab", f"--bucket {name}")
        said = place.run(
            script.replace("--prefix night/", "--prefix street/night/"),
            AWS_ENDPOINT_URL=url,
            AWS_ACCESS_KEY_ID=ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY=SECRET_ACCESS_KEY,
        )
        assert said == "2 of 2 images have a label below labels/\n"
        keys = re.findall(r"<Key>(labels/.*?)</Key>", httpx.get(f"{url}/{name}").text)
        assert sorted(keys) == [
            "labels/0.confidence.png",
            "labels/0.png",
            "labels/1.confidence.png",
            "labels/1.png",
            "labels/results.jsonl",
        ]
        with Selvage(place.url) as client:
            made = [one.name for one in client.connections.list()]
        assert not [one for one in made if one.startswith("bucket-")]


def test_webhooks(place: DemoPlace) -> None:
    """Every command of the page, with an address that is here."""
    blocks = [block.replace("$ ", "") for block in CONSOLE.findall(page("webhooks"))]
    with receive() as receiver:
        create, ping = blocks[0].strip().splitlines()
        address = "https://ci.example.com/hooks/selvage"
        secret = place.run(create.replace(address, receiver.url)).strip()
        assert "delivered, 200" in place.run(ping)
        (seen,) = receiver.wait(1)
        assert verify_webhook(secret, seen.headers, seen.body).type == "webhook.ping"
        with Selvage(place.url) as client:
            (sent,) = client.webhooks.deliveries("ci")
        told = place.run(blocks[1].replace("dlv_01J9Z3N6V1QG8T2B4C5D6E7F8G", sent.id))
        assert sent.id in told
        assert "is changed" in told
        receiver.wait(2)
        rotated = place.run(blocks[2]).strip()
        assert rotated.startswith("whsec_")
        assert rotated != secret
        place.run("selvage webhooks delete ci")


def test_the_receiver_of_the_webhooks_page(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", page("webhooks"), re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(compile(block, "webhooks.md", "exec"), names)

    secret, body = (
        new_secret(),
        b'{"type":"webhook.ping","timestamp":"2026-11-27T21:00:00Z","data":{}}',
    )
    headers = sign([secret], "msg_1", int(time.time()), body)
    assert names["receive"](secret, headers, body) == 204
    assert names["receive"](secret, headers, body + b" ") == 400
    assert capsys.readouterr().out == "webhook.ping {}\n"
