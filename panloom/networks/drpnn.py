"""DRPNN: a deep stack of wide convolutions with one skip around it.

Published (Wei et al. 2017): EXP and PAN, ten layers of 7x7 pixels with 32 channels and back to the number of inputs,
the inputs added, and a last 7x7 layer to bands. As in the public toolbox (Deng et al. 2022), whose weights this file
runs: zero padding, default initialisation of PyTorch.

Ours: the cut between `features` and `head`, before the layer that returns to the number of inputs.

Many weights of the public files are subnormal numbers, with which processors calculate far more slowly; loading sets
them to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import AnyRatio, exp_and_pan, positive
from panloom.networks._network import Network
from panloom.networks._registry import network
from panloom.pair import Pair

#: Layers between the first one and the last two.
DEPTH = 8


@network("drpnn")
class DRPNN(AnyRatio, Network):
    """Eleven 7x7 convolutions with a skip around the first ten.

    Args:
        bands: of the image.
    """

    reach = 33
    cite = ("wei2017", "deng2022")
    channels = 32
    published: ClassVar[Mapping[str, str]] = {
        "conv1": "first",
        "conv2": "back",
        "conv3": "last",
        **{f"backbone.{number}.conv2": f"body.{number}" for number in range(DEPTH)},
    }

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = positive("drpnn", "bands", bands)
        self.first = nn.Conv2d(bands + 1, 32, 7, padding=3)
        self.body = nn.ModuleList(nn.Conv2d(32, 32, 7, padding=3) for _ in range(DEPTH))
        self.back = nn.Conv2d(32, bands + 1, 7, padding=3)
        self.last = nn.Conv2d(bands + 1, bands, 7, padding=3)

    def features(self, pair: Pair) -> Float[Tensor, "b 32 H W"]:
        """After the ReLU of the last of the equal layers."""
        x = functional.relu(self.first(self.cast(exp_and_pan(pair))))
        for layer in self.body:
            x = functional.relu(layer(x))
        return x

    def head(self, features: Float[Tensor, "b 32 H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """Back to the inputs, which are added, and to bands."""
        return self.last(self.back(features) + self.cast(exp_and_pan(pair))).to(pair.exp.dtype)
