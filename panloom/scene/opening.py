"""Opening scenes: from files or arrays to a `Scene` in which every question is settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.compute import each
from panloom.errors import OptionError, SceneError
from panloom.optics import registration
from panloom.scene import geometry
from panloom.scene._rasterio import Raster, Reader, describe
from panloom.scene._sources import ArraySource, FileSource, Source, Units, check_readable
from panloom.scene.bands import Identity, SceneBand, identify
from panloom.scene.geometry import Extent, Layout
from panloom.scene.scene import NestedScene
from panloom.types import Grid, Sensor, Window

#: Windows that the full scale of an unknown sensor is estimated from, per axis, and their size in pixels.
PROBES, PROBE = 5, 128

#: Windows of the registration check, and their size in MS pixels.
CHECKS, CHECK = 7, 96


class Scene(NestedScene):
    """PAN and MS, ready to be read; made from files by `Scene.open` or `open_scene`, from memory by `array_scene`."""

    @staticmethod
    def open(
        pan: str,
        ms: str | Sequence[str],
        *,
        sensor: str | Sensor | None = None,
        bands: Sequence[str | int] | None = None,
        extent: Extent = "pan",
        align: bool = False,
    ) -> Scene:
        """A scene from files; `panloom.scene.open_scene` takes every word of the command line.

        Args:
            pan: path or URL of anything GDAL reads, with one data band.
            ms: one multi-band raster, or several files of one grid.
            sensor: registry name, path of a TOML file, or a sensor; None: recognised, else generic.
            bands: bands to use: file numbers, names, or `3=red`.
            extent: "pan", "intersection" or "ms".
            align: correct the measured offset between PAN and MS.

        Raises:
            PanloomError: the files cannot be read or do not belong together, or a word is unknown.
        """
        opened = open_scene(pan, ms, sensor=sensor, bands=bands, extent=extent)
        return (aligned(opened, misregistration(opened.scene)) if align else opened).scene


@dataclass(frozen=True)
class Opened:
    """A scene from files, with the headers and identity it was made from.

    Attributes:
        scene: ready to be read.
        pan: header of the PAN file.
        ms: headers of the MS files.
        identity: sensor and bands, with sources.
        full_scale_source: where the full scale comes from.
    """

    scene: Scene
    pan: Raster
    ms: tuple[Raster, ...]
    identity: Identity
    full_scale_source: str


def open_scene(  # noqa: PLR0913  what a user may say about a scene, each a flag of the same name
    pan: str,
    ms: str | Sequence[str],
    *,
    sensor: str | Sensor | None = None,
    bands: Sequence[str | int] | None = None,
    sharpen: Sequence[str | int] | None = None,
    extent: Extent = "pan",
    ms_shift: tuple[float, float] | None = None,
    window: Window | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    src_nodata: float | None = None,
    edge: str = "fill",
    threads: int = 1,
) -> Opened:
    """Open PAN and MS files as a scene.

    Args:
        pan: path or URL of anything GDAL reads, with one data band.
        ms: one multi-band raster, or several files of one grid.
        sensor: registry name, path of a TOML file, or a sensor; None: recognised, else generic.
        bands: bands to use, see `panloom.scene.bands.identify`.
        sharpen: bands to sharpen; None: all but SWIR, cirrus and thermal ones.
        extent: "pan" (no-data where MS is missing), "intersection" or "ms".
        ms_shift: (row, col) in MS pixels by which MS lies further down / to the right than the files say.
        window: part to write, in pixels of the PAN file.
        bounds: part to write, (left, bottom, right, top) in PAN's coordinates.
        src_nodata: no-data value of both inputs, where their files do not tell.
        edge: "fill" or "drop" PAN pixels whose own MS pixel is missing while a neighbouring one is not.
        threads: readers at work while statistics are taken.

    Raises:
        SceneError: a file cannot be read, or the two do not belong together.
        SensorError: unknown sensor.
        OptionError: bands, window or bounds that do not exist.
    """
    if edge not in ("fill", "drop"):
        raise OptionError(f"edge is fill or drop; given: {edge!r}")
    if extent not in ("pan", "intersection", "ms"):
        raise OptionError(f"extent is pan, intersection or ms; given: {extent!r}")
    _check_numbers(ms_shift, window, bounds)
    pan_raster = describe(pan)
    files = tuple(describe(path) for path in ([ms] if isinstance(ms, str) else ms))
    _check_files(pan_raster, files)
    identity = identify(pan_raster, files, sensor=sensor, bands=bands, sharpen=sharpen)
    layout = geometry.settle(pan_raster, files[0], extent=extent, shift=ms_shift, window=window, bounds=bounds)
    readers = _readers(files, identity.bands, layout, src_nodata)
    scales = [files[b.file].scales[b.number - 1] for b in identity.bands]
    offsets = [files[b.file].offsets[b.number - 1] for b in identity.bands]
    pan_band = pan_raster.bands[0]
    pan_reader = Reader(pan_raster, [pan_band], src_nodata)
    full, source = _full_scale(identity.sensor, pan_reader, readers, pan_raster, files, layout)
    units = Units(tuple(scales), tuple(offsets), full)
    pan_units = Units((pan_raster.scales[pan_band - 1],), (pan_raster.offsets[pan_band - 1],), full)
    scene = Scene(
        layout=layout,
        sensor=identity.sensor,
        bands=identity.bands,
        pan=FileSource([pan_reader], (pan_raster.height, pan_raster.width), pan_units),
        ms=FileSource(readers, layout.ms_size, units),
        units=units,
        edge=edge,
        threads=threads,
        notes=(*layout.notes, *identity.notes),
    )
    check_readable(scene.pan, "PAN")
    check_readable(scene.ms, "MS")
    return Opened(scene, pan_raster, files, identity, source)


def _check_numbers(
    shift: tuple[float, float] | None, window: Window | None, bounds: tuple[float, float, float, float] | None
) -> None:
    for name, numbers in (("MS shift", shift), ("bounds", bounds)):
        if numbers is not None and not all(map(math.isfinite, numbers)):
            raise OptionError(f"{name}: every number must be finite; given: {', '.join(f'{n:g}' for n in numbers)}")
    if window is not None and bounds is not None:
        raise OptionError("window and bounds both choose the part to write; give one of them")


def _check_files(pan: Raster, files: Sequence[Raster]) -> None:
    if not files:
        raise SceneError("no MS image was given")
    if len(pan.bands) != 1:
        raise SceneError(f"PAN must have one band, but {pan.path} has {len(pan.bands)}; is the order PAN MS right?")
    first = files[0]
    for other in files[1:]:
        if (other.width, other.height, other.transform) != (first.width, first.height, first.transform):
            raise SceneError(
                f"the MS files must share one grid: {first.path} has {first.width} x {first.height} pixels at "
                f"{first.transform}, {other.path} {other.width} x {other.height} at {other.transform}"
            )
    for raster in (pan, *files):
        if np.issubdtype(np.dtype(raster.dtype), np.complexfloating):
            raise SceneError(f"{raster.path}: complex pixels cannot be sharpened")
        if not all(math.isfinite(s) and s for s in raster.scales) or not all(map(math.isfinite, raster.offsets)):
            raise SceneError(
                f"{raster.path}: its scale tags {raster.scales} or offset tags {raster.offsets} are no usable numbers; "
                "correct them (rio edit-info, gdal_edit)"
            )


def _readers(files: Sequence[Raster], bands: Sequence[SceneBand], layout: Layout, nodata: float | None) -> list[Reader]:
    """One reader per run of bands of the same file and the same no-data value, in output order."""
    runs: list[tuple[tuple[int, str], list[int]]] = []
    for band in bands:
        key = (band.file, repr(files[band.file].nodata[band.number - 1]))
        if runs and runs[-1][0] == key:
            runs[-1][1].append(band.number)
        else:
            runs.append((key, [band.number]))
    return [Reader(files[f], numbers, nodata, layout.nested) for (f, _), numbers in runs]


def _full_scale(
    sensor: Sensor, pan: Reader, ms: Sequence[Reader], pan_raster: Raster, files: Sequence[Raster], layout: Layout
) -> tuple[float, str]:
    """The sensor's full scale for raw numbers, else the 99.9 % of the valid data rounded up to a whole bit depth."""
    raw = all(s == 1 for r in (pan_raster, *files) for s in r.scales) and not any(
        o for r in (pan_raster, *files) for o in r.offsets
    )
    integer = all(np.issubdtype(np.dtype(r.dtype), np.integer) for r in (pan_raster, *files))
    if sensor.full_scale is not None and raw and integer:
        return float(sensor.full_scale), f"sensor {sensor.name}"
    high = _percentile(pan, (pan_raster.height, pan_raster.width), pan_raster.scales[0], pan_raster.offsets[0])
    for reader in ms:
        high = max(high, _percentile(reader, layout.ms_size, files[0].scales[0], files[0].offsets[0]))
    if not (raw and integer) and high <= 1:
        return 1.0, "physical units, at most 1"
    bits = max(math.ceil(math.log2(high + 1)), 1) if high > 0 else 1
    return float(2**bits - 1), f"99.9 % of the data ({high:.6g}) rounded up to {bits} bits"


