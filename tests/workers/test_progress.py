import json
import os

import pytest

from workers.progress import PROGRESS_FD_VARIABLE, Progress


@pytest.fixture
def pipe() -> tuple[int, int]:
    return os.pipe()


class TestProgress:
    def test_lines_on_the_pipe(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reading, writing = pipe
        monkeypatch.setenv(PROGRESS_FD_VARIABLE, str(writing))
        progress = Progress.from_environment()
        progress.tick("loading")
        progress.tick("working")
        lines = [json.loads(line) for line in os.read(reading, 10_000).splitlines()]
        assert [(x["state"], x["counter"]) for x in lines] == [("loading", 1), ("working", 2)]
        assert (progress.state, progress.counter) == ("working", 2)

    def test_the_pulse_repeats_the_last_line(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.progress.PULSE_SECONDS", 0.001)
        reading, writing = pipe
        progress = Progress(fd=writing)
        progress.tick("idle")
        progress.start_pulse()
        with os.fdopen(reading) as lines:
            said = [json.loads(next(lines)) for _ in range(5)]
        assert said == [{"state": "idle", "counter": 1}] * 5
        progress.fd = None

    def test_a_full_pipe_does_not_stop_the_work(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(PROGRESS_FD_VARIABLE, str(pipe[1]))
        progress = Progress.from_environment()
        for _ in range(5000):
            progress.tick("working")
        assert progress.counter == 5000

    def test_a_parent_that_is_gone(self, pipe: tuple[int, int]) -> None:
        reading, writing = pipe
        os.close(reading)
        progress = Progress(fd=writing)
        progress.tick("working")
        progress.tick("working")
        assert (progress.fd, progress.counter) == (None, 2)

    def test_without_a_parent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(PROGRESS_FD_VARIABLE, raising=False)
        progress = Progress.from_environment()
        progress.tick("idle")
        assert (progress.state, progress.counter) == ("idle", 1)
