"""Wald's protocol: parity with the reference toolbox, and the laws of the physical form."""

from __future__ import annotations

import golden_data
import pytest
import torch
from torch import Tensor

from panloom.errors import OptionError
from panloom.optics import physical, wald

GAINS, PAN_GAIN = (0.3, 0.22, 0.35), 0.15
PHASES = [(1.5, 1.5), (2.0, 2.0), (0.0, 1.0), (-0.4, 3.4)]
FORMS = ("toolbox", "physical")


def degraded(pan: Tensor, ms: Tensor, form: wald.Form = "physical", **changes) -> wald.Degraded:
    """With everything valid, and gains for as many bands as there are, unless told otherwise."""
    settings = {
        "pan_valid": torch.ones_like(pan[:, :1], dtype=torch.bool),
        "ms_valid": torch.ones_like(ms[:, :1], dtype=torch.bool),
        "gains": (GAINS * 3)[: ms.shape[1]],
        "pan_gain": PAN_GAIN,
        "phase": (1.5, 1.5),
        "form": form,
    } | changes
    return wald.degrade_pair(pan, ms, settings.pop("pan_valid"), settings.pop("ms_valid"), **settings)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 100 + 900 * torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ramp(rows: Tensor, cols: Tensor) -> Tensor:
    return (3.0 * rows[:, None] - 2.0 * cols[None] + 500)[None, None]


def steps(n: int, step: float = 1.0, start: float = 0.0) -> Tensor:
    return start + step * torch.arange(n, dtype=torch.float64)


# --- the toolbox form -------------------------------------------------------------------------------------


