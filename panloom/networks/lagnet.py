"""LAGNet (LAGConv): convolutions whose kernels follow the local content, and whose bias follows the whole image.

Published (Jin et al. 2022): in every layer a small network looks at 3x3 pixels and makes 9 weights between 0 and 1,
which all channels share and which weigh the pixels under the kernel; the bias is made from the means of the whole
image. A layer to 32 channels with a ReLU, five residual blocks of two layers, a layer to bands, added to EXP. PAN is
the first channel of the input.

There is no numerical reference for this network: it follows its description, and only the number of its parameters
(151 397 for 8 bands) is checked. Its initialisation is the truncated normal one of the public toolbox.

Ours: the cut between `features` and `head`, before the last layer.

As every layer takes means over the image that it is given, a tile would differ from the whole: the network runs on the
whole scene at once (tiling `whole`), which bounds the size of the scene by the memory. Means fixed by `prepare` would
need one look at the whole scene for each of its twelve layers, since those of a layer depend on the biases before it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import draw, positive
from panloom.networks._network import IMAGES, Network
from panloom.networks._registry import network
from panloom.pair import Pair
from panloom.types import Traits

#: Residual blocks.
DEPTH = 5

#: Pixels under a kernel.
TAPS = 9


class LAGConv(nn.Module):
    """A 3x3 convolution with local weights of its pixels and a bias made from the means of the image.

    Args:
        inputs: channels that go in.
        outputs: channels that come out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.local = nn.Sequential(
            nn.Conv2d(inputs, TAPS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(TAPS, TAPS, 1),
            nn.ReLU(),
            nn.Conv2d(TAPS, TAPS, 1),
            nn.Sigmoid(),
        )
        self.harmonic = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(), nn.Conv2d(outputs, outputs, 1))
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))

    def forward(self, x: Float[Tensor, "b F H W"]) -> Float[Tensor, "b G H W"]:
        """The layer; summed pixel by pixel of the kernel, which needs a ninth of the memory of all patches at once."""
        height, width = x.shape[-2:]
        share, padded = self.local(x), functional.pad(x, [1] * 4)
        out = self.harmonic(x.mean((2, 3), keepdim=True))
        for tap in range(TAPS):
            row, col = divmod(tap, 3)
            pixels = padded[..., row : row + height, col : col + width]
            out = out + functional.conv2d(pixels * share[:, tap : tap + 1], self.weight[:, :, row, col, None, None])
        return out


class Block(nn.Module):
    """Two layers with a ReLU between them, added to what goes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = LAGConv(channels, channels)
        self.second = LAGConv(channels, channels)

    def forward(self, x: Float[Tensor, "b F H W"]) -> Float[Tensor, "b F H W"]:
        """Of the same shape."""
        return x + self.second(functional.relu(self.first(x)))


@network("lagnet")
class LAGNet(Network):
    """Residual blocks of content-adaptive convolutions, and EXP.

    Args:
        bands: of the image.
    """

    channels = 32

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = positive("lagnet", "bands", bands)
        self.first = LAGConv(bands + 1, 32)
        self.blocks = nn.Sequential(*(Block(32) for _ in range(DEPTH)))
        self.last = LAGConv(32, bands)
        draw(self)

    @property
    def traits(self) -> Traits:
        """Facts for the machinery."""
        return Traits(bands=self.bands, tiling="whole", images=2 * IMAGES, cite=("jin2022",))

    def features(self, pair: Pair) -> Float[Tensor, "b 32 H W"]:
        """After the last residual block."""
        return self.blocks(functional.relu(self.first(self.cast(torch.cat([pair.pan, pair.exp], 1)))))

    def head(self, features: Float[Tensor, "b 32 H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """EXP and the last layer."""
        return pair.exp + self.last(features).to(pair.exp.dtype)
