"""HyRA gives the published arrays: the recipe of the paper's code, its sinc, and the exact form beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from panloom.analysis import Response, linear_part, published_split, sinc_upsample

SCALE, OMEGA = 3, 5.0


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    folder = shared / "golden" / "networks" / "frequency"
    if not folder.is_dir():
        pytest.skip("no golden arrays of HyRA in ../shared")
    return folder


@pytest.fixture(scope="module")
def arrays(golden) -> dict[str, torch.Tensor]:
    with np.load(golden / "decomposition.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


def close(actual: torch.Tensor, stored: torch.Tensor, limit: float) -> None:
    torch.testing.assert_close(actual.to(stored), stored, rtol=0, atol=limit)


def test_the_published_recipe(arrays):
    lr, sr, kernel = (arrays[name].double() for name in ("lr", "sr", "impulse_response"))
    linear, nonlinear = published_split(lr, sr, kernel, SCALE)
    close(linear, arrays["linear_official"], 1e-9)
    close(nonlinear, arrays["nonlinear_official"], 1e-9)


def test_the_exact_form(arrays):
    kernel = arrays["impulse_response"].double()[:, None]
    response = Response(kernel, SCALE, 0.0, None, "published", white=True)
    exact = linear_part(arrays["lr"], response, padding="zeros")
    stored = arrays["linear_transposed_conv"]
    # Stored without the last pixels, which a transposed convolution leaves out unless it is told the output's size.
    assert [n - m for n, m in zip(exact.shape, stored.shape, strict=True)] == [0, SCALE - 1, SCALE - 1]
    close(exact[:, : stored.shape[1], : stored.shape[2]], stored, 1e-9)


def test_the_published_sinc(arrays):
    close(sinc_upsample(arrays["sinc_input"], SCALE, OMEGA), arrays["sinc_official"], 1e-4)


def test_the_published_demonstration(golden):
    with np.load(golden / "demo_inputs_uint8.npz") as stored:
        lr, sr, kernel = (torch.from_numpy(stored[n]).float() / 255 for n in ("lr", "sr", "impulse_response"))
    with np.load(golden / "demo_expected_fp32.npz") as stored:
        expected = {name: torch.from_numpy(stored[name]) for name in stored}
    linear, nonlinear = published_split(lr, sr, kernel, SCALE)
    close(linear, expected["linear"], 1e-5)
    close(nonlinear, expected["nonlinear"], 1e-5)
    # As the specification states them; a response cut to 8 bits has a gain of 1.4, so the rest is darker than black.
    assert linear.shape == (3, 124, 124)
    assert float(linear.mean()) == pytest.approx(0.698704, abs=1e-5)
    assert float(nonlinear.mean()) == pytest.approx(-0.185368, abs=1e-5)
    gains = kernel.sum((1, 2)) / SCALE**2
    close(gains, torch.tensor([1.4031, 1.3721, 1.3403]), 5e-5)
