"""Opening scenes: from files or arrays to a `Scene` in which every question is settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.compute import torch_threads
from panloom.errors import OptionError, SceneError
from panloom.optics import alignment, registration
from panloom.scene import geometry
from panloom.scene._rasterio import Raster, Reader, common_type, describe
from panloom.scene._sources import ArraySource, FileSource, Source, Units, check_readable
from panloom.scene.bands import Identity, SceneBand, identify
from panloom.scene.geometry import Extent, Layout
from panloom.scene.scene import NestedScene
from panloom.types import Grid, Sensor, Window, bit_range

#: Windows that the full scale of an unknown sensor is estimated from, per axis, and their size in pixels.
PROBES, PROBE = 4, 128

#: MS pixels beyond which an offset is a slip of the pen.
FARTHEST = 1e6

#: Types whose numbers float32 cannot hold.
WIDE = {"int32", "uint32", "int64", "uint64", "float64"}


class Scene(NestedScene):
    """PAN and MS, ready to be read; made from files by `Scene.open` or `open_scene`, from memory by `array_scene`.

    `with Scene.open(...) as scene` closes the files at its end.
    """

    def __enter__(self) -> Scene:
        """The scene itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the files."""
        self.close()

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
            align: correct the measured offset between PAN and MS; `notes` say it where none could be measured.

        Raises:
            PanloomError: the files cannot be read or do not belong together, or a word is unknown.
        """
        opened = open_scene(pan, ms, sensor=sensor, bands=bands, extent=extent)
        return registered(opened, align=True)[0].scene if align else opened.scene


