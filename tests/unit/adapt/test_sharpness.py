"""PAN is degraded once more so that it is as sharp as in the scene: a land that looks alike at all scales tells how."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tailor_tools import land, rng, whole

from panloom.adapt._frame import degraded
from panloom.adapt._sharpness import GAINS, as_sharp
from panloom.compute import cut
from panloom.optics import physical
from panloom.pair import Pair
from panloom.types import Sensor, Window

RATIO, CELLS = 4, 64


def told(sensor: Sensor, gain: float) -> Sensor:
    return replace(sensor, pan=replace(sensor.pan, mtf_nyquist=gain))


def seen(gain: float) -> Pair:
    """A land whose spectrum is a power of the frequency, on a grid four times finer than that of PAN, which sees it."""
    scene = whole(land())
    side = RATIO * RATIO * CELLS
    frequency = torch.fft.fftfreq(side).square()
    radius = (frequency[:, None] + frequency[None, : side // 2 + 1].abs()).sqrt().clamp_min(1 / side)
    noise = torch.fft.rfft2(torch.randn(side, side, generator=rng(), dtype=torch.float64))
    truth = torch.fft.irfft2(noise / radius**1.2)[None, None]
    truth = 0.3 + 0.05 * truth / truth.std()
    pan = physical.degrade(truth, [gain], RATIO, (1.5, 1.5)).float()
    ms = physical.degrade(pan, [0.3], RATIO, (1.5, 1.5)).expand(-1, scene.ms.shape[1], -1, -1)
    exp = physical.interpolate(ms, RATIO, (1.5, 1.5))
    valid = torch.ones_like(pan, dtype=torch.bool)
    return Pair(pan=pan, ms=ms, exp=exp, valid=valid, phase=(1.5, 1.5), sensor=scene.sensor)


@pytest.mark.parametrize("gain", [0.2, 0.3, 0.5])
def test_the_gain_of_the_optics_is_found_in_a_land_that_is_alike_at_all_scales(gain: float) -> None:
    pair = seen(gain)
    assert pair.sensor is not None
    found = as_sharp([pair], told(pair.sensor, 0.1)).pan.mtf_nyquist
    assert abs(math.log(found / gain)) < math.log(1.4)


def test_sharper_images_get_larger_gains() -> None:
    pairs = [seen(gain) for gain in (0.15, 0.25, 0.4, 0.6)]
    assert pairs[0].sensor is not None
    found = [as_sharp([pair], told(pairs[0].sensor, 0.05)).pan.mtf_nyquist for pair in pairs]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_a_scene_that_is_softer_than_told_keeps_the_told_gain() -> None:
    pair = seen(0.15)
    assert pair.sensor is not None
    sensor = told(pair.sensor, 0.5)
    assert as_sharp([pair], sensor) == sensor


def test_neither_gain_nor_offset_of_the_values_matters() -> None:
    pair = seen(0.4)
    assert pair.sensor is not None
    sensor = told(pair.sensor, 0.1)
    other = as_sharp([replace(pair, pan=7 * pair.pan + 3)], sensor).pan.mtf_nyquist
    assert other == pytest.approx(as_sharp([pair], sensor).pan.mtf_nyquist, rel=1e-3)


def test_nothing_is_larger_than_the_largest_gain_and_bands_keep_theirs() -> None:
    pair = seen(0.4)
    assert pair.sensor is not None
    noisy = replace(pair, pan=pair.pan + 0.2 * torch.randn(pair.pan.shape, generator=rng()))
    found = as_sharp([noisy], told(pair.sensor, 0.1))
    assert found.pan.mtf_nyquist == GAINS[-1]
    assert found.bands == pair.sensor.bands


def test_pixels_without_data_do_not_count() -> None:
    pair = seen(0.4)
    assert pair.sensor is not None
    sensor = told(pair.sensor, 0.1)
    # Noise where nothing is valid; a rim of zeros around it keeps it out of the low pass of what is.
    spoiled, valid = pair.pan.clone(), pair.valid.clone()
    half = pair.pan.shape[-1] // 2
    spoiled[..., half + 48 :] += torch.randn(spoiled[..., half + 48 :].shape, generator=rng())
    valid[..., half:] = False
    left = as_sharp([replace(pair, valid=valid)], sensor).pan.mtf_nyquist
    assert as_sharp([replace(pair, pan=spoiled, valid=valid)], sensor).pan.mtf_nyquist == pytest.approx(left, rel=1e-2)


def test_a_tile_too_small_to_be_degraded_does_not_count() -> None:
    pair = seen(0.4)
    assert pair.sensor is not None
    sensor = told(pair.sensor, 0.1)
    tiny = cut(pair, Window(0, 0, RATIO - 1, RATIO - 1))
    assert as_sharp([tiny], sensor) == sensor
    assert as_sharp([tiny, pair], sensor) == as_sharp([pair], sensor)


def test_what_is_fitted_to_is_degraded_so() -> None:
    pair = seen(0.5)
    assert pair.sensor is not None
    sensor = told(pair.sensor, 0.1)
    low = degraded([pair], sensor, 1)[0].pair
    assert low.sensor == as_sharp([pair], sensor)
    assert low.sensor is not None
    pan = physical.degrade(pair.pan, [low.sensor.pan.mtf_nyquist], RATIO, pair.phase)
    torch.testing.assert_close(low.pan, pan)
