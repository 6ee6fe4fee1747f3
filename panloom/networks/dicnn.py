"""DiCNN: three convolutions from EXP and PAN to the detail that EXP lacks.

Published (He et al. 2019) as DiCNN1: three layers of 3x3 pixels, 64 channels, added to EXP. As in the public toolbox
(Deng et al. 2022), whose weights this file runs: zero padding, truncated normal initialisation.

Ours: the cut between `features` and `head`, before the last layer. DiCNN2, which sees only PAN, is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import AnyRatio, draw, exp_and_pan, positive
from panloom.networks._network import Network
from panloom.networks._registry import network
from panloom.pair import Pair


@network("dicnn")
class DiCNN(AnyRatio, Network):
    """Three convolutions and EXP.

    Args:
        bands: of the image.
    """

    reach = 3
    cite = ("he2019", "deng2022")
    channels = 64
    published: ClassVar[Mapping[str, str]] = {"conv1": "first", "conv2": "second", "conv3": "last"}

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = positive("dicnn", "bands", bands)
        self.first = nn.Conv2d(bands + 1, 64, 3, padding=1)
        self.second = nn.Conv2d(64, 64, 3, padding=1)
        self.last = nn.Conv2d(64, bands, 3, padding=1)
        draw(self)

    def features(self, pair: Pair) -> Float[Tensor, "b 64 H W"]:
        """After the second ReLU."""
        x = self.cast(exp_and_pan(pair))
        return functional.relu(self.second(functional.relu(self.first(x))))

    def head(self, features: Float[Tensor, "b 64 H W"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """EXP and the last layer."""
        return pair.exp + self.last(features).to(pair.exp.dtype)
