"""What stands in the output: grid, type, no-data, tags, format."""

from __future__ import annotations

import json
import math
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.transform import Affine
from system_tools import (
    Files,
    leftovers,
    pixels,
    plain_files,
    scene_files,
    texture,
    textured,
    write,
)
from system_tools import sharpened as sharpen

import panloom
from panloom.run.resolve import DEFAULT

GDALINFO = "/usr/bin/gdalinfo"

pytestmark = pytest.mark.usefixtures("no_registration")


# --- the grid ---------------------------------------------------------------------------------------------


def test_output_lies_on_the_grid_of_pan(small, tmp_path):
    out = sharpen(small, tmp_path / "out.tif")
    with rasterio.open(small.pan) as pan, rasterio.open(out) as ds:
        assert ds.transform == pan.transform
        assert ds.crs == pan.crs
        assert ds.shape == pan.shape
        assert ds.count == 4
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.3, 0, 400_000.123456789, 0, -0.3, 4_000_000.987654321),
        Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000),
        Affine(0.4, 0.3, 500_000, 0.3, -0.4, 5_000_000),
        Affine(0.5, 0, 500_000, 0, -0.7, 5_000_000),
    ],
    ids=["long numbers", "south up", "rotated", "not square"],
)
def test_odd_grids_are_kept_exactly(tmp_path, transform):
    rng = np.random.default_rng(0)
    pan = write(tmp_path / "pan.tif", texture(rng, (61, 50), 10, 90, "uint8"), transform)
    ms = write(tmp_path / "ms.tif", texture(rng, (3, 15, 13), 10, 90, "uint8"), transform * Affine.scale(4))
    out = sharpen(Files(pan, ms), tmp_path / "out.tif")
    with rasterio.open(out) as ds:
        assert tuple(ds.transform) == tuple(transform)
        assert ds.shape == (61, 50)


def test_no_georeference_in_none_out(tmp_path):
    rng = np.random.default_rng(0)
    pan = write(tmp_path / "pan.tif", texture(rng, (60, 48), 10, 90, "uint8"))
    ms = write(tmp_path / "ms.tif", texture(rng, (3, 15, 12), 10, 90, "uint8"))
    out = sharpen(Files(pan, ms), tmp_path / "out.tif")
    with rasterio.open(out) as ds:
        assert ds.transform == Affine.identity()
        assert ds.crs is None


@pytest.mark.parametrize("method", ["gsa", "mtf-glp-hpm"])
@pytest.mark.parametrize("window", [(37, 21, 90, 101), (0, 0, 8, 8), (199, 179, 1, 1), (150, 100, 500, 500)])
def test_window_is_a_crop_of_the_whole(small, tmp_path, method, window):
    row, col, height, width = window
    height, width = min(height, 200 - row), min(width, 180 - col)
    whole = sharpen(small, tmp_path / "whole.tif", "--method", method)
    part = sharpen(small, tmp_path / "part.tif", "--method", method, "--window", ",".join(map(str, window)))
    crop = pixels(whole)[:, row : row + height, col : col + width].astype(int)
    assert np.abs(pixels(part).astype(int) - crop).max() <= 1
    with rasterio.open(whole) as a, rasterio.open(part) as b:
        assert b.shape == (height, width)
        assert b.transform.almost_equals(a.transform * Affine.translation(col, row), precision=1e-9)


