"""Indices without reference: perfect input, worse input, scale, tiles, no-data, degenerate and refused input."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from panloom import metrics
from panloom.errors import OptionError
from panloom.metrics._full import FullMetric, FullScene
from panloom.optics import physical, toolbox

ALL: list[FullMetric] = [m for m in map(metrics.get, metrics.names()) if isinstance(m, FullMetric)]
IDS = [metric.name for metric in ALL]
EVERY = pytest.mark.parametrize("metric", ALL, ids=IDS)
EXACT = [metric for metric in ALL if metric.tiling == "exact"]
FREE = [metric for metric in ALL if metric.scale_free]
GAIN = 0.3


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def texture(seed: int, height: int, width: int) -> torch.Tensor:
    """Structure of every size, in DN."""
    x = sum(
        toolbox.imresize(noise(seed + k, 1, 1, height // k + 1, width // k + 1), k, "bicubic")[..., :height, :width]
        for k in (1, 2, 4, 16)
    )
    assert isinstance(x, torch.Tensor)
    return 900 + 150 * x


def scene(pan: torch.Tensor, ms: torch.Tensor, phase: float) -> FullScene:
    valid, ms_valid = (torch.ones_like(x[:, :1], dtype=torch.bool) for x in (pan, ms))
    return FullScene(pan, ms, valid, ms_valid, (phase, phase), (GAIN,) * ms.shape[1], GAIN)


@lru_cache(maxsize=8)
def problem(
    ratio: int = 2, rows: int = 64, cols: int = 64, phase: float | None = None
) -> tuple[torch.Tensor, FullScene]:
    """A truth whose bands follow PAN up to gain and some texture of their own, and its scene."""
    height, width = ratio * rows, ratio * cols
    pan = texture(1, height, width)
    gains = torch.tensor([0.6, 0.9, 1.3], dtype=torch.float64).view(1, 3, 1, 1)
    truth = gains * (pan + 0.3 * torch.cat([texture(20 + b, height, width) for b in range(3)], 1))
    phase = float(ratio // 2) if phase is None else phase
    return truth, scene(pan, physical.degrade(truth, (GAIN,), ratio, (phase, phase)), phase)


def perfect(metric: FullMetric) -> tuple[torch.Tensor, FullScene]:
    """Every band is PAN, and MS is made by the very operator of the index."""
    pan = texture(1, 128, 128)
    fused = pan.expand(1, 3, 128, 128)
    if metric.form != "toolbox":
        return fused, scene(pan, physical.degrade(fused, (GAIN,), 2, (0.5, 0.5)), 0.5)
    if "khan" in metric.name:
        return fused, scene(pan, toolbox.degrade_ms(fused, (GAIN,) * 3, 2), 1.0)
    return fused, scene(pan, toolbox.degrade_pan(pan, 2).expand(1, 3, 64, 64), 1.0)


@EVERY
def test_a_perfect_image_has_the_perfect_value(metric):
    value = metric(*perfect(metric))
    if metric.name.startswith("hqnr") and metric.form == "toolbox":
        assert value > 0.9  # its parts degrade in two ways, so no image is perfect in both
    elif "pan" in metric.name:
        assert abs(value - metric.perfect) < 0.02  # EXP is not quite the blurred truth
    else:
        assert value == pytest.approx(metric.perfect, abs=1e-9)


@pytest.mark.parametrize("metric", [m for m in ALL if "d-lambda-khan" in m.name], ids=lambda m: m.name)
def test_a_perfect_image_with_a_large_dark_part(metric):
    """Filters leave rounding where all is 0, and there no deviation scales it."""
    pan = 50 * texture(1, 192, 192)
    pan[..., :112, :112] = 0
    fused = pan.expand(1, 3, 192, 192)
    ms = (
        toolbox.degrade_ms(fused, (GAIN,) * 3, 2)
        if metric.form == "toolbox"
        else physical.degrade(fused, (GAIN,), 2, (1, 1))
    )
    ms[..., :40, :40] = 0
    value = metric(fused, scene(pan, ms, 1.0))
    # On PAN's grid 8 of the 36 blocks lie on the edge of the dark part, where EXP rings.
    assert value < (0.02 if "pan" not in metric.name else 8 / 36)


@EVERY
def test_a_worse_image_has_a_worse_value(metric):
    fused, full = perfect(metric)
    values = [metric(fused + amount * noise(5, *fused.shape), full) for amount in (0, 40, 80, 200)]
    assert values == sorted(values, reverse=metric.better == "high")
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("form", ["toolbox", "physical"])
def test_exp_has_no_spectral_distortion_between_bands(form):
    _, full = problem()
    name = "d-lambda" + ("-physical" if form == "physical" else "")
    assert metrics.get(name)(full.exp(form), full) == 0


def test_a_band_that_runs_against_the_others():
    fused, full = perfect(metrics.get("d-s-physical"))  # type: ignore[arg-type]
    other = fused.clone()
    other[:, 0] = 2000 - other[:, 0]
    assert metrics.get("d-lambda-physical")(other, full) > 0.5
    assert metrics.get("d-rho")(other, full) == pytest.approx(1 / 3, abs=0.02)  # anti-correlation counts as none


@pytest.mark.parametrize("metric", FREE, ids=[m.name for m in FREE])
def test_the_unit_does_not_matter_where_promised(metric):
    truth, full = problem()
    fused = truth + 60 * noise(6, *truth.shape)
    expected = metric(fused, full)
    for k in (1 / 65535, 1 / 2047, 16.0):
        scaled = replace(full, pan=k * full.pan, ms=k * full.ms)
        assert metric(k * fused, scaled) == pytest.approx(expected, rel=1e-9)


@EVERY
def test_rounding_refuses_fractions_and_says_what_to_use(metric):
    truth, full = problem()
    small = replace(full, pan=full.pan / 4000, ms=full.ms / 4000)
    if metric.scale_free:
        metric(truth / 4000, small)
        return
    with pytest.raises(OptionError, match=r"rounds to whole numbers.*or use d-lambda-khan.*-unrounded"):
        metric(truth / 4000, small)


def tiles(rows: list[int], cols: list[int]) -> list[tuple[slice, slice]]:
    cuts = [[slice(a, b) for a, b in itertools.pairwise(edges)] for edges in (rows, cols)]
    return list(itertools.product(*cuts))


def cut(fused: torch.Tensor, full: FullScene, core: tuple[slice, slice], halo: int):
    """A tile with its halo, and its core within it."""
    r, shape = full.ratio, full.ms.shape[-2:]
    read = [slice(max(c.start - halo, 0), min(c.stop + halo, n)) for c, n in zip(core, shape, strict=True)]
    low, high = tuple(read), tuple(slice(r * c.start, r * c.stop) for c in read)
    parts = {key: getattr(full, key)[(..., *high)] for key in ("pan", "valid")}
    parts |= {key: getattr(full, key)[(..., *low)] for key in ("ms", "ms_valid")}
    inside = tuple(slice(c.start - o.start, c.stop - o.start) for c, o in zip(core, read, strict=True))
    return fused[(..., *high)], replace(full, **parts), inside


@pytest.mark.parametrize("metric", EXACT, ids=[m.name for m in EXACT])
@pytest.mark.parametrize(("ratio", "phase"), [(2, 0.5), (3, 1.0), (4, 1.7)])
def test_tallies_of_tiles_add_up_to_the_whole(metric, ratio, phase):
    truth, full = problem(ratio, 104, 72, phase)
    fused = truth + 50 * noise(6, *truth.shape)
    full = holed(full)
    whole = metric.tally(fused, full)
    parts = []
    for core in tiles([0, 32, 104], [0, 32, 72]):
        image, part, inside = cut(fused, full, core, metric.halo)
        parts.append(metric.tally(image, part, core=inside))
    total = metrics.added(parts)
    for key, value in whole.items():
        torch.testing.assert_close(total[key], value, rtol=1e-9, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}")
    assert metric.value(total) == pytest.approx(metric.value(whole), rel=1e-10)
    if metric.block == 1:  # any core will do
        parts = [
            metric.tally(*(t := cut(fused, full, c, metric.halo))[:2], core=t[2]) for c in tiles([0, 41, 104], [0, 72])
        ]
        assert metric.value(metrics.added(parts)) == pytest.approx(metric.value(whole), rel=1e-10)


@EVERY
def test_the_toolbox_form_takes_whole_images_only(metric):
    truth, full = problem()
    core = slice(0, 32), slice(0, 64)
    if metric.form == "toolbox":
        with pytest.raises(OptionError, match="whole images only"):
            metric.tally(truth, full, core=core)
    else:
        metric.tally(truth, full, core=core)


def holed(full: FullScene) -> FullScene:
    """Without one corner of the scene, some 20 x 24 MS pixels, and one small hole."""
    r, valid, ms_valid = full.ratio, full.valid.clone(), full.ms_valid.clone()
    for rows, cols in ((slice(0, 20), slice(0, 24)), (slice(50, 52), slice(40, 43))):
        ms_valid[..., rows, cols] = False
        valid[..., slice(r * rows.start, r * rows.stop), slice(r * cols.start, r * cols.stop)] = False
    return replace(full, valid=valid, ms_valid=ms_valid)


@EVERY
def test_what_is_not_valid_in_the_fused_image_does_not_count(metric):
    truth, full = problem()
    full = holed(full)
    fused = truth + 50 * noise(6, *truth.shape)
    expected = metric.tally(fused, full)
    for rubbish in (0.0, -9999.0, math.nan, math.inf):
        tally = metric.tally(torch.where(full.valid, fused, rubbish), full)
        assert all(torch.equal(tally[key], expected[key]) for key in expected)
    assert math.isfinite(metric.value(expected))


@pytest.mark.parametrize("metric", EXACT, ids=[m.name for m in EXACT])
def test_blocks_without_data_are_left_out(metric):
    """What stands in the no-data corner hardly matters, though filters reach a little into it."""
    truth, full = problem()
    full = holed(full)
    fused = truth + 50 * noise(6, *truth.shape)
    other = replace(full, ms=torch.where(full.ms_valid, full.ms, 700.0), pan=torch.where(full.valid, full.pan, 700.0))
    assert metric(fused, other) == pytest.approx(metric(fused, full), abs=3e-3)
    key = next(key for key in metric.tally(fused, full) if key.endswith("count"))
    number = [float(metric.tally(fused, each)[key]) for each in (problem()[1], full)]
    assert number[1] < number[0]


@EVERY
def test_no_data_at_all_is_an_error(metric):
    truth, full = problem()
    empty = replace(full, valid=torch.zeros_like(full.valid), ms_valid=torch.zeros_like(full.ms_valid))
    with pytest.raises(OptionError, match=r"nothing to compare|no pixel"):
        metric(truth, empty)


@EVERY
@pytest.mark.parametrize("rubbish", [math.nan, math.inf])
def test_rubbish_that_counts_is_an_error(metric, rubbish):
    truth, full = problem()
    fused = truth.clone()
    fused[0, 1, 30, 40] = rubbish
    with pytest.raises(OptionError, match="NaN or infinite"):
        metric(fused, full)


@EVERY
@pytest.mark.parametrize("level", [0.0, 100.0, 0.1])
def test_constant_images_are_perfect(metric, level):
    pan, ms = (torch.full(shape, level, dtype=torch.float64) for shape in ((1, 1, 128, 128), (1, 3, 64, 64)))
    fused, full = pan.expand(1, 3, 128, 128), scene(pan, ms, 1.0)
    if level == 0.1 and "unrounded" not in metric.name and not metric.scale_free:
        with pytest.raises(OptionError, match="rounds to whole numbers"):
            metric(fused, full)
    elif level and metric.form == "toolbox" and "unrounded" in metric.name:
        # The kernels have a sum below 1, and Q2n of two different constants is 0.
        assert metric(fused, full) == pytest.approx(1 - metric.perfect, abs=1e-3)
    else:
        assert metric(fused, full) == pytest.approx(metric.perfect, abs=1e-9)


@EVERY
def test_constant_parts_zeros_and_negative_values_give_a_number(metric):
    truth, full = problem()
    fused, pan, ms = truth.clone(), full.pan.clone(), full.ms.clone()
    pan[..., :64, :64], ms[..., :32, :32], fused[..., :64, 10:64] = 0, 0, 0
    ms[:, 1, 32:], fused[:, 1, 64:], fused[:, 2, :, :32] = 300, 310, -50
    value = metric(fused, replace(full, pan=pan, ms=ms))
    assert 0 <= value <= 2


@EVERY
def test_sizes_that_are_no_multiple_of_the_block(metric):
    truth, full = problem(2, 40, 53)
    tally = metric.tally(truth, full)
    assert 0 <= metric.value(tally) <= 1
    counts = {
        "d-lambda": 6,  # 80 x 106 PAN pixels hold 2 x 3 whole blocks of 32
        "d-s": 6,
        "d-s-block8": 130,
        "d-lambda-khan": 4,  # 40 x 53 MS pixels, mirrored to 64 x 64
        "d-lambda-khan-pan": 12,  # 80 x 106 PAN pixels, mirrored to 96 x 128
    }
    if metric.name in counts:
        first = next(value for key, value in tally.items() if key.endswith("count"))
        assert float(first) == counts[metric.name]


@EVERY
def test_a_scene_smaller_than_a_block(metric):
    truth, full = problem(2, 10, 12)
    if "khan" in metric.name or metric.name in ("d-rho", "d-s-block8", "d-s-block16", "d-s-block8-physical"):
        assert -1e-9 <= metric(truth, full) <= 1
    elif "block16" not in metric.name:
        with pytest.raises(OptionError, match="nothing to compare"):
            metric(truth, full)


@EVERY
def test_any_number_of_bands(metric):
    for bands in (1, 2, 5):
        truth, full = problem()
        truth, ms = (x.repeat(1, 2, 1, 1)[:, :bands] for x in (truth, full.ms))
        few = replace(full, ms=ms, gains=(GAIN,) * bands)
        if bands == 1 and (
            metric.name.startswith(("qnr", "d-lambda-qnr", "d-lambda-physical")) or metric.name == "d-lambda"
        ):
            with pytest.raises(OptionError, match="image of one band has none"):
                metric(truth, few)
        else:
            assert 0 <= metric(truth, few) <= 1
            if metric.bands is not None:
                assert metric.bands(metric.tally(truth, few)).shape == (bands,)


@EVERY
def test_an_image_of_another_size_is_an_error(metric):
    truth, full = problem()
    with pytest.raises((OptionError, TypeError)):
        metric(truth[..., :-2], full)
    with pytest.raises((OptionError, TypeError)):
        metric(truth[:, :2], full)


@EVERY
def test_float32_and_integers_are_as_good(metric):
    truth, full = problem()
    exact = metric(truth.round(), full)
    assert metric(truth.round().to(torch.uint16), full) == exact
    single = replace(full, pan=full.pan.float(), ms=full.ms.float())
    assert metric(truth.round().float(), single) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("name", ["hqnr", "hqnr-k-pan", "hqnr-physical", "qnr", "qnr-physical"])
def test_the_tally_of_a_product_is_that_of_its_parts(name):
    truth, full = problem()
    fused = truth + 50 * noise(6, *truth.shape)
    form = "-physical" if name.endswith("physical") else ""
    spectral = {"hqnr": "d-lambda-khan", "hqnr-k-pan": "d-lambda-khan-pan", "qnr": "d-lambda"}[name.removesuffix(form)]
    parts = metrics.get(spectral + form), metrics.get("d-s" + form)
    tally = metrics.get(name).tally(fused, full)
    assert tally.keys() == parts[0].tally(fused, full).keys() | parts[1].tally(fused, full).keys()
    one, other = (part.value(tally) for part in parts)
    assert (one, other) == (parts[0](fused, full), parts[1](fused, full))
    assert metrics.get(name).value(tally) == (1 - one) * (1 - other)


def test_the_value_of_another_tally_is_refused():
    truth, full = problem()
    with pytest.raises(OptionError, match="holds nothing of d-s-physical"):
        metrics.get("d-s-physical").value(metrics.get("d-s").tally(truth, full))


def test_the_phase_matters_in_the_physical_form_only():
    truth, full = problem(4, 40, 40, 0.0)
    wrong = replace(full, phase=(2.0, 2.0))
    for name, ratio in (("d-lambda-khan", 1.0), ("d-s", 1.0)):
        right, other = (metrics.get(f"{name}-physical")(truth, each) for each in (full, wrong))
        assert other > 2 * right
        assert metrics.get(name)(truth, full) == ratio * metrics.get(name)(truth, wrong)
