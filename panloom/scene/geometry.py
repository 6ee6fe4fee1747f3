"""How the grids of PAN and MS lie: ratio, phase, overlap. Settled from the headers, before any pixel is read."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import Literal

from affine import Affine

from panloom.errors import OptionError, SceneError
from panloom.scene._rasterio import Affine6, Nested, Raster, project, same_crs
from panloom.types import Grid, Window, corner_phase

Extent = Literal["pan", "intersection", "ms"]
Axes = tuple[float, float]  # (row, col)

#: Smallest and largest ratio that is fused.
RATIOS = (2, 16)

#: PAN pixels by which the two grids may drift apart over the scene and still count as nested.
DRIFT = 0.1

#: Cells around the scene that a resampled MS covers as well.
BEYOND = 8

#: PAN pixels that no place on the ground is away from an image; what is further off is a slip of the pen.
FARTHEST = 1e12


@dataclass(frozen=True)
class Layout:
    """The answer to every question about geometry.

    Attributes:
        grid: the scene's grids; PAN pixel (0, 0) of the scene is `pan_origin` of the PAN file.
        pan_origin: (row, col) in the PAN file; negative where the scene starts outside it.
        ms_origin: (row, col) in the MS file (or in its resampled grid) of the sample in cell (0, 0).
        ms_size: rows and columns of the MS file (or of its resampled grid).
        nested: the grid MS is resampled onto; None when it is read as it lies.
        area: what is written, in PAN pixels of the scene.
        notes: what the user should know.
    """

    grid: Grid
    pan_origin: tuple[int, int]
    ms_origin: tuple[int, int]
    ms_size: tuple[int, int]
    nested: Nested | None
    area: Window
    notes: tuple[str, ...] = ()

    @property
    def area_transform(self) -> Affine6 | None:
        """The affine transform of what is written."""
        transform = self.grid.transform
        return _placed(transform, (self.area.row, self.area.col)) if transform else None

    def shifted(self, rows: float, cols: float) -> Layout:
        """The same with MS moved down and to the right by PAN pixels."""
        grid, origin = self.grid, self.ms_origin
        row_step, row = cell_of(grid.phase[0] + rows, grid.ratio)
        col_step, col = cell_of(grid.phase[1] + cols, grid.ratio)
        moved = replace(grid, phase=(row, col))
        return replace(self, grid=moved, ms_origin=(origin[0] - row_step, origin[1] - col_step))


@dataclass(frozen=True)
class _Relation:
    """The outline of MS in PAN pixels (corners, so pixel n covers n to n + 1), and the size of an MS pixel there."""

    start: Axes
    end: Axes
    step: Axes
    parallel: bool = True
    flipped: bool = False
    note: str = ""


def settle(
    pan: Raster,
    ms: Raster,
    *,
    extent: Extent = "pan",
    shift: Axes | None = None,
    window: Window | None = None,
    bounds: tuple[float, float, float, float] | None = None,
) -> Layout:
    """Settle the geometry of a scene.

    Args:
        pan: header of the PAN file.
        ms: header of the MS file, or of the first of several.
        extent: the part of the ground that the scene covers; always on the PAN grid.
        shift: (row, col) in MS pixels by which MS lies further down / to the right than the files say.
        window: part to write, in PAN pixels of the PAN file.
        bounds: part to write, (left, bottom, right, top) in the PAN file's coordinates.

    Raises:
        SceneError: the two do not overlap, or their ratio is impossible.
        OptionError: window or bounds lie outside the scene.
    """
    relation = _relate(pan, ms)
    ratio = _ratio(relation, pan, ms)
    shift = shift or (0.0, 0.0)
    scene = _scene_window(relation, shift, pan, ms, extent)
    layout = _nest(relation, ratio, shift, pan, ms, scene)
    return _cut(layout, _bounds_window(pan, bounds) if bounds is not None else window)


def _relate(pan: Raster, ms: Raster) -> _Relation:
    if pan.transform is None or ms.transform is None:
        return _unreferenced(pan, ms)
    for raster in (pan, ms):
        _check_transform(raster)
    if pan.crs and ms.crs and not same_crs(pan.crs, ms.crs):
        return _projected(pan, ms)
    relative = ~Affine(*pan.transform) * Affine(*ms.transform)
    if max(abs(relative.b), abs(relative.d)) * max(ms.width, ms.height) > DRIFT:
        return _projected(pan, ms)
    ends = [(relative.f, relative.f + relative.e * ms.height), (relative.c, relative.c + relative.a * ms.width)]
    (top, bottom), (left, right) = (sorted(e) for e in ends)
    flipped = relative.e < 0 or relative.a < 0
    return _Relation((top, left), (bottom, right), (abs(relative.e), abs(relative.a)), flipped=flipped)


def _check_transform(raster: Raster) -> None:
    transform = Affine(*(raster.transform or ()))
    # Below the smallest normal number the inverse overflows.
    if not all(map(math.isfinite, transform[:6])) or abs(transform.determinant) < sys.float_info.min:
        raise SceneError(
            f"{raster.path}: its transform {transform[:6]} gives pixels no area; correct it "
            "(rio edit-info --transform, gdal_edit -a_ullr)"
        )


def _unreferenced(pan: Raster, ms: Raster) -> _Relation:
    """Both images start at the same ground corner."""
    sizes = (pan.height / ms.height, pan.width / ms.width)
    ratio = max(round(math.sqrt(sizes[0] * sizes[1])), 1)
    off = max(abs(pan.height - ratio * ms.height), abs(pan.width - ratio * ms.width))
    if off > 2 * ratio and off > 0.02 * max(pan.height, pan.width):
        raise SceneError(
            f"PAN is {pan.width} x {pan.height} and MS {ms.width} x {ms.height} pixels: without georeference both must "
            f"cover the same ground, but the ratios of their sides are {sizes[1]:.3f} and {sizes[0]:.3f}"
        )
    end = (float(ratio * ms.height), float(ratio * ms.width))
    return _Relation((0.0, 0.0), end, (float(ratio), float(ratio)), note=_unreferenced_note(pan, ms))


def _unreferenced_note(pan: Raster, ms: Raster) -> str:
    if (pan.transform is None) != (ms.transform is None):
        which = "PAN" if pan.transform is None else "MS"
        return f"{which} has no georeference: the upper left corners of PAN and MS are taken to coincide"
    if pan.rpcs or ms.rpcs or pan.gcps or ms.gcps:
        return (
            "the images are not orthorectified (they carry RPCs or ground control points only): they are fused in "
            "sensor geometry, corner on corner; orthorectify both first for a result that lies right on the map"
        )
    return "no georeference: the upper left corners of PAN and MS are taken to coincide (--ms-shift changes that)"


def _projected(pan: Raster, ms: Raster) -> _Relation:
    """The bounding box of MS in PAN pixels, through both reference systems; the pixel size is that at its centre."""
    frame, inverse = Affine(*(ms.transform or ())), ~Affine(*(pan.transform or ()))
    middle = (ms.width / 2, ms.height / 2)
    edge = [i / 8 for i in range(9)]
    outline = [(u * ms.width, v * ms.height) for u in edge for v in edge if {u, v} & {0.0, 1.0}]
    ground = [frame * p for p in [middle, (middle[0] + 1, middle[1]), (middle[0], middle[1] + 1), *outline]]
    if pan.crs and ms.crs:
        xs, ys = project([p[0] for p in ground], [p[1] for p in ground], ms.crs, pan.crs)
        ground = list(zip(xs, ys, strict=True))
    if not all(math.isfinite(v) for p in ground for v in p):
        raise SceneError("MS lies outside the area where the reference system of PAN is defined")
    (x0, y0), (x1, y1), (x2, y2), *box = (inverse * p for p in ground)
    size = math.sqrt(abs((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)))
    start = (min(y for _, y in box), min(x for x, _ in box))
    end = (max(y for _, y in box), max(x for x, _ in box))
    return _Relation(start, end, (size, size), parallel=False)


def _ratio(relation: _Relation, pan: Raster, ms: Raster) -> int:
    real = math.sqrt(relation.step[0] * relation.step[1])
    if 1.4 <= real < RATIOS[1] + 0.5:
        return max(round(real), RATIOS[0])
    what = "PAN is not sharper than MS" if real < 1.4 else "MS is too coarse for PAN"
    raise SceneError(
        f"{what}: a pixel of {ms.path} is {real:.3g} pixels of {pan.path} wide, and ratios from {RATIOS[0]} to "
        f"{RATIOS[1]} can be fused; is the order PAN MS right?"
    )


def _scene_window(relation: _Relation, shift: Axes, pan: Raster, ms: Raster, extent: Extent) -> Window:
    """The scene in pixels of the PAN file."""
    whole = Window(0, 0, pan.height, pan.width)
    moved = [s * d for s, d in zip(relation.step, shift, strict=True)]
    first = [math.ceil(s + m - 0.5 - 1e-6) for s, m in zip(relation.start, moved, strict=True)]
    last = [math.floor(e + m - 0.5 + 1e-6) + 1 for e, m in zip(relation.end, moved, strict=True)]
    footprint = Window(first[0], first[1], max(last[0] - first[0], 0), max(last[1] - first[1], 0))
    overlap = footprint.clipped(pan.height, pan.width)
    if not overlap.height or not overlap.width:
        raise SceneError(
            f"PAN and MS do not overlap: MS ({ms.path}) covers PAN columns {first[1]} to {last[1]} and rows "
            f"{first[0]} to {last[0]}, but PAN ({pan.path}) has {pan.width} x {pan.height} pixels"
        )
    return {"pan": whole, "intersection": overlap, "ms": footprint}[extent]


def _nest(relation: _Relation, ratio: int, shift: Axes, pan: Raster, ms: Raster, scene: Window) -> Layout:
    """Phase and origins for a scene that starts at `scene` of the PAN file."""
    size = (ms.height, ms.width)
    drift = max(abs(s - ratio) * n for s, n in zip(relation.step, size, strict=True))
    as_it_lies = relation.parallel and not relation.flipped and drift <= DRIFT
    aligned = relation.parallel and drift <= DRIFT
    origin = (scene.row, scene.col)
    centred = corner_phase(ratio)
    # Over a slight drift the phase at the middle of the image is the fairest.
    start = [s + (d - ratio) * n / 2 for s, d, n in zip(relation.start, relation.step, size, strict=True)]
    first = [s + ratio / 2 - 0.5 - o if aligned else centred for s, o in zip(start, origin, strict=True)]
    transform = _placed(pan.transform, origin) if pan.transform else None
    grid = Grid(scene.height, scene.width, ratio, (0.0, 0.0), pan.crs, transform)
    as_said = Layout(grid, origin, (0, 0), size, None, Window(0, 0, scene.height, scene.width)).shifted(*first)
    layout = as_said.shifted(ratio * shift[0], ratio * shift[1])
    note = (relation.note,) if relation.note else ()
    if as_it_lies:
        return replace(layout, notes=note)
    # Beyond the scene too, so that its border sees MS and not a repeated edge.
    moves = [a - b for a, b in zip(layout.ms_origin, as_said.ms_origin, strict=True)]
    pad = BEYOND + max(abs(m) for m in moves)
    corner = tuple(o + p - centred - pad * ratio for o, p in zip(origin, as_said.grid.phase, strict=True))
    size = (grid.cells[0] + 2 * pad, grid.cells[1] + 2 * pad)
    place = Affine(*(pan.transform or ())) * Affine.translation(corner[1], corner[0]) * Affine.scale(ratio)
    nested = Nested(pan.crs, place[:6], *size)
    notes = (*note, _resampling_note(relation, ratio, pan, ms, drift))
    return replace(layout, ms_origin=(pad + moves[0], pad + moves[1]), ms_size=size, nested=nested, notes=notes)


def cell_of(position: float, ratio: int) -> tuple[int, float]:
    """The cell that holds a PAN position, and the position inside it, in [-0.5, ratio - 0.5)."""
    cell = math.floor((position + 0.5 + 1e-9) / ratio)
    inside = position - ratio * cell
    # The transforms of files carry rounding noise; a phase is stated to a millionth of a pixel.
    return cell, round(inside, 6) + 0.0


def _placed(transform: Affine6, origin: tuple[int, int]) -> Affine6:
    return (Affine(*transform) * Affine.translation(origin[1], origin[0]))[:6]


def _resampling_note(relation: _Relation, ratio: int, pan: Raster, ms: Raster, drift: float) -> str:
    if not relation.parallel:
        why = (
            "lies in another reference system than PAN"
            if pan.crs and ms.crs and not same_crs(pan.crs, ms.crs)
            else "is turned against PAN"
        )
    elif drift > DRIFT:
        real = f"{relation.step[1]:.6g} x {relation.step[0]:.6g}"
        why = f"has pixels of {real} PAN pixels, no whole number,"
    else:
        why = "runs against the direction of PAN"
    return f"MS {why}: it is resampled (cubic) onto a grid of {ratio} x {ratio} PAN pixels"


def _cut(layout: Layout, wanted: Window | None) -> Layout:
    """The layout with the part that is written, which is wanted in pixels of the PAN file."""
    if wanted is None:
        return layout
    grid, (row, col) = layout.grid, layout.pan_origin
    said = f"the window (row {wanted.row}, column {wanted.col}, {wanted.height} x {wanted.width})"
    scene = f"the scene, which starts at PAN row {row}, column {col} and has {grid.height} x {grid.width} pixels"
    part = wanted.shifted(-row, -col).clipped(grid.height, grid.width)
    if not part.height or not part.width:
        raise OptionError(f"{said} holds no pixel of {scene}")
    kept = part.shifted(row, col)
    if kept == wanted:
        return replace(layout, area=part)
    note = (
        f"{said} reaches beyond {scene}: only the part inside is written (row {kept.row}, column {kept.col}, "
        f"{kept.height} x {kept.width})"
    )
    return replace(layout, area=part, notes=(*layout.notes, note))


def _bounds_window(pan: Raster, bounds: tuple[float, float, float, float]) -> Window:
    if pan.transform is None:
        raise OptionError("--bounds needs a georeferenced PAN; use --window ROW,COL,HEIGHT,WIDTH")
    left, bottom, right, top = bounds
    if left >= right or bottom >= top:
        raise OptionError(f"bounds are LEFT,BOTTOM,RIGHT,TOP; given: {left:g},{bottom:g},{right:g},{top:g}")
    inverse = ~Affine(*pan.transform)
    corners = [inverse * (x, y) for x in (left, right) for y in (bottom, top)]
    if not all(abs(v) < FARTHEST for corner in corners for v in corner):
        raise OptionError(
            f"the bounds {left:g},{bottom:g},{right:g},{top:g} lie too far from PAN; they are in its coordinates"
        )
    row, col = math.floor(min(r for _, r in corners)), math.floor(min(c for c, _ in corners))
    height = math.ceil(max(r for _, r in corners)) - row
    return Window(row, col, height, math.ceil(max(c for c, _ in corners)) - col)