def test_bounds_are_a_crop_of_the_whole(small, tmp_path):
    with rasterio.open(small.pan) as ds:
        left, top = ds.transform * (20, 30)
        right, bottom = ds.transform * (120, 90)
    bounds = f"{left},{bottom},{right},{top}"
    part = sharpen(small, tmp_path / "part.tif", "--bounds", bounds)
    with rasterio.open(part) as ds:
        assert ds.bounds == pytest.approx((left, bottom, right, top))
    whole = sharpen(small, tmp_path / "whole.tif")
    assert np.abs(pixels(part).astype(int) - pixels(whole)[:, 30:90, 20:120]).max() <= 1


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("uint16", 0, 65535),
        ("int16", -300, 4000),
        ("int32", -70_000, 900_000),
        ("uint32", 0, 2**32 - 1),
        ("int32", -(2**31), 2**31 - 1),
        ("float32", -0.1, 1.2),
        ("float64", 0.0, 1e6),
    ],
)
@pytest.mark.parametrize("method", ["exp", "gsa"])
def test_type_is_kept(tmp_path, dtype, low, high, method):
    files = textured(tmp_path, dtype, low, high)
    image = pixels(sharpen(files, tmp_path / "out.tif", "--method", method))
    assert image.dtype == np.dtype(dtype)
    # Nothing wraps round: the levels of the bands are those of MS.
    ms = pixels(files.ms).astype(float)
    assert np.abs(image.astype(float).mean((1, 2)) - ms.mean((1, 2))).max() < 0.04 * (high - low)
    assert np.abs(image.astype(float)[:, ::4, ::4] - ms).max() < 0.6 * (high - low)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_other_type_rounds_and_clips(tmp_path, dtype):
    files = textured(tmp_path, "float32", -500, 70_000)
    exact = pixels(sharpen(files, tmp_path / "exact.tif", "--method", "exp")).astype(float)
    image = pixels(sharpen(files, tmp_path / "out.tif", "--method", "exp", "--dtype", dtype, "--nodata", "mask"))
    assert image.dtype == np.dtype(dtype)
    if not dtype.startswith("float"):
        info = np.iinfo(dtype)
        exact = np.rint(exact).clip(info.min, info.max)
    assert np.allclose(image, exact, atol=0.01)


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 0), ("uint8", 255), ("int16", -7), ("float32", 30.0)])
def test_valid_pixel_never_takes_the_no_data_value(tmp_path, dtype, value):
    """Every MS value is next to the no-data value, so many results would round to it."""
    start = max(value, 1) if value == 0 else value - 1
    pan = np.full((32, 32), start, dtype)
    ms = np.full((3, 8, 8), start, dtype)
    ms[:, 2:6, 2:6] = value + 1 if value != 255 else 253
    pan[8:24, 8:24] = value + 1 if value != 255 else 253
    files = plain_files(tmp_path, pan, ms, nodata=value)
    for method in ("exp", "gsa", "mtf-glp-hpm"):
        out = sharpen(files, tmp_path / f"{method}.tif", "--method", method, "--edge", "fill")
        with rasterio.open(out) as ds:
            assert set(ds.nodatavals) == {value}
            assert (ds.read() != value).all()
            assert (ds.read_masks() == 255).all()


@pytest.mark.parametrize("method", ["exp", "gsa", "brovey"])
def test_no_data_stays_where_it_was(small, tmp_path, method):
    out = sharpen(small, tmp_path / "out.tif", "--method", method)
    scene = small.scene
    with rasterio.open(out) as ds:
        assert set(ds.nodatavals) == {0}
        valid = ds.read_masks() > 0
    assert np.array_equal(valid, np.broadcast_to(scene.pan_valid, valid.shape))
    # The wedge neither bleeds into the values beside it ...
    image = pixels(out).astype(float)
    rim = scene.pan_valid & ~np.roll(scene.pan_valid, 3, 1)
    error = np.abs(image - scene.truth)[:, rim].mean()
    assert error < 2.5 * np.abs(image - scene.truth)[:, scene.pan_valid & ~rim].mean()
    # ... nor takes a pixel away.
    assert (image[:, scene.pan_valid] > 0).all()


@pytest.mark.parametrize(
    ("word", "dtype", "expected"), [("9999", "uint16", 9999), ("nan", "float32", math.nan), ("-1", "float32", -1)]
)
def test_no_data_number_of_the_output(small, tmp_path, word, dtype, expected):
    out = sharpen(small, tmp_path / "out.tif", "--nodata", word, "--dtype", dtype)
    image = pixels(out)[0]
    with rasterio.open(out) as ds:
        assert ds.nodata == pytest.approx(expected, nan_ok=True)
        assert np.array_equal(ds.read_masks(1) > 0, small.scene.pan_valid)
    marked = np.isnan(image) if math.isnan(expected) else image == expected
    assert np.array_equal(marked, ~small.scene.pan_valid)


@pytest.mark.parametrize("form", ["geotiff", "cog"])
def test_mask_instead_of_a_number(small, tmp_path, form):
    out = sharpen(small, tmp_path / "out.tif", "--nodata", "mask", "--format", form)
    with rasterio.open(out) as ds:
        assert ds.nodata is None
        assert all(flags == [MaskFlags.per_dataset] for flags in ds.mask_flag_enums)
        assert np.array_equal(ds.dataset_mask() > 0, small.scene.pan_valid)
    assert not (tmp_path / "out.tif.msk").exists()


def test_no_data_value_given_for_files_that_do_not_tell(small, tmp_path):
    with rasterio.open(small.pan) as ds:
        pan_at = ds.transform
    with rasterio.open(small.ms) as ds:
        ms_at = ds.transform
    silent = Files(
        write(tmp_path / "pan.tif", pixels(small.pan), pan_at), write(tmp_path / "ms.tif", pixels(small.ms), ms_at)
    )
    out = sharpen(silent, tmp_path / "out.tif", "--src-nodata", "0")
    with rasterio.open(out) as ds:
        assert np.array_equal(ds.read_masks(1) > 0, small.scene.pan_valid)
    assert np.array_equal(pixels(out), pixels(sharpen(small, tmp_path / "told.tif", "--bands", "1,2,3,4")))


