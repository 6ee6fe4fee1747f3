"""What an adapter learned on one scene, as named tensors, and its use on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.adapt._frame import Report
from panloom.errors import MethodError
from panloom.networks import Network
from panloom.pair import Fuser, Pair, SceneLike
from panloom.types import Traits

Told = TypeVar("Told", bound=Report)


@dataclass(frozen=True, eq=False)
class Learned:
    """What is kept of an adapted network.

    Attributes:
        network: with the weights that it came out with.
        tensors: all else that it takes to fuse another scene, in the types that it is computed in.
    """

    network: Network
    tensors: Mapping[str, Tensor]


@runtime_checkable
class Keeper(Fuser, Protocol):
    """An adapter whose fit can be kept."""

    @property
    def network(self) -> Network:
        """What is adapted."""
        ...

    def learned(self, scene: SceneLike) -> Learned:
        """What `prepare` learned on a scene, or the frozen network where that is what is used there."""
        ...

    def restored(self, tensors: Mapping[str, Tensor], scene: SceneLike, rng: Generator) -> Keeper:
        """Ready for a scene with what was learned on another one; nothing is fitted.

        `network` is that of `Learned`, the adapter has the options that it had there, and `tensors` are as there.

        Raises:
            MethodError: the tensors are not those of this adapter and network.
        """
        ...


@dataclass(frozen=True, eq=False)
class Applied:
    """An adapted network on any scene of the same sensor, bands and ratio.

    The network looks at each scene, as it does without an adapter; the fit and the radiometric bridge are those of the
    scene that it was adapted to.

    Attributes:
        adapter: around the adapted network.
        tensors: see `Learned`.
        ratio: of the scene that it was adapted to.
        bands: how many that scene has.
    """

    adapter: Keeper
    tensors: Mapping[str, Tensor]
    ratio: int
    bands: int

    @property
    def traits(self) -> Traits:
        """Those of the adapter, at one ratio and number of bands."""
        return replace(self.adapter.traits, ratios=(self.ratio,), bands=self.bands)

    def prepare(self, scene: SceneLike, rng: Generator) -> Applied:
        """The adapted network made ready for a scene.

        Raises:
            MethodError: the tensors are not those of this adapter and network.
        """
        return replace(self, adapter=self.adapter.restored(self.tensors, scene, rng))

    def __call__(self, pair: Pair) -> Float[Tensor, "b C H W"]:
        """The fused tile."""
        return self.adapter(pair)


def told(report: Told | None) -> Told:
    """The report of a fit.

    Raises:
        MethodError: nothing was fitted here: the fit is kept from another scene.
    """
    if report is None:
        raise MethodError("this fit was made on another scene: its card tells of it")
    return report


def taken(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that what was kept is what an adapter takes.

    Args:
        tensors: what was kept.
        shapes: of each tensor that may be there.

    Raises:
        MethodError: a tensor is unknown, or has another shape.
    """
    for name, tensor in tensors.items():
        if name not in shapes:
            raise MethodError(f"what was learned holds {name}, which this adapter does not know")
        if tuple(tensor.shape) != shapes[name]:
            raise MethodError(f"{name}, which was learned, is {tuple(tensor.shape)} and must be {shapes[name]}")
