"""Multiresolution methods: their low passes are what the papers say, and their gains are those of the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from panloom import sensors
from panloom.classical import _multiresolution as frame
from panloom.classical import atwt, mf_hg, mtf_glp_cbd
from panloom.classical.mtf_glp_hpm_h import MtfGlpHpmH
from panloom.optics import physical
from panloom.pair import Pair
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Window

F64 = torch.float64
RATIOS = [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.5, 1.5)), (5, (4.4, 2.0)), (7, (3.0, 6.2)), (8, (3.5, 0.0))]
EVERY_RATIO = pytest.mark.parametrize(("ratio", "phase"), RATIOS, ids=lambda v: str(v).replace(" ", ""))


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=rng(), dtype=F64) + 0.2


def ramp(height: int, width: int, step: float = 1.0, start: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
    """A plane over (row, col): row i is at start + step * i."""
    rows, cols = (s + step * torch.arange(n, dtype=F64) for s, n in zip(start, (height, width), strict=True))
    return (0.3 * rows[:, None] - 0.7 * cols + 5)[None, None]


def scene(pan: torch.Tensor, ms: torch.Tensor, phase: tuple[float, float] = (1.5, 1.5), gain: float = 0.3) -> Scene:
    bands = tuple(replace(b, mtf_nyquist=gain) for b in sensors.generic_bands(ms.shape[1]))
    return array_scene(pan, ms, sensor=replace(sensors.get("generic"), bands=bands), phase=phase)


def read(source: Scene) -> Pair:
    rows, cols = source.grid.cells
    return source.read(Tile(0, Window(0, 0, rows, cols).scaled(source.grid.ratio), Window(0, 0, rows, cols)))


# ---- low passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_spline_is_the_a_trous_cascade_at_powers_of_two(levels):
    taps = np.ones(1)
    for level in range(levels):
        dilated = np.zeros(4 * 2**level + 1)
        dilated[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
        taps = np.convolve(taps, dilated)
    np.testing.assert_allclose(atwt._spline(2**levels), taps, rtol=1e-14)


@EVERY_RATIO
def test_the_spline_keeps_planes(ratio, phase):
    image, rim = ramp(12 * ratio, 14 * ratio), 2 * (ratio - 1)
    low = atwt.spline_low_pass(image, ratio)
    inner = (..., slice(rim, -rim), slice(rim, -rim))
    torch.testing.assert_close(low[inner], image[inner], rtol=1e-13, atol=1e-13)


@EVERY_RATIO
def test_bilinear_keeps_planes_at_the_true_phase(ratio, phase):
    fine = frame.bilinear(ramp(6, 7, ratio, phase), ratio, phase)
    inner = (..., slice(ratio, -ratio), slice(ratio, -ratio))
    torch.testing.assert_close(fine[inner], ramp(6 * ratio, 7 * ratio)[inner], rtol=1e-13, atol=1e-13)


def test_the_half_gradient_is_the_mean_of_dilation_and_erosion():
    image = noise(1, 1, 9, 12)
    cross = ndimage.generate_binary_structure(2, 1)
    array = image[0, 0].numpy()
    expected = 0.5 * (ndimage.grey_dilation(array, footprint=cross) + ndimage.grey_erosion(array, footprint=cross))
    np.testing.assert_allclose(mf_hg.half_gradient(image)[0, 0].numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize(("row", "col"), [(0, 0), (1, 2), (3, 3)])
def test_the_morphological_pyramid_is_the_decimated_one_at_any_phase(row, col):
    image = noise(1, 1, 40, 48)
    first = mf_hg.half_gradient(image)[..., row % 2 :: 2, col % 2 :: 2]
    second = mf_hg.half_gradient(first)[..., row // 2 :: 2, col // 2 :: 2]
    low = mf_hg.MfHg().low_pass(read(scene(image, noise(1, 3, 10, 12), (row, col))))
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(low[..., row::4, col::4][inner], second[inner], rtol=1e-13, atol=0)


# ---- gains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [atwt.AtwtM2, atwt.AtwtM3])
def test_models_find_the_gain_of_bands_that_are_pan(model):
    pan, gains = noise(1, 1, 80, 88), torch.tensor([0.5, 2.0, 1.0], dtype=F64).view(1, 3, 1, 1)
    ms = gains * physical.degrade(pan, [0.3], 4, (1.5, 1.5)) + 0.1
    ready = model().prepare(scene(pan, ms), rng()).ready
    np.testing.assert_allclose(ready.gain, gains.flatten(), rtol=1e-9)


def test_model_3_injects_nothing_that_goes_against_pan():
    pan = noise(1, 1, 80, 80)
    low = physical.degrade(pan, [0.3], 4, (1.5, 1.5))
    ready = atwt.AtwtM3().prepare(scene(pan, torch.cat([low, 1 - low], 1)), rng()).ready
    assert isinstance(ready, frame.Equalised)
    assert ready.gain[0] == pytest.approx(1)
    assert ready.gain[1] == 0


def test_local_moments_are_those_of_the_valid_pixels_of_the_window():
    pan, ms = noise(1, 1, 14, 17), noise(1, 2, 14, 17)
    weight = (torch.rand(1, 1, 14, 17, generator=rng()) > 0.4).to(F64)
    covariance, variance = mtf_glp_cbd._local(pan, ms, weight)
    half = mtf_glp_cbd.WINDOW // 2
    for row, col in ((0, 0), (5, 9), (13, 16), (7, 1)):
        near = (slice(max(row - half, 0), row + half + 1), slice(max(col - half, 0), col + half + 1))
        w = weight[0, 0][near].flatten().numpy()
        p, m = pan[0, 0][near].flatten().numpy(), ms[0, 1][near].flatten().numpy()
        expected = np.cov(np.stack([p, m]), aweights=w, ddof=0)
        assert float(variance[0, 0, row, col]) == pytest.approx(expected[0, 0], rel=1e-10)
        assert float(covariance[0, 1, row, col]) == pytest.approx(expected[0, 1], rel=1e-10)


def test_local_gains_follow_the_scene():
    """A band that is PAN on one side and its negative on the other: no gain of the whole scene does both."""
    pan, phase = noise(1, 1, 160, 160), (1.5, 1.5)
    sign = torch.where(torch.arange(160) < 80, 1.0, -1.0).to(F64)
    truth = 1 + sign * (pan - pan.mean())
    source = scene(pan, physical.degrade(truth, [0.3], 4, phase), phase)
    pair = read(source)
    fused, exp = mtf_glp_cbd.MtfGlpCbd().prepare(source, rng())(pair), pair.exp
    for side in (slice(24, 56), slice(104, 136)):
        inner = (..., slice(24, 136), side)
        gap, before = (float((image - truth)[inner].square().mean()) for image in (fused, exp))
        assert gap < 0.3 * before


def test_haze_that_lies_over_bands_and_pan_stays_what_it_is():
    pan = noise(1, 1, 80, 80)
    shares = torch.tensor([0.8, 1.0, 1.2], dtype=F64).view(1, 3, 1, 1)
    ms = shares * physical.degrade(pan, [0.3], 4, (1.5, 1.5))
    clear, hazy = (scene(pan + h, ms + h) for h in (0.0, 0.05))
    one, other = (MtfGlpHpmH().prepare(s, rng())(read(s)) for s in (clear, hazy))
    torch.testing.assert_close(other, one + 0.05, rtol=0, atol=1e-9)
