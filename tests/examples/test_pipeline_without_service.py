"""The label path in a script: what it writes, and that it needs nothing of the service."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scenes import generate_scene

ROOT = Path(__file__).parents[2]
WATCH = """
import runpy, sys
sys.argv = ["x", "--images", sys.argv[1], "--out", sys.argv[2], "--keep-fraction", "0.4"]
runpy.run_module("examples.pipeline_without_service", run_name="__main__")
found = {name.partition(".")[0] for name in sys.modules}
assert not found & {"service", "domain", "storage", "workers", "sqlalchemy", "fastapi"}, found
"""


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    for seed in (1, 2):
        image = Image.fromarray(generate_scene("night", seed, (64, 96)).image)
        image.save(tmp_path / "night" / f"{seed}.png")
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(tmp_path / "night"), str(tmp_path / "out")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["1", "2"]
    labels = [np.asarray(Image.open(tmp_path / "out" / f"{seed}.png")) for seed in (1, 2)]
    kept = np.mean([label != 255 for label in labels])
    assert 0.3 < kept < 0.6
    for seed, label in zip((1, 2), labels, strict=True):
        confidence = np.asarray(Image.open(tmp_path / "out" / f"{seed}.confidence.png"))
        assert label.shape == confidence.shape == (64, 96)
        assert ((confidence == 0) == (label == 255)).all()
