"""Blocks, windows and the choices of the indices with reference that no oracle decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from panloom import metrics
from panloom.errors import OptionError
from panloom.metrics import _blocks, _windows


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def everywhere(x: torch.Tensor) -> torch.Tensor:
    return torch.ones((x.shape[0], 1, *x.shape[2:]), dtype=torch.bool)


# ---- UQI ----------------------------------------------------------------------------------------


def constants(x: float, y: float, *, step: float = 0.0) -> float:
    """UQI of two blocks that are constant, but for one pair of pixels in `x` that differs by `step` around it."""
    one, other = torch.full((1, 1, 32, 32), x, dtype=torch.float64), torch.full((1, 1, 32, 32), y, dtype=torch.float64)
    one[..., 3, 4], one[..., 7, 8] = x + step, x - step
    values = [f(one, other, everywhere(one))[0].item() for f in (_blocks.uqi, _windows.sliding_uqi)]
    assert values[0] == pytest.approx(values[1], abs=1e-8)
    return values[0]


@pytest.mark.parametrize("scale", [1.0, 0.1 / 2047, 1e6 / 3])
def test_degenerate_blocks_have_the_stated_values(scale):
    assert constants(300 * scale, 300 * scale) == 1
    assert constants(300 * scale, 600 * scale) == pytest.approx(2 * 2 / 5)
    assert constants(300 * scale, -300 * scale) == -1
    assert constants(300 * scale, 0) == 0
    assert constants(0, 0) == 1
    assert constants(300 * scale, 300 * scale, step=1e-2 * scale) == 0  # one varies, the other does not
    assert constants(0, 0, step=scale) == 0


def test_a_small_variation_on_a_large_offset_keeps_its_digits():
    x = noise(1, 1, 64, 64)
    y, offset = 0.5 * x + 0.5 * noise(1, 1, 64, 64, seed=1), 2.0**20
    means = [_windows.box_sums(image, 32) for image in (x, y)]
    # Only the term of the means feels the offset, and becomes 1.
    expected = (
        _windows.sliding_uqi(x, y, everywhere(x))[0] * (means[0] ** 2 + means[1] ** 2) / (2 * means[0] * means[1])
    )
    sliding, blocks = (f(x + offset, y + offset, everywhere(x))[0] for f in (_windows.sliding_uqi, _blocks.uqi))
    np.testing.assert_allclose(sliding, expected, rtol=1e-8)
    np.testing.assert_allclose(blocks, expected[..., ::32, ::32], rtol=1e-8)


@pytest.mark.parametrize("size", [2, 3, 7, 31, 32])
def test_box_sums_are_sums_of_boxes(size):
    x = (65535 * noise(2, 40, 37)).round()
    expected = x.unfold(-2, size, 1).unfold(-2, size, 1).sum((-1, -2))
    assert torch.equal(_windows.box_sums(x, size), expected)  # whole numbers: exact


@pytest.mark.parametrize("sides", [(1, 1), (2, 40), (40, 2), (31, 31), (31, 64)])
def test_an_image_smaller_than_a_window_has_none(sides):
    x = noise(1, 3, *sides)
    for function in (_windows.sliding_uqi, _blocks.uqi):
        values, counts = function(x, x, everywhere(x))
        assert values.numel() == counts.numel() == 0
    for name in ("q", "ssim", "scc-valid"):
        if min(sides) < {"q": 32, "ssim": 11, "scc-valid": 3}[name]:
            with pytest.raises(OptionError, match="nothing to compare: no window of"):
                metrics.get(name)(x, x)
    assert metrics.Q2N_UNROUNDED(x, x) == pytest.approx(1, abs=1e-12)


def test_blocks_count_from_half_of_their_pixels_on():
    x = noise(1, 2, 32, 64)
    valid = everywhere(x)
    valid[..., :16, :32] = False
    valid[..., :16, 32:] = False
    valid[..., 16, 40] = False
    expected = torch.tensor([[True, False]])
    assert torch.equal(_blocks.uqi(x, x, valid)[1][0, 0], expected)
    assert torch.equal(_blocks.q2n(x, x, valid, rounded=False)[1][0], expected)
    assert _windows.sliding_uqi(x, x, valid)[1][0, 0, 0].tolist() == [n <= 8 for n in range(33)]


def test_strips_make_no_seam(monkeypatch):
    x, y = noise(1, 2, 150, 60), noise(1, 2, 150, 60, seed=1)
    call = [lambda name=name: metrics.get(name)(y, x) for name in ("q", "ssim", "scc", "scc-valid")]
    whole = [f() for f in call]
    monkeypatch.setattr(_windows, "_ROWS", 7)
    assert [f() for f in call] == pytest.approx(whole, rel=1e-13)


# ---- Q2n ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_the_modulus_of_a_product_with_its_conjugate_is_the_square(n):
    v = noise(n) - 0.5
    product = v[:, None] * v
    assert float(_blocks._modulus(product[None, None])) == pytest.approx(float(v @ v), rel=1e-13)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_moduli_multiply_up_to_octonions(n):
    v, w = noise(n) - 0.5, noise(n, seed=1) - 0.5
    modulus = float(_blocks._modulus((v[:, None] * w)[None, None]))
    assert modulus == pytest.approx(float(v.norm() * w.norm()), rel=1e-13)


def test_one_band_is_the_modulus_of_uqi_about_the_standardised_mean():
    x, y = 100 * noise(1, 1, 32, 32), 100 * noise(1, 1, 32, 32, seed=1)
    y = 0.7 * x + 0.3 * y
    deviation, mean = x.std(), x.mean()
    uqi = _blocks.uqi((x - mean) / deviation + 1, (y - mean) / deviation + 1, everywhere(x))[0]
    assert metrics.Q2N_UNROUNDED(y, x) == pytest.approx(float(uqi.abs()), rel=1e-12)


def test_rounding_is_half_away_from_zero_and_saturates():
    below_half = 0.49999999999999994
    x = torch.tensor([-7.0, -0.5, below_half, 0.5, 1.5, 2.5, 2.4999, 65535.4, 65536, 1e9], dtype=torch.float64)
    assert _blocks._round(x).tolist() == [0, 0, 0, 1, 2, 3, 2, 65535, 65535, 65535]
    rubbish = torch.tensor([math.nan, math.inf, -math.inf, 7], dtype=torch.float64)
    assert _blocks._round(rubbish).isnan().tolist() == [True, True, True, False]


def test_a_block_beyond_the_border_is_mirrored_with_its_mask():
    x, y = noise(1, 3, 40, 32), noise(1, 3, 40, 32, seed=1)
    valid = noise(1, 1, 40, 32, seed=2) > 0.3
    padded = [torch.cat([image, image.flip(-2)[:, :, :24]], -2) for image in (x, y, valid)]
    mirrored, whole = _blocks.q2n(x, y, valid, rounded=False), _blocks.q2n(*padded, rounded=False)
    assert all(torch.equal(*both) for both in zip(mirrored, whole, strict=True))
    tiny = [image[:, :, :5] for image in (x, y, valid)]
    twice = [torch.cat([image, image.flip(-2)] * 4, -2)[:, :, :32] for image in tiny]
    assert torch.equal(_blocks.q2n(*tiny, rounded=False)[0], _blocks.q2n(*twice, rounded=False)[0])


def test_the_rounded_form_refuses_data_that_rounding_destroys():
    truth = 1023 * noise(1, 4, 64, 64)
    fused = truth + 10 * noise(1, 4, 64, 64, seed=1)
    assert metrics.Q2N(fused, truth) == pytest.approx(metrics.Q2N_UNROUNDED(fused, truth), rel=1e-4)
    for scale, offset in ((1 / 1023, 0), (1 / 1023, 500), (1e-5, 0)):
        images = scale * fused + offset, scale * truth + offset
        with pytest.raises(OptionError, match=r"varies by .* only .*q2n-unrounded"):
            metrics.Q2N(*images)
        assert 0.9 < metrics.Q2N_UNROUNDED(*images) < 1
    # A dark tile of a scene in digital numbers is no reason to refuse the scene, nor are flat whole numbers.
    tallies = [metrics.Q2N.tally(0 * fused + 0.3, 0 * truth + 0.3), metrics.Q2N.tally(fused, truth)]
    assert 0.9 < metrics.Q2N.value(metrics.added(tallies)) <= 1
    assert metrics.Q2N(0 * truth + 3, 0 * truth + 3) == 1


def test_two_hundred_bands_of_one_spectrum():
    x = 1000 * noise(1, 200, 32, 32)
    assert pytest.approx(1, abs=1e-12) == metrics.Q2N(x.round(), x.round())
    assert 0 <= metrics.Q2N(x.flip(-1), x) < 0.3


# ---- the others ---------------------------------------------------------------------------------


def test_psnr_wants_its_peak_and_is_infinite_without_error():
    x = noise(1, 2, 8, 8)
    with pytest.raises(TypeError):
        metrics.PSNR(x, x)
    for peak in (0.0, -1.0, math.nan, math.inf):
        for metric in (metrics.PSNR, metrics.SSIM_FULL_SCALE):
            with pytest.raises(OptionError, match=r"full_scale .* must be a positive number"):
                metric(x, x, full_scale=peak)
    assert metrics.PSNR(x, x, full_scale=1) == math.inf
    one_band = x.clone()
    one_band[:, 1] += 0.1
    assert metrics.PSNR.bands is not None
    bands = metrics.PSNR.bands(metrics.PSNR.tally(one_band, x, full_scale=1))
    assert bands.tolist() == [math.inf, pytest.approx(20)]


def test_ssim_of_the_two_scalings_is_one_index():
    x = 900 * noise(1, 2, 20, 20)
    y = x + 50 * noise(1, 2, 20, 20, seed=1)
    by_full_scale = metrics.SSIM_FULL_SCALE(y, x, full_scale=1023)
    assert metrics.SSIM_MHIF(y, x, full_scale=1023) == by_full_scale
    assert metrics.SSIM_FULL_SCALE(y / 1023, x / 1023, full_scale=1) == pytest.approx(by_full_scale, rel=1e-12)
    assert metrics.SSIM(y, x) == metrics.SSIM_FULL_SCALE(y, x, full_scale=2047) > by_full_scale


def test_scc_of_images_without_edges():
    flat, rough = torch.full((1, 2, 9, 9), 0.1, dtype=torch.float64), noise(1, 2, 9, 9)
    assert metrics.SCC_VALID(flat, 2 * flat) == 1
    assert metrics.SCC_VALID(rough, flat) == metrics.SCC_VALID(flat, rough) == 0
    assert metrics.SCC(rough, flat) > 0.3  # its border of zeros is an edge in both
    assert metrics.SCC_VALID(3 * rough + 7, rough) == pytest.approx(1, abs=1e-12)
