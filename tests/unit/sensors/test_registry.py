"""Names, labels, recognition, and what is said about a wrong sensor file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panloom.errors import SensorError
from panloom.sensors import band_named, bands_for, generic_bands, get, having, recognise

OWN = """
name = "Drone-5"
ratio = 3
full_scale = 4095
offset = -7
recognise = ["DR05"]
orders = [["red", "blue"]]
[pan]
centre_nm = 600
fwhm_nm = 300
mtf_nyquist = 0.12
[[bands]]
name = "blue"
centre_nm = 480
fwhm_nm = 60
mtf_nyquist = 0.31
aliases = ["canal 1"]
[[bands]]
name = "red"
centre_nm = 660
fwhm_nm = 50
mtf_nyquist = 0.3
[[bands]]
name = "hot"
centre_nm = 11000
fwhm_nm = 900
mtf_nyquist = 0.3
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def labelled(sensor, label):
    band = band_named(get(sensor), label)
    return None if band is None else band.name


def ordered(sensor, count):
    bands = bands_for(get(sensor), count)
    return None if bands is None else [band.name for band in bands]


def test_aliases_lead_to_the_same_sensor():
    assert get("SPOT-7") is get("spot-6")
    assert get("landsat-9").name == "landsat-8"


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(SensorError, match=r"'worldview-5'; did you mean .*'worldview-[234]'.*known: eo1-ali.*TOML"):
        get("worldview-5")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (["satId = \"WV03\";"], "worldview-3"),
        (["nothing", "QB02"], "quickbird"),
        (["LC09_L1TP_190031_20220101_20220101_02_T1_B8.TIF"], "landsat-8"),
        (["PHR 1A"], "pleiades"),
        (["DIM_PHR1B_MS_201201.XML"], "pleiades"),
        (["PNEO 3"], "pleiades-neo"),
        (["SPOT 7"], "spot-6"),
        (["GF2_PMS1_E1.xml"], "gaofen-2"),
        (["Ikonos-2"], "ikonos"),
        (["SENSOR_ID = ALI"], "eo1-ali"),
        (["/home/ali/scene.tif"], None),
        (["SPOT 5"], None),
        (["WV031", "XQB02"], None),
        (["WV02 against WV03"], None),
        ([], None),
    ],
)  # fmt: skip
def test_recognise(text, name):
    found = recognise(text)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("sensor", "label", "name"),
    [
        ("worldview-3", "Blue", "blue"),
        ("worldview-3", "MULTISPECTRAL N", "nir1"),
        ("worldview-3", "NIR 1", "nir1"),
        ("worldview-3", "N2", "nir2"),
        ("worldview-3", "Near-IR2", "nir2"),
        ("worldview-3", "red edge", "red-edge"),
        ("worldview-3", "BAND_C", "coastal"),
        ("worldview-3", "S3", "swir3"),
        ("worldview-3", "SWIR 8", "swir8"),
        ("worldview-legion", "RE", "red-edge1"),
        ("worldview-legion", "RE2", "red-edge2"),
        ("quickbird", "Near Infrared", "nir"),
        ("quickbird", "B", "blue"),
        ("quickbird", "yellow", None),
        ("landsat-8", "B2", "blue"),
        ("landsat-8", "SR_B4", "red"),
        ("landsat-8", "B04", "red"),
        ("landsat-8", "B10", "thermal1"),
        ("landsat-8", "ST_B10", "thermal1"),
        ("landsat-8", "Coastal aerosol", "coastal"),
        ("landsat-8", "Near Infrared (NIR)", "nir"),
        ("landsat-8", "Band 4 - Red", "red"),
        ("landsat-8", "Band 6 - Shortwave Infrared 1", "swir1"),
        ("landsat-8", "Thermal Infrared 2", "thermal2"),
        ("landsat-8", "B8", None),
        ("landsat-7", "B6_VCID_1", "thermal-low"),
        ("landsat-7", "B6_VCID_2", "thermal-high"),
        ("landsat-7", "B7", "swir2"),
        ("eo1-ali", "MS-1'", "coastal"),
        ("eo1-ali", "MS-1", "blue"),
        ("pleiades", "B0", "blue"),
        ("pleiades-neo", "Deep Blue", "deep-blue"),
        ("pleiades-neo", "NED", None),
    ],
)
def test_labels(sensor, label, name):
    assert labelled(sensor, label) == name


