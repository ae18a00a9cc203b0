"""The service keeps what its OpenAPI document promises, whatever is sent to it.

schemathesis makes requests from the document, good and bad ones, for every operation, and sequences
of them; the service is a real one, with keys.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.embedded import embedded_service
from tests.support.tiny_model import write_tiny_bundle

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and admin key of a service with a model."""
    data_dir = tmp_path / "data"
    environment = {**os.environ, "SELVAGE_DATA_DIR": str(data_dir)}
    write_tiny_bundle(tmp_path / "model", seed=1)

    def run(*command: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", *command],
            env=environment,
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.strip()

    run("workers.add_model", str(tmp_path / "model"), "--name", "demo")
    with embedded_service(
        data_dir,
        SELVAGE_DEVICE="cpu",
        SELVAGE_TRAINING_WORKERS="0",
        SELVAGE_REQUIRE_KEYS="always",
    ) as url:
        yield url, run("ops", "keys", "create", "contract", "--scope", "admin")


@pytest.mark.timeout(900)
def test_generated_requests(service: tuple[str, str], tmp_path: Path) -> None:
    url, key = service
    done = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"{url}/openapi.json",
            f"--header=Authorization: Bearer {key}",
            "--max-examples=3",
            "--request-timeout=30",
            "--seed=1",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert "Tested: " in done.stdout
    log = (tmp_path / "data" / "selvage.log").read_text()
    assert "unexpected error" not in log
    assert "Traceback" not in log
