"""Laws of the supervised losses."""

from __future__ import annotations

import math

import pytest
import torch

from panloom.losses import l1, mse, relative


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 3, 12, 10, generator=rng) + 0.5
    exp, image = (truth + size * torch.randn(truth.shape, generator=rng) for size in (0.2, 0.1))
    return image, truth, exp, torch.ones(2, 1, 12, 10, dtype=torch.bool)


def test_a_perfect_image_has_no_loss(images):
    _, truth, exp, valid = images
    assert l1(truth, truth, valid) == 0
    assert mse(truth, truth, valid) == 0
    assert relative(truth, truth, exp, valid) < 1e-4


def test_l1_and_mse_are_those_of_torch_where_all_is_valid(images):
    image, truth, _, valid = images
    assert torch.allclose(l1(image, truth, valid), torch.nn.functional.l1_loss(image, truth))
    assert torch.allclose(mse(image, truth, valid), torch.nn.functional.mse_loss(image, truth))


def test_exp_itself_has_the_relative_loss_of_its_own_error(images):
    _, truth, exp, valid = images
    error = exp - truth
    ratio = error.abs().mean((2, 3)) / error.square().mean((2, 3)).sqrt()
    assert torch.allclose(relative(exp, truth, exp, valid), (0.7 * ratio + 0.5).mean(), rtol=1e-4)


def test_the_relative_loss_has_no_unit_and_no_favourite_band(images):
    image, truth, exp, valid = images
    gain = torch.tensor([1.0, 30.0, 1000.0])[None, :, None, None]
    assert torch.allclose(
        relative(gain * image, gain * truth, gain * exp, valid), relative(image, truth, exp, valid), rtol=1e-4
    )


def test_pixels_that_are_not_valid_do_not_count(images):
    image, truth, exp, valid = images
    valid[..., :4, :] = False
    valid[1] = False  # nothing of this image counts
    spoiled = torch.where(valid, image, math.nan).requires_grad_()
    for loss in (l1(spoiled, truth, valid), mse(spoiled, truth, valid), relative(spoiled, truth, exp, valid)):
        assert loss.isfinite()
        (slope,) = torch.autograd.grad(loss, spoiled)
        assert slope.isfinite().all()
        assert (slope[~valid.expand_as(slope)] == 0).all()
    assert torch.allclose(2 * l1(spoiled, truth, valid), l1(image[:1, :, 4:], truth[:1, :, 4:], valid[:1, :, 4:]))


def test_a_band_that_exp_gets_right_is_measured_by_its_deviation(images):
    image, truth, _, valid = images
    floor = 0.02 * truth.std((2, 3), correction=0)
    near = truth + 0.5 * floor[..., None, None] * torch.sign(image - truth)
    assert torch.allclose(relative(near, truth, truth, valid), torch.tensor(1.2 * 0.5), rtol=1e-3)


def test_an_error_beyond_the_cap_has_no_slope(images):
    _, truth, exp, valid = images
    wild = (truth + 100).requires_grad_()
    loss = relative(wild, truth, exp, valid)
    assert torch.allclose(loss, torch.tensor(1.2 * 3))
    assert (torch.autograd.grad(loss, wild)[0] == 0).all()


def test_the_slope_at_a_perfect_image_is_finite(images):
    _, truth, exp, valid = images
    image = truth.clone().requires_grad_()
    assert torch.autograd.grad(relative(image, truth, exp, valid), image)[0].isfinite().all()
    constant = torch.ones_like(truth).requires_grad_()
    assert (
        torch.autograd.grad(relative(constant, constant.detach(), constant.detach(), valid), constant)[0]
        .isfinite()
        .all()
    )
