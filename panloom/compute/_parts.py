"""A tile in parts that fit the processor's cache: each is a pair of its own, with the halo that the method needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from panloom.pair import Pair
from panloom.types import Traits, Window


def cut(pair: Pair, cells: Window) -> Pair:
    """A part of a pair, given in MS pixels; a view, no copy."""
    whole = Window(0, 0, *pair.ms.shape[-2:])
    small, large = cells.inside(whole), cells.scaled(pair.ratio).inside(whole.scaled(pair.ratio))
    row, col = pair.origin
    return replace(
        pair,
        pan=pair.pan[(..., *large)],
        ms=pair.ms[(..., *small)],
        exp=pair.exp[(..., *large)],
        valid=pair.valid[(..., *large)],
        origin=(row + cells.row * pair.ratio, col + cells.col * pair.ratio),
    )


def in_parts(
    run: Callable[[Pair], Float[Tensor, "b C H2 W2"]], pair: Pair, core: Window, traits: Traits, side: int
) -> Float[Tensor, "b C H W"]:
    """The core of a fused tile, made part by part.

    Args:
        run: the method.
        pair: the tile, halo included.
        core: what is wanted, in PAN pixels of the tile.
        traits: of the method.
        side: PAN pixels along a side of a part, about; 0: the tile in one.
    """
    ratio, cells = pair.ratio, Window(0, 0, *pair.ms.shape[-2:])
    if not side or traits.tiling == "whole":
        return run(pair)[(..., *core.inside(cells.scaled(ratio)))]
    out: Tensor | None = None
    for part in _parts(core, side, ratio * traits.multiple):
        read = part.cells(ratio).grown(traits.halo).clipped(cells.height, cells.width)
        image = run(cut(pair, read))[(..., *part.inside(read.scaled(ratio)))]
        if out is None:
            out = image.new_empty((*image.shape[:2], core.height, core.width))
        out[(..., *part.inside(core))] = image
    assert out is not None
    return out


def _parts(core: Window, side: int, unit: int) -> Iterator[Window]:
    """Windows of about `side`, multiples of `unit`, that partition a core evenly."""
    height, width = (_even(n, side, unit) for n in (core.height, core.width))
    for row in range(core.row, core.row_end, height):
        for col in range(core.col, core.col_end, width):
            yield Window(row, col, min(height, core.row_end - row), min(width, core.col_end - col))


def _even(length: int, side: int, unit: int) -> int:
    """The multiple of `unit` that cuts `length` in as many equal parts as `side` would."""
    share = length / max(round(length / side), 1)
    return math.ceil(share / unit) * unit
