"""What a network learns from: pairs whose true image is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from panloom.pair import Pair


@dataclass(frozen=True)
class Example:
    """A batch of pairs of one sensor with their truth.

    Attributes:
        pair: what the sensor recorded.
        truth: what it would have recorded at PAN's resolution, on PAN's grid, in the units of `pair.ms`.
    """

    pair: Pair
    truth: Float[Tensor, "b C H W"]


@runtime_checkable
class Source(Protocol):
    """An endless supply of examples."""

    def __call__(self, rng: Generator) -> Example:
        """The next example: the same state of `rng` gives the same one, in any process."""
        ...
