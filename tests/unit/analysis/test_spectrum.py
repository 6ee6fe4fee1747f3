"""Frequency responses and what describes them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from panloom.analysis import (
    axis_profile,
    centroid,
    describe,
    frequencies,
    frequency_response,
    ideal_lowpass,
    impulse_response,
    injection_gain,
    mtf_curve,
    mtf_plane,
    radial_profile,
    system_transfer,
)
from panloom.errors import OptionError
from panloom.optics import physical
from panloom.optics.physical import mtf_sigma


def noise(side: int = 15) -> torch.Tensor:
    return torch.randn(side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gaussian(gain: float, ratio: int, side: int = 41) -> torch.Tensor:
    place = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-(place**2) / (2 * mtf_sigma(gain, ratio) ** 2))
    return torch.outer(line, line) / line.sum() ** 2


@pytest.mark.parametrize("size", [64, 65])
def test_real_kernels_have_symmetric_spectra_and_their_energy(size):
    kernel = noise()
    response = frequency_response(kernel, size)
    odd = response if size % 2 else response[1:, 1:]  # the row and column of -pi have no partner
    torch.testing.assert_close(odd.flip(0, 1), odd.conj(), rtol=0, atol=1e-10)
    assert float(response.abs().square().mean()) == pytest.approx(float(kernel.square().sum()))
    assert complex(response[size // 2, size // 2]).real == pytest.approx(float(kernel.sum()))
    assert float(frequencies(size)[size // 2]) == 0


def test_the_phase_is_counted_from_the_centre():
    kernel = torch.zeros(9, 9, dtype=torch.float64)
    kernel[4 + 2, 4 - 1] = 1
    assert centroid(kernel) == (2, -1)
    moved = frequency_response(kernel, 32, centre=(2, -1))
    torch.testing.assert_close(moved, torch.ones_like(moved), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_ideal_low_pass_is_ideal(scale):
    found = describe(ideal_lowpass(scale, 255), scale, centre=(0, 0))
    assert found.dc == pytest.approx(1, abs=0.02)
    assert found.cutoff6 == pytest.approx(1, abs=2e-3)
    assert found.cutoff3 == pytest.approx(1, abs=0.02)
    assert found.rho == pytest.approx(1, abs=1e-9)
    assert found.outside < 0.01
    assert found.sidelobe == pytest.approx(-0.217, abs=2e-3)
    assert max(found.rejection) < -40


@pytest.mark.parametrize(("scale", "cutoff6", "outside"), [(2, 0.992, 0.070), (4, 1.000, 0.069)], ids=["x2", "x4"])
def test_bicubic_has_the_measured_numbers(scale, cutoff6, outside):
    # The reference values stand on a grid of 512 frequencies; theirs is the first one below -6 dB.
    step = 2 * scale / 512

    def bicubic(x):
        return functional.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)

    found = describe(impulse_response(bicubic, scale, channels=1).kernel[0, 0], scale)
    assert found.dc == pytest.approx(1, abs=1e-5)
    assert cutoff6 - step - 1e-3 < found.cutoff6 <= cutoff6 + 1e-3
    assert found.outside == pytest.approx(outside, abs=5e-4)
    assert found.rho == pytest.approx(0.953, abs=5e-4)
    assert found.rejection == pytest.approx([-200] * (scale - 1), abs=100)  # zeros of the kernel's spectrum


def test_a_kernel_that_passes_everything_has_no_cut_off():
    kernel = torch.zeros(9, 9, dtype=torch.float64)
    kernel[4, 4] = 1
    found = describe(kernel, 1)
    assert (found.dc, found.cutoff6, found.rejection, found.outside) == (1, math.inf, (), 0)
    assert found.ripple < 1e-12
    detail = describe(kernel - 1 / 81, 2, centre=(0, 0))
    assert all(map(math.isnan, (detail.cutoff3, detail.cutoff6, detail.ripple, *detail.rejection)))
    assert abs(detail.dc) < 1e-12


def test_the_mtf_is_that_of_the_optics():
    gain, ratio = 0.3, 4
    edge = torch.tensor([0.0, math.pi / ratio])
    torch.testing.assert_close(mtf_curve(gain, ratio, edge), torch.tensor([1.0, gain]))
    flat = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    seen = physical.adjoint(
        lambda x: physical.degrade(x, [gain], ratio, (0.0, 0.0))[..., 6, 6],
        torch.ones(1, 1, dtype=flat.dtype),
        flat.shape,
    )
    kernel = seen[0, 0, 24 - 16 : 24 + 17, 24 - 16 : 24 + 17]
    w, found = axis_profile(frequency_response(kernel, 128), "columns")
    torch.testing.assert_close(found, mtf_curve(gain, ratio, w), rtol=0, atol=2e-3)  # cut at four deviations


def test_profiles_of_a_round_kernel_are_its_curve():
    gain, ratio, size = 0.25, 3, 256
    response = frequency_response(gaussian(gain, ratio), size)
    for direction in ("rows", "columns"):
        w, found = axis_profile(response, direction)
        torch.testing.assert_close(found, mtf_curve(gain, ratio, w), rtol=0, atol=1e-5)
    w, found = axis_profile(response, "diagonal")
    torch.testing.assert_close(found, mtf_curve(gain, ratio, w * math.sqrt(2)), rtol=0, atol=1e-5)
    w, found = radial_profile(response, 64)
    torch.testing.assert_close(found, mtf_curve(gain, ratio, w), rtol=0, atol=0.01)
    assert radial_profile(response[None].expand(2, -1, -1), 16)[1].shape == (2, 16)


def test_rows_and_columns_are_told_apart():
    kernel = torch.zeros(9, 9, dtype=torch.float64)
    kernel[3:6, 4] = 1 / 3  # smooths along a column: what changes from row to row fades
    response = frequency_response(kernel, 64)
    assert float(axis_profile(response, "rows")[1][-1]) < 0.4
    torch.testing.assert_close(axis_profile(response, "columns")[1], torch.ones(32, dtype=torch.float64))


def test_the_gain_of_an_mtf_glp_is_found():
    mtf = mtf_plane(torch.tensor([0.3, 0.2]), 4, 64)
    true = torch.tensor([0.7, -1.2], dtype=torch.float64)
    pan = (true[:, None, None] * (1 - mtf)).to(torch.complex128)
    torch.testing.assert_close(injection_gain(pan, mtf, 4), true)


def test_a_system_that_gives_back_what_the_optics_took_transfers_all():
    # Without decimation: MS as it is, and PAN above the MTF.
    gains, side, size = torch.tensor([0.3, 0.2]), 41, 64
    pulse = torch.zeros(side, side, dtype=torch.float64)
    pulse[side // 2, side // 2] = 1
    slope = torch.tensor([2.0, 0.5], dtype=torch.float64)  # of PAN on each band
    ms = torch.eye(2, dtype=torch.float64)[:, :, None, None] * pulse
    pan = torch.stack([(pulse - gaussian(float(g), 1, side)) / p for g, p in zip(gains, slope, strict=True)])
    mtf = frequency_response(torch.stack([gaussian(float(g), 1, side) for g in gains]), size).abs()
    related = torch.tensor([[1.0, 4.0], [0.25, 1.0]], dtype=torch.float64)
    system = {"ratio": 1, "phase": (0.0, 0.0), "bands_on_band": related, "pan_on_band": slope}
    found = system_transfer(ms, pan, mtf, **system)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-6)
    blurred = system_transfer(ms, 0 * pan, mtf, **system)
    torch.testing.assert_close(blurred, mtf)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: describe(torch.zeros(5, 5), 2), "zero everywhere"),
        (lambda: describe(torch.full((5, 5), torch.nan), 2), "not finite"),
        (lambda: describe(torch.ones(5, 5), 0), "given: 0"),
        (lambda: frequency_response(noise(33), 32), "33 x 33.*given: 32"),
        (lambda: ideal_lowpass(2, 8), "odd size.*given: 8"),
        (lambda: radial_profile(torch.ones(16, 16), 9), "1 to 8 annuli; given: 9"),
    ],
)
def test_what_cannot_be_described_is_refused(call, told):
    with pytest.raises(OptionError, match=told):
        call()


def test_only_one_kernel_is_described():
    free = getattr(describe, "__wrapped__", describe)  # without jaxtyping
    with pytest.raises(OptionError, match=r"given: \(3, 1, 5, 5\).*kernel\[0, 0\]"):
        free(torch.ones(3, 1, 5, 5), 2)


def test_the_rejection_is_that_of_the_worse_axis():
    kernel = torch.zeros(9, 9, dtype=torch.float64)
    kernel[4, 3:5] = 0.5  # smooths along a row only: nothing at pi there, all of it along a column
    assert describe(kernel, 2).rejection == pytest.approx((0.0,), abs=1e-9)
    kernel[4:6, 3:5] = 0.25
    assert describe(kernel, 2).rejection[0] < -190
