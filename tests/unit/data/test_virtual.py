"""Virtual sensors: what is recorded follows from the truth, exactly as far as the settings say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom import sensors
from panloom.data.truths import Truth, procedural_truths
from panloom.data.virtual import Settings, VirtualSensors
from panloom.errors import OptionError
from panloom.optics import physical

#: An instrument without faults.
CLEAN = Settings(shift=(0.0, 0.0), haze=0.0, ms_noise=0.0, pan_noise=0.0, told=0.0, quantised=0.0)


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    drawn = procedural_truths(2, side=300)
    fine = torch.rand(1, 600, 600, generator=seed(9)) + 0.1
    return [*drawn, replace(drawn[0], name="with-pan", pan=fine, pan_ratio=2, phase=(0.5, 0.5))]


def seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def inner(x: torch.Tensor, margin: int) -> torch.Tensor:
    return x[..., margin:-margin, margin:-margin]


@pytest.mark.parametrize("number", range(12))
def test_a_clean_instrument_records_the_truth_through_its_optics(truths, number):
    example = VirtualSensors(truths, CLEAN)(seed(number))
    pair = example.pair
    assert pair.sensor is not None
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    seen = physical.degrade(example.truth, gains, pair.ratio, pair.phase)
    # Gains are clamped apart from each other, so only those inside both ranges are told exactly.
    torch.testing.assert_close(inner(seen, 6), inner(pair.ms, 6), rtol=0, atol=2e-5)
    exp = physical.interpolate(pair.ms, pair.ratio, pair.phase)
    torch.testing.assert_close(inner(exp, 7 * pair.ratio), inner(pair.exp, 7 * pair.ratio), rtol=0, atol=1e-5)


def test_the_same_state_gives_the_same_example_in_any_order(truths):
    source = VirtualSensors(truths)
    first = [source(seed(number)) for number in range(4)]
    again = [VirtualSensors(truths)(seed(number)) for number in (3, 2, 1, 0)][::-1]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.truth, other.truth)
        assert torch.equal(one.pair.pan, other.pair.pan)
        assert torch.equal(one.pair.ms, other.pair.ms)
        assert one.pair.phase == other.pair.phase


def test_all_ratios_and_numbers_of_bands_come_and_shapes_fit(truths):
    settings = Settings(batch=2)
    source, met = VirtualSensors(truths, settings), set()
    for number in range(120):
        example = source(seed(number))
        pair = example.pair
        side = {ratio: side for ratio, _, side in settings.ratios}[pair.ratio]
        assert pair.exp.shape == example.truth.shape == (2, pair.ms.shape[1], side, side)
        assert pair.pan.shape == pair.valid.shape == (2, 1, side, side)
        assert bool(pair.valid.all())
        assert bool(torch.isfinite(torch.cat([pair.pan.flatten(), pair.ms.flatten()])).all())
        assert all(-0.5 <= place < pair.ratio - 0.5 for place in pair.phase)
        met |= {("ratio", pair.ratio), ("bands", pair.ms.shape[1])}
    assert {value for kind, value in met if kind == "ratio"} == {2, 3, 4, 5, 6, 8}
    assert {value for kind, value in met if kind == "bands"} == {1, 2, 3, 4, 6, 8}


def test_pan_tells_of_the_truth(truths):
    source = VirtualSensors(truths, CLEAN)
    related = []
    for number in range(20):
        example = source(seed(number))
        values = torch.stack([example.pair.pan.flatten(), example.truth.mean(1).flatten()])
        related.append(float(torch.corrcoef(values)[0, 1]))
    assert sorted(related)[len(related) // 2] > 0.5


def test_sharpness_of_pan_does_not_follow_from_that_of_the_truth(truths):
    def finest(x: torch.Tensor) -> float:
        coarse = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 2), scale_factor=2)
        return float((x - coarse).std() / x.std())

    source, pairs = VirtualSensors(truths, CLEAN), []
    for number in range(30):
        example = source(seed(number))
        pairs.append(finest(example.pair.pan) / finest(example.truth[:, :1]))
    assert min(pairs) < 0.7
    assert max(pairs) > 1.3


@pytest.mark.parametrize("name", ["quickbird", "worldview-2"])
def test_an_imitation_has_the_facts_of_its_sensor(truths, name):
    known = sensors.get(name)
    sensor = replace(known, bands=tuple(band for band in known.bands if band.role == "sharpen"))
    source = VirtualSensors(truths, replace(CLEAN, sensor=sensor, odd=0.0, gamma=1.0))
    example = source(seed(1))
    assert example.pair.sensor == sensor
    assert example.pair.ratio == sensor.ratio
    gains = [band.mtf_nyquist for band in sensor.bands]
    seen = physical.degrade(example.truth, gains, sensor.ratio, example.pair.phase)
    torch.testing.assert_close(inner(seen, 6), inner(example.pair.ms, 6), rtol=0, atol=2e-5)


def test_a_small_truth_is_mirrored_on(truths):
    small = replace(truths[0], image=truths[0].image[:, :40, :23], valid=truths[0].valid[:40, :23])
    example = VirtualSensors([small])(seed(3))
    assert bool(torch.isfinite(example.truth).all())


def test_without_truths_there_is_nothing_to_see():
    with pytest.raises(OptionError, match="at least one image"):
        VirtualSensors([])
