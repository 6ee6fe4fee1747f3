"""What the output file shall be: its form, tags and creation options, checked before any pixel is fused.

Names and values of the options are those of GDAL's GTiff and COG drivers
(gdal.org/drivers/raster/gtiff.html and cog.html).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from panloom.errors import OutputError, unknown

Affine6 = tuple[float, float, float, float, float, float]
Driver = Literal["GTiff", "COG"]

#: Compressions of a GTiff whose tiles stand for themselves, and whether they go with a predictor.
COMPRESSIONS: Mapping[str, bool] = {
    "NONE": False,
    "DEFLATE": True,
    "LZW": True,
    "ZSTD": True,
    "LZMA": False,
    "PACKBITS": False,
    "LERC": False,
    "LERC_DEFLATE": False,
    "LERC_ZSTD": False,
}

# Their tiles share tables outside the tile, or exist for few data types: GDAL must write the whole file.
_COG_ONLY = ("JPEG", "WEBP", "JXL")

# Range of a number (whole, or any where the limits are floats), or the values allowed; None: GDAL judges.
_Allowed = tuple[int, int] | tuple[float, float] | frozenset[str] | None

_YES_NO = frozenset({"YES", "NO", "TRUE", "FALSE", "ON", "OFF"})
_BIG = frozenset({"YES", "NO", "IF_NEEDED", "IF_SAFER"})
_VERSIONS = frozenset({"AUTO", "1.0", "1.1"})
_RESAMPLINGS = frozenset({"NEAREST", "AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS", "MODE", "RMS"})
_PREDICTORS = frozenset({"YES", "NO", "STANDARD", "FLOATING_POINT"})
_COG_COMPRESSIONS = frozenset({*COMPRESSIONS, *_COG_ONLY}) - {"PACKBITS"}
_ERROR = (0.0, math.inf)

_GTIFF: Mapping[str, _Allowed] = {
    "COMPRESS": frozenset(COMPRESSIONS),
    "PREDICTOR": (1, 3),
    "INTERLEAVE": frozenset({"PIXEL", "BAND"}),
    "BIGTIFF": _BIG,
    "NBITS": (1, 32),
    "ZLEVEL": (1, 12),
    "ZSTD_LEVEL": (1, 22),
    "LZMA_PRESET": (0, 9),
    "MAX_Z_ERROR": _ERROR,
    "DISCARD_LSB": None,
    "PHOTOMETRIC": frozenset({"MINISBLACK", "MINISWHITE", "RGB"}),
    "ALPHA": frozenset({"YES", "NO", "UNSPECIFIED", "NON-PREMULTIPLIED", "PREMULTIPLIED"}),
    "PROFILE": frozenset({"GDALGEOTIFF", "GEOTIFF", "BASELINE"}),
    "GEOTIFF_VERSION": _VERSIONS,
    "GEOTIFF_KEYS_FLAVOR": frozenset({"STANDARD", "ESRI_PE"}),
}

_COG: Mapping[str, _Allowed] = {
    "COMPRESS": _COG_COMPRESSIONS,
    "LEVEL": (0, 22),
    "QUALITY": (1, 100),
    "PREDICTOR": _PREDICTORS,
    "BIGTIFF": _BIG,
    "BLOCKSIZE": (128, 4096),
    "NBITS": (1, 32),
    "MAX_Z_ERROR": _ERROR,
    "MAX_Z_ERROR_OVERVIEW": _ERROR,
    "INTERLEAVE": frozenset({"PIXEL", "BAND", "TILE"}),
    "OVERVIEWS": frozenset({"AUTO", "IGNORE_EXISTING", "FORCE_USE_EXISTING", "NONE"}),
    "OVERVIEW_COUNT": (0, 30),
    "OVERVIEW_COMPRESS": _COG_COMPRESSIONS | {"AUTO"},
    "OVERVIEW_QUALITY": (1, 100),
    "OVERVIEW_PREDICTOR": _PREDICTORS,
    "OVERVIEW_RESAMPLING": _RESAMPLINGS,
    "RESAMPLING": _RESAMPLINGS,
    "WARP_RESAMPLING": _RESAMPLINGS,
    "NUM_THREADS": None,
    "SPARSE_OK": _YES_NO,
    "STATISTICS": _YES_NO | {"AUTO"},
    "GEOTIFF_VERSION": _VERSIONS,
    "TARGET_SRS": None,
    "TILING_SCHEME": None,
    "ZOOM_LEVEL": (0, 30),
    "ZOOM_LEVEL_STRATEGY": frozenset({"AUTO", "LOWER", "UPPER"}),
    "RES": (1e-12, math.inf),
    "EXTENT": None,
    "ALIGNED_LEVELS": (1, 30),
    "ADD_ALPHA": _YES_NO,
    "JXL_LOSSLESS": _YES_NO,
    "JXL_EFFORT": (1, 9),
    "JXL_DISTANCE": (0.01, 25.0),
    "JXL_ALPHA_DISTANCE": (-1.0, 25.0),
}

# Options that are no number and no word of a list, and what they look like.
_FORMS = {
    "NUM_THREADS": (re.compile(r"[1-9]\d{0,2}|ALL_CPUS", re.IGNORECASE), "a whole number from 1 to 999, or ALL_CPUS"),
    "DISCARD_LSB": (re.compile(r"\d{1,2}(,\d{1,2})*"), "a number of bits, or one for each band with commas"),
}

_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)

# Options that panloom sets by itself, and what to use instead.
_OWN = {
    "TILED": "the output is always tiled",
    "BLOCKXSIZE": "use the tile size of the output",
    "BLOCKYSIZE": "use the tile size of the output",
    "SPARSE_OK": "every tile is written",
    "NUM_THREADS": "tiles are compressed by the workers",
    "ENDIANNESS": "the output is always little-endian",
    "STREAMABLE_OUTPUT": "the output is a file",
    "COPY_SRC_OVERVIEWS": "use --format cog",
}

# Options of a COG's grid, which may ask for much more than the tile on which the others are tried.
_GRID = frozenset({"RES", "EXTENT", "ZOOM_LEVEL", "ALIGNED_LEVELS"})

# Above this size without compression a file may pass the 4 GiB of a classic TIFF.
_CLASSIC_MAX = 3_500_000_000


@dataclass(frozen=True)
class Profile:
    """The output file. Equal profiles, inputs and methods give equal bytes, so no time belongs in `tags`.

    Attributes:
        height: rows.
        width: columns.
        count: bands.
        dtype: numpy name of the data type.
        crs: reference system as WKT; None: none.
        transform: (a, b, c, d, e, f) from (col, row) corners to coordinates; None: none.
        nodata: no-data number of all bands; None: none.
        descriptions: name of each band; empty: none.
        colors: colour interpretation of each band, by GDAL's name in lower case; empty: GDAL's default.
        scales: physical value = scale * DN + offset, for each band; empty: 1.
        offsets: see `scales`; empty: 0.
        tags: metadata of the dataset. Names that start with `TIFFTAG_` become TIFF tags.
        tile: rows and columns of a tile; a multiple of 16.
        options: creation options of GDAL's driver; defaults see `creation_options`.
        driver: "GTiff", or "COG" (cloud-optimised GeoTIFF).
        overviews: make overviews (averages) down to 256 pixels.
        rpcs_from: raster whose rational polynomial coefficients and ground control points are copied.
        rpcs_origin: (row, col) in that raster of the output's pixel (0, 0).
        mask: write an internal mask, valid or not, instead of a no-data number.

    Raises:
        OutputError: an option is unknown or does not fit the data type.
    """

    height: int
    width: int
    count: int
    dtype: str
    crs: str | None = None
    transform: Affine6 | None = None
    nodata: float | None = None
    descriptions: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    tile: int = 512
    options: Mapping[str, str] = field(default_factory=dict)
    driver: Driver = "GTiff"
    overviews: bool = False
    rpcs_from: str | None = None
    rpcs_origin: tuple[int, int] = (0, 0)
    mask: bool = False

    def __post_init__(self) -> None:
        if self.mask and self.nodata is not None:
            raise OutputError(f"an output has a mask or a no-data number ({self.nodata:g}), not both")
        if self.tile < 16 or self.tile % 16:
            raise OutputError(f"tiles of a TIFF are multiples of 16 pixels; given: {self.tile}")
        object.__setattr__(self, "options", {k.upper(): str(v) for k, v in self.options.items()})
        known = _COG if self.driver == "COG" else _GTIFF
        for name, value in self.options.items():
            _check(name, value, known, self.driver)
        _check_grid(self.options)
        _check_bits(self)

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.tile), -(-self.width // self.tile)

    @property
    def tile_count(self) -> int:
        """How many tiles the file has."""
        return self.tiles[0] * self.tiles[1]

    @property
    def planes(self) -> int:
        """Pieces in which the data of a tile are stored: 1, or one a band."""
        return self.count if self.creation_options["INTERLEAVE"] == "BAND" else 1

    @property
    def creation_options(self) -> dict[str, str]:
        """Options of the GTiff that is assembled (for a COG: of the file it is made from)."""
        given = {} if self.driver == "COG" else {k: v.upper() for k, v in self.options.items()}
        made = {"COMPRESS": "ZSTD", "INTERLEAVE": "PIXEL", **given}
        if made["COMPRESS"] == "ZSTD":
            made.setdefault("ZSTD_LEVEL", "1")
        predictor = self._predictor()
        if COMPRESSIONS[made["COMPRESS"]] and predictor and "NBITS" not in made:
            made.setdefault("PREDICTOR", predictor)
        if not COMPRESSIONS[made["COMPRESS"]]:
            made.pop("PREDICTOR", None)
        return made | {"BIGTIFF": "YES" if self._big(made.get("BIGTIFF")) else "NO"}

    @property
    def cog_options(self) -> dict[str, str]:
        """Options of the COG driver."""
        compress = self.options.get("COMPRESS", "ZSTD").upper()
        level = {"LEVEL": "1"} if compress == "ZSTD" else {}
        predictor = {"PREDICTOR": "YES"} if COMPRESSIONS.get(compress) and "NBITS" not in self.options else {}
        return {
            "COMPRESS": compress,
            **level,
            **predictor,
            "BIGTIFF": "IF_SAFER",
            "BLOCKSIZE": str(self.tile),
            "OVERVIEWS": "AUTO" if self.overviews else "NONE",
            "OVERVIEW_RESAMPLING": "AVERAGE",
            **self.options,
        }

    @property
    def trial_options(self) -> dict[str, str]:
        """Options with which the COG driver is tried on one tile: with an overview, and not blown up by the grid."""
        kept = {k: v for k, v in self.cog_options.items() if k not in _GRID}
        return kept if kept["OVERVIEWS"].upper() == "NONE" else {"OVERVIEW_COUNT": "1", **kept}

    def overview_factors(self) -> list[int]:
        """2, 4, 8, ... until both sides are at most 256."""
        factors = [1]
        while max(self.height, self.width) / factors[-1] > 256:
            factors.append(2 * factors[-1])
        return factors[1:]

    def record(self) -> str:
        """The fields as JSON: equal texts, equal tiles. The options of a COG come after the tiles, so are left out."""
        fields = dataclasses.asdict(self)
        return json.dumps(fields | {"options": {}} if self.driver == "COG" else fields, sort_keys=True)

    def _predictor(self) -> str | None:
        return {"i": "2", "u": "2", "f": "3"}.get(np.dtype(self.dtype).kind)

    def _big(self, wish: str | None) -> bool:
        if wish in ("YES", "NO"):
            return wish == "YES"
        size = self.tile_count * self.tile**2 * (self.count * np.dtype(self.dtype).itemsize + self.mask)
        return size * (4 / 3 if self.overviews else 1) > _CLASSIC_MAX


def _check(name: str, value: str, known: Mapping[str, _Allowed], driver: str) -> None:
    """One creation option.

    Raises:
        OutputError: unknown, set by panloom itself, or with an impossible value.
    """
    if name not in known:
        if name in _OWN:
            raise OutputError(f"creation option {name}={value} cannot be chosen: {_OWN[name]}")
        raise OutputError(unknown(f"creation option of {driver}", name, known))
    allowed = known[name]
    if name == "COMPRESS" and driver == "GTiff" and value.upper() in _COG_ONLY:
        raise OutputError(f"COMPRESS={value} is written for cloud-optimised GeoTIFF only; use --format cog")
    if isinstance(allowed, frozenset) and value.upper() not in allowed:
        raise OutputError(unknown(f"value of creation option {name}", value, allowed))
    if isinstance(allowed, tuple):
        _check_number(name, value, *allowed)
    if name in _FORMS and not _FORMS[name][0].fullmatch(value):
        raise OutputError(f"{name}={value}: must be {_FORMS[name][1]}")
    if name == "EXTENT":
        _check_extent(value)
    if name == "BLOCKSIZE" and int(value) % 16:
        raise OutputError(f"BLOCKSIZE={value}: tiles of a TIFF are multiples of 16 pixels")


def _check_number(name: str, value: str, low: float, high: float) -> None:
    """A number in its range, whole where the limits are whole.

    Raises:
        OutputError: it is none.
    """
    if isinstance(low, int):
        # Python also takes digits of other scripts, GDAL does not.
        if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
            raise OutputError(f"{name}={value}: must be a whole number from {low} to {high}")
        return
    if not (_REAL.fullmatch(value) and low <= float(value) <= high):
        span = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise OutputError(f"{name}={value}: must be a number {span}")


def _check_extent(value: str) -> None:
    """Left, bottom, right and top of a COG.

    Raises:
        OutputError: they are not four numbers in this order.
    """
    parts = value.split(",")
    if all(_REAL.fullmatch(part) for part in parts) and len(parts) == 4:
        left, bottom, right, top = map(float, parts)
        if left < right and bottom < top:
            return
    raise OutputError(f"EXTENT={value}: must be left,bottom,right,top, four numbers with left < right and bottom < top")


def _check_grid(options: Mapping[str, str]) -> None:
    """The grid of a COG; GDAL leaves out or misreads a half of it.

    Raises:
        OutputError: something is missing.
    """
    for name, needed in (("RES", ("EXTENT", "TARGET_SRS")), ("EXTENT", ("TARGET_SRS",))):
        missing = [other for other in needed if other not in options]
        if name in options and missing:
            raise OutputError(f"{name}={options[name]} needs {' and '.join(missing)} too")


def _check_bits(profile: Profile) -> None:
    """Bits, predictor and alpha against the data type.

    Raises:
        OutputError: they do not go together.
    """
    if profile.driver == "COG":
        return
    options, kind = profile.options, np.dtype(profile.dtype)
    allowed = {"uint8": (1, 8), "uint16": (9, 16), "uint32": (17, 32), "float32": (16, 16)}.get(profile.dtype)
    bits = int(options.get("NBITS", 0))
    if bits and (allowed is None or not allowed[0] <= bits <= allowed[1]):
        raise OutputError(
            f"NBITS={bits} does not fit {profile.dtype}: uint8 takes 1-8, uint16 9-16, uint32 17-32, float32 16"
        )
    predictor = options.get("PREDICTOR", "1")
    if (predictor == "3" and kind.kind != "f") or (predictor == "2" and (kind.kind not in "iu" or bits % 8)):
        raise OutputError(
            f"PREDICTOR={predictor} does not fit {profile.dtype}{f' with NBITS={bits}' if bits else ''}: "
            "2 is for whole bytes of integers, 3 for floats; leave it out for the best one"
        )
    if options.get("COMPRESS", "").upper().startswith("LERC") and "alpha" in profile.colors:
        raise OutputError("LERC drops pixels that an alpha band hides; use COMPRESS=ZSTD for alpha")
