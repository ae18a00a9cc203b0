from io import StringIO

import pytest
from rich.console import Console

from benchmarks.scale import fit


@pytest.mark.parametrize("images", [200, pytest.param(4000, marks=pytest.mark.slow)])
def test_the_fit_reads_no_more_than_its_bound(images: int) -> None:
    """4,000 images have twice as many regions: memory is that of the sample, not of the parts."""
    found = fit.measure(images, 100, 1, Console(file=StringIO()))
    assert found["regions"] == 100 * images
    assert found["vectors"] <= found["most_vectors"]
    assert found["peak_bytes"] < 2 << 30
