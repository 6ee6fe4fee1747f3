"""What an adapter learned is kept, and used on the same scene and on others."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import pytest
import safetensors.torch
import torch
from tailor_tools import F32, F64, PerBand, Shared, close, land, rng, whole, with_source

from panloom import adapt
from panloom.adapt import Applied, Keeper
from panloom.adapt.tailor import FORMS
from panloom.errors import MethodError
from panloom.optics.physical import REACH
from panloom.pair import Fuser
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, trim
from panloom.types import Traits, Window

ADAPTERS = ["refit", "tailor", "cat", "swift"]
#: Every adapter, and every form of the module.
KINDS = [
    *((name, network, {}) for name in ADAPTERS for network in ("shared", "valid", "per-band")),
    *(("tailor", "shared", {"form": form}) for form in FORMS),
]
EVERY_KIND = pytest.mark.parametrize(
    ("name", "network", "options"), KINDS, ids=["-".join((a, b, *map(str, c.values()))) for a, b, c in KINDS]
)
EVERY_NETWORK = pytest.mark.parametrize("network", ["shared", "per-band"])
EVERY_ADAPTER = pytest.mark.parametrize("name", ADAPTERS)


class ScaledBands(PerBand):
    """Features in units of each band's deviation in the scene."""

    def prepare(self, scene, rng):
        ready = super().prepare(scene, rng)
        pair = whole(scene)
        ready.deviation, ready.mean = pair.ms.std((2, 3), keepdim=True), pair.ms.mean((2, 3), keepdim=True)
        ready.pan_mean, ready.pan_deviation = pair.pan.mean(), pair.pan.std()
        return ready

    def features(self, pair):
        seen = replace(
            pair, exp=(pair.exp - self.mean) / self.deviation, pan=(pair.pan - self.pan_mean) / self.pan_deviation
        )
        return super().features(seen)

    def head(self, features, pair):
        residual = torch.einsum("nfhw,f->nhw", features, self.weights).unflatten(0, pair.ms.shape[:2])
        return pair.exp + 0.3 * self.deviation * residual.to(pair.exp.dtype)


NETWORKS = {
    "shared": lambda: with_source(Shared()),
    "plain": Shared,
    "valid": lambda: Shared(valid=True),
    "per-band": PerBand,
    "scaled": ScaledBands,
}


def fitted(name: str, network: str, scene: Scene | None = None, **options: object) -> Keeper:
    return _on_land(name, network, **options) if scene is None else _fitted(name, network, scene, **options)


def _fitted(name: str, network: str, scene: Scene, **options: object) -> Keeper:
    ready = adapt.get(name)(NETWORKS[network](), **{"gate": 9.0, **options}).prepare(scene, rng())
    assert isinstance(ready, Keeper)
    return ready


@lru_cache(maxsize=64)
def _on_land(name: str, network: str, **options: object) -> Keeper:
    return _fitted(name, network, land(), **options)


def kept(name: str, network: str, scene: Scene | None = None, **options: object) -> Applied:
    """As it comes out of a file, around a network that was made anew."""
    learned = fitted(name, network, scene, **options).learned(scene or land())
    tensors = {key: tensor.contiguous() for key, tensor in learned.tensors.items()}
    tensors = safetensors.torch.load(safetensors.torch.save(tensors))
    fresh = NETWORKS[network]()
    fresh.load_state_dict(learned.network.state_dict())
    return Applied(adapt.get(name)(fresh, **{"gate": 9.0, **options}), tensors, 4, 4)


def mosaic(fuser: Fuser, scene: Scene, size: int) -> torch.Tensor:
    grid = scene.grid
    out = torch.full_like(whole(scene).exp, torch.nan)
    for tile in plan(grid, fuser.traits, size):
        rows, cols = tile.core.inside(Window(0, 0, grid.height, grid.width))
        out[..., rows, cols] = trim(fuser(scene.read(tile)), tile, grid.ratio)
    return out


def part(scene: Scene, cells: Window) -> Scene:
    pair = whole(scene)
    rows, cols = cells.inside(Window(0, 0, 0, 0))
    fine_rows, fine_cols = cells.scaled(scene.grid.ratio).inside(Window(0, 0, 0, 0))
    pan, ms = pair.pan[..., fine_rows, fine_cols], pair.ms[..., rows, cols]
    return array_scene(pan, ms, sensor=scene.sensor, phase=scene.grid.phase)


def times(scene: Scene, gain: float) -> Scene:
    pair = whole(scene)
    return array_scene(gain * pair.pan, gain * pair.ms, sensor=scene.sensor, phase=scene.grid.phase)


# ---- on the scene that it was learned on ---------------------------------------------------------


