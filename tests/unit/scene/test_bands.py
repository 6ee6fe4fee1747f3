"""Names of bands where the file tells those of some only, and what is said where it tells too little."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rasters import Place, Says, write

from panloom.scene import open_scene
from panloom.scene._rasterio import Raster
from panloom.scene.bands import Identity, identify
from panloom.types import Sensor


def raster(colors: tuple[str, ...] = (), descriptions: tuple[str | None, ...] = (), path: str = "x_ms.tif") -> Raster:
    count = max(len(colors), len(descriptions))
    nothing = (None,) * count
    return Raster(
        path=path,
        width=8,
        height=8,
        count=count,
        dtypes=("uint16",) * count,
        crs=None,
        transform=None,
        nodata=nothing,
        scales=(1.0,) * count,
        offsets=(0.0,) * count,
        descriptions=descriptions or nothing,
        colors=colors or ("undefined",) * count,
        masked=(False,) * count,
        alpha=None,
        rpcs=False,
        gcps=False,
    )


def named(*ms: Raster, sensor: str | Sensor | None = "generic", bands: list[str] | None = None) -> Identity:
    return identify(raster(("gray",), path="x_pan.tif"), ms, sensor=sensor, bands=bands)


def names(identity: Identity) -> list[str]:
    return [b.band.name for b in identity.bands]


@pytest.mark.parametrize(
    ("colors", "expected", "source"),
    [
        (("red", "green", "blue", "undefined"), ["red", "green", "blue", "nir"], "elimination"),
        (("undefined", "red", "green", "blue"), ["nir", "red", "green", "blue"], "elimination"),
        (("blue", "green", "red", "undefined"), ["blue", "green", "red", "nir"], "usual order of generic"),
        (("undefined", "undefined", "red", "undefined"), ["blue", "green", "red", "nir"], "usual order of generic"),
        (("red", "undefined", "blue", "undefined"), ["red", "band2", "blue", "band4"], "position only"),
        (("red", "green", "blue", "gray", "undefined"), ["red", "green", "blue", "band4", "band5"], "position only"),
        (("red", "red", "blue", "undefined"), ["blue", "green", "red", "nir"], "usual order of generic"),
    ],
)
def test_colours_of_some_bands_are_honoured(colors, expected, source):
    found = named(raster(colors))
    assert names(found) == expected
    assert source in found.bands_source
    assert found.bands_source.startswith("colour interpretation") == (colors[:2] != ("red", "red"))


def test_descriptions_of_some_bands_are_honoured():
    found = named(raster(descriptions=("Red", "Green", "Blue", "something")), sensor="quickbird")
    assert names(found) == ["red", "green", "blue", "nir"]
    assert found.bands_source == "band descriptions, the rest by elimination"


def test_bands_are_chosen_by_names_that_are_known():
    found = named(raster(("red", "green", "blue", "undefined")), bands=["nir", "blue"])
    assert [(b.number, b.band.name) for b in found.bands] == [(4, "nir"), (3, "blue")]


def test_an_unknown_instrument_has_swir_too_if_the_file_says_so(tmp_path):
    pan, place = Place(64, 64), Place(64, 64).coarser(2)
    write(tmp_path / "pan.tif", np.ones((1, 64, 64), "uint16"), pan)
    labels = ("R", "G", "B", "NIR", "SWIR1", "SWIR 2", "TIRS1")
    write(tmp_path / "ms.tif", np.ones((7, 32, 32), "uint16"), place, Says(descriptions=labels))
    opened = open_scene(str(tmp_path / "pan.tif"), str(tmp_path / "ms.tif"))
    with opened.scene as scene:
        passed = [b.band for b in scene.bands if not b.sharpen]
    assert [(band.name, band.role) for band in passed] == [("swir1", "swir"), ("swir2", "swir"), ("tirs1", "thermal")]
    assert all(band.placeholder for band in passed)
    # That they are passed through is as it should be: nothing to warn of.
    assert [fact.split(",")[0] for fact in opened.identity.facts] == ["without detail of PAN"]
    assert "swir1 (swir)" in opened.identity.facts[0]
    assert not any("passed through" in note for note in scene.notes)


LANDSAT = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B10", "B11")


def unrecognised(identity: Identity) -> str:
    (said,) = [note for note in identity.notes if "sensor not recognised" in note]
    return said


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LANDSAT, "are named B1, B2, B3, B4, B5, B6, B7, B10, B11, .* --sensor landsat-8$"),
        (("B2", "B3", "B4", "B5"), r"named B2, B3, B4, B5, .* --sensor eo1-ali \| landsat-7 \| landsat-8$"),
        (("SR_B2", "SR_B3", "B04", "ST_B10"), r"named B2, B3, B4, B10, .* --sensor eo1-ali \| landsat-8$"),
        (("B1", "B2", "B3", "B4"), r"gaofen-2 \| landsat-7 \| landsat-8$"),
        (("B0", "B1", "B2", "B3"), r"pleiades \| spot-6$"),
        (("B6_VCID_1", "B6_VCID_2", "B4"), "--sensor landsat-7$"),
        (("Band 2", "Band 3", "Band 4", "Band 10"), r"named B2, B3, B4, B10, .* --sensor eo1-ali \| landsat-8$"),
        (("B8", "B8A", "B12"), "named B8, B8A, B12, .*no known sensor has all of them.*--bands.*--sensor"),
    ],
)
def test_numbers_of_bands_are_not_guessed_but_told(labels, said):
    plain = named(raster(("undefined",) * len(labels)), sensor=None)
    for ms in ([raster(descriptions=labels)], [raster(("gray",), path=f"scene_{label}.tif") for label in labels]):
        found = named(*ms, sensor=None)
        assert re.search(said, unrecognised(found))
        assert names(found) == names(plain)
        assert "are named" not in " ".join(named(*ms, sensor="generic").notes)


@pytest.mark.parametrize(
    "labels",
    [("Band 1", "Band 2", "Band 3", "Band 4"), ("B1", "B2", "B2", "B4"), ("B1", "B2", "B3", ""), ("Gray", "", "", "")],
)
def test_what_any_program_writes_is_no_number_of_an_operator(labels):
    assert "see: panloom sensors" in unrecognised(named(raster(descriptions=labels), sensor=None))


def test_bands_that_are_named_by_hand_need_no_number():
    found = named(raster(descriptions=LANDSAT[:4]), sensor=None, bands=["2=blue", "3=green", "4=red"])
    assert "are named" not in unrecognised(found)
    assert "are named B1" in unrecognised(named(raster(descriptions=LANDSAT[:4]), sensor=None, bands=["2", "3", "4"]))


def unplaced(identity: Identity) -> list[str]:
    return [note for note in identity.notes if "SWIR or thermal bands among them" in note]


def test_more_than_four_bands_known_by_position_may_hold_swir_or_thermal_ones():
    ms = raster(descriptions=LANDSAT)
    (said,) = named(ms, sensor=None).notes
    assert all(word in said for word in ("sensor not recognised", "band1, band2", "band9", "--sensor landsat-8"))
    (said,) = named(raster(("undefined",) * 6), sensor=None).notes
    assert all(word in said for word in ("sensor not recognised", "band6", "--sensor", "--bands", "--sharpen"))
    assert unplaced(named(ms, sensor="worldview-3"))
    assert unplaced(named(raster(("red", "green", "blue", "gray", "undefined"))))[0].startswith(
        "nothing tells what band4, band5 are"
    )


def test_nothing_is_said_about_bands_where_enough_is_known():
    ms = raster(descriptions=LANDSAT)
    assert not unplaced(named(ms, sensor="landsat-8"))
    assert not unplaced(named(ms, bands=["1", "2", "3", "4"]))
    assert not unplaced(named(raster(("red", "undefined", "blue", "undefined"))))
    assert not unplaced(identify(raster(("gray",), path="x_pan.tif"), [ms], sharpen=["2", "3", "4"]))
    assert not unplaced(identify(raster(("gray",), path="x_pan.tif"), [ms], sharpen=["all"]))


def test_made_up_wavelengths_are_not_held_against_pan():
    def said(ms: Raster) -> bool:
        return any("does not cover" in note for note in named(ms, sensor="landsat-8").notes)

    assert not said(raster(("undefined",) * 5))
    assert said(raster(descriptions=LANDSAT))
