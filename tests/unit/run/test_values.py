"""Scenes in other units than those that weights were adapted to are warned of, and no others."""

from __future__ import annotations

import re

import pytest
import torch

from panloom import sensors
from panloom.networks import SourceStatistics
from panloom.run._values import FACTOR, other_units, values_of
from panloom.scene import array_scene
from panloom.types import Window
from panloom.weights import Adapted, Card

HAD = SourceStatistics((0.1, 0.2, 0.3, 0.4), (0.02,) * 4, 0.2, 0.02)


def card(statistics: SourceStatistics | None = HAD) -> Card:
    made = Adapted("refit", ("a",), "quickbird", (0.3,) * 4, "0" * 64, statistics=statistics)
    return Card("pnn.x-refit", "MIT", bands=4, ratios=(4,), full_scale=2000.0, parent="pnn.x", adapted=made)


def scene(times: float = 1.0):
    draw = torch.Generator().manual_seed(0)
    ms = times * (torch.tensor(HAD.mean)[None, :, None, None] + 0.02 * torch.randn(1, 4, 40, 40, generator=draw))
    pan = times * torch.full((1, 1, 160, 160), 0.2)
    return array_scene(pan, ms, sensor=sensors.get("quickbird"), phase=(1.5, 1.5), full_scale=1.0)


def test_values_are_those_of_the_places():
    found = values_of(scene(), [Window(0, 0, 160, 160)])
    assert found is not None
    assert found.mean == pytest.approx(HAD.mean, abs=0.002)
    assert found.std == pytest.approx(HAD.std, rel=0.1)
    assert found.pan_mean == pytest.approx(0.2)


@pytest.mark.parametrize("times", [10.0, 0.1, 1.1 * FACTOR, 1 / (1.1 * FACTOR)])
def test_other_units_are_told_with_both_means(times):
    (text,) = other_units(card(), scene(times))
    here, there = map(float, re.findall(r"([\d.]+) here, and was ([\d.]+) where pnn\.x-refit", text)[0])
    assert (here, there) == (pytest.approx(500 * times, rel=0.01), 500)
    assert other_units(card(), scene(times), 1 / times) == []


@pytest.mark.parametrize("times", [1.0, 0.9 * FACTOR, 1 / (0.9 * FACTOR)])
def test_other_land_is_not_warned_of(times):
    assert other_units(card(), scene(times)) == []


def test_where_nothing_is_known_nothing_is_told():
    assert other_units(card(None), scene(10)) == []
    assert other_units(Card("pnn.x", "MIT"), scene(10)) == []
