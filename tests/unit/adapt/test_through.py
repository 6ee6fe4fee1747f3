"""The fit that `universal` is trained through: it is that of `refit`, and it has slopes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom import networks, sensors
from panloom.adapt import _through
from panloom.adapt._equations import Equations, Scaling, halves
from panloom.adapt._fit import fit
from panloom.adapt._ridge import solve
from panloom.adapt._sample import Lowered
from panloom.adapt._through import Terms
from panloom.adapt.refit import Refit
from panloom.networks.universal import Universal
from panloom.optics import physical
from panloom.optics.alignment import NOWHERE, Aligned
from panloom.pair import Pair
from panloom.scene import Scene, array_scene
from panloom.types import Sensor, Tile, Window

F64 = torch.float64
GAINS = (0.3, 0.25, 0.35)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def small() -> Universal:
    torch.manual_seed(3)
    made = networks.build("universal", {"width": 6, "depth": 2, "maps": 8})
    assert isinstance(made, Universal)
    return made.double()


@pytest.fixture(scope="module")
def net() -> Universal:
    return small()


def instrument(ratio: int = 4) -> Sensor:
    bands = tuple(replace(b, mtf_nyquist=g) for b, g in zip(sensors.generic_bands(3), GAINS, strict=True))
    return replace(sensors.get("generic"), bands=bands, ratio=ratio)


def scene(ratio: int = 4, phase: tuple[float, float] = (1.5, 1.5), cells: int = 20, *, gap: bool = False) -> Scene:
    rough = torch.rand(1, 4, cells * ratio // 2, cells * ratio // 2, generator=rng(5), dtype=F64)
    land = torch.nn.functional.interpolate(rough, size=(cells * ratio,) * 2, mode="bicubic") + 0.5
    pan = 0.3 * land[:, :1] + 0.7 * land[:, 1:].mean(1, keepdim=True)
    ms = physical.degrade(land[:, 1:], GAINS, ratio, phase)
    held = torch.ones_like(pan, dtype=torch.bool)
    held[..., :30, 70:] = not gap
    return array_scene(pan, ms, sensor=instrument(ratio), phase=phase, pan_valid=held)


def whole(of: Scene) -> Pair:
    cells = Window(0, 0, *of.grid.cells)
    return of.read(Tile(0, cells.scaled(of.grid.ratio), cells))


def pair(ratio: int = 4, phase: tuple[float, float] = (1.5, 1.5), cells: int = 20) -> Pair:
    return whole(scene(ratio, phase, cells))


def fitted(net: Universal, of: Pair, terms: Terms | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    assert of.sensor is not None
    return _through.fitted(net, of, of.sensor, terms or Terms())


def close(actual: torch.Tensor, expected: torch.Tensor, limit: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


CASES = pytest.mark.parametrize(("ratio", "phase"), [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))])


# Laws.


@CASES
@pytest.mark.parametrize("ridge", [None, 0.1])
def test_training_sees_what_refit_gives_on_the_pair_as_a_scene(net, ratio, phase, ridge):
    of = scene(ratio, phase)
    told = Refit(net, ridge=ridge, gate=1e9).prepare(of, rng())
    assert told.report.decision == "adapted"
    alone, own = fitted(net, whole(of), Terms() if ridge is None else Terms(ridges=(ridge,)))
    close(alone, net.prepare(of, rng())(whole(of)), 1e-5)
    close(own, told(whole(of)), 1e-5)
    assert float((own - alone).detach().abs().max()) > 1e-3


def test_it_is_what_refit_gives_where_pixels_hold_no_data(net):
    """With the statistics of the pair: a survey of a scene leaves out other cells around a gap."""
    of = scene(cells=28, gap=True)
    seen = whole(of)
    assert not bool(seen.valid.all())
    adapter = Refit(net, gate=1e9)
    told = fit(net.informed([seen]), Aligned(of, NOWHERE), adapter.options("auto"), adapter.settings(1.0), rng())
    assert told.report is not None
    assert told.report.decision == "adapted"
    close(fitted(net, seen, Terms(ridges=(1.0,)))[1], told(seen), 1e-5)


def test_layers_in_single_precision_give_it_too(net):
    of = scene()
    double = whole(of)
    single = replace(double, pan=double.pan.float(), ms=double.ms.float(), exp=double.exp.float())
    terms = Terms(ridges=(1.0,))
    close(fitted(small().float(), single, terms)[1].double(), fitted(net, double, terms)[1], 1e-4)


def test_a_pair_larger_than_a_patch_is_fitted_nearly_as_refit_fits_it(net):
    """`refit` draws patches and lets features see a few pixels around them only."""
    of = scene(ratio=2, phase=(0.5, 0.5), cells=48)
    with torch.no_grad():
        alone, own = fitted(net, whole(of), Terms(ridges=(1.0,)))
    told = Refit(net, ridge=1.0, gate=1e9).prepare(of, rng())
    added = own - alone
    assert float((own - told(whole(of))).square().mean()) < 1e-4 * float(added.square().mean())


@pytest.mark.parametrize("hidden", ["all", "nearly all"])
def test_where_there_is_nothing_to_fit_to_the_output_is_frozen(net, hidden):
    of = pair()
    valid = torch.zeros_like(of.valid)
    valid[..., :8, :8] = hidden == "nearly all"
    alone, own = fitted(net, replace(of, valid=valid))
    assert own is alone


@pytest.mark.parametrize("cells", [3, 5])
def test_a_pair_too_small_to_be_degraded_is_not_fitted_to(net, cells):
    alone, own = fitted(net, pair(cells=cells))
    assert own is alone


def test_no_finite_solution_keeps_the_frozen_output(net, monkeypatch):
    monkeypatch.setattr(_through, "solve", lambda *_: None)
    alone, own = fitted(net, pair())
    assert own is alone


def test_a_large_ridge_holds_the_weights(net):
    of = pair()
    alone, own = fitted(net, of, Terms(ridges=(1e14,), constant=1e14))
    close(own, alone, 1e-6)


@pytest.mark.parametrize("gain", [2.0**-10, 2048.0])
def test_the_fit_follows_the_gain_of_the_data_as_that_of_refit_does(net, gain):
    """Residuals are in the units of the data and columns in their deviations: all weights follow."""
    of, terms = pair(), Terms(ridges=(1.0,))
    scaled = replace(of, pan=gain * of.pan, ms=gain * of.ms, exp=gain * of.exp)
    close(fitted(net, scaled, terms)[1] / gain, fitted(net, of, terms)[1], 1e-8)


def test_bands_may_come_in_any_order(net):
    of, order = pair(), [2, 0, 1]
    assert of.sensor is not None
    sensor = replace(of.sensor, bands=tuple(of.sensor.bands[k] for k in order))
    turned = replace(of, ms=of.ms[:, order], exp=of.exp[:, order], sensor=sensor)
    close(fitted(net, turned)[1], fitted(net, of)[1][:, order], 1e-8)


def test_a_constant_band_stays_what_it_is(net):
    of = pair()
    flat = of.ms.clone()
    flat[:, 1] = 0.7
    of = replace(of, ms=flat, exp=physical.interpolate(flat, of.ratio, of.phase))
    with pytest.warns(UserWarning, match="constant bands"):
        own = fitted(net, of)[1]
    close(own[:, 1], torch.full_like(own[:, 1], 0.7))


# Slopes.


def test_slopes_of_the_solution_are_those_of_differences():
    """From columns and frozen output, through scaling, products and solution."""
    low = Lowered(pair(ratio=2, phase=(0.5, 0.5), cells=8), rand(1, 3, 16, 16, seed=2))
    ridge = torch.tensor([0.1, 0.1, 1e-4], dtype=F64)

    def weights(columns: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        scaling = Scaling.of(columns.flatten(2), 2)
        first, second = halves([Equations(columns, low.truth - image, low.pair.valid[0, 0])], scaling)
        mean = (first + second).mean
        found = solve(mean[:, :3, :3], mean[:, :3, 3], ridge)
        assert found is not None
        return torch.cat([found, scaling.scale, scaling.mean], 1)

    inputs = (rand(3, 2, 16, 16).requires_grad_(), rand(1, 3, 16, 16, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(weights, inputs, fast_mode=True)


def test_slopes_go_through_the_fit_to_every_weight_of_the_network():
    """Along one direction in the space of all weights, head included; a longer step meets kinks of activations."""
    net, of, terms = small(), pair(ratio=2, phase=(0.5, 0.5), cells=16), Terms(ridges=(1.0,))
    way = [rand(*p.shape, seed=k) for k, p in enumerate(net.parameters())]
    target = rand(*of.exp.shape, seed=9)

    def value() -> torch.Tensor:
        alone, own = fitted(net, of, terms)
        assert own is not alone
        return (own * target).sum()

    @torch.no_grad()
    def moved(step: float) -> torch.Tensor:
        for parameter, part in zip(net.parameters(), way, strict=True):
            parameter.add_(step * part)
        found = value()
        for parameter, part in zip(net.parameters(), way, strict=True):
            parameter.sub_(step * part)
        return found

    slopes = torch.autograd.grad(value(), list(net.parameters()))
    assert all(bool(slope.isfinite().all()) for slope in slopes)
    assert all(bool(slope.abs().max() > 0) for slope in slopes)
    expected = (moved(1e-8) - moved(-1e-8)) / 2e-8
    slope = sum((s * part).sum() for s, part in zip(slopes, way, strict=True))
    assert float(slope) == pytest.approx(float(expected), rel=1e-4)