@EVERY_KIND
def test_on_its_own_scene_it_is_the_adapter_bit_for_bit(name, network, options):
    scene = land()
    ready = fitted(name, network, **options)
    again = kept(name, network, **options).prepare(scene, rng(7))
    assert ready.report.decision == "adapted"
    fused = again(whole(scene))
    assert torch.equal(fused, ready(whole(scene)))
    assert not fused.requires_grad
    assert again.traits == replace(ready.traits, ratios=(4,), bands=4)


@EVERY_ADAPTER
@EVERY_NETWORK
def test_the_frozen_output_is_kept_as_such(name, network):
    scene = land()
    ready = fitted(name, network, gate=0.0)
    again = kept(name, network, gate=0.0).prepare(scene, rng())
    assert ready.report.decision == "frozen"
    assert torch.equal(again(whole(scene)), ready(whole(scene)))


@EVERY_ADAPTER
def test_in_double_precision_too(name):
    scene = land(dtype=F64)
    ready = adapt.get(name)(Shared().double(), gate=9.0).prepare(scene, rng())
    learned = ready.learned(scene)
    again = Applied(adapt.get(name)(learned.network), learned.tensors, 4, 4).prepare(scene, rng())
    assert torch.equal(again(whole(scene)), ready(whole(scene)))


def test_a_band_that_stayed_as_it_was_stays_so():
    pair = whole(land())
    ms = pair.ms.clone()
    ms[:, 2] = 0.25
    scene = array_scene(pair.pan, ms, sensor=land().sensor, phase=land().grid.phase)
    with pytest.warns(UserWarning, match="constant bands"):
        ready, again = fitted("tailor", "plain", scene), kept("tailor", "plain", scene)
    assert torch.equal(again.prepare(scene, rng())(whole(scene)), ready(whole(scene)))


# ---- on others -----------------------------------------------------------------------------------


@EVERY_ADAPTER
@EVERY_NETWORK
def test_tiles_equal_the_whole_on_another_scene(name, network):
    other = land(cells=48, phase=(0.5, 2.25))
    ready = kept(name, network).prepare(other, rng())
    for size in (48, 72):
        close(mosaic(ready, other, size), ready(whole(other)), 1e-5)


@EVERY_ADAPTER
def test_the_parts_of_a_mosaic_have_no_seam(name):
    scene, applied = land(cells=56), kept(name, "shared")
    left, right = Window(0, 0, 56, 46), Window(0, 12, 56, 47)
    images = [applied.prepare(part(scene, cells), rng())(whole(part(scene, cells))) for cells in (left, right)]
    # Where neither looks beyond its rim the same land is the same image.
    margin = applied.prepare(scene, rng()).traits.halo + REACH
    low, high = 12 + margin, 46 - margin
    assert high > low
    close(images[0][..., 4 * low : 4 * high], images[1][..., 4 * (low - 12) : 4 * (high - 12)], 1e-6)


@EVERY_ADAPTER
def test_a_network_that_finds_the_scale_itself_finds_it_for_the_fit_too(name):
    scene, applied = land(), kept(name, "scaled")
    image, other = applied.prepare(scene, rng())(whole(scene)), times(scene, 3.0)
    close(applied.prepare(other, rng())(whole(other)) / 3, image, 1e-5)


def test_the_scene_may_be_any_until_it_is_prepared():
    applied = kept("refit", "plain")
    with pytest.raises(MethodError, match="prepare"):
        applied(whole(land()))
    assert applied.prepare(land(), rng()).prepare(land(cells=48), rng()).traits.bands == 4


def test_the_report_is_in_the_card():
    ready = kept("refit", "plain").prepare(land(), rng())
    with pytest.raises(MethodError, match="its card tells"):
        _ = ready.adapter.report


# ---- what does not fit ---------------------------------------------------------------------------


@EVERY_ADAPTER
def test_foreign_tensors_are_refused(name):
    applied = kept(name, "shared")
    with pytest.raises(MethodError, match="does not know"):
        replace(applied, tensors={**applied.tensors, "else": torch.zeros(1)}).prepare(land(), rng())
    with pytest.raises(MethodError, match=r"must be \(4,\)"):
        replace(applied, tensors={**applied.tensors, "bridge.gain": torch.ones(3)}).prepare(land(), rng())


def test_a_module_with_a_part_missing_is_refused():
    applied = kept("tailor", "plain")
    less = {key: tensor for key, tensor in applied.tensors.items() if key != "module.bias"}
    with pytest.raises(MethodError, match=r"lacks module\.bias"):
        replace(applied, tensors=less).prepare(land(), rng())


def test_nothing_but_numbers_is_kept():
    learned = fitted("refit", "shared").learned(land())
    assert json.dumps(sorted(learned.tensors))
    assert all(tensor.dtype in (F32, F64, torch.int64) for tensor in learned.tensors.values())
    assert isinstance(learned.network.traits, Traits)


def test_adapters_without_a_fit_keep_nothing():
    assert not isinstance(adapt.get("project")(Shared()), Keeper)
