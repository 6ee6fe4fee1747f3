"""PRACS in the product form: moments give what the published steps give."""

from __future__ import annotations

import numpy as np
import torch

from panloom.classical.pracs import GAIN, Replacement
from panloom.optics.moments import Moments
from panloom.pair import Reduced


def images(seed: int, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """PAN, and three bands, one of which goes against it."""
    rng = np.random.default_rng(seed)
    bands = rng.random((3, h, w)) + np.array([0.5, 1.0, 0.8])[:, None, None]
    return 0.5 * bands[0] + 0.3 * bands[1] - 0.2 * bands[2] + 0.1 * rng.random((h, w)) + 1, bands


def regress(values: np.ndarray, on: np.ndarray) -> np.ndarray:
    design = np.stack([*(b.ravel() for b in on), np.ones(values.size)], 1)
    return np.linalg.lstsq(design, values.ravel(), rcond=None)[0]


def apply(fit: np.ndarray, to: np.ndarray) -> np.ndarray:
    return np.tensordot(fit[:-1], to, 1) + fit[-1]


def corr(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def published(low: np.ndarray, ms: np.ndarray, pan: np.ndarray, exp: np.ndarray) -> np.ndarray:
    """The steps of Choi et al. with regressions and correlations on the MS grid, applied to the PAN grid."""

    def level(x: np.ndarray) -> np.ndarray:
        mean, std = (f(ms, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
        return (x - mean) / std * low.std() + low.mean()

    fit = regress(low, level(ms))
    seen = apply(fit, level(ms))
    fused = []
    for band in range(len(ms)):
        share = corr(seen, ms[band])
        fit_band = regress(share * low + (1 - share) * level(ms)[band], level(ms))
        high = share * pan + (1 - share) * level(exp)[band]
        part = apply(fit_band, level(exp))
        gain = GAIN * corr(apply(fit_band, level(ms)), ms[band]) * ms[band].std() / ms.std(axis=(1, 2)).mean()
        local = np.clip(1 - np.abs(1 - share * exp[band] / part), 0, None)
        fused.append(exp[band] + gain * local * (high - part))
    return np.stack(fused)


def test_moments_are_enough():
    low, ms = images(0, 20, 25)
    pan, exp = images(1, 40, 50)
    as_tensor = [torch.from_numpy(x)[None] for x in (low[None], ms, pan[None], exp)]
    m = Moments.of(Reduced(as_tensor[0], as_tensor[1], torch.ones(1, 1, 20, 25, dtype=torch.bool)))
    ready = Replacement.of(m)
    assert min(ready.share) < 0 < max(ready.share)
    np.testing.assert_allclose(ready(*as_tensor[2:])[0], published(low, ms, pan, exp), rtol=1e-10)


def test_the_gain_of_a_pixel_stays_within_bounds():
    """Where the levelled band is nearly 0 the published gain has no bound."""
    low, ms = images(0, 20, 25)
    as_tensor = torch.from_numpy(low)[None, None], torch.from_numpy(ms)[None]
    ready = Replacement.of(Moments.of(Reduced(*as_tensor, torch.ones(1, 1, 20, 25, dtype=torch.bool))))
    exp = torch.linspace(-5, 5, 3 * 400, dtype=torch.float64).reshape(1, 400, 3, 1).transpose(1, 2)
    pan = torch.full_like(exp[:, :1], 1.2)
    weights = torch.tensor(ready.weights, dtype=torch.float64).view(1, 3, 1, 1)
    detail = pan - ((weights * exp).sum(1, keepdim=True) + ready.constant)
    gain = torch.tensor(ready.gain, dtype=torch.float64).view(1, 3, 1, 1)
    assert bool(((ready(pan, exp) - exp).abs() <= (gain * detail).abs() + 1e-12).all())
