"""The value types at the bottom of the house: frozen, hashable, without torch and without files.

The record that holds pixels, `Pair`, and the protocols of methods stand in `panloom.pair`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

#: What is used of a network that was fitted to a scene: the adapted network, or the frozen one.
Decision = Literal["adapted", "frozen"]


@dataclass(frozen=True, slots=True)
class Band:
    """One spectral band of an instrument.

    Attributes:
        name: lower case, as in `panloom sensors NAME`: "blue", "nir", "swir1", ...
        centre_nm: centre wavelength in nanometres.
        fwhm_nm: width at half maximum in nanometres.
        mtf_nyquist: gain of the optics at this band's own Nyquist frequency, in (0, 1).
        role: "sharpen" (visible and near infrared), or the reason why the band is passed through.
        placeholder: the wavelengths are made up, because nobody said where the band lies.
    """

    name: str
    centre_nm: float
    fwhm_nm: float
    mtf_nyquist: float
    role: Literal["sharpen", "swir", "cirrus", "thermal"] = "sharpen"
    placeholder: bool = False


@dataclass(frozen=True, slots=True)
class Sensor:
    """Facts about an instrument (one TOML file each in `panloom/sensors`).

    Attributes:
        name: registry name, lower case with hyphens.
        bands: the multispectral bands in the product's usual order; in a scene, the bands in use.
        pan: the panchromatic band.
        ratio: PAN pixels per MS pixel along one axis.
        full_scale: the DN that becomes 1.0 inside a `Pair`; None where the data must tell.
        scale: physical value = scale * DN + offset.
        offset: see `scale`.
        gsd_pan_m: ground sampling distance of PAN in metres; None for the generic sensor.
        cite: where the facts come from.
    """

    name: str
    bands: tuple[Band, ...]
    pan: Band
    ratio: int
    full_scale: float | None
    scale: float = 1.0
    offset: float = 0.0
    gsd_pan_m: float | None = None
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: rows [row, row + height), columns [col, col + width)."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_end(self) -> int:
        """One past the last row."""
        return self.row + self.height

    @property
    def col_end(self) -> int:
        """One past the last column."""
        return self.col + self.width

    def scaled(self, ratio: int) -> Window:
        """The same rectangle on a grid that is `ratio` times finer."""
        return Window(self.row * ratio, self.col * ratio, self.height * ratio, self.width * ratio)

    def grown(self, margin: int) -> Window:
        """The rectangle with `margin` pixels more on every side."""
        return Window(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def cells(self, ratio: int) -> Window:
        """The cells of `ratio` x `ratio` pixels that this window of pixels touches."""
        row, col = self.row // ratio, self.col // ratio
        return Window(row, col, -(-self.row_end // ratio) - row, -(-self.col_end // ratio) - col)

    def clipped(self, height: int, width: int) -> Window:
        """The part inside an image of that size; its height or width is 0 where nothing is."""
        row, col = min(max(self.row, 0), height), min(max(self.col, 0), width)
        return Window(
            row,
            col,
            max(min(self.row_end, height) - row, 0),
            max(min(self.col_end, width) - col, 0),
        )

    def shifted(self, rows: int, cols: int) -> Window:
        """The rectangle moved down by `rows` and right by `cols`."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Slices that cut this window out of an array that holds `outer`."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)


@dataclass(frozen=True, slots=True)
class Grid:
    """Two nested pixel grids: PAN, and the cells of `ratio` x `ratio` PAN pixels that tiles are counted in.

    Attributes:
        height: rows of the PAN image.
        width: columns of the PAN image.
        ratio: PAN pixels per MS pixel.
        phase: (row, col): MS sample i is centred on PAN index ratio * i + phase. Real-valued, in
            [-0.5, ratio - 0.5), so that sample i lies in cell i.
        crs: coordinate reference system as WKT; None without georeference.
        transform: affine (a, b, c, d, e, f) from PAN (col, row) corners to coordinates; None without.
    """

    height: int
    width: int
    ratio: int
    phase: tuple[float, float]
    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells; the last ones may stick out of the PAN image."""
        return math.ceil(self.height / self.ratio), math.ceil(self.width / self.ratio)


def corner_phase(ratio: int) -> float:
    """The phase of MS samples whose upper left corner is that of PAN, along one axis."""
    return (ratio - 1) / 2


def bit_range(high: float) -> int:
    """2^n - 1: the largest number of the fewest bits, one at least, that hold `high`.

    >>> bit_range(0.7), bit_range(255), bit_range(256)
    (1, 255, 511)
    """
    return 2 ** max(math.ceil(math.log2(max(0.0, high) + 1)), 1) - 1


@dataclass(frozen=True, slots=True)
class Tile:
    """One unit of work.

    Attributes:
        index: place in the plan, row by row.
        core: what is written, in PAN pixels of the scene.
        read: what is looked at, in cells (MS pixels): the core's cells and the halo, clipped to the scene.
    """

    index: int
    core: Window
    read: Window


@dataclass(frozen=True, slots=True)
class Traits:
    """What the machinery must know about a method.

    Attributes:
        ratios: ratios the method works at; None: any.
        bands: number of bands it works at; None: any.
        halo: MS pixels needed on each side so that a tile equals the whole, given `exp`.
        multiple: tile sizes must be a multiple of this many MS pixels.
        tiling: "exact" (tile equals whole) or "whole" (one tile only).
        additive: the method commutes with adding a constant to every image (ratio methods do not).
        stochastic: the method draws noise.
        images: memory that a tile needs while it is fused, in float32 images of all bands and PAN.
        cite: keys of `panloom/references.toml`.
    """

    ratios: tuple[int, ...] | None = None
    bands: int | None = None
    halo: int = 0
    multiple: int = 1
    tiling: Literal["exact", "whole"] = "exact"
    additive: bool = False
    stochastic: bool = False
    images: int = 8
    cite: tuple[str, ...] = ()
