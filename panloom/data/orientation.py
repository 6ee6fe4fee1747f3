"""The eight ways to lay ground on the pixel grid: quarter turns and mirror images, and what becomes of the phase."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Shaped
from torch import Generator, Tensor

from panloom.data.example import Example


@dataclass(frozen=True)
class Orientation:
    """Left and right exchanged first, if `mirror`, and then quarter turns counter-clockwise.

    Attributes:
        turns: quarter turns, 0 to 3.
        mirror: left and right are exchanged.
    """

    turns: int = 0
    mirror: bool = False

    @staticmethod
    def draw(rng: Generator) -> Orientation:
        """One of the eight, all equally likely."""
        number = int(torch.randint(8, (), generator=rng))
        return Orientation(number % 4, number >= 4)

    def image(self, x: Shaped[Tensor, "*b H W"]) -> Shaped[Tensor, "*b H2 W2"]:
        """An image in this orientation; a view where no turn or mirroring is needed."""
        return torch.rot90(x.flip(-1) if self.mirror else x, self.turns, (-2, -1))

    def phase(self, phase: tuple[float, float], ratio: int) -> tuple[float, float]:
        """Where the turned MS sample (0, 0) lies on the turned PAN grid, if both grids end together.

        Args:
            phase: (row, col) in PAN pixels, before.
            ratio: PAN pixels per MS pixel.

        Examples:
            >>> Orientation(turns=1).phase((0.0, 1.0), 4)
            (2.0, 0.0)
        """
        row, col = phase
        col = ratio - 1 - col if self.mirror else col
        for _ in range(self.turns):
            row, col = ratio - 1 - col, row
        return row, col

    def example(self, example: Example) -> Example:
        """An example in this orientation: all its images, and its phase."""
        pair = example.pair
        pair = replace(
            pair,
            pan=self.image(pair.pan),
            ms=self.image(pair.ms),
            exp=self.image(pair.exp),
            valid=self.image(pair.valid),
            phase=self.phase(pair.phase, pair.ratio),
        )
        return Example(pair, self.image(example.truth))
