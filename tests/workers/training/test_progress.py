"""What a process says of itself is checked before it is told on."""

import json
from pathlib import Path

import pytest

from workers.training.progress import MAX_NAMES, ProgressTail, parse_line

LINE = {"step": 3, "steps": 9, "losses": {"source": 0.5}, "figures": {}}


def said(**more: object) -> bytes:
    return json.dumps({**LINE, **more}).encode()


def test_a_line() -> None:
    figures = {"rate": 2, "pseudo_iou": {"road": 0.5}}
    assert parse_line(said(figures=figures, images_per_second=4, memory_bytes=None)) == {
        "step": 3,
        "steps": 9,
        "losses": {"source": 0.5},
        "figures": {"rate": 2.0, "pseudo_iou": {"road": 0.5}},
        "images_per_second": 4.0,
        "memory_bytes": None,
    }


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b'"x"', b'{"step": 1}', said(step=True), said(step=-1), said(step=1.5),
     said(steps=2**60), b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_what_is_no_line(line: bytes) -> None:
    assert parse_line(line) is None


def test_numbers_that_no_column_takes() -> None:
    losses = {"a": float("nan"), "b": float("inf"), "c": True, "d": "1", "e": 10**400, "f": 1}
    parsed = parse_line(said(losses=losses, figures={"x": {"y": float("nan")}, "z": [1]}))
    assert parsed is not None
    assert (parsed["losses"], parsed["figures"]) == ({"f": 1.0}, {"x": {}})


def test_names_without_end() -> None:
    parsed = parse_line(said(losses={f"{i}\x00" + "n" * 500: 1.0 for i in range(5000)}))
    assert parsed is not None
    assert len(parsed["losses"]) == MAX_NAMES
    assert all(len(name) <= 128 and "\x00" not in name for name in parsed["losses"])


def test_the_newest_of_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    tail = ProgressTail(path)
    assert tail.newest() is None
    path.write_bytes(said(step=1) + b"\n" + said(step=2) + b"\n" + said(step=3)[:10])
    assert (tail.newest() or {})["step"] == 2
    assert tail.newest() is None
    with path.open("ab") as file:
        file.write(said(step=3)[10:] + b"\njunk\n")
    assert (tail.newest() or {})["step"] == 3


def test_lines_of_an_earlier_process_are_old(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(said(step=1) + b"\n")
    assert ProgressTail(path).newest() is None
    assert (ProgressTail(path, from_start=True).newest() or {})["step"] == 1


def test_a_file_that_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(said(step=8) + b"\n" + said(step=9) + b"\n")
    tail = ProgressTail(path)
    path.write_bytes(said(step=1) + b"\n")
    assert (tail.newest() or {})["step"] == 1


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b"x" * (3 << 20) + b"\n" + said(step=4) + b"\n")
    assert (ProgressTail(path, from_start=True).newest() or {})["step"] == 4
