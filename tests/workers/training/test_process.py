"""Waiting for the end of the process that trains."""

from pathlib import Path

import pytest

from workers.training.process import TrainerProcess
from workers.training.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def start(run: RunFolder, module: str) -> TrainerProcess:
    lock = run.lock()
    assert lock is not None
    return TrainerProcess(run, module, gpus=[], threads=1, lock=lock)


def test_who_waits_shows_life(run: RunFolder) -> None:
    """A wait may be longer than a worker is allowed to be silent."""
    process = start(run, "http.server")  # takes the folder for a port, and fails after its imports
    signs: list[None] = []
    assert process.wait(60, lambda: signs.append(None)) not in (None, 0)
    assert len(signs) >= 2


def test_a_wait_ends(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path / "sleeper.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(run.path), prepend=":")
    process = start(run, "sleeper")
    assert process.wait(0.2, lambda: None) is None
    process.kill()
    assert process.exit_code() == -9
