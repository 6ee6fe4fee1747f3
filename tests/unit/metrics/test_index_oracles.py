"""The indices equal slow, independent numpy forms: loops over blocks and windows, written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from panloom import metrics
from panloom.metrics import _blocks, _windows

EPS = np.finfo(float).eps
SIDES = (45, 70)
WINDOWED = ("q2n", "q2n-unrounded", "q", "ssim", "ssim-full-scale", "ssim-mhif", "scc", "scc-valid")
#: Bands, and a data range of every kind: 11 bits, reflectance, negative, small variation on a large offset.
CASES = [(1, 1.0, 0.0), (3, 5e-4, 0.0), (5, 1.0, -700.0), (8, 0.02, 3000.0)]


def images(bands: int, scale: float, offset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A truth with flat, dark and noisy parts, a result with errors, and a mask; (band, row, col), (row, col)."""
    rng = np.random.default_rng(bands)
    truth = 40 + 1400 * ndimage.gaussian_filter(rng.random((bands, *SIDES)), (0.5, 2, 2)) + 30 * rng.random(SIDES)
    truth[:, 33:, :33] = np.arange(bands)[:, None, None] * 50.0
    truth[:, :32, 32:64] = 0
    fused = 1.05 * truth + 25 * rng.standard_normal(truth.shape)
    fused[:, 33:, :20] = truth[:, 33:, :20]
    fused[bands // 2, :32, 32:64] = 0
    rows, cols = np.mgrid[: SIDES[0], : SIDES[1]]
    valid = (cols > 18 - rows) & ~((rows > 36) & (cols > 52)) & (rng.random(SIDES) > 0.01)
    return scale * truth + offset, scale * fused + offset, valid


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(a)[None] if a.ndim == 3 else torch.from_numpy(a)[None, None] for a in arrays]


# ---- slow forms ---------------------------------------------------------------------------------


def slow_uqi(x: np.ndarray, y: np.ndarray) -> float:
    mx, my = x.mean(), y.mean()
    vx, vy = (0.0 if np.ptp(a) == 0 else a.var(ddof=1) for a in (x, y))
    structure = 1.0 if vx + vy == 0 else 2 * ((x - mx) * (y - my)).sum() / (x.size - 1) / (vx + vy)
    return structure * (1.0 if mx**2 + my**2 == 0 else 2 * mx * my / (mx**2 + my**2))


def windows(valid: np.ndarray, size: int, step: int, share: float):
    """All windows of which at least this share is valid."""
    for row in range(0, valid.shape[0] - size + 1, step):
        for col in range(0, valid.shape[1] - size + 1, step):
            cut = np.s_[..., row : row + size, col : col + size]
            if valid[cut].mean() >= share:
                yield cut


