"""Two random convolutions: features that nobody trained."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from panloom.networks import Network, SourceStatistics
from panloom.pair import Pair
from panloom.types import Traits


class RandomFeatures(Network):
    """Two 3 x 3 layers with ReLU on EXP and PAN, drawn once; the image is EXP.

    It asks for inputs of mean 0 and deviation 1, so that half of every layer's outputs are alive.

    Args:
        bands: of MS.
        channels: of both layers.
        ratio: of the scene; it turns the reach of the layers into MS pixels.
        rng: what weights are drawn from.
    """

    def __init__(self, bands: int, channels: int, ratio: int, rng: Generator) -> None:
        super().__init__()
        self.bands, self.channels, self.ratio = bands, channels, ratio
        self.source = SourceStatistics((0.0,) * bands, (1.0,) * bands, 0.0, 1.0)
        self.layers = (nn.Conv2d(bands + 1, channels, 3), nn.Conv2d(channels, channels, 3))
        self.first, self.second = self.layers
        with torch.no_grad():
            for weights in self.parameters():
                fan_in = weights[0].numel()
                # He's deviation keeps the size of activations; constants move the kinks of ReLU off the mean.
                scale = math.sqrt(2 / fan_in) if weights.ndim == 4 else 0.5
                weights.copy_(torch.randn(weights.shape, generator=rng) * scale)
        self.requires_grad_(False)

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(bands=self.bands, halo=math.ceil(2 / self.ratio), cite=("panloom",))

    def features(self, pair: Pair) -> Float[Tensor, "b F H W"]:
        """What the second layer gives."""
        x = torch.cat([pair.exp, pair.pan], 1)
        for layer in self.layers:
            assert layer.bias is not None
            x = functional.relu(functional.conv2d(x, layer.weight.to(x), layer.bias.to(x), padding=1))
        return x

    def head(self, features: Float[Tensor, "b F H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """EXP."""
        return pair.exp
