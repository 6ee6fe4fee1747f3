"""The `toolbox` operators equal the golden data: synthetic pairs always, real ones where they are at hand."""

from __future__ import annotations

from fractions import Fraction

import golden_data as gold
import numpy as np
import pytest
import torch

from panloom.errors import OptionError
from panloom.optics import toolbox
from panloom.optics.physical import adjoint

F64, F32 = torch.float64, torch.float32
DTYPES = pytest.mark.parametrize("dtype", [F64, F32], ids=["float64", "float32"])
KINDS = ("bicubic", "bilinear", "nearest")
SCALES = ("1_4", "1_2", "1_3", "2", "4", "3_2")


# ---- operators on pairs: (stored array, what it should equal) ------------------------------------


def _input(pair, dtype):
    """GT and the PAN on its grid or finer: the two images that the pair starts from."""
    return pair.truth.to(dtype), pair.tensor("fr_pan" if "fr_pan" in pair else "rr_pan", dtype)


def _mtf_ms(pair, dtype):
    yield "op_mtf_ms", toolbox.mtf_filter(_input(pair, dtype)[0], pair.ms_gains, pair.ratio)


def _mtf_pan(pair, dtype):
    out = toolbox.mtf_filter(_input(pair, dtype)[1], [pair.pan_gain], pair.ratio)
    for part in ("tl", "c", "br") if "fr_pan" in pair else ("",):
        yield f"op_pan_mtf_{part}".rstrip("_"), gold.window(out, part)
    if "op_pan_mtf_stats" in pair.meta:
        limits = gold.tolerances(dtype)
        gold.check_stats(out, pair.meta["op_pan_mtf_stats"], f"{pair.name} op_pan_mtf_stats", **limits)


def _wald(pair, dtype):
    ms, pan = _input(pair, dtype)
    keys = ("rr_ms_lr", "rr_pan") if "fr_pan" in pair else ("op_wald_ms_lr", "op_wald_pan_lr")
    yield keys[0], toolbox.degrade_ms(ms, pair.ms_gains, pair.ratio)
    yield keys[1], toolbox.degrade_pan(pan, pair.ratio)


def _exp(pair, dtype):
    for scale in pair.scales:
        problem = pair.whole(scale)
        problem.check("EXP", toolbox.interp23(problem.ms.to(dtype), pair.ratio))
    yield "op_up2", toolbox.interp23(pair.tensor("op_up2_in", dtype), 2)


def _low_passes(pair, dtype):
    pan, ratio = pair.tensor("rr_pan", dtype), pair.ratio
    down = toolbox.degrade_pan(pan, ratio)
    smooth = toolbox.atrous(pan, ratio)
    yield "op_rr_pan_gauss", toolbox.correlate(pan, toolbox.generic_gaussian(ratio))
    yield "op_rr_pan_atrous", smooth
    yield "op_rr_pan_atrous_dec", toolbox.decimate(smooth, ratio)
    yield "op_rr_pan_down_up", toolbox.interp23(down, ratio)
    yield "op_rr_pan_imresize_down_up", toolbox.imresize(down, float(ratio), "bicubic")


OPERATORS = pytest.mark.parametrize("operator", [_mtf_ms, _mtf_pan, _wald, _exp, _low_passes])


def _compare(pair, operator, dtype):
    for key, actual in operator(pair, dtype):
        assert actual.dtype == dtype
        gold.close(actual, pair.tensor(key), **gold.tolerances(dtype), what=f"{pair.name} {key}")


@DTYPES
@OPERATORS
@pytest.mark.parametrize("name", gold.SYNTHETIC)
def test_operator_equals_golden_data(name, operator, dtype):
    _compare(gold.load(name), operator, dtype)


@DTYPES
@OPERATORS
@pytest.mark.parametrize("name", gold.REAL)
def test_operator_equals_golden_data_of_real_pairs(shared, name, operator, dtype):
    _compare(gold.load(name, shared / gold.REAL_FOLDER), operator, dtype)