def is_that_of_the_toolbox(pair: golden_data.GoldenPair) -> None:
    low = degraded(pair.tensor("fr_pan"), pair.tensor("fr_ms"), "toolbox", gains=pair.ms_gains, pan_gain=pair.pan_gain)
    golden_data.close(low.ms, pair.tensor("rr_ms_lr"), what=f"{pair.name} MS")
    golden_data.close(low.pan, pair.tensor("rr_pan"), what=f"{pair.name} PAN")
    assert torch.equal(low.truth, pair.tensor("fr_ms"))
    assert low.phase == (pair.ratio // 2,) * 2


@pytest.mark.parametrize("name", golden_data.SYNTHETIC)
def test_toolbox_form_is_that_of_the_reference_toolbox(name):
    is_that_of_the_toolbox(golden_data.load(name))


@pytest.mark.parametrize("name", golden_data.REAL_FULL)
def test_toolbox_form_is_that_of_the_reference_toolbox_on_real_imagery(name, shared):
    is_that_of_the_toolbox(golden_data.load(name, shared / golden_data.REAL_FOLDER))


@pytest.mark.parametrize("name", golden_data.SYNTHETIC)
def test_toolbox_form_of_a_truth_alone(name):
    pair = golden_data.load(name)
    truth = pair.truth
    valid = torch.ones_like(truth[:, :1], dtype=torch.bool)
    low, low_valid = wald.degrade_truth(
        truth, valid, gains=pair.ms_gains, ratio=pair.ratio, phase=(0.0, 0.0), form="toolbox"
    )
    golden_data.close(low, pair.tensor("rr_ms_lr"), what=name)
    assert low_valid.all()


def test_toolbox_form_looks_at_no_phase():
    pan, ms = noise(1, 1, 128, 96), noise(1, 3, 32, 24, seed=1)
    one, other = (degraded(pan, ms, "toolbox", phase=phase) for phase in ((1.5, 1.5), (0.0, 3.0)))
    assert torch.equal(one.pan, other.pan)
    assert torch.equal(one.ms, other.ms)
    assert one.phase == other.phase == (2.0, 2.0)


# --- the physical form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_a_constant_stays_what_it_is(ratio, phase):
    phase = tuple(min(p, ratio - 0.6) for p in phase)
    pan, ms = torch.full((1, 1, 12 * ratio**2, 8 * ratio**2), 7.0).double(), torch.ones((1, 3, 12 * ratio, 8 * ratio))
    ms = 5 * ms.double() + torch.arange(3).view(1, 3, 1, 1)
    low = degraded(pan, ms, phase=phase)
    assert low.pan.shape[-2:] == ms.shape[-2:]
    assert low.ms.shape[-2:] == (12, 8)
    torch.testing.assert_close(low.pan, torch.full_like(low.pan, 7.0), rtol=1e-13, atol=0)
    torch.testing.assert_close(low.ms, ms[..., :12, :8], rtol=1e-13, atol=0)
    back = physical.interpolate(low.ms, ratio, low.phase)
    torch.testing.assert_close(back, low.truth, rtol=1e-12, atol=0)


@pytest.mark.parametrize("phase", PHASES)
def test_a_ramp_stays_in_its_place(phase):
    """PAN lands on the grid of the truth, and reduced MS at the phase on it: what is linear shows where it was looked.

    A kernel that is cut at 4 sigma on both sides of a real phase is centred to a few thousandths of a pixel.
    """
    ratio, rows, cols = 4, 32, 24
    pan = ramp(steps(ratio * rows), steps(ratio * cols))
    ms = ramp(steps(rows, ratio, phase[0]), steps(cols, ratio, phase[1]))
    low = degraded(pan, ms, phase=phase, gains=(0.3,))
    assert low.phase == phase
    inner = slice(4, -4)
    torch.testing.assert_close(low.pan[..., inner, inner], ms[..., inner, inner], rtol=0, atol=0.02)
    seen = ramp(
        steps(rows // ratio, ratio**2, ratio * phase[0] + phase[0]),
        steps(cols // ratio, ratio**2, ratio * phase[1] + phase[1]),
    )
    inner = slice(3, -3)
    torch.testing.assert_close(low.ms[..., inner, :][..., 3:-2], seen[..., inner, :][..., 3:-2], rtol=0, atol=0.06)


@pytest.mark.parametrize("phase", [(1.5, 1.5), (2.0, 2.0), (0.0, 1.0)])
def test_a_ramp_is_exact_where_the_kernel_is_symmetric(phase):
    """At half pixels nothing is cut unevenly; at whole ones the one tap more weighs less than 1e-3."""
    pan = ramp(steps(128), steps(96))
    ms = ramp(steps(32, 4, phase[0]), steps(24, 4, phase[1]))
    low = degraded(pan, ms, phase=phase, gains=(0.3,))
    inner = slice(4, -4)
    limit = 1e-9 if phase == (1.5, 1.5) else 0.02
    torch.testing.assert_close(low.pan[..., inner, inner], ms[..., inner, inner], rtol=0, atol=limit)


def test_exp_is_as_good_wherever_the_grid_lies():
    """A scene that is moved under its grids is degraded and interpolated alike: the phase is no advantage."""
    ratio, rows, cols = 4, 48, 48
    errors = []
    for phase in ((1.5, 1.5), (0.0, 1.0), (3.0, 2.25)):
        y, x = steps(rows, ratio, phase[0]), steps(cols, ratio, phase[1])
        ms = torch.stack(
            [500 + 100 * torch.sin(y[:, None] / (9 + k) + 0.3 * k) * torch.cos(x[None] / (11 - k)) for k in range(3)]
        )
        pan = noise(1, 1, ratio * rows, ratio * cols)
        low = degraded(pan, ms[None], phase=phase)
        error = physical.interpolate(low.ms, ratio, low.phase) - low.truth
        errors.append(float(error[..., 12:-12, 12:-12].square().mean().sqrt()))
    assert max(errors) < 1.05 * min(errors), errors


@pytest.mark.parametrize("form", FORMS)
def test_bands_are_degraded_by_their_own_gain(form):
    pan, ms = noise(1, 1, 128, 128), noise(1, 1, 32, 32).expand(1, 3, 32, 32)
    low = degraded(pan, ms, form)
    for band, gain in enumerate(GAINS):
        alone = degraded(pan, ms[:, band, None], form, gains=(gain,))
        torch.testing.assert_close(low.ms[:, band, None], alone.ms, rtol=1e-12, atol=1e-9)
    assert low.ms[:, 2].std() > low.ms[:, 0].std() > low.ms[:, 1].std()


@pytest.mark.parametrize("form", FORMS)
def test_what_exceeds_a_multiple_of_the_ratio_is_left_out(form):
    pan, ms = noise(1, 1, 4 * 35, 4 * 30), noise(1, 2, 35, 30)
    low = degraded(pan, ms, form)
    cut = degraded(pan[..., :128, :112], ms[..., :32, :28], form)
    for name in ("pan", "ms", "truth", "pan_valid", "ms_valid", "truth_valid"):
        assert torch.equal(getattr(low, name), getattr(cut, name)), name
    assert low.pan.shape == (1, 1, 32, 28)
    assert low.ms.shape == (1, 2, 8, 7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(3, 40), (40, 1)])
def test_ms_that_is_too_small_is_refused(form, size):
    with pytest.raises(OptionError, match=rf"{size[0]} x {size[1]} pixels is too small to be degraded by 4"):
        degraded(noise(1, 1, 4 * size[0], 4 * size[1]), noise(1, 2, *size), form)


# --- masks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("phase", [(1.5, 1.5), (0.0, 3.0)])
def test_a_reduced_pixel_counts_only_where_all_that_it_rests_on_does(form, phase):
    """By the operators themselves: other numbers under the mask move a pixel that counts by 0.2 % of them at most."""
    ratio = 4
    pan, ms = noise(1, 1, 256, 224), noise(1, 3, 64, 56)
    pan_valid, ms_valid = torch.ones((1, 1, 256, 224), dtype=torch.bool), torch.ones((1, 1, 64, 56), dtype=torch.bool)
    pan_valid[..., 100:131, 90:99], pan_valid[..., 7, 200] = False, False
    ms_valid[..., 40:, 30:37], ms_valid[..., 5, 5] = False, False
    settings = {"pan_valid": pan_valid, "ms_valid": ms_valid, "phase": phase}
    low = degraded(pan, ms, form, **settings)
    other = degraded(pan + 1000.0 * ~pan_valid, ms + 1000.0 * ~ms_valid, form, **settings)
    for mask, one, two in ((low.pan_valid, low.pan, other.pan), (low.ms_valid, low.ms, other.ms)):
        moved = (one - two).abs().amax(1, keepdim=True)
        assert 0.5 < mask.double().mean() < 1
        assert moved[mask].max() < 2.0
        assert (~mask)[moved > 2.0].all()
    assert torch.equal(low.truth_valid, ms_valid)
    for mask, fine in ((low.pan_valid, pan_valid), (low.ms_valid, ms_valid)):
        cells = fine.unfold(-2, ratio, ratio).unfold(-2, ratio, ratio).all(-1).all(-1)
        assert not (mask & ~cells).any()


@pytest.mark.parametrize("form", FORMS)
def test_borders_of_the_image_are_valid(form):
    low = degraded(noise(1, 1, 128, 128), noise(1, 3, 32, 32), form)
    assert low.pan_valid.all()
    assert low.ms_valid.all()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_valid(form):
    pan, ms = noise(1, 1, 128, 128), noise(1, 3, 32, 32)
    low = degraded(pan, ms, form, pan_valid=torch.zeros_like(pan, dtype=torch.bool))
    assert not low.pan_valid.any()
    assert low.truth_valid.all()
    assert torch.isfinite(low.pan).all()
