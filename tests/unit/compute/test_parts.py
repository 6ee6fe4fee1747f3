"""A tile run in parts is the tile run in one, whatever the parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn import functional

from panloom.compute._parts import cut, in_parts
from panloom.pair import Pair
from panloom.types import Traits, Window


def a_pair(cells=(11, 14), ratio=4, origin=(8, 12)) -> Pair:
    draw = torch.Generator().manual_seed(0)
    height, width = (n * ratio for n in cells)
    exp = torch.rand(1, 3, height, width, generator=draw, dtype=torch.float64)
    pan = torch.rand(1, 1, height, width, generator=draw, dtype=torch.float64)
    ms = torch.rand(1, 3, *cells, generator=draw, dtype=torch.float64)
    return Pair(pan, ms, exp, pan > 0.1, (1.5, 1.5), None, origin)


@dataclass(frozen=True)
class Blur:
    """A method with a halo of 2 MS pixels, which notes what it was given, and feels where it is."""

    traits: Traits
    seen: list[Pair]

    def __call__(self, pair):
        self.seen.append(pair)
        size = 2 * self.traits.halo * pair.ratio + 1
        rows = torch.arange(pair.origin[0], pair.origin[0] + pair.exp.shape[-2])[:, None]
        low = functional.interpolate(pair.ms, scale_factor=pair.ratio)
        summed = functional.avg_pool2d(pair.exp + pair.pan + low, size, 1, size // 2, divisor_override=1)
        return summed + rows


@pytest.mark.parametrize("side", [8, 12, 16, 40, 1000])
@pytest.mark.parametrize(
    "core", [Window(0, 0, 44, 56), Window(8, 8, 28, 41), Window(3, 9, 37, 1), Window(43, 0, 1, 56)]
)
def test_parts_equal_the_whole(side, core):
    pair, blur = a_pair(), Blur(Traits(halo=2), [])
    expected = blur(pair)[..., core.row : core.row_end, core.col : core.col_end]
    assert torch.allclose(in_parts(blur, pair, core, blur.traits, side), expected, rtol=0, atol=1e-10)
    assert torch.equal(in_parts(blur, pair, core, blur.traits, 0), expected)


def test_parts_are_even_and_of_whole_units():
    pair, blur = a_pair((30, 30)), Blur(Traits(halo=1, multiple=2), [])
    in_parts(blur, pair, Window(8, 8, 104, 80), blur.traits, 40)
    sizes = [tuple(p.exp.shape[-2:]) for p in blur.seen]
    assert sizes == [(40 + 8, 40 + 8)] * 4 + [(24 + 8, 40 + 8)] * 2, "104 in three parts of whole units"
    assert all(p.origin[0] % 4 == 0 and p.ms.shape[-2] * 4 == p.exp.shape[-2] for p in blur.seen)


def test_a_method_that_needs_the_whole_is_not_cut():
    pair, blur = a_pair(), Blur(Traits(tiling="whole"), [])
    in_parts(blur, pair, Window(0, 0, 44, 56), blur.traits, 8)
    assert [p.exp.shape for p in blur.seen] == [pair.exp.shape]


def test_a_part_is_a_view_and_knows_its_place():
    pair = a_pair()
    part = cut(pair, Window(2, 3, 4, 5))
    assert part.origin == (8 + 8, 12 + 12)
    assert torch.equal(part.exp, pair.exp[..., 8:24, 12:32])
    assert torch.equal(part.ms, pair.ms[..., 2:6, 3:8])
    assert part.pan.data_ptr() == pair.pan[..., 8:, 12:].data_ptr()
    assert part.valid.shape[-2:] == part.pan.shape[-2:]
    assert replace(part, origin=pair.origin).ratio == pair.ratio
