"""Indices without reference against slow independent numpy code, window by window."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from panloom import metrics
from panloom.metrics._blocks import uqi as block_uqi
from panloom.metrics._full import FullScene
from panloom.metrics.d_lambda import likeness, low_block
from panloom.optics import toolbox


def problem(ratio: int, rows: int, cols: int, bands: int = 2, seed: int = 0) -> tuple[torch.Tensor, FullScene]:
    """Images with a flat area, zeros and an area without data; the bands follow PAN more or less."""
    rng = np.random.default_rng(seed)
    height, width = ratio * rows, ratio * cols
    pan = 500 + 100 * rng.standard_normal((1, 1, height, width))
    fused = np.concatenate([pan * (0.5 + b) + 60 * (b + 1) * rng.standard_normal(pan.shape) for b in range(bands)], 1)
    ms = 400 + 90 * rng.standard_normal((1, bands, rows, cols))
    pan[..., 10:20, 5:14] = 333.3
    fused[:, 0, 14:26, 2:13] = 77.7
    fused[:, 1, 3:12, 20:] = 0
    valid = np.ones(pan.shape, dtype=bool)
    valid[..., -8:, : width // 3] = False
    arrays = [torch.from_numpy(x) for x in (fused, pan, ms, valid)]
    ms_valid = arrays[3][..., ratio // 2 :: ratio, ratio // 2 :: ratio].contiguous()
    phase = (float(ratio // 2),) * 2
    return arrays[0], FullScene(*arrays[1:], ms_valid, phase, (0.3,) * bands, 0.15)


def slow_d_rho(x: np.ndarray, p: np.ndarray, valid: np.ndarray, ratio: int) -> float:
    """One band (H, W): the two steps of the definition, pixel by pixel."""
    half, (height, width) = math.ceil(ratio / 2), x.shape

    def window(i: int, j: int) -> list[tuple[int, int]]:
        rows, cols = (range(k - half + 1, k + half + 1) for k in (i, j))
        return [(a, b) for a in rows for b in cols if 0 <= a < height and 0 <= b < width]

    def residual(image: np.ndarray) -> np.ndarray:
        out = np.empty_like(image)
        for i in range(height):
            for j in range(width):
                out[i, j] = image[i, j] - math.fsum(image[at] for at in window(i, j)) / (2 * half) ** 2
        return np.where(np.abs(out) < 1e-9, 0, out)  # constant windows

    one, other, losses = residual(x), residual(p), []
    for i in range(height):
        for j in range(width):
            first = window(i, j)
            if not all(valid[at] for a in first for at in window(*a)):
                continue
            sums = [sum(u[at] * v[at] for at in first) for u, v in ((one, other), (one, one), (other, other))]
            cov, var, var_pan = (max(s, 1e-20) for s in sums)
            losses.append(1 - np.clip(cov / math.sqrt(var * var_pan), -1, 1))
    return float(np.mean(losses))


@pytest.mark.parametrize(("ratio", "rows", "cols"), [(4, 9, 8), (2, 16, 14), (3, 11, 10), (5, 7, 7)])
def test_d_rho(ratio, rows, cols):
    fused, full = problem(ratio, rows, cols)
    clean = torch.where(full.valid, fused, 0.0)[0].numpy(), torch.where(full.valid, full.pan, 0.0)[0, 0].numpy()
    expected = [slow_d_rho(band, clean[1], full.valid[0, 0].numpy(), ratio) for band in clean[0]]
    metric = metrics.get("d-rho")
    assert metric.bands is not None
    np.testing.assert_allclose(metric.bands(metric.tally(fused, full)), expected, rtol=1e-9)
    assert metric(fused, full) == pytest.approx(np.mean(expected), rel=1e-9)


def test_d_rho_of_bright_flat_images():
    """Sums of a window are exact where differences of integral images would leave noise."""
    pan = torch.full((1, 1, 400, 400), 65535.1, dtype=torch.float64)
    ones = torch.ones_like(pan, dtype=torch.bool)
    full = FullScene(pan, pan[..., ::4, ::4], ones, ones[..., ::4, ::4], (2.0, 2.0), (0.3,), 0.15)
    assert metrics.get("d-rho")(pan / 3, full) == pytest.approx(0, abs=1e-12)
    step = pan.clone()
    step[..., 200:] += 1e-3
    # Only windows within reach of the step see a structure that PAN has not; borders have theirs in common.
    assert metrics.get("d-rho")(step, full) == pytest.approx(5 / 400, abs=3 / 400)


def slow_uqi(x: np.ndarray, y: np.ndarray) -> float:
    """UQI of two windows."""
    mx, my, vx, vy = x.mean(), y.mean(), x.var(), y.var()
    cov = ((x - mx) * (y - my)).mean()
    means = 2 * mx * my / (mx**2 + my**2) if mx or my else 1.0
    return means * (2 * cov / (vx + vy) if vx + vy > 1e-18 * (mx**2 + my**2) else 1.0)


def slow_mean(x: torch.Tensor, y: torch.Tensor, valid: torch.Tensor, size: int, step: int) -> np.ndarray:
    """Mean per band over windows at least half valid, of the UQI of what is valid in them."""
    masks, out = valid[0, 0].numpy(), []
    for band in x[0].double().numpy():
        values = []
        for i in range(0, band.shape[0] - size + 1, step):
            for j in range(0, band.shape[1] - size + 1, step):
                seen = masks[i : i + size, j : j + size]
                if 2 * seen.sum() >= size * size:
                    cut = (image[i : i + size, j : j + size][seen] for image in (band, y[0, 0].double().numpy()))
                    values.append(slow_uqi(*cut))
        out.append(np.mean(values))
    return np.array(out)


@pytest.mark.parametrize("form", ["toolbox", "physical"])
def test_d_s_of_sliding_windows(form):
    fused, full = problem(2, 36, 35)
    name = "d-s-sliding" + ("-physical" if form == "physical" else "")
    low = toolbox.imresize(full.pan, 0.5, "bicubic") if form == "toolbox" else full.low_pan("physical")
    new = slow_mean(fused, full.pan, full.smooth_valid(form), 32, 1)
    old = slow_mean(full.ms, low, full.low_valid(form), 32, 1)
    metric = metrics.get(name)
    assert metric.bands is not None
    np.testing.assert_allclose(metric.bands(metric.tally(fused, full)), np.abs(new - old), rtol=1e-9)
    assert metric(fused, full) == pytest.approx(np.abs(new - old).mean(), rel=1e-9)


@pytest.mark.parametrize("form", ["toolbox", "physical"])
@pytest.mark.parametrize(("kind", "size"), [("", 32), ("-block16", 16), ("-block8", 8), ("-qnr2008", 32)])
def test_d_s_of_blocks(form, kind, size):
    fused, full = problem(4, 17, 18)
    new = slow_mean(fused, full.pan, full.smooth_valid(form), size, size)
    if kind == "-qnr2008":
        old = slow_mean(full.ms, full.low_pan(form), full.low_valid(form), 8, 8)
    else:
        old = slow_mean(full.exp(form), full.smooth_pan(form), full.smooth_valid(form), size, size)
    value = metrics.get("d-s" + kind + ("-physical" if form == "physical" else ""))(fused, full)
    assert value == pytest.approx(np.abs(new - old).mean(), rel=1e-9)


def test_likeness_of_bands_is_their_uqi():
    fused, full = problem(4, 20, 19, bands=5)
    fused[:, :2, 32:64, 32:64] = torch.tensor([200.1, 0.0], dtype=torch.float64).view(2, 1, 1)  # degenerate blocks
    fused[:, 4, :40] = 0
    sums, count = likeness(torch.where(full.valid, fused, 0.0), full.valid, 16)
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    values, counts = block_uqi(fused[:, [i for i, _ in pairs]], fused[:, [j for _, j in pairs]], full.valid, 16)
    torch.testing.assert_close(sums, values.sum((0, 2, 3)), rtol=1e-12, atol=1e-12)
    assert float(count) == float(counts.sum())


def test_blocks_of_ms_at_other_ratios():
    """As published at 2 and 4; at others a power of two, which fits into 32."""
    assert [low_block(ratio) for ratio in (1, 2, 3, 4, 5, 6, 8, 15, 16, 40)] == [32, 16, 8, 8, 4, 4, 4, 2, 2, 2]
