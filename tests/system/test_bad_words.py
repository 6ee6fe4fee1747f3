"""Words on the command line that mean nothing: one clear line, exit code 2, and nothing is written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from system_tools import call, done, fails, leftovers, pixels, told
from system_tools import try_sharpen as sharpen

from panloom.run import sharpen as engine


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.tif"


@pytest.mark.parametrize("bands", ["5", "0", "1,99", "-1", "purple", "3=purple", "9=red", "x=red"])
def test_band_that_does_not_exist(small, out, bands):
    fails(sharpen(small, out, "--bands", bands), 2)
    assert not out.exists()


@pytest.mark.parametrize("bands", ["1,1", "red,red"])
def test_band_twice_is_allowed_or_refused(small, out, bands):
    result = sharpen(small, out, "--bands", bands)
    if result.exit_code:
        told(result)
    else:
        image = pixels(out)
        assert np.array_equal(image[0], image[1])


def test_band_list_with_an_empty_item(small, out):
    fails(sharpen(small, out, "--bands", "1,,2"), 2, "empty item")


def test_no_band_left_to_sharpen(small, out):
    fails(sharpen(small, out, "--sharpen", "9"), 2, "9")


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (("--method", "gsaa"), ("gsaa", "did you mean 'gsa'")),
        (("--method", "mtf_glp"), ("did you mean 'mtf-glp'",)),
        (("--method", ""), ("method",)),
        (("--sensor", "worldview"), ("did you mean 'worldview-",)),
        (("--sensor", "pleiade"), ("did you mean 'pleiades",)),
        (("--method", "gsa", "--set", "frm=toolbox"), ("did you mean 'form'",)),
        (("--method", "gsa", "--set", "form=toolbx"), ("did you mean 'toolbox'",)),
        (("--method", "gsa", "--set", "form"), ("name=value",)),
        (("--method", "gsa", "--set", "ready=1"), ("ready",)),
        (("--method", "brovey", "--set", "weights=a,b"), ("weights", "a,b")),
        (("--method", "brovey", "--set", "weights=1,2"), ("4 weights",)),
        (("--method", "brovey", "--set", "weights=nan,1,1,1"), ("weights",)),
        (("--method", "brovey", "--set", "weights=0,0,0,0"), ("weights", "positive")),
        (("--dtype", "uint12"), ("uint12", "uint16")),
        (("--nodata", "zero"), ("zero",)),
        (("--nodata", "70000"), ("70000", "uint16")),
        (("--nodata", "-1"), ("-1", "uint16")),
        (("--nodata", "nan"), ("nan", "uint16")),
        (("--nodata", "inf"), ("inf",)),
        (("--nodata", "0.5"), ("0.5",)),
        (("--format", "png"), ("png",)),
        (("--extent", "everything"), ("everything",)),
        (("--edge", "cut"), ("cut",)),
        (("--window", "1,2,3"), ("1,2,3",)),
        (("--window", "5000,5000,10,10"), ("5000",)),
        (("--window", "0,0,0,10"), ("window",)),
        (("--window", "0,0,-5,10"), ("window",)),
        (("--bounds", "1,2,3,4"), ()),
        (("--bounds", "4,3,2,1"), ("bounds",)),
        (("--bounds", "nan,nan,nan,nan"), ("bounds",)),
        (("--bounds", "-inf,-inf,inf,inf"), ("bounds",)),
        (("--window", "0,0,9,9", "--bounds", "0,0,1,1"), ("window and bounds",)),
        (("--ms-shift", "nan,0"), ("shift",)),
        (("--ms-shift", "1"), ("1",)),
        (("--ms-shift", "1e9,0"), ()),
        (("--threads", "0"), ("threads",)),
        (("--threads", "-3"), ("threads",)),
        (("--threads", "many"), ("many",)),
        (("--memory", "0"), ("memory",)),
        (("--memory", "1"), ("memory", "1 MB", "needs")),
        (("--memory", "-5"), ("memory",)),
        (("--device", "tpu9"), ("tpu9",)),
        (("--device", "cuda:99"), ("cuda:99",)),
        (("--preview-bands", "1,2"), ("preview",)),
        (("--nonsense",), ("nonsense",)),
    ],
    ids=" ".join,
)
def test_words_that_mean_nothing(small, out, words, fragments, tmp_path):
    words = (*words, "--preview", tmp_path / "look.png") if "--preview-bands" in words else words
    result = sharpen(small, out, *words)
    line = told(result)
    assert result.exit_code == 2, line
    assert all(fragment.lower() in line.lower() for fragment in fragments), line
    assert not out.exists()
    assert not leftovers(out.parent)


@pytest.mark.parametrize(
    "words",
    [
        ("--bands", "9"),
        ("--method", "gsaa"),
        ("--sensor", "worldview"),
        ("--memory", "1"),
        ("--device", "tpu9"),
        ("--nodata", "70000"),
        ("--window", "5000,5000,10,10"),
        ("--co", "COMPRESS=SHRINK"),
        ("--preview", "{dir}/look.png", "--preview-bands", "77"),
    ],
    ids=" ".join,
)
def test_a_wrong_word_is_told_before_an_output_that_exists(small, out, words):
    out.write_bytes(b"precious")
    line = told(sharpen(small, out, *(word.format(dir=out.parent) for word in words)))
    assert "--overwrite" not in line
    assert out.read_bytes() == b"precious"


def test_a_missing_input_is_told_before_an_output_that_exists(small, out):
    out.write_bytes(b"precious")
    fails(sharpen((small.pan, out.parent / "none.tif"), out), 1, "none.tif", "no such file")


def test_an_output_that_exists_is_told_before_costly_work(small, out, monkeypatch):
    out.write_bytes(b"precious")
    monkeypatch.setattr(engine, "register", lambda *_, **__: pytest.fail("the offset was measured"))
    fails(sharpen(small, out), 1, "exists", "--overwrite")


@pytest.mark.parametrize("name", ["out.png", "out.JPG", "out.jp2", "out.vrt", "out.img", "out.nc"])
def test_a_name_of_another_format(small, tmp_path, name):
    fails(sharpen(small, tmp_path / name), 2, name, "panloom writes GeoTIFF", ".tif", "--preview")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out", "out.TIF", "out.tiff", "out.gtiff", "out.cog", "scene.2024-05"])
def test_names_of_a_geotiff(small, tmp_path, name):
    done(sharpen(small, tmp_path / name))
    assert pixels(tmp_path / name).shape == (4, 200, 180)


def test_a_preview_is_a_png(small, out):
    fails(sharpen(small, out, "--preview", out.with_suffix(".jpg")), 2, "PNG")
    assert not out.exists()


@pytest.mark.parametrize(
    ("window", "kept"),
    [("150,100,500,500", "row 150, column 100, 50 x 80"), ("-5,-8,20,20", "row 0, column 0, 15 x 12")],
)
def test_a_window_partly_outside_is_told(small, out, window, kept):
    result = done(sharpen(small, out, "--window", window, "--json"))
    notes = [text for text in json.loads(result.stdout)["warnings"] if "reaches beyond the scene" in text]
    assert len(notes) == 1
    assert f"the window (row {window.split(',')[0]}, " in notes[0]
    assert f"only the part inside is written ({kept})" in notes[0]


def test_a_window_inside_needs_no_word(small, out):
    result = done(sharpen(small, out, "--window", "0,0,200,180", "--json"))
    assert "beyond" not in result.stdout


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ((), "Missing argument"),
        (("one.tif",), "Missing argument"),
        (("one.tif", "two.tif"), "Missing argument"),
    ],
)
def test_too_few_words(words, fragment):
    result = call("sharpen", *words)
    assert fragment in told(result)
    assert result.exit_code == 2


@pytest.mark.parametrize("words", [("--threads", "5000"), ("--memory", "99999999"), ("--memory", "800")], ids=" ".join)
def test_large_numbers_are_harmless(small, out, words):
    done(sharpen(small, out, *words))
    assert out.exists()


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "missing"),
        ("name = ", "mine.toml"),
        ("\x00\x01", "mine.toml"),
        ('name = "mine"\nratio = 4\nbands = 3\n', "bands"),
        ('name = "mine"\ncolour = 4\n', "colour"),
    ],
)
def test_corrupt_sensor_file(small, out, tmp_path, text, fragment):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    fails(sharpen(small, out, "--sensor", path), 2, "mine.toml", fragment)


def test_sensor_file_that_is_missing_or_no_text(small, out, tmp_path):
    fails(sharpen(small, out, "--sensor", tmp_path / "none.toml"), 2, "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(bytes(range(256)))
    fails(sharpen(small, out, "--sensor", binary), 2, "binary.toml")
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    fails(sharpen(small, out, "--sensor", folder), 2, "folder.toml")
