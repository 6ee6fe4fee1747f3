"""The only file that touches rasterio (which has no type stubs): everything it gives back is typed.

Reading comes first, writing after it.
"""
# pyright: basic, reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from jaxtyping import Bool, Shaped, UInt8
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import MemoryFile
from rasterio.shutil import copy as rasterio_copy
from rasterio.shutil import exists as rasterio_exists
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as warp_transform
from rasterio.windows import Window as RasterioWindow

from panloom.errors import OutputError, SceneError
from panloom.scene._aside import write_aside
from panloom.scene._where import is_plain, is_remote
from panloom.scene.profile import Profile
from panloom.types import Window

Affine6 = tuple[float, float, float, float, float, float]

#: GDAL's block cache in MB while panloom works. Small is as fast, because every block is read once or twice.
CACHE_MB = 64

#: MS pixels by which GDAL may be off where it approximates a change of reference system (0.125, its default, shows
#: as seams).
WARP_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Raster:
    """What a raster file says about itself, before any pixel is read. Per-band tuples have `count` items."""

    path: str
    width: int
    height: int
    count: int
    dtypes: tuple[str, ...]
    crs: str | None
    transform: Affine6 | None
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    colors: tuple[str, ...]
    masked: tuple[bool, ...]
    alpha: int | None
    rpcs: bool
    gcps: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: tuple[Mapping[str, str], ...] = ()

    @property
    def bands(self) -> tuple[int, ...]:
        """1-based numbers of the data bands (alpha left out)."""
        return tuple(b for b in range(1, self.count + 1) if b != self.alpha)

    @property
    def dtype(self) -> str:
        """The type that holds the numbers of every data band."""
        return common_type([self.dtypes[b - 1] for b in self.bands or (1,)])

    def tells_missing(self, band: int) -> bool:
        """The file says itself which pixels of a band are missing: by a number, a mask or an alpha band."""
        return self.nodata[band - 1] is not None or self.masked[band - 1]


def common_type(dtypes: Sequence[str]) -> str:
    """The smallest type that holds the numbers of all; a single one is returned as it is called."""
    return dtypes[0] if len(set(dtypes)) == 1 else np.result_type(*dtypes).name


@dataclass(frozen=True)
class Nested:
    """A grid onto which a raster is resampled (cubic) when it is read."""

    crs: str | None
    transform: Affine6
    height: int
    width: int


def environment() -> AbstractContextManager[object]:
    """GDAL settings for the work, unless the user set others: a small block cache, and no threads beside panloom's."""
    options: dict[str, object] = {"GDAL_NUM_THREADS": "1", "GDAL_CACHEMAX": CACHE_MB}
    mine = {name: value for name, value in options.items() if name not in os.environ}
    return rasterio.Env(**mine, GDAL_TIFF_INTERNAL_MASK=True)


def _transform(ds) -> Affine6 | None:  # noqa: ANN001
    t = ds.transform
    return None if t == Affine.identity() else (t.a, t.b, t.c, t.d, t.e, t.f)


def describe(path: str) -> Raster:
    """Open a raster and read its header.

    Raises:
        SceneError: the file is missing, is no raster, or has no band.
    """
    try:
        with rasterio.open(path) as ds:
            return _describe(path, ds)
    except RasterioIOError as error:
        raise SceneError(_why_not(path, error)) from error
    except (RasterioError, CPLE_BaseError) as error:
        raise SceneError(f"{path}: {error}") from error


def _why_not(path: str, error: Exception) -> str:
    # os.path answers False where pathlib raises: a name that is too long.
    if is_plain(path) and not os.path.exists(path):
        return f"{path}: no such file"
    if is_plain(path) and os.path.isfile(path) and os.path.getsize(path) == 0:
        return f"{path}: the file is empty"
    return f"{path}: not a raster that GDAL can read, or truncated ({error})"


def _describe(path: str, ds) -> Raster:  # noqa: ANN001
    if not ds.count:
        raise SceneError(f"{path}: holds no band; name one of its subdatasets: {', '.join(ds.subdatasets[:4])}")
    flags = ds.mask_flag_enums
    colors = tuple(c.name for c in ds.colorinterp)
    alpha = next((i + 1 for i, c in enumerate(ds.colorinterp) if c == ColorInterp.alpha), None)
    own_mask = [MaskFlags.all_valid not in f and MaskFlags.nodata not in f for f in flags]
    return Raster(
        path=path,
        width=ds.width,
        height=ds.height,
        count=ds.count,
        dtypes=tuple(ds.dtypes),
        crs=ds.crs.to_wkt() if ds.crs else None,
        transform=_transform(ds),
        nodata=tuple(ds.nodatavals),
        scales=tuple(ds.scales),
        offsets=tuple(ds.offsets),
        descriptions=tuple(ds.descriptions),
        colors=colors,
        masked=tuple(own_mask),
        alpha=alpha,
        rpcs=ds.rpcs is not None,
        gcps=bool(ds.gcps[0]),
        tags={**ds.tags(), **ds.tags(ns="IMAGERY")},
        band_tags=tuple(ds.tags(b) for b in range(1, ds.count + 1)),
    )


