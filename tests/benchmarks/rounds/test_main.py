"""The benchmark of rounds from end to end, on the smallest scenes."""

import json

import pytest

import benchmarks.rounds.__main__ as rounds
from benchmarks.rounds.budgets import BUDGETS, Budget
from benchmarks.rounds.rows import ROWS, training_rows
from models.adaptation.config import Recipe
from models.adaptation.registry import TERM_KINDS
from models.config import PipelineConfig

TINY = Budget((8, 4, 3), (48, 64), (32, 48), 4, 6, (32, 48), 4, batch_size=2)


def test_every_row_is_a_valid_recipe_and_pipeline():
    for row in training_rows().values():
        PipelineConfig.from_dict(dict(row.pipeline))
        assert Recipe(terms=row.terms).terms.keys() <= TERM_KINDS.keys()
    assert {"plain", "all", "all-minus-pull", "oracle"} <= set(ROWS)
    assert set(training_rows()["all-minus-rmm"].terms) == {"pull", "prototypes", "connectivity"}


def test_rows_are_run_once_and_the_last_round_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(BUDGETS, "small", TINY)
    arguments = [
        "--scenes", "night", "--rounds", "2", "--rows", "source_bn,plain,oracle",
        "--json-dir", str(tmp_path / "results"), "--cache", str(tmp_path / "cache"),
    ]  # fmt: skip
    rounds.main(arguments)
    results = {path.name: path for path in (tmp_path / "results").iterdir()}
    name = "scenes-night-choose_small_seed0_rounds2_plain.json"
    assert len(results) == 3
    plain = json.loads(results[name].read_text())
    assert len(plain["rounds"]) == 2
    assert 0 <= plain["rounds"][-1]["held_out"]["miou"] <= 1
    assert plain["rounds"][0]["labels"]["coverage"] > 0.5
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 1
    before = results[name].stat().st_mtime_ns
    rounds.main(arguments)
    assert results[name].stat().st_mtime_ns == before
    assert "plain" in capsys.readouterr().out


def test_an_unknown_row_is_refused(capsys):
    with pytest.raises(SystemExit):
        rounds.main(["--scenes", "night", "--rows", "magic"])
    assert "'magic' is no row" in capsys.readouterr().err


@pytest.mark.slow
def test_labels_of_the_whole_path_are_judged_by_what_was_fitted_on_the_source(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(BUDGETS, "small", TINY)
    rounds.main(
        ["--scenes", "night", "--rows", "labels,all", "--json-dir", str(tmp_path / "results"),
         "--cache", str(tmp_path / "cache")]
    )  # fmt: skip
    for row in ("labels", "all"):
        path = tmp_path / "results" / f"scenes-night-choose_small_seed0_rounds1_{row}.json"
        found = json.loads(path.read_text())
        assert "rectify" in found["rounds"][0]["stages"]
        assert "correct" in found["rounds"][0]["stages"]
