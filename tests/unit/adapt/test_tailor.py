"""The iterated tailor: its laws, and what it does with scenes that give little to learn from."""

from __future__ import annotations

import copy
import json
import warnings
from dataclasses import asdict, replace

import pytest
import torch
from tailor_tools import F32, F64, PerBand, Shared, close, land, masked, rng, whole, with_source
from torch import nn

from panloom import adapt, networks, sensors
from panloom.adapt import _iterate, _module, _patches
from panloom.adapt._base import Base
from panloom.adapt._module import Moments, Shift, Tailor
from panloom.adapt._patches import held_back
from panloom.adapt._selection import CHOICES
from panloom.adapt._tailoring import LOSSES, STEPS
from panloom.adapt.tailor import FORMS, FeatureTailor
from panloom.compute import converted
from panloom.errors import MethodError, OptionError, PanloomWarning
from panloom.networks import Network
from panloom.pair import Pair
from panloom.run.resolve import options_of
from panloom.scene import array_scene
from panloom.tiling import plan, trim
from panloom.types import Tile, Window

EVERY_FORM = pytest.mark.parametrize("form", FORMS)
NETWORKS = {"shared": Shared, "valid": lambda: Shared(valid=True), "per-band": PerBand}
#: Every form on one network, and the default one on every network.
PAIRS = pytest.mark.parametrize(
    ("network", "form"), [*(("shared", form) for form in FORMS), ("valid", "wlin"), ("per-band", "wlin")]
)
EVERY_NETWORK = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def tailored(network: Network, scene=None, seed: int = 0, **options) -> FeatureTailor:
    return FeatureTailor(network, **options).prepare(scene or land(), rng(seed))


# ---- identity, what is frozen, determinism -------------------------------------------------------


@PAIRS
def test_no_steps_are_the_identity_bit_for_bit(network, form):
    network = NETWORKS[network]()
    fitted, pair = tailored(network, form=form, steps=0, gate=9.0), whole(land())
    assert fitted.report.decision == "adapted"
    assert fitted.report.validated == 1
    with torch.no_grad():
        assert torch.equal(fitted(pair), network(pair))


@EVERY_FORM
def test_source_and_frozen_parts_are_unchanged_bit_for_bit(form):
    network = with_source(Shared())
    before = copy.deepcopy(network.state_dict())
    fitted = tailored(network, form=form, steps=4, gate=9.0)
    used = fitted.fitted.base.network
    assert used is not None
    for state in (network.state_dict(), used.state_dict()):
        assert all(torch.equal(state[key], before[key]) for key in before)
    assert all(p.requires_grad for p in network.parameters())
    assert network.training


@EVERY_FORM
def test_the_seed_decides_everything(form):
    pair = whole(land())
    one, same = (tailored(Shared(), form=form, steps=6, gate=9.0, seed=2) for _ in range(2))
    assert torch.equal(one(pair), same(pair))
    assert one.report.curve == same.report.curve


@PAIRS
def test_the_loss_falls_and_the_best_is_used(network, form):
    report = tailored(NETWORKS[network](), form=form, gate=9.0).report
    assert len(report.curve) == STEPS["fast"] + 1
    assert report.curve[report.best] == min(report.curve)
    assert report.curve[report.best] < 0.9 * report.curve[0]
    for before, after in report.terms.values():
        assert after < before


def test_parameters_are_those_of_the_specification():
    def count(form: str, channels: int) -> int:
        return sum(p.numel() for p in FORMS[form].body(channels, rng()).parameters())

    assert [count("res", c) for c in (32, 64)] == [2432, 8960]
    assert count("aff", 32) == 64
    assert count("wlin", 32) == 32 * 33
    assert tailored(Shared(), gate=9.0).report.parameters == 6 * 7


# ---- the image -----------------------------------------------------------------------------------


@EVERY_FORM
@pytest.mark.parametrize(("ratio", "phase"), [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))])
def test_tiles_equal_the_whole(form, ratio, phase):
    scene = land(ratio=ratio, phase=phase, dtype=F64)
    fitted = tailored(Shared().double(), scene, form=form, gate=9.0, steps=5)
    expected = fitted(whole(scene))
    for tile in plan(scene.grid, fitted.traits, 12 * ratio):
        part = trim(fitted(scene.read(tile)), tile, ratio)
        close(part, expected[(..., *tile.core.inside(Window(0, 0, 0, 0)))], 1e-10)


@pytest.mark.parametrize("form", [name for name in FORMS if FORMS[name].body.affine])
def test_an_affine_tailor_folds_into_one_layer(form):
    features = torch.randn(2, 6, 9, 8, generator=rng(), dtype=F64) * 3 + 1
    kind = FORMS[form]
    module = Tailor(Moments.of([features], F64), kind.body(6, rng()), whiten=kind.whiten)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=rng(1)))
        folded = module.folded()
        assert isinstance(folded, Shift)
        close(folded(features), module(features), 1e-10)


