"""What stands between features and head: features, scaled, through a small trained body, added to what they were."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

#: Share of the mean deviation of the features that each counts for at least: dead ones are not blown up.
DEAD = 0.05

#: Share of the largest eigenvalue that is added to all before features are whitened. Whitened in full, features that
#: hardly vary lead the fit astray: of 1e-4 to .3 this gave the least error on development pairs (docs/adaptation.md).
WHITE = 0.1


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the features of the patches, pixels and bands together; float64.

    Attributes:
        mean: of each channel.
        std: of each channel, DEAD of their mean at least; 1 where none varies.
        covariance: of the channels divided by `std`.
        dtype: that a module is trained in.
    """

    mean: Float[Tensor, " F"]
    std: Float[Tensor, " F"]
    covariance: Float[Tensor, "F F"]
    dtype: torch.dtype

    @staticmethod
    def of(features: Sequence[Float[Tensor, "_ F _ _"]], dtype: torch.dtype) -> Moments:
        """Of the features of several patches."""
        # Pixel by pixel, as layers on channels that lie side by side have left them.
        flat = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in features]).double()
        mean = flat.mean(0)
        flat = flat - mean
        covariance = flat.T @ flat / len(flat)
        std = covariance.diagonal().sqrt()
        std = std.clamp_min(DEAD * std.mean()) if bool(std.any()) else torch.ones_like(std)
        return Moments(mean, std, covariance / (std[:, None] * std), dtype)

    @staticmethod
    def none(channels: int) -> Moments:
        """Of channels that need no scaling, in float32."""
        one = torch.ones(channels, dtype=torch.float64)
        return Moments(torch.zeros_like(one), one, torch.diag(one), torch.float32)

    @property
    def whitening(self) -> Float[Tensor, "F F"]:
        """ZCA: the symmetric matrix after which scaled channels are (nearly) uncorrelated and of deviation 1."""
        values, vectors = torch.linalg.eigh(self.covariance)
        values = values.clamp_min(0) + WHITE * values[-1]
        return vectors * torch.where(values > 0, values, 1.0).rsqrt() @ vectors.T


class Body(nn.Module):
    """What is trained: from scaled channels to as many; it gives 0 before.

    Attributes:
        reach: PAN pixels that it looks at on each side.
        affine: each pixel is multiplied by one matrix and shifted.
    """

    reach: int = 0
    affine: bool = False

    def folded(self) -> Body:
        """One that does the same with less work, once it is trained."""
        return self


class Tailor(nn.Module):
    """T(F) = F + std * body(Z (F - mean) / std), with Z whitening, or nothing.

    Args:
        moments: of the features.
        body: what is trained.
        whiten: the body sees whitened channels.
    """

    mean: Tensor
    into: Tensor
    std: Tensor

    def __init__(self, moments: Moments, body: Body, *, whiten: bool) -> None:
        super().__init__()
        matrix = moments.whitening if whiten else torch.eye(len(moments.mean), dtype=torch.float64)
        self.register_buffer("mean", moments.mean[:, None, None].to(moments.dtype))
        self.register_buffer("into", (matrix / moments.std)[:, :, None, None].to(moments.dtype))
        self.register_buffer("std", moments.std[:, None, None].to(moments.dtype))
        self.body = body.to(moments.dtype)

    def enter(self, features: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """What the body sees."""
        return functional.conv2d(features.to(self.mean.dtype) - self.mean, self.into)

    def leave(self, features: Float[Tensor, "n F H W"], inner: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """The features changed by the body, in their own type."""
        return torch.addcmul(features.to(inner.dtype), self.std, self.body(inner)).to(features.dtype)

    def forward(self, features: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """The changed features."""
        return self.leave(features, self.enter(features))

    def folded(self) -> nn.Module:
        """A module that does the same with less work."""
        made = copy.deepcopy(self)
        made.body = made.body.folded()
        return Shift(made) if made.body.affine else made


class Shift(nn.Module):
    """F + A F + c, the whole of a tailor whose body is affine.

    Args:
        tailor: what it is made of.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, tailor: Tailor) -> None:
        super().__init__()
        exact, dtype = copy.deepcopy(tailor).double(), tailor.mean.dtype
        one = torch.eye(len(tailor.mean), dtype=torch.float64)[:, :, None, None]
        constant = exact.std * exact.body(exact.enter(torch.zeros_like(one[:1])))
        columns = exact.std * exact.body(exact.enter(one)) - constant
        self.register_buffer("weight", columns.transpose(0, 1).contiguous().to(dtype))
        self.register_buffer("bias", constant.flatten().to(dtype))

    def forward(self, features: Float[Tensor, "n F H W"]) -> Float[Tensor, "n F H W"]:
        """The changed features, in their own type."""
        x = features.to(self.weight.dtype)
        return (x + functional.conv2d(x, self.weight, self.bias)).to(features.dtype)


def drawn(layer: Layer, rng: Generator) -> Layer:
    """The layer with He's initialisation from a generator, and biases of 0."""
    with torch.no_grad():
        fan_in = layer.weight[0].numel()
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=rng) * (2 / fan_in) ** 0.5)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and biases of 0."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer
