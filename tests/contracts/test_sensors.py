"""Laws that every sensor file keeps; a new file is tested the day it appears."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import panloom.sensors
from panloom.sensors import band_named, bands_for, get, names, recognise, role_of

FOLDER = Path(panloom.sensors.__file__).parent
FILES = sorted(FOLDER.glob("*.toml"))
RAW = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in FILES}
every = pytest.mark.parametrize("name", sorted(RAW))


def test_the_expected_sensors_are_there():
    expected = "eo1-ali gaofen-2 generic geoeye-1 ikonos landsat-7 landsat-8 pleiades pleiades-neo quickbird spot-6"
    assert set(names()) >= set(expected.split()) | {f"worldview-{x}" for x in ("2", "3", "4", "legion")}
    assert names() == sorted(RAW)


def test_names_and_aliases_are_unique_and_plain():
    said = [name for raw in RAW.values() for name in (raw["name"], *raw.get("aliases", []))]
    assert len(said) == len({re.sub(r"\W", "", name) for name in said})
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in said)


@every
def test_the_name_is_that_of_the_file_and_is_found_in_any_spelling(name):
    assert RAW[name]["name"] == name
    for said in (name, name.upper(), name.replace("-", " "), *RAW[name].get("aliases", [])):
        assert get(said) == get(name)


@every
def test_gains_widths_and_ranges_are_physical(name):
    sensor = get(name)
    for band in (*sensor.bands, sensor.pan):
        assert 0 < band.mtf_nyquist < 1
        assert band.fwhm_nm > 0
        assert band.centre_nm - band.fwhm_nm / 2 >= 380
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", band.name)
    assert sensor.pan.mtf_nyquist < min(band.mtf_nyquist for band in sensor.bands)
    assert sensor.ratio in (2, 3, 4)
    assert sensor.full_scale is None or sensor.full_scale in {2**n - 1 for n in (8, 10, 11, 12, 16)}
    assert (sensor.gsd_pan_m is None) == (name == "generic")


@every
def test_roles_follow_the_wavelength(name):
    for band in get(name).bands:
        assert band.role == role_of(band.centre_nm)
        assert (band.role == "sharpen") == (band.centre_nm < 1000)


@every
def test_orders_name_existing_bands_and_every_count_has_one_order(name):
    orders = RAW[name]["orders"]
    bands = {band.name for band in get(name).bands}
    assert all(set(order) <= bands and len(set(order)) == len(order) for order in orders)
    assert len({len(order) for order in orders}) == len(orders)
    for order in orders:
        found = bands_for(get(name), len(order))
        assert found is not None
        assert [band.name for band in found] == order


@every
def test_every_file_says_where_its_facts_come_from(name):
    assert get(name).cite
    assert all(len(line) > 20 for line in get(name).cite)
    assert (FOLDER / f"{name}.toml").read_text(encoding="utf-8").startswith("# ")


@every
def test_every_band_is_found_by_its_name_and_its_labels(name):
    sensor = get(name)
    for band, raw in zip(sensor.bands, RAW[name]["bands"], strict=True):
        for label in (band.name, band.name.replace("-", " ").title(), *raw.get("aliases", [])):
            assert band_named(sensor, label) == band
    assert band_named(sensor, "PAN") is None


@every
def test_every_identifier_points_to_its_own_sensor(name):
    for identifier in RAW[name]["recognise"]:
        for text in (identifier, f'X = "{identifier}";', f"a_{identifier}-b", identifier.replace(" ", "_")):
            assert recognise(["", text]) == get(name)


@every
def test_a_sensor_with_fewer_bands_or_other_gains_keeps_its_orders(name):
    sensor = get(name)
    cut = replace(sensor, bands=tuple(replace(band, mtf_nyquist=0.21) for band in sensor.bands[:3]))
    found = bands_for(cut, len(RAW[name]["orders"][0]))
    assert found is not None
    gains = {band.name: band.mtf_nyquist for band in found}
    assert all(gains[band.name] == 0.21 for band in cut.bands if band.name in gains)


def test_the_gains_are_those_of_the_literature():
    counts = {"quickbird": 4, "ikonos": 4, "geoeye-1": 4, "worldview-4": 4}
    counts |= {"worldview-2": 8, "worldview-3": 8, "gaofen-2": 4}
    gains = {name: [b.mtf_nyquist for b in get(name).bands[:count]] for name, count in counts.items()}
    assert gains == {
        "quickbird": [0.34, 0.32, 0.30, 0.22],
        "ikonos": [0.26, 0.28, 0.29, 0.28],
        "geoeye-1": [0.23] * 4,
        "worldview-4": [0.23] * 4,
        "worldview-2": [0.35] * 7 + [0.27],
        "worldview-3": [0.325, 0.355, 0.36, 0.35, 0.365, 0.36, 0.335, 0.315],
        "gaofen-2": [0.30] * 4,
    }
    pan = {name: get(name).pan.mtf_nyquist for name in (*gains, "landsat-8")}
    assert list(pan.values()) == [0.15, 0.17, 0.16, 0.16, 0.11, 0.14, 0.15, 0.15]


def test_importing_the_registry_loads_neither_torch_nor_rasterio():
    code = (
        "import sys, panloom.sensors as s; s.get('worldview-3'); s.recognise(['WV03'])\n"
        "print(sorted({'torch', 'rasterio', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