@dataclass(frozen=True)
class Opened:
    """A scene from files, with the headers and identity it was made from.

    Attributes:
        scene: ready to be read.
        pan: header of the PAN file.
        ms: headers of the MS files.
        identity: sensor and bands, with sources.
        full_scale_source: where the full scale comes from.
        src_nodata: no-data value given by hand; None: none.
    """

    scene: Scene
    pan: Raster
    ms: tuple[Raster, ...]
    identity: Identity
    full_scale_source: str
    src_nodata: float | None = None

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one number in memory."""
        return 8 if WIDE & {self.pan.dtype, *_dtypes(self.ms, self.scene.bands)} else 4

    @property
    def dtype(self) -> str:
        """The type that holds the numbers of all requested MS bands."""
        return common_type(_dtypes(self.ms, self.scene.bands))


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
        src_nodata: no-data value of both inputs, beside those that their files declare; where MS is resampled and
            tells what is missing, only what it tells counts.
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
    use, used = identity.sensor, identity.bands
    pan_part = _Part(Reader(pan_raster, pan_raster.bands, src_nodata), _physical(pan_raster, pan_raster.bands, use))
    parts = _parts(files, used, layout, use, src_nodata)
    wide = WIDE & {pan_raster.dtype, *_dtypes(files, used)}
    dtype = torch.float64 if wide else torch.float32
    pan_size = (pan_raster.height, pan_raster.width)
    with ExitStack() as on_failure:
        for part in (pan_part, *parts):
            on_failure.callback(part.reader.close)
        full, source = _full_scale(use, [(pan_part, pan_size), *((p, layout.ms_size) for p in parts)], dtype)
        scales = [s for part in parts for s in part.units.scale]
        units = Units(tuple(scales), tuple(o for part in parts for o in part.units.offset), full)
        scene = Scene(
            layout=layout,
            sensor=use,
            bands=used,
            pan=FileSource([pan_part.reader], pan_size, replace(pan_part.units, full_scale=full), dtype),
            ms=FileSource([part.reader for part in parts], layout.ms_size, units, dtype),
            units=units,
            edge=edge,
            threads=threads,
            notes=(*layout.notes, *identity.notes, *_notes(files, used, layout, src_nodata)),
        )
        check_readable(scene.pan, "PAN")
        check_readable(scene.ms, "MS")
        on_failure.pop_all()
    return Opened(scene, pan_raster, files, identity, source, src_nodata)


def _check_numbers(
    shift: tuple[float, float] | None, window: Window | None, bounds: tuple[float, float, float, float] | None
) -> None:
    for name, numbers in (("MS shift", shift), ("bounds", bounds)):
        if numbers is not None and not all(map(math.isfinite, numbers)):
            raise OptionError(f"{name}: every number must be finite; given: {', '.join(f'{n:g}' for n in numbers)}")
    if shift is not None and max(map(abs, shift)) > FARTHEST:
        raise OptionError(f"MS shift: at most {FARTHEST:g} MS pixels; given: {shift[0]:g}, {shift[1]:g}")
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
        if any(name.startswith("complex") for name in raster.dtypes):  # numpy knows no complex integers
            raise SceneError(f"{raster.path}: complex pixels cannot be sharpened")
        if not all(math.isfinite(s) and s for s in raster.scales) or not all(map(math.isfinite, raster.offsets)):
            raise SceneError(
                f"{raster.path}: its scale tags {raster.scales} or offset tags {raster.offsets} are no usable numbers; "
                "correct them (rio edit-info, gdal_edit)"
            )


@dataclass(frozen=True)
class _Part:
    """Some bands of one file, and their way to physical units (full scale 1)."""

    reader: Reader
    units: Units


def _parts(
    files: Sequence[Raster], bands: Sequence[SceneBand], layout: Layout, sensor: Sensor, nodata: float | None
) -> list[_Part]:
    """One for each run of bands of the same file, type and no-data value, in output order."""
    runs: list[tuple[tuple[int, str, str], list[int]]] = []
    for band in bands:
        raster, k = files[band.file], band.number - 1
        key = (band.file, raster.dtypes[k], repr(raster.nodata[k]))
        if runs and runs[-1][0] == key:
            runs[-1][1].append(band.number)
        else:
            runs.append((key, [band.number]))
    return [
        _Part(Reader(files[f], numbers, nodata, layout.nested), _physical(files[f], numbers, sensor))
        for (f, *_), numbers in runs
    ]


def _physical(raster: Raster, bands: Sequence[int], sensor: Sensor) -> Units:
    """Scale and offset of the file; of the sensor for raw integers, whose file has none."""
    pairs = [(raster.scales[b - 1], raster.offsets[b - 1]) for b in bands]
    for k, band in enumerate(bands):
        if pairs[k] == (1, 0) and np.issubdtype(np.dtype(raster.dtypes[band - 1]), np.integer):
            pairs[k] = (sensor.scale, sensor.offset)
    return Units(tuple(s for s, _ in pairs), tuple(o for _, o in pairs), 1.0)


def _dtypes(files: Sequence[Raster], bands: Sequence[SceneBand]) -> list[str]:
    return [files[b.file].dtypes[b.number - 1] for b in bands]


def _notes(
    files: Sequence[Raster], bands: Sequence[SceneBand], layout: Layout, nodata: float | None
) -> tuple[str, ...]:
    notes = []
    kinds = list(dict.fromkeys(_dtypes(files, bands)))
    if len(kinds) > 1:
        notes.append(f"the MS bands are of different types ({', '.join(kinds)}); {common_type(kinds)} holds them all")
    told = [files[b.file] for b in bands if files[b.file].tells_missing(b.number)]
    if layout.nested is not None and nodata is not None and any(nodata not in r.nodata for r in told):
        notes.append(
            f"MS is resampled and tells itself what is missing: no-data {nodata:g} (--src-nodata) is used for PAN "
            "and for files that do not tell"
        )
    return tuple(notes)


def _full_scale(
    sensor: Sensor, parts: Sequence[tuple[_Part, tuple[int, int]]], dtype: torch.dtype
) -> tuple[float, str]:
    """The sensor's full scale for its raw numbers, else the 99.9 % of the valid data rounded up to a bit depth."""
    own = {(sensor.scale, sensor.offset)}
    raw = all(own >= set(zip(part.units.scale, part.units.offset, strict=True)) for part, _ in parts)
    integer = all(part.reader.integer for part, _ in parts)
    if sensor.full_scale is not None and raw and integer:
        full = sensor.full_scale * sensor.scale + sensor.offset
        if full > 0:
            return float(full), f"sensor {sensor.name}"
    high = max(_percentile(FileSource([part.reader], size, part.units, dtype)) for part, size in parts)
    if not (raw and integer and own == {(1.0, 0.0)}) and high <= 1:
        return 1.0, "physical units, at most 1"
    full = bit_range(high)
    return float(full), f"99.9 % of the data ({high:.6g}) rounded up to {full.bit_length()} bits"


def _percentile(source: Source) -> float:
    """99.9 % of the valid pixels of an even set of windows; 0 where none is valid."""
    values = []
    for window in _probes(source.size):
        data, valid = source.read(window)
        values.append((data.ravel() if valid is None else data[valid]).numpy()[::2])
    merged = np.concatenate(values)
    return float(np.quantile(merged.astype(np.float64), 0.999)) if merged.size else 0.0


