"""Core windows on a fixed grid, and the halo that a method declares."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jaxtyping import Shaped
from torch import Tensor

from panloom.types import Grid, Tile, Traits, Window


def tile_size(ratio: int, multiple: int = 1) -> int:
    """PAN pixels along one side of a core: at least 512, whole cells, and a legal TIFF tile (a multiple of 16).

    >>> tile_size(4), tile_size(3), tile_size(5)
    (512, 528, 560)
    """
    step = math.lcm(16, ratio * multiple)
    return -(-512 // step) * step


def plan(grid: Grid, traits: Traits, size: int, area: Window | None = None) -> list[Tile]:
    """The tiles that cover `area`, row by row.

    Args:
        grid: the scene's grids.
        traits: halo and tiling of the method.
        size: PAN pixels along one side of a core window.
        area: PAN pixels to cover; None: the whole scene.

    Returns:
        Tiles whose cores partition `area` (the last of a row or column may be smaller). A method that needs
        the whole scene gets one tile.
    """
    area = area or Window(0, 0, grid.height, grid.width)
    rows, cols = grid.cells
    if traits.tiling == "whole":
        return [Tile(0, area, Window(0, 0, rows, cols))]
    return [
        Tile(index, core, core.cells(grid.ratio).grown(traits.halo).clipped(rows, cols))
        for index, core in enumerate(blocks(area, size))
    ]


def blocks(area: Window, size: int) -> Iterator[Window]:
    """Windows of `size` x `size` that partition `area`, row by row; the last ones are smaller.

    >>> [(w.row, w.col, w.height, w.width) for w in blocks(Window(0, 0, 5, 3), 3)]
    [(0, 0, 3, 3), (3, 0, 2, 3)]
    """
    for row in range(area.row, area.row_end, size):
        for col in range(area.col, area.col_end, size):
            yield Window(row, col, min(size, area.row_end - row), min(size, area.col_end - col))


def trim(image: Shaped[Tensor, "b C H W"], tile: Tile, ratio: int) -> Shaped[Tensor, "b C H2 W2"]:
    """The core of a tile's result, cut out of the image of its read window."""
    rows, cols = tile.core.inside(tile.read.scaled(ratio))
    return image[..., rows, cols]
