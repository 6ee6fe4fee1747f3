"""What is written: type, no-data and tags of the output, decided from the inputs and the user's words."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from panloom._version import __version__
from panloom.errors import OptionError, OutputError
from panloom.run._tiles import Numbers
from panloom.run.preview import choose, preview
from panloom.run.report import Preview
from panloom.scene import Opened, Scene
from panloom.scene.profile import Driver, Profile
from panloom.scene.writer import GeoTiffWriter, TileEncoder

DRIVERS: Mapping[str, Driver] = {"geotiff": "GTiff", "cog": "COG"}
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

#: Ends of names that promise another format than GeoTIFF.
OTHERS = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".jp2", ".j2k", ".jxl", ".gif", ".bmp", ".webp", ".pdf", ".vrt", ".img", ".ntf"),
        *(".nitf", ".nc", ".hdf", ".h5", ".zarr", ".ecw", ".sid", ".hdr", ".bil", ".bip", ".bsq", ".dat", ".pix"),
        *(".kea", ".gpkg", ".mbtiles", ".asc", ".csv", ".json", ".txt", ".zip"),
    )
)


@dataclass(frozen=True)
class Target:
    """The user's words about the output; see `panloom.run.sharpen.sharpen`."""

    path: str
    format: str = "geotiff"
    dtype: str | None = None
    nodata: float | str | None = None
    creation: Mapping[str, str] | None = None
    overviews: bool = False
    overwrite: bool = False
    resume: bool = False
    preview: str | None = None
    preview_bands: Sequence[str | int] | None = None

    def check(self, inputs: Sequence[str]) -> None:
        """Refuse what can be refused before any file is opened.

        Raises:
            OutputError: the output or the preview is one of the inputs, or has no place.
            OptionError: unknown format or type, no name at all, or one that promises another format.
        """
        if self.format not in DRIVERS:
            raise OptionError(f"format is geotiff or cog; given: {self.format!r}")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise OptionError(f"no such output type: {self.dtype!r}; known: {', '.join(DTYPES)}")
        if not self.path.strip():
            raise OptionError("the output has no name; give the path of a file")
        if os.path.splitext(self.path)[1].lower() in OTHERS:
            raise OptionError(
                f"the output {self.path}: panloom writes GeoTIFF (also cloud-optimised: --format cog); give it a name "
                "that ends in .tif; a picture to look at is made by --preview"
            )
        check_apart("output", self.path, inputs)
        self._check_preview(inputs)

    def _check_preview(self, inputs: Sequence[str]) -> None:
        if self.preview is None:
            if self.preview_bands is not None:
                raise OptionError("--preview-bands chooses the bands of a picture; name the picture with --preview")
            return
        check_apart("preview", self.preview, [*inputs, self.path])
        if os.path.splitext(self.preview)[1].lower() in OTHERS - {".png"}:
            raise OptionError(f"the preview {self.preview}: it is a PNG; give it a name that ends in .png")


def check_apart(what: str, path: str, others: Sequence[str]) -> None:
    """A file that is to be written is none of the others, also not by another name, and there is a place for it.

    Raises:
        OutputError: it is, its folder does not exist, or its name is too long.
    """
    if any(_same_file(path, other) for other in others):
        raise OutputError(f"the {what} {path} is also an input or another output; name another file")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"the {what} {path}: the folder {folder} does not exist; make it first")
    limit = os.pathconf(folder, "PC_NAME_MAX") - len("..partial.cog") if hasattr(os, "pathconf") else 240
    if len(os.fsencode(os.path.basename(path))) > limit:
        raise OutputError(f"the {what} {path}: the name is too long; {limit} bytes at most")


def _same_file(path: str, other: str) -> bool:
    if os.path.realpath(path) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them does not exist, or is no local file
        return False


@dataclass(frozen=True)
class Settled:
    """What is written, with every question about it answered.

    Attributes:
        profile: the file.
        numbers: how values become stored numbers.
        encoder: of its tiles.
        tags: how the result is made, see `panloom.run._tags.made_by`.
    """

    profile: Profile
    numbers: Numbers
    encoder: TileEncoder
    tags: Mapping[str, str]


def settle(opened: Opened, target: Target, tags: Mapping[str, str], size: int) -> Settled:
    """Settle the output.

    Raises:
        OutputError: the creation options cannot be used.
        OptionError: the no-data value does not fit the type, or a band of the preview does not exist.
    """
    numbers, mask = _numbers(opened, target)
    profile = _profile(opened, target, numbers, mask=mask, tags=_tags(opened.scene, tags), size=size)
    if target.preview is not None:
        choose([name.lower() for name in profile.descriptions], target.preview_bands, profile.colors)
    return Settled(profile, numbers, TileEncoder(profile), tags)


def refuse(opened: Opened, target: Target, tags: Mapping[str, str], size: int) -> None:
    """Refuse now what could be refused only after costly work: first wrong words, then a file that is there already.

    Raises:
        OutputError: as `settle`, or the output exists.
        OptionError: as `settle`.
    """
    settle(opened, target, tags, size)
    if os.path.exists(target.path) and not target.overwrite:
        raise OutputError(f"{target.path}: exists already; use --overwrite to replace it, or give another name")


