import pytest
import torch
from torch import Tensor

from models.adaptation.translation import colour_matched, fourier_mixed, translated


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size_hw", [(16, 24), (15, 21), (16, 21), (33, 16)])
def test_low_amplitudes_are_the_targets_and_all_phases_the_sources(size_hw):
    source, target = drawn(2, 3, *size_hw), drawn(2, 3, *size_hw, seed=1)
    mixed = fourier_mixed(source, target, 0.15)
    half = int(0.15 * min(size_hw))
    spectra = [torch.fft.fft2(x) for x in (source, target, mixed)]
    rows, columns = (torch.fft.fftfreq(n, 1 / n).abs() <= half for n in size_hw)
    low = rows[:, None] & columns
    of_source, of_target, of_mixed = (s.abs() for s in spectra)
    torch.testing.assert_close(of_mixed[..., low], of_target[..., low], rtol=0, atol=1e-9)
    torch.testing.assert_close(of_mixed[..., ~low], of_source[..., ~low], rtol=0, atol=1e-9)
    # Unit complex numbers, since angles near pi and -pi are the same.
    turn = spectra[0] * spectra[2].conj()
    torch.testing.assert_close((turn / turn.abs()).real, torch.ones_like(of_source))


def test_a_whole_spectrum_gives_the_same_without_an_imaginary_rest():
    source, target = drawn(1, 1, 12, 18), drawn(1, 1, 12, 18, seed=1)
    low = (torch.fft.fftfreq(12, 1 / 12).abs() <= 2)[:, None] & (
        torch.fft.fftfreq(18, 1 / 18).abs() <= 2
    )
    s, t = torch.fft.fft2(source), torch.fft.fft2(target)
    whole = torch.fft.ifft2(torch.polar(torch.where(low, t.abs(), s.abs()), s.angle()))
    assert whole.imag.abs().max() < 1e-9
    torch.testing.assert_close(fourier_mixed(source, target, 0.2), whole.real)


def test_no_window_changes_nothing():
    source, target = drawn(1, 3, 9, 8), drawn(1, 3, 9, 8, seed=1)
    assert torch.equal(fourier_mixed(source, target, 0.0), source)
    assert torch.equal(translated(source, target, "identity", 0.1), source)
    with pytest.raises(ValueError, match="window"):
        fourier_mixed(source, target, 0.6)


def test_colour_statistics_are_the_targets():
    source, target = drawn(2, 3, 8, 8), 0.5 * drawn(2, 3, 8, 8, seed=1) + 0.1
    matched = colour_matched(source, target)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(statistic(matched, (2, 3)), statistic(target, (2, 3)))
    flat = torch.full((1, 3, 4, 4), 0.5)
    assert torch.equal(colour_matched(flat, flat), flat)


def test_both_engines_take_turns_and_results_are_images():
    source, target = drawn(4, 3, 16, 16).float(), drawn(4, 3, 16, 16, seed=1).float()
    both = translated(source, target, "both", 0.1)
    for i, engine in enumerate(["fourier", "colour", "fourier", "colour"]):
        assert torch.equal(both[i], translated(source, target, engine, 0.1)[i])
    assert both.min() >= 0
    assert both.max() <= 1
    with pytest.raises(ValueError, match="engine"):
        translated(source, target, "paint", 0.1)
    with pytest.raises(ValueError, match="shape"):
        translated(source, target[..., :8], "colour", 0.1)
