"""Merged statistics equal those of the whole, in any order, however far the values are from zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from panloom.classical._statistics import safe_ratio
from panloom.optics.moments import Moments, whole
from panloom.pair import Reduced

F64 = torch.float64


def block(seed: int, h: int = 9, w: int = 11, offset: float = 0.0) -> Reduced:
    """PAN and three bands that hang together, a share of the pixels not valid and not finite."""
    rng = torch.Generator().manual_seed(seed)
    mix = torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 1.0, 0.5, 0.3], [0.0, 0.0, 1.0, 0.2]], dtype=F64)
    values = torch.einsum("mn,mhw->nhw", mix, torch.randn(3, h, w, generator=rng, dtype=F64))
    values = values + offset + 0.1 * torch.randn(4, h, w, generator=rng, dtype=F64)
    valid = torch.rand(1, 1, h, w, generator=rng) > 0.2
    values = torch.where(valid[0], values, torch.nan)[None]
    return Reduced(values[:, :1], values[:, 1:], valid)


def table(blocks: list[Reduced]) -> np.ndarray:
    """(4, n): the valid pixels of all blocks."""
    parts = [torch.cat([b.pan, b.ms], 1)[0][:, b.valid[0, 0]] for b in blocks]
    return torch.cat(parts, 1).numpy()


def merged(blocks: list[Reduced]) -> Moments:
    total = Moments.of(blocks[0])
    for part in blocks[1:]:
        total = total.merge(Moments.of(part))
    return total


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)), st.sampled_from([0.0, 1e3]))
def test_equals_numpy_in_any_order(order: list[int], offset: float):
    blocks = [block(k, h=3 + 4 * k, offset=offset) for k in range(6)]
    total, values = merged([blocks[k] for k in order]), table(blocks)
    assert total.count == values.shape[1]
    np.testing.assert_allclose(total.mean, values.mean(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total.covariance, np.cov(values), rtol=1e-12, atol=1e-12 * max(offset, 1))
    np.testing.assert_allclose(total.std, values.std(1, ddof=1), rtol=1e-12)


def test_merging_is_associative():
    a, b, c = (Moments.of(block(k)) for k in range(3))
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    torch.testing.assert_close(left.comoment, right.comoment, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(left.mean, right.mean, rtol=1e-12, atol=1e-12)


def test_nothing_is_the_neutral_element():
    part = block(1)
    empty = Moments.of(Reduced(part.pan, part.ms, torch.zeros_like(part.valid)))
    assert empty.count == 0
    assert bool(empty.mean.isfinite().all() and empty.comoment.isfinite().all())
    some = Moments.of(part)
    for both in (some.merge(empty), empty.merge(some)):
        assert both.count == some.count
        assert torch.equal(both.mean, some.mean)
        assert torch.equal(both.comoment, some.comoment)
    assert empty.merge(empty).count == 0


def test_one_pixel():
    part = block(1, 1, 1)
    one = Moments.of(Reduced(torch.ones_like(part.pan), torch.ones_like(part.ms), torch.ones_like(part.valid)))
    assert one.count == 1
    assert not one.covariance.any()


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e8])
def test_a_large_offset_costs_no_precision(offset: float):
    """Sums of squares would lose all digits at 1e8: variance 1 beside 1e16."""
    near = [block(k, 30, 30) for k in range(4)]
    far = [Reduced(b.pan + offset, b.ms + offset, b.valid) for b in near]
    torch.testing.assert_close(
        merged(far).comoment, merged(near).comoment, rtol=1e-15 * offset + 1e-12, atol=1e-15 * offset
    )


def test_float32_blocks_are_summed_in_float64():
    part = block(3, 40, 40, offset=1000.0)
    single = Reduced(part.pan.float(), part.ms.float(), part.valid)
    total, values = merged([single] * 3), table([single] * 3).astype(np.float64)
    np.testing.assert_allclose(total.covariance, np.cov(values), rtol=1e-10)


def test_regression_is_least_squares():
    blocks = [block(k) for k in range(3)]
    weights, constant = merged(blocks).regression()
    pan, *bands = table(blocks)
    expected = np.linalg.lstsq(np.stack([*bands, np.ones_like(pan)], 1), pan, rcond=None)[0]
    np.testing.assert_allclose([*weights.tolist(), constant], expected, rtol=1e-9, atol=1e-12)
    without = np.linalg.lstsq(np.stack(bands, 1), pan, rcond=None)[0]
    np.testing.assert_allclose(merged(blocks).proportional(), without, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 0.3, 100.0])
def test_dependent_bands_share_the_weight(offset: float):
    """Two equal bands: of all least-squares answers the shortest, w1 = w2."""
    part = block(5, 30, 30, offset)
    twice = Reduced(part.pan, torch.cat([part.ms, part.ms[:, :1]], 1), part.valid)
    weights, constant = Moments.of(twice).regression()
    alone, same = Moments.of(part).regression()
    np.testing.assert_allclose(weights[0] + weights[3], alone[0], rtol=1e-6)
    np.testing.assert_allclose(weights[0], weights[3], rtol=1e-6)
    np.testing.assert_allclose(weights[1:3], alone[1:], rtol=1e-6)
    assert constant == pytest.approx(same, rel=1e-6, abs=1e-9)
    both = Moments.of(twice).proportional()
    np.testing.assert_allclose(both[0], both[3], rtol=1e-6)


@pytest.mark.parametrize("value", [0.3, 0.1, 1 / 3, 700.7])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("texture", [1e-7, 0.3])
def test_constant_bands_get_no_weight(value: float, dtype: torch.dtype, texture: float):
    """Rounding noise is no variance: neither of a constant MS nor of a PAN that is constant up to rounding."""
    rng = torch.Generator().manual_seed(0)
    ms = torch.full((1, 3, 13, 11), value, dtype=dtype) * torch.tensor([1.0, 0.7, 1.3], dtype=dtype).view(1, 3, 1, 1)
    pan = value * (1 + texture * torch.randn(1, 1, 13, 11, generator=rng, dtype=F64)).to(dtype)
    blocks = [Moments.of(Reduced(pan, ms, torch.ones_like(pan, dtype=torch.bool))) for _ in range(3)]
    total = blocks[0].merge(blocks[1]).merge(blocks[2])
    weights, constant = total.regression()
    assert not weights.any()
    assert constant == pytest.approx(float(pan.double().mean()), rel=1e-12)


def test_whole_images_as_the_toolbox_takes_them():
    rng = torch.Generator().manual_seed(0)
    pan, exp = torch.rand(1, 1, 8, 9, generator=rng), torch.rand(1, 3, 8, 9, generator=rng)
    values = torch.cat([pan, exp], 1)[0].flatten(1).double().numpy()
    np.testing.assert_allclose(whole(pan, exp).covariance, np.cov(values), rtol=1e-12)


def test_safe_ratio_leaves_pixels_without_a_denominator_alone():
    top = torch.tensor([2.0, 2.0, 2.0, 0.0])
    bottom = torch.tensor([4.0, 0.0, -1.0, 0.0])
    assert safe_ratio(top, bottom).tolist() == [0.5, 1.0, 1.0, 1.0]
