"""The objective of weights that are made to be fitted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import train_tools
from train_tools import Toy, waves

from panloom import losses, networks, sensors
from panloom.adapt._through import Terms, fitted
from panloom.data.example import Example
from panloom.errors import OptionError
from panloom.networks.universal import Universal
from panloom.train._refitted import Refitted
from panloom.train.recipe import stream

registered = train_tools.toy_in_registry


def universal() -> Universal:
    torch.manual_seed(3)
    made = networks.build("universal", {"width": 6, "depth": 2, "maps": 8})
    assert isinstance(made, Universal)
    return made


def example() -> Example:
    bands = tuple(replace(band, mtf_nyquist=0.3) for band in sensors.generic_bands(2))
    sensor = replace(sensors.get("generic"), bands=bands, ratio=4)
    small = waves(stream(0, "test"))
    pair = small.pair
    # Larger, so that the pair can be degraded once more and leaves enough to fit to.
    pan, ms, exp, truth = (x.repeat(1, 1, 4, 4) for x in (pair.pan, pair.ms, pair.exp, small.truth))
    return Example(replace(pair, pan=pan, ms=ms, exp=exp, valid=pair.valid.repeat(1, 1, 4, 4), sensor=sensor), truth)


def part(batch: Example, number: int) -> Example:
    pair, one = batch.pair, slice(number, number + 1)
    alone = replace(pair, pan=pair.pan[one], ms=pair.ms[one], exp=pair.exp[one], valid=pair.valid[one])
    return Example(alone, batch.truth[one])


def test_the_error_is_that_of_the_fitted_network_and_a_part_of_that_of_the_network_alone():
    net, batch = universal(), part(example(), 0)
    assert batch.pair.sensor is not None
    plain, own = fitted(net, batch.pair, batch.pair.sensor, Terms())
    assert own is not plain
    inner = (..., slice(3, -3), slice(3, -3))
    truth, exp, valid = batch.truth[inner], batch.pair.exp[inner], batch.pair.valid[inner]
    expected = losses.relative(own[inner], truth, exp, valid) + 0.5 * losses.relative(plain[inner], truth, exp, valid)
    found = Refitted(plain=0.5, border=3)(net, batch, stream(0, "objective"))
    torch.testing.assert_close(found, expected)


def test_images_of_a_batch_are_fitted_to_each_by_itself():
    net, both = universal(), example()
    assert len(both.truth) == 2
    alone = [Refitted()(net, part(both, k), stream(0, "objective")) for k in range(2)]
    torch.testing.assert_close(Refitted()(net, both, stream(0, "objective")), (alone[0] + alone[1]) / 2)


def test_the_border_may_count():
    assert Refitted(border=0)(universal(), example(), stream(0, "objective")).isfinite()


def test_every_weight_has_a_finite_slope_also_where_nothing_is_valid():
    net, batch = universal(), example()
    nothing = replace(batch, pair=replace(batch.pair, valid=torch.zeros_like(batch.pair.valid)))
    for one in (batch, nothing):
        loss = Refitted()(net, one, stream(0, "objective"))
        slopes = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        assert all(slope is not None and bool(slope.isfinite().all()) for slope in slopes)


def test_layers_may_run_in_a_short_type():
    net = universal().to(torch.bfloat16)
    exact = Refitted()(universal(), example(), stream(0, "objective"))
    loss = Refitted()(net, example(), stream(0, "objective"))
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=0.05)


@pytest.mark.parametrize("what", ["network", "sensor"])
def test_other_networks_and_unknown_sensors_are_refused(what):
    if what == "network":
        with pytest.raises(OptionError, match="given: toy and generic"):
            Refitted()(Toy(), example(), stream(0, "objective"))
        return
    batch = example()
    with pytest.raises(OptionError, match="given: universal and no sensor"):
        Refitted()(universal(), replace(batch, pair=replace(batch.pair, sensor=None)), stream(0, "objective"))
