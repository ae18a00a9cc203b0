from io import StringIO

from rich.console import Console

from benchmarks.scale import fit


def test_the_fit_reads_no_more_than_its_bound() -> None:
    """2,000 images: memory is that of the sample, not of the parts."""
    found = fit.measure(2000, 100, 1, Console(file=StringIO()))
    assert found["regions"] == 200_000
    assert found["vectors"] <= found["most_vectors"]
    assert found["peak_bytes"] < 2 << 30
