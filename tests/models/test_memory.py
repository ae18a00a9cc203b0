import numpy as np
import pytest
import torch

from models.config import PredictConfig
from models.errors import OutOfMemory, RegionModelOutOfMemory
from models.memory import MemoryPlan, in_parts, is_out_of_memory, or_none_if_out_of_memory
from models.prediction import Predictor
from tests.models.fakes import ConvModel, HungryModel


def images(count: int, side: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def test_the_batch_is_halved_first_then_the_window():
    plan = MemoryPlan(batch_size=6, window_px=1024)
    for expected in [(3, 1024), (1, 1024), (1, 300), (1, 150), (1, 128)]:
        plan = plan.smaller(longest_side_px=600)
        assert (plan.batch_size, plan.window_px) == expected
    with pytest.raises(OutOfMemory, match="window of 128 px"):
        plan.smaller(longest_side_px=600)


def test_an_image_smaller_than_the_smallest_window_cannot_be_tiled():
    with pytest.raises(OutOfMemory, match="window of 90 px"):
        MemoryPlan(1, 1024).smaller(longest_side_px=90)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_the_error_of_this_torch_for_an_allocation_that_is_too_large_is_known():
    assert or_none_if_out_of_memory(lambda: torch.empty(1 << 60)) is None
    assert or_none_if_out_of_memory(lambda: np.empty(1 << 50)) is None


def test_other_errors_pass_through():
    with pytest.raises(ZeroDivisionError):
        or_none_if_out_of_memory(lambda: 1 // 0)


ERRORS = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()]


@pytest.mark.parametrize("error", ERRORS)
def test_a_smaller_batch_gives_the_same_labels_and_is_kept(error):
    config = PredictConfig(batch_size=8)
    pictures = images(5, 40)
    model = HungryModel(2 * 40 * 40, error)
    predictor = Predictor(model, config)
    got = dict(predictor.predict(pictures))
    assert model.batch_sizes == [2, 2, 1]
    for position, expected in Predictor(ConvModel(), config).predict(pictures):
        assert (got[position].label == expected.label).all()
        assert got[position].window_px == 1024
    list(predictor.predict(pictures))
    assert model.batch_sizes == [2, 2, 1] * 2


@pytest.mark.parametrize("error", ERRORS)
def test_a_smaller_window_gives_the_labels_of_that_window_and_is_not_kept(error):
    (large,) = images(1, 300)
    (small,) = images(1, 140)
    model = HungryModel(150 * 150, error)
    predictor = Predictor(model, PredictConfig())
    ((_, got),) = predictor.predict([large])
    ((_, expected),) = Predictor(ConvModel(), PredictConfig(window_px=150)).predict([large])
    assert got.window_px == 150
    assert (got.label == expected.label).all()
    assert (got.p_max == expected.p_max).all()
    ((_, after),) = predictor.predict([small])
    assert after.window_px == 1024


def test_a_model_that_never_fits_ends_in_a_clear_error():
    predictor = Predictor(HungryModel(0, MemoryError()), PredictConfig())
    with pytest.raises(OutOfMemory, match="more memory or a smaller model"):
        list(predictor.predict(images(1, 300)))


@pytest.mark.parametrize("error", ERRORS)
def test_a_part_that_does_not_fit_is_done_again_in_halves(error):
    asked = []

    def step(start: int, stop: int) -> list[int]:
        asked.append((start, stop))
        if stop - start > 3:
            raise error
        return list(range(start, stop))

    assert sum(in_parts(10, 8, step), []) == list(range(10))
    assert asked == [(0, 8), (0, 4), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert list(in_parts(0, 8, step)) == []


def test_a_single_prompt_that_does_not_fit_ends_in_a_clear_error():
    def never(start: int, stop: int) -> int:
        raise MemoryError

    with pytest.raises(RegionModelOutOfMemory, match="smaller region model"):
        list(in_parts(3, 2, never))