def test_whitened_channels_are_uncorrelated_and_dead_ones_stay_small(monkeypatch):
    monkeypatch.setattr(_module, "WHITE", 1e-4)
    mix = torch.randn(5, 5, generator=rng(), dtype=F64)
    features = torch.einsum("ij,njhw->nihw", mix, torch.randn(2, 5, 40, 40, generator=rng(1), dtype=F64)) + 7
    features = torch.cat([features, torch.full_like(features[:, :1], 3.0)], 1)
    module = Tailor(Moments.of([features], F64), FORMS["wlin"].body(6, rng()), whiten=True)
    inner = module.enter(features).transpose(0, 1).flatten(1)
    close(torch.cov(inner, correction=0)[:5, :5], torch.eye(5, dtype=F64), 0.02)
    assert float(inner[5].abs().max()) < 1e-6
    monkeypatch.setattr(_module, "WHITE", 1e4)
    scaled = Moments.of([features], F64).whitening
    close(scaled / scaled[0, 0], torch.eye(6, dtype=F64), 1e-3)
    assert float(module.std[5]) == pytest.approx(0.05 * float(features.std((0, 2, 3), correction=0).mean()), rel=1e-6)


@pytest.mark.parametrize("form", ["wlin", "res"])
def test_reduced_precision_is_near(form):
    fitted, pair = tailored(with_source(Shared()), form=form, gate=9.0), whole(land())
    half = converted(fitted, torch.bfloat16, torch.device("cpu"))
    with torch.no_grad():
        exact, rough = fitted(pair), half(pair)
    assert rough.dtype == F32
    assert 0 < float((rough - exact).square().mean().sqrt()) < 0.01


def test_a_constant_band_keeps_the_frozen_output():
    scene = land()
    pair = whole(scene)
    ms = pair.ms.clone()
    ms[:, 1] = 0.25
    scene, network = array_scene(pair.pan, ms, sensor=scene.sensor, phase=scene.grid.phase), Shared()
    with pytest.warns(PanloomWarning, match=f"constant bands.*{scene.sensor.bands[1].name}"):
        fitted = tailored(network, scene, gate=9.0)
    assert fitted.report.unfitted == (scene.sensor.bands[1].name,)
    with torch.no_grad():
        fused, frozen = fitted(whole(scene)), network(whole(scene))
    assert torch.equal(fused[:, 1], frozen[:, 1])
    assert not torch.equal(fused[:, 0], frozen[:, 0])


@pytest.mark.parametrize("losses", LOSSES)
def test_an_error_that_is_linear_in_the_features_is_undone(losses):
    """The head's weights are scaled wrongly: a tailor can scale the features back."""

    class Detail(Shared):
        def features(self, pair: Pair) -> torch.Tensor:
            return (pair.pan - functional_low(pair)).expand(-1, 6, -1, -1) * torch.arange(1.0, 7.0).view(1, 6, 1, 1)

        def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
            return pair.exp + features[:, :4] * 2

    def functional_low(pair: Pair) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pair.pan, 5, 1, 2, count_include_pad=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = tailored(Detail(), losses=losses, gate=9.0).report
    assert report.curve[report.best] < report.curve[0]
    assert losses != "default" or report.validated < 0.7


# ---- patches -------------------------------------------------------------------------------------


@EVERY_NETWORK
def test_patches_give_what_the_whole_tile_gives(network):
    """Features with their halo, as much of them as the head looks at, and the head on that: as on the whole."""
    scene, network = land(dtype=F64), network().double().requires_grad_(False)
    pair = whole(scene)
    pair = _patches.cut(pair, Window(0, 0, 40, 42))
    base = Base(network, None)
    known = _iterate._frame.look(scene.sensor, [pair])
    measure = _iterate.Measure(scene.sensor, known.statistics.std, known.statistics.pan_std, known.varies)
    cutter = _patches.Cutter(base, measure, LOSSES["default"], _iterate._reach(base, [pair]))
    expected = network(pair)
    for window in (Window(0, 0, 16, 16), Window(12, 14, 16, 16), Window(24, 26, 16, 16)):
        patch = cutter.full(pair, window)
        close(patch.image(patch.features), expected[(..., *window.scaled(4).inside(Window(0, 0, 0, 0)))], 1e-12)


