"""CARN-M, RFDN and IMDN with their public weights, where these are at hand: measured numbers, and what images say.

What was measured (with the published code, by those who wrote the specification): a white impulse on black in an image
of n x n pixels, N(0) subtracted; kernel = mean over the three output channels; DC = its sum / scale^2; c6 = first of
512 frequencies, in parts of pi / scale, at which the mean of both axes has fallen to half; out = share of energy
outside |row|, |col| <= pi / scale; rho = correlation with the ideal sinc, centred on the input pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio
import torch
from torch import Tensor
from torch.nn import functional

from panloom.analysis.foreign import open_model
from panloom.data.procedural import make

CARN, RFDN, IMDN = "carn_m.pth", "rfdn_aim_x4.pth", "imdn_baseline_x4.pth"
SUBJECTS = [(CARN, 2), (CARN, 3), (CARN, 4), (RFDN, 4), (IMDN, 4)]
EVERY = pytest.mark.parametrize(("file", "scale"), SUBJECTS, ids=lambda value: str(value).removesuffix(".pth"))

BINS = 512


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(shared) -> Path:
    folder = shared / "data" / "sr_weights"
    if not folder.is_dir():
        pytest.skip("no public weights of super-resolution networks beside the checkout")
    return folder


def kernel(net: Callable[[Tensor], Tensor], size: int) -> Tensor:
    """The answer to a white impulse of height 1 on black, less the answer to black, averaged over the channels."""
    black = torch.zeros(1, 3, size, size, dtype=torch.float64)
    white = black.clone()
    white[..., size // 2, size // 2] = 1
    return (net(white) - net(black))[0].mean(0)


def descriptors(found: Tensor, scale: int) -> tuple[float, float, float, float]:
    """DC, c6, out, rho."""
    amplitude = torch.fft.fft2(found, s=(BINS, BINS)).abs()
    axis = (amplitude[0] + amplitude[:, 0])[: BINS // 2] / (2 * amplitude[0, 0])
    fallen = int((axis <= 0.5).nonzero()[0])
    inside = torch.fft.fftfreq(BINS).abs() <= 0.5 / scale
    energy = amplitude.square()
    places = torch.arange(len(found), dtype=torch.float64)
    centre = scale * (len(found) // scale // 2) + (scale - 1) / 2
    ideal = torch.sinc((places - centre) / scale)
    rho = (found * torch.outer(ideal, ideal)).sum() / (found.norm() * ideal.square().sum())
    return (
        float(found.sum()) / scale**2,
        2 * scale * fallen / BINS,
        float(1 - energy[inside][:, inside].sum() / energy.sum()),
        float(rho),
    )


#: File, scale, n: DC, c6, out, rho as measured by those who wrote the specification; None: not measured.
MEASURED = [
    (CARN, 2, 31, (0.748, 1.266, 0.167, 0.910)),
    (CARN, 4, 31, (0.818, 1.281, 0.206, 0.887)),
    (CARN, 2, 11, (0.767, 1.273, None, 0.921)),
    (CARN, 3, 11, (0.863, 1.231, None, 0.919)),
    (CARN, 4, 11, (0.879, 1.266, None, 0.898)),
    (IMDN, 4, 11, (0.813, None, None, None)),
    (RFDN, 4, 31, (2.401, 0.08, 0.228, 0.858)),
]


@pytest.mark.parametrize(("file", "scale", "size", "expected"), MEASURED)
def test_impulse_responses_are_the_measured_ones(weights, file, scale, size, expected):
    """Of the network as it is, fed with 0..1: what RFDN is not made for, and was measured with."""
    net = open_model(weights / file, scale=scale).net.core.double()
    found = descriptors(kernel(net, size), scale)
    for value, wanted, tolerance in zip(found, expected, (6e-4, 3e-3, 1.1e-3, 6e-4), strict=True):
        assert wanted is None or value == pytest.approx(wanted, abs=tolerance)


def test_rfdn_fed_with_0_to_1_answers_black_with_much(weights):
    """The largest |N(0)| that was measured; in the range that it is made for, the answer is black."""
    model = open_model(weights / RFDN)
    black = torch.zeros(1, 3, 31, 31)
    assert float(model.net.core(black).abs().max()) == pytest.approx(1.22, abs=5e-3)
    assert float(model.net(black).abs().max()) < 0.005


def test_rfdn_in_its_own_range_is_a_low_pass_like_the_others(weights):
    """With white at 255 the gain of 2.4 and the cut-off of 0.08 are gone: they were of the wrong range."""
    gain, cutoff, _, rho = descriptors(kernel(open_model(weights / RFDN).net.double(), 31), 4)
    assert 0.9 < gain < 1
    assert 1.2 < cutoff < 1.4
    assert rho > 0.85


def psnr(one: Tensor, other: Tensor) -> float:
    rim = 8
    difference = (one.clamp(0, 1) - other)[..., rim:-rim, rim:-rim]
    return float(-10 * difference.square().mean().log10())


def gain_over_bicubic(net: Callable[[Tensor], Tensor], scale: int, truth: Tensor) -> float:
    """PSNR of a network less that of bicubic enlargement, in dB, on an image that was made smaller by bicubic means."""
    small = functional.interpolate(truth, scale_factor=1 / scale, mode="bicubic", antialias=True)
    plain = functional.interpolate(small, scale_factor=scale, mode="bicubic")
    return psnr(net(small), truth) - psnr(plain, truth)


def landsat(shared: Path) -> Tensor:
    with rasterio.open(shared / "data" / "geotiff" / "landsat7_15" / "ms.tif") as source:
        return torch.from_numpy(source.read([1, 2, 3])[None, :, :144, :144]).float() / 255


def farmland() -> Tensor:
    scene = make(144, 144, bands=("red", "green", "blue"), wedge=False, seed=3)
    drawn = torch.from_numpy(scene.truth)[None]
    return (drawn / drawn.quantile(0.995)).clamp(0, 1)


@EVERY
def test_real_land_is_enlarged_better_than_by_bicubic_interpolation(weights, shared, file, scale):
    model = open_model(weights / file, scale=scale)
    assert gain_over_bicubic(model.net, scale, landsat(shared)) > 0.5


@EVERY
def test_drawn_land_is_enlarged_better_than_by_bicubic_interpolation(weights, file, scale):
    model = open_model(weights / file, scale=scale)
    assert gain_over_bicubic(model.net, scale, farmland()) > 0.5


def test_another_range_than_the_right_one_is_worse_than_bicubic_interpolation(weights, shared):
    """So the tests above do find the range."""
    image = landsat(shared)
    for file, factor in ((CARN, 255.0), (IMDN, 255.0), (RFDN, 1.0)):
        core = open_model(weights / file, scale=4).net.core
        assert gain_over_bicubic(lambda x: core(factor * x) / factor, 4, image) < -1  # noqa: B023  used at once


@pytest.mark.parametrize("file", [CARN, RFDN, IMDN])
def test_facts_about_the_files(weights, file):
    model = open_model(weights / file, scale=4)
    assert (model.name, model.scale, model.channels, model.fixed) == (Path(file).stem, 4, 3, None)
    assert model.parameters == {CARN: 414_811, RFDN: 433_448, IMDN: 893_936}[file]
    assert model.smallest == (15 if file == RFDN else 1)
    assert "MIT" in model.licence
