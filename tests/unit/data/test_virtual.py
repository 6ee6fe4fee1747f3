"""Virtual sensors: what is recorded follows from the truth, exactly as far as the settings say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom import networks, sensors
from panloom.data._gaps import LEAST, grown, recorded_cells
from panloom.data.example import Example
from panloom.data.truths import Truth, procedural_truths
from panloom.data.virtual import Settings, VirtualSensors
from panloom.errors import OptionError
from panloom.optics import physical
from panloom.optics.continuation import extend
from panloom.train import Supervised

#: An instrument without faults.
CLEAN = Settings(
    shift=(0.0, 0.0),
    haze=0.0,
    ms_noise=0.0,
    recorded=(0.0, 0.0, 0.0),
    pan_noise=0.0,
    told=0.0,
    quantised=0.0,
    gaps=0.0,
)


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
        assert bool(pair.valid.any())
        assert bool(torch.isfinite(torch.cat([pair.pan.flatten(), pair.ms.flatten()])).all())
        assert all(-0.5 <= place < pair.ratio - 0.5 for place in pair.phase)
        met |= {("ratio", pair.ratio), ("bands", pair.ms.shape[1])}
    assert {value for kind, value in met if kind == "ratio"} == {2, 3, 4, 5, 6, 7, 8}
    assert {value for kind, value in met if kind == "bands"} == {1, 2, 3, 4, 6, 8}


# No data.


def with_and_without_gaps(truths: list[Truth], number: int) -> tuple[Example, Example]:
    """One draw, by an instrument that leaves gaps and by one that leaves none."""
    gappy, whole = (VirtualSensors(truths, Settings(gaps=share)) for share in (1.0, 0.0))
    return gappy(seed(number)), whole(seed(number))


def test_the_share_of_examples_with_gaps_is_that_of_the_settings(truths):
    small = tuple((ratio, share, 16 * ratio) for ratio, share, _ in Settings().ratios)
    source = VirtualSensors(truths, Settings(ratios=small))
    found = sum(not bool(source(seed(number)).pair.valid.all()) for number in range(200))
    # A few gaps lie in the margin that is cut off. Three deviations of a binomial number are 18 of 200.
    assert 32 <= found <= 68
    assert all(bool(VirtualSensors(truths, CLEAN)(seed(number)).pair.valid.all()) for number in range(20))


@pytest.mark.parametrize("number", range(10))
def test_gaps_change_nothing_where_something_was_recorded(truths, number):
    gappy, whole = with_and_without_gaps(truths, number)
    pair, same = gappy.pair, whole.pair
    assert torch.equal(gappy.truth, whole.truth)
    assert bool(same.valid.all())
    assert torch.equal(pair.pan[pair.valid], same.pan[pair.valid])
    # What stands in a gap is made of its surroundings: it is never by chance what was there.
    recorded = (pair.ms == same.ms).all(1, keepdim=True)
    assert bool(recorded.any())
    assert bool(torch.isfinite(torch.cat([x.flatten() for x in (pair.pan, pair.ms, pair.exp)])).all())
    beside, inside = grown(recorded, 1) & ~recorded, (..., slice(1, -1), slice(1, -1))
    continued = extend(same.ms, recorded.expand_as(same.ms), steps=1)
    assert torch.allclose((continued * beside)[inside], (pair.ms * beside)[inside], atol=1e-6)
    counted = torch.nn.functional.max_pool2d(pair.valid.float(), pair.ratio) > 0
    assert not bool((counted & ~grown(recorded, 1))[..., 1:-1, 1:-1].any())
    within = recorded.repeat_interleave(pair.ratio, -2).repeat_interleave(pair.ratio, -1)
    assert bool(pair.valid[within].all())


def test_an_objective_has_finite_slopes_beside_gaps(truths):
    net, objective = networks.build("universal", {"width": 4, "depth": 2, "maps": 8}), Supervised("relative", border=6)
    for number in range(6):
        example, _ = with_and_without_gaps(truths, number)
        slopes = torch.autograd.grad(objective(net, example, seed(0)), list(net.parameters()))
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes)


def test_recorded_cells_are_enough_of_them_and_follow_from_the_generator():
    shares = []
    for number in range(300):
        cells = recorded_cells(24 + number % 9, seed(number))
        assert torch.equal(cells, recorded_cells(24 + number % 9, seed(number)))
        shares.append(float(cells.float().mean()))
    assert min(shares) >= LEAST
    assert sum(share < 1 for share in shares) > 270
    assert min(shares) < 0.4 < 0.9 < max(shares)


def test_cells_grow_by_whole_steps_in_all_directions():
    cells = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    cells[..., 4, 4] = True
    assert torch.equal(grown(cells, 0), cells)
    assert int(grown(cells, 2).sum()) == 25
    assert bool(grown(cells, 2)[..., 2:7, 2:7].all())


@pytest.mark.parametrize("level", [0.1, 0.3])
def test_recorded_noise_is_white_and_as_large_as_was_drawn(truths, level):
    source = VirtualSensors(truths, replace(CLEAN, recorded=(level, level, 1.0)))
    found = []
    for number in range(24):
        example = source(seed(number))
        pair = example.pair
        assert pair.sensor is not None
        gains = [band.mtf_nyquist for band in pair.sensor.bands]
        noise = inner(pair.ms - physical.degrade(example.truth, gains, pair.ratio, pair.phase), 6)[0].flatten(1)
        deviation = (pair.ms - noise.mean())[0].flatten(1).std(1)
        found += (noise.std(1) / deviation).tolist()
        assert float(noise.mean(1).abs().max() / noise.std()) < 0.3
    # Noise itself is part of the deviation that is measured here, and bands differ.
    middle = float(torch.tensor(found).median())
    assert 0.6 * level < middle < 1.3 * level
    assert max(found) > 1.3 * middle


def test_recorded_noise_comes_as_often_as_the_settings_say(truths):
    quiet, often = CLEAN, replace(CLEAN, recorded=(0.2, 0.2, 0.5))
    differ = [
        not torch.equal(VirtualSensors(truths, quiet)(seed(k)).pair.ms, VirtualSensors(truths, often)(seed(k)).pair.ms)
        for k in range(60)
    ]
    assert 0.3 < sum(differ) / len(differ) < 0.7


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
