"""What starts fast and runs in the slim image imports nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "cv2", "transformers", "safetensors", "numpy.testing")
# The promise is 2 s on a quiet machine, which `benchmarks.speed` measures; tests have neighbours.
MOST_SECONDS = 3.0
MOST_RUNS = 6
SCRIPT = """
import json, sys, time
started = time.perf_counter(); cpu = time.process_time()
import {module}
seconds = min(time.perf_counter() - started, time.process_time() - cpu)
print(json.dumps([seconds, sorted(m for m in sys.modules if "." not in m)]))
"""


@pytest.mark.parametrize(
    "module",
    [
        "service.app",
        "workers.scheduler",
        "workers.parent",
        "workers.light_child",
        "workers.training_child",
    ],
)
def test_nothing_heavy(module: str) -> None:
    seconds, modules = imported(module)
    allowed = {"cv2"} if module == "workers.scheduler" else set()  # reads label quality
    assert not (set(HEAVY) & set(modules)) - allowed
    # Other work on the machine only ever adds to the time: the best of a few runs is the import's.
    for _ in range(MOST_RUNS - 1):
        if seconds <= MOST_SECONDS:
            break
        seconds = min(seconds, imported(module)[0])
    assert seconds <= MOST_SECONDS


def imported(module: str) -> tuple[float, list[str]]:
    """Seconds of importing a module in a process of its own, and what is loaded by it."""
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module)],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    seconds, modules = json.loads(output)
    return seconds, modules