@pytest.mark.parametrize(("size", "cells"), [(1, 0), (3, 1), (9, 1), (11, 2)])
def test_the_reach_of_a_head_is_measured(size, cells):
    network = Shared()
    network.last = nn.Conv2d(6, 4, size, padding=size // 2)
    network.requires_grad_(False)
    assert _patches.head_reach(network, whole(land())) == cells


def test_a_quarter_is_held_back_in_blocks():
    for side, block in ((128, 16), (40, 8), (64, 8)):
        held = held_back(side, side)
        assert bool(held[:block, :block].all())
        assert not bool(held[block : 2 * block].any())
        assert 0.2 < float(held.float().mean()) < 0.4


def test_report_says_what_was_done():
    scene = land()
    report = tailored(Shared(), scene, gate=9.0).report
    assert report.places == (Window(0, 0, 160, 172),)
    assert len(report.patches) == 4
    assert all(w.height == w.width == 64 for w in report.patches)
    assert len(report.low_patches) == 1
    assert report.low_patches[0] == Window(0, 0, 160, 160)
    assert report.pixels[0] == 4 * 10**2
    assert sum(report.pixels[1:]) == 40**2
    assert set(report.terms) == {"spectral", "wald"}
    assert report.seconds > 0
    assert json.loads(json.dumps(asdict(report)))["decision"] == "adapted"


@pytest.mark.parametrize("selection", CHOICES)
def test_every_selection_works(selection):
    report = tailored(Shared(), selection=selection, steps=3, patches=2, gate=9.0).report
    assert len(report.patches) == 2


# ---- gate ----------------------------------------------------------------------------------------


def test_the_gate_keeps_the_frozen_output_bit_for_bit():
    network, pair = Shared(), whole(land())
    fitted = tailored(network, gate=0.0)
    assert fitted.report.decision == "frozen"
    assert "held-back" in fitted.report.reason
    with torch.no_grad():
        assert torch.equal(fitted(pair), network(pair))
    assert fitted.traits.halo == network.traits.halo


def test_the_gate_follows_what_was_held_back(monkeypatch):
    """What helps the pixels that are learned from and harms the others is not used."""

    def swapped(*args):
        calls.append(args)
        return 1.0 if len(calls) == 1 else 0.9

    calls: list[object] = []
    monkeypatch.setattr(_iterate, "_error", swapped)
    fitted = tailored(Shared())
    assert fitted.report.decision == "frozen"
    assert fitted.report.validated == pytest.approx(0.9**0.5)
    assert fitted.report.curve[-1] < fitted.report.curve[0]


def test_the_bridge_follows_gain_and_offset():
    network, made = with_source(Shared().double()), whole(land(dtype=F64))
    sensor, phase = land().sensor, land().grid.phase

    def fused(gain: float, offset: float) -> torch.Tensor:
        scene = array_scene(gain * made.pan + offset, gain * made.ms + offset, sensor=sensor, phase=phase)
        fitted = tailored(network, scene, gate=9.0, steps=3)
        assert fitted.report.renormalised
        return fitted(whole(scene))

    close(fused(2.5, 0.1), 2.5 * fused(1.0, 0.0) + 0.1, 1e-6)


# ---- losses --------------------------------------------------------------------------------------


def test_the_unsupervised_form_warns_and_is_judged_by_the_degraded_scene():
    with pytest.warns(PanloomWarning, match="error explodes"):
        fitted = tailored(Shared(), losses="unsupervised")
    assert set(fitted.report.terms) == {"spectral", "spatial", "consistency"}
    assert fitted.report.validated is not None


def test_weights_choose_terms():
    report = tailored(Shared(), weights=(0.0, 1.0, 0.0, 0.0), gate=9.0).report
    assert set(report.terms) == {"wald"}
    assert report.patches == ()
    assert tailored(Shared(), preset="quality", gate=9.0, patches=1).report.curve[100] > 0


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"preset": "slow"}, MethodError, "value of preset"),
        ({"losses": "none"}, MethodError, "value of losses"),
        ({"selection": "best"}, MethodError, "value of selection"),
        ({"weights": (1.0, 1.0)}, OptionError, "four numbers"),
        ({"weights": (0.0,) * 4}, OptionError, "not all 0"),
        ({"steps": -1}, OptionError, "steps -1"),
        ({"rate": 0.0}, OptionError, "rate 0"),
        ({"patches": 0}, OptionError, "patches 0"),
    ],
)
def test_options_without_sense_are_refused(options, error, told):
    with pytest.raises(error, match=told):
        tailored(Shared(), **options)


def test_a_form_that_is_not_known_is_refused():
    odd = FeatureTailor(Shared())
    object.__setattr__(odd, "form", "lim")  # as without a check of types
    with pytest.raises(MethodError, match="unknown value of form 'lim'; did you mean 'lin'"):
        odd.prepare(land(), rng())


