"""Files against a truth: tile by tile as the whole, and a clear word on what cannot be compared."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasters
import torch
from rasters import Place, Says

from panloom import metrics
from panloom.errors import OptionError, SceneError
from panloom.run import compare as engine
from panloom.run.compare import Comparison, compare

REFERENCE = [name for name in metrics.names() if metrics.get(name).needs == "reference"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def image(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Waves and noise, uint16."""
    rng = np.random.default_rng(seed)
    rows, cols = np.arange(height)[:, None], np.arange(width)[None]
    waves = [np.sin(rows / (7 + k)) * np.cos(cols / (11 - k)) for k in range(bands)]
    return (600 + 300 * np.stack(waves) + rng.normal(0, 20, (bands, height, width))).astype("uint16")


def worse(truth: np.ndarray, seed: int = 9) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (truth * 1.03 + rng.normal(0, 15, truth.shape) + 5).clip(1, 60000).astype("uint16")


def file(folder: Path, name: str, array: np.ndarray, nodata: float | None = None, **place: object) -> str:
    says = Says(nodata=nodata, options={"tiled": True, "blockxsize": 256, "blockysize": 256})
    return rasters.write(folder / f"{name}.tif", array, Place(*array.shape[-2:], **place), says)


def whole(name: str, fused: np.ndarray, truth: np.ndarray, valid: np.ndarray, full_scale: float) -> float:
    """The index of the images in one piece."""
    metric = metrics.get(name)
    given = {"ratio": 4, "full_scale": full_scale}
    one, two = (torch.from_numpy(x.astype("float64"))[None] for x in (fused, truth))
    return metric(one, two, torch.from_numpy(valid)[None, None], **{key: given[key] for key in metric.settings})


