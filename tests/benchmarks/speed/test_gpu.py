import json

import pytest
import torch
from rich.console import Console

from benchmarks.speed.gpu import PRECISIONS, REGION_MODELS, GpuPlan, gpu_facts, main, print_rows
from benchmarks.speed.gpu import measure as measure_gpu

CPU = torch.device("cpu")


def test_every_stage_is_measured_and_printed():
    plan = GpuPlan(((48, 64),), batches=(1, 2), seconds=0, points_per_side=4)
    allowed = torch.backends.cudnn.allow_tf32
    found = measure_gpu(plan, CPU, Console(quiet=True))
    assert [(row["batch"], row["precision"]) for row in found["predict"]] == [
        (batch, precision) for batch in (1, 2) for precision in PRECISIONS
    ]
    assert [row["mode"] for row in found["rectify"]] == ["exact", "coarse"]
    assert len(found["aggregate"]) == len(REGION_MODELS)
    rows = [row for stage in found.values() for row in stage]
    assert all(row["images_per_second"] > 0 and row["runs"] == 1 for row in rows)
    assert all(row["peak_bytes"] is None for row in rows)
    assert torch.backends.cudnn.allow_tf32 is allowed
    console = Console(record=True, width=120)
    print_rows(found, console)
    assert "nano exact" in console.export_text()


def test_the_result_is_written(tmp_path):
    target = tmp_path / "there" / "gpu.json"
    main(["--device", "cpu", "--seconds", "0", "--size", "40", "48", "--json", str(target)])
    result = json.loads(target.read_text())
    assert result["machine"]["gpu"] is None
    assert result["predict"][0]["size_hw"] == [40, 48]
    assert result["seconds"] > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_is_named():
    facts = gpu_facts(torch.device("cuda"))
    assert facts is not None
    assert facts["memory_bytes"] > 0
