"""The `physical` operators: linear with a true adjoint, gain as in the sensor's table, phase as stated."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from panloom import sensors
from panloom.optics import physical, toolbox

RATIOS = (2, 3, 4, 8)
GAINS = (0.365, 0.30, 0.22, 0.15)
F64 = torch.float64


def phases(ratio: int) -> list[tuple[float, float]]:
    """The ends of the range, corner alignment, integers, and two of no special kind."""
    rng = torch.Generator().manual_seed(ratio)
    drawn = (torch.rand(2, 2, generator=rng, dtype=F64) * ratio - 0.5).tolist()
    corner = (ratio - 1) / 2
    return [(-0.5, ratio - 0.5 - 1e-6), (corner, corner), (0.0, float(ratio // 2)), *map(tuple, drawn)]


CASES = [(ratio, phase) for ratio in RATIOS for phase in phases(ratio)]
EVERY_CASE = pytest.mark.parametrize(("ratio", "phase"), CASES, ids=lambda v: str(v).replace(" ", ""))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def inner(image: torch.Tensor, margin: int) -> torch.Tensor:
    return image[..., margin:-margin, margin:-margin]


# ---- adjoint -------------------------------------------------------------------------------------


def _transpose_by_unit_vectors(operator, y: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A'y from the columns of A: no reverse mode is asked."""
    size = math.prod(shape)
    columns = operator(torch.eye(size, dtype=F64).view(size, *shape[1:])).flatten(1)
    return (columns @ y.flatten()).view(shape)


@EVERY_CASE
def test_adjoint(ratio, phase):
    gains = [0.3, 0.15]
    down, up = noise(1, 2, 5, 7, seed=1), noise(1, 2, 5 * ratio, 7 * ratio, seed=2)
    for operator, x, y in (
        (lambda v: physical.degrade(v, gains, ratio, phase), up, down),
        (lambda v: physical.interpolate(v, ratio, phase), down, up),
    ):
        left = (operator(x) * y).sum()
        right = (x * physical.adjoint(operator, y, x.shape)).sum()
        scale = float(operator(x).norm() * y.norm())
        assert abs(float(left - right)) <= 1e-12 * scale


@pytest.mark.parametrize("ratio", [2, 3])
def test_adjoint_is_the_transposed_matrix(ratio):
    phase, shape = (0.3, ratio - 0.7), (1, 1, 3, 4)
    y = noise(1, 1, 3 * ratio, 4 * ratio)

    def expand(x):
        return physical.interpolate(x, ratio, phase)

    def reduce(x):
        return physical.degrade(x, [0.3], ratio, phase)

    expected = _transpose_by_unit_vectors(expand, y, shape)
    torch.testing.assert_close(physical.adjoint(expand, y, shape), expected, rtol=0, atol=1e-12)
    expected = _transpose_by_unit_vectors(reduce, noise(*shape), y.shape)
    torch.testing.assert_close(physical.adjoint(reduce, noise(*shape), y.shape), expected, rtol=0, atol=1e-12)


@EVERY_CASE
def test_linear(ratio, phase):
    a, b = noise(1, 1, 4 * ratio, 6 * ratio, seed=3), noise(1, 1, 4 * ratio, 6 * ratio, seed=4)
    mixed = physical.degrade(2 * a - 3 * b, [0.3], ratio, phase)
    apart = 2 * physical.degrade(a, [0.3], ratio, phase) - 3 * physical.degrade(b, [0.3], ratio, phase)
    torch.testing.assert_close(mixed, apart, rtol=0, atol=1e-12)


def test_gradients_flow():
    x = noise(1, 2, 12, 16).requires_grad_()
    y = noise(1, 2, 3, 4).requires_grad_()
    physical.degrade(x, [0.3, 0.2], 4, (1.5, 0.25)).square().sum().backward()
    physical.interpolate(y, 4, (1.5, 0.25)).square().sum().backward()
    for leaf in (x, y):
        assert leaf.grad is not None
        assert bool((leaf.grad != 0).all())


def test_gradients_flow_after_a_first_call_in_inference_mode():
    physical._expand_matrix.cache_clear()
    physical._reduce_matrix.cache_clear()
    with torch.inference_mode():
        physical.degrade(noise(1, 1, 12, 12), [0.31], 3, (0.2, 0.3))
        physical.interpolate(noise(1, 1, 4, 4), 3, (0.2, 0.3))
    x = noise(1, 1, 4, 4).requires_grad_()
    physical.degrade(physical.interpolate(x, 3, (0.2, 0.3)), [0.31], 3, (0.2, 0.3)).sum().backward()
    assert x.grad is not None


# ---- gain ----------------------------------------------------------------------------------------


@EVERY_CASE
def test_dc_gain_is_one_up_to_the_border(ratio, phase):
    ones = torch.ones(1, 2, 5, 6, dtype=F64)
    wide = torch.ones(1, 2, 5 * ratio, 6 * ratio, dtype=F64)
    torch.testing.assert_close(physical.interpolate(ones, ratio, phase), wide, rtol=0, atol=1e-14)
    torch.testing.assert_close(physical.degrade(wide, [0.3, 0.2], ratio, phase), ones, rtol=0, atol=1e-14)


