import pytest

from benchmarks.speed.figures import percentile, spread


class TestSpread:
    def test_of_three_runs(self) -> None:
        assert spread([3.0, 1.0, 2.5]) == {
            "median": 2.5,
            "lowest": 1.0,
            "highest": 3.0,
            "runs": [3.0, 1.0, 2.5],
        }

    def test_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no runs"):
            spread([])


class TestPercentile:
    @pytest.mark.parametrize(
        ("share", "expected"), [(0.5, 10), (0.95, 19), (1.0, 20), (0.01, 1), (0.051, 2)]
    )
    def test_of_twenty_values(self, share: float, expected: int) -> None:
        assert percentile(list(range(20, 0, -1)), share) == expected

    def test_of_one_value_is_that_value(self) -> None:
        assert percentile([7.0], 0.95) == 7.0

    @pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
    def test_nonsense_is_refused(self, values: list[float], share: float) -> None:
        with pytest.raises(ValueError, match="percentile"):
            percentile(values, share)
