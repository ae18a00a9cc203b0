"""The coarse maps that a prediction carries for the stages of regions."""

import numpy as np
import numpy.testing as npt
import pytest
import torch

from models.config import PredictConfig
from models.ontology import Ontology
from models.prediction import Predictor
from models.prediction_detail import CELL_PX, PredictionDetail, cell_sums
from models.segmentation.base import SegmentationOutput


class BrightnessModel:
    """Two classes, dark and bright; its features at stride 4 are the mean colours of cells."""

    ontology = Ontology.from_names("two", ["dark", "bright"])
    device = torch.device("cpu")
    has_batch_statistics = False

    def __init__(self, features: bool = True) -> None:
        self._features = features

    def forward(self, images: torch.Tensor) -> SegmentationOutput:
        grey = images.mean(1, keepdim=True)
        logits = torch.cat([torch.zeros_like(grey), 8 * (grey - 0.5)], dim=1)
        features = torch.nn.functional.avg_pool2d(images, 4) if self._features else None
        return SegmentationOutput(logits, features)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cell_means(values: np.ndarray) -> np.ndarray:
    """Brute force: (K, H, W) to the means of its 4 x 4 cells, cut ones included."""
    k, height, width = values.shape
    out = np.zeros((k, -(-height // 4), -(-width // 4)))
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            out[:, y, x] = values[:, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean((1, 2))
    return out


def detail_of(model: BrightnessModel, image: np.ndarray, config: PredictConfig) -> PredictionDetail:
    detail = next(Predictor(model, config, with_detail=True).predict([image]))[1].detail
    assert detail is not None
    return detail


def test_no_detail_unless_asked_for():
    predictor = Predictor(BrightnessModel(), PredictConfig())
    assert next(predictor.predict([picture(8, 8)]))[1].detail is None


@pytest.mark.parametrize("window_px", [1024, 32])
@pytest.mark.parametrize("size_hw", [(48, 64), (45, 51)])
def test_probabilities_are_means_over_cells(window_px: int, size_hw: tuple[int, int]):
    image = picture(*size_hw)
    config = PredictConfig(window_px=window_px)
    detail = detail_of(BrightnessModel(), image, config)
    bright = 1 / (1 + np.exp(-8 * (image.mean(2) / 255 - 0.5)))
    expected = cell_means(np.stack([1 - bright, bright]))
    npt.assert_allclose(detail.probabilities, expected, atol=2e-3)


def test_features_of_one_window_lie_where_they_were_computed():
    image = picture(64, 96)
    detail = detail_of(BrightnessModel(), image, PredictConfig())
    features, covers_hw_px = detail.features, detail.features_cover_hw_px
    assert features is not None
    assert tuple(covers_hw_px) == (64, 96)
    npt.assert_allclose(features, cell_means(image.transpose(2, 0, 1) / 255), atol=2e-3)


def test_features_of_several_windows_lie_at_most_a_cell_beside():
    ramp = np.arange(128)[None] + np.zeros((96, 1))  # brightness tells the column
    image = np.repeat(ramp[..., None], 3, 2).astype(np.uint8)
    detail = detail_of(BrightnessModel(), image, PredictConfig(window_px=64))
    assert detail.features is not None
    cells_h, cells_w = detail.features.shape[1:]
    step_px = detail.features_cover_hw_px[1] / cells_w
    columns = (np.arange(cells_w) + 0.5) * step_px
    expected = np.broadcast_to(columns / 255, (3, cells_h, cells_w))
    npt.assert_allclose(detail.features, expected, atol=(step_px + 1) / 255)


def test_a_model_without_features():
    model = BrightnessModel(features=False)
    detail = next(Predictor(model, PredictConfig(), with_detail=True).predict([picture(9, 9)]))[
        1
    ].detail
    assert detail is not None
    assert detail.features is None
    assert detail.probabilities.shape == (2, 3, 3)


def test_the_detail_counts_as_memory():
    predictor = Predictor(BrightnessModel(), PredictConfig(), with_detail=True)
    prediction = next(predictor.predict([picture(8, 8)]))[1]
    assert prediction.nbytes == 64 + 4 * 64 + 2 * (2 * 4) + 2 * (3 * 4) + 3 * 64


@pytest.mark.parametrize("window_px", [32, 1024])
def test_agreement_of_several_looks_is_there_and_in_cells(window_px):
    image = picture(45, 70)
    config = PredictConfig(flip=True, scales=(1.0, 0.5), window_px=window_px)
    ((_, found),) = Predictor(BrightnessModel(), config, with_detail=True).predict([image])
    assert found.agreement is not None
    assert found.detail is not None
    assert found.detail.agreement is not None
    assert found.detail.probabilities.shape == (2, 12, 18)
    npt.assert_allclose(found.detail.agreement, cell_means(found.agreement[None])[0], atol=1e-3)
    # Looks that agree give the mean of their confidences, others less.
    assert (found.agreement <= found.p_max + 1e-6).all()
    assert 0 < (found.agreement < found.p_max - 1e-3).mean() < 1


@pytest.mark.parametrize("config", [PredictConfig(), PredictConfig(flip=True)])
def test_a_single_look_and_a_prediction_without_detail_have_no_agreement(config):
    with_detail = config.looks == 1
    predictor = Predictor(BrightnessModel(), config, with_detail)
    ((_, found),) = predictor.predict([picture(8, 8)])
    assert found.agreement is None


@pytest.mark.parametrize(("y", "x"), [(0, 0), (3, 6), (5, 4)])
@pytest.mark.parametrize("size_hw", [(1, 1), (7, 10), (8, 5)])
def test_sums_over_the_cells_that_a_rectangle_touches(y, x, size_hw):
    values = torch.rand(2, *size_hw)
    height, width = size_hw
    expected = torch.zeros(2, 6, 6)
    for row in range(height):
        for column in range(width):
            cell = (y + row) // CELL_PX, (x + column) // CELL_PX
            expected[:, cell[0], cell[1]] += values[:, row, column]
    rows = slice(y // CELL_PX, (y + height - 1) // CELL_PX + 1)
    columns = slice(x // CELL_PX, (x + width - 1) // CELL_PX + 1)
    torch.testing.assert_close(cell_sums(values, y, x), expected[:, rows, columns])
