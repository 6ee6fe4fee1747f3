"""Continuation into no-data: valid pixels as they are, the rest smooth, bounded, and the same for every window."""

from __future__ import annotations

import pytest
import torch

from panloom.optics.continuation import STEPS, extend


def scene(seed: int = 0, h: int = 40, w: int = 37) -> tuple[torch.Tensor, torch.Tensor]:
    """Two bands with a wedge, holes and isolated pixels, each its own."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 2, h, w, generator=rng, dtype=torch.float64) + 1
    rows, cols = torch.arange(h)[:, None], torch.arange(w)[None]
    valid = torch.stack([cols > 8 + rows // 3, rows + cols > 20])[None]
    return image, valid & (torch.rand(1, 2, h, w, generator=rng) > 0.05)


@pytest.mark.parametrize("rubbish", [0.0, -9999.0, 1e9, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_valid_has_no_say(rubbish, dtype):
    image, valid = scene()
    image = image.to(dtype)
    expected = extend(torch.where(valid, image, 7.0), valid)
    spoilt = extend(torch.where(valid, image, rubbish), valid)
    assert spoilt.dtype == dtype
    assert torch.equal(spoilt, expected)
    assert torch.equal(spoilt[valid], image[valid])
    assert bool(spoilt.isfinite().all())


def test_all_valid_is_the_image_itself():
    image, valid = scene()
    assert extend(image, torch.ones_like(valid)) is image


def test_nothing_valid_is_zero():
    image, valid = scene()
    assert not extend(image * float("nan"), torch.zeros_like(valid)).any()


def test_the_continuation_stays_within_the_range_of_what_is_valid():
    image, valid = scene()
    out = extend(image, valid)
    filled = (out != 0) & ~valid
    assert filled.any()
    for band in range(2):
        inside = image[0, band][valid[0, band]]
        values = out[0, band][filled[0, band]]
        assert inside.min() <= values.min()
        assert values.max() <= inside.max()


def test_a_constant_goes_on():
    _, valid = scene()
    out = extend(torch.full(valid.shape, 0.7, dtype=torch.float64), valid)
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 0.7), rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3, STEPS])
def test_it_reaches_as_far_as_it_says(steps):
    image = torch.ones(1, 1, 40, 40, dtype=torch.float64)
    valid = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    valid[..., 20, 20] = True
    filled = extend(image, valid, steps) > 0
    expected = torch.zeros_like(filled)
    expected[..., 20 - steps : 21 + steps, 20 - steps : 21 + steps] = True
    assert torch.equal(filled, expected)


def test_the_nearest_ring_is_the_mean_of_its_valid_neighbours():
    image, valid = scene()
    out = extend(image, valid)
    row, col = next(
        (r, c)
        for r, c in (~valid[0, 0]).nonzero().tolist()
        if 0 < r < 39 and 0 < c < 36 and valid[0, 0, r - 1 : r + 2, c - 1 : c + 2].any()
    )
    around = (0, 0, slice(row - 1, row + 2), slice(col - 1, col + 2))
    assert out[0, 0, row, col] == pytest.approx(float(image[around][valid[around]].mean()), abs=1e-12)


def test_bands_do_not_mix():
    image, valid = scene()
    alone = extend(image[:, :1], valid[:, :1])
    assert torch.equal(extend(image, valid)[:, :1], alone)


@pytest.mark.parametrize("steps", [2, STEPS])
def test_windows_that_look_far_enough_agree_exactly(steps):
    image, valid = scene(h=60, w=60)
    whole = extend(image, valid, steps)
    core = slice(25, 35)
    around = slice(25 - steps, 35 + steps)
    part = extend(image[..., around, around], valid[..., around, around], steps)
    assert torch.equal(part[..., steps:-steps, steps:-steps], whole[..., core, core])


def test_inputs_are_untouched():
    image, valid = scene()
    copies = image.clone(), valid.clone()
    extend(image, valid)
    assert torch.equal(image, copies[0])
    assert torch.equal(valid, copies[1])
