"""The conditional tailor: identity, folding, and what it shares with the other."""

from __future__ import annotations

import copy

import pytest
import torch
from tailor_tools import F32, F64, PerBand, Shared, close, land, rng, whole, with_source

from panloom import adapt
from panloom.adapt._base import Base
from panloom.adapt._frame import Known, behind, look
from panloom.adapt._iterate import Made
from panloom.adapt._module import Moments, Shift, Tailor
from panloom.adapt.cat import Conditional, ConditionalTailor, Unconditional, condition
from panloom.adapt.tailor import FeatureTailor
from panloom.tiling import plan, trim
from panloom.types import Window

EVERY_NETWORK = pytest.mark.parametrize("network", [Shared, lambda: Shared(valid=True), PerBand], ids=["a", "b", "c"])


def tailored(network, scene=None, **options) -> ConditionalTailor:
    return ConditionalTailor(network, **options).prepare(scene or land(), rng())


def known() -> Known:
    return look(land().sensor, [whole(land())])


@EVERY_NETWORK
def test_no_steps_are_the_identity_bit_for_bit(network):
    fitted, pair = tailored(network(), steps=0, gate=9.0), whole(land())
    assert fitted.report.decision == "adapted"
    with torch.no_grad():
        assert torch.equal(fitted(pair), network()(pair))


@EVERY_NETWORK
def test_the_loss_falls_and_the_source_is_unchanged(network):
    network = network()
    before = copy.deepcopy(network.state_dict())
    report = tailored(network, gate=9.0).report
    assert min(report.curve) == report.curve[report.best] < 0.9 * report.curve[0]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("dtype", [F32, F64])
def test_folding_the_condition_changes_nothing(dtype):
    features = torch.randn(2, 6, 24, 20, generator=rng(), dtype=dtype)
    body = Conditional(torch.randn(20, generator=rng(1), dtype=F64), 6, rng())
    module = Tailor(Moments.of([features], dtype), body, whiten=False)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=rng(2)))
        folded = module.folded()
        assert not isinstance(folded, Shift)
        assert isinstance(folded.body, Unconditional)
        assert float((folded(features) - features).abs().max()) > 0.1
        close(folded(features), module(features), 1e-6)
    assert isinstance(module.body, Conditional)


def test_what_is_used_has_no_condition_left():
    fitted = tailored(Shared(), gate=9.0).fitted
    assert fitted.module is not None
    assert "condition" not in dict(fitted.module.named_buffers())
    assert not any(p.requires_grad for p in fitted.module.parameters())


def test_the_condition_is_of_the_scene_and_of_mean_square_1():
    features = torch.randn(1, 5, 20, 20, generator=rng(), dtype=F64)
    made = Made(Moments.of([features], F64), known(), None, rng())
    c = condition(made)
    assert c.shape == (4 + 4 + 2 + 5 + 5,)
    assert float(c.square().mean()) == pytest.approx(1)
    values = made.known.statistics
    close(c[:4] / c[8], values.mean / values.pan_mean, 1e-12)


def test_with_a_bridge_the_condition_is_that_of_the_source():
    network = with_source(Shared())
    bridge = behind(Base(network, None), known(), "always").bridge
    made = Made(Moments.of([torch.randn(1, 6, 9, 9, generator=rng())], F64), known(), bridge, rng())
    c = condition(made)
    close(c[:10] / c[8] * 0.3, torch.tensor([0.2] * 4 + [0.05] * 4 + [0.3, 0.08], dtype=F64), 1e-6)


def test_the_seed_decides_everything():
    pair = whole(land())
    one, same = (tailored(Shared(), gate=9.0)(pair) for _ in range(2))
    assert torch.equal(one, same)


def test_tiles_equal_the_whole():
    scene = land(dtype=F64)
    fitted = tailored(Shared().double(), scene, gate=9.0)
    expected = fitted(whole(scene))
    for tile in plan(scene.grid, fitted.traits, 48):
        part = trim(fitted(scene.read(tile)), tile, 4)
        close(part, expected[(..., *tile.core.inside(Window(0, 0, 0, 0)))], 1e-10)


def test_patches_are_those_of_the_tailor():
    cat, tailor = (cls(Shared(), steps=1).prepare(land(), rng()).report for cls in (ConditionalTailor, FeatureTailor))
    assert (cat.patches, cat.low_patches, cat.pixels) == (tailor.patches, tailor.low_patches, tailor.pixels)
    assert cat.curve[0] == tailor.curve[0]


def test_the_gate_keeps_the_frozen_output():
    network, pair = Shared(), whole(land())
    fitted = tailored(network, gate=0.0)
    assert fitted.report.decision == "frozen"
    with torch.no_grad():
        assert torch.equal(fitted(pair), network(pair))


def test_names():
    assert adapt.get("cat") is ConditionalTailor
