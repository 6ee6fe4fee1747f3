"""What open weights learn from: the instrument that is imitated, real pairs beside drawn ones, and the folder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_scenes import tiny_store

from panloom.data import procedural, truths
from panloom.data.virtual import VirtualSensors
from panloom.errors import OptionError, SceneError
from panloom.optics import physical
from panloom.train import for_any_sensor, imitated, imitation, instrument, virtual
from panloom.train.recipe import stream


def inner(x: torch.Tensor) -> torch.Tensor:
    return x[..., 8:-8, 8:-8]


@pytest.mark.parametrize("name", ["worldview-3", "quickbird"])
@pytest.mark.parametrize("number", range(3))
def test_pan_of_an_instrument_is_as_sharp_as_its_data_sheet_says_within_a_quarter(name, number):
    """Of one without faults, PAN is a mix of the bands through an MTF, whose gain is looked for."""
    faultless = replace(
        instrument(name),
        batch=1,
        leaves=0.5,
        truth_gain=(0.2, 0.5, 0.0),
        gamma=1.0,
        shift=(0.0, 0.0),
        haze=0.0,
        ms_noise=0.0,
        pan_noise=0.0,
        quantised=0.0,
        gaps=0.0,
        odd=0.0,
    )
    example = VirtualSensors(truths.procedural_truths(1, side=256), faultless)(stream(0, "test", number))
    sensor = imitated(name)
    weights = torch.tensor(procedural.pan_weights(sensor))
    mix = torch.einsum("c,bchw->bhw", weights / weights.sum(), example.truth)[:, None]
    gains = [k / 200 for k in range(10, 80)]
    errors = [float((inner(physical.degrade(mix, [g], 1, (0, 0)) - example.pair.pan)).square().mean()) for g in gains]
    found = gains[errors.index(min(errors))]
    assert min(errors) < 2e-3 * max(errors)
    known = sensor.pan.mtf_nyquist
    assert 0.8 * known - 0.005 <= found <= 1.25 * known + 0.005


def test_an_instrument_is_nearly_linear_and_well_registered():
    told = instrument("worldview-2")
    assert told.sensor == imitated("worldview-2")
    assert (told.gamma, told.shift, told.batch) == (1.1, (0.15, 0.6), 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("store"))


def test_a_fifth_of_the_examples_for_any_sensor_are_real_pairs_in_both_forms(store, monkeypatch):
    few = truths.procedural_truths(1, side=256)
    monkeypatch.setattr(virtual, "procedural_truths", lambda count: few)
    made = for_any_sensor("open", {}, store, (), None, steps=2)
    sensors = [made.draw(k).pair for k in range(60)]
    real = [pair for pair in sensors if pair.sensor is not None and pair.sensor.name == "landsat-7"]
    assert len(real) / 60 == pytest.approx(virtual.REAL, abs=0.16)
    assert {pair.phase for pair in real} == {(0.5, 0.5), (1.0, 1.0)}


@pytest.mark.parametrize("what", ["universal", "imitation"])
def test_a_recipe_without_its_data_says_where_they_are_described(what, tmp_path):
    def made(data):
        if what == "universal":
            return for_any_sensor("open", {}, data, (), None, steps=2)
        return imitation("pannet", "quickbird", "qb-open", data)

    with pytest.raises(OptionError, match=r"give it with --data; docs/data\.md"):
        made(None)
    (tmp_path / "else.txt").write_text("something else")
    with pytest.raises(SceneError, match=r"docs/data\.md"):
        made(tmp_path)
