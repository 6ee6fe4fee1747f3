"""A network of one layer, and data that it can learn from: training is quick enough to be tested step by step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Generator, nn
from torch.nn import functional

from panloom.data.example import Example
from panloom.networks import Network, _registry
from panloom.pair import Pair
from panloom.train import Adam, Cosine, Recipe, Supervised
from panloom.types import Traits


class Toy(Network):
    """EXP plus one convolution of EXP and PAN, and a weight that nothing uses."""

    def __init__(self, bands: int = 2) -> None:
        super().__init__()
        self.channels = 4
        self.body, self.last = nn.Conv2d(bands + 1, 4, 3, padding=1), nn.Conv2d(4, bands, 1)
        self.idle = nn.Parameter(torch.ones(2))

    @property
    def traits(self) -> Traits:
        return Traits(halo=1)

    def features(self, pair):
        return self.body(self.cast(torch.cat([pair.exp, pair.pan], 1))).relu()

    def head(self, features, pair):
        return pair.exp + self.last(features).to(pair.exp.dtype)


@pytest.fixture(autouse=True)
def toy_in_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the modules that name this fixture: the registry has the toy network while a test runs, and not after."""
    monkeypatch.setitem(_registry._NETWORKS, "toy", Toy)


def waves(rng: Generator) -> Example:
    """Smooth noise, and the same blurred."""
    truth = functional.avg_pool2d(torch.rand(2, 2, 20, 20, generator=rng), 5, 1)
    ms = functional.avg_pool2d(truth, 4)
    exp = functional.interpolate(ms, scale_factor=4, mode="bilinear")
    pair = Pair(truth.mean(1, keepdim=True), ms, exp, torch.ones(2, 1, 16, 16, dtype=torch.bool), (1.5, 1.5))
    return Example(pair, truth)


def recipe(**changes) -> Recipe:
    """Six steps on one thread's worth of data."""
    settings = {
        "network": "toy",
        "options": {"bands": 2},
        "source": waves,
        "objective": Supervised("l1"),
        "steps": 6,
        "optimizer": Adam(1e-2, weight_decay=1e-3),
        "schedule": Cosine(warmup=2, final=0.1),
        "clip": 0.5,
        "ema": 0.9,
    }
    return Recipe(**(settings | changes))


def log(folder: Path) -> list[dict]:
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    clock = ("seconds", "images_per_s", "samples_per_s")
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]
