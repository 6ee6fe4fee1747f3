"""Places where a sensor recorded nothing: beyond the border of a turned scene, between stripes, under discs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool
from torch import Generator, Tensor
from torch.nn import functional

#: Least share of the cells that is left.
LEAST = 0.3


def recorded_cells(side: int, rng: Generator) -> Bool[Tensor, "1 1 side side"]:
    """Cells of MS that hold data: half a plane, stripes, or all but a few discs."""
    kind, angle, place = (float(x) for x in torch.rand(3, generator=rng))
    rows, cols = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    along = math.cos(2 * math.pi * angle) * rows + math.sin(2 * math.pi * angle) * cols
    if kind < 0.6:
        cells = along < 1.2 * place - 0.3
    elif kind < 0.8:
        period, width = 0.5 + 0.5 * place, 0.1 + 0.25 * float(torch.rand((), generator=rng))
        cells = torch.remainder(along, period) > width
    else:
        discs = torch.rand(1 + int(4 * place), 3, generator=rng)
        away = [torch.hypot(rows - 2 * r + 1, cols - 2 * c + 1) > 0.05 + 0.35 * size for r, c, size in discs.tolist()]
        cells = torch.stack(away).all(0)
    if cells.float().mean() < LEAST:
        cells = ~cells
    return cells[None, None]


def grown(cells: Bool[Tensor, "1 1 h w"], steps: int) -> Bool[Tensor, "1 1 h w"]:
    """The cells, and those at most `steps` away."""
    return functional.max_pool2d(cells.float(), 2 * steps + 1, 1, steps) > 0


def on_pan(cells: Bool[Tensor, "1 1 h w"], ratio: int) -> Bool[Tensor, "1 1 H W"]:
    """All pixels of the cells."""
    return cells.repeat_interleave(ratio, -2).repeat_interleave(ratio, -1)
