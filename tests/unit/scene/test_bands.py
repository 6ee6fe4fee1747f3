"""Names of bands where the file tells those of some only."""

from __future__ import annotations

import numpy as np
import pytest
from rasters import Place, Says, write

from panloom.scene import Scene
from panloom.scene._rasterio import Raster
from panloom.scene.bands import Identity, identify


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


def named(ms: Raster, sensor: str = "generic", bands: list[str] | None = None) -> Identity:
    return identify(raster(("gray",), path="x_pan.tif"), [ms], sensor=sensor, bands=bands)


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
    found = named(raster(descriptions=("Red", "Green", "Blue", "something")), "quickbird")
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
    with Scene.open(str(tmp_path / "pan.tif"), str(tmp_path / "ms.tif")) as scene:
        assert [b.band.name for b in scene.bands if not b.sharpen] == ["swir1", "swir2", "tirs1"]
        assert [b.band.role for b in scene.bands if not b.sharpen] == ["swir", "swir", "thermal"]
        assert any("swir1 (swir)" in note for note in scene.notes)
