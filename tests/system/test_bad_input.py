"""Bad input: one clear line, exit code 1 or 2, and nothing lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from system_tools import (
    digest,
    done,
    fails,
    leftovers,
    one_line,
    outside,
    pixels,
    placed,
    plain_files,
    texture,
    told,
    write,
)
from system_tools import try_sharpen as sharpen

from panloom import classical
from panloom.scene import writer

METHODS = classical.names()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.tif"


# --- files that are no images -----------------------------------------------------------------------------


def test_missing_file(small, out, tmp_path):
    fails(sharpen((tmp_path / "none.tif", small.ms), out), 1, "none.tif", "no such file")
    fails(sharpen((small.pan, tmp_path / "none.tif"), out), 1, "none.tif", "no such file")
    assert not out.exists()


def test_empty_file(small, out, tmp_path):
    empty = tmp_path / "empty.tif"
    empty.touch()
    fails(sharpen((empty, small.ms), out), 1, "empty.tif", "empty")


def test_not_a_raster(small, out, tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("this is a letter, not an image\n" * 50)
    fails(sharpen((small.pan, text), out), 1, "text.tif", "not a raster")
    fails(sharpen((small.pan, tmp_path), out), 1, str(tmp_path))


@pytest.mark.parametrize("word", ["", " "])
def test_empty_name_of_an_input(small, out, word):
    told(sharpen((word, small.ms), out))
    told(sharpen((small.pan, word), out))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("which", ["pan", "ms"])
@pytest.mark.parametrize("compress", ["NONE", "ZSTD"])
def test_truncated(small, out, tmp_path, share, which, compress):
    files = {"pan": small.pan, "ms": small.ms}
    again = write(
        tmp_path / "whole.tif", pixels(files[which]), placed(1.0 if which == "pan" else 4.0), compress=compress
    )
    cut = tmp_path / "cut.tif"
    cut.write_bytes(again.read_bytes()[: int(share * again.stat().st_size)])
    files[which] = cut
    fails(sharpen((files["pan"], files["ms"]), out), 1, "cut.tif")
    assert not out.exists()


# --- images that do not belong together -------------------------------------------------------------------


def test_swapped_order(small, out):
    fails(sharpen((small.ms, small.pan), out), 1, "one band", "PAN MS")


def test_pan_coarser_than_ms(out, tmp_path):
    rng = np.random.default_rng(0)
    fine, coarse = texture(rng, (64, 64), 10, 90, "uint8"), texture(rng, (16, 16), 10, 90, "uint8")
    pan = write(tmp_path / "pan.tif", coarse, placed(4.0))
    ms = write(tmp_path / "ms.tif", fine, placed(1.0))
    fails(sharpen((pan, ms), out), 1, "ratio")
    same = write(tmp_path / "same.tif", fine, placed(1.0))
    fails(sharpen((same, ms), out), 1, "ratio")


def test_ratio_beyond_sixteen(out, tmp_path):
    rng = np.random.default_rng(0)
    files = plain_files(tmp_path, texture(rng, (80, 80), 1, 9, "uint8"), texture(rng, (2, 4, 4), 1, 9, "uint8"))
    fails(sharpen(files, out), 1, "ratio", "20")


def test_without_georeference_sizes_must_agree(out, tmp_path):
    pan = write(tmp_path / "pan.tif", np.ones((80, 40), "uint8"))
    ms = write(tmp_path / "ms.tif", np.ones((3, 10, 20), "uint8"))
    fails(sharpen((pan, ms), out), 1, "georeference")


def test_pan_with_several_bands(small, out, tmp_path):
    three = write(tmp_path / "three.tif", np.ones((3, 64, 64), "uint8"), placed(1.0))
    fails(sharpen((three, small.ms), out), 1, "one band", "3")


def test_disjoint(small, out, tmp_path):
    far = write(tmp_path / "far.tif", pixels(small.ms), placed(2.0, east=900_000.0))
    fails(sharpen((small.pan, far), out), 1, "overlap")


def test_ms_files_of_different_grids(small, out, tmp_path):
    other = write(tmp_path / "other.tif", pixels(small.ms)[:1, :-3], placed(2.0))
    fails(sharpen((small.pan, small.ms, other), out), 1, "one grid")


def test_complex_pixels(small, out, tmp_path):
    strange = write(tmp_path / "complex.tif", np.ones((2, 50, 45), "complex64"), placed(2.0))
    fails(sharpen((small.pan, strange), out), 1, "complex")


@pytest.mark.parametrize("tags", [{"scales": (0.0,) * 4}, {"offsets": (np.nan,) * 4}], ids=["scale 0", "offset nan"])
def test_scale_tags_that_are_no_numbers(small, out, tmp_path, tags):
    strange = write(tmp_path / "strange.tif", pixels(small.ms), placed(2.0), **tags)
    fails(sharpen((small.pan, strange), out), 1, "strange.tif", "scale")


@pytest.mark.parametrize("method", METHODS)
def test_no_overlap_after_masking(out, tmp_path, method, caplog):
    rng = np.random.default_rng(0)
    pan, ms = texture(rng, (64, 64), 10, 90, "uint8"), texture(rng, (3, 16, 16), 10, 90, "uint8")
    pan[:, 24:] = 0
    ms[..., :12] = 0
    result = sharpen(plain_files(tmp_path, pan, ms, nodata=0), out, "--method", method)
    if result.exit_code:
        fails(result, 1, "valid")
    else:
        assert "no pixel of the result is valid" in caplog.text
        assert not pixels(out).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("which", ["pan", "ms"])
def test_all_no_data(out, tmp_path, method, which, caplog):
    rng = np.random.default_rng(0)
    pan, ms = texture(rng, (64, 64), 10, 90, "uint8"), texture(rng, (3, 16, 16), 10, 90, "uint8")
    (pan if which == "pan" else ms)[:] = 0
    result = sharpen(plain_files(tmp_path, pan, ms, nodata=0), out, "--method", method)
    if result.exit_code:
        fails(result, 1, "valid")
    else:
        assert "no pixel of the result is valid" in caplog.text


# --- pixels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_pixels_that_are_no_numbers(out, tmp_path, method):
    rng = np.random.default_rng(0)
    pan = texture(rng, (64, 64), 10, 90, "float32")
    ms = np.stack([pan.reshape(16, 4, 16, 4).mean((1, 3)) * g for g in (1, 0.9, 0.8)]).astype("float32")
    missing = np.zeros((3, 64, 64), bool)
    for k, bad in enumerate((np.nan, np.inf, -np.inf)):
        pan[20, 15 * k + 3] = bad
        ms[k, 10, 4 * k] = bad
        missing[:, 20, 15 * k + 3] = True
        missing[k, 40:44, 16 * k : 16 * k + 4] = True
    done(sharpen(plain_files(tmp_path, pan, ms), out, "--method", method, "--edge", "drop"))
    image = pixels(out)
    assert np.array_equal(np.isfinite(image), ~missing)
    assert image[~missing].min() > 0
    assert image[~missing].max() < 130


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("pan_value", "ms_value"), [(7, 5), (0, 5), (7, 0), (0, 0)])
def test_constant_images(out, tmp_path, method, pan_value, ms_value):
    pan = np.full((64, 64), pan_value, "uint16")
    files = plain_files(tmp_path, pan, np.full((3, 16, 16), ms_value, "uint16"))
    done(sharpen(files, out, "--method", method))
    image = pixels(out)
    # A flat PAN has no detail to give; with flat bands only brovey's level may come from PAN.
    if pan_value:
        assert (image == ms_value).all(), np.unique(image)
    else:
        assert len(np.unique(image)) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "ratio"), [(1, 2), (1, 4), (2, 3), (3, 8)])
def test_images_smaller_than_the_halo(out, tmp_path, method, size, ratio):
    rng = np.random.default_rng(0)
    pan = texture(rng, (size * ratio, size * ratio), 50, 60, "uint16")
    ms = texture(rng, (3, size, size), 50, 60, "uint16")
    done(sharpen(plain_files(tmp_path, pan, ms), out, "--method", method))
    image = pixels(out)
    assert image.shape == (3, *pan.shape)
    assert image.min() >= 20
    assert image.max() <= 120


def test_one_pan_pixel(out, tmp_path):
    files = plain_files(tmp_path, np.full((1, 1), 9, "uint8"), np.full((3, 1, 1), 9, "uint8"))
    told(sharpen(files, out))


# --- the output -------------------------------------------------------------------------------------------


def test_output_is_an_input(small, tmp_path):
    before = digest(small.pan), digest(small.ms)
    link, hard = tmp_path / "link.tif", tmp_path / "hard.tif"
    link.symlink_to(small.ms)
    os.link(small.pan, hard)
    for place in (small.pan, small.ms, link, hard, small.pan.parent / "." / "pan.tif"):
        fails(sharpen(small, place, "--overwrite"), 1, "input")
    assert before == (digest(small.pan), digest(small.ms))
    assert link.is_symlink()


@pytest.mark.parametrize("flag", ["--preview", "--report"])
def test_other_outputs_never_replace_an_image(small, out, tmp_path, flag):
    """The PNG or the report under the name of an input or of the result."""
    before = digest(small.pan), digest(small.ms)
    link = tmp_path / "link.tif"
    link.symlink_to(small.ms)
    for place in (small.pan, small.ms, link, out):
        told(sharpen(small, out, flag, place))
        assert before == (digest(small.pan), digest(small.ms))
        assert not out.exists()


@pytest.mark.parametrize("flag", ["--preview", "--report"])
def test_other_outputs_in_a_folder_that_is_not_there(small, out, tmp_path, flag):
    fails(sharpen(small, out, flag, tmp_path / "none" / "x.json"), 1, "none")
    fails(sharpen(small, out, "--overwrite", flag, small.pan / "x.json"), 1, "pan.tif")


def test_folder_of_the_output(small, tmp_path):
    fails(sharpen(small, tmp_path / "none" / "out.tif"), 1, "none", "does not exist")
    fails(sharpen(small, small.pan / "out.tif"), 1, "pan.tif")
    told(sharpen(small, tmp_path))
    fails(sharpen(small, "/proc/out.tif"), 1, "/proc/out.tif")
    fails(sharpen(small, tmp_path / ("x" * 300 + ".tif")), 1, "xxx")


def test_read_only_folder(small, tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere (root)")
    fails(sharpen(small, folder / "out.tif"), 1, "cannot be written")


def test_empty_name_of_the_output(small):
    told(sharpen(small, ""))


def test_existing_output_is_kept_without_overwrite(small, out):
    out.write_bytes(b"precious")
    fails(sharpen(small, out), 1, "exists", "--overwrite")
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "words", [("--method", "nothing"), ("--memory", "1"), ("--bands", "9"), ("--co", "COMPRESS=SHRINK")], ids=" ".join
)
def test_existing_output_survives_a_refused_run(small, out, words):
    out.write_bytes(b"precious")
    told(sharpen(small, out, "--overwrite", *words))
    assert out.read_bytes() == b"precious"
    assert not leftovers(out.parent)


@pytest.mark.parametrize(
    ("option", "fragment"),
    [
        ("COMPRESS=SHRINK", "SHRINK"),
        ("COMPRES=ZSTD", "did you mean 'COMPRESS'"),
        ("COMPRESS=JPEG", "cog"),
        ("PREDICTOR=9", "PREDICTOR"),
        ("PREDICTOR=3", "PREDICTOR"),
        ("ZSTD_LEVEL=99", "ZSTD_LEVEL"),
        ("TILED=NO", "tiled"),
        ("COMPRESS", "NAME=VALUE"),
    ],
)
def test_creation_options_that_cannot_be(small, out, option, fragment):
    line = told(sharpen(small, out, "--co", option))
    assert fragment in line
    assert not out.exists()
    assert not leftovers(out.parent)


@pytest.mark.parametrize("after", [0, 1])
def test_full_disk(small, out, monkeypatch, after):
    """The disk fills up at the front of the file, or at a tile."""
    out.write_bytes(b"precious")
    real, calls = writer._write, []

    def full(file, data):
        calls.append(len(data))
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)

    monkeypatch.setattr(writer, "_write", full)
    fails(sharpen(small, out, "--overwrite"), 1, "out.tif")
    assert out.read_bytes() == b"precious"
    monkeypatch.setattr(writer, "_write", real)
    done(sharpen(small, out, "--overwrite", "--resume"))
    assert pixels(out).shape == (4, 200, 180)


def test_memory_runs_out_while_statistics_are_taken(small, out, monkeypatch):
    from panloom.scene import Scene

    def none_left(*_):
        raise MemoryError

    monkeypatch.setattr(Scene, "reduced", none_left)
    fails(sharpen(small, out), 1, "memory")


# --- as a user sees it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [(("{dir}/none.tif", "{ms}", "{out}"), 1), (("{pan}", "{ms}", "{out}", "--method", "gsaa"), 2)],
)
def test_in_a_process_of_its_own(small, out, words, code):
    places = {"dir": str(Path(small.pan).parent), "pan": small.pan, "ms": small.ms, "out": out}
    result = outside("sharpen", *(w.format(**places) for w in words))
    assert result.returncode == code
    assert result.stdout == ""
    one_line(result.stderr)
