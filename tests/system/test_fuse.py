"""The array API: arrays in, arrays of the same kind out, the same numbers as from files."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from system_tools import Files, pixels, placed, texture, write

import panloom
from panloom import classical, fuse
from panloom.errors import MethodError, OptionError, PanloomError, SceneError, SensorError
from panloom.run import fuse as module


@pytest.fixture
def arrays():
    rng = np.random.default_rng(1)
    pan = texture(rng, (64, 80), 200, 1800, "uint16")
    low = pan.reshape(16, 4, 20, 4).mean((1, 3))
    ms = np.stack([low * g + 3 * k for k, g in enumerate((0.9, 0.7, 0.5, 1.1))]) + rng.normal(0, 9, (4, 16, 20))
    return pan, ms.astype("uint16")


def test_doctest():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("method", classical.names())
def test_kinds_of_arrays(arrays, method):
    pan, ms = arrays
    expected = fuse(pan, ms, method=method)
    assert isinstance(expected, np.ndarray)
    assert expected.shape == (4, 64, 80)
    assert expected.dtype == np.float32
    for kind in ("uint16", "int16", "int32", "float32", ">u2", ">f4"):
        assert np.allclose(fuse(pan.astype(kind), ms.astype(kind), method=method), expected, atol=1e-2)
    double = fuse(pan.astype("float64"), ms.astype("float64"), method=method)
    assert double.dtype == np.float64
    assert np.allclose(double, expected, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.float32, torch.float64])
def test_tensors(arrays, dtype):
    pan, ms = (torch.from_numpy((a // 8).astype("int16")).to(dtype) for a in arrays)
    result = fuse(pan, ms, method="gsa")
    assert isinstance(result, torch.Tensor)
    assert result.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert not result.is_inference()
    single = (x.to(torch.float32).numpy() for x in (pan, ms))
    assert np.allclose(result.numpy(), fuse(*single, method="gsa"), atol=1e-2)
    (result.requires_grad_() * 2).sum().backward()  # an ordinary tensor, that autograd takes


def test_inputs_are_left_alone(arrays):
    pan, ms = arrays
    before = pan.copy(), ms.copy()
    fuse(pan, ms, method="mtf-glp-hpm")
    assert np.array_equal(pan, before[0])
    assert np.array_equal(ms, before[1])
    real = [a.astype("float32") for a in arrays]
    copies = [a.copy() for a in real]
    fuse(*real, full_scale=1.0)
    assert all(np.array_equal(a, b) for a, b in zip(real, copies, strict=True))
    tensors = [torch.from_numpy(a).requires_grad_() for a in real]
    assert not fuse(*tensors).requires_grad


def test_views_and_one_band_axis(arrays):
    pan, ms = arrays
    expected = fuse(pan, ms)
    assert np.array_equal(fuse(pan[None], ms), expected)
    assert np.array_equal(
        fuse(np.asfortranarray(pan), np.ascontiguousarray(ms.transpose(1, 2, 0)).transpose(2, 0, 1)), expected
    )


def test_same_for_any_number_of_threads(arrays, monkeypatch):
    monkeypatch.setattr(module, "tile_size", lambda ratio, multiple=1: 32)
    one, four = (fuse(*arrays, threads=n, method="mtf-glp") for n in (1, 4))
    assert np.array_equal(one, four)


@pytest.mark.parametrize("method", classical.names())
@pytest.mark.parametrize("phase", ["corner", (1.75, 0.5), (2.0, 2.0)])
def test_equals_the_command_line(arrays, tmp_path, method, phase):
    pan, ms = arrays
    row, col = (0.0, 0.0) if phase == "corner" else (p - 1.5 for p in phase)
    files = Files(
        write(tmp_path / "pan.tif", pan, placed(1.0)),
        write(tmp_path / "ms.tif", ms, placed(4.0, east=500_000 + col, north=5_000_000 - row)),
    )
    panloom.sharpen(files.pan, files.ms, tmp_path / "out.tif", method=method, extent="pan")
    result = fuse(pan, ms, method=method, phase=phase)
    image = pixels(tmp_path / "out.tif").astype(float)
    inner = (slice(None), slice(8, -8), slice(8, -8))  # where MS ends short of PAN the file has no data
    assert np.abs(result[inner] - image[inner]).max() < 0.51


def test_phase_moves_the_image(arrays):
    pan, ms = arrays
    corner, moved = (fuse(pan, ms, method="exp", phase=p) for p in ("corner", (2.5, 1.5)))
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.allclose(np.roll(corner, 1, 1)[inner], moved[inner], atol=1e-2)


def test_nodata_and_nan(arrays):
    pan, ms = arrays
    pan, ms = pan.copy(), ms.copy()
    pan[:20, :20] = 0
    ms[:, 12:, 15:] = 0
    marked = fuse(pan, ms, nodata=0, precision="float32")
    missing = np.isnan(marked)
    assert missing[:, :20, :20].all()
    assert missing[:, 54:, 66:].all()
    assert not missing[:, 22:44, 22:56].any()
    pan, ms = (np.where(a == 0, np.nan, a).astype("float32") for a in (pan, ms))
    pan[0, 0], ms[:, 15, 19] = np.inf, -np.inf
    assert np.allclose(fuse(pan, ms, precision="float32"), marked, equal_nan=True, atol=1e-2)


def test_units_do_not_matter(arrays):
    pan, ms = (a.astype("float64") for a in arrays)
    assert np.allclose(fuse(pan, ms), fuse(pan * 1e-4, ms * 1e-4) * 1e4, atol=0.01)
    assert np.allclose(fuse(pan, ms), fuse(pan, ms, full_scale=12345.0), atol=0.01)


def test_sensor_bands_and_options(arrays):
    pan, ms = arrays
    named = fuse(pan, ms, method="mtf-glp", sensor="worldview-3", bands=["nir1", "red", "green", "blue"])
    usual = fuse(pan, ms, method="mtf-glp", sensor="worldview-3")
    assert not np.array_equal(named, usual)
    given = fuse(pan, ms, method="brovey", options={"weights": "0.1,0.2,0.3,0.4"})
    assert np.array_equal(given, fuse(pan, ms, method="brovey", options={"weights": (0.1, 0.2, 0.3, 0.4)}))


@pytest.mark.parametrize(
    ("pan", "ms"),
    [
        ((64, 64), (16, 16)),
        ((2, 64, 64), (3, 16, 16)),
        ((1, 1, 64, 64), (1, 3, 16, 16)),
        ((64, 64), (3, 64, 64)),
        ((16, 16), (3, 64, 64)),
        ((64, 64), (3, 16, 40)),
        ((64, 64, 1), (16, 16, 3)),
        ((0, 64), (3, 16, 16)),
        ((64, 64), (0, 16, 16)),
        ((64,), (3, 16, 16)),
        ((), ()),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(pan, ms):
    with pytest.raises((OptionError, SceneError)):
        fuse(np.ones(pan, "float32"), np.ones(ms, "float32"))
    with pytest.raises((OptionError, SceneError)):
        fuse(torch.ones(pan), torch.ones(ms))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"method": "gsaa"}, MethodError),
        ({"options": {"frm": 1}}, MethodError),
        ({"method": "brovey", "options": {"weights": (1.0,)}}, MethodError),
        ({"sensor": "spott"}, SensorError),
        ({"bands": ["red"]}, OptionError),
        ({"bands": ["red", "green", "blue", "purple"]}, OptionError),
        ({"device": "abacus"}, OptionError),
        ({"threads": -1}, OptionError),
        ({"threads": 0}, OptionError),
        ({"phase": (float("nan"), 0.0)}, OptionError),
        ({"phase": (1e9, 0.0)}, PanloomError),
        ({"full_scale": -1.0}, OptionError),
        ({"full_scale": float("nan")}, OptionError),
    ],
    ids=str,
)
def test_words_that_mean_nothing(arrays, settings, error):
    with pytest.raises(error):
        fuse(*arrays, **settings)


def test_types_that_are_no_numbers(arrays):
    pan, ms = arrays
    for kind in ("complex64", "bool", "U3"):
        with pytest.raises(OptionError):
            fuse(pan.astype(kind), ms)
    with pytest.raises(OptionError):
        fuse(torch.ones(64, 64, dtype=torch.complex64), torch.ones(3, 16, 16))
    with pytest.raises(OptionError):
        fuse(torch.ones(64, 64, dtype=torch.bool), torch.ones(3, 16, 16))


def test_nothing_valid(arrays):
    pan, ms = arrays
    with pytest.raises(SceneError, match="valid"):
        fuse(np.full(pan.shape, np.nan, "float32"), ms.astype("float32"))