class Reader:
    """Reads windows of some bands of one raster, from any thread.

    A handle of GDAL serves one thread at a time. Handles outlive the threads: to open one costs as much as to read a
    tile.
    """

    def __init__(
        self, raster: Raster, bands: Sequence[int], nodata: float | None = None, nested: Nested | None = None
    ) -> None:
        """Choose bands (1-based) of one type and no-data value.

        Args:
            raster: the header of the file.
            bands: 1-based numbers.
            nodata: number that is invalid beside what the file declares. Resampling knows one way to tell only, so
                there it counts where the file tells nothing.
            nested: the grid to resample onto; None: as it lies.
        """
        self._raster, self._bands, self._nested = raster, list(bands), nested
        told = any(raster.tells_missing(b) for b in bands)
        extra = () if nodata is None or (nested is not None and told) else (nodata,)
        declared = ([] if (n := raster.nodata[b - 1]) is None else [n] for b in bands)
        self._missing = [(*numbers, *extra) for numbers in declared]
        self._idle: list = []
        self._opened: list = []
        self._lock = threading.Lock()

    @property
    def remote(self) -> bool:
        """The file lies behind a network."""
        return is_remote(self._raster.path)

    @property
    def integer(self) -> bool:
        """The numbers are integers."""
        return all(np.issubdtype(np.dtype(self._raster.dtypes[b - 1]), np.integer) for b in self._bands)

    @property
    def all_valid(self) -> bool:
        """No pixel can be invalid: integers without no-data value, mask or alpha, read as they lie."""
        return (
            self._nested is None
            and self.integer
            and not any(self._missing)
            and not any(self._raster.masked[b - 1] for b in self._bands)
        )

    @contextmanager
    def _handle(self) -> Iterator:
        """A handle that nobody else has meanwhile."""
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        handle = handle or self._open()
        try:
            yield handle
        finally:
            with self._lock:
                self._idle.append(handle)

    def _open(self):  # noqa: ANN202
        handles = [rasterio.open(self._raster.path)]
        if self._nested is not None:
            handles.append(self._warped(handles[0], self._nested))
        with self._lock:
            self._opened.extend(handles)
        return handles[-1]

    @property
    def _fill(self) -> float | None:
        """The number that stands for no data while MS is resampled; None: an alpha band tells."""
        declared = next((numbers[0] for numbers in self._missing if numbers), None)
        numbers = np.issubdtype(np.dtype(self._raster.dtype), np.floating)
        if declared is None and numbers and not any(self._raster.masked):
            return math.nan
        return declared

    @property
    def _alpha(self) -> int | None:
        """The alpha band of the resampled image; None where a number tells what is missing."""
        if self._nested is None:
            return None
        # Only asked for by its place: GDAL takes an alpha band of floats for no mask.
        return self._raster.alpha or (self._raster.count + 1 if self._fill is None else None)

    def _warped(self, ds, nested: Nested):  # noqa: ANN001, ANN202
        fill = self._fill
        missing = {} if fill is None else {"src_nodata": fill, "nodata": fill}
        # An image that names no system lies in that of the other, as the geometry took it.
        system = ds.crs or nested.crs or rasterio.crs.CRS.from_epsg(3857)
        return WarpedVRT(
            ds,
            src_crs=system,
            crs=nested.crs or system,
            transform=Affine(*nested.transform),
            width=nested.width,
            height=nested.height,
            resampling=Resampling.cubic,
            tolerance=WARP_TOLERANCE,
            add_alpha=fill is None and self._raster.alpha is None,
            warp_mem_limit=64,
            # Else GDAL takes the scale from the window that is read, and blurs where it finds less than 0.95.
            XSCALE=1,
            YSCALE=1,
            UNIFIED_SRC_NODATA="NO",  # a pixel may be missing in one band only
            **missing,
        )

    def read(self, window: Window) -> tuple[Shaped[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"] | None]:
        """The stored numbers of a window that lies inside the raster, and where they are valid (None: everywhere).

        Raises:
            SceneError: the file is truncated or cannot be read there.
        """
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            with self._handle() as handle:
                data = handle.read(self._bands, window=place)
                return data, None if self.all_valid else self._validity(handle, data, place)
        except (RasterioError, CPLE_BaseError) as error:
            raise SceneError(
                f"{self._raster.path}: cannot read rows {window.row}-{window.row_end}, columns "
                f"{window.col}-{window.col_end}; the file may be truncated ({error})"
            ) from error

    def _validity(self, handle, data: np.ndarray, place: RasterioWindow) -> np.ndarray | None:  # noqa: ANN001
        valid = np.ones(data.shape, dtype=bool)
        if self._alpha is not None:
            valid &= handle.read(self._alpha, window=place) > 0
        elif self._nested is None and any(self._raster.masked[b - 1] for b in self._bands):
            valid &= handle.read_masks(self._bands, window=place) > 0
        for k, numbers in enumerate(self._missing):
            for number in numbers:
                if not math.isnan(number):
                    valid[k] &= data[k] != number
        if np.issubdtype(data.dtype, np.floating):
            valid &= np.isfinite(data)
        return None if valid.all() else valid

    def close(self) -> None:
        """Close all handles."""
        with self._lock:
            for handle in reversed(self._opened):
                handle.close()
            self._opened.clear()
            self._idle.clear()


def project(xs: Sequence[float], ys: Sequence[float], source: str, target: str) -> tuple[list[float], list[float]]:
    """Coordinates in another reference system (WKT).

    Raises:
        SceneError: there is no transformation between the two.
    """
    try:
        x, y = warp_transform(source, target, list(xs), list(ys))[:2]
    except (RasterioError, CPLE_BaseError, CRSError) as error:
        raise SceneError(f"no transformation between the reference systems of PAN and MS ({error})") from error
    return list(x), list(y)


def same_crs(a: str, b: str) -> bool:
    """Whether two WKT texts name the same reference system."""
    return a == b or rasterio.crs.CRS.from_wkt(a) == rasterio.crs.CRS.from_wkt(b)


def read_reduced(
    path: str, bands: Sequence[int], size: tuple[int, int]
) -> tuple[Shaped[np.ndarray, "c h w"], Bool[np.ndarray, "c h w"]]:
    """The whole raster at a smaller size (averaged, from overviews where there are some), and its validity.

    Raises:
        SceneError: it cannot be read.
    """
    shape = (len(bands), *size)
    try:
        with rasterio.open(path) as ds:
            data = ds.read(list(bands), out_shape=shape, resampling=Resampling.average)
            valid = ds.read_masks(list(bands), out_shape=shape, resampling=Resampling.nearest) > 0
    except RasterioError as error:
        raise SceneError(f"{path}: cannot be read ({error})") from error
    if np.issubdtype(data.dtype, np.floating):
        valid &= np.isfinite(data)
    return data, valid


def write_picture(path: str, rgba: UInt8[np.ndarray, "4 h w"]) -> None:
    """Write a PNG aside and rename it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        data = encode_picture(rgba, "PNG", {})
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from error
    write_aside(path, data)


def encode_picture(
    image: UInt8[np.ndarray, "c h w"],
    driver: str,
    options: Mapping[str, int],
    palette: Mapping[int, tuple[int, int, int]] | None = None,
) -> bytes:
    """The bytes of a picture file.

    Args:
        image: the picture.
        driver: "PNG" or "JPEG".
        options: of GDAL's driver.
        palette: the colour of each value of a picture of one band.

    Raises:
        OutputError: GDAL cannot make it.
    """
    count, height, width = image.shape
    try:
        with MemoryFile() as memory:
            with memory.open(
                driver=driver, height=height, width=width, count=count, dtype="uint8", transform=_NEUTRAL, **options
            ) as ds:
                ds.write(image)
                if palette:
                    ds.write_colormap(1, palette)
            return memory.read()
    except _GDAL_ERRORS as error:
        raise OutputError(f"the picture cannot be made ({error})") from error


# --- writing ----------------------------------------------------------------------------------------------

#: What GDAL's calls may raise; `CPLE_BaseError` is no RasterioError.
_GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError, ValueError)

# Any transform: without one rasterio warns about each tile.
_NEUTRAL = Affine.scale(2)


def encode_tile(array: Shaped[np.ndarray, "c n n"], options: Mapping[str, str], nodata: float | None) -> bytes:
    """A GeoTIFF of one tile, in memory. For many threads at once: GDAL works without the interpreter's lock.

    Raises:
        OutputError: GDAL refuses the options.
    """
    count, size, _ = array.shape
    try:
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff",
                **_shape(size, count, array.dtype.name),
                **options,
                nodata=nodata,
                transform=_NEUTRAL,
                num_threads=1,
            ) as ds:
                ds.write(array)
            return memory.read()
    except _GDAL_ERRORS as error:
        raise OutputError(_refused(options, error)) from error


def _refused(options: Mapping[str, str], error: Exception) -> str:
    chosen = " ".join(f"{k}={v}" for k, v in options.items())
    return f"GDAL {rasterio.__gdal_version__} cannot write with {chosen} ({error})"


def _shape(size: int, count: int, dtype: str) -> dict[str, object]:
    return {
        "height": size,
        "width": size,
        "count": count,
        "dtype": dtype,
        "tiled": True,
        "blockxsize": size,
        "blockysize": size,
    }


@contextmanager
def _placeless() -> Iterator[None]:
    """Without rasterio's warning that the output has no georeference: its input had none, which is said there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def template(profile: Profile) -> bytes:
    """A GeoTIFF of one empty tile with all the tags of the profile (and a mask, if it wants one).

    Raises:
        OutputError: GDAL cannot store the profile.
    """
    options = profile.creation_options
    rgb = profile.colors[:3] == ("red", "green", "blue")
    options.setdefault("PHOTOMETRIC", "RGB" if rgb and profile.count >= 3 else "MINISBLACK")
    try:
        with _placeless(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
            with memory.open(
                driver="GTiff",
                **_shape(profile.tile, profile.count, profile.dtype),
                **options,
                nodata=profile.nodata,
                crs=profile.crs,
                transform=Affine(*profile.transform) if profile.transform else None,
                sparse_ok=True,
            ) as ds:
                _tag(ds, profile)
                if profile.mask:
                    ds.write_mask(np.full((profile.tile, profile.tile), 255, dtype=np.uint8))
            if rasterio_exists(memory.name + ".aux.xml"):
                raise OutputError("a GeoTIFF cannot hold these tags or colours; simplify them")
            return memory.read()
    except _GDAL_ERRORS as error:
        raise OutputError(_refused(options, error)) from error


def _tag(ds, profile: Profile) -> None:  # noqa: ANN001
    if profile.colors:
        known = ColorInterp.__members__
        ds.colorinterp = [known.get(c, ColorInterp.undefined) for c in profile.colors]
    if profile.descriptions:
        ds.descriptions = profile.descriptions
    if profile.scales:
        ds.scales = profile.scales
    if profile.offsets:
        ds.offsets = profile.offsets
    if profile.tags:
        ds.update_tags(**profile.tags)
    if profile.rpcs_from is not None:
        _place(ds, profile.rpcs_from, profile.rpcs_origin)


def _place(ds, path: str, origin: tuple[int, int]) -> None:  # noqa: ANN001
    """Rational polynomials and ground control points of another raster, counted from `origin` (row, col) in it."""
    row, col = origin
    with _placeless(), rasterio.open(path) as source:
        rpcs, (points, crs) = source.rpcs, source.gcps
    if rpcs is not None:
        rpcs.line_off -= row
        rpcs.samp_off -= col
        ds.rpcs = rpcs
    if points:
        moved = [GroundControlPoint(p.row - row, p.col - col, p.x, p.y, p.z, p.id, p.info) for p in points]
        ds.gcps = moved, crs


def add_overviews(path: Path, profile: Profile) -> None:
    """Build the overviews of a finished GeoTIFF inside the file, compressed like it.

    Raises:
        OutputError: GDAL fails, for example because the disk is full.
    """
    options = profile.creation_options
    settings = {f"{k}_OVERVIEW": v for k, v in options.items() if k not in ("BIGTIFF", "NBITS")}
    try:
        with (
            _placeless(),
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_TIFF_OVR_BLOCKSIZE=str(profile.tile), **settings),
            rasterio.open(path, "r+") as ds,
        ):
            ds.build_overviews(profile.overview_factors(), Resampling.average)
    except _GDAL_ERRORS as error:
        why = f"{path}: cannot add overviews ({error})"
        raise OutputError(f"{why}; make room if the disk is full, and repeat with --resume") from error


def to_cog(source: Path, target: Path, options: Mapping[str, str]) -> None:
    """Copy a GeoTIFF with GDAL's COG driver.

    Raises:
        OutputError: GDAL refuses the options or cannot write.
    """
    try:
        rasterio_copy(source, target, driver="COG", **options)
    except _GDAL_ERRORS as error:
        why = f"{target}: {_refused(options, error)}"
        raise OutputError(f"{why}; what is done stays: --resume goes on with it, also with other options") from error


def trial_cog(front: bytes, options: Mapping[str, str]) -> bytes:
    """A COG of a small GeoTIFF, all in memory.

    Raises:
        OutputError: GDAL refuses the options.
    """
    try:
        with MemoryFile(front) as source, MemoryFile(ext=".tif") as target:
            rasterio_copy(source.name, target.name, driver="COG", **options)
            return target.read()
    except _GDAL_ERRORS as error:
        raise OutputError(_refused(options, error)) from error