def test_delivered_ms_is_the_rounded_degradation_of_the_truth(shared):
    """Low-resolution MS made by the authors of a data set, not with the golden data's code."""
    pair = gold.load("pairmax_GE_Tren_Urb", shared / gold.REAL_FOLDER)
    ms = toolbox.degrade_ms(pair.truth, pair.ms_gains, pair.ratio)
    inner = np.s_[..., 5:-5, 5:-5]  # the pair is a crop, whose border the authors' filter looked across
    assert torch.equal(ms[inner].round(), pair.tensor("rr_ms_lr")[inner])


def test_every_operator_array_is_compared():
    named = {key for name in gold.SYNTHETIC for key in gold.load(name).arrays if key.startswith("op_")}
    pair = gold.load("synth6_r2")
    operators = (_mtf_ms, _mtf_pan, _wald, _exp, _low_passes)
    assert named - {"op_up2_in"} <= {key for operator in operators for key, _ in operator(pair, F64)}


# ---- kernels and impulse responses ---------------------------------------------------------------


MTF_KERNELS = [f"{kind}_{sensor}_r{ratio}" for kind in ("mtf", "pan") for sensor in gold.GAINS for ratio in (2, 4)]


@pytest.mark.parametrize("key", MTF_KERNELS)
def test_mtf_kernel(key):
    kind, sensor, ratio = key.split("_")
    ms_gains, pan_gain = gold.GAINS[sensor]
    gains = ms_gains if kind == "mtf" else [pan_gain]
    actual = torch.stack([toolbox.mtf_kernel(gain, int(ratio[1:])) for gain in gains], -1)
    stored = torch.from_numpy(gold.kernels()[key]).reshape(41, 41, -1)
    assert (actual - stored).abs().max() <= 1e-15
    assert 0.997 < stored.sum((0, 1)).min() < 1


@pytest.mark.parametrize("ratio", [2, 4])
def test_generic_gaussian(ratio):
    stored = torch.from_numpy(gold.kernels()[f"gauss_r{ratio}"])
    assert (toolbox.generic_gaussian(ratio) - stored).abs().max() <= 1e-15
    assert (toolbox.mtf_kernel(0.3, ratio) - stored).abs().max() > 1e-4  # N - 1 is not N


def test_window():
    radius = (torch.arange(41, dtype=F64) - 20).square()
    radius = (radius[:, None] + radius[None]).sqrt()
    window = toolbox._rotated_kaiser(radius, 41)
    assert (window - torch.from_numpy(gold.kernels()["window2d"])).abs().max() <= 1e-15
    assert (window[20] - torch.from_numpy(gold.kernels()["kaiser41"])).abs().max() <= 1e-15


def _impulse(size, at):
    x = torch.zeros(1, 1, size, size, dtype=F64)
    x[..., at, at] = 1
    return x


@pytest.mark.parametrize("ratio", [2, 4])
def test_impulse_responses(ratio):
    stored = gold.kernels()
    actual = toolbox.interp23(_impulse(8, 3), ratio)
    assert (actual[0, 0] - torch.from_numpy(stored[f"interp23_impulse_r{ratio}"])).abs().max() <= 1e-15
    actual = toolbox.atrous(_impulse(64, 31), ratio)
    assert (actual[0, 0] - torch.from_numpy(stored[f"atrous_r{ratio}"])).abs().max() <= 1e-15


@DTYPES
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("real", [False, True], ids=["synthetic", "real"])
def test_imresize(real, kind, scale, dtype, request):
    stored = gold.kernels(request.getfixturevalue("shared") / gold.REAL_FOLDER) if real else gold.kernels()
    x = gold.to_tensor(stored["resize_in"]).to(dtype)
    actual = toolbox.imresize(x, float(Fraction(scale.replace("_", "/"))), kind)
    gold.close(actual, gold.to_tensor(stored[f"resize_{kind}_{scale}"]), **gold.tolerances(dtype))


