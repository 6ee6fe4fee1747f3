"""project: a network's image brought to agree with the MS it was made from; nothing is learned.

Published: back-projection (Irani and Peleg, CVGIP 1991). Ours: the step of `panloom.optics.back_projection`, behind any
network. `universal` ends in that step by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.adapt._registry import adapter
from panloom.adapt._sample import band_gains
from panloom.errors import MethodError
from panloom.networks import Network
from panloom.optics import back_projection
from panloom.pair import Pair, SceneLike
from panloom.types import Traits

#: MS pixels of halo said as long as no scene is known: ratio 4 and an MTF gain of 0.2.
USUAL_REACH = 8


@adapter("project")
@dataclass(frozen=True, eq=False)
class Project:
    """One step of spectral back-projection behind a network.

    Attributes:
        network: whose image it is; it is not changed.
        reach: MS pixels that the step looks at; `prepare` finds it.
    """

    network: Network = field(metadata={"option": False})
    reach: int | None = field(default=None, metadata={"option": False})

    @property
    def traits(self) -> Traits:
        """Those of the network, with a wider halo."""
        own = self.network.traits
        reach = USUAL_REACH if self.reach is None else self.reach
        return replace(own, halo=own.halo + reach, additive=False, cite=(*own.cite, "irani1991"))

    def prepare(self, scene: SceneLike, rng: Generator) -> Project:
        """The network made ready for a scene."""
        reach = back_projection.halo(band_gains(scene.sensor), scene.grid.ratio, scene.grid.phase)
        return Project(self.network.prepare(scene, rng), reach)

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile.

        Raises:
            MethodError: `prepare` was not called, or the pair has no sensor.
        """
        if self.reach is None:
            raise MethodError("call prepare(scene, rng) first: how far the step looks depends on the scene")
        if pair.sensor is None:
            raise MethodError("back-projection needs the MTF of the bands, and this pair has no sensor")
        gains = band_gains(pair.sensor)
        return back_projection.back_project(self.network(pair), pair.ms, gains, pair.phase, pair.whole_cells)
