"""PNN: three convolutions from EXP and PAN to the image.

Published (Masi et al. 2016): layers of 9x9, 5x5 and 5x5 pixels without padding, 64 and 32 channels; the image comes
out of the last layer as it is. The paper also tries spectral indices as further inputs; they are not here. As in the
public toolbox (Deng et al. 2022), whose weights this file runs, the inputs are padded by repeating their edge, and the
default initialisation of PyTorch is kept. The toolbox trains on the inner part of each truth, which the layers reach
without padding.

Ours: the cut between `features` and `head`, before the last layer. Its input is 2 pixels larger than the image on each
side.
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


@network("pnn")
class PNN(AnyRatio, Network):
    """Three convolutions, no skip.

    Args:
        bands: of the image.
    """

    reach = 8
    cite = ("masi2016", "deng2022")
    channels = 32
    published: ClassVar[Mapping[str, str]] = {"conv1": "first", "conv2": "second", "conv3": "last"}

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = positive("pnn", "bands", bands)
        self.first = nn.Conv2d(bands + 1, 64, 9)
        self.second = nn.Conv2d(64, 32, 5)
        self.last = nn.Conv2d(32, bands, 5)

    def features(self, pair: Pair) -> Float[Tensor, "b 32 H4 W4"]:
        """After the second ReLU, with the 2 pixels on each side that the last layer takes away."""
        x = functional.pad(self.cast(exp_and_pan(pair)), [self.reach] * 4, mode="replicate")
        return functional.relu(self.second(functional.relu(self.first(x))))

    def head(self, features: Float[Tensor, "b 32 H4 W4"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """The last layer."""
        return self.last(features).to(pair.exp.dtype)
