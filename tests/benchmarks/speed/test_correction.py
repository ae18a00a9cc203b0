from rich.console import Console

from benchmarks.speed.correction import correct_made_up_regions
from benchmarks.speed.report import print_result


def test_made_up_regions_are_corrected_and_reported():
    result = correct_made_up_regions(images=3, threads=1)
    assert (result["regions"], result["width"]) == (300, 399)
    assert list(result["parts_seconds"]) == ["sample", "fit", "decide"]
    assert sum(result["parts_seconds"].values()) == result["seconds"] > 0
    assert result["decided_by"] == "none"  # 300 regions are too few for a fit of their own
    console = Console(record=True, width=160)
    print_result({"correction": {**result, "goal_seconds": 120.0, "reached": True}}, console)
    assert "300 regions of 399 features corrected" in console.export_text()
