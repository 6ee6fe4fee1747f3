"""PanNet: residual blocks on high-passed images, added to EXP.

Published (Yang et al. 2017): MS and PAN without their means, MS brought to the PAN grid by a transposed convolution, a
3x3 layer to 32 channels with a ReLU, four residual blocks, a 3x3 layer to bands, added to EXP. As in the public
toolbox (Deng et al. 2022), whose weights this file runs: the means are of 5x5 pixels with mirrored borders (the edge
pixel is not repeated), on the grid of each image; there is no batch normalisation; truncated normal initialisation.

Ours: the cut between `features` and `head`, before the last layer. The published transposed convolution (8x8 pixels,
step 4) is for ratio 4 only; for another ratio r it has 2 r pixels (2 r - 1 for an odd one), step r. A network is made
for one ratio, since that is learned. It is also the only reference network that sees MS itself: of the phase it knows
what it learned, and the public weights learned the toolbox's (r // 2).

A constant added to PAN and MS is added to the result, whatever the weights (the network is `additive`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import BLOCKS, Residual, draw, positive, residual_keys
from panloom.networks._network import IMAGES, Network
from panloom.networks._registry import network
from panloom.pair import Pair
from panloom.types import Traits

#: Pixels along a side of the mean that high-passing takes away, and on each side of a pixel.
BOX = 5
HALF = BOX // 2

#: PAN pixels that the convolutions on the PAN grid look at beyond a pixel's own.
REACH = 2 * BLOCKS + 2


@network("pannet")
class PanNet(Network):
    """Residual blocks on high-passed images, and EXP.

    Args:
        bands: of the image.
        ratio: PAN pixels per MS pixel.
    """

    channels = 32
    published: ClassVar[Mapping[str, str]] = {
        "deconv": "enlarge",
        "conv1": "first",
        "conv3": "last",
        **residual_keys(),
    }

    def __init__(self, bands: int, ratio: int = 4) -> None:
        super().__init__()
        self.bands, self.ratio = positive("pannet", "bands", bands), positive("pannet", "ratio", ratio)
        self.enlarge = nn.ConvTranspose2d(bands, bands, 2 * ratio - ratio % 2, stride=ratio, padding=ratio // 2)
        self.first = nn.Conv2d(bands + 1, 32, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(32) for _ in range(BLOCKS)))
        self.last = nn.Conv2d(32, bands, 3, padding=1)
        draw(self)

    @property
    def traits(self) -> Traits:
        """Facts for the machinery; the mean of MS looks at MS pixels beyond those that are enlarged."""
        by_ms = -(-(REACH + self.ratio // 2) // self.ratio) + HALF
        by_pan = -(-(REACH + HALF) // self.ratio)
        return Traits(
            ratios=(self.ratio,),
            bands=self.bands,
            halo=max(by_ms, by_pan),
            additive=True,
            images=IMAGES,
            cite=("yang2017", "deng2022"),
        )

    def features(self, pair: Pair) -> Float[Tensor, "b 32 H W"]:
        """After the last residual block."""
        enlarged = self.enlarge(self.cast(high_pass(pair.ms)))
        x = torch.cat([enlarged, self.cast(high_pass(pair.pan))], 1)
        return self.blocks(functional.relu(self.first(x)))

    def head(self, features: Float[Tensor, "b 32 H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """EXP and the last layer."""
        return pair.exp + self.last(features).to(pair.exp.dtype)


def high_pass(x: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
    """An image less its mean in a box, with mirrored borders; of any size from 1 x 1."""
    padded = x
    for axis in (2, 3):
        # By index, since padding of torch does not mirror images that are smaller than the margin.
        period = max(2 * x.shape[axis] - 2, 1)
        place = torch.arange(-HALF, x.shape[axis] + HALF, device=x.device).remainder(period)
        padded = padded.index_select(axis, torch.minimum(place, period - place))
    return x - functional.avg_pool2d(padded, BOX, stride=1)
