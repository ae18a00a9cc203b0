from pathlib import Path

from benchmarks.speed.imports import measure


def test_a_module_without_torch() -> None:
    result = measure("json", runs=1)
    assert result["torch_imported"] is False
    assert result["seconds"]["median"] < result["goal_seconds"]
    assert result["reached"] is True


def test_torch_is_seen(tmp_path: Path) -> None:
    # a stand-in, since importing the real one takes seconds
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "heavy.py").write_text("import torch")
    result = measure("heavy", runs=1, path=tmp_path)
    assert result["torch_imported"] is True
    assert result["reached"] is False
