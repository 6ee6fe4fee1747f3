"""The regressions of BDSD: least squares with and without signs, and the scene one scale down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, nnls

from panloom import sensors
from panloom.classical.bdsd import Bdsd, BdsdPc, nonnegative, solve
from panloom.errors import SceneError
from panloom.scene import array_scene

F64 = torch.float64


def system(seed: int, n: int = 6, rows: int = 40, bands: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Regressors that hang together, of unlike size, and what they are to fit."""
    rng = torch.Generator().manual_seed(seed)
    design = torch.randn(rows, n, generator=rng, dtype=F64) + 2 * torch.randn(rows, 1, generator=rng, dtype=F64)
    return design * 10.0 ** torch.arange(n), torch.randn(rows, bands, generator=rng, dtype=F64)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_nonnegative_equals_scipy(seed: int, n: int):
    design, target = system(seed, n)
    design = design / design.norm(dim=0)
    mine = nonnegative(design.T @ design, design.T @ target[:, 0])
    np.testing.assert_allclose(mine, nnls(design.numpy(), target[:, 0].numpy())[0], rtol=1e-8, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_signs_are_held(seed: int):
    design, target = system(seed)
    fit = solve(design.T @ design, design.T @ target, constrained=True)
    assert bool((fit[0] >= 0).all() and (fit[1:] <= 0).all())
    below, above = [0.0] + [-np.inf] * 5, [np.inf] + [0.0] * 5
    for column, values in zip(fit.T, target.T, strict=True):
        best = lsq_linear(design.numpy(), values.numpy(), (below, above), method="bvls", tol=1e-14).cost
        assert float((design @ column - values).square().sum() / 2) <= best * (1 + 1e-9)


def test_plain_least_squares():
    design, target = system(1)
    fit = solve(design.T @ design, design.T @ target)
    np.testing.assert_allclose(fit, np.linalg.lstsq(design.numpy(), target.numpy(), rcond=None)[0], rtol=1e-7)


@pytest.mark.parametrize("constrained", [False, True])
def test_dependent_and_empty_regressors(constrained: bool):
    design, target = system(2)
    design = torch.cat([design, design[:, -1:], torch.zeros_like(design[:, :1])], 1)
    fit = solve(design.T @ design, design.T @ target, constrained)
    assert bool(fit.isfinite().all())
    assert not fit[-1].any()
    alone = solve(design[:, :6].T @ design[:, :6], design[:, :6].T @ target, constrained)
    torch.testing.assert_close(design @ fit, design[:, :6] @ alone, rtol=1e-6, atol=1e-9)
    assert not solve(torch.zeros(3, 3, dtype=F64), torch.zeros(3, 2, dtype=F64), constrained).any()


def scene(valid: torch.Tensor | None = None, cells: int = 40):
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 5, 4 * cells, 4 * cells, generator=rng, dtype=F64) + 0.2
    ms = torch.nn.functional.avg_pool2d(noise[:, 1:], 4)
    return array_scene(noise[:, :1], ms, sensor=sensors.get("quickbird"), phase=(1.5, 1.5), ms_valid=valid)


def test_pan_adds_and_bands_take_away():
    ready = BdsdPc().prepare(scene(), torch.Generator()).ready
    assert ready is not None
    assert min(ready.pan) >= 0
    assert max(max(row) for row in ready.bands) <= 0
    free = Bdsd().prepare(scene(), torch.Generator()).ready
    assert free is not None
    assert max(max(row) for row in free.bands) > 0


def test_pixels_without_neighbours_are_not_enough():
    valid = torch.zeros(1, 4, 40, 40, dtype=torch.bool)
    valid[..., ::10, ::10] = True
    with pytest.raises(SceneError, match="try method gsa"):
        Bdsd().prepare(scene(valid), torch.Generator())