@pytest.mark.parametrize("label", ["", "  ", "4", "Band 4", "band_4", "Layer_1", "Gray", "()"])
def test_what_any_program_may_write_means_nothing(label):
    assert labelled("landsat-8", label) is None


def test_orders_of_products():
    assert ordered("worldview-3", 4) == ["blue", "green", "red", "nir1"]
    assert ordered("worldview-2", 8)[-1] == "nir2"
    assert ordered("worldview-3", 16)[8] == "swir1"
    assert ordered("pleiades", 4) == ["red", "green", "blue", "nir"]
    assert ordered("worldview-3", 5) is None
    assert ordered("quickbird", 0) is None


def test_the_generic_sensor_takes_any_number_of_bands():
    assert ordered("generic", 4) == ["blue", "green", "red", "nir"]
    assert ordered("generic", 3) == ["red", "green", "blue"]
    assert ordered("generic", 1) == ["band1"]
    assert ordered("generic", 6)[-1] == "band6"
    assert {band.mtf_nyquist for band in generic_bands(6)} == {0.30} == {b.mtf_nyquist for b in get("generic").bands}
    assert all(band.placeholder for band in generic_bands(6))
    assert not any(band.placeholder for name in ("generic", "landsat-8") for band in get(name).bands)
    assert [band.centre_nm for band in generic_bands(2)] == [562.5, 787.5]
    assert ordered("generic", 0) is None
    with pytest.raises(SensorError, match="cannot make 0 bands"):
        generic_bands(0)


@pytest.mark.parametrize(
    ("label", "name", "role"),
    [
        ("SWIR", "swir", "swir"),
        ("swir 2", "swir2", "swir"),
        (" MIR-1 ", "mir1", "swir"),
        ("Cirrus", "cirrus", "cirrus"),
        ("TIRS1", "tirs1", "thermal"),
        ("lwir_12", "lwir12", "thermal"),
        ("thermal", "thermal", "thermal"),
    ],
)
def test_bands_beyond_pan_are_known_by_their_words(label, name, role):
    generic = get("generic")
    band = band_named(generic, label)
    assert (band.name, band.role, band.placeholder, band.mtf_nyquist) == (name, role, True, 0.3)
    assert band_named(replace(generic, bands=(band,)), "swir9").role == "swir"
    assert band_named(get("quickbird"), label) is None
    assert band_named(generic, "x" + label.strip()) is None


def test_which_sensors_have_these_bands():
    assert having(["B2", "SR_B3", "B04"]) == ["eo1-ali", "gaofen-2", "landsat-7", "landsat-8"]
    assert having(["B2", "B10", "B11"]) == ["landsat-8"]
    assert having(["B2", "B02"]) == []
    assert having(["B77"]) == []


def test_families_of_your_own(write):
    family = "[[families]]\nwords = ['hot', 'warm']\ncentre_nm = 9000\nfwhm_nm = 10\nmtf_nyquist = 0.2\n"
    own = get(write(OWN + family))
    assert (band_named(own, "Warm 3").name, band_named(own, "Warm 3").role) == ("warm3", "thermal")
    assert band_named(own, "hot") == own.bands[2]
    for old, new, message in (
        ("'warm'", "'hot'", r"families\[0\]\.words = .*each in one family only"),
        ("'warm'", "'Warm'", "small letters"),
        ("['hot', 'warm']", "[]", "list of words"),
        ("centre_nm = 9000", "", r"families\[0\]\.centre_nm is missing"),
        ("[[families]]", "[families]", "families = .*one table"),
    ):
        with pytest.raises(SensorError, match=message):
            get(write(OWN + family.replace(old, new)))


def test_a_file_of_your_own(write):
    path = write(OWN)
    sensor = get(path)
    assert sensor == get(str(path))
    assert (sensor.name, sensor.ratio, sensor.full_scale, sensor.offset) == ("drone-5", 3, 4095.0, -7.0)
    assert [band.role for band in sensor.bands] == ["sharpen", "sharpen", "thermal"]
    assert sensor.pan.mtf_nyquist == 0.12
    assert [band.name for band in bands_for(sensor, 2)] == ["red", "blue"]
    assert band_named(sensor, "Canal 1").name == "blue"
    assert recognise(["DR05"]) is None  # only the registry is asked