def slow_product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The Cayley-Dickson product of numbers (component, pixel), by halves."""

    def conj(v: np.ndarray) -> np.ndarray:
        return np.concatenate([v[:1], -v[1:]])

    if len(p) == 1:
        return p * q
    half = len(p) // 2
    a, b, c, e = p[:half], conj(p[half:]), q[:half], conj(q[half:])
    if half == 1:
        return np.concatenate([a * c - e * b, a * e + c * b])
    return np.concatenate(
        [slow_product(a, c) - slow_product(e, conj(b)), slow_product(conj(a), e) + slow_product(c, b)]
    )


def slow_q2n_block(reference: np.ndarray, test: np.ndarray) -> float:
    """One block of valid pixels, (band, pixel)."""
    bands, n = reference.shape
    empty = (1 << (bands - 1).bit_length()) - bands
    standard = []
    for x, y in zip(np.pad(reference, ((0, empty), (0, 0))), np.pad(test, ((0, empty), (0, 0))), strict=True):
        s = EPS if np.ptp(x) == 0 else x.std(ddof=1)
        m = x[0] if np.ptp(x) == 0 else x.mean()
        standard.append(((x - m) / s + 1, (y - m) / s + 1))
    one, other = (np.array(part) for part in zip(*standard, strict=True))
    other[1:] *= -1
    k, mean, mean_ = n / (n - 1), one.mean(1), other.mean(1)
    a, b = np.linalg.norm(mean), np.linalg.norm(mean_)
    spread = k * ((one**2).sum(0).mean() + (other**2).sum(0).mean() - a**2 - b**2)
    similar = 2 * a * b / (a**2 + b**2)
    if abs(spread) <= 1e-9 * (a**2 + b**2):
        return similar
    covariance = k * (slow_product(one, other).mean(1) - slow_product(mean[:, None], mean_[:, None])[:, 0])
    return float(np.linalg.norm(covariance) * similar * 2 / spread)


def slow_q2n(reference: np.ndarray, test: np.ndarray, valid: np.ndarray, rounded: bool) -> float:
    if rounded:
        reference, test = (np.clip(np.trunc(x + np.copysign(0.5, x)), 0, 65535) for x in (reference, test))
    pads = [(0, -n % 32) for n in valid.shape]
    reference, test = (np.pad(x, [(0, 0), *pads], mode="symmetric") for x in (reference, test))
    valid = np.pad(valid, pads, mode="symmetric")
    blocks = windows(valid, 32, 32, 0.5)
    return float(np.mean([slow_q2n_block(reference[cut][:, valid[cut]], test[cut][:, valid[cut]]) for cut in blocks]))


def slow_q(truth: np.ndarray, fused: np.ndarray, valid: np.ndarray) -> float:
    values = []
    for cut in windows(valid, 32, 1, 0.5):
        seen = valid[cut]
        values += [slow_uqi(x[seen], y[seen]) for x, y in zip(truth[cut], fused[cut], strict=True)]
    return float(np.mean(values))


def slow_ssim(truth: np.ndarray, fused: np.ndarray, valid: np.ndarray, full_scale: float) -> float:
    distance = np.arange(11) - 5.0
    weights = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2, values = (0.01 * full_scale) ** 2, (0.03 * full_scale) ** 2, []
    for cut in windows(valid, 11, 1, 1.0):
        for x, y in zip(truth[cut], fused[cut], strict=True):
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


def slow_scc(truth: np.ndarray, fused: np.ndarray, valid: np.ndarray, border: bool) -> float:
    """With `border`, the outermost pixels are dropped and Sobel pads zeros; else the true neighbours are taken."""
    inner = np.s_[..., 1:-1, 1:-1]
    gradients = []
    for image in (truth, fused):
        bands = image[inner] if border else image
        magnitudes = np.array([np.hypot(*(ndimage.sobel(b, axis, mode="constant") for axis in (0, 1))) for b in bands])
        gradients.append(magnitudes if border else magnitudes[inner])
    known = np.pad(valid[inner], 1, constant_values=True) if border else valid
    seen = ndimage.minimum_filter(known, 3)[inner]
    one, other = (g[:, seen] for g in gradients)
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


# ---- comparisons --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", WINDOWED)
def test_indices_equal_the_slow_form(name, masked, case):
    truth, fused, valid = images(*case)
    if name == "q2n" and case[1] < 0.01:
        pytest.skip("data in [0, 1] are refused")
    if not masked:
        valid = np.ones_like(valid)
    slow = {
        "q2n": lambda: slow_q2n(truth, fused, valid, rounded=True),
        "q2n-unrounded": lambda: slow_q2n(truth, fused, valid, rounded=False),
        "q": lambda: slow_q(truth, fused, valid),
        "ssim": lambda: slow_ssim(truth, fused, valid, 2047),
        "ssim-full-scale": lambda: slow_ssim(truth, fused, valid, 1023),
        "ssim-mhif": lambda: slow_ssim(255 / 1023 * truth, 255 / 1023 * fused, valid, 255),
        "scc": lambda: slow_scc(truth, fused, valid, border=True),
        "scc-valid": lambda: slow_scc(truth, fused, valid, border=False),
    }
    metric = metrics.get(name)
    settings = dict.fromkeys(metric.settings, 1023.0)
    fast = metric(*tensors(fused, truth, valid), **settings)
    assert fast == pytest.approx(slow[name](), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [4, 15, 32])
def test_uqi_of_blocks_and_of_windows_equals_the_slow_form(size, case):
    truth, fused, valid = images(*case)
    values, counts = _blocks.uqi(*tensors(truth, fused, valid), size)
    sliding, counts_ = _windows.sliding_uqi(*tensors(truth, fused, valid), size)
    assert values.shape[-2:] == (SIDES[0] // size, SIDES[1] // size)
    assert sliding.shape[-2:] == (SIDES[0] - size + 1, SIDES[1] - size + 1)
    cuts = {(cut[1].start, cut[2].start): cut for cut in windows(valid, size, 1, 0.5)}
    corners = [at for at in cuts if at[0] % size == at[1] % size == 0]
    assert {tuple(at) for at in counts_[0, 0].nonzero().tolist()} == set(cuts)
    assert {(m * size, n * size) for m, n in counts[0, 0].nonzero().tolist()} == set(corners)
    drawn = np.random.default_rng(0).permutation(list(cuts))[:150].tolist()
    for row, col in (*corners, *drawn):
        cut = cuts[row, col]
        slow = [slow_uqi(x[valid[cut]], y[valid[cut]]) for x, y in zip(truth[cut], fused[cut], strict=True)]
        np.testing.assert_allclose(sliding[0, :, row, col], slow, rtol=1e-8, atol=1e-11)
        if (row, col) in corners:
            np.testing.assert_allclose(values[0, :, row // size, col // size], slow, rtol=1e-10, atol=1e-12)


def test_rmse_and_psnr_of_known_errors():
    truth = torch.zeros((1, 2, 3, 5), dtype=torch.float64)
    fused = truth.clone()
    fused[:, 0], fused[:, 1] = 3, -4
    assert metrics.RMSE(fused, truth) == pytest.approx(3.5)  # the root of the mean over both bands would be 3.54
    fused[:, 0], fused[:, 1] = 1, 10
    assert metrics.PSNR(fused, truth, full_scale=1000) == pytest.approx((60 + 40) / 2)
    assert metrics.PSNR(fused, truth, full_scale=100) == pytest.approx((40 + 20) / 2)
