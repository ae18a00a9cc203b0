"""Readers of other tools, run in an environment of their own (`make venv-interop`).

A reader is a script of `tests/interop/readers`. It gets its arguments from the command line and
prints one JSON document as its last line.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
READERS: Final = REPOSITORY / "tests" / "interop" / "readers"
PYTHON: Final = Path(
    os.environ.get("SELVAGE_INTEROP_PYTHON", REPOSITORY / ".venv-interop" / "bin" / "python")
)
needs_peers = pytest.mark.skipif(
    not PYTHON.exists(), reason="readers of other tools are not installed: make venv-interop"
)


def read_with(reader: str, *arguments: str | Path, timeout_seconds: float = 120) -> Any:
    """Return what a reader says; its whole output is shown when it fails."""
    command = [str(PYTHON), str(READERS / f"{reader}.py"), *map(str, arguments)]
    # The client, with the wire models that its distribution carries, is all that a reader needs.
    ours = os.pathsep.join([str(REPOSITORY / "client"), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": ours}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, f"{reader} failed:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.strip().splitlines()[-1])
