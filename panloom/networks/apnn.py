"""A-PNN (PNN+): PNN with fewer filters, that learns what EXP lacks.

Published (Scarpa et al. 2018): the layers of PNN, the difference to EXP instead of the image, and a loss of absolute
differences; what the paper is named after, training on the target itself, is no part of the network. The first layer
has 48 filters in the public WorldView-3 file and 64 in the others. As in PNN, inputs are padded by repeating their
edge.

There is no numerical reference for this network: it follows its description, and only the number of its parameters (79
880 for 8 bands) is checked. The public toolbox runs it without the skip to EXP, and its files are not read.

Ours: the cut between `features` and `head`, before the last layer; the default initialisation of PyTorch.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from panloom.networks._layers import AnyRatio, exp_and_pan, positive
from panloom.networks._network import Network
from panloom.networks._registry import network
from panloom.pair import Pair


@network("a-pnn")
class APNN(AnyRatio, Network):
    """Three convolutions and EXP.

    Args:
        bands: of the image.
        filters: of the first layer.
    """

    reach = 8
    cite = ("scarpa2018", "masi2016")
    channels = 32

    def __init__(self, bands: int, filters: int = 48) -> None:
        super().__init__()
        self.bands = positive("a-pnn", "bands", bands)
        self.first = nn.Conv2d(bands + 1, positive("a-pnn", "filters", filters), 9)
        self.second = nn.Conv2d(filters, 32, 5)
        self.last = nn.Conv2d(32, bands, 5)

    def features(self, pair: Pair) -> Float[Tensor, "b 32 H4 W4"]:
        """After the second ReLU, with the 2 pixels on each side that the last layer takes away."""
        x = functional.pad(self.cast(exp_and_pan(pair)), [self.reach] * 4, mode="replicate")
        return functional.relu(self.second(functional.relu(self.first(x))))

    def head(self, features: Float[Tensor, "b 32 H4 W4"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """EXP and the last layer."""
        return pair.exp + self.last(features).to(pair.exp.dtype)
