"""Waiting for the end of the process that trains."""

from pathlib import Path

import pytest

from workers.training.process import TrainerProcess
from workers.training.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A folder in which programs can be written as modules."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return RunFolder(tmp_path)


def start(run: RunFolder, program: str) -> TrainerProcess:
    (run.path / "trainer_of_this_test.py").write_text(program)
    lock = run.lock()
    assert lock is not None
    return TrainerProcess(run, "trainer_of_this_test", gpus=[], threads=1, lock=lock)


def test_who_waits_shows_life(run: RunFolder) -> None:
    """A wait may be longer than a worker is allowed to be silent."""
    process = start(run, "import time; time.sleep(0.5); raise SystemExit(3)")
    signs: list[None] = []
    assert process.wait(60, lambda: signs.append(None)) == 3
    assert len(signs) >= 2


def test_a_wait_ends(run: RunFolder) -> None:
    process = start(run, "import time; time.sleep(60)")
    assert process.wait(0.2, lambda: None) is None
    process.kill()
    assert process.exit_code() == -9