TABLE = sorted({band.mtf_nyquist for name in sensors.names() for band in sensors.get(name).bands})


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("gain", sorted({*GAINS, *TABLE}))
def test_gain_at_ms_nyquist_is_that_of_the_table(ratio, gain):
    """A cosine of period 2 r, sampled on its crests (phase as stated) and between them."""
    size, limit = 40 * ratio, 1.15e-4 if physical.mtf_sigma(gain, ratio) < 1 else 2e-5
    n = torch.arange(size, dtype=F64)
    for phase in phases(ratio):
        crest = torch.cos(math.pi * (n - phase[0]) / ratio).view(1, 1, size, 1).expand(1, 1, size, size)
        seen = physical.degrade(crest.contiguous(), [gain], ratio, phase)[0, 0, 12:-12, 12]
        assert seen.abs().sub(gain).abs().max() < limit, phase
        assert bool((seen[1:] * seen[:-1] < 0).all()), "Nyquist alternates from sample to sample"
        flank = torch.sin(math.pi * (n - phase[1]) / ratio).view(1, 1, 1, size).expand(1, 1, size, size)
        missed = physical.degrade(flank.contiguous(), [gain], ratio, phase)[0, 0, 12, 12:-12]
        assert missed.abs().max() < limit, phase


def test_every_band_has_its_own_gain():
    gains = [0.34, 0.22, 0.34, 0.30]
    x = noise(2, 4, 24, 28)
    together = physical.degrade(x, gains, 4, (1.5, 0.75))
    for k, gain in enumerate(gains):
        alone = physical.degrade(x[:, k : k + 1], [gain], 4, (1.5, 0.75))
        torch.testing.assert_close(together[:, k : k + 1], alone, rtol=0, atol=1e-14)
    shared = physical.degrade(x, [0.3], 4, (1.5, 0.75))
    torch.testing.assert_close(shared[:, 3], together[:, 3], rtol=0, atol=1e-14)


# ---- phase ---------------------------------------------------------------------------------------


@EVERY_CASE
def test_a_ramp_is_sampled_at_the_stated_position(ratio, phase):
    h, w = 20, 22
    rows = torch.arange(h * ratio, dtype=F64)[:, None]
    cols = torch.arange(w * ratio, dtype=F64)[None]
    ramp = (3 * rows - 2 * cols)[None, None]
    seen = physical.degrade(ramp, [0.3], ratio, phase)
    i = ratio * torch.arange(h, dtype=F64)[:, None] + phase[0]
    j = ratio * torch.arange(w, dtype=F64)[None] + phase[1]
    # The sampled Gaussian is cut at 4 sigma around a fractional centre: its mean is off by some 1e-4 PAN pixels.
    torch.testing.assert_close(inner(seen, 6)[0, 0], inner(3 * i - 2 * j, 6), rtol=0, atol=2e-2)
    offset = inner(seen[0, 0] - (3 * i - 2 * j), 6)
    assert offset.std() < 1e-9, "the same error everywhere"


@EVERY_CASE
def test_the_centroid_of_a_blob_moves_by_the_phase(ratio, phase):
    """A Gaussian blob keeps its true place through D and through EXP."""
    h = w = 24
    centre = (h * ratio / 2 + 0.37, w * ratio / 2 - 1.21)
    rows = torch.arange(h * ratio, dtype=F64)
    spot = [torch.exp(-((rows - c) ** 2) / (2 * (1.5 * ratio) ** 2)) for c in centre]
    blob = torch.outer(*spot)[None, None]
    seen = physical.degrade(blob, [0.3], ratio, phase)
    back = physical.interpolate(seen, ratio, phase)
    index = torch.arange(h, dtype=F64)
    for axis, (c, p) in enumerate(zip(centre, phase, strict=True)):
        low, high = (image[0, 0].sum(1 - axis) for image in (seen, back))
        place = float((low * (ratio * index + p)).sum() / low.sum())
        assert place == pytest.approx(c, abs=2e-3)
        assert float((high * rows).sum() / high.sum()) == pytest.approx(c, abs=2e-3)


@EVERY_CASE
def test_interpolation_reproduces_smooth_images_at_the_stated_position(ratio, phase):
    h, w = 20, 22

    def scene(rows, cols):
        return (torch.cos(0.5 * rows + 0.3) * torch.sin(0.4 * cols) + 0.05 * rows)[None, None]

    i, j = torch.arange(h, dtype=F64)[:, None], torch.arange(w, dtype=F64)[None]
    rows = (torch.arange(h * ratio, dtype=F64)[:, None] - phase[0]) / ratio
    cols = (torch.arange(w * ratio, dtype=F64)[None] - phase[1]) / ratio
    expanded = physical.interpolate(scene(i, j), ratio, phase)
    torch.testing.assert_close(inner(expanded, 6 * ratio), inner(scene(rows, cols), 6 * ratio), rtol=0, atol=2e-5)


