import pytest
import torch

from benchmarks.speed import aggregation
from benchmarks.speed.aggregation import AggregationPlan, peak_memory, time_all
from benchmarks.speed.report import print_result
from tests.models.promptable.tiny import tiny_model


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch):
    monkeypatch.setattr(aggregation, "_region_model", lambda: (tiny_model(1), "random"))


def test_ours_and_the_package_find_the_same():
    result = time_all(AggregationPlan((96, 128), 6, 1), torch.get_num_threads())
    assert result["points"] == 36
    assert result["components"] > 0
    assert result["proposals"]["exact"] == result["proposals"]["package"] > 0
    assert result["label_miou"]["exact"] == pytest.approx(result["label_miou"]["package"], abs=1e-3)
    assert set(result["ratio"]) == {"exact_to_floor", "package_to_fast"}


def test_a_table_shows_figures_and_goals(capsys):
    from rich.console import Console

    threads = torch.get_num_threads()
    result = time_all(AggregationPlan((96, 128), 4, 1), threads)
    result["memory"] = peak_memory((96, 128), 4, threads)
    assert result["memory"]["proposals"] > 0
    print_result({"aggregation": result}, Console(width=200))
    printed = capsys.readouterr().out
    for words in ("16 points", "exact to floor", "package to fast", "memory above"):
        assert words in printed
