"""Metadata files beside an image; every file here is made up."""

from __future__ import annotations

import json
import warnings

import pytest

from panloom.errors import PanloomWarning
from panloom.scene.metadata import band_from_filename, beside
from panloom.sensors import band_named, get

LANDSAT = "LC08_L1TP_001002_20200304_20200305_02_T1"
MTL = f"""GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    FILE_NAME_BAND_4 = "{LANDSAT}_B4.TIF"
    FILE_NAME_BAND_8 = "{LANDSAT}_B8.TIF"
    FILE_NAME_BAND_ST_B10 = "heat.TIF"
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_8"
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_MULT_BAND_8 = 2.0000E-05
    REFLECTANCE_ADD_BAND_4 = -0.100000
    REFLECTANCE_ADD_BAND_8 = -0.100000
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
END_GROUP = LANDSAT_METADATA_FILE
END
"""
IMD = """version = "28.4";
bandId = "{band_id}";
{groups}
BEGIN_GROUP = IMAGE_1
\tsatId = "{satellite}";
END_GROUP = IMAGE_1
END;
"""
DIMAP = """<?xml version="1.0" encoding="ISO-8859-1"?>
<Dimap_Document>
  <Dataset_Sources><Source_Identification><Strip_Source>
    <MISSION>{mission}</MISSION><MISSION_INDEX>{index}</MISSION_INDEX>
  </Strip_Source></Source_Identification></Dataset_Sources>
  <Raster_Data>{raster}</Raster_Data>
</Dimap_Document>
"""


def imd(*bands, satellite="WV03", band_id="Multi"):
    groups = "\n".join(f"BEGIN_GROUP = BAND_{b}\n\tabsCalFactor = 1.0;\nEND_GROUP = BAND_{b}" for b in bands)
    return IMD.format(band_id=band_id, groups=groups, satellite=satellite)


def raster_index(*bands):
    """Listed backwards: the index tells the order."""
    entries = [
        f"<Raster_Index><BAND_ID>{band}</BAND_ID><BAND_INDEX>{i}</BAND_INDEX></Raster_Index>"
        for i, band in enumerate(bands, 1)
    ]
    listed = "".join(reversed(entries))
    return f"<Raster_Display><Raster_Index_List>{listed}</Raster_Index_List></Raster_Display>"


def data_files(href, *bands):
    file = f'<Data_File><DATA_FILE_PATH href="{href}"/></Data_File>'
    return f"<Data_Files>{file}{raster_index(*bands)}</Data_Files>"


BAD_INDEX = raster_index("B1").replace(">1<", ">one<")


@pytest.fixture
def read(tmp_path):
    """Write files into a folder, then ask what stands beside the image; a warning is a failure."""

    def read(image, **files):
        for name, text in files.pop("files", files).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return beside(str(tmp_path / image))

    return read


def named(product):
    return [band.name if (band := band_named(get(product.sensor), label)) else None for label in product.bands]


def test_landsat_text(read, tmp_path):
    found = read(f"{LANDSAT}_B4.TIF", files={f"{LANDSAT}_MTL.txt": MTL})
    assert found.sensor == "landsat-8"
    assert found.bands == ("B4",)
    assert named(found) == ["red"]
    assert found.source == str(tmp_path / f"{LANDSAT}_MTL.txt")


def test_landsat_json_and_xml_say_the_same(read, tmp_path):
    tree = {"LANDSAT_METADATA_FILE": {
        "PRODUCT_CONTENTS": {"FILE_NAME_BAND_6_VCID_2": "hot.TIF"},
        "IMAGE_ATTRIBUTES": {"SPACECRAFT_ID": "LANDSAT_7"},
    }}  # fmt: skip
    found = read("hot.TIF", files={"LE07_X_MTL.json": json.dumps(tree)})
    assert (found.sensor, found.bands) == ("landsat-7", ("B6_VCID_2",))
    assert named(found) == ["thermal-high"]
    (tmp_path / "LE07_X_MTL.json").unlink()
    xml = (
        "<LANDSAT_METADATA_FILE><PRODUCT_CONTENTS><FILE_NAME_BAND_6_VCID_2>hot.TIF</FILE_NAME_BAND_6_VCID_2>"
        "</PRODUCT_CONTENTS><IMAGE_ATTRIBUTES><SPACECRAFT_ID>LANDSAT_7</SPACECRAFT_ID></IMAGE_ATTRIBUTES>"
        "</LANDSAT_METADATA_FILE>"
    )
    again = read("hot.TIF", files={"LE07_X_MTL.xml": xml})
    assert (again.sensor, again.bands) == (found.sensor, found.bands)