def _percentile(reader: Reader, size: tuple[int, int], scale: float, offset: float) -> float:
    """99.9 % of the valid pixels of an even set of windows, in physical units; 0 where none is valid."""
    values = []
    for window in _probes(size):
        data, valid = reader.read(window)
        values.append((data if valid is None else data[valid]).ravel()[::2])
    merged = np.concatenate(values)
    return float(np.quantile(merged.astype(np.float64), 0.999) * scale + offset) if merged.size else 0.0


def _probes(size: tuple[int, int]) -> list[Window]:
    starts = [sorted({round(k * max(n - PROBE, 0) / max(PROBES - 1, 1)) for k in range(PROBES)}) for n in size]
    return [Window(r, c, PROBE, PROBE).clipped(*size) for r in starts[0] for c in starts[1]]


def misregistration(scene: Scene) -> registration.Shift:
    """How far MS lies from where the files say, measured on windows spread by a fixed seed."""

    def measured(seed: int) -> registration.Shift:
        return registration.measure(scene.sample(CHECKS, CHECK, torch.Generator().manual_seed(seed)))

    # A worker of `each` uses one thread: many small operations on all processors are slow on a busy machine.
    (shift,) = each([0], measured)
    return shift


def aligned(opened: Opened, shift: registration.Shift) -> Opened:
    """The same files with the measured shift corrected inside the interpolation."""
    layout = opened.scene.layout
    grid = layout.grid
    moved = [p + grid.ratio * d for p, d in zip(grid.phase, (shift.row, shift.col), strict=True)]
    (step_row, row), (step_col, col) = (geometry.cell_of(p, grid.ratio) for p in moved)
    origin = (layout.ms_origin[0] - step_row, layout.ms_origin[1] - step_col)
    layout = replace(layout, grid=replace(grid, phase=(row, col)), ms_origin=origin)
    return replace(opened, scene=replace(opened.scene, layout=layout))


