"""The terms of the loss: where they are zero, what they do not see, and that they count what they should."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tailor_tools import F64, close, land, rng, whole

from panloom.adapt import _terms
from panloom.adapt._sample import band_gains
from panloom.adapt._terms import Full, Low, Measure, Sum, Weights
from panloom.compute import cut
from panloom.optics import physical
from panloom.pair import Pair
from panloom.types import Window

WINDOW = Window(8, 9, 16, 16)
ALL = Weights(1.0, 1.0, 1.0, 1.0)
CASES = pytest.mark.parametrize(("ratio", "phase"), [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))])


def setting(ratio: int = 4, phase: tuple[float, float] = (1.5, 1.5), valid=None) -> tuple[Pair, Measure]:
    """A pair whose MS is what the optics see of an image, kept in `exp`."""
    scene = land(ratio=ratio, dtype=F64, phase=phase)
    pair = whole(scene)
    image = pair.exp + 0.05 * torch.randn(pair.exp.shape, generator=rng(), dtype=F64)
    ms = physical.degrade(image, band_gains(scene.sensor), ratio, phase)
    pair = replace(pair, exp=image, ms=ms, valid=pair.valid if valid is None else valid(pair.valid.clone()))
    measure = Measure(scene.sensor, ms.std((0, 2, 3)), float(pair.pan.std()), torch.ones(4, dtype=torch.bool))
    return pair, measure


def patch(image: torch.Tensor, ratio: int) -> torch.Tensor:
    return image[(..., *WINDOW.scaled(ratio).inside(Window(0, 0, 0, 0)))]


def full(pair: Pair, measure: Measure, weights: Weights = ALL) -> Full:
    return Full.of(pair, WINDOW, measure, weights, patch(pair.exp, pair.ratio))


# ---- spectral ------------------------------------------------------------------------------------


@CASES
def test_spectral_is_zero_for_a_consistent_image(ratio, phase):
    pair, measure = setting(ratio, phase)
    target = full(pair, measure)
    term = _terms.spectral(patch(pair.exp, ratio), target, measure)
    rim = _terms.rim(measure, ratio)
    assert term.count == 4 * (16 - 2 * rim) ** 2 > 0
    assert float(term.mean) < 1e-12
    assert float(_terms.spectral(patch(pair.exp, ratio) + 0.1, target, measure).mean) > 0.1


@CASES
def test_spectral_is_that_of_the_formula(ratio, phase):
    pair, measure = setting(ratio, phase)
    image = pair.exp + 0.1 * torch.randn(pair.exp.shape, generator=rng(1), dtype=F64)
    expected = (physical.degrade(image, band_gains(measure.sensor), ratio, phase) - pair.ms).abs() / measure.scale
    rim = _terms.rim(measure, ratio)
    inner = expected[(..., *WINDOW.grown(-rim).inside(Window(0, 0, 0, 0)))]
    close(_terms.spectral(patch(image, ratio), full(pair, measure), measure).mean, inner.mean(), 1e-12)


@CASES
def test_spectral_does_not_see_what_is_not_valid(ratio, phase):
    def hole(valid: torch.Tensor) -> torch.Tensor:
        valid[..., 16 * ratio + 1, 18 * ratio] = False
        return valid

    pair, measure = setting(ratio, phase, hole)
    target, image = full(pair, measure), patch(pair.exp, ratio).clone()
    clear = full(replace(pair, valid=torch.ones_like(pair.valid)), measure)
    assert 0 < target.usable < clear.usable
    image[..., 8 * ratio + 1, 9 * ratio] += 1e3
    image.requires_grad_(True)
    term = _terms.spectral(image, target, measure)
    term.mean.backward()
    assert term.mean.item() < 1e-12
    assert float(_terms.spectral(image.detach(), clear, measure).mean) > 1e-3
    assert image.grad is not None
    assert float(image.grad[..., 8 * ratio + 1, 9 * ratio].abs().max()) == 0


def test_spectral_does_not_see_ms_that_was_filled():
    def hole(valid: torch.Tensor) -> torch.Tensor:
        valid[..., 64, 72] = False
        return valid

    pair, measure = setting(valid=hole)
    target = full(pair, measure)
    ms = torch.where(pair.whole_cells, pair.ms, 99.0)
    wrong = replace(target, pair=replace(target.pair, ms=cut(replace(pair, ms=ms), WINDOW).ms))
    assert float(_terms.spectral(patch(pair.exp, 4), wrong, measure).mean) < 1e-12


def test_a_patch_that_is_all_rim_has_no_spectral_term():
    pair, measure = setting()
    small = Window(3, 3, 6, 16)
    target = Full.of(pair, small, measure, Weights(spectral=1.0), pair.exp)
    image = cut(pair, small).exp.clone().requires_grad_(True)
    term = _terms.spectral(image, target, measure)
    assert (term.count, term.mean.item()) == (0, 0.0)
    term.mean.backward()


# ---- wald ----------------------------------------------------------------------------------------


def test_wald_learns_from_some_pixels_and_is_judged_by_others():
    truth = torch.randn(1, 4, 8, 8, generator=rng(), dtype=F64)
    held = torch.rand(1, 1, 8, 8, generator=rng(1)) < 0.25
    target = Low(truth, ~held, held)
    _, measure = setting()
    image = truth + torch.where(held, 2.0, 0.5)
    terms = target.terms(image, measure, ALL)
    close(terms["wald"].mean, torch.tensor(0.5 / measure.scale, dtype=F64), 1e-12)
    expected = int(held.sum()) * float((4 / measure.std.square()).sum())
    assert target.squared(image, measure) == pytest.approx(expected)
    assert target.terms(image, measure, Weights(spectral=1.0)) == {}


def test_bands_that_do_not_vary_do_not_count():
    pair, measure = setting()
    some = replace(measure, varies=torch.tensor([True, False, True, True]))
    image = patch(pair.exp, 4).clone()
    image[:, 1] += 5.0
    terms = full(pair, some).terms(image, some, ALL)
    assert set(terms) == {"spectral", "spatial", "consistency"}
    assert float(terms["spectral"].mean) < 1e-12
    assert float(terms["consistency"].mean) == 0


# ---- spatial, consistency ------------------------------------------------------------------------


def slow_correlation(x: torch.Tensor, y: torch.Tensor, size: int) -> torch.Tensor:
    """Pearson's, window by window."""
    rows, cols = (n - size + 1 for n in x.shape)
    out = torch.empty(rows, cols, dtype=x.dtype)
    for i in range(rows):
        for j in range(cols):
            both = torch.stack([z[i : i + size, j : j + size].flatten() for z in (x, y)])
            out[i, j] = torch.corrcoef(both)[0, 1]
    return out