def test_a_file_that_bears_a_registry_name_speaks_for_itself(write):
    own = get(write(OWN.replace("Drone-5", "quickbird")))
    assert [band.name for band in bands_for(own, 2)] == ["red", "blue"]
    assert ordered("quickbird", 2) is None
    assert ordered("quickbird", 4) == ["blue", "green", "red", "nir"]


def test_a_file_without_orders_or_a_sensor_made_by_hand_has_the_order_of_its_bands(write):
    own = get(write(OWN.replace('orders = [["red", "blue"]]', "")))
    assert bands_for(own, 3) == own.bands
    made = replace(own, name="unheard-of")
    assert bands_for(made, 3) == made.bands
    assert band_named(made, "Red") == made.bands[1]
    assert band_named(made, "green") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mtf_nyquist = 0.31", "mtf_nyquist = 1.0", r"bands\[0\]\.mtf_nyquist = 1\.0; .*between 0 and 1"),
        ("mtf_nyquist = 0.12", "mtf_nyquist = 0", r"pan\.mtf_nyquist = 0; .*between 0 and 1"),
        ("mtf_nyquist = 0.12", "mtf_nyquist = nan", r"pan\.mtf_nyquist = nan"),
        ("mtf_nyquist = 0.12", "mtf_nyquist = true", r"pan\.mtf_nyquist = True"),
        ("fwhm_nm = 60", "fwhm_nm = -60", r"bands\[0\]\.fwhm_nm = -60; .*above 0"),
        ("fwhm_nm = 60", "fwhm_nm = inf", r"bands\[0\]\.fwhm_nm = inf"),
        ("fwhm_nm = 60", "", r"bands\[0\]\.fwhm_nm is missing"),
        ("centre_nm = 480", 'centre_nm = "480"', r"bands\[0\]\.centre_nm = '480'"),
        ('name = "red"', 'name = "blue"', r"bands\[1\]\.name = 'blue'; .*unlike every other"),
        ('name = "red"', 'name = "red"\nrole = "warm"', r"role = 'warm'; .*sharpen, swir, cirrus, thermal"),
        ('name = "red"', 'name = "red"\nwidth = 3', r"unknown key in bands\[1\] 'width'; .*known: .*fwhm_nm"),
        ('name = "red"', 'name = "red"\naliases = ["canal1"]', r"aliases holds 'canal1'.*'blue'"),
        ("ratio = 3", "ratio = 0", "ratio = 0; .*whole number"),
        ("ratio = 3", "ratio = 2.5", "ratio = 2.5; .*whole number"),
        ("ratio = 3", "", "ratio is missing"),
        ("ratio = 3", "ratio = 3\nratios = 3", "'ratios'; did you mean 'ratio'.*known: aliases, bands"),
        ("full_scale = 4095", "full_scale = 0", "full_scale = 0; .*above 0"),
        ("full_scale = 4095", "scale = 0", "scale = 0; .*not 0"),
        ("offset = -7", 'offset = "a"', "offset = 'a'"),
        ('name = "Drone-5"', 'name = " "', "name = ' '; .*not empty"),
        ('recognise = ["DR05"]', "recognise = [5]", r"recognise = \[5\]; .*list of texts"),
        ('["red", "blue"]', '["red", "green"]', r"orders holds \['red', 'green'\].*blue, red, hot"),
        ('orders = [["red", "blue"]]', 'orders = [["red", "red"]]', "orders holds"),
        ('orders = [["red", "blue"]]', 'orders = ["red"]', "orders = .*list of lists"),
        ("ratio = 3", "ratio = = 3", "not a valid TOML file"),
        ("[pan]", "[[pan]]", "pan = .*a table with centre_nm"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_explained(write, old, new, message):
    path = write(OWN.replace(old, new))
    with pytest.raises(SensorError, match=message) as error:
        get(path)
    assert str(path) in str(error.value)


def test_a_file_without_bands_or_without_itself(tmp_path, write):
    with pytest.raises(SensorError, match=r"bands is missing; it must be one table"):
        get(write('name = "x"\nratio = 2\n'))
    with pytest.raises(SensorError, match=r"cannot read the sensor file .*absent\.toml: No such file"):
        get(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SensorError, match="not a valid TOML file"):
        get(tmp_path / "binary.toml")
