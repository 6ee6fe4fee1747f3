"""What every network promises: features, then a head; together the final image, never a residual."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Generator, Tensor, nn

from panloom.pair import Pair, SceneLike
from panloom.types import Traits

#: Memory of a tile of 512 x 512 pixels and four bands, measured on the networks here (see `Traits.images`); a network
#: that needs more says so.
IMAGES = 32


@dataclass(frozen=True)
class SourceStatistics:
    """Means and deviations of the data that a network was trained on, in units of its full scale.

    They travel with the network: an adapter brings another sensor's values to them.

    Attributes:
        mean: of each band.
        std: of each band.
        pan_mean: of PAN.
        pan_std: of PAN.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    pan_mean: float
    pan_std: float


class Network(nn.Module, ABC):
    """A fusion network, which is also a fuser: `prepare(scene)`, then a pure call on one tile.

    `features` and `head` cast what goes into a layer to the type of its weights and give images back in the type of
    `pair.exp`, so `net.to(torch.bfloat16)` is all that reduced precision needs.

    Attributes:
        channels: of what `features` returns.
        source: statistics of the training data; None where nobody stored them.
        ratio: of the scene that `prepare` saw; 4 before. Halos are counted in MS pixels, so they depend on it.
    """

    channels: int
    source: SourceStatistics | None = None
    ratio: int = 4

    @property
    @abstractmethod
    def traits(self) -> Traits:
        """Facts for the machinery; the halo is that of `features` and `head` together, without EXP."""

    @abstractmethod
    def features(self, pair: Pair) -> Float[Tensor, "n F Hf Wf"]:
        """What the network sees in a pair: the last tensor before it is mapped to bands.

        n is the batch, or batch times bands where each band has its own features; a network without padding in its
        last layer returns a few pixels more than the image has.
        """

    @abstractmethod
    def head(self, features: Float[Tensor, "n F Hf Wf"], pair: Pair) -> Float[Tensor, "b C H W"]:
        """The final image, in the units of `pair.ms`; differentiable with respect to the features."""

    def forward(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The final image."""
        return self.head(self.features(pair), pair)

    def prepare(self, scene: SceneLike, rng: Generator) -> Network:
        """A copy of the network that is ready for a scene: in evaluation mode, without gradients."""
        ready = copy.deepcopy(self).eval().requires_grad_(False)
        ready.ratio = scene.grid.ratio
        return ready

    def informed(self, pairs: Sequence[Pair]) -> Network:
        """What `prepare` would give for a scene of which these are parts, its weights shared; differentiable.

        A network that asks nothing of the whole scene is the same for all of them.
        """
        return self

    def cast(self, x: Float[Tensor, "b C H W"]) -> Float[Tensor, "b C H W"]:
        """An image in the type of the weights."""
        return x.to(next(self.parameters()).dtype)