@pytest.mark.parametrize("real", [False, True], ids=["synthetic", "real"])
def test_correlation_and_percentile(real, request):
    stored = gold.kernels(request.getfixturevalue("shared") / gold.REAL_FOLDER) if real else gold.kernels()
    actual = toolbox.mtf_filter(gold.to_tensor(stored["edge_in"]), [0.34], 4)
    gold.close(actual, gold.to_tensor(stored["filter_replicate_QB_b0"]), rtol=1e-12, atol=1e-10)
    actual = toolbox.percentile(gold.to_tensor(stored["prctile_in"]), 1.0)
    assert actual.item() == pytest.approx(float(stored["prctile_1"]), rel=1e-12)


# ---- what the golden data do not show ------------------------------------------------------------


def test_correlate_is_a_correlation_and_not_a_convolution():
    kernel = torch.zeros(3, 3, dtype=F64)
    kernel[0, 1] = 1.0  # looks one row up
    x = torch.arange(20, dtype=F64).reshape(1, 1, 4, 5)
    expected = torch.cat([x[..., :1, :], x[..., :-1, :]], -2)
    assert torch.allclose(toolbox.correlate(x, kernel), expected, atol=1e-13)


def test_filters_take_images_smaller_than_their_kernels():
    x = torch.full((2, 1, 3, 2), 7.0, dtype=F64)
    total = toolbox.mtf_kernel(0.3, 4).sum()
    assert torch.allclose(toolbox.mtf_filter(x, [0.3], 4), 7 * total.expand(2, 1, 3, 2))
    for out in (toolbox.atrous(x, 4), toolbox.box_filter(x, 5), toolbox.interp23(x, 4)):
        assert torch.allclose(out, torch.tensor(7.0, dtype=F64), atol=1e-8)


def test_bands_are_filtered_apart():
    x = torch.rand(2, 3, 12, 10, dtype=F64)
    gains = (0.2, 0.3, 0.4)
    together = toolbox.mtf_filter(x, gains, 2)
    apart = [toolbox.mtf_filter(x[:, c : c + 1], [g], 2) for c, g in enumerate(gains)]
    assert torch.allclose(together, torch.cat(apart, 1), atol=1e-14)


@pytest.mark.parametrize("ratio", [2, 4])
def test_interpolation_keeps_the_samples(ratio):
    x = torch.rand(1, 2, 5, 7, dtype=F64)
    assert torch.equal(toolbox.decimate(toolbox.interp23(x, ratio), ratio), x)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_wavelet_transform_and_its_inverse(levels):
    x = torch.rand(1, 2, 9, 7, dtype=F64)
    low, details = toolbox.wavelet_planes(x, levels)
    assert torch.allclose(toolbox.wavelet_image(low, details), x, atol=1e-13)
    without = [tuple(torch.zeros_like(plane) for plane in planes) for planes in details]
    assert torch.allclose(toolbox.wavelet_image(low, without), toolbox.atrous(x, 2**levels), atol=1e-13)


def test_box_filter_is_the_mean_with_replicated_borders():
    x = torch.rand(1, 1, 9, 8, dtype=F64)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    assert torch.allclose(toolbox.box_filter(x, 5), torch.nn.functional.avg_pool2d(padded, 5, 1), atol=1e-14)


def test_percentile_by_band_and_its_ends():
    x = torch.tensor([[4.0, 1.0, 3.0, 2.0], [40.0, 10.0, 30.0, 20.0]], dtype=F64).reshape(1, 2, 2, 2)
    for p, value in ((0.0, 1.0), (12.5, 1.0), (37.5, 2.0), (50.0, 2.5), (100.0, 4.0)):
        assert toolbox.percentile(x, p).tolist() == [[value, 10 * value]]


LINEAR = {
    "degrade_ms": lambda x: toolbox.degrade_ms(x, (0.2, 0.35), 2),
    "degrade_pan": lambda x: toolbox.degrade_pan(x, 2),
    "interp23": lambda x: toolbox.interp23(x, 4),
    "atrous": lambda x: toolbox.atrous(x, 4),
    "box": lambda x: toolbox.box_filter(x, 3),
    "nearest": lambda x: toolbox.imresize(x, 1.5, "nearest"),
}


