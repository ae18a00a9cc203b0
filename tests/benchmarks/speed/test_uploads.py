from pathlib import Path

from PIL import Image
from rich.console import Console

from benchmarks.speed.report import print_result
from benchmarks.speed.uploads import base_jpeg, summary, write_jpegs


def test_jpegs_of_the_wanted_size_that_differ(tmp_path: Path) -> None:
    bases = [base_jpeg(seed, 100_000) for seed in range(2)]
    write_jpegs(bases, tmp_path / "run", 5, run=1, image_bytes=100_000)
    files = sorted((tmp_path / "run").iterdir())
    assert [len(file.read_bytes()) for file in files] == [100_000] * 5
    assert len({file.read_bytes() for file in files}) == 5
    for file in files:
        Image.open(file).load()


def run(rate: float, peak_bytes: int) -> dict[str, float]:
    return {
        "images_per_second": rate,
        "seconds": 1.0,
        "api_cpu_seconds": 1.0,
        "before_bytes": 100,
        "peak_bytes": peak_bytes,
    }


def test_summary() -> None:
    found = summary([run(149, 200), run(150, 300), run(160, 250)], 2000, 100_000)
    assert found["images_per_second"]["median"] == 150
    assert (found["reached"], found["memory_reached"]) == (True, True)
    assert found["growth_bytes"] == 200
    found = summary([run(149, 100 + (64 << 20) + 1)], 2000, 100_000)
    assert (found["reached"], found["memory_reached"]) == (False, False)
    console = Console(record=True, width=120)
    print_result({"uploads": found}, console)
    assert console.export_text().count("MISSED") == 2