def _probes(size: tuple[int, int]) -> list[Window]:
    starts = [sorted({round(k * max(n - PROBE, 0) / max(PROBES - 1, 1)) for k in range(PROBES)}) for n in size]
    return [Window(r, c, PROBE, PROBE).clipped(*size) for r in starts[0] for c in starts[1]]


def misregistration(scene: Scene) -> registration.Shift:
    """How far MS lies from where the files say, measured on windows spread by a fixed seed."""
    with torch.inference_mode(), torch_threads(1):
        return registration.measure(alignment.windows(scene))


def registered(opened: Opened, *, align: bool) -> tuple[Opened, registration.Shift | None]:
    """Measure the offset between PAN and MS, and correct it where asked to.

    Args:
        opened: a scene from files.
        align: correct the offset inside the interpolation, if it can be believed.

    Returns:
        The scene, corrected or not, and the offset; None where none could be measured. The scene's notes say it when
        it could not be corrected for that.
    """
    shift = misregistration(opened.scene)
    if shift.confidence >= registration.MIN_CONFIDENCE:
        return (aligned(opened, shift) if align else opened), shift
    if align:
        note = "--align: no offset between PAN and MS could be measured; nothing was corrected"
        opened = replace(opened, scene=replace(opened.scene, notes=(*opened.scene.notes, note)))
    return opened, None


def aligned(opened: Opened, shift: registration.Shift) -> Opened:
    """The same files with a shift corrected inside the interpolation."""
    layout, ratio = opened.scene.layout, opened.scene.grid.ratio
    layout = layout.shifted(ratio * shift.row, ratio * shift.col)
    return replace(opened, scene=replace(opened.scene, layout=layout))


def array_scene(
    pan: Float[Tensor, "1 1 H W"],
    ms: Float[Tensor, "1 C h w"],
    *,
    sensor: Sensor,
    phase: tuple[float, float],
    sharpen: Sequence[str] | None = None,
    pan_valid: Bool[Tensor, "1 1 H W"] | None = None,
    ms_valid: Bool[Tensor, "1 C h w"] | None = None,
    full_scale: float = 1.0,
) -> Scene:
    """A scene in memory.

    Args:
        pan: the sharp image, in stored numbers.
        ms: the spectral image, in stored numbers.
        sensor: `bands` are the bands of `ms`, in order.
        phase: (row, col) in PAN pixels: ms sample (0, 0) is centred there.
        sharpen: names of the bands to sharpen; None: all but SWIR, cirrus and thermal ones.
        pan_valid: valid PAN pixels; None: all.
        ms_valid: valid MS pixels per band; None: all.
        full_scale: the stored number that becomes 1.

    Raises:
        SceneError: the sizes do not fit an integer ratio.
        OptionError: a band to sharpen does not exist, or none is left.
    """
    height, width = pan.shape[-2:]
    ratio = max(round(math.sqrt(height * width / (ms.shape[-2] * ms.shape[-1]))), 1)
    if abs(height - ratio * ms.shape[-2]) > 2 * ratio or abs(width - ratio * ms.shape[-1]) > 2 * ratio or ratio < 2:
        raise SceneError(
            f"PAN has {height} x {width} pixels and MS {ms.shape[-2]} x {ms.shape[-1]}: no integer ratio of 2 or more "
            "fits; arrays are (band, row, col)"
        )
    grid = Grid(height, width, ratio, (0.0, 0.0))
    area = Window(0, 0, height, width)
    layout = Layout(grid, (0, 0), (0, 0), (ms.shape[-2], ms.shape[-1]), None, area).shifted(*phase)
    names = [band.name for band in sensor.bands]
    sharp = (
        [n for n, band in zip(names, sensor.bands, strict=True) if band.role == "sharpen"]
        if sharpen is None
        else sharpen
    )
    if not sharp or not set(sharp) <= set(names):
        raise OptionError(f"bands to sharpen must be some of {', '.join(names)}; given: {', '.join(sharp) or 'none'}")
    bands = tuple(SceneBand(0, k + 1, band, band.name in sharp) for k, band in enumerate(sensor.bands))
    use = replace(sensor, bands=tuple(b.band for b in bands if b.sharpen))
    units = Units((1.0,) * len(bands), (0.0,) * len(bands), full_scale)
    pan_source: Source = ArraySource(pan / full_scale, pan_valid)
    return Scene(layout, use, bands, pan_source, ArraySource(ms / full_scale, ms_valid), units)
