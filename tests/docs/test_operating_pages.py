"""The commands of the operating pages do what they say, against a real service.

Blocks marked `bash` are run as they stand, page by page, each in a folder of its own beside one
service; blocks marked `console` need an engine or a cluster that is not here and are not run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selvage_client import Selvage

from ops.embedded import embedded_service
from tests.support.images import jpeg_bytes
from tests.support.tiny_model import write_tiny_bundle

ROOT = Path(__file__).parents[2]
# After the backup; retention deletes what was labelled, and with the first key all need one.
PAGES = ("scale", "upgrade", "retention", "deploy", "keys")
# What the pages do not use is not started.
ONE_WORKER = {
    "SELVAGE_DEVICE": "cpu",
    "SELVAGE_LIGHT_WORKERS": "0",
    "SELVAGE_TRAINING_WORKERS": "0",
}
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


class Place:
    """A running service that has labelled an image, and a shell beside it."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.url = url
        self.data_dir = data_dir
        self.job_id = ""

    def run(self, script: str, folder: Path) -> str:
        bash = shutil.which("bash")
        assert bash is not None
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SELVAGE_DATA_DIR": str(self.data_dir),
            "SELVAGE_URL": self.url,
        }
        done = subprocess.run(
            [bash, "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def label_an_image(self, folder: Path) -> None:
        (folder / "a.jpg").write_bytes(jpeg_bytes(1, 48, 64))
        with Selvage(self.url) as client:
            job = client.pseudo_labels([folder / "a.jpg"], model="tiny").job
            assert client.wait(job.id).status == "succeeded"
            self.job_id = job.id


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("operating")
    data_dir = folder / "data"
    write_tiny_bundle(folder / "model", seed=1)
    subprocess.run(
        [sys.executable, "-m", "workers.add_model", str(folder / "model"), "--name", "tiny"],
        env={**os.environ, "SELVAGE_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with embedded_service(data_dir, **ONE_WORKER) as url:
        opened = Place(url, data_dir)
        opened.label_an_image(folder)
        yield opened


def blocks_of(page: str) -> list[str]:
    return BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())


def test_what_was_backed_up_can_be_used(place: Place, tmp_path: Path) -> None:
    place.run("\n".join(blocks_of("backup")), tmp_path)
    with (
        embedded_service(tmp_path / "restored", **ONE_WORKER) as url,
        Selvage(url) as client,
    ):
        assert client.job(place.job_id).status == "succeeded"
        report = client.download(place.job_id, tmp_path / "labels")
    assert report is not None
    assert [p.name for p in (tmp_path / "labels" / "labels").iterdir()] == ["a.png"]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(place: Place, page: str, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    assert blocks
    # one shell for all blocks of a page: a later one may use what an earlier one has set
    place.run("\n".join(blocks), tmp_path)
