from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.augmentation import AugmentationConfig, augment, recolour
from benchmarks.training import _batch, schedule, train_segmenter

SETTINGS: dict[str, Any] = {
    "steps": 4,
    "seed": 3,
    "crop_hw": (16, 16),
    "batch_size": 2,
    "augmentation": AugmentationConfig(),
    "progress": False,
    "checkpoint_every_steps": 1,
}
IDENTITY = AugmentationConfig(
    scale_range=(1.0, 1.0),
    flip_probability=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    channel_gain=0.0,
    gamma=0.0,
    grey_probability=0.0,
    blur_probability=0.0,
    noise_sigma=0.0,
)


def tiny_set(count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 24, 20, 3), dtype=np.uint8)
    labels = (images[..., 0] > 127).astype(np.uint8)
    labels[:, :2] = 255
    return list(zip(images, labels, strict=True))


class Interrupted(Exception):
    pass


class BreaksAfter:
    """A data set whose reader dies after a number of reads."""

    def __init__(self, items, reads: int) -> None:
        self.items, self.reads = items, reads

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        if self.reads == 0:
            raise Interrupted
        self.reads -= 1
        return self.items[index]


def test_resumed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path):
    undisturbed = train_segmenter(tiny_set(), 2, checkpoint=None, **SETTINGS)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    with pytest.raises(Interrupted):
        train_segmenter(BreaksAfter(tiny_set(), 5), 2, checkpoint=checkpoint, **SETTINGS)
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    resumed = train_segmenter(tiny_set(), 2, checkpoint=checkpoint, **SETTINGS)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint.pt"]


def test_finished_checkpoint_is_loaded_without_reading_data(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    first = train_segmenter(tiny_set(), 2, checkpoint=checkpoint, **SETTINGS)
    again = train_segmenter(BreaksAfter(tiny_set(), 0), 2, checkpoint=checkpoint, **SETTINGS)
    assert torch.equal(first.classify.weight, again.classify.weight)
    assert not again.training


def test_checkpoint_of_other_settings_is_refused(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    train_segmenter(tiny_set(), 2, checkpoint=checkpoint, **SETTINGS)
    with pytest.raises(ValueError, match="other settings"):
        train_segmenter(tiny_set(), 2, checkpoint=checkpoint, **(SETTINGS | {"seed": 4}))


def test_training_goes_on_from_given_weights(tmp_path):
    first = train_segmenter(tiny_set(), 2, checkpoint=None, **SETTINGS)
    before = first.classify.weight.clone()
    checkpoint = tmp_path / "checkpoint.pt"
    settings = SETTINGS | {"learning_rate": 1e-9, "checkpoint": checkpoint}
    second = train_segmenter(tiny_set(), 2, initial=first, **settings)
    torch.testing.assert_close(second.classify.weight, before, atol=1e-6, rtol=0)
    assert torch.equal(first.classify.weight, before)
    with pytest.raises(ValueError, match="other settings"):
        train_segmenter(tiny_set(), 2, initial=second, **settings)


def test_weighted_class_is_learned_first():
    images = tiny_set()
    shares = []
    for weights in ([1.0, 1.0], [0.01, 1.0]):
        model = train_segmenter(
            images, 2, checkpoint=None, class_weights=weights, **(SETTINGS | {"steps": 12})
        )
        pixels = torch.from_numpy(images[0][0]).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            shares.append(float((model.train()(pixels).logits.argmax(1) == 1).float().mean()))
    assert shares[1] > shares[0]


def test_all_ignored_labels_leave_finite_weights():
    images = [(image, np.full_like(label, 255)) for image, label in tiny_set()]
    model = train_segmenter(images, 2, checkpoint=None, **SETTINGS)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_empty_set_is_refused():
    with pytest.raises(ValueError, match="no images"):
        train_segmenter([], 2, checkpoint=None, **SETTINGS)


def test_augmentation_differs_between_the_images_of_one_batch():
    class Same:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int):
            return tiny_set(1)[0]

    images, _ = _batch(Same(), 0, 0, 4, (16, 16), AugmentationConfig())
    seen = [tuple(np.round(image.mean(dim=(1, 2)).tolist(), 3)) for image in images]
    assert len(set(seen)) == 4


def test_augmentation_of_zero_strength_changes_nothing():
    image, label = tiny_set(1)[0]
    rng = np.random.default_rng(0)
    out_image, out_label = augment(image, label, label.shape, IDENTITY, rng)
    np.testing.assert_array_equal(out_label, label)
    assert np.abs(out_image.astype(int) - image).max() <= 1


def test_crop_beyond_the_image_is_ignored():
    image, label = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    _, out = augment(image, label, (8, 6), IDENTITY, np.random.default_rng(1))
    assert out.shape == (8, 6)
    assert (out == 0).sum() == 16
    assert (out == 255).sum() == 8 * 6 - 16


def test_recolour_keeps_shape_and_type():
    out = recolour(np.full((5, 7, 3), 90, np.uint8), AugmentationConfig(), np.random.default_rng(2))
    assert out.shape == (5, 7, 3)
    assert out.dtype == np.uint8


def test_schedule_warms_up_and_ends_near_zero():
    values = [schedule(step, 100) for step in range(100)]
    assert values[0] == pytest.approx(0.2)
    assert max(values) == pytest.approx(1.0)
    assert values[-1] < 0.001
