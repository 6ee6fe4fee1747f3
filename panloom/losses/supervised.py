"""Losses against a known truth. Pixels that are not valid do not count."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Below this squared error a band counts as perfect: the square root has no slope to speak of there.
_TINY = 1e-12
#: A band that EXP gets right is no yardstick: the reference error is this part of the truth's deviation at least.
_FLOOR = 0.02
#: An error of more than this many reference errors has no slope: one odd image does not decide a step.
_CAP = 3.0


def l1(
    image: Float[Tensor, "b C H W"], truth: Float[Tensor, "b C H W"], valid: Bool[Tensor, "b 1 H W"]
) -> Float[Tensor, ""]:
    """Mean absolute error, in the units of the images."""
    return _mean(_error(image, truth, valid).abs(), valid).mean()


def mse(
    image: Float[Tensor, "b C H W"], truth: Float[Tensor, "b C H W"], valid: Bool[Tensor, "b 1 H W"]
) -> Float[Tensor, ""]:
    """Mean squared error, in squared units of the images."""
    return _mean(_error(image, truth, valid).square(), valid).mean()


def relative(
    image: Float[Tensor, "b C H W"],
    truth: Float[Tensor, "b C H W"],
    exp: Float[Tensor, "b C H W"],
    valid: Bool[Tensor, "b 1 H W"],
) -> Float[Tensor, ""]:
    """Error over that of EXP: every band of every image counts alike, whatever its gain and its contrast.

    Per band .7 L1 / ref + .5 RMSE / ref, where ref is the RMSE of EXP, .02 of the truth's deviation at least;
    each ratio is capped at 3. Unchanged when all images are multiplied by one number.

    Args:
        image: the result.
        truth: what it should be.
        exp: what interpolation alone gives.
        valid: the pixels that count.
    """
    mean = _mean(torch.where(valid, truth, 0.0), valid)
    deviation = _root(_mean(_error(truth, mean[..., None, None], valid).square(), valid))
    reference = torch.maximum(_root(_mean(_error(exp, truth, valid).square(), valid)), _FLOOR * deviation)
    error = _error(image, truth, valid)
    absolute = (_mean(error.abs(), valid) / reference).clamp(max=_CAP)
    quadratic = (_root(_mean(error.square(), valid)) / reference).clamp(max=_CAP)
    return (0.7 * absolute + 0.5 * quadratic).mean()


def _error(
    image: Float[Tensor, "b C H W"], truth: Float[Tensor, "b C #H #W"], valid: Bool[Tensor, "b 1 H W"]
) -> Float[Tensor, "b C H W"]:
    """The difference; 0 where pixels do not count, whatever they hold, and so is its slope there."""
    return torch.where(valid, image - truth, 0.0)


def _mean(error: Float[Tensor, "b C H W"], valid: Bool[Tensor, "b 1 H W"]) -> Float[Tensor, "b C"]:
    """The mean of each band over the pixels that count, of an image that is 0 elsewhere; 0 where none does."""
    return error.sum((2, 3)) / valid.sum((2, 3)).clamp(min=1)


def _root(square: Float[Tensor, "b C"]) -> Float[Tensor, "b C"]:
    return (square + _TINY).sqrt()