def test_options_are_those_of_the_command_line():
    assert adapt.get("tailor") is FeatureTailor
    found = {option.name: option for option in options_of("universal.open+tailor")}
    assert found["form"].choices == tuple(FORMS)
    assert found["preset"].choices == ("fast", "quality")
    assert all(option.help for option in found.values())


# ---- what cannot be fitted -----------------------------------------------------------------------


def test_features_that_are_no_numbers_give_the_frozen_output():
    network = Shared()
    network.first.bias.data[0] = torch.inf
    with pytest.warns(PanloomWarning, match="not finite"):
        assert tailored(network).report.decision == "frozen"


def test_a_loss_that_is_no_number_gives_the_frozen_output():
    network, pair = Shared(), whole(land())
    with pytest.warns(PanloomWarning, match=r"loss is not finite after \d+ steps at learning rate 1e\+37"):
        fitted = tailored(network, rate=1e37)
    assert fitted.report.decision == "frozen"
    with torch.no_grad():
        assert torch.equal(fitted(pair), network(pair))


def test_a_head_that_does_not_look_at_features_gives_the_frozen_output():
    class Blind(Shared):
        def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
            return pair.exp.clone()

    with pytest.warns(PanloomWarning, match="does not look at its features"):
        assert tailored(Blind()).report.decision == "frozen"


@EVERY_NETWORK
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 40), (5, 5), (9, 40), (14, 14)])
def test_a_scene_smaller_than_a_patch(network, rows, cols):
    pan = torch.rand(1, 1, 4 * rows, 4 * cols, generator=rng()) + 0.2
    ms = torch.rand(1, 4, rows, cols, generator=rng(1)) + 0.2
    scene = array_scene(pan, ms, sensor=sensors.get("quickbird"), phase=(1.5, 1.5))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fitted = tailored(network(), scene)
    assert fitted.report.decision == "frozen" or rows >= 9
    assert said or rows >= 9
    assert bool(fitted(whole(scene)).isfinite().all())


def test_one_valid_patch_is_enough_or_it_is_said():
    fitted = tailored(Shared(), masked(land(), Window(4, 4, 30, 30)), gate=9.0)
    assert fitted.report.decision == "adapted"
    assert fitted.report.pixels[0] > 0
    with pytest.warns(PanloomWarning, match="less than 32"):
        assert tailored(Shared(), masked(land(), Window(4, 4, 6, 6))).report.decision == "frozen"


def test_no_valid_pixel_gives_the_frozen_output():
    with pytest.warns(PanloomWarning, match="valid"):
        fitted = tailored(Shared(), masked(land(), Window(0, 0, 0, 0)))
    assert fitted.report.decision == "frozen"
    assert fitted.report.curve == ()


def test_values_where_nothing_is_valid_change_nothing():
    scene = land()
    pair = whole(scene)
    valid = torch.ones_like(pair.pan, dtype=torch.bool)
    valid[..., 40:80, 40:80] = False
    results = []
    for rubbish in (0.0, -9999.0, torch.nan):
        pan = torch.where(valid, pair.pan, rubbish)
        scene = array_scene(pan, pair.ms, sensor=scene.sensor, phase=scene.grid.phase, pan_valid=valid)
        results.append(tailored(Shared(), scene, steps=4, gate=9.0).report.curve)
    assert results[0] == results[1] == results[2]


def test_prepare_inside_inference_mode_works():
    with torch.inference_mode():
        report = tailored(Shared(), gate=9.0).report
    assert report.curve == tailored(Shared(), gate=9.0).report.curve


# ---- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("dtype", [F32, torch.bfloat16])
def test_every_network_can_be_tailored(name, dtype):
    torch.manual_seed(0)
    options = {} if name == "universal" else {"bands": 4}
    scene = land(cells=24)
    network = networks.build(name, options).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = tailored(network, scene, steps=2, rate=1e-3, gate=99.0)
    assert fitted.report.decision == "adapted", fitted.report.reason
    assert fitted.report.curve[-1] < fitted.report.curve[0] or dtype == torch.bfloat16
    fused = fitted(whole(scene))
    assert fused.dtype == F32
    assert bool(fused.isfinite().all())


def test_places_of_tiles_inside_a_large_scene():
    scene = land(cells=140)
    report = tailored(Shared(), scene, steps=1, gate=9.0).report
    rows, cols = scene.grid.height, scene.grid.width
    for place in (*report.patches, *report.low_patches):
        assert place == place.clipped(rows, cols)
        assert any(tile == replace(tile, row=min(tile.row, place.row)) for tile in report.places)


def test_a_call_needs_prepare():
    pair = land().read(Tile(0, Window(0, 0, 32, 32), Window(0, 0, 8, 8)))
    with pytest.raises(MethodError, match="prepare"):
        FeatureTailor(Shared())(pair)