@EVERY_CASE
def test_interpolation_of_a_ramp(ratio, phase):
    h, w = 18, 20
    ramp = (torch.arange(h, dtype=F64)[:, None] - 2 * torch.arange(w, dtype=F64)[None])[None, None]
    rows = (torch.arange(h * ratio, dtype=F64)[:, None] - phase[0]) / ratio
    cols = (torch.arange(w * ratio, dtype=F64)[None] - phase[1]) / ratio
    expanded = physical.interpolate(ramp, ratio, phase)
    gap = inner(expanded[0, 0] - (rows - 2 * cols), 6 * ratio).abs().max()
    assert gap < 2e-4, float(gap)


@pytest.mark.parametrize("ratio", RATIOS)
def test_samples_are_kept_where_the_grids_meet(ratio):
    """At an integer phase the interpolated image passes through the samples."""
    x, phase = noise(1, 1, 9, 8), (1.0, float(ratio - 1))
    wide = physical.interpolate(x, ratio, phase)
    torch.testing.assert_close(wide[..., 1::ratio, ratio - 1 :: ratio], x, rtol=0, atol=1e-12)


# ---- parity --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "per_tap"), [(2, 2e-10), (4, 1.4e-3)])
def test_interpolation_reduces_to_the_23_taps(ratio, per_tap):
    """The impulse response along one axis, away from borders, at the phase ratio // 2."""
    n = 32
    impulse = torch.zeros(1, 1, n, n, dtype=F64)
    impulse[..., n // 2, n // 2] = 1
    centre, at = float(ratio // 2), ratio * (n // 2) + ratio // 2
    ours = physical.interpolate(impulse, ratio, (centre, centre))[0, 0, :, at]
    theirs = toolbox.interp23(impulse, ratio)[0, 0, :, at]
    assert (ours - theirs).abs().max() < per_tap


# ---- tiles, types --------------------------------------------------------------------------------


@EVERY_CASE
def test_a_margin_equals_the_cut_of_the_whole(ratio, phase):
    ms, gains = noise(1, 2, 23, 26), [0.3, 0.22]
    whole = physical.interpolate(ms, ratio, phase)
    for margin in (1, 3, physical.REACH):
        part = physical.interpolate(ms, ratio, phase, margin=margin)
        edge = (physical.REACH - margin) * ratio
        expected = inner(whole, margin * ratio)
        assert part.shape == expected.shape
        if edge:
            part, expected = inner(part, edge), inner(expected, edge)
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-13)
    x = noise(1, 2, 23 * ratio, 26 * ratio)
    whole, reach = physical.degrade(x, gains, ratio, phase), physical.reduce_margin(0.22, ratio)
    for margin in (1, reach, reach + 1):
        part, expected = physical.degrade(x, gains, ratio, phase, margin=margin), inner(whole, margin)
        assert part.shape == expected.shape
        edge = max(reach - margin, 0)
        if edge:
            part, expected = inner(part, edge), inner(expected, edge)
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(ratio=st.integers(2, 8), h=st.integers(1, 19), w=st.integers(1, 19), data=st.data())
def test_any_size_and_any_window(ratio, h, w, data):
    """Borders repeat the edge pixel: a tile of a padded image is the image of the tile."""
    phase = tuple(data.draw(st.floats(-0.5, ratio - 0.5, exclude_max=True)) for _ in range(2))
    ms = noise(1, 1, h, w)
    wide = physical.interpolate(ms, ratio, phase)
    assert wide.shape == (1, 1, h * ratio, w * ratio)
    padded = physical.replicate(ms, 8, 9, 10, 7)
    far = physical.interpolate(padded, ratio, phase)
    rows, cols = slice(8 * ratio, (8 + h) * ratio), slice(10 * ratio, (10 + w) * ratio)
    torch.testing.assert_close(wide, far[..., rows, cols], rtol=0, atol=1e-13)
    seen = physical.degrade(wide, [0.3], ratio, phase)
    assert seen.shape == ms.shape
    reach = physical.reduce_margin(0.3, ratio)
    padded = physical.replicate(wide, *[reach * ratio] * 4)
    torch.testing.assert_close(
        seen,
        physical.degrade(padded, [0.3], ratio, phase)[..., reach : reach + h, reach : reach + w],
        rtol=0,
        atol=1e-13,
    )


@EVERY_CASE
def test_float32_is_close_to_float64(ratio, phase):
    ms, pan = noise(1, 2, 13, 11), noise(1, 2, 13 * ratio, 11 * ratio)
    for operator, x in (
        (lambda v: physical.interpolate(v, ratio, phase), ms),
        (lambda v: physical.degrade(v, [0.3, 0.2], ratio, phase), pan),
    ):
        single = operator(x.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), operator(x), rtol=0, atol=3e-6)


def test_inputs_are_untouched():
    ms, pan = noise(1, 2, 5, 5), noise(1, 2, 20, 20)
    copies = ms.clone(), pan.clone()
    physical.interpolate(ms, 4, (1.5, 1.5))
    physical.degrade(pan, [0.3, 0.2], 4, (1.5, 1.5))
    assert torch.equal(ms, copies[0])
    assert torch.equal(pan, copies[1])
