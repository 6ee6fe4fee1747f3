"""What the tests of weights share: a small network with random weights, and its card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from panloom import networks, weights
from panloom.networks import Network, SourceStatistics
from panloom.weights import _store

SOURCE = SourceStatistics((0.2, 0.25, 0.3), (0.05, 0.06, 0.07), 0.27, 0.08)


def small_network(bands: int = 3, seed: int = 0) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks.build("fusionnet", {"bands": bands})


def small_card(name: str = "fusionnet.test", **facts: object) -> weights.Card:
    return weights.Card(name, **{"licence": "Apache-2.0", "options": {"bands": 3}, "bands": 3, **facts})


def full_card() -> weights.Card:
    """Something in every field, with what is hard to write."""
    return small_card(
        licence='Line "one"\r\nline \\two\t\x7f\n\n"""\nlast ü',
        bands=("red", "green", "nir-1"),
        ratios=(2, 4),
        full_scale=2047.0,
        data="Landsat-8; drawn",
        recipe="recipes/fusionnet.py",
        commit="abc123",
        seconds=1500.5,
        hardware="2 cores",
        parent="fusionnet.open",
        limits="no clouds",
        note="a note",
        cite=("deng2021", "A. Person, 1999"),
        dtype="bfloat16",
        sha256="0" * 64,
        source=SOURCE,
        scores=(
            weights.Score("wald-toolbox", "val", "ergas", 0.8, "the best"),
            weights.Score("full", "val", "hqnr", 1),
        ),
    )


def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of weights, one for each test; it does not exist yet. Nothing comes with the package."""
    monkeypatch.setattr(_store, "SHIPPED", tmp_path / "nothing")
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "own"))
    return tmp_path / "own"