def test_alpha_of_the_inputs_becomes_a_mask(tmp_path):
    rng = np.random.default_rng(0)
    pan, ms = texture(rng, (64, 64), 10, 90, "uint8"), texture(rng, (4, 16, 16), 10, 90, "uint8")
    ms[3] = 255
    ms[3, :5] = 0
    files = plain_files(tmp_path, pan, ms)
    with rasterio.open(files.ms, "r+") as ds:
        ds.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    out = sharpen(files, tmp_path / "out.tif", "--edge", "drop")
    with rasterio.open(out) as ds:
        assert ds.count == 3
        mask = ds.dataset_mask() > 0
    assert not mask[:20].any()
    assert mask[20:].all()


def test_scale_and_offset_are_applied_and_kept(tmp_path):
    """A ratio method on numbers with an offset gives what it gives on the physical values."""
    plain = textured(tmp_path / "plain", "float32", 0.05, 0.6)
    with rasterio.open(plain.pan) as ds:
        pan = ds.read(1)
    ms = pixels(plain.ms)
    scales, offsets = (1e-4, 2e-4, 1e-4), (-0.2, -0.1, 0.0)
    stored = np.stack([np.rint((b - o) / s) for b, s, o in zip(ms, scales, offsets, strict=True)]).astype("uint16")
    coded = plain_files(
        tmp_path / "coded", np.rint((pan + 0.3) / 5e-5).astype("uint16"), stored, scales=scales, offsets=offsets
    )
    with rasterio.open(coded.pan, "r+") as ds:
        ds.scales, ds.offsets = (5e-5,), (-0.3,)
    for method in ("brovey", "sfim", "gsa"):
        out = sharpen(coded, tmp_path / f"{method}.tif", "--method", method)
        with rasterio.open(out) as ds:
            assert ds.dtypes[0] == "uint16"
            assert ds.scales == pytest.approx(scales)
            assert ds.offsets == pytest.approx(offsets)
            value = ds.read() * np.reshape(scales, (3, 1, 1)) + np.reshape(offsets, (3, 1, 1))
        expected = pixels(sharpen(plain, tmp_path / f"{method}_plain.tif", "--method", method))
        assert np.abs(value - expected).max() < 5e-4, method


def test_mean_colours_are_kept(whole, tmp_path):
    means = pixels(whole.ms).mean((1, 2))
    for method in ("exp", "gs", "gsa", "mtf-glp", "mtf-glp-hpm", "sfim", "brovey"):
        image = pixels(sharpen(whole, tmp_path / f"{method}.tif", "--method", method))
        assert image.mean((1, 2)) == pytest.approx(means, rel=0.01), method


def test_bands_that_pan_does_not_see_are_passed_through(tmp_path):
    files = scene_files(tmp_path, 120, 120, sensor="worldview-3", seed=2, wedge=False)
    seen = pixels(files.ms)
    with rasterio.open(files.ms) as ds:
        names, transform = ds.descriptions, ds.transform
    swir = (0.5 * seen[-1] + 100).astype("uint16")
    mixed = np.concatenate([seen[:2], swir[None], seen[2:]])
    described = (*names[:2], "swir1", *names[2:])
    both = Files(files.pan, write(tmp_path / "mixed.tif", mixed, transform, descriptions=described))
    words = ("--sensor", "worldview-3")
    report = panloom.sharpen(both.pan, both.ms, tmp_path / "out.tif", sensor="worldview-3")
    image, exp = pixels(tmp_path / "out.tif"), pixels(sharpen(both, tmp_path / "exp.tif", *words, "--method", "exp"))
    assert np.array_equal(image[2], exp[2])
    assert not np.array_equal(image[1], exp[1])
    assert any("swir1 (swir)" in note for note in report.notes)
    assert [b["sharpened"] for b in report.bands["bands"]] == [True, True, False] + [True] * (len(names) - 2)
    # The other bands do not know of it.
    alone = pixels(sharpen(files, tmp_path / "alone.tif", *words))
    assert np.abs(np.delete(image, 2, 0).astype(int) - alone).max() <= 1
    everything = pixels(sharpen(both, tmp_path / "all.tif", *words, "--sharpen", "all"))
    assert not np.array_equal(everything[2], exp[2])


# --- tags and formats -------------------------------------------------------------------------------------


