"""Procedural scenes: the images are what the stated model makes of the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from panloom import sensors
from panloom.data import Recording, georeference, make
from panloom.errors import OptionError, SensorError

QUIET = Recording(noise=0.0, dtype="float32")
REFLECTIVE = [name for name in sensors.names() if any(b.role == "sharpen" for b in sensors.get(name).bands)]


def direct(image: np.ndarray, sigma: float, row: float, col: float) -> float:
    """The Gaussian-blurred image at one real position, by a sum over all pixels."""
    weights = [
        np.exp(-((np.arange(n) - at) ** 2) / (2 * sigma**2)) for n, at in zip(image.shape, (row, col), strict=True)
    ]
    return float(weights[0] @ image.astype(np.float64) @ weights[1] / (weights[0].sum() * weights[1].sum()))


@pytest.mark.parametrize(
    ("ratio", "phase", "shift"),
    [
        (4, None, (0.0, 0.0)),
        (4, (0.0, 3.25), (0.0, 0.0)),
        (2, (-0.5, 1.0), (1.5, -2.25)),
        (3, (2.4, 0.1), (0.0, 0.5)),
    ],
)
def test_ms_is_the_truth_through_the_mtf(ratio, phase, shift):
    recording = Recording(ratio=ratio, misregistration=shift, noise=0.0, dtype="float32")
    scene = make(97, 110, bands=4, phase=phase, wedge=False, recording=recording, seed=3)
    for band, gain in enumerate(b.mtf_nyquist for b in scene.sensor.bands):
        sigma = ratio / math.pi * math.sqrt(-2 * math.log(gain))
        for i, j in ((48 // ratio, 52 // ratio), (40 // ratio, 60 // ratio)):
            row, col = (ratio * n + p + s for n, p, s in zip((i, j), scene.phase, shift, strict=True))
            assert scene.ms[band, i, j] == pytest.approx(direct(scene.truth[band], sigma, row, col), rel=2e-4)


def test_pan_is_the_mix_through_its_own_blur():
    scene = make(96, 96, wedge=False, recording=QUIET)
    assert sum(scene.pan_weights) == pytest.approx(1)
    mix = np.tensordot(scene.pan_weights, scene.truth.astype(np.float64), 1)
    sigma = math.sqrt(-2 * math.log(scene.sensor.pan.mtf_nyquist)) / math.pi
    for row, col in ((30, 41), (55, 60), (8, 90)):
        assert scene.pan[row, col] == pytest.approx(direct(mix, sigma, row, col), rel=2e-4)


def test_noise_and_rounding_are_as_stated():
    plain = make(200, 200, bands=4, wedge=False, recording=QUIET)
    noisy = make(200, 200, bands=4, wedge=False, recording=Recording(noise=0.002))
    np.testing.assert_array_equal(plain.truth, noisy.truth)
    for image, other, expected in ((plain.ms, noisy.ms, 0.002), (plain.pan, noisy.pan, 0.004)):
        error = (other.astype(np.float64) - image)[image < 1900]
        assert error.std() == pytest.approx(expected * 2047, rel=0.05)
        assert abs(error.mean()) < 0.2


def test_the_same_seed_gives_the_same_scene():
    one, same, other = (make(64, 80, seed=seed) for seed in (5, 5, 6))
    for name in ("pan", "ms", "truth", "pan_valid", "ms_valid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.truth, other.truth)


def test_the_wedge_is_no_data_and_nothing_else_is():
    scene, whole = make(120, 140, bands=4, seed=1), make(120, 140, bands=4, seed=1, wedge=False)
    assert (scene.nodata, whole.nodata) == (0, None)
    assert whole.pan_valid.all()
    assert whole.ms_valid.all()
    assert 0.1 < 1 - scene.pan_valid.mean() < 0.5
    np.testing.assert_array_equal(scene.pan == 0, ~scene.pan_valid)
    np.testing.assert_array_equal(scene.ms == 0, np.broadcast_to(~scene.ms_valid, scene.ms.shape))
    np.testing.assert_array_equal(scene.pan[scene.pan_valid], whole.pan[scene.pan_valid])
    np.testing.assert_array_equal(scene.ms[:, scene.ms_valid], whole.ms[:, scene.ms_valid])
    np.testing.assert_array_equal(scene.truth, whole.truth)
    assert scene.truth.min() > 0
    # slanted, and at the same place on the ground
    border = scene.pan_valid.argmax(1)
    assert border[0] > border[60] > border[-1] > 0
    rows, cols = (np.rint(4 * np.arange(n) + p).astype(int) for n, p in zip((29, 34), scene.phase, strict=True))
    differ = scene.pan_valid[np.ix_(rows, cols)] != scene.ms_valid[:29, :34]
    assert differ.sum() <= 29


@pytest.mark.parametrize("name", REFLECTIVE)
def test_any_sensor(name: str):
    scene = make(66, 71, sensor=name)
    facts = sensors.get(name)
    assert [b.name for b in scene.sensor.bands] == [b.name for b in facts.bands if b.role == "sharpen"]
    assert scene.ratio == facts.ratio
    assert scene.pan.shape == (66, 71)
    assert scene.ms.shape == (
        len(scene.sensor.bands),
        math.ceil(66 / facts.ratio),
        math.ceil(71 / facts.ratio),
    )
    assert scene.truth.shape == (len(scene.sensor.bands), 66, 71)
    assert scene.truth.dtype == np.float32
    assert scene.pan.max() <= scene.sensor.full_scale
    assert scene.pan_valid.any()
    assert np.isfinite(scene.truth).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (65, 7), (101, 99)])
def test_any_size(size):
    scene = make(*size, bands=4, wedge=False)
    assert scene.pan.shape == size
    assert scene.ms.shape == (4, math.ceil(size[0] / 4), math.ceil(size[1] / 4))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_dtypes(dtype):
    scene = make(64, 64, bands=4, recording=Recording(dtype=dtype))
    assert scene.pan.dtype == scene.ms.dtype == np.dtype(dtype)
    top = 255 if dtype == "uint8" else 2047
    assert scene.sensor.full_scale == top
    assert 0.1 * top < np.median(scene.truth) < 0.6 * top


def test_plants_are_green_and_water_is_dark_in_the_infrared():
    scene = make(512, 512, bands=4, wedge=False)
    _, green, red, infrared = scene.truth
    index = (infrared - red) / (infrared + red)
    plants, water = index > 0.6, index < -0.1
    assert 0.1 < plants.mean() < 0.9
    assert 0.01 < water.mean() < 0.4
    assert np.mean(green[plants] > red[plants]) > 0.9
    assert infrared[water].mean() < 0.15 * infrared.mean()


def test_the_georeference_puts_the_first_sample_on_the_phase():
    scene = make(64, 64, phase=(0.5, 2.75))
    where = georeference(scene)
    assert where.crs == "EPSG:32632"
    centres = []
    for a, _, c, _, e, f in (where.pan, where.ms):
        centres.append((c + a / 2, f + e / 2))
    assert (centres[1][0] - centres[0][0]) / where.pan[0] == pytest.approx(2.75)
    assert (centres[1][1] - centres[0][1]) / where.pan[4] == pytest.approx(0.5)
    assert where.ms[0] == 4 * where.pan[0] == -where.ms[4] == 2.0


def test_aligned_grids_share_their_corner():
    where = georeference(make(8, 8, phase=(1.5, 1.5)))
    assert where.pan[2] == where.ms[2]
    assert where.pan[5] == where.ms[5]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"height": 0}, "0 x 64"),
        ({"bands": 99}, "no reflective bands 99"),
        ({"bands": ["blue", "ultraviolet"]}, "coastal, blue"),
        ({"bands": ["swir1"]}, "none of the bands"),
        ({"phase": (4.0, 0.0)}, r"\[-0.5, 3.5\)"),
        ({"recording": Recording(ratio=0)}, "ratio 0"),
        ({"recording": Recording(noise=-1.0)}, "noise -1.0"),
        ({"recording": Recording(misregistration=(0.0, 9.0))}, "within 8"),
    ],
)
def test_bad_settings_are_told(settings, told):
    with pytest.raises(OptionError, match=told):
        make(**{"height": 64, "width": 64} | settings)


def test_an_unknown_sensor_is_told():
    with pytest.raises(SensorError, match="worldview-3"):
        make(64, 64, sensor="worldview-33")
