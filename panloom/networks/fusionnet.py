"""FusionNet: residual blocks from the difference of PAN and EXP to the detail that EXP lacks.

Published (Deng et al. 2021): PAN less each band of EXP, a 3x3 layer to 32 channels with a ReLU, four residual blocks,
a 3x3 layer to bands, added to EXP. As in the public toolbox (Deng et al. 2022), whose weights this file runs: zero
padding, default initialisation of PyTorch.

Ours: the cut between `features` and `head`, before the last layer. The difference is taken before the cast, so that it
keeps its digits in reduced precision.

Whatever the weights, a constant added to PAN and MS is added to the result: the weights of all bands and of PAN in a
band of the result sum to 1 (the network is `additive`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import BLOCKS, AnyRatio, Residual, positive, residual_keys
from panloom.networks._network import Network
from panloom.networks._registry import network
from panloom.pair import Pair


@network("fusionnet")
class FusionNet(AnyRatio, Network):
    """Residual blocks on PAN - EXP, and EXP.

    Args:
        bands: of the image.
    """

    reach = 10
    additive = True
    cite = ("deng2021", "deng2022")
    channels = 32
    published: ClassVar[Mapping[str, str]] = {"conv1": "first", "conv3": "last", **residual_keys()}

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = positive("fusionnet", "bands", bands)
        self.first = nn.Conv2d(bands, 32, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(32) for _ in range(BLOCKS)))
        self.last = nn.Conv2d(32, bands, 3, padding=1)

    def features(self, pair: Pair) -> Float[Tensor, "b 32 H W"]:
        """After the last residual block."""
        return self.blocks(functional.relu(self.first(self.cast(pair.pan - pair.exp))))

    def head(self, features: Float[Tensor, "b 32 H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """EXP and the last layer."""
        return pair.exp + self.last(features).to(pair.exp.dtype)