@pytest.mark.parametrize("operator", LINEAR.values(), ids=LINEAR.keys())
def test_adjoint(operator):
    x = torch.rand(1, 2, 8, 6, dtype=F64)
    forward = operator(x)
    y = torch.rand_like(forward)
    assert (forward * y).sum().item() == pytest.approx((x * adjoint(operator, y, x.shape)).sum().item(), rel=1e-12)


def test_gradients_flow_after_a_call_in_inference_mode():
    toolbox._resize_matrix.cache_clear()
    toolbox._cached_mtf.cache_clear()
    x = torch.rand(1, 2, 8, 6, dtype=F64)
    for operator in LINEAR.values():
        with torch.inference_mode():
            operator(x)
        leaf = x.clone().requires_grad_()
        operator(leaf).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


def test_inputs_are_untouched():
    x = torch.rand(1, 2, 8, 6, dtype=F64)
    before = x.clone()
    for operator in LINEAR.values():
        operator(x)
    toolbox.percentile(x, 3.0)
    assert torch.equal(x, before)


IMAGE = torch.ones(1, 2, 8, 8)
WRONG = {
    "gain 1.0": lambda: toolbox.mtf_kernel(1.0, 4),
    "kernel size 40": lambda: toolbox.mtf_kernel(0.3, 4, 40),
    "ratio 0": lambda: toolbox.generic_gaussian(0),
    "3, 5, 5": lambda: toolbox.correlate(IMAGE, torch.ones(3, 5, 5)),
    "4, 4": lambda: toolbox.correlate(IMAGE, torch.ones(4, 4)),
    "3 MTF gains .* 2 bands": lambda: toolbox.mtf_filter(IMAGE, (0.3, 0.3, 0.3), 4),
    "ratio 3": lambda: toolbox.interp23(IMAGE, 3),
    "ratio 8": lambda: toolbox.interp23(IMAGE, 8),
    "ratio 6": lambda: toolbox.atrous(IMAGE, 6),
    "ratio 1": lambda: toolbox.atrous(IMAGE, 1),
    "box size 4": lambda: toolbox.box_filter(IMAGE, 4),
    "scale -1.0": lambda: toolbox.imresize(IMAGE, -1.0, "bicubic"),
    "percentile 101.0": lambda: toolbox.percentile(IMAGE, 101.0),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_options_say_what_to_do(message):
    with pytest.raises(OptionError, match=f"{message}.*(give|use|works)"):
        WRONG[message]()


# ---- the comparison itself can fail --------------------------------------------------------------


def test_check_sees_one_wrong_pixel_anywhere():
    for scale in ("rr", "fr"):
        problem = gold.whole("synth6_r2", scale)
        problem.check("EXP", problem.exp)
        wrong = problem.exp.clone()
        wrong[0, 1, -30, 34] += 1.0  # at full resolution outside the windows: the means tell
        with pytest.raises(AssertionError, match=f"synth6_r2 {scale} EXP .*out"):
            problem.check("EXP", wrong)


def test_check_ignores_few_pixels_of_ill_conditioned_rules_only():
    problem = gold.whole("synth4_r4", "rr")
    assert "MTF_GLP_HPM" in problem.ill_conditioned
    for method, passes in (("MTF_GLP_HPM", True), ("MTF_GLP", False)):
        fused = problem.stored(method)[f"rr_fused_{method}"]
        fused[0, 0, :4, :5] = torch.nan  # 20 of 4096 pixels: 0.49 %
        if passes:
            problem.check(method, fused)
            fused[0, 0, 4, 0] += 1.0
        with pytest.raises(AssertionError, match="out"):
            problem.check(method, fused)


def test_check_refuses_rules_that_are_not_stored():
    problem = gold.whole("synth6_r2", "rr")
    with pytest.raises(AssertionError, match="nothing is stored"):
        problem.check("BDSD", problem.exp)
