"""Laws of the step of spectral back-projection."""

from __future__ import annotations

import pytest
import torch

from panloom.optics import back_projection, physical

CASES = [
    (4, (1.5, 1.5), (0.3, 0.2)),
    (2, (0.0, 1.0), (0.35, 0.25)),
    (3, (1.0, 0.7), (0.3, 0.3)),
    (8, (3.5, 4.0), (0.25, 0.4)),
]


def images(ratio: int, bands: int, cells: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(ratio)
    fused = torch.rand(1, bands, ratio * cells, ratio * cells, generator=rng, dtype=torch.float64)
    return fused, torch.rand(1, bands, cells, cells, generator=rng, dtype=torch.float64)


def everywhere(ms: torch.Tensor) -> torch.Tensor:
    return torch.ones(1, 1, *ms.shape[-2:], dtype=torch.bool)


def gap(
    fused: torch.Tensor, ms: torch.Tensor, gains: tuple[float, ...], ratio: int, phase: tuple[float, float]
) -> float:
    inner = slice(6, -6)
    return float((physical.degrade(fused, gains, ratio, phase) - ms)[..., inner, inner].square().mean().sqrt())


@pytest.mark.parametrize(("ratio", "phase", "gains"), CASES)
def test_what_agrees_with_ms_already_is_not_changed(ratio, phase, gains):
    fused, _ = images(ratio, 2)
    ms = physical.degrade(fused, gains, ratio, phase)
    step = back_projection.back_project(fused, ms, gains, phase, everywhere(ms))
    torch.testing.assert_close(step, fused, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("ratio", "phase", "gains"), CASES)
def test_what_is_left_shrinks_with_every_step(ratio, phase, gains):
    fused, ms = images(ratio, 2)
    left = [gap(fused, ms, gains, ratio, phase)]
    for _ in range(3):
        fused = back_projection.back_project(fused, ms, gains, phase, everywhere(ms))
        left.append(gap(fused, ms, gains, ratio, phase))
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0]


def test_it_is_linear_and_follows_gain_and_offset():
    fused, ms = images(4, 2)
    settings = ((0.3, 0.2), (1.5, 1.5), everywhere(ms))
    step = back_projection.back_project(fused, ms, *settings)
    again = back_projection.back_project(3 * fused + 0.5, 3 * ms + 0.5, *settings)
    torch.testing.assert_close(again, 3 * step + 0.5)


def test_cells_without_data_have_no_say():
    fused, ms = images(4, 2)
    recorded = everywhere(ms)
    recorded[..., 10:14, 3:9] = False
    other = torch.where(recorded, ms, torch.rand_like(ms) * 100)
    one, two = (back_projection.back_project(fused, x, (0.3, 0.2), (1.5, 1.5), recorded) for x in (ms, other))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(("ratio", "phase", "gains"), CASES)
def test_nothing_is_looked_at_beyond_the_halo(ratio, phase, gains):
    fused, ms = images(ratio, 1)
    settings = (gains[:1], phase, everywhere(ms))
    halo, cell = back_projection.halo(gains[:1], ratio, phase), 12
    far = fused + 1
    near = slice((cell - halo) * ratio, (cell + halo + 1) * ratio)
    far[..., near, near] = fused[..., near, near]
    one, two = (back_projection.back_project(x, ms, *settings) for x in (fused, far))
    inner = slice(cell * ratio, (cell + 1) * ratio)
    torch.testing.assert_close(one[..., inner, inner], two[..., inner, inner], rtol=0, atol=1e-12)
