"""Another number of bands than a network works on: what helps is said, and it helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom import networks, sensors, weights
from panloom.run._bands import mapping, other_bands
from panloom.scene import array_scene
from panloom.weights import _store

FOUR = ("blue", "green", "red", "nir")
EIGHT = ("coastal", "blue", "green", "yellow", "red", "red-edge", "nir1", "nir2")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "SHIPPED", tmp_path / "nothing")
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "own"))


def keep(name: str, bands: tuple[str, ...] | int | None, **facts: object) -> str:
    network = name.partition(".")[0]
    count = bands if isinstance(bands, int) else len(bands or ())
    options = {"bands": count} if count else {"width": 4, "depth": 1, "maps": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.build(network, options)
    weights.save(net, weights.Card(name, "MIT", options=options, bands=bands, **facts))
    return name


def a_scene(bands: int = 4, sensor: str = "quickbird", ratio: int = 4):
    chosen = sensors.get(sensor)
    chosen = replace(chosen, bands=sensors.bands_for(chosen, bands) or sensors.generic_bands(bands))
    pan, ms = torch.rand(1, 1, 8 * ratio, 8 * ratio), torch.rand(1, bands, 8, 8)
    return array_scene(pan, ms, sensor=chosen, phase=(1.5, 1.5), full_scale=1.0)


def test_too_few_bands_are_answered_by_weights_that_fit():
    wide = keep("fusionnet.wide", EIGHT, ratios=(4,))
    keep("dicnn.four", FOUR, ratios=(4,))
    keep("dicnn.swapped", FOUR[::-1], ratios=(4,))
    keep("dicnn.other-ratio", FOUR, ratios=(2,))
    keep("dicnn.three", 3)
    keep("fusionnet.four", FOUR)
    keep("universal.any", None)
    told = other_bands(f"{wide}+refit", 8, a_scene())
    assert told == (
        f"fusionnet.wide+refit works on 8 bands ({', '.join(EIGHT)}), and this scene has 4: blue, green, red, nir; for "
        "these: fusionnet.four+refit, dicnn.four+refit, dicnn.swapped+refit (--bands nir,red,green,blue), "
        "universal.any+refit"
    )


def test_too_many_bands_are_chosen_from():
    few, scene = keep("dicnn.four", FOUR), a_scene(8, "worldview-3")
    assert "choose 4 of them: --bands blue,green,red,nir1; no weights here" in other_bands(few, 4, scene)
    assert "choose 3 of them with --bands" in other_bands(keep("dicnn.three", 3), 3, scene)


def test_bands_that_nobody_knows_are_numbered():
    card = weights.card(keep("dicnn.four", FOUR))
    assert mapping(card, a_scene(4, "generic")) in (None, "blue,green,red,nir")
    unknown = a_scene()
    unknown = replace(unknown, sensor=replace(unknown.sensor, bands=sensors.generic_bands(4)))
    assert mapping(card, unknown) == "1=blue,2=green,3=red,4=nir"


def test_many_weights_are_not_all_named():
    for k in range(6):
        keep(f"dicnn.n{k}", 4)
    assert "dicnn.n3 and 2 more (panloom weights list)" in other_bands(keep("fusionnet.x", 8), 8, a_scene())
