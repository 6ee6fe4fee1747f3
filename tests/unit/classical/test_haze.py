"""Haze values: exact low percentiles of valid pixels, whatever the blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from panloom import sensors
from panloom.classical import _statistics as statistics
from panloom.classical.bt_h import BtH
from panloom.errors import SceneError
from panloom.scene import array_scene
from panloom.types import Tile, Window

F64 = torch.float64


def images(bands: int = 4, cells: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(1, bands + 1, 2 * cells, 2 * cells, generator=rng, dtype=F64) + 0.2
    return noise[:, :1], noise[:, 1:, ::2, ::2].contiguous()


def scene(pan, ms, names=("blue", "green", "red", "nir"), **valid):
    generic = sensors.get("generic")
    made = sensors.generic_bands(ms.shape[1])
    bands = tuple(replace(b, name=n) for b, n in zip(made, names, strict=True)) if names else made
    return array_scene(pan, ms, sensor=replace(generic, bands=bands, ratio=2), phase=(0.5, 0.5), **valid)


def haze(scene) -> torch.Tensor:
    return statistics.survey_and_haze(scene)[1]


def hazen(values: torch.Tensor, p: float) -> np.ndarray:
    return np.percentile(values[0].flatten(1).numpy(), p, axis=1, method="hazen")


def test_four_bands_are_known_by_name():
    pan, ms = images()
    first = hazen(ms, 1.0)
    np.testing.assert_allclose(haze(scene(pan, ms)), first * [0.95, 0.45, 0.40, 0.05])
    turned = scene(pan, ms, ("nir", "red", "green", "blue"))
    np.testing.assert_allclose(haze(turned), first * [0.05, 0.40, 0.45, 0.95])


@pytest.mark.parametrize(("bands", "names"), [(4, ("blue", "green", "red", "swir1")), (3, None), (1, None)])
def test_other_bands_have_a_robust_minimum(bands, names):
    pan, ms = images(bands)
    np.testing.assert_allclose(haze(scene(pan, ms, names)), hazen(ms, 0.1))


def test_only_valid_pixels_count():
    pan, ms = images()
    valid = torch.ones_like(ms, dtype=torch.bool)
    valid[..., 7:12, 3:9] = False
    dark = torch.where(valid, ms, -5.0)
    values = ms[:, :, valid[0, 0]][:, :, None]
    found = haze(scene(pan, dark, ms_valid=valid))
    np.testing.assert_allclose(found, hazen(values, 1.0) * [0.95, 0.45, 0.40, 0.05])
    with pytest.raises(SceneError, match="no pixel is valid"):
        haze(scene(pan, ms, ms_valid=torch.zeros_like(valid)))


def test_huge_scenes_are_thinned_evenly(monkeypatch):
    pan, ms = images(cells=300)
    exact = haze(scene(pan, ms))
    monkeypatch.setattr(statistics, "HAZE_PIXELS", 9000)
    thinned = haze(scene(pan, ms))
    assert not torch.equal(exact, thinned)
    torch.testing.assert_close(thinned, exact, rtol=0.02, atol=0)


def test_the_toolbox_goes_by_place():
    _, ms = images()
    np.testing.assert_allclose(statistics.toolbox_haze(ms), hazen(ms, 1.0) * [0.95, 0.45, 0.40, 0.05])
    assert torch.equal(statistics.toolbox_haze(ms[:, :3]), ms[:, :3].amin((0, 2, 3)))


def test_bt_h_keeps_pixels_darker_than_haze():
    pan, ms = images()
    made = scene(pan, ms)
    fuser = BtH().prepare(made, torch.Generator())
    pair = made.read(Tile(0, Window(0, 0, 60, 60), Window(0, 0, 30, 30)))
    exp = pair.exp.clone()
    exp[..., 5:9, 5:9] = 0.0
    fused = fuser(replace(pair, exp=exp))
    assert torch.equal(fused[..., 5:9, 5:9], exp[..., 5:9, 5:9])
