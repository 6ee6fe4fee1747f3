"""Finds sensors and bands: by name, by what metadata say, by the number of bands of a product."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from panloom.errors import SensorError, unknown
from panloom.sensors._labels import find, plain
from panloom.sensors._toml import Entry, read_entry
from panloom.types import Band, Sensor

_FOLDER = Path(__file__).parent

# Entries of the user's own files by sensor name, so that their orders and aliases are found from the sensor.
_own: dict[str, Entry] = {}


@cache
def _registry() -> dict[str, Entry]:
    entries = [read_entry(path) for path in sorted(_FOLDER.glob("*.toml"))]
    return {entry.sensor.name: entry for entry in entries}


@cache
def _names() -> dict[str, str]:
    """Every name and alias in plain form, and the registry name that it means."""
    found = {plain(name): name for name in _registry()}
    for name, entry in _registry().items():
        for alias in entry.aliases:
            if found.setdefault(plain(alias), name) != name:
                raise SensorError(f"both {found[plain(alias)]!r} and {name!r} go by the alias {alias!r}")
    return found


def names() -> list[str]:
    """The names in the registry, in alphabetical order, without the aliases."""
    return sorted(_registry())


def get(name: str | Path) -> Sensor:
    """The sensor of that name.

    Args:
        name: a registry name or alias (large letters, spaces and hyphens do not matter), or the path of a
            TOML file of your own.

    Raises:
        SensorError: no sensor has that name, or the file is wrong.

    Examples:
        >>> get("spot-7").name, get("WorldView-3").ratio
        ('spot-6', 4)
    """
    text = str(name)
    if text.lower().endswith(".toml"):
        entry = read_entry(Path(text).expanduser())
        _own[entry.sensor.name] = entry
        return entry.sensor
    found = _names().get(plain(text))
    if found is None:
        hint = "; a sensor of your own is given as the path of a TOML file"
        raise SensorError(unknown("sensor", text, names()) + hint)
    return _registry()[found].sensor


def recognise(text: Iterable[str]) -> Sensor | None:
    """Guess the sensor from strings of metadata or file names.

    Identifiers count as whole words, with or without their separators ("PHR 1A", "PHR1A", "PHR_1A"). One
    made of capitals only, such as ALI, must be written so; others match in large and small letters.

    Args:
        text: any strings.

    Returns:
        The sensor, or None where no identifier is found or where they point to different sensors.
    """
    whole = "\n".join(text)
    found = [entry for entry in _registry().values() if any(p.search(whole) for p in _patterns(entry.sensor.name))]
    return found[0].sensor if len(found) == 1 else None


@cache
def _patterns(name: str) -> tuple[re.Pattern[str], ...]:
    return tuple(_pattern(identifier) for identifier in _registry()[name].recognise)


def _pattern(identifier: str) -> re.Pattern[str]:
    words = re.split(r"[\s_-]+", identifier)
    body = r"[ _-]?".join(map(re.escape, words))
    exact = identifier.isalpha() and identifier.isupper()
    return re.compile(rf"(?<![A-Za-z0-9]){body}(?![A-Za-z0-9])", 0 if exact else re.IGNORECASE)


def _entry(sensor: Sensor) -> Entry:
    """The file behind a sensor; also for one whose bands were cut down or whose gains were changed."""
    entries = [known[sensor.name] for known in (_own, _registry()) if sensor.name in known]
    order = tuple(band.name for band in sensor.bands)
    kin = [entry for entry in entries if set(order) <= set(entry.labels.values())]
    exact = [entry for entry in kin if entry.sensor == sensor]
    families = entries[0].families if entries else {}
    bare = Entry(sensor, orders=(order,), labels={plain(name): name for name in order}, families=families)
    return (*exact, *kin, bare)[0]


def bands_for(sensor: Sensor, count: int) -> tuple[Band, ...] | None:
    """The bands of a product of this sensor that has `count` bands, in the product's usual order.

    Args:
        sensor: from `get` or `recognise`.
        count: number of bands in the file.

    Returns:
        The bands, or None where no usual product has that many. The generic sensor always has an answer:
        blue, green, red, nir for 4; red, green, blue, as in colour imagery, for 3; else `generic_bands`.
    """
    entry = _entry(sensor)
    bands = {band.name: band for band in (*entry.sensor.bands, *sensor.bands)}
    for order in entry.orders:
        if len(order) == count:
            return tuple(bands[name] for name in order)
    return generic_bands(count) if sensor.name == "generic" and count > 0 else None


def generic_bands(count: int) -> tuple[Band, ...]:
    """Bands "band1", "band2", ... of an unknown instrument, with the gain at Nyquist of the generic sensor.

    The wavelengths are placeholders: equal parts of the generic PAN's range, so that every band has a width.

    Args:
        count: number of bands, from 1.

    Raises:
        SensorError: `count` is below 1.
    """
    if count < 1:
        raise SensorError(f"cannot make {count} bands; the number must be 1 or more")
    sensor = get("generic")
    low, width = sensor.pan.centre_nm - sensor.pan.fwhm_nm / 2, sensor.pan.fwhm_nm / count
    gain = sensor.bands[0].mtf_nyquist
    centres = [low + (i + 0.5) * width for i in range(count)]
    return tuple(Band(f"band{i}", centre, width, gain, placeholder=True) for i, centre in enumerate(centres, 1))


def band_named(sensor: Sensor, label: str) -> Band | None:
    """The band of a sensor that a free label means.

    Args:
        sensor: from `get` or `recognise`.
        label: as found in files: "Blue", "B2", "NIR 1", "MULTISPECTRAL N", "SR_B4", "red edge", ...

    Returns:
        The band, also one that is not in `sensor.bands` because they were cut down; None where the label fits
        no multispectral band. PAN is none. Of the generic sensor also SWIR, cirrus and thermal bands, by their word.
    """
    entry = _entry(sensor)
    name = find(label, entry.labels)
    bands = {band.name: band for band in (*entry.sensor.bands, *sensor.bands)}
    if name is not None:
        return bands[name]
    parts = re.fullmatch(r"([a-z]+)[ _-]?(\d*)", label.strip().lower())
    if parts is None or parts[1] not in entry.families:
        return None
    return replace(entry.families[parts[1]], name=parts[1] + parts[2])


def having(labels: Sequence[str]) -> list[str]:
    """The names of the sensors of the registry that have a band of their own for each of these labels.

    Args:
        labels: as for `band_named`.
    """
    found = {name: [band_named(get(name), label) for label in labels] for name in names()}
    return [name for name, bands in found.items() if None not in bands and len(set(bands)) == len(labels)]