def test_landsat_bands_that_carry_other_names(read):
    files = {f"{LANDSAT}_MTL.txt": MTL}
    assert read("heat.TIF", files=files).bands == ("ST_B10",)
    assert read(f"{LANDSAT}_SR_B5.TIF").bands == ("SR_B5",)
    assert read("stack.tif").bands == ()


def test_the_first_value_of_a_key_counts(read):
    """Level 2 files repeat the keys of level 1 further down."""
    text = MTL + MTL.replace("LANDSAT_8", "LANDSAT_7")
    assert read(f"{LANDSAT}_B4.TIF", files={f"{LANDSAT}_MTL.txt": text}).sensor == "landsat-8"


def test_names_of_before_the_collections(read):
    text = 'SPACECRAFT_ID = "LANDSAT_7"\nBAND3_FILE_NAME = "old.TIF"\n'
    assert read("old.TIF", files={"L7_MTL.txt": text}).bands == ("B3",)


def test_eo1(read):
    text = 'SPACECRAFT_ID = "EO1"\nSENSOR_ID = "ALI"\n'
    found = read("EO1A1_B05_L1T.TIF", files={"EO1A1_MTL_L1T.TXT": text})
    assert (found.sensor, found.bands, named(found)) == ("eo1-ali", ("B05",), ["red"])


def test_imd(read):
    found = read("a_P001.TIF", files={"a_P001.IMD": imd("C", "B", "G", "Y", "R", "RE", "N", "N2")})
    assert found.sensor == "worldview-3"
    assert named(found) == [band.name for band in get("worldview-3").bands[:8]]


def test_imd_of_a_tile_beside_that_of_pan(read):
    files = {
        "20MAR04-M2AS-01_P001.IMD": imd("B", "G", "R", "N", satellite="QB02"),
        "20MAR04-P2AS-01_P001.IMD": imd("P", satellite="QB02", band_id="P"),
    }
    assert read("20MAR04-M2AS_R1C2-01_P001.TIF", files=files).bands == ("B", "G", "R", "N")
    pan = read("20MAR04-P2AS_R1C2-01_P001.TIF")
    assert (pan.sensor, pan.bands, named(pan)) == ("quickbird", ("P",), [None])
    assert read("other.tif") is None


def test_an_identifier_that_spells_the_order_wins(read):
    assert read("a.TIF", files={"a.IMD": imd("B", "G", "R", band_id="RGB")}).bands == ("R", "G", "B")


def test_maxar_xml(read):
    text = (
        "<isd><IMD><VERSION>1</VERSION><BANDID>Multi</BANDID><BAND_B><X>1</X></BAND_B><BAND_G/><BAND_R/><BAND_N/>"
        "<IMAGE><SATID>GE01</SATID></IMAGE></IMD></isd>"
    )
    found = read("a.TIF", files={"a.XML": text, "readme.xml": "<note/>"})
    assert (found.sensor, named(found)) == ("geoeye-1", ["blue", "green", "red", "nir"])


@pytest.mark.parametrize(
    ("mission", "index", "sensor"),
    [("PHR", "1A", "pleiades"), ("SPOT", "6", "spot-6"), ("SPOT", "7", "spot-6"), ("SPOT", "5", None)],
)
def test_dimap_2(read, mission, index, sensor):
    text = DIMAP.format(mission=mission, index=index, raster=raster_index("B2", "B1", "B0", "B3"))
    found = read("IMG_S_MS_001_R1C1.TIF", files={"DIM_S_MS_001.XML": text, "RPC_S_MS_001.XML": "<x/>"})
    assert (found.sensor, found.bands) == (sensor, ("B2", "B1", "B0", "B3"))
    if sensor:
        assert named(found) == ["red", "green", "blue", "nir"]


