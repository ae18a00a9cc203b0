"""A shell beside a running service with the demo model, for the commands of the pages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ops.embedded import embedded_service

ROOT = Path(__file__).parents[2]


@dataclass
class DemoPlace:
    """A folder, and a service that may reach this machine."""

    folder: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, **variables: str) -> str:
        """Run a script as a reader would; returns what it prints."""
        bash = shutil.which("bash")
        assert bash is not None
        done = subprocess.run(
            [bash, "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def demo_place(folder: Path) -> Iterator[DemoPlace]:
    data_dir = folder / "data"
    add = [sys.executable, "-m", "workers.add_model", "examples/demo_model", "--name", "demo"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}",
        "SELVAGE_DATA_DIR": str(data_dir),
    }
    subprocess.run(add, env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    settings = {
        "SELVAGE_DEVICE": "cpu",
        "SELVAGE_TRAINING_WORKERS": "0",  # no page trains
        "SELVAGE_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
        "SELVAGE_WEBHOOK_ALLOW_NETWORKS": "127.0.0.1/32",
    }
    with embedded_service(data_dir, **settings) as url:
        yield DemoPlace(folder, url, {**environment, "SELVAGE_URL": url})
