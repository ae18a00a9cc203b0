from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam

from benchmarks.region_model.training import TrainingConfig, _average, train_region_model
from tests.benchmarks.region_model.tiny import (
    ARCHITECTURE,
    BreaksAfter,
    Interrupted,
    random_sam,
    tiny_sources,
)

CONFIG = TrainingConfig(steps=4, seed=3, batch_size=2, checkpoint_every_steps=1)


def trained(
    sources: Any,
    config: TrainingConfig = CONFIG,
    checkpoint: Path | None = None,
    initial: dict[str, torch.Tensor] | None = None,
) -> Sam:
    return train_region_model(
        sources, ARCHITECTURE, config, checkpoint, initial=initial, progress=False
    )


def assert_equal(first: Sam, second: Sam) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_resumed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path):
    undisturbed = trained(tiny_sources())
    checkpoint = tmp_path / "run" / "nano.ckpt"
    with pytest.raises(Interrupted):
        trained(BreaksAfter(tiny_sources(), 5), checkpoint=checkpoint)
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    resumed = trained(tiny_sources(), checkpoint=checkpoint)
    assert_equal(undisturbed, resumed)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["nano.ckpt"]
    assert not resumed.training
    # Finished: nothing is read any more.
    assert_equal(resumed, trained(BreaksAfter(tiny_sources(), 0), checkpoint=checkpoint))


@pytest.mark.parametrize("change", [{"seed": 4}, {"steps": 5}])
def test_checkpoint_of_other_settings_is_refused(tmp_path, change):
    checkpoint = tmp_path / "nano.ckpt"
    config = TrainingConfig(steps=1, batch_size=2)
    trained(tiny_sources(), config, checkpoint)
    with pytest.raises(ValueError, match="other settings"):
        trained(tiny_sources(), TrainingConfig(**{**vars(config), **change}), checkpoint)
    with pytest.raises(ValueError, match="other settings"):
        trained(tiny_sources(), config, checkpoint, initial=random_sam().state_dict())


def test_fine_tuning_starts_from_given_weights_and_leaves_them():
    given = random_sam(5)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    config = TrainingConfig(steps=2, batch_size=1, learning_rate=1e-9)
    result = trained(tiny_sources(1), config, initial=given.state_dict())
    for name, value in before.items():
        assert torch.equal(given.state_dict()[name], value)
        torch.testing.assert_close(result.state_dict()[name], value, atol=1e-6, rtol=0)


def test_average_follows_fast_at_first_and_slowly_later():
    sam = random_sam()
    name = "mask_decoder.iou_token.weight"
    old = torch.zeros_like(sam.state_dict()[name])
    for step, share in ((0, 0.9), (90, 0.09), (10**6, 0.002)):
        average = {name: old.clone() for name, old in sam.state_dict().items()}
        average[name] = old.clone()
        _average(average, sam, step)
        torch.testing.assert_close(average[name], share * sam.state_dict()[name])


def test_labels_without_annotation_are_an_error_and_not_an_endless_search():
    image, label, _ = tiny_sources(1)[0]
    empty = [(image, np.full_like(label, 255), None)] * 8
    with pytest.raises(ValueError, match="hardly any segment"):
        trained(empty, TrainingConfig(steps=1))


def test_image_without_segments_gives_way_to_another():
    image, label, _ = tiny_sources(1)[0]
    empty = (image, np.full_like(label, 255), None)
    sam = trained([empty, *tiny_sources(1)], TrainingConfig(steps=2, batch_size=2))
    assert all(torch.isfinite(value).all() for value in sam.state_dict().values())


def test_empty_set_is_refused():
    with pytest.raises(ValueError, match="no images"):
        trained([])
