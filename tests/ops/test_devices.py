from pathlib import Path

import pytest

from ops.devices import choose_gpus, visible_gpus

LISTING = """\
GPU 0: NVIDIA H200 (UUID: GPU-1)
  MIG 1g.18gb Device 0: (UUID: MIG-1)
GPU 1: NVIDIA H200 (UUID: GPU-2)
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    (tmp_path / "listing").write_text(LISTING)
    program.write_text(f'#!/bin/sh\nexec cat "{tmp_path}/listing"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_the_driver_lists_the_gpus(nvidia_smi):
    assert visible_gpus() == ["0", "1"]


def test_a_driver_that_fails_has_none(nvidia_smi):
    nvidia_smi.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == []


def test_no_driver_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("", []),
        ("-1", []),
        ("2", ["2"]),
        ("1, 0", ["1", "0"]),
        ("0,-1,1", ["0"]),
        ("GPU-1", ["GPU-1"]),
    ],
)
def test_the_environment_wins(nvidia_smi, monkeypatch, variable, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == expected


@pytest.mark.parametrize(
    ("wanted", "expected"), [("all", ["0", "1"]), ("1", ["1"]), ("1,0", ["1", "0"])]
)
def test_chosen_gpus(nvidia_smi, wanted, expected):
    assert choose_gpus(wanted) == expected


@pytest.mark.parametrize("wanted", ["2", "0,7", ""])
def test_gpus_that_are_not_there_are_refused(nvidia_smi, wanted):
    with pytest.raises(ValueError, match="There is no GPU .*visible: 0, 1"):
        choose_gpus(wanted)


def test_all_of_none_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="No GPU is visible"):
        choose_gpus("all")
