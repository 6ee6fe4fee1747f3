"""Reads one sensor file. Every complaint names the file, the key and the value."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from panloom.errors import SensorError, unknown
from panloom.sensors._labels import plain
from panloom.types import Band, Sensor

Role = Literal["sharpen", "swir", "cirrus", "thermal"]

_PAN = frozenset(("centre_nm", "fwhm_nm", "mtf_nyquist"))
_BAND = _PAN | {"name", "role", "aliases"}
_FAMILY = _PAN | {"words", "role"}
_TOP = frozenset(
    (
        "name",
        "aliases",
        "recognise",
        "cite",
        "ratio",
        "gsd_pan_m",
        "full_scale",
        "scale",
        "offset",
        "pan",
        "bands",
        "orders",
        "families",
    )
)
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Entry:
    """What one file says: the sensor, and how its name and its bands are found.

    Attributes:
        sensor: the facts.
        aliases: other registry names.
        recognise: identifiers in metadata that mean this sensor.
        orders: usual band orders of the products, as band names; the first with a given length counts.
        labels: plain form of each band alias (see `panloom.sensors._labels.plain`) and its band's name.
        families: words that, with a number or without, name a band of which only the role is known; and that band.
    """

    sensor: Sensor
    aliases: tuple[str, ...] = ()
    recognise: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    families: Mapping[str, Band] = field(default_factory=dict)


def role_of(centre_nm: float) -> Role:
    """The role that follows from a centre wavelength in nanometres.

    Visible and near infrared light is what PAN sees; 1375 nm is absorbed by water vapour above the ground,
    and beyond 3000 nm the Earth emits more than it reflects.
    """
    if centre_nm > 3000:
        return "thermal"
    if 1360 <= centre_nm <= 1390:
        return "cirrus"
    return "swir" if centre_nm > 1000 else "sharpen"


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the file, with getters that check the type and name the place."""

    path: Path
    where: str
    values: Mapping[str, object]

    def wrong(self, key: str, need: str) -> SensorError:
        value = self.values.get(key, _MISSING)
        found = "is missing" if value is _MISSING else f"= {value!r}"
        return SensorError(f"{self.path}: {self.where}{key} {found}; it must be {need}")

    def only(self, known: Iterable[str]) -> None:
        known = frozenset(known)
        for key in self.values:
            if key not in known:
                place = f" in {self.where.rstrip('.')}" if self.where else ""
                raise SensorError(f"{self.path}: {unknown(f'key{place}', key, known)}")

    def number(self, key: str, need: str, low: float, high: float = math.inf) -> float:
        """A finite number with low < number < high."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
            raise self.wrong(key, need)
        return float(value)

    def optional(self, key: str, need: str, low: float) -> float | None:
        return self.number(key, need, low) if key in self.values else None

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)


def read_entry(path: Path) -> Entry:
    """Read and check a sensor file.

    Args:
        path: a TOML file; the keys are those of `Sensor` and `Band`, and `aliases`, `recognise`, `orders`,
            `families`.

    Raises:
        SensorError: the file cannot be read, or a key or value in it is wrong.
    """
    try:
        raw: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SensorError(f"cannot read the sensor file {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SensorError(f"{path} is not a valid TOML file: {error}") from error
    top = _Table(path, "", raw)
    top.only(_TOP)
    tables = _band_tables(top)
    bands = tuple(_band(table, table.text("name"), _BAND) for table in tables)
    return Entry(
        sensor=_sensor(top, bands),
        aliases=top.texts("aliases"),
        recognise=top.texts("recognise"),
        orders=_orders(top, bands),
        labels=_labels(tables),
        families=_families(top),
    )


def _sensor(top: _Table, bands: tuple[Band, ...]) -> Sensor:
    ratio = top.values.get("ratio")
    if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio < 1:
        raise top.wrong("ratio", "a whole number from 1: PAN pixels per MS pixel")
    pan = top.values.get("pan")
    if not isinstance(pan, dict):
        raise top.wrong("pan", f"a table with {', '.join(sorted(_PAN))}")
    scale = top.number("scale", "a number that is not 0", -math.inf) if "scale" in top.values else 1.0
    if scale == 0:
        raise top.wrong("scale", "a number that is not 0")
    return Sensor(
        name=top.text("name").lower(),
        bands=bands,
        pan=_band(_Table(top.path, "pan.", pan), "pan", _PAN),
        ratio=ratio,
        full_scale=top.optional("full_scale", "a number above 0: the DN that becomes 1.0", 0.0),
        scale=scale,
        offset=top.optional("offset", "a number", -math.inf) or 0.0,
        gsd_pan_m=top.optional("gsd_pan_m", "a number above 0, in metres", 0.0),
        cite=top.texts("cite"),
    )


def _tables(top: _Table, key: str, need: str) -> list[_Table]:
    raw = top.values.get(key)
    if not isinstance(raw, list) or not raw or not all(isinstance(item, dict) for item in raw):
        raise top.wrong(key, need)
    return [_Table(top.path, f"{key}[{i}].", item) for i, item in enumerate(raw)]


def _band_tables(top: _Table) -> list[_Table]:
    tables = _tables(top, "bands", "one table [[bands]] for each band, at least one")
    seen: set[str] = set()
    for table in tables:
        name = table.text("name")
        if name in seen:
            raise table.wrong("name", "unlike every other band's name")
        seen.add(name)
    return tables


def _band(table: _Table, name: str, known: frozenset[str]) -> Band:
    table.only(known)
    centre = table.number("centre_nm", "a wavelength in nanometres, above 0", 0.0)
    role = table.values.get("role", role_of(centre))
    if role not in get_args(Role):
        raise table.wrong("role", f"one of {', '.join(get_args(Role))}")
    return Band(
        name=name,
        centre_nm=centre,
        fwhm_nm=table.number("fwhm_nm", "a width in nanometres, above 0", 0.0),
        mtf_nyquist=table.number("mtf_nyquist", "a gain between 0 and 1, both excluded", 0.0, 1.0),
        role=role,  # pyright: ignore[reportArgumentType]  # checked against the literal above
    )


def _orders(top: _Table, bands: tuple[Band, ...]) -> tuple[tuple[str, ...], ...]:
    names = tuple(band.name for band in bands)
    if "orders" not in top.values:
        return (names,)
    raw = top.values["orders"]
    need = f"a list of lists of different band names out of {', '.join(names)}"
    if not isinstance(raw, list) or not all(isinstance(order, list) and order for order in raw):
        raise top.wrong("orders", need)
    for order in raw:
        if not set(map(str, order)) <= set(names) or len(set(order)) < len(order):
            raise SensorError(f"{top.path}: orders holds {order!r}; it must be {need}")
    return tuple(tuple(order) for order in raw)


def _labels(tables: list[_Table]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in tables:
        name = table.text("name")
        for label in (name, *table.texts("aliases")):
            if found.setdefault(plain(label), name) != name:
                raise SensorError(
                    f"{table.path}: {table.where}aliases holds {label!r}, which already means the band "
                    f"{found[plain(label)]!r}; give each label to one band"
                )
    return found


def _families(top: _Table) -> dict[str, Band]:
    if "families" not in top.values:
        return {}
    found: dict[str, Band] = {}
    for table in _tables(top, "families", "one table [[families]] for each kind of band"):
        band = replace(_band(table, "", _FAMILY), placeholder=True)
        words = table.texts("words")
        told = set(words) - found.keys()
        if not words or len(told) < len(words) or not all(word.isalpha() and word.islower() for word in words):
            raise table.wrong("words", "a list of words in small letters, each in one family only")
        found |= {word: replace(band, name=word) for word in words}
    return found
