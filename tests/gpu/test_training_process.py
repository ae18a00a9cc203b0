"""The training process, alone and under `torchrun`, on the device that it finds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.normalisation import save_model
from models.segmentation.loading import load_model
from tests.gpu.device import CPU, DEVICE, MARKS, REPOSITORY, demo_model
from tests.gpu.training_toys import RECIPE, source_samples, target_samples

pytestmark = MARKS

STEPS = 4
# As `workers.training.process` starts it.
ALONE = [sys.executable, "-m", "models.adaptation"]
TOGETHER = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"),
    *("-m", "models.adaptation"),
]


def write_run(folder: Path) -> None:
    save_model(demo_model(CPU), folder / "model")
    recipe = RECIPE.to_dict()
    spec = {"version": 1, "setting": "uda", "seed": 0, "steps": STEPS, "threads": 1}
    (folder / "spec.json").write_text(json.dumps({**spec, "recipe": recipe}))
    for name, samples in (("source", source_samples()), ("target", target_samples())):
        (folder / name).mkdir()
        lines = []
        for sample in samples:
            line = {"id": sample.id}
            for part in ("image", "label", "confidence"):
                if hasattr(sample, part):
                    line[part] = f"{sample.id}.{part}.png"
                    Image.fromarray(getattr(sample, part)).save(folder / name / line[part])
            if name == "target":
                line["regions"] = f"{sample.id}.regions.json"
                regions = json.dumps(getattr(sample, "regions"))  # noqa: B009
                (folder / name / line["regions"]).write_text(regions)
            lines.append(line)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name / "manifest.jsonl").write_text(text)


@pytest.mark.parametrize("command", [ALONE, TOGETHER], ids=["alone", "torchrun"])
def test_it_trains_and_leaves_a_model(tmp_path, command):
    write_run(tmp_path)
    hidden = {} if DEVICE.type == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        [*command, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": _path(), "OMP_NUM_THREADS": "1", **hidden},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == STEPS
    print(lines[-1]["images_per_second"], "images/s,", lines[-1]["memory_bytes"], "bytes")
    model = load_model(tmp_path / "result" / "model", str(DEVICE))
    assert model.device.type == DEVICE.type
    with torch.inference_mode():
        logits = model.forward(torch.rand(1, 3, 64, 96).to(DEVICE)).logits
    assert torch.isfinite(logits).all()


def _path() -> str:
    return os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
