"""MSDCNN: a deep branch of convolutions of several sizes, and a shallow one.

Published (Yuan et al. 2018): the shallow branch is a PNN with a smaller middle layer; the deep one has two blocks in
which 3x3, 5x5 and 7x7 layers stand side by side, with a skip around them; the result is the ReLU of the sum of both,
with no skip from EXP. As in the public toolbox (Deng et al. 2022), whose weights this file runs: zero padding, default
initialisation of PyTorch.

Ours: the cut between `features` and `head`, before the last layer of each branch; the features are those of the deep
branch (30 channels) and of the shallow one (32), side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import AnyRatio, exp_and_pan, positive
from panloom.networks._network import Network
from panloom.networks._registry import network
from panloom.pair import Pair

#: Channels of the deep branch before its last layer.
DEEP = 30


class Scales(nn.Module):
    """3x3, 5x5 and 7x7 layers side by side, added to what goes in, then a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(nn.Conv2d(channels, channels // 3, k, padding=k // 2) for k in (3, 5, 7))

    def forward(self, x: Float[Tensor, "b F H W"]) -> Float[Tensor, "b F H W"]:
        """Of the same shape."""
        return functional.relu(x + torch.cat([layer(x) for layer in self.sizes], 1))


@network("msdcnn")
class MSDCNN(AnyRatio, Network):
    """The ReLU of a deep and a shallow branch.

    Args:
        bands: of the image.
    """

    reach = 12
    cite = ("yuan2018", "deng2022")
    channels = DEEP + 32
    published: ClassVar[Mapping[str, str]] = {
        "conv1": "deep.0",
        **{f"conv2_{number + 1}": f"deep.2.sizes.{number}" for number in range(3)},
        "conv3": "deep.3",
        **{f"conv4_{number + 1}": f"deep.5.sizes.{number}" for number in range(3)},
        "conv5": "deep_last",
        "shallow1": "shallow.0",
        "shallow2": "shallow.2",
        "shallow3": "shallow_last",
    }

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = positive("msdcnn", "bands", bands)
        self.deep = nn.Sequential(
            nn.Conv2d(bands + 1, 60, 7, padding=3),
            nn.ReLU(),
            Scales(60),
            nn.Conv2d(60, DEEP, 3, padding=1),
            nn.ReLU(),
            Scales(DEEP),
        )
        self.shallow = nn.Sequential(
            nn.Conv2d(bands + 1, 64, 9, padding=4),
            nn.ReLU(),
            nn.Conv2d(64, 32, 1),
            nn.ReLU(),
        )
        self.deep_last = nn.Conv2d(DEEP, bands, 5, padding=2)
        self.shallow_last = nn.Conv2d(32, bands, 5, padding=2)

    def features(self, pair: Pair) -> Float[Tensor, "b 62 H W"]:
        """Inputs of the last layers: the deep branch, then the shallow one."""
        x = self.cast(exp_and_pan(pair))
        return torch.cat([self.deep(x), self.shallow(x)], 1)

    def head(self, features: Float[Tensor, "b 62 H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """The ReLU of the sum of both last layers."""
        deep, shallow = self.deep_last(features[:, :DEEP]), self.shallow_last(features[:, DEEP:])
        return functional.relu(deep.to(pair.exp.dtype) + shallow.to(pair.exp.dtype))
