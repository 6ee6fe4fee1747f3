"""Windows are rectangles: the laws that tiles and files rely on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panloom.types import Band, Grid, Sensor, Tile, Traits, Window

WINDOWS = st.builds(Window, st.integers(-50, 50), st.integers(-50, 50), st.integers(0, 60), st.integers(0, 60))
SOLID = st.builds(Window, st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 60), st.integers(1, 60))
RATIOS = st.integers(1, 9)


def pixels(window: Window) -> set[tuple[int, int]]:
    return {(r, c) for r in range(window.row, window.row_end) for c in range(window.col, window.col_end)}


@given(WINDOWS, RATIOS)
def test_scaled_and_back(window: Window, ratio: int):
    fine = window.scaled(ratio)
    assert (fine.row_end, fine.col_end) == (window.row_end * ratio, window.col_end * ratio)
    if window.height and window.width:
        assert fine.cells(ratio) == window


@given(SOLID, RATIOS)
def test_cells_are_those_that_are_touched(window: Window, ratio: int):
    touched = {(r // ratio, c // ratio) for r, c in pixels(window)}
    assert pixels(window.cells(ratio)) == touched


@given(WINDOWS, st.integers(0, 20))
def test_grown(window: Window, margin: int):
    grown = window.grown(margin)
    assert grown.grown(-margin) == window
    assert (grown.row, grown.row_end) == (window.row - margin, window.row_end + margin)
    assert (grown.col, grown.col_end) == (window.col - margin, window.col_end + margin)


@given(WINDOWS, st.integers(1, 40), st.integers(1, 40))
def test_clipped_is_the_intersection(window: Window, height: int, width: int):
    clipped = window.clipped(height, width)
    assert pixels(clipped) == pixels(window) & pixels(Window(0, 0, height, width))
    assert clipped.height >= 0
    assert clipped.width >= 0
    assert 0 <= clipped.row <= height
    assert 0 <= clipped.col <= width
    assert clipped.clipped(height, width) == clipped


@given(WINDOWS, st.integers(-9, 9), st.integers(-9, 9))
def test_shifted(window: Window, rows: int, cols: int):
    assert pixels(window.shifted(rows, cols)) == {(r + rows, c + cols) for r, c in pixels(window)}
    assert window.shifted(rows, cols).shifted(-rows, -cols) == window


@given(SOLID, st.data())
def test_inside_cuts_the_window_out_of_an_array(outer: Window, data: st.DataObject):
    height, width = data.draw(st.integers(1, outer.height)), data.draw(st.integers(1, outer.width))
    row = data.draw(st.integers(outer.row, outer.row_end - height))
    col = data.draw(st.integers(outer.col, outer.col_end - width))
    rows, cols = np.mgrid[outer.row : outer.row_end, outer.col : outer.col_end]
    window = Window(row, col, height, width)
    cut = window.inside(outer)
    assert set(zip(rows[cut].ravel().tolist(), cols[cut].ravel().tolist(), strict=True)) == pixels(window)


@given(st.integers(1, 99), st.integers(1, 99), st.integers(1, 9))
def test_cells_of_a_grid_cover_it_and_no_more(height: int, width: int, ratio: int):
    rows, cols = Grid(height, width, ratio, (0.0, 0.0)).cells
    assert (rows - 1) * ratio < height <= rows * ratio
    assert (cols - 1) * ratio < width <= cols * ratio


def test_values_are_frozen_and_hashable():
    band = Band("red", 650.0, 50.0, 0.3)
    window = Window(0, 0, 1, 1)
    values = (
        band,
        Sensor("any", (band,), band, 4, None),
        window,
        Grid(4, 4, 2, (0.5, 0.5)),
        Tile(0, window, window),
        Traits(),
    )
    assert len({hash(v) for v in values}) == len(values)
    for value in values:
        with pytest.raises((AttributeError, TypeError)):
            setattr(value, next(iter(value.__slots__)), 1)
