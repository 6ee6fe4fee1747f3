"""Tiles: cores partition the area, reads hold the core's cells and the halo."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from panloom.tiling import blocks, plan, tile_size, trim
from panloom.types import Grid, Traits, Window


@st.composite
def areas(draw: st.DrawFn) -> tuple[Grid, Window]:
    """A grid of any ratio and size, and a part of it."""
    grid = Grid(draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.integers(2, 8)), (0.0, 0.5))
    row, col = draw(st.integers(0, grid.height - 1)), draw(st.integers(0, grid.width - 1))
    height, width = draw(st.integers(1, grid.height - row)), draw(st.integers(1, grid.width - col))
    return grid, draw(st.sampled_from([Window(row, col, height, width), Window(0, 0, grid.height, grid.width)]))


def counts(windows, grid: Grid) -> torch.Tensor:
    seen = torch.zeros(grid.height, grid.width, dtype=torch.int64)
    for window in windows:
        seen[window.inside(Window(0, 0, grid.height, grid.width))] += 1
    return seen


@settings(deadline=None, max_examples=50)
@given(areas(), st.integers(2, 80))
def test_blocks_partition_the_area(case: tuple[Grid, Window], size: int):
    grid, area = case
    cut = list(blocks(area, size))
    expected = torch.zeros(grid.height, grid.width, dtype=torch.int64)
    expected[area.inside(Window(0, 0, grid.height, grid.width))] = 1
    assert torch.equal(counts(cut, grid), expected)
    assert [(w.row, w.col) for w in cut] == sorted((w.row, w.col) for w in cut)
    assert all(1 <= w.height <= size and 1 <= w.width <= size for w in cut)


@settings(deadline=None, max_examples=50)
@given(areas(), st.integers(2, 80), st.integers(0, 9))
def test_tiles(case: tuple[Grid, Window], size: int, halo: int):
    grid, area = case
    tiles = plan(grid, Traits(halo=halo), size, area)
    assert [t.index for t in tiles] == list(range(len(tiles)))
    assert [t.core for t in tiles] == list(blocks(area, size))
    rows, cols = grid.cells
    for tile in tiles:
        own = tile.core.cells(grid.ratio)
        assert tile.read == own.grown(halo).clipped(rows, cols)
        assert tile.read.row <= own.row < own.row_end <= tile.read.row_end
        assert tile.read.col <= own.col < own.col_end <= tile.read.col_end
        assert tile.read.row == max(own.row - halo, 0)
        assert tile.read.col_end == min(own.col_end + halo, cols)


@settings(deadline=None, max_examples=50)
@given(areas(), st.integers(2, 80), st.integers(0, 4))
def test_trimmed_tiles_make_up_the_image(case: tuple[Grid, Window], size: int, halo: int):
    grid, area = case
    rows, cols = grid.cells
    frame = Window(0, 0, rows * grid.ratio, cols * grid.ratio)
    image = torch.arange(frame.height * frame.width).view(1, 1, frame.height, frame.width)
    out = torch.full((1, 1, grid.height, grid.width), -1)
    for tile in plan(grid, Traits(halo=halo), size, area):
        part = image[(..., *tile.read.scaled(grid.ratio).inside(frame))]
        out[(..., *tile.core.inside(Window(0, 0, grid.height, grid.width)))] = trim(part, tile, grid.ratio)
    place = (..., *area.inside(Window(0, 0, grid.height, grid.width)))
    assert torch.equal(out[place], image[(..., *area.inside(frame))])
    assert int((out >= 0).sum()) == area.height * area.width


def test_the_whole_scene_is_the_default_area():
    grid = Grid(30, 50, 4, (1.5, 1.5))
    assert plan(grid, Traits(), 16) == plan(grid, Traits(), 16, Window(0, 0, 30, 50))


def test_a_method_that_needs_the_whole_scene_gets_it():
    grid, area = Grid(30, 50, 4, (1.5, 1.5)), Window(3, 5, 10, 11)
    (tile,) = plan(grid, Traits(tiling="whole"), 16, area)
    assert tile.core == area
    assert tile.read == Window(0, 0, 8, 13)


@given(st.integers(1, 16), st.integers(1, 8))
def test_tile_sizes_are_whole_cells_and_legal_tiff_tiles(ratio: int, multiple: int):
    size = tile_size(ratio, multiple)
    assert size >= 512
    assert size % 16 == 0
    assert size % (ratio * multiple) == 0


@pytest.mark.parametrize("ratio", [2, 4, 8, 16])
def test_tile_size_of_the_usual_ratios(ratio: int):
    assert tile_size(ratio) == 512
