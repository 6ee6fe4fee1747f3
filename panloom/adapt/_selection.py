"""Which patches of a sample an adapter learns from: far apart in what they show, drawn, evenly spread, or rough ones.

Published: that a subset of the patches is enough (CAT, Feature Tailor; how theirs are chosen is not public). Farthest
points: Gonzalez, Theoretical Computer Science 38 (1985). The descriptor is PROPOSED by our specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from panloom.compute import together
from panloom.pair import Pair
from panloom.types import Window

Selection = Literal["farthest", "random", "uniform", "texture"]

#: Share of a patch that must be valid, where there are such patches.
MOSTLY = 0.75


@dataclass(frozen=True, eq=False)
class Candidate:
    """A patch that may be chosen.

    Attributes:
        tile: which one of the sample it lies in.
        window: MS pixels of that tile.
        descriptor: means and deviations of the bands and the mean gradient of PAN, of its valid pixels.
    """

    tile: int
    window: Window
    descriptor: Float[Tensor, " d"]


def candidates(pairs: Sequence[Pair], side: int, multiple: int, inset: int = 0) -> list[Candidate]:
    """Patches that cover the tiles, mostly valid ones where there are any.

    Args:
        pairs: tiles of one item each.
        side: MS pixels along a side of a patch; in a smaller tile it is the tile's.
        multiple: MS pixels that sides and places are a multiple of.
        inset: MS pixels at the border of a tile to stay away from, where there is room.
    """
    places = [
        (number, window)
        for number, pair in enumerate(pairs)
        for window in windows(pair.ms.shape[-2], pair.ms.shape[-1], side, multiple, inset)
    ]

    def candidate(place: tuple[int, Window]) -> tuple[float, Candidate] | None:
        number, window = place
        valid = _fine(pairs[number].valid, window, pairs[number].ratio)
        share = float(valid.float().mean())
        return (share, Candidate(number, window, described(pairs[number], window, valid))) if share > 0 else None

    found = [one for one in together(candidate, places) if one is not None]
    good = [candidate for share, candidate in found if share >= MOSTLY]
    return good or [candidate for _, candidate in found]


def windows(height: int, width: int, side: int, multiple: int, inset: int = 0) -> list[Window]:
    """Windows of one size that cover an image evenly, row by row; they may overlap. See `candidates`.

    >>> [(w.row, w.col, w.height, w.width) for w in windows(40, 16, 16, 1)]
    [(0, 0, 16, 16), (12, 0, 16, 16), (24, 0, 16, 16)]
    """
    height, width = height - height % multiple, width - width % multiple
    if not (height and width):
        return []
    side = -(-side // multiple) * multiple
    rows, cols = min(side, height), min(side, width)
    return [
        Window(row, col, rows, cols)
        for row in _starts(height, rows, multiple, inset)
        for col in _starts(width, cols, multiple, inset)
    ]


def _starts(length: int, side: int, multiple: int, inset: int) -> list[int]:
    first = -(-inset // multiple) * multiple
    first = first if length - 2 * first >= side else 0
    room = length - 2 * first
    steps = -(-room // side) - 1
    return [first + k * (room - side) // max(steps, 1) // multiple * multiple for k in range(steps + 1)]


def _fine(image: Tensor, window: Window, ratio: int) -> Tensor:
    """The PAN pixels of a window of MS pixels."""
    rows, cols = window.scaled(ratio).inside(Window(0, 0, 0, 0))
    return image[..., rows, cols]


def described(pair: Pair, window: Window, valid: Bool[Tensor, "1 1 H W"]) -> Float[Tensor, " d"]:
    """The descriptor of a patch, float64; only valid pixels count.

    Args:
        pair: a tile.
        window: MS pixels of it.
        valid: the PAN pixels of the window that are valid.
    """
    exp, pan = (_fine(x, window, pair.ratio).double() for x in (pair.exp, pair.pan))
    std, mean = torch.std_mean(exp.transpose(0, 1)[:, valid[:, 0]], 1, correction=0)
    steps: list[Tensor] = []
    for axis in (-2, -1):
        n = pan.shape[axis] - 1
        both = valid.narrow(axis, 0, n) & valid.narrow(axis, 1, n)
        steps.append((pan.narrow(axis, 1, n) - pan.narrow(axis, 0, n)).abs()[both])
    gradient = torch.cat(steps)
    return torch.cat([mean, std, gradient.mean()[None] if len(gradient) else mean.new_zeros(1)])


def chosen(found: Sequence[Candidate], count: int, how: Selection, rng: Generator) -> list[Candidate]:
    """Up to `count` of the candidates, in the order of the choice."""
    if not found:
        return []
    every = torch.stack([candidate.descriptor for candidate in found])
    return [found[k] for k in CHOICES[how](every, min(count, len(found)), rng)]


def farthest(every: Float[Tensor, "n d"], count: int, _rng: Generator) -> list[int]:
    """The most usual one, and then again and again that which is farthest from all chosen before.

    Distances are Euclidean, of descriptors scaled to deviation 1.
    """
    std, mean = torch.std_mean(every, 0, correction=0)
    scaled = (every - mean) / torch.where(std > 0, std, 1.0)
    order = [int(scaled.square().sum(1).argmin())]
    near = torch.full_like(scaled[:, 0], torch.inf)
    for _ in range(count - 1):
        near = torch.minimum(near, (scaled - scaled[order[-1]]).square().sum(1))
        near[order[-1]] = -1  # so that of equal ones none is taken twice
        order.append(int(near.argmax()))
    return order


def _random(every: Float[Tensor, "n d"], count: int, rng: Generator) -> list[int]:
    return torch.randperm(len(every), generator=rng)[:count].tolist()


def _uniform(every: Float[Tensor, "n d"], count: int, _rng: Generator) -> list[int]:
    """Evenly spread over tiles and places."""
    return [(2 * k + 1) * len(every) // (2 * count) for k in range(count)]


def _texture(every: Float[Tensor, "n d"], count: int, _rng: Generator) -> list[int]:
    """Those where PAN is roughest."""
    return every[:, -1].argsort(descending=True, stable=True)[:count].tolist()


CHOICES: Mapping[Selection, Callable[[Tensor, int, Generator], list[int]]] = {
    "farthest": farthest,
    "random": _random,
    "uniform": _uniform,
    "texture": _texture,
}