def agrees(done: Comparison, fused: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> None:
    (found,) = done.files
    assert found.pixels == int(valid.sum())
    for name in REFERENCE:
        expected = whole(name, fused, truth, valid, done.full_scale)
        assert found.values[name] == pytest.approx(expected, rel=1e-12, abs=1e-14), name


def holes(truth: np.ndarray, fused: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No-data (0) in both images, in one band or all: the pixels that stay valid."""
    height, width = truth.shape[-2:]
    for target in (truth, fused):
        row, col = rng.integers(0, height), rng.integers(0, width)
        target[:, row : row + height // 5, col : col + width // 4] = 0
        target[1][rng.random((height, width)) < 0.002] = 0
    return (truth != 0).all(0) & (fused != 0).all(0)


# --- tiles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("height", "width"), [(513, 70), (66, 1030), (577, 45)])
def test_tiles_are_the_whole(tmp_path, height, width, missing):
    truth = image(height, width)
    fused = worse(truth)
    valid = holes(truth, fused, np.random.default_rng(4)) if missing else np.ones((height, width), bool)
    files = (file(tmp_path, name, x, nodata=0 if missing else None) for name, x in (("t", truth), ("f", fused)))
    agrees(compare(next(files), list(files), names=REFERENCE), fused, truth, valid)


@pytest.mark.parametrize("seed", range(4))
def test_small_tiles_of_any_image_are_the_whole(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(engine, "CORE", 96)
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(97, 260, 2))
    truth = image(height, width, bands=int(rng.integers(2, 6)), seed=seed)
    fused = worse(truth, seed)
    valid = holes(truth, fused, rng)
    done = compare(file(tmp_path, "t", truth, nodata=0), [file(tmp_path, "f", fused, nodata=0)], names=REFERENCE)
    agrees(done, fused, truth, valid)


def test_threads_change_no_digit(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CORE", 96)
    truth = image(210, 170)
    files = file(tmp_path, "t", truth), [file(tmp_path, name, worse(truth, k)) for k, name in enumerate("fg")]
    records = {compare(*files, names=REFERENCE, threads=threads).to_json() for threads in (1, 2, 5, None)}
    assert len(records) == 1


@pytest.mark.parametrize("size", [1, 63, 64, 255, 257, 320, 512, 513, 575, 576, 1030, 6000])
def test_cores_cover_an_axis_in_blocks(size):
    cuts = engine._cuts(size)
    assert cuts[0] == 0
    assert cuts[-1] == size
    assert all(cut % 32 == 0 for cut in cuts[:-1])
    assert all(b - a > 32 for a, b in pairwise(cuts)) or size <= 32
    assert max(b - a for a, b in pairwise(cuts)) < engine.CORE + engine.LEAST


def test_several_files_in_their_order(tmp_path):
    truth = image(120, 100)
    paths = [file(tmp_path, name, worse(truth, k)) for k, name in enumerate("abc")]
    steps = []
    done = compare(file(tmp_path, "t", truth), paths, progress=lambda n, total: steps.append((n, total)))
    assert [f.path for f in done.files] == paths
    assert steps == [(1, 1)]
    for path in paths:
        alone = compare(done.truth, [path])
        assert alone.files[0] == next(f for f in done.files if f.path == path)


# --- values -----------------------------------------------------------------------------------------------


def test_identical_files_are_perfect(tmp_path):
    truth = file(tmp_path, "t", image(200, 190))
    done = compare(truth, [truth], names=REFERENCE)
    for name, value in done.files[0].values.items():
        perfect = metrics.get(name).perfect
        assert value == perfect or value == pytest.approx(perfect, abs=1e-12), name
    assert done.files[0].pixels == 200 * 190
    record = json.loads(done.to_json())
    assert record["files"][0]["values"]["psnr"] is None  # infinite, which JSON has not


def test_ergas_knows_which_is_the_truth(tmp_path):
    truth = image(120, 100)
    one, other = file(tmp_path, "t", truth), file(tmp_path, "f", (truth * 1.5).astype("uint16"))
    there, back = (compare(a, [b]).files[0].values for a, b in ((one, other), (other, one)))
    assert there["ergas"] > 1.4 * back["ergas"]
    assert there["rmse"] == back["rmse"]
    assert there["sam"] == pytest.approx(back["sam"])


def test_ergas_by_ratio(tmp_path):
    truth = image(120, 100)
    files = file(tmp_path, "t", truth), [file(tmp_path, "f", worse(truth))]
    two, four = (compare(*files, ratio=ratio, names=["ergas"]).files[0].values["ergas"] for ratio in (2, 4))
    assert two == pytest.approx(2 * four, rel=1e-12)


@pytest.mark.parametrize(
    ("scale", "full_scale"), [(1, 1023), (40, 65535), (0.2, 255), (1 / 1000, 1)], ids=["10", "16", "8", "unit"]
)
def test_the_full_scale_is_a_bit_depth_and_said(tmp_path, scale, full_scale):
    truth = (image(100, 90).clip(0, 1000) * scale).astype("float32")
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", truth + np.float32(scale))])
    assert done.full_scale == full_scale
    assert any(f"full scale {full_scale}" in note for note in done.notes)
    assert done.labels["psnr"] == f"PSNR[peak={full_scale},band-mean]"
    given = compare(done.truth, [done.files[0].path], full_scale=2047)
    assert given.labels["psnr"] == "PSNR[peak=2047,band-mean]"
    assert not any("full scale" in note for note in given.notes)


def test_no_data_is_no_largest_value(tmp_path):
    truth = image(100, 90).clip(0, 1000)
    truth[:, :10] = 65535
    path = file(tmp_path, "t", truth, nodata=65535)
    assert compare(path, [path]).full_scale == 1023


def test_reflectance_is_not_rounded(tmp_path):
    truth = (image(100, 90) / 2000).astype("float32")
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", truth * np.float32(1.01))])
    assert "q2n-unrounded" in done.files[0].values
    assert "q2n" not in done.files[0].values
    assert done.labels["q2n-unrounded"] == "Q2n[block32,shift32,unrounded]"


def test_large_integers_keep_their_digits(tmp_path):
    """Above 2^24 a float32 holds no odd number."""
    truth = (image(64, 64).astype("uint32") + 2**26).astype("uint32")
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", truth + np.uint32(1))], names=["rmse"])
    assert done.files[0].values["rmse"] == 1.0


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64", "int32"])
def test_integers_and_floats_mix_and_it_is_said(tmp_path, dtype):
    truth = image(100, 90)
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", truth.astype(dtype))])
    assert done.files[0].values["rmse"] == 0
    assert any(f"holds {dtype} and the truth uint16" in note for note in done.notes)


def test_negative_values(tmp_path):
    truth = image(100, 90).astype("int16") - 700
    fused = (truth + 3).astype("int16")
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", fused)], names=REFERENCE)
    agrees(done, fused, truth, np.ones((100, 90), bool))


def test_no_data_in_one_file_only(tmp_path):
    truth = image(100, 90)
    fused = worse(truth)
    fused[:, 20:50] = 0
    valid = np.ones((100, 90), bool)
    valid[20:50] = False
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", fused, nodata=0)], names=REFERENCE)
    agrees(done, fused, truth, valid)


def test_not_a_number_is_no_data(tmp_path):
    truth = image(100, 90).astype("float32")
    fused = worse(image(100, 90)).astype("float32")
    fused[1, 3, 4], truth[0, 50, 60] = np.nan, np.inf
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", fused)])
    assert done.files[0].pixels == 100 * 90 - 2
    assert all(math.isfinite(value) for value in done.files[0].values.values())


def test_an_image_smaller_than_a_block(tmp_path):
    truth = image(9, 8)
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", worse(truth))], names=REFERENCE)
    values = done.files[0].values
    assert math.isnan(values["ssim"])
    assert math.isnan(values["q"])
    assert values["ergas"] > 0
    assert "q" not in done.files[0].bands
    assert json.loads(done.to_json())["files"][0]["values"]["ssim"] is None


@pytest.mark.parametrize("level", [0, 7])
def test_constant_images(tmp_path, level):
    flat = np.full((3, 100, 90), level, "uint16")
    done = compare(file(tmp_path, "t", flat), [file(tmp_path, "f", flat), file(tmp_path, "g", flat + np.uint16(2))])
    same, other = (found.values for found in done.files)
    assert same["ergas"] == same["rmse"] == 0
    assert same["sam"] == 0 or (level == 0 and math.isnan(same["sam"]))  # black has no spectral angle
    assert other["rmse"] == 2
    json.loads(done.to_json(), parse_constant=pytest.fail)


def test_values_by_band(tmp_path):
    truth = image(100, 90)
    fused = truth.copy()
    fused[2] += 5
    done = compare(file(tmp_path, "t", truth), [file(tmp_path, "f", fused)])
    assert done.files[0].bands["rmse"] == [0, 0, 5]
    assert done.bands == ("band 1", "band 2", "band 3")


# --- what cannot be compared ------------------------------------------------------------------------------


@pytest.fixture
def truth(tmp_path):
    return file(tmp_path, "truth", image(60, 50))


@pytest.mark.parametrize(
    ("shape", "place", "said"),
    [
        ((3, 60, 49), {}, r"60 x 49 pixels and the truth 60 x 50 \(rows x columns\)"),
        ((3, 50, 60), {}, "50 x 60 pixels"),
        ((2, 60, 50), {}, "2 bands and the truth 3"),
        ((3, 60, 50), {"crs": "EPSG:32633"}, "different reference systems"),
        ((3, 60, 50), {"transform": (1.0, 0.0, 500_000.5, 0.0, -1.0, 5_000_000.0)}, "by up to 0.5 pixels"),
        ((3, 60, 50), {"transform": (1.01, 0.0, 500_000.0, 0.0, -1.01, 5_000_000.0)}, "another grid"),
        ((3, 60, 50), {"transform": (1.0, 0.0, 500_000.0, 0.0, 1.0, 4_999_940.0)}, "another grid"),
    ],
    ids=["columns", "turned", "bands", "crs", "half a pixel", "pixel size", "flipped"],
)
def test_images_that_do_not_lie_on_each_other(tmp_path, truth, shape, place, said):
    other = file(tmp_path, "other", image(*shape[1:], bands=shape[0]), **place)
    with pytest.raises(SceneError, match=rf"other\.tif .*{said}"):
        compare(truth, [truth, other])


def test_a_grid_within_the_tolerance(tmp_path, truth):
    place = {"transform": (1.0, 0.0, 500_000.0005, 0.0, -1.0, 5_000_000.0)}
    assert compare(truth, [file(tmp_path, "other", image(60, 50), **place)]).files[0].values["rmse"] == 0


def test_only_one_has_a_georeference(tmp_path, truth):
    plain = file(tmp_path, "plain", image(60, 50), transform=None, crs=None)
    done = compare(truth, [plain])
    assert done.files[0].values["rmse"] == 0
    assert any("plain.tif and the truth is georeferenced" in note for note in done.notes)


def test_no_pixel_is_valid_in_both(tmp_path):
    one, other = image(60, 50), image(60, 50)
    one[:, :30], other[:, 30:] = 0, 0
    with pytest.raises(SceneError, match=r"other\.tif: no pixel is valid both there and in the truth"):
        compare(file(tmp_path, "one", one, nodata=0), [file(tmp_path, "other", other, nodata=0)])


def test_complex_numbers(tmp_path, truth):
    other = file(tmp_path, "other", np.ones((3, 60, 50), "complex64"))
    with pytest.raises(SceneError, match=r"other\.tif holds complex numbers"):
        compare(truth, [other])


def test_files_that_cannot_be_read(tmp_path, truth):
    with pytest.raises(SceneError, match="no such file"):
        compare(truth, [tmp_path / "none.tif"])
    cut = tmp_path / "cut.tif"
    cut.write_bytes(Path(file(tmp_path, "large", image(600, 500))).read_bytes()[:200_000])
    with pytest.raises(SceneError, match=r"cut\.tif"):
        compare(tmp_path / "large.tif", [cut])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"ratio": 0}, "ratio 0"),
        ({"full_scale": 0.0}, "full scale 0"),
        ({"full_scale": -1.0, "names": ["ergas"]}, "full scale -1"),
        ({"full_scale": math.nan}, "full scale nan"),
        ({"threads": 0}, "threads must be 1"),
        ({"names": ["ergass"]}, "did you mean 'ergas'"),
        ({"names": ["ergas", "qnr"]}, "qnr needs PAN and MS"),
    ],
)
def test_wrong_words(truth, words, said):
    with pytest.raises(OptionError, match=said):
        compare(truth, [truth], **words)


def test_nothing_to_compare(truth):
    with pytest.raises(OptionError, match="at least one file"):
        compare(truth, [])
