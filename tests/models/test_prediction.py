import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from models.config import PredictConfig
from models.errors import ModelOutputInvalid
from models.prediction import Prediction, Predictor, to_tensor
from models.segmentation.base import SegmentationModel, SegmentationOutput
from models.segmentation.sliding_window import WindowGrid
from tests.models.fakes import ConvModel, RedModel


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def predict_one(model: SegmentationModel, config: PredictConfig, image: np.ndarray) -> Prediction:
    ((position, prediction),) = Predictor(model, config).predict([image])
    assert position == 0
    return prediction


def test_a_pointwise_model_in_view():
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 1, 0] = 255
    image[1, 0, 1] = 255
    prediction = predict_one(RedModel(), PredictConfig(), image)
    sure = 1 / (1 + np.exp(-5))
    assert prediction.label.tolist() == [[0, 1], [0, 0]]
    assert prediction.p_max == pytest.approx(np.full((2, 2), sure))
    assert prediction.label.dtype == np.uint8
    assert prediction.p_max.dtype == np.float32


def brute_force_probabilities(
    model: ConvModel, config: PredictConfig, image: np.ndarray
) -> np.ndarray:
    """All windows at full resolution, summed over the whole image in float64."""
    height, width = image.shape[:2]
    grid = WindowGrid.plan((height, width), config.window_px, config.overlap)
    window_h, window_w = grid.window_hw
    total = np.zeros((model.ontology.num_classes, height, width))
    for y in grid.rows.starts:
        for x in grid.columns.starts:
            crop = to_tensor([image[y : y + window_h, x : x + window_w]], model.device)
            p = torch.zeros(1)
            for flipped in (False, True) if config.flip else (False,):
                seen = model.forward(crop.flip(-1) if flipped else crop)
                logits = F.interpolate(
                    seen.logits, size=seen.covers_hw_px, mode="bilinear", align_corners=False
                )[..., :window_h, :window_w]
                p = p + (logits.flip(-1) if flipped else logits).softmax(dim=1)[0].double()
            p = p / (2 if config.flip else 1)
            row_share = grid.rows.weights(grid.rows.starts.index(y)).double()
            column_share = grid.columns.weights(grid.columns.starts.index(x)).double()
            share = row_share[:, None] * column_share
            total[:, y : y + window_h, x : x + window_w] += (p * share).numpy()
    return total


@settings(deadline=None, max_examples=25)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    stride=st.sampled_from([1, 4]),
    flip=st.booleans(),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
    batch_size=st.sampled_from([None, 3]),
)
def test_windows_give_what_the_brute_force_gives(height, width, stride, flip, overlap, batch_size):
    model = ConvModel(stride=stride)
    config = PredictConfig(flip=flip, window_px=32, overlap=overlap, batch_size=batch_size)
    image = picture(height, width, seed=height * 91 + width)
    prediction = predict_one(model, config, image)
    assert max(max(size) for size in model.sizes_hw) <= 32
    expected = brute_force_probabilities(model, config, image)
    assert prediction.p_max == pytest.approx(expected.max(axis=0), abs=1e-5)
    ranked = np.sort(expected, axis=0)
    clear = ranked[-1] - ranked[-2] > 1e-4
    assert (prediction.label == expected.argmax(axis=0))[clear].all()


def test_images_of_one_shape_share_a_batch():
    model = ConvModel()
    pictures = [picture(8, 9), picture(8, 10), picture(8, 9, seed=1), picture(8, 9, seed=2)]
    got = dict(Predictor(model, PredictConfig(batch_size=2)).predict(pictures))
    assert sorted(got) == [0, 1, 2, 3]
    assert list(zip(model.sizes_hw, model.batch_sizes, strict=True)) == [
        ((8, 9), 2),
        ((8, 9), 1),
        ((8, 10), 1),
    ]
    for position, image in enumerate(pictures):
        alone = predict_one(ConvModel(), PredictConfig(), image)
        assert (got[position].label == alone.label).all()


def test_on_a_cpu_bytes_do_not_depend_on_the_other_images():
    model = ConvModel(stride=4)
    pictures = [picture(33, 47, seed=seed) for seed in range(3)]
    together = dict(Predictor(model, PredictConfig()).predict(pictures))
    assert model.batch_sizes == [1, 1, 1]
    for position, image in enumerate(pictures):
        alone = predict_one(model, PredictConfig(), image)
        assert together[position].label.tobytes() == alone.label.tobytes()
        assert together[position].p_max.tobytes() == alone.p_max.tobytes()


def test_of_equal_classes_the_lowest_id_wins():
    class Undecided(RedModel):
        def forward(self, images):
            return SegmentationOutput(torch.zeros(images.shape[0], 2, 1, 1))

    prediction = predict_one(Undecided(), PredictConfig(), picture(3, 3))
    assert (prediction.label == 0).all()
    assert (prediction.p_max == 0.5).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_an_error(bad):
    class Broken(RedModel):
        def forward(self, images):
            return SegmentationOutput(torch.full((1, 2, 1, 1), bad))

    with pytest.raises(ModelOutputInvalid, match="not finite"):
        predict_one(Broken(), PredictConfig(), picture(3, 3))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_other_arrays_are_not_images(image):
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\)"):
        list(Predictor(RedModel(), PredictConfig()).predict([image]))


def test_a_cpu_always_computes_in_float32():
    assert Predictor(RedModel(), PredictConfig(precision="bfloat16")).precision == "float32"
