"""Several scenes as one, so that an adapter sees them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator
from torch.nn import functional

from panloom.pair import Pair, Reduced, SceneLike
from panloom.types import Grid, Sensor, Tile, Window

#: Rows between the first rows of two scenes are a multiple of STEP and FEWEST at least, and so are all columns; MS
#: pixels. So no adapter takes several scenes for one that is small enough to be read whole, and what is keyed by even
#: places stays so.
STEP, FEWEST = 64, 192


@dataclass(frozen=True)
class Several:
    """Scenes of one sensor, bands and ratio, one below the other on a grid of their own, with no data between them.

    Samples are spread evenly over them, and each pair has the phase of its own scene.

    Attributes:
        scenes: one at least.
    """

    scenes: Sequence[SceneLike]

    @property
    def _starts(self) -> list[int]:
        """The first row of each scene, and the end of the last one, MS pixels."""
        starts = [0]
        for scene in self.scenes:
            starts.append(starts[-1] + max(-(-scene.grid.cells[0] // STEP) * STEP, FEWEST))
        return starts

    @property
    def grid(self) -> Grid:
        """All of them; the phase is that of the first, and there is no georeference."""
        first = self.scenes[0].grid
        cols = max(FEWEST, *(scene.grid.cells[1] for scene in self.scenes))
        return Grid(self._starts[-1] * first.ratio, cols * first.ratio, first.ratio, first.phase)

    @property
    def sensor(self) -> Sensor:
        """That of the first."""
        return self.scenes[0].sensor

    def read(self, tile: Tile) -> Pair:
        """The pair of `tile.read`; only the scene that has most of it is read, and there are no data in the rest."""
        wanted, ratio = tile.read, self.grid.ratio
        parts = [
            wanted.shifted(-start, 0).clipped(*scene.grid.cells)
            for start, scene in zip(self._starts, self.scenes, strict=False)
        ]
        most = max(range(len(parts)), key=lambda k: parts[k].height * parts[k].width)
        start, part, scene = self._starts[most], parts[most], self.scenes[most]
        if part.height * part.width:
            pair = scene.read(Tile(tile.index, part.scaled(ratio), part))
            return _framed(pair, part.shifted(start, 0), wanted)
        corner = Window(0, 0, 1, 1)
        pair = scene.read(Tile(tile.index, corner.scaled(ratio), corner))
        nothing = replace(pair, valid=torch.zeros_like(pair.valid))
        return _framed(nothing, Window(wanted.row, wanted.col, 1, 1), wanted)

    def survey(self) -> Iterator[Reduced]:
        """All scenes on the MS grid, one after the other."""
        for scene in self.scenes:
            yield from scene.survey()

    def sample(self, n: int, size: int, rng: Generator) -> Iterator[Pair]:
        """Up to `n` pairs, from all scenes alike; of fewer pairs than scenes, from scenes that are drawn."""
        order = torch.randperm(len(self.scenes), generator=rng).tolist()
        starts, ratio, found = self._starts, self.grid.ratio, 0
        for place, k in enumerate(order):
            # What a scene without data could not give is left to those behind it.
            share = -(-(n - found) // (len(order) - place))
            for pair in self.scenes[k].sample(share, size, rng) if share else ():
                row, col = pair.origin
                yield replace(pair, origin=(row + starts[k] * ratio, col))
                found += 1


def _framed(pair: Pair, inner: Window, outer: Window) -> Pair:
    """A pair of the cells `inner` as a part of the cells `outer`, with its edges repeated and not valid there."""
    around = (
        inner.col - outer.col,
        outer.col_end - inner.col_end,
        inner.row - outer.row,
        outer.row_end - inner.row_end,
    )
    ratio = pair.ratio
    wide = tuple(ratio * n for n in around)
    return replace(
        pair,
        pan=functional.pad(pair.pan, wide, mode="replicate"),
        ms=functional.pad(pair.ms, around, mode="replicate"),
        exp=functional.pad(pair.exp, wide, mode="replicate"),
        valid=functional.pad(pair.valid, wide),
        origin=(outer.row * ratio, outer.col * ratio),
    )
