"""The loop does the work of the service: the same bytes, with and without a pilot."""

import json
from pathlib import Path

import pytest

from api_schemas.pipelines import PipelineConfig
from benchmarks.speed.bare_loop import label_files
from benchmarks.speed.throughput import ARTEFACTS
from models.segmentation.loading import load_model
from tests.support.images import jpeg_bytes
from tests.support.installation import Installation

STEMS = ("a", "b", "c")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{stem}.jpg" for stem in STEMS]
    for seed, file in enumerate(files):
        file.write_bytes(jpeg_bytes(seed, height_px=40 + seed, width_px=56))
    return files


def through_service(
    site: Installation, images: list[Path], pipeline: dict[str, object]
) -> dict[str, dict[str, bytes]]:
    answer = site.client.post(
        "/v1/pseudo-labels",
        files=[("files", (image.name, image.read_bytes())) for image in images],
        data={"model": "tiny", "pipeline": json.dumps(pipeline)},
    )
    assert answer.status_code == 202, answer.text
    site.settle()
    job = answer.json()["job"]["id"]
    found = {}
    for line in site.client.get(f"/v1/jobs/{job}/results").text.splitlines():
        entry = json.loads(line)
        base = f"/v1/labels/{entry['label_id']}/artifacts"
        found[Path(entry["file_name"]).stem] = {
            name: site.client.get(f"{base}/{name}").content for name in ARTEFACTS
        }
    return found


@pytest.mark.parametrize("keep_predictions", [False, True])
@pytest.mark.parametrize(
    "pipeline", [{}, {"pilot_images": 2, "seed": 5}, {"select": None}], ids=str
)
def test_the_bytes_are_those_of_the_service(
    sqlite_site: Installation,
    images: list[Path],
    tmp_path: Path,
    pipeline: dict[str, object],
    keep_predictions: bool,
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "model")
    expected = through_service(sqlite_site, images, pipeline)
    assert sorted(expected) == list(STEMS)
    out = tmp_path / "out"
    seconds = label_files(
        load_model(tmp_path / "model", "cpu"),
        PipelineConfig.model_validate(pipeline),
        images,
        out,
        keep_predictions=keep_predictions,
    )
    for stem, files in expected.items():
        assert {name: (out / stem / name).read_bytes() for name in ARTEFACTS} == files
    assert seconds["all"] >= seconds["pilot"] + seconds["label"] + seconds["encode"]
