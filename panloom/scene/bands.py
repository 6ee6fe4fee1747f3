"""Which instrument took a scene, and which band of the files is which; every answer with its source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from panloom import sensors
from panloom.errors import OptionError, SceneError
from panloom.scene import metadata
from panloom.scene._rasterio import Raster
from panloom.types import Band, Sensor

#: Colour interpretations that name a band.
_COLORS = {"red", "green", "blue", "coastal", "yellow", "rededge", "nir", "swir", "cirrus", "tir", "lwir"}

#: Source of a sensor that nothing tells.
NOT_RECOGNISED = "not recognised"

#: Numbers that operators give to bands: "B4", "SR_B4", "B6_VCID_1", "B8A", "Band 4"; also at the end of file names.
_NUMBERED = re.compile(r"(?:^|[\s_-])(B|BAND[\s_-]?)0*(\d{1,2}A?)(_VCID_[12])?(?:_L1[A-Z]+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class SceneBand:
    """One requested band of the MS image.

    Attributes:
        file: which of the MS files.
        number: 1-based band number in that file.
        band: what it is.
        sharpen: fused with PAN; otherwise interpolated and passed through.
    """

    file: int
    number: int
    band: Band
    sharpen: bool

    @property
    def reason(self) -> str:
        """Why the band is passed through, where it is."""
        return "by choice" if self.band.role == "sharpen" else self.band.role


@dataclass(frozen=True)
class Identity:
    """The sensor, its requested bands, and where both answers come from.

    Attributes:
        sensor: with the bands that are sharpened.
        bands: all that are used.
        sensor_source: where the sensor comes from.
        bands_source: where the names of the bands come from.
        facts: what is done, as it should be.
        notes: what the user may have to act on.
    """

    sensor: Sensor
    bands: tuple[SceneBand, ...]
    sensor_source: str
    bands_source: str
    facts: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Named:
    bands: tuple[Band, ...]
    source: str
    certain: bool


def identify(
    pan: Raster,
    files: Sequence[Raster],
    *,
    sensor: str | Sensor | None = None,
    bands: Sequence[str | int] | None = None,
    sharpen: Sequence[str | int] | None = None,
) -> Identity:
    """Settle sensor and bands.

    Args:
        pan: header of the PAN file.
        files: headers of the MS files.
        sensor: registry name, path of a TOML file, or a sensor; None: recognised, else generic.
        bands: items `N` (take file band N), `NAME` (take, or name by position) or `N=NAME` (take and name).
        sharpen: names or numbers of the bands to sharpen; None: all but SWIR, cirrus and thermal ones.

    Raises:
        SensorError: unknown sensor or bad TOML.
        OptionError: a band does not exist.
        SceneError: the files have no data band.
    """
    product = metadata.beside(files[0].path)
    chosen, sensor_source = _sensor(pan, files, sensor, product)
    places = [(f, n) for f, raster in enumerate(files) for n in raster.bands]
    if not places:
        raise SceneError(f"{files[0].path}: no data band (all are alpha)")
    named = _name(chosen, files, places, product)
    picked, source = _pick(chosen, places, named, bands)
    marked = _mark(picked, sharpen)
    use = replace(chosen, bands=tuple(b.band for b in marked if b.sharpen))
    if not use.bands:
        raise OptionError(f"no band is left to sharpen among {', '.join(b.band.name for b in marked)}; see --sharpen")
    unplaced = _unplaced(marked) if sharpen is None else []
    unknown: list[str] = []
    if sensor_source == NOT_RECOGNISED:
        numbers = () if named.certain or _all_named(bands) else _numbers(files, places)
        unknown = [_unrecognised(numbers, unplaced)]
    elif unplaced:
        unknown = [f"nothing tells what {_doubt(unplaced)}; name the instrument with --sensor, {_NAMING}"]
    notes = (*unknown, *_outside(chosen, marked))
    return Identity(use, marked, sensor_source, source, _passed(marked), notes)


def _sensor(
    pan: Raster, files: Sequence[Raster], given: str | Sensor | None, product: metadata.Product | None
) -> tuple[Sensor, str]:
    if isinstance(given, Sensor):
        return given, "given"
    if given is not None:
        return sensors.get(given), "given"
    if product is not None and product.sensor and (found := sensors.recognise([product.sensor])):
        return found, f"metadata {Path(product.source).name}"
    for raster in (*files, pan):
        if found := sensors.recognise(raster.tags.values()):
            return found, f"tags of {Path(raster.path).name}"
    for raster in (*files, pan):
        if found := sensors.recognise([re.sub(r"[^A-Za-z0-9]+", " ", Path(raster.path).name)]):
            return found, f"file name {Path(raster.path).name}"
    return sensors.get("generic"), NOT_RECOGNISED


def _name(
    sensor: Sensor, files: Sequence[Raster], places: Sequence[tuple[int, int]], product: metadata.Product | None
) -> _Named:
    """Band descriptions, else colours, else file names and metadata, else the usual order."""
    descriptions = [files[f].descriptions[n - 1] or "" for f, n in places]
    if (found := _match(sensor, descriptions)) is not None:
        return _Named(found, "band descriptions", certain=True)
    colors = [files[f].colors[n - 1] for f, n in places]
    if all(c in _COLORS for c in colors) and (found := _match(sensor, colors)) is not None:
        return _Named(found, "colour interpretation", certain=True)
    if len(files) > 1:
        labels = [metadata.band_from_filename(files[f].path) or "" for f, _ in places]
        if (found := _match(sensor, labels)) is not None:
            return _Named(found, "file names", certain=True)
    if product is not None and len(product.bands) == len(places):
        found = _match(sensor, list(product.bands))
        if found is not None:
            return _Named(found, f"metadata {Path(product.source).name}", certain=True)
    for source, labels in (("band descriptions", descriptions), ("colour interpretation", colors)):
        known = [_known(sensor, label, source) for label in labels]
        if any(known) and (found := _completed(sensor, known)) is not None:
            return found if not found.source else replace(found, source=f"{source}, {found.source}")
    usual = sensors.bands_for(sensor, len(places))
    if usual is not None:
        return _Named(usual, f"usual order of {sensor.name}", certain=False)
    return _Named(sensors.generic_bands(len(places)), "position only", certain=False)


def _known(sensor: Sensor, label: str, source: str) -> Band | None:
    if not label or (source == "colour interpretation" and label not in _COLORS):
        return None
    return sensors.band_named(sensor, label)


def _completed(sensor: Sensor, known: Sequence[Band | None]) -> _Named | None:
    """Some bands are known: the others from a usual order that agrees, or by elimination, else by their number."""
    have = [band.name for band in known if band is not None]
    if len(set(have)) < len(have):
        return None
    usual = sensors.bands_for(sensor, len(known)) or ()
    pairs = zip(known, usual, strict=False)
    if usual and all(band is None or band.name == other.name for band, other in pairs):
        return _Named(tuple(usual), f"the rest by the usual order of {sensor.name}", certain=True)
    left = [band for band in usual if band.name not in have]
    if len(left) == len(known) - len(have) == 1:
        return _Named(tuple(band or left[0] for band in known), "the rest by elimination", certain=True)
    numbered = sensors.generic_bands(len(known))
    named = tuple(band or other for band, other in zip(known, numbered, strict=True))
    return _Named(named, "the rest by position only", certain=False)


def _match(sensor: Sensor, labels: Sequence[str]) -> tuple[Band, ...] | None:
    found = [sensors.band_named(sensor, label) if label else None for label in labels]
    bands = tuple(b for b in found if b is not None)
    return bands if len(bands) == len(labels) and len({b.name for b in bands}) == len(bands) else None


def _pick(
    sensor: Sensor, places: Sequence[tuple[int, int]], named: _Named, items: Sequence[str | int] | None
) -> tuple[list[tuple[tuple[int, int], Band]], str]:
    if not items:
        return list(zip(places, named.bands, strict=True)), named.source
    words = [str(item).strip().lower() for item in items]
    names_only = all(not w.split("=")[0].isdigit() for w in words)
    if names_only and not named.certain and len(words) == len(places):
        return [(p, _band(sensor, w)) for p, w in zip(places, words, strict=True)], "given"
    return [_one(sensor, places, named, word) for word in words], f"{named.source}, chosen by hand"


def _one(sensor: Sensor, places: Sequence[tuple[int, int]], named: _Named, word: str) -> tuple[tuple[int, int], Band]:
    number, _, name = word.partition("=")
    if number.isdigit():
        k = int(number)
        if not 1 <= k <= len(places):
            raise OptionError(f"band {k} does not exist: the MS image has {len(places)} bands, numbered from 1")
        return places[k - 1], _band(sensor, name) if name else named.bands[k - 1]
    have = [b.name for b in named.bands]
    wanted = sensors.band_named(sensor, word)
    name = word if word in have else wanted.name if wanted else word
    if name not in have:
        raise OptionError(f"band {word!r} does not exist: the MS image has {', '.join(have)} ({named.source})")
    return places[have.index(name)], named.bands[have.index(name)]


def _band(sensor: Sensor, name: str) -> Band:
    found = sensors.band_named(sensor, name) or sensors.band_named(sensors.get("generic"), name)
    if found is None:
        raise OptionError(f"{name!r} is no band of {sensor.name}: {', '.join(b.name for b in sensor.bands)}")
    return found


def _mark(picked: Sequence[tuple[tuple[int, int], Band]], sharpen: Sequence[str | int] | None) -> tuple[SceneBand, ...]:
    names = [band.name for _, band in picked]
    if sharpen is None:
        wanted = {k for k, (_, band) in enumerate(picked) if band.role == "sharpen"}
    elif [str(s).lower() for s in sharpen] == ["all"]:
        wanted = set(range(len(picked)))
    else:
        wanted = {_position(str(s).lower(), names) for s in sharpen}
    return tuple(SceneBand(f, n, band, k in wanted) for k, ((f, n), band) in enumerate(picked))


def _position(word: str, names: Sequence[str]) -> int:
    if word in names:
        return names.index(word)
    if word.isdigit() and 1 <= int(word) <= len(names):
        return int(word) - 1
    raise OptionError(
        f"band {word!r} cannot be sharpened: the bands in use are {', '.join(names)} (or 1 to {len(names)})"
    )


def _passed(bands: Sequence[SceneBand]) -> tuple[str, ...]:
    passed = [f"{b.band.name} ({b.reason})" for b in bands if not b.sharpen]
    said = f"without detail of PAN, interpolated and passed through: {', '.join(passed)}; --sharpen changes that"
    return (said,) if passed else ()


def _outside(sensor: Sensor, bands: Sequence[SceneBand]) -> list[str]:
    low, high = sensor.pan.centre_nm - sensor.pan.fwhm_nm / 2, sensor.pan.centre_nm + sensor.pan.fwhm_nm / 2
    known = [b.band for b in bands if b.sharpen and not b.band.placeholder]
    outside = [band.name for band in known if not low <= band.centre_nm <= high]
    said = (
        f"PAN ({low:.0f}-{high:.0f} nm) does not cover {', '.join(outside)}: what it shows there is detail of other "
        "wavelengths; --sharpen chooses the bands that get it"
    )
    return [said] if outside else []


def _unplaced(bands: Sequence[SceneBand]) -> list[str]:
    """Bands that may be none of PAN's: four are hardly ever anything but visible and near infrared."""
    return [b.band.name for b in bands if b.sharpen and b.band.placeholder] if len(bands) > 4 else []


