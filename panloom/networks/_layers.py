"""What several of the reference networks are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.errors import MethodError
from panloom.networks._network import IMAGES
from panloom.pair import Pair
from panloom.types import Traits

#: Residual blocks of PanNet and FusionNet.
BLOCKS = 4


class AnyRatio:
    """Traits of a network whose layers all stand on the PAN grid: it runs at any ratio, since EXP is made for it.

    The halo is counted in MS pixels, so it is that of ratio 4 until `prepare` has seen a scene. Stands before `Network`
    among the bases of a class.

    Attributes:
        reach: PAN pixels that an output pixel looks at beyond its own, on each side.
        additive: see `Traits`.
        cite: keys of `panloom/references.toml`.
        bands: of the image.
        ratio: see `Network`.
    """

    reach: ClassVar[int]
    additive: ClassVar[bool] = False
    cite: ClassVar[tuple[str, ...]]
    bands: int
    ratio: int

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(
            bands=self.bands,
            halo=-(-self.reach // self.ratio),
            additive=self.additive,
            images=IMAGES,
            cite=self.cite,
        )


class Residual(nn.Module):
    """Two 3x3 layers with a ReLU between them, added to what goes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b F H W"]) -> Float[Tensor, "b F H W"]:
        """Of the same shape."""
        return x + self.second(functional.relu(self.first(x)))


def residual_keys() -> Mapping[str, str]:
    """Published names of the layers of residual blocks, under both of the names that the public files use."""
    return {
        f"{block}.conv2{place}": f"blocks.{number}.{layer}"
        for number in range(BLOCKS)
        for block in (f"res{number + 1}", f"backbone.{number}")
        for place, layer in enumerate(("first", "second"))
    }


def positive(network: str, option: str, value: int) -> int:
    """The value of an option.

    Raises:
        MethodError: it is less than 1.
    """
    if value < 1:
        raise MethodError(f"{network}'s {option} must be 1 or more; given: {value}")
    return value


def exp_and_pan(pair: Pair) -> Float[Tensor, "b C1 H W"]:
    """EXP and, as its last channel, PAN."""
    return torch.cat([pair.exp, pair.pan], 1)


def draw(network: nn.Module) -> None:
    """Weights before training, as in the public toolbox: normal, cut at two deviations of sqrt(1.3 / fan-in); biases 0.

    What the toolbox calls the fan-in of a transposed convolution counts all pixels of its kernel.
    """
    for name, values in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(values)
        else:
            std = math.sqrt(1.3 / values[0].numel())
            nn.init.trunc_normal_(values, std=std, a=-2 * std, b=2 * std)