def test_names_colours_and_provenance(small, tmp_path):
    out = sharpen(small, tmp_path / "out.tif", "--bands", "red,green,blue,nir1", "--method", "brovey", "--seed", "5")
    with rasterio.open(out) as ds:
        assert ds.descriptions == ("red", "green", "blue", "nir1")
        assert ds.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert ColorInterp.alpha not in ds.colorinterp
        tags = ds.tags()
    assert tags["PANLOOM_VERSION"] == panloom.__version__
    assert tags["PANLOOM_METHOD"] == "brovey"
    assert tags["PANLOOM_SENSOR"] == "generic"
    assert tags["PANLOOM_SEED"] == "5"
    assert "PANLOOM_WEIGHTS" in tags
    assert "PANLOOM_OPTIONS" in tags


def test_colours_in_the_order_of_the_file(small, tmp_path):
    """Blue comes first: the colour of each band is still right."""
    out = sharpen(small, tmp_path / "out.tif", "--sensor", "worldview-3")
    with rasterio.open(out) as ds:
        assert ds.descriptions == ("blue", "green", "red", "nir1")
        assert ds.colorinterp[:3] == (ColorInterp.blue, ColorInterp.green, ColorInterp.red)


def test_cloud_optimised_geotiff(tmp_path):
    files = scene_files(tmp_path, 600, 560, sensor="worldview-3", bands=4)
    out = sharpen(files, tmp_path / "out.tif", "--format", "cog")
    with rasterio.open(out) as ds:
        assert ds.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert ds.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "ZSTD"
        assert ds.overviews(1)
        assert ds.block_shapes[0] == (512, 512)
        assert ds.descriptions == ("blue", "green", "red", "nir1")
        assert ds.tags()["PANLOOM_METHOD"] == DEFAULT
        assert set(ds.nodatavals) == {0}
        cog = ds.read()
    plain = sharpen(files, tmp_path / "plain.tif")
    assert np.array_equal(cog, pixels(plain))
    with rasterio.open(plain) as ds:
        assert not ds.overviews(1)
        assert ds.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "ZSTD"
        assert ds.tags(ns="IMAGE_STRUCTURE")["INTERLEAVE"] == "PIXEL"
        assert ds.is_tiled
    with rasterio.open(sharpen(files, tmp_path / "overviews.tif", "--overviews", "--nodata", "mask")) as ds:
        assert ds.overviews(1)


def test_creation_options_are_passed_on(small, tmp_path):
    words = [("COMPRESS", "DEFLATE"), ("INTERLEAVE", "BAND"), ("PREDICTOR", "1"), ("BIGTIFF", "YES")]
    plain = sharpen(small, tmp_path / "plain.tif")
    out = sharpen(small, tmp_path / "out.tif", *(w for k, v in words for w in ("--co", f"{k}={v}")))
    with rasterio.open(out) as ds:
        structure = ds.tags(ns="IMAGE_STRUCTURE")
    assert structure["COMPRESSION"] == "DEFLATE"
    assert structure["INTERLEAVE"] == "BAND"
    assert "PREDICTOR" not in structure or structure["PREDICTOR"] == "1"
    assert out.read_bytes()[2] == 43, "BigTIFF"
    assert np.array_equal(pixels(out), pixels(plain))
    cog = sharpen(small, tmp_path / "cog.tif", "--format", "cog", "--co", "COMPRESS=LZW", "--co", "BLOCKSIZE=256")
    with rasterio.open(cog) as ds:
        assert ds.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "LZW"
        assert ds.block_shapes[0] == (256, 256)


@pytest.mark.skipif(shutil.which(GDALINFO) is None, reason="no gdalinfo of the system")
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--format", "cog"),
        ("--nodata", "mask", "--overviews"),
        ("--bands", "red,green,blue", "--dtype", "float32", "--nodata", "nan"),
    ],
    ids=" ".join,
)
def test_another_gdal_opens_it_without_a_warning(small, tmp_path, words):
    out = sharpen(small, tmp_path / "out.tif", *words)
    seen = subprocess.run([GDALINFO, "-json", "-checksum", out], capture_output=True, text=True, check=True)
    assert not seen.stderr.strip()
    facts = json.loads(seen.stdout)
    assert facts["size"] == [180, 200]
    assert facts["metadata"][""]["PANLOOM_METHOD"] == DEFAULT
    assert facts["bands"][0]["description"] == ("red" if "--bands" in words else "blue")


def test_values_that_the_type_cannot_hold_are_counted(whole, tmp_path):
    words = {"method": "exp", "sensor": "worldview-3"}
    exact = tmp_path / "exact.tif"
    free = panloom.sharpen(whole.pan, whole.ms, exact, dtype="float32", **words)
    report = panloom.sharpen(whole.pan, whole.ms, tmp_path / "small.tif", dtype="uint8", **words)
    with rasterio.open(exact) as ds:
        values = ds.read()
    assert report.pixels["clipped"] == int(((values > 255.5) | (values < -0.5)).sum()) > 0
    assert any("clipped" in warning for warning in report.warnings)
    assert free.pixels["clipped"] == 0
