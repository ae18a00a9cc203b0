"""The goals of speed and size, measured for real: minutes, and only on a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("figure", ["latency", "memory", "imports", "uploads"])
def test_goal_is_reached(figure: str, tmp_path: Path) -> None:
    result = tmp_path / "speed.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", "--only", figure, "--json", str(result)],
        cwd=ROOT,
        check=True,
    )
    assert json.loads(result.read_text())[figure]["reached"], result.read_text()
