"""The scene that indices without reference look at: its parts, its masks, its notes, and the variant that fits it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom import metrics, sensors
from panloom.errors import OptionError
from panloom.metrics._full import FullMetric, FullScene, variant
from panloom.optics import physical, toolbox
from panloom.pair import Pair
from panloom.types import Sensor

FORMS = ("toolbox", "physical")


def image(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(ratio: int = 4, phase: float = 1.5, sensor: Sensor | None = None, bands: int = 3) -> Pair:
    ms, pan = image(1, 1, bands, 12, 16), image(2, 1, 1, 12 * ratio, 16 * ratio)
    valid = torch.ones_like(pan, dtype=torch.bool)
    return Pair(pan, ms, physical.interpolate(ms, ratio, (phase, phase)), valid, (phase, phase), sensor)


def test_values_of_a_pair_become_digital_numbers():
    sensor = sensors.get("worldview-3")
    source = pair(sensor=replace(sensor, bands=sensor.bands[:8]), bands=8)
    full = FullScene.of(source, 2047.0)
    torch.testing.assert_close(full.ms, 2047 * source.ms)
    torch.testing.assert_close(full.pan, 2047 * source.pan)
    torch.testing.assert_close(full.exp("physical"), 2047 * source.exp)
    assert full.gains == (0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315)
    assert (full.pan_gain, full.ratio, full.phase, full.notes) == (0.14, 4, (1.5, 1.5), ())


@pytest.mark.parametrize("sensor", [None, "generic"])
def test_gains_of_an_unknown_sensor_are_generic_and_that_is_said(sensor):
    known = sensor and sensors.get(sensor)
    full = FullScene.of(pair(sensor=known, bands=len(known.bands) if known else 3), 1.0)
    assert set(full.gains) == {0.30}
    assert full.pan_gain == 0.15
    (note,) = full.notes
    assert "MS 0.3, PAN 0.15" in note
    assert "name the sensor" in note


def test_the_two_forms_of_the_operators():
    full = FullScene.of(pair(), 1000.0)
    fused = 1000 * image(3, 1, 3, 48, 64)
    assert torch.equal(full.exp("toolbox"), toolbox.interp23(full.ms, 4))
    assert torch.equal(full.degraded(fused, "toolbox"), toolbox.degrade_ms(fused, full.gains, 4))
    assert torch.equal(full.low_pan("toolbox"), toolbox.imresize(full.pan, 1 / 4, "bicubic"))
    assert torch.equal(full.degraded(fused, "physical"), physical.degrade(fused, full.gains, 4, (1.5, 1.5)))
    low = physical.degrade(full.pan, [full.pan_gain], 4, (1.5, 1.5))
    assert torch.equal(full.low_pan("physical"), low)
    assert torch.equal(full.smooth_pan("physical"), physical.interpolate(low, 4, (1.5, 1.5)))
    assert full.exp("physical") is full.exp("physical")  # made once


def test_the_blur_of_the_physical_form_is_what_it_decimates():
    full = FullScene.of(pair(phase=2.0), 1.0)
    fused = image(3, 1, 3, 48, 64)
    blurred, degraded = full.blurred(fused, "physical"), full.degraded(fused, "physical")
    # The taps of the two differ at the very end of the Gaussian: by 3e-5 together.
    torch.testing.assert_close(blurred[..., 2::4, 2::4], degraded, rtol=0, atol=1e-4)
    flat = torch.full((1, 3, 48, 64), 700.0, dtype=torch.float64)
    torch.testing.assert_close(full.blurred(flat, "physical"), flat)


@pytest.mark.parametrize("form", FORMS)
def test_a_degraded_sample_counts_where_all_that_it_sees_is_valid(form):
    source = pair()
    valid = source.valid.clone()
    valid[..., 20:24, 40] = False
    holed = FullScene.of(Pair(source.pan, source.ms, source.exp, valid, source.phase), 1.0)
    whole = FullScene.of(source, 1.0)
    assert holed.ms_valid[0, 0, 5, 10].item() is False
    assert holed.ms_valid.sum() == 12 * 16 - 1
    first, second = image(3, 1, 3, 48, 64), image(4, 1, 3, 48, 64)
    second = torch.where(valid, first, second)
    seen = [scene.degraded(x, form) for scene, x in ((holed, first), (holed, second), (whole, second))]
    assert torch.equal(seen[0], seen[1])  # EXP stands in for what is not valid
    untouched = holed.low_valid(form).expand_as(seen[0])
    assert 0.5 < untouched.double().mean() < 0.9
    # The 41 taps of the toolbox form reach further than 4 sigma, with next to no weight.
    torch.testing.assert_close(
        seen[0][untouched], seen[2][untouched], rtol=0, atol=1e-12 if form == "physical" else 2e-4
    )
    assert not holed.smooth_valid(form)[..., 20:24, 40].any()


def test_digital_numbers_are_told_from_fractions():
    whole = torch.ones((1, 1, 48, 64), dtype=torch.bool), torch.ones((1, 1, 12, 16), dtype=torch.bool)

    def scene(ms: torch.Tensor) -> FullScene:
        return FullScene(image(2, 1, 1, 48, 64), ms, *whole, (1.5, 1.5), (0.3,) * 3, 0.15)

    assert scene((2047 * image(1, 1, 3, 12, 16)).round()).digital
    assert scene(2047 * image(1, 1, 3, 12, 16)).digital
    assert scene(torch.zeros(1, 3, 12, 16)).digital
    assert not scene(image(1, 1, 3, 12, 16)).digital


def test_the_variant_that_fits_a_scene():
    fractions, numbers = FullScene.of(pair(), 1.0), FullScene.of(pair(), 2047.0)
    assert variant("hqnr", numbers, "toolbox").label == "HQNR[K-LR]"
    assert variant("hqnr", numbers, "physical").label == "HQNR[K-LR,physical]"
    assert variant("hqnr-k-pan", fractions, "toolbox").label == "HQNR[K-PAN,unrounded]"
    assert variant("d-lambda-khan", fractions, "physical").label == "D_lambda[khan,K-LR,physical,unrounded]"
    assert variant("d-s", fractions, "physical").label == "D_s[vivone2021,block32,physical]"
    assert variant("d-rho", fractions, "physical").label == "D_rho[w=ceil(r/2)]"
    with pytest.raises(OptionError, match="did you mean"):
        variant("hqnrr", numbers, "toolbox")
    with pytest.raises(OptionError, match="compares with a reference"):
        variant("sam", numbers, "toolbox")


def test_every_label_says_the_form():
    found = [metrics.get(name) for name in metrics.names()]
    found = [metric for metric in found if isinstance(metric, FullMetric)]
    assert len(found) == 33
    for metric in found:
        assert ("physical" in metric.label) == ("physical" in metric.name) == (metric.form == "physical")
        assert metric.label.endswith("unrounded]") == metric.name.endswith("unrounded")
        assert metric.tiling == ("whole" if metric.form == "toolbox" else "exact")
        assert metric.needs == "pair"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pan": torch.zeros(1, 1, 47, 64), "valid": torch.ones((1, 1, 47, 64), dtype=torch.bool)},
            "no whole multiple",
        ),
        ({"gains": (0.3, 0.3)}, "2 MTF gains for 3 bands"),
        ({"gains": (0.3, 0.3, 1.0)}, "between 0 and 1"),
    ],
)
def test_parts_that_do_not_belong_together(change, message):
    with pytest.raises(OptionError, match=message):
        replace(FullScene.of(pair(), 1.0), **change)
