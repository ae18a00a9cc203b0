"""Runs the block of a page that fits a part of a model, as a reader would."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from selvage_client import Selvage

from ops.embedded import embedded_service
from tests.support.images import png_bytes
from tests.support.tiny_model import TINY_ONTOLOGY, write_tiny_bundle

ROOT = Path(__file__).parents[2]
SIZE_HW = (48, 64)


def write_source(folder: Path) -> None:
    """Images and labels of blocks, as a reader of the page has them."""
    (folder / "day").mkdir()
    (folder / "day-labels").mkdir()
    for seed in range(10):
        (folder / "day" / f"{seed}.png").write_bytes(png_bytes(seed, *SIZE_HW))
        blocks = np.random.default_rng(seed).integers(0, 3, (4, 4))
        label = np.kron(blocks, np.ones((12, 16), int)).astype(np.uint8)
        Image.fromarray(label).save(folder / "day-labels" / f"{seed}.png")
    classes = [{"id": c.id, "name": c.name} for c in TINY_ONTOLOGY.classes]
    (folder / "day-labels" / "classes.json").write_text(json.dumps({"classes": classes}))


def facts_after(page: str, folder: Path) -> dict[str, Any]:
    """Run the one block of a page in an empty folder; returns the facts of the version it made."""
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    data_dir = folder / "data"
    write_source(folder)
    write_tiny_bundle(folder / "model", seed=1)
    environment = {**os.environ, "SELVAGE_DATA_DIR": str(data_dir)}
    add = [sys.executable, "-m", "workers.add_model", str(folder / "model"), "--name", "demo"]
    subprocess.run(add, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    bash = shutil.which("bash")
    assert bash is not None
    with embedded_service(data_dir, SELVAGE_DEVICE="cpu", SELVAGE_TRAINING_WORKERS="0") as url:
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SELVAGE_URL": url,
        }
        done = subprocess.run(
            [bash, "-euo", "pipefail", "-c", block],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        with Selvage(url) as client:
            assert client.model("demo").current_version == 2
            return dict(client.version("demo", 2).facts)
