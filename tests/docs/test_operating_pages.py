"""The commands of the operating pages do what they say, against a real service.

Blocks marked `bash` are run as they stand, page by page, each page with a service of its own;
blocks marked `console` need an engine or a cluster that is not here and are not run.
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
PAGES = ("deploy", "scale", "backup", "upgrade", "keys", "retention")
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


class Place:
    """A folder with a running service that has labelled an image, and a shell in it."""

    def __init__(self, folder: Path, url: str, data_dir: Path) -> None:
        self.folder = folder
        self.url = url
        self.data_dir = data_dir
        self.job_id = ""

    def run(self, script: str) -> str:
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
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def label_an_image(self) -> None:
        (self.folder / "a.jpg").write_bytes(jpeg_bytes(1, 48, 64))
        with Selvage(self.url) as client:
            job = client.pseudo_labels([self.folder / "a.jpg"], model="tiny").job
            assert client.wait(job.id).status == "succeeded"
            self.job_id = job.id


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    data_dir = tmp_path / "data"
    write_tiny_bundle(tmp_path / "model", seed=1)
    subprocess.run(
        [sys.executable, "-m", "workers.add_model", str(tmp_path / "model"), "--name", "tiny"],
        env={**os.environ, "SELVAGE_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with embedded_service(data_dir, SELVAGE_DEVICE="cpu") as url:
        yield Place(tmp_path, url, data_dir)


def blocks_of(page: str) -> list[str]:
    return BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(place: Place, page: str) -> None:
    place.label_an_image()
    blocks = blocks_of(page)
    assert blocks
    # one shell for all blocks of a page: a later one may use what an earlier one has set
    place.run("\n".join(blocks))


def test_what_was_backed_up_can_be_used(place: Place) -> None:
    place.label_an_image()
    place.run("\n".join(blocks_of("backup")))
    with (
        embedded_service(place.folder / "restored", SELVAGE_DEVICE="cpu") as url,
        Selvage(url) as client,
    ):
        assert client.job(place.job_id).status == "succeeded"
        report = client.download(place.job_id, place.folder / "labels")
    assert report is not None
    assert [p.name for p in (place.folder / "labels" / "labels").iterdir()] == ["a.png"]
