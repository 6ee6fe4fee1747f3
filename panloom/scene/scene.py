"""A scene: PAN and MS on two nested grids, read tile by tile. Every question about the input is settled on opening."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from panloom.compute import each
from panloom.optics import physical
from panloom.optics.continuation import STEPS, continue_pan, extend
from panloom.pair import Pair, Reduced
from panloom.scene._sources import Source, Units, take
from panloom.scene.bands import SceneBand
from panloom.scene.geometry import Layout
from panloom.tiling import blocks, tile_size
from panloom.types import Grid, Sensor, Tile, Window

#: Blocks that statistics look at; a scene with more of them is sampled evenly.
SURVEY_BLOCKS = 1024

#: Share of the MTF kernel's weight that must lie on valid PAN pixels for a reduced pixel to count; the others are
#: continued, so a few of them scattered over the scene do no harm.
SUPPORT = 0.9

#: MS pixels by which a PAN pixel may miss the middle between two samples and still belong to both.
HALFWAY = 1e-6


@dataclass(frozen=True)
class Loaded:
    """A tile with what only the writer needs; everything on the PAN grid of `tile.read`.

    Attributes:
        pair: what methods see.
        passed: interpolated bands that are not sharpened, in their order; None when there are none.
        valid: validity of every requested band, in output order; None: all valid.
        filled: pixels whose own MS pixel is missing and that were filled from its neighbours; None: none.
        missing: PAN-valid pixels without MS; None: none.
    """

    pair: Pair
    passed: Float[Tensor, "1 P H W"] | None
    valid: Bool[Tensor, "1 N H W"] | None
    filled: Bool[Tensor, "1 1 H W"] | None
    missing: Bool[Tensor, "1 1 H W"] | None


@dataclass(frozen=True)
class NestedScene:
    """PAN and MS on two nested grids, ready to be read; `panloom.scene.Scene` adds how they are opened.

    Attributes:
        layout: the grids and how the files lie on them.
        sensor: its bands are those that are sharpened.
        bands: all requested bands, in output order.
        pan: where PAN pixels come from.
        ms: where MS pixels come from, bands in output order.
        units: of MS, for the way back to stored numbers.
        edge: "fill": a PAN pixel whose own MS pixel is missing but a neighbouring one is not, is kept.
        threads: readers at work in `survey`.
        notes: what the user should know.
    """

    layout: Layout
    sensor: Sensor
    bands: tuple[SceneBand, ...]
    pan: Source
    ms: Source
    units: Units
    edge: str = "fill"
    threads: int = 1
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """The two nested grids."""
        return self.layout.grid

    @property
    def sharp(self) -> tuple[int, ...]:
        """Places of the sharpened bands among `bands`."""
        return tuple(k for k, b in enumerate(self.bands) if b.sharpen)

    @property
    def rest(self) -> tuple[int, ...]:
        """Places of the bands that are passed through."""
        return tuple(k for k, b in enumerate(self.bands) if not b.sharpen)

    @property
    def may_be_invalid(self) -> bool:
        """Some pixel of the scene can lack PAN or MS."""
        if not (self.pan.all_valid and self.ms.all_valid):
            return True
        layout, grid = self.layout, self.grid
        reach = 1 if self.edge == "fill" else 0
        sides = zip(layout.pan_origin, (grid.height, grid.width), self.pan.size, strict=True)
        if any(o < 0 or o + n > size for o, n, size in sides):
            return True
        sides = zip(self._own(Window(0, 0, *grid.cells)), (grid.height, grid.width), self._ms_cells, strict=True)
        return any(int(own[0]) < first - reach or int(own[n - 1]) > last + reach for own, n, (first, last) in sides)

    @property
    def _ms_cells(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last cell that has an MS sample, along rows and columns."""
        (top, left), (height, width) = self.layout.ms_origin, self.ms.size
        return (-top, height - 1 - top), (-left, width - 1 - left)

    def _own(self, cells: Window) -> tuple[Tensor, Tensor]:
        """The cell of each PAN row's and column's own MS sample, counted from the first cell of the window."""
        grid, (rows, cols) = self.grid, self._ms_cells
        height, width = torch.arange(cells.height * grid.ratio), torch.arange(cells.width * grid.ratio)
        return (
            _own_cells(height, grid.phase[0], grid.ratio, (rows[0] - cells.row, rows[1] - cells.row)),
            _own_cells(width, grid.phase[1], grid.ratio, (cols[0] - cells.col, cols[1] - cells.col)),
        )

    def read(self, tile: Tile) -> Pair:
        """The pair of `tile.read`."""
        return self.load(tile).pair

    def load(self, tile: Tile) -> Loaded:
        """The pair of `tile.read`, with passed-through bands and per-band validity.

        Raises:
            SceneError: a file cannot be read there.
        """
        ratio, phase = self.grid.ratio, self.grid.phase
        pan, pan_valid = self._pan(tile.read)
        ms, ms_valid = self._ms(tile.read.grown(physical.REACH))
        exp = physical.interpolate(ms, ratio, phase, margin=physical.REACH)
        inner = slice(physical.REACH, -physical.REACH)
        own = near = None
        if ms_valid is not None:
            rows, cols = (index + physical.REACH for index in self._own(tile.read))
            # Tiles at the border look beyond it; no pixel is missing there as long as none of its own is.
            if not ms_valid[..., int(rows[0]) : int(rows[-1]) + 1, int(cols[0]) : int(cols[-1]) + 1].all():
                own, near = _on_pan(ms_valid, rows, cols)
        sharp, rest = self.sharp, self.rest
        kept = near if self.edge == "fill" else own
        valid = _together(pan_valid, kept, exp)
        pair = Pair(
            pan=pan,
            ms=_bands(ms[..., inner, inner], sharp, rest),
            exp=_bands(exp, sharp, rest),
            valid=_all_valid(exp) if valid is None else valid[:, sharp].all(1, keepdim=True),
            phase=phase,
            sensor=self.sensor,
            origin=(tile.read.row * ratio, tile.read.col * ratio),
        )
        passed = exp[:, rest] if rest else None
        return Loaded(pair, passed, valid, *_accounts(pan_valid, own, kept))

    def reduced(self, core: Window) -> Reduced:
        """A window of cells on the MS grid: MS beside PAN seen through the MS optics; the same in any window."""
        grid, rows_cols = self.grid, self.grid.cells
        gain = sum(b.mtf_nyquist for b in self.sensor.bands) / len(self.sensor.bands)
        around = core.grown(physical.reduce_margin(gain, grid.ratio)).clipped(*rows_cols)
        pan, pan_valid = self._pan(around)
        rows, cols = core.inside(around)
        low = physical.degrade(pan, [gain], grid.ratio, grid.phase)[..., rows, cols]
        ms, ms_valid = take(self.ms, self.layout.ms_origin, core)
        sharp, rest = self.sharp, self.rest
        valid = _all_valid(low)
        if ms_valid is not None:
            valid = ms_valid[:, sharp].all(1, keepdim=True)
        if pan_valid is not None:
            support = physical.degrade(pan_valid.to(pan.dtype), [gain], grid.ratio, grid.phase)
            valid = valid & (support[..., rows, cols] >= SUPPORT)
        return Reduced(low, _bands(ms, sharp, rest), valid)

    @property
    def surveyed(self) -> tuple[int, int]:
        """Blocks that `survey` looks at, and blocks in all."""
        size = tile_size(self.grid.ratio) // self.grid.ratio
        rows, cols = self.grid.cells
        total = -(-rows // size) * -(-cols // size)
        return min(total, SURVEY_BLOCKS), total

    def survey(self) -> Iterator[Reduced]:
        """Reduced blocks in a fixed order: the whole scene, or an even sample of SURVEY_BLOCKS of a huge one."""
        rows, cols = self.grid.cells
        cut = list(blocks(Window(0, 0, rows, cols), tile_size(self.grid.ratio) // self.grid.ratio))
        chosen = [cut[k * len(cut) // self.surveyed[0]] for k in range(self.surveyed[0])]
        yield from each(chosen, self.reduced, self.threads)

    def sample(self, n: int, size: int, rng: Generator) -> Iterator[Pair]:
        """Up to `n` pairs of `size` x `size` cells (fewer cells in a small scene), at drawn places, mostly valid."""
        rows, cols = self.grid.cells
        height, width = min(size, rows), min(size, cols)
        found = 0
        for _ in range(4 * n):
            row = int(torch.randint(rows - height + 1, (), generator=rng))
            col = int(torch.randint(cols - width + 1, (), generator=rng))
            window = Window(row, col, height, width)
            pair = self.read(Tile(0, window.scaled(self.grid.ratio), window))
            if pair.valid.float().mean() < 0.75:
                continue
            yield pair
            found += 1
            if found == n:
                return

    def close(self) -> None:
        """Let go of the files."""
        self.pan.close()
        self.ms.close()

    def _pan(self, cells: Window) -> tuple[Tensor, Tensor | None]:
        """PAN of a window of cells, continued where invalid, and its validity (None: all)."""
        values, valid = self._pan_as_it_is(cells)
        if valid is None:
            return values, None
        around = cells.grown(STEPS).clipped(*self.grid.cells)
        values, known = self._pan_as_it_is(around)
        known = torch.ones_like(values, dtype=torch.bool) if known is None else known
        rows, cols = cells.inside(around)
        ratio = self.grid.ratio
        rows, cols = (slice(s.start * ratio, s.stop * ratio) for s in (rows, cols))
        return continue_pan(values, known, ratio)[..., rows, cols].contiguous(), valid

    def _pan_as_it_is(self, cells: Window) -> tuple[Tensor, Tensor | None]:
        """PAN pixels; those of the last cells that stick out of the scene are invalid."""
        grid, window = self.grid, cells.scaled(self.grid.ratio)
        values, valid = take(self.pan, self.layout.pan_origin, window)
        over = (max(window.row_end - grid.height, 0), max(window.col_end - grid.width, 0))
        if any(over):
            valid = torch.ones_like(values, dtype=torch.bool) if valid is None else valid.clone()
            valid[..., window.height - over[0] :, :] = False
            valid[..., :, window.width - over[1] :] = False
        return values, valid

    def _covered(self, cells: Window) -> Window:
        """The part of a window of cells that MS or the scene covers."""
        sides = zip(self.layout.ms_origin, self.ms.size, self.grid.cells, strict=True)
        (top, bottom), (left, right) = [(min(-o, 0), max(n - o, m)) for o, n, m in sides]
        return cells.shifted(-top, -left).clipped(bottom - top, right - left).shifted(top, left)

    def _ms(self, cells: Window) -> tuple[Tensor, Tensor | None]:
        """MS of a window of cells, continued where invalid; beyond scene and MS the edge is repeated, and invalid."""
        inside = self._covered(cells)
        values, valid = take(self.ms, self.layout.ms_origin, inside)
        if valid is not None:
            around = self._covered(inside.grown(STEPS))
            values, valid = take(self.ms, self.layout.ms_origin, around)
            rows, cols = inside.inside(around)
            if valid is not None:
                values, valid = extend(values, valid)[..., rows, cols], valid[..., rows, cols]
            else:
                values = values[..., rows, cols]
        pads = (
            inside.row - cells.row,
            cells.row_end - inside.row_end,
            inside.col - cells.col,
            cells.col_end - inside.col_end,
        )
        if not any(pads):
            return values, valid
        wide = physical.replicate(values, *pads)
        rows, cols = inside.inside(cells)
        known = torch.zeros_like(wide, dtype=torch.bool)
        known[..., rows, cols] = True if valid is None else valid
        return wide, known


def _bands(image: Tensor, sharp: Sequence[int], rest: Sequence[int]) -> Tensor:
    return image[:, list(sharp)] if rest else image


def _all_valid(like: Tensor) -> Tensor:
    return torch.ones((like.shape[0], 1, *like.shape[-2:]), dtype=torch.bool)


def _own_cells(pixels: Tensor, phase: float, ratio: int, ms: tuple[int, int]) -> Tensor:
    """The cells whose MS samples lie nearest to PAN pixels, along one axis; `ms`: first and last cell that has one.

    A pixel half-way between two samples belongs to the later one, but to the last one that there is.
    """
    position = (pixels.double() - phase) / ratio
    own = torch.floor(position + 0.5).long()
    covered = (position >= ms[0] - 0.5 - HALFWAY) & (position <= ms[1] + 0.5 + HALFWAY)
    return torch.where(covered, own.clamp(*ms), own)


def _on_pan(valid: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Validity of each PAN pixel's own MS pixel, and of that or one of its eight neighbours."""
    near = functional.max_pool2d(valid.float(), 3, stride=1, padding=1) > 0
    own, spread = (m.index_select(-2, rows).index_select(-1, cols) for m in (valid, near))
    return own, spread


def _together(pan_valid: Tensor | None, ms_valid: Tensor | None, exp: Tensor) -> Tensor | None:
    """Validity of every requested band; None where all is valid."""
    if ms_valid is None:
        return None if pan_valid is None else pan_valid.expand(exp.shape)
    return ms_valid if pan_valid is None else ms_valid & pan_valid


def _accounts(pan_valid: Tensor | None, own: Tensor | None, kept: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Which PAN-valid pixels were filled, and which are lost because MS is missing (in any requested band)."""
    if own is None or kept is None:
        return None, None
    own_all, kept_all = own.all(1, keepdim=True), kept.all(1, keepdim=True)
    here = torch.ones_like(own_all) if pan_valid is None else pan_valid
    return here & kept_all & ~own_all, here & ~kept_all