def _doubt(unplaced: Sequence[str]) -> str:
    return f"{', '.join(unplaced)} are: SWIR or thermal bands among them are treated like the others"


#: What names bands, or leaves some out.
_NAMING = "the bands with --bands (6=swir1), or those that get detail of PAN with --sharpen"


def _unrecognised(numbers: Sequence[str], unplaced: Sequence[str]) -> str:
    """What follows from an unknown sensor, and what to do; `unplaced` are the bands that nobody knows then."""
    said = "sensor not recognised: generic MTF gains are used"
    if unplaced:
        said += f", and nothing tells what {_doubt(unplaced)}"
    if not numbers:
        also = f", {_NAMING}" if unplaced else ""
        return f"{said}; name it with --sensor (see: panloom sensors){also}"
    said += f". The bands are named {', '.join(numbers)}, and every instrument counts its bands in its own way; "
    if known := sensors.having(numbers):
        return f"{said}name it, if it is one of those with all these bands: --sensor {' | '.join(known)}"
    return f"{said}no known sensor has all of them: name the bands (--bands 1=blue,...) or give --sensor a TOML file"


def _numbers(files: Sequence[Raster], places: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """The operator's band numbers in descriptions or file names, where every band has one of its own.

    "Band 1", "Band 2", ... in this order say no more than the place in the file: any program writes that.
    """
    descriptions = [files[f].descriptions[n - 1] or "" for f, n in places]
    for labels in (descriptions, [Path(files[f].path).stem for f, _ in places]):
        found = [_NUMBERED.search(label.strip()) for label in labels]
        parts = [match.groups(default="") for match in found if match]
        names = tuple(f"B{number}{mark}".upper() for _, number, mark in parts)
        counted = [number for word, number, _ in parts if len(word) > 1] == [str(k + 1) for k in range(len(labels))]
        if len(set(names)) == len(labels) and not counted:
            return names
    return ()


def _all_named(items: Sequence[str | int] | None) -> bool:
    return bool(items) and not any(str(item).strip().isdigit() for item in items or ())