def array_scene(
    pan: Float[Tensor, "1 1 H W"],
    ms: Float[Tensor, "1 C h w"],
    *,
    sensor: Sensor,
    phase: tuple[float, float],
    pan_valid: Bool[Tensor, "1 1 H W"] | None = None,
    ms_valid: Bool[Tensor, "1 C h w"] | None = None,
    full_scale: float = 1.0,
    threads: int = 1,
) -> Scene:
    """A scene in memory.

    Args:
        pan: the sharp image, in stored numbers.
        ms: the spectral image, in stored numbers.
        sensor: `bands` are the bands of `ms`, in order.
        phase: (row, col) in PAN pixels: ms sample (0, 0) is centred there.
        pan_valid: valid PAN pixels; None: all.
        ms_valid: valid MS pixels per band; None: all.
        full_scale: the stored number that becomes 1.
        threads: readers at work while statistics are taken.

    Raises:
        SceneError: the sizes do not fit an integer ratio.
    """
    height, width = pan.shape[-2:]
    ratio = max(round(math.sqrt(height * width / (ms.shape[-2] * ms.shape[-1]))), 1)
    if abs(height - ratio * ms.shape[-2]) > 2 * ratio or abs(width - ratio * ms.shape[-1]) > 2 * ratio or ratio < 2:
        raise SceneError(
            f"PAN has {height} x {width} pixels and MS {ms.shape[-2]} x {ms.shape[-1]}: no integer ratio of 2 or more "
            "fits; arrays are (band, row, col)"
        )
    (row, inner_row), (col, inner_col) = (geometry.cell_of(p, ratio) for p in phase)
    grid = Grid(height, width, ratio, (inner_row, inner_col))
    layout = Layout(grid, (0, 0), (-row, -col), (ms.shape[-2], ms.shape[-1]), None, Window(0, 0, height, width))
    bands = tuple(SceneBand(0, k + 1, band, sharpen=True) for k, band in enumerate(sensor.bands))
    units = Units((1.0,) * len(bands), (0.0,) * len(bands), full_scale)
    pan_source: Source = ArraySource(pan / full_scale, pan_valid)
    return Scene(layout, sensor, bands, pan_source, ArraySource(ms / full_scale, ms_valid), units, threads=threads)
