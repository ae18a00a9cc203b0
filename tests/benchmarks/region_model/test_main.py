import json

import pytest

from benchmarks.region_model import __main__ as command
from models.promptable.folder import load_region_model
from tests.benchmarks.quality.tiny_data import write_data
from tests.benchmarks.region_model.tiny import ARCHITECTURE


def test_commands_from_training_to_the_table(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "NANO", ARCHITECTURE)
    nano, cache = tmp_path / "nano", tmp_path / "cache"
    shared = ["--cache", str(cache), "--seed", "2"]
    command.main(["train", "--steps", "1", "--scenes", "4", "--out", str(nano), *shared])
    first = load_region_model(nano).digest
    command.main(["export", "--out", str(tmp_path / "again"), *shared])
    assert load_region_model(tmp_path / "again").digest == first

    data, tuned = write_data(tmp_path / "data"), tmp_path / "tuned"
    command.main(
        ["fine-tune", "--data", str(data), "--weights", str(nano), "--steps", "1"]
        + ["--out", str(tuned), *shared]
    )
    assert load_region_model(tuned).digest != first

    result = tmp_path / "results" / "nano.json"
    options = ["--count", "1", "--json", str(result)]
    checkpoint = str(cache / "nano-2.ckpt")
    command.main(["score", "--checkpoint", checkpoint, "--style", "fog", *options])
    scored = json.loads(result.read_text())
    assert scored["split"] == "choose"
    assert scored["table"]["all"] == scored["table"]["fog"]
    command.main(["score", "--weights", str(tuned), "--data", str(data), *options])
    assert json.loads(result.read_text())["images"] == 1
    assert "best of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fine-tune"],
        ["score", "--style", "rain"],
        ["score", "--split", "fit"],
        ["score", "--weights", "a", "--checkpoint", "b"],
    ],
)
def test_command_line_that_makes_no_sense_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
