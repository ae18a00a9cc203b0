"""docs/regions.md: its command works, its tables name the settings that exist and their values."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selvage_client import Selvage

from api_schemas.pipelines import PipelineConfig
from api_schemas.region_stages import AggregateConfig, CorrectConfig, ProposalsConfig
from models.connectivity.variants import VARIANT_SETTINGS
from models.promptable.base import ProposalConfig
from ops.embedded import embedded_service
from tests.support.images import png_bytes
from tests.support.tiny_model import TINY_ONTOLOGY, write_tiny_bundle

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "regions.md").read_text()
SIZE_HW = (48, 64)


def write_source(folder: Path) -> None:
    """Images and labels of blocks, as a reader of the page has them."""
    (folder / "day").mkdir()
    (folder / "day-labels").mkdir()
    for seed in range(6):
        (folder / "day" / f"{seed}.png").write_bytes(png_bytes(seed, *SIZE_HW))
        blocks = np.random.default_rng(seed).integers(0, 3, (4, 4))
        label = np.kron(blocks, np.ones((12, 16), int)).astype(np.uint8)
        Image.fromarray(label).save(folder / "day-labels" / f"{seed}.png")
    classes = [{"id": c.id, "name": c.name} for c in TINY_ONTOLOGY.classes]
    (folder / "day-labels" / "classes.json").write_text(json.dumps({"classes": classes}))


def test_the_command_makes_a_version_with_a_classifier(tmp_path: Path) -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    # Graph regions are quick on small pictures; the command is the same.
    block = block.replace('"aggregate": {}', '"aggregate": {"region_model": "graph"}')
    data_dir = tmp_path / "data"
    write_source(tmp_path)
    write_tiny_bundle(tmp_path / "model", seed=1)
    environment = {**os.environ, "SELVAGE_DATA_DIR": str(data_dir)}
    add = [sys.executable, "-m", "workers.add_model", str(tmp_path / "model"), "--name", "demo"]
    subprocess.run(add, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    bash = shutil.which("bash")
    assert bash is not None
    with embedded_service(data_dir, SELVAGE_DEVICE="cpu") as url:
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SELVAGE_URL": url,
        }
        done = subprocess.run(
            [bash, "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        with Selvage(url) as client:
            assert client.model("demo").current_version == 2
            version = client.version("demo", 2)
    assert version.facts["has_connectivity"] is True


@pytest.mark.parametrize("config", [AggregateConfig, CorrectConfig, ProposalsConfig])
def test_every_setting_is_explained(config: type) -> None:
    for name in config.model_fields:  # type: ignore[attr-defined]
        assert f"`{name}`" in PAGE or f"`proposals.{name}`" in PAGE or name == "proposals", name


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (r"`keep_below` \| ([\d.]+)", CorrectConfig().keep_below),
        (r"`relabel_above` \| ([\d.]+)", CorrectConfig().relabel_above),
        (r"`least_class_regions` \| (\d+), 20", CorrectConfig().least_regions),
        (r"`least_class_regions` \| 2000, (\d+)", CorrectConfig().least_class_regions),
        (r"Ashman's D (\d)", CorrectConfig().least_separation),
        (r"\((\d+) for official SAMs\)", ProposalConfig().points_per_side),
        (r"\(([\d.]+) and 0.95 for official SAMs\)", ProposalConfig().least_iou),
        (r"\(0.88 and ([\d.]+) for official SAMs\)", ProposalConfig().least_stability),
        (r"\| > ([\d.]+) of their confidence", VARIANT_SETTINGS["selvage"].least_share),
        (r"\| > ([\d.]+) of labelled", VARIANT_SETTINGS["public-code"].least_share),
        (r"\| ([\d.]+) of its area", VARIANT_SETTINGS["selvage"].least_coverage),
        (r"area × ([\d.]+) \|", VARIANT_SETTINGS["paper"].box_factor),
        (r"offset of ([\d.]+)", VARIANT_SETTINGS["public-code"].box_factor),
    ],
)
def test_values_are_those_of_the_program(said: str, value: float) -> None:
    found = re.search(said, PAGE)
    assert found is not None
    assert float(found[1]) == value


def test_the_pipelines_of_the_page_are_valid() -> None:
    pipelines = re.findall(r"(\{\"select\": .*?\}\})[`']", PAGE)
    assert len(pipelines) == 2
    for text in pipelines:
        assert PipelineConfig.model_validate_json(text).aggregate is not None
    assert CorrectConfig().mode == re.search(r"`(\w+)` \(default\)", PAGE)[1]  # type: ignore[index]


def test_the_defaults_of_the_api_page_are_those_of_the_program() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    blocks = re.findall(r"```json\n(\{\"aggregate\".*?)```", page, re.DOTALL)
    said = json.loads(blocks[0])
    assert said["aggregate"] == AggregateConfig().model_dump(mode="json")
    assert said["correct"] == CorrectConfig().model_dump(mode="json")
