"""How long the API takes to import, and whether it stays free of torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.speed.figures import spread
from ops.processes import environment

GOAL_SECONDS: Final = 2.0
MODULE: Final = "service.app"
RUNS: Final = 5
_PROGRAM: Final = """
import importlib, json, sys, time
sys.path[:0] = sys.argv[2:]
started = time.perf_counter()
importlib.import_module(sys.argv[1])
print(json.dumps([time.perf_counter() - started, "torch" in sys.modules]))
"""


def measure(module: str = MODULE, runs: int = RUNS, path: Path | None = None) -> dict[str, Any]:
    """Import a module in fresh processes; the first run fills the caches and does not count.

    Args:
        module: what is imported.
        runs: how often, beside the first.
        path: a further folder in which it is looked for.
    """
    found = [_import_once(module, path) for _ in range(runs + 1)]
    seconds = spread([seconds for seconds, _ in found[1:]])
    with_torch = any(torch for _, torch in found)
    return {
        "module": module,
        "seconds": seconds,
        "goal_seconds": GOAL_SECONDS,
        "torch_imported": with_torch,
        "reached": seconds["median"] <= GOAL_SECONDS and not with_torch,
    }


def _import_once(module: str, path: Path | None) -> tuple[float, bool]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module, *([str(path)] if path else [])],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    seconds, torch = json.loads(done.stdout)
    return seconds, torch
