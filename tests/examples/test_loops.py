"""The loops with labelling tools, from images to a label set that people stand behind."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from selvage_client import RetryPolicy, Selvage

from examples import cvat_loop, label_studio_loop
from tests.client.in_process import URL, ask
from tests.service.test_label_imports import cvat, label_studio
from tests.support.images import jpeg_bytes
from tests.support.installation import Installation


def working(site: Installation) -> Selvage:
    """A client whose service works between two questions."""

    def handle(request: httpx.Request) -> httpx.Response:
        site.settle()
        return ask(site, request)

    transport = httpx.MockTransport(handle)
    return Selvage(URL, retries=RetryPolicy(3, 3, 0.0, 0.0), transport=transport)


@pytest.mark.parametrize(
    ("loop", "write", "file"),
    [
        (label_studio_loop, label_studio, label_studio_loop.CONFIG_FILE),
        (cvat_loop, cvat, cvat_loop.LABELS_FILE),
    ],
    ids=["label_studio", "cvat"],
)
def test_loop(sqlite_site: Installation, tmp_path: Path, loop: Any, write: Any, file: str) -> None:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    images = tmp_path / "images"
    images.mkdir()
    for number in range(2):
        data = jpeg_bytes(number, height_px=24, width_px=32)
        (images / f"{number}.jpg").write_bytes(data)
    out = tmp_path / "loop"
    with working(sqlite_site) as client:
        told = loop.prepare_loop(client, images, "tiny", out)
        profile = json.loads((out / loop.LOOP_FILE).read_text())["integration"]
        assert told in (profile, f"/integrations/label-studio/{profile}")
        assert "road" in (out / file).read_text()
        mask = np.ones((24, 32), np.uint8)
        export = tmp_path / "export"
        export.write_bytes(write({"0": mask}))
        frozen = client.label_sets.get(loop.finish_loop(client, out, export))
        assert (frozen.images, frozen.reviewed) == (1, 1)
        assert frozen.class_pixels["sky"] == mask.size