def open_writer(opened: Opened, target: Target, settled: Settled) -> GeoTiffWriter:
    """The writer of a run.

    Raises:
        OutputError: the output cannot be written.
    """
    return GeoTiffWriter(
        target.path,
        settled.profile,
        key=_key(opened, settled.tags),
        overwrite=target.overwrite,
        resume=target.resume,
    )


def look(target: Target) -> Preview | None:
    """Write the preview, if one is wanted: its path, and the bands that it shows as red, green and blue (or grey).

    Raises:
        OutputError: it cannot be written.
    """
    if target.preview is None:
        return None
    return {"path": target.preview, "bands": preview(target.path, target.preview, target.preview_bands)}


def _numbers(opened: Opened, target: Target) -> tuple[Numbers, bool]:
    """Output type and no-data value, and whether validity goes to a mask band."""
    dtype = target.dtype or opened.dtype
    wanted = target.nodata
    if isinstance(wanted, str):
        if wanted.lower() == "mask":
            return Numbers(dtype, None), True
        wanted = _number(wanted)
    if wanted is not None:
        return Numbers(dtype, _fitting(wanted, dtype)), False
    declared = _declared(opened, dtype)
    if declared is not None:
        return Numbers(dtype, declared), False
    if not opened.scene.may_be_invalid:
        return Numbers(dtype, None), False
    if any(any(r.masked) or r.alpha for r in (opened.pan, *opened.ms)):
        return Numbers(dtype, None), True
    return Numbers(dtype, _usual(dtype)), False


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise OptionError(f"nodata is a number, nan or mask; given: {word!r}") from error


def _fitting(value: float, dtype: str) -> float:
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.floating):
        return value
    info = np.iinfo(kind)
    if not math.isfinite(value) or value != int(value) or not info.min <= value <= info.max:
        raise OptionError(f"nodata {value:g} does not fit {dtype} ({info.min} to {info.max}); see --dtype")
    return value


def _declared(opened: Opened, dtype: str) -> float | None:
    """The inputs' own no-data value, MS first, if the output type can hold it."""
    used = [(opened.ms[b.file], b.number) for b in opened.identity.bands]
    values = [raster.nodata[number - 1] for raster, number in used] + [opened.pan.nodata[opened.pan.bands[0] - 1]]
    for value in values:
        if value is not None:
            try:
                return _fitting(value, dtype)
            except OptionError:
                continue
    return None


def _usual(dtype: str) -> float:
    """0 for unsigned types, the lowest number for signed ones, NaN for floats."""
    kind = np.dtype(dtype)
    return math.nan if np.issubdtype(kind, np.floating) else float(np.iinfo(kind).min)


def _profile(
    opened: Opened, target: Target, numbers: Numbers, *, mask: bool, tags: Mapping[str, str], size: int
) -> Profile:
    layout = opened.scene.layout
    used = [(opened.ms[b.file], b.number - 1) for b in opened.identity.bands]
    unreferenced = layout.grid.transform is None
    return Profile(
        height=layout.area.height,
        width=layout.area.width,
        count=len(used),
        dtype=numbers.dtype,
        crs=layout.grid.crs,
        transform=layout.area_transform,
        nodata=numbers.nodata,
        descriptions=tuple(
            raster.descriptions[k] or band.band.name
            for (raster, k), band in zip(used, opened.identity.bands, strict=True)
        ),
        colors=tuple(_color(band.band.name) for band in opened.identity.bands),
        scales=tuple(raster.scales[k] for raster, k in used),
        offsets=tuple(raster.offsets[k] for raster, k in used),
        tags=tags,
        tile=size,
        options=dict(target.creation or {}),
        driver=DRIVERS[target.format],
        overviews=target.overviews or target.format == "cog",
        rpcs_from=opened.pan.path if unreferenced and (opened.pan.rpcs or opened.pan.gcps) else None,
        rpcs_origin=(layout.pan_origin[0] + layout.area.row, layout.pan_origin[1] + layout.area.col),
        mask=mask,
    )


def _color(name: str) -> str:
    """The colour interpretation that every GDAL knows for a band name."""
    return name if name in ("red", "green", "blue") else "undefined"


def _tags(scene: Scene, made: Mapping[str, str]) -> dict[str, str]:
    """Provenance; nothing that differs between two runs of the same call."""
    return {
        "PANLOOM_VERSION": __version__,
        **made,
        "PANLOOM_SENSOR": scene.sensor.name,
        "PANLOOM_WEIGHTS": "none",
        "AREA_OR_POINT": "Area",
    }


def _key(opened: Opened, made: Mapping[str, str]) -> str:
    """Tells two runs apart whose tiles must not be mixed: inputs as they lie on disk, scene, and how it is made."""
    inputs = []
    for raster in (opened.pan, *opened.ms):
        stat = os.stat(raster.path) if os.path.isfile(raster.path) else None
        inputs.append((raster.path, stat and stat.st_size, stat and stat.st_mtime_ns))
    scene = opened.scene
    settled = (opened.src_nodata, scene.layout, scene.sensor, scene.bands, scene.units, scene.edge)
    return repr((__version__, inputs, settled, sorted(made.items())))
