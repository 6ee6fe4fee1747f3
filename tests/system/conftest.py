"""Scenes that several system tests look at; made once."""

from __future__ import annotations

import pytest
import torch
from system_tools import Files, scene_files

from panloom.optics.registration import Shift
from panloom.run import sharpen as engine
from panloom.scene import opening


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """200 x 180 PAN pixels, four bands, ratio 4, a wedge without data. Nobody may change it."""
    return scene_files(tmp_path_factory.mktemp("small"), sensor="worldview-3", bands=4, seed=3)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The same without the wedge: every pixel is valid."""
    return scene_files(tmp_path_factory.mktemp("whole"), sensor="worldview-3", bands=4, seed=3, wedge=False)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A scene of 4 x 4 tiles of 64, with a wedge. Nobody may change it."""
    return scene_files(tmp_path_factory.mktemp("many"), 256, 240, sensor="worldview-3", bands=4, seed=8)


@pytest.fixture
def tiles_of_64(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small scenes have many tiles."""
    monkeypatch.setattr(engine, "tile_size", lambda ratio, multiple=1: 64)


@pytest.fixture(autouse=True, scope="session")
def _one_thread_of_torch() -> None:
    """Small tensors gain nothing from threads, and several test processes would fight over the processors."""
    torch.set_num_threads(1)


@pytest.fixture
def no_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offset of MS is not measured, which takes a third of the time of a small scene."""
    monkeypatch.setattr(opening, "misregistration", lambda scene: Shift(0.0, 0.0, 0.0, 0, 0.0))
