"""Pairs in memory for the tests of scoring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from panloom import sensors
from panloom.data import procedural
from panloom.data.pairs import Recorded
from panloom.errors import MethodError
from panloom.types import Traits, corner_phase


def pair(height: int = 256, width: int = 240, **changes: Any) -> Recorded:
    """A procedural scene of four bands as a pair, all of it valid; `changes` are fields of `Recorded`."""
    made = procedural.make(height, width, sensor="worldview-3", bands=4, seed=3, wedge=False)
    ms = torch.from_numpy(made.ms.astype("float64"))[None]
    pan = torch.from_numpy(made.pan.astype("float64"))[None, None, : 4 * ms.shape[-2], : 4 * ms.shape[-1]]
    found = Recorded(
        name="made",
        group=made.sensor.name,
        sensor=made.sensor,
        pan=pan,
        ms=ms,
        truth=None,
        phase=made.phase,
        ratio=4,
        full_scale=2047.0,
        pan_valid=torch.ones_like(pan, dtype=torch.bool),
        ms_valid=torch.ones_like(ms[:, :1], dtype=torch.bool),
    )
    return replace(found, **changes)


def noisy(ratio: int = 4, size: int = 32, bands: int = 3, **changes: Any) -> Recorded:
    """Noise of an unknown sensor at any ratio."""
    rng = torch.Generator().manual_seed(1)
    ms = 100 + 900 * torch.rand((1, bands, size, size), dtype=torch.float64, generator=rng)
    pan = 100 + 900 * torch.rand((1, 1, ratio * size, ratio * size), dtype=torch.float64, generator=rng)
    corner = corner_phase(ratio)
    found = Recorded(
        name="noise",
        group="generic",
        sensor=replace(sensors.get("generic"), bands=sensors.generic_bands(bands), ratio=ratio),
        pan=pan,
        ms=ms,
        truth=None,
        phase=(corner, corner),
        ratio=ratio,
        full_scale=1023.0,
        pan_valid=torch.ones_like(pan, dtype=torch.bool),
        ms_valid=torch.ones_like(ms[:, :1], dtype=torch.bool),
    )
    return replace(found, **changes)


def pair_files(folder: Path, *names: str, seed: int = 0, size: int = 20) -> None:
    """Small pairs as .npz files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, seed):
        rng = np.random.default_rng(number)
        ms = rng.integers(100, 900, (size, size, 3)).astype("uint16")
        pan = np.kron(ms.mean(-1), np.ones((4, 4))) + rng.integers(0, 99, (4 * size, 4 * size))
        np.savez(folder / f"{name}.npz", pan=pan.astype("uint16"), ms=ms)


class Stub:
    """A method that does what a test needs."""

    traits = Traits()

    def __init__(self, answer: Any = None, error: Exception | None = None) -> None:
        self._answer, self._error = answer or (lambda pair: pair.exp), error

    def prepare(self, scene: Any, rng: torch.Generator) -> Stub:
        if self._error is not None:
            raise self._error
        return self

    def __call__(self, pair: Any) -> torch.Tensor:
        return self._answer(pair)


FAILS = Stub(error=MethodError("this method\n needs   more light"))