def test_each_file_of_pleiades_neo_has_its_own_bands(read):
    raster = data_files("IMG_N_RGB_R1C1.TIF", "R", "G", "B") + data_files("sub/IMG_N_NED_R1C1.TIF", "N", "E", "D")
    files = {"DIM_N.XML": DIMAP.format(mission="PNEO", index="3", raster=raster)}
    assert named(read("IMG_N_RGB_R1C1.TIF", files=files)) == ["red", "green", "blue"]
    assert named(read("IMG_N_NED_R1C1.TIF")) == ["nir", "red-edge", "deep-blue"]
    assert read("DIM_N.XML").bands == ("R", "G", "B", "N", "E", "D")


def test_dimap_1(read):
    bands = "".join(
        f"<Spectral_Band_Info><BAND_INDEX>{i}</BAND_INDEX><BAND_DESCRIPTION>{d}</BAND_DESCRIPTION></Spectral_Band_Info>"
        for i, d in [(2, "GREEN"), (1, "RED")]
    )
    text = DIMAP.format(mission="SPOT", index="6", raster="").replace("</Dimap_Document>", f"{bands}</Dimap_Document>")
    assert read("IMAGERY.TIF", files={"METADATA.DIM": text}).bands == ("RED", "GREEN")


def test_the_only_file_counts_and_one_of_several_strangers_does_not(read):
    assert read("ms.tif", files={"one.IMD": imd("B", "G", "R", "N")}).bands == ("B", "G", "R", "N")
    assert read("ms.tif", files={"two.IMD": imd("P")}) is None


@pytest.mark.parametrize(
    "path", ["/vsicurl/https://x.org/a.tif", "https://x.org/a.tif", "s3://b/a.tif", "zip+file://a.zip!b.tif"]
)
def test_remote_images_are_not_looked_up(path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.iterdir", lambda self: pytest.fail(f"looked into {self}"))
    assert beside(path) is None


def test_nothing_there(read, tmp_path):
    assert read("a.tif") is None
    assert beside(str(tmp_path / "absent" / "a.tif")) is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a_MTL.txt", "GROUP = NOTHING", "no SPACECRAFT_ID"),
        ("a_MTL.json", '{"LANDSAT', "Unterminated"),
        ("a_MTL.json", "[1]", "not an object"),
        ("a_MTL.xml", "<LANDSAT_METADATA_FILE>", "no element found"),
        ("a.xml", "<other/>", "<other>"),
        ("a.IMD", "\x00\x01", "neither satId"),
        ("DIM_a.XML", "<Dimap_Document/>", "no MISSION"),
        ("DIM_a.XML", DIMAP.format(mission="PHR", index="1A", raster=BAD_INDEX), "'one'"),
    ],
)  # fmt: skip
def test_a_broken_file_is_a_warning(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.warns(PanloomWarning, match=f"cannot use the metadata file .*{message}"):
        assert beside(str(tmp_path / "a.tif")) is None


def test_a_sound_file_stands_in_for_a_broken_one(tmp_path):
    (tmp_path / f"{LANDSAT}_MTL.json").write_text("{", encoding="utf-8")
    (tmp_path / f"{LANDSAT}_MTL.txt").write_text(MTL, encoding="utf-8")
    with pytest.warns(PanloomWarning, match=r"MTL\.json"):
        assert beside(str(tmp_path / f"{LANDSAT}_B8.TIF")).bands == ("B8",)


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("/a/LC08_L1TP_X_T1_B4.TIF", "B4"),
        ("LE07_X_T1_B6_VCID_1.TIF", "B6_VCID_1"),
        ("LC08_L2SP_X_T1_SR_B10.TIF", "SR_B10"),
        ("EO1A_B05_L1T.TIF", "B05"),
        ("scene_b3.tif", "B3"),
        ("B2.tif", "B2"),
        ("LC08_X_T1_BQA.TIF", None),
        ("LAB4.tif", None),
        ("scene.tif", None),
    ],
)
def test_band_from_filename(name, band):
    assert band_from_filename(name) == band