def test_local_correlation_is_pearsons():
    x, y = torch.randn(2, 1, 1, 9, 11, generator=rng(), dtype=F64)
    valid = torch.ones(1, 1, 9, 11, dtype=torch.bool)
    valid[..., 2, 3] = False
    rho, counts = _terms.correlation(x, y, torch.ones_like(valid), 4)
    close(rho[0, 0], slow_correlation(x[0, 0], y[0, 0], 4), 1e-6)
    rho, counts = _terms.correlation(x, y, valid, 4)
    assert int((~counts).sum()) == 3 * 4
    close(rho[counts], slow_correlation(x[0, 0], y[0, 0], 4)[counts[0, 0]], 1e-6)


def test_spatial_is_zero_for_pan_itself_and_punishes_the_opposite():
    pair, measure = setting()
    target = full(pair, measure)
    assert target.usual is not None
    pan = patch(pair.pan, 4).expand(-1, 4, -1, -1)
    low = _terms.spatial(pan, target.pair, target.usual.clamp(max=0.99), measure)
    high = _terms.spatial(-pan, target.pair, target.usual, measure)
    assert low.count == high.count <= 4 * 61**2
    assert float(low.mean) < 1e-3
    assert float(high.mean) > 1


def test_spatial_does_not_see_what_is_not_valid():
    def hole(valid: torch.Tensor) -> torch.Tensor:
        valid[..., 60:70, 60:70] = False
        return valid

    pair, measure = setting(valid=hole)
    target, image = full(pair, measure), patch(pair.exp, 4).clone()
    assert target.usual is not None
    before = _terms.spatial(image, target.pair, target.usual, measure)
    image[..., 60 - 32 : 70 - 32, 60 - 36 : 70 - 36] = 50.0
    close(_terms.spatial(image, target.pair, target.usual, measure).mean, before.mean, 1e-6)


def test_usual_correlation_of_a_patch_is_that_of_the_whole():
    pair, measure = setting()
    found = _terms.usual(pair, WINDOW, measure)
    everywhere = _terms.usual(pair, Window(0, 0, *pair.ms.shape[-2:]), measure)
    close(found, patch(everywhere, 4), 1e-6)


def test_consistency_sees_details_only():
    pair, measure = setting()
    target, image = full(pair, measure), patch(pair.exp, 4)
    assert float(_terms.consistency(torch.full_like(image, 0.3), target.pair, measure).mean) < 1e-12
    grain = torch.randn(image.shape, generator=rng(), dtype=F64)
    assert float(_terms.consistency(grain, target.pair, measure).mean) > 1


# ---- sums ----------------------------------------------------------------------------------------


def test_sums_of_patches_are_those_of_all():
    values = torch.rand(2, 3, 4, 5, generator=rng())
    counts = torch.rand(2, 1, 4, 5, generator=rng(1)) < 0.5
    both = Sum.of(values, counts)
    parts = Sum.of(values[:1], counts[:1]) + Sum.of(values[1:], counts[1:])
    assert parts.count == both.count
    close(parts.mean, both.mean, 1e-6)
    close(both.mean, values[counts.expand_as(values)].mean(), 1e-6)


def test_numbers_without_meaning_have_no_slope():
    values = torch.tensor([[[[1.0, torch.nan]]]], requires_grad=True)
    Sum.of(values, torch.tensor([[[[True, False]]]])).mean.backward()
    assert values.grad is not None
    close(values.grad, torch.tensor([[[[1.0, 0.0]]]]), 0)
