"""The residual PAN/MS shift: accurate on known models and real pairs, not believed where nothing shows."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from panloom.errors import OptionError
from panloom.optics.physical import degrade
from panloom.optics.registration import MIN_CONFIDENCE, NOTHING, Shift, combine, measure, measure_shift
from panloom.pair import Pair
from panloom.types import Band, Sensor

SIZE = 80
MARGIN = 8
SHIFTS = [(0.0, 0.0), (0.25, -0.4), (1.3, 0.7), (-2.6, 3.0)]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def texture(size: int, seed: int) -> torch.Tensor:
    """(3, size, size): overlapping fields and roofs, sharp edges, three independent materials, fine grain."""
    rng = np.random.default_rng(seed)
    image = np.full((3, size, size), 0.4)
    for _ in range(size * size // 250):
        r, c = rng.integers(-10, size, 2)
        h, w = rng.integers(3, 30, 2)
        image[:, max(r, 0) : r + h, max(c, 0) : c + w] = rng.uniform(0.1, 0.9, (3, 1, 1))
    return torch.from_numpy(image + 0.02 * rng.standard_normal(image.shape))


def observe(ratio: int, shift=(0.0, 0.0), size=SIZE, noise=0.004, seed=0, gains=(0.34, 0.32, 0.30, 0.22)):
    """PAN, four bands and the phase that the files state; MS samples really lie `shift` MS pixels off it."""
    rng = torch.Generator().manual_seed(seed)
    materials = texture(ratio * (size + 2 * MARGIN), seed)
    mix = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.3, 0.5, 0.2], [0.0, 0.2, 0.8]], dtype=torch.float64)
    bands = torch.einsum("cm,mhw->chw", mix, materials)
    pan = torch.tensor([0.15, 0.35, 0.35, 0.15], dtype=torch.float64) @ bands.flatten(1)
    pan = pan.view(bands.shape[1:])
    phase = (ratio / 2 - 0.5, ratio / 2 - 0.25)
    true = [p + ratio * s for p, s in zip(phase, shift, strict=True)]
    cells = [math.floor((t + 0.5) / ratio) for t in true]
    ms = degrade(bands[None], gains, ratio, tuple(t - ratio * n for t, n in zip(true, cells, strict=True)))[0]
    row, col = (MARGIN + n for n in cells)
    ms = ms[:, row : row + size, col : col + size]
    pan = pan[ratio * MARGIN :, ratio * MARGIN :][: ratio * size, : ratio * size]
    ms = ms + noise * torch.randn(ms.shape, generator=rng, dtype=ms.dtype)
    pan = pan + noise * torch.randn(pan.shape, generator=rng, dtype=pan.dtype)
    return pan.float(), ms.float(), phase


def off(found: Shift, shift) -> float:
    return max(abs(found.row - shift[0]), abs(found.col - shift[1]))


@pytest.mark.parametrize("ratio", [2, 4])
@pytest.mark.parametrize("shift", SHIFTS)
def test_known_shift_is_found(ratio, shift):
    found = measure_shift(*observe(ratio, shift))
    assert off(found, shift) < 0.03
    assert found.confidence > 0.6
    assert found.windows == 1
    assert found.spread < 0.05


@given(st.floats(-4, 4), st.floats(-4, 4), st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_any_shift_is_found(row, col, seed):
    assert off(measure_shift(*observe(2, (row, col), size=64, seed=seed)), (row, col)) < 0.1


@pytest.mark.parametrize("gain", [0.15, 0.5])
def test_wrong_gain_does_not_move_the_result(gain):
    assert off(measure_shift(*observe(4, (0.25, -0.4)), gain=gain), (0.25, -0.4)) < 0.05


def test_other_ratios_and_many_bands():
    assert off(measure_shift(*observe(3, (0.6, -1.2))), (0.6, -1.2)) < 0.05
    pan, ms, phase = observe(2, (0.6, -1.2))
    cube = torch.einsum("kc,chw->khw", torch.rand(40, 4, generator=torch.Generator().manual_seed(1)), ms)
    assert off(measure_shift(pan, cube, phase), (0.6, -1.2)) < 0.05


def test_transpose_swaps_row_and_col():
    pan, ms, phase = observe(4, (1.3, 0.7))
    a, b = measure_shift(pan, ms, phase), measure_shift(pan.T, ms.mT, phase[::-1])
    assert (a.row, a.col) == pytest.approx((b.col, b.row), abs=1e-3)


def test_units_do_not_matter():
    pan, ms, phase = observe(2, (0.25, -0.4))
    a = measure_shift(pan, ms, phase)
    scale = torch.tensor([1.0, 1e4, 10.0, 2047.0])[:, None, None]
    b = measure_shift(3000 * pan + 500, ms * scale + 7, phase)
    assert (a.row, a.col, a.confidence) == pytest.approx((b.row, b.col, b.confidence), abs=1e-4)


def test_no_data_is_left_out():
    pan, ms, phase = observe(2, (1.3, 0.7))
    valid = torch.ones(SIZE, SIZE, dtype=torch.bool)
    valid[:, :30] = False
    pan[:, :60], ms[:, :, :30] = 0.4, 0.4
    before = pan.clone(), ms.clone(), valid.clone()
    found = measure_shift(pan, ms, phase, valid)
    assert off(found, (1.3, 0.7)) < 0.05
    assert all(torch.equal(a, b) for a, b in zip(before, (pan, ms, valid), strict=True))
    assert measure_shift(pan, ms, phase, torch.zeros_like(valid)) == NOTHING


def unreadable(name: str, ratio: int = 4, size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """A window whose shift cannot be known."""
    rng = torch.Generator().manual_seed(3)
    noise = torch.randn(ratio * size, ratio * size, generator=rng), torch.randn(4, size, size, generator=rng)
    if name == "noise":
        return noise
    if name == "constant with noise":
        return 0.4 + 0.002 * noise[0], 0.3 + 0.002 * noise[1]
    if name == "constant":
        return torch.full_like(noise[0], 8123.0), torch.full_like(noise[1], 7003.0)
    if name == "constant ms":
        return noise[0], torch.full_like(noise[1], 0.3)
    if name == "two places":
        return observe(ratio, seed=1)[0], observe(ratio, seed=2)[1]
    if name == "shifted too far":
        pan, ms, _ = observe(ratio)
        return pan.roll(14 * ratio, 0), ms
    y, x = torch.meshgrid(*2 * [torch.arange(ratio * (size + 8), dtype=torch.float64)], indexing="ij")
    truth = {
        "gradient": 0.2 + x / 1000 + y / 700,
        "stripes": 0.5 + 0.2 * torch.sin(x / 3 + y / 7),
        "road": ((x + 0.4 * y) % 200 < 9).double(),
        "checks": ((x // 10 + y // 10) % 2) * 0.5,
        "houses": ((x % 29 < 14) & (y % 23 < 12)).double(),
        "waves": 0.5 + 0.2 * torch.sin(x / 3.1) + 0.2 * torch.sin(y / 4.3),
    }[name]
    ms = degrade(truth[None, None].expand(1, 4, -1, -1), [0.3], ratio, (ratio / 2 - 0.5,) * 2)[0]
    inside = slice(4 * ratio, -4 * ratio)
    return truth[inside, inside].float() + 0.003 * noise[0], ms[:, 4:-4, 4:-4].float() + 0.003 * noise[1]


FLAT = ["constant", "constant ms", "noise", "constant with noise", "gradient"]
AMBIGUOUS = ["stripes", "road", "checks", "houses", "waves", "two places", "shifted too far"]


@pytest.mark.parametrize("name", FLAT + AMBIGUOUS)
def test_unreadable_windows_are_not_believed(name):
    pan, ms = unreadable(name)
    assert measure_shift(pan, ms, (1.5, 1.5)).confidence < MIN_CONFIDENCE / 2


@pytest.mark.parametrize("size", [8, 16, 32, 48])
@pytest.mark.parametrize("seed", range(3))
def test_small_windows_of_noise_are_not_believed(size, seed):
    rng = torch.Generator().manual_seed(seed)
    pan, ms = torch.rand(2 * size, 2 * size, generator=rng), torch.rand(8, size, size, generator=rng)
    assert measure_shift(pan, ms, (0.5, 0.5)).confidence < MIN_CONFIDENCE / 2


def test_bad_arguments_say_what_to_do():
    pan, ms, phase = observe(2)
    with pytest.raises(OptionError, match="crop both"):
        measure_shift(pan[:-1], ms, phase)
    with pytest.raises(OptionError, match="between 0 and 1"):
        measure_shift(pan, ms, phase, gain=1.5)


def test_combine_takes_the_median_of_the_confident():
    good = [Shift(0.5 + d, -1.0 - d, 0.8, 1, 0.01) for d in (-0.02, 0.0, 0.02, 0.01, -0.01)]
    blind = [Shift(7.0, 7.0, 0.02, 1, 0.3), NOTHING]
    stray = Shift(3.0, -4.0, 0.6, 1, 0.05)
    found = combine([*good, *blind, stray])
    assert (found.row, found.col) == pytest.approx((0.5, -1.0))
    assert found.windows == 5
    assert found.confidence == pytest.approx(0.8 * 5 / 6)
    assert 0.01 < found.spread < 0.05
    assert found.distance == pytest.approx(math.hypot(0.5, 1.0))
    assert combine(blind) == combine([]) == NOTHING
    assert combine([good[0], *blind]) == good[0]


def test_combine_shows_a_shift_that_varies():
    drift = [Shift(d, 0.0, 0.8, 1, 0.01) for d in (-0.6, -0.3, 0.0, 0.3, 0.6)]
    found = combine(drift)
    assert found.row == pytest.approx(0.0)
    assert found.spread > 0.3
    assert found.windows == 5


def as_pair(pan, ms, phase, sensor=None) -> Pair:
    return Pair(
        pan=pan[None, None],
        ms=ms[None],
        exp=torch.zeros(1, ms.shape[0], *pan.shape),
        valid=torch.ones(1, 1, *pan.shape, dtype=torch.bool),
        phase=phase,
        sensor=sensor,
    )


def test_measure_takes_pairs():
    bands = tuple(Band(n, 500.0, 60.0, g) for n, g in zip("bgrn", (0.34, 0.32, 0.30, 0.22), strict=True))
    sensor = Sensor("test", bands, Band("pan", 650.0, 300.0, 0.15), 4, None)
    pairs = [as_pair(*observe(4, (0.25, -0.4), seed=i), sensor=sensor) for i in range(3)]
    pairs.append(as_pair(*unreadable("noise"), phase=pairs[0].phase))
    found = measure(pairs)
    assert off(found, (0.25, -0.4)) < 0.02
    assert found.windows == 3
    hidden = [replace(p, valid=torch.zeros_like(p.valid)) for p in pairs]
    assert measure(hidden) == NOTHING
    both = replace(
        pairs[0],
        **{name: getattr(pairs[0], name).repeat(2, 1, 1, 1) for name in ("pan", "ms", "exp", "valid")},
    )
    assert measure([both]).windows == 2


def test_a_window_takes_less_than_150_ms():
    pan, ms, phase = observe(4, (1.3, 0.7), size=128)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        measure_shift(pan, ms, phase)
        best = min(best, time.perf_counter() - start)
    assert best < 0.15


# name, bands near PAN's range (None: all)
REAL = [
    ("fuse_L7_13", None),
    ("fuse_L7_24", None),
    ("fuse_L7_30", None),
    ("gppnn_Landsat8-5", [1, 2, 3, 4]),
    ("rup_L8", None),
    ("mm_L8", None),
    ("vitale_WV2", None),
    ("li_Urban", None),
    ("li_Cropland", None),
    ("dgif_2", None),
    ("dgif_3", None),
    ("solaris_1d", None),
]


def load(shared, name: str, bands: list[int] | None):
    """PAN, MS and the manifest entry of a real pair."""
    folder = shared / "data" / "pansharpening"
    entry = next(e for e in json.loads((folder / "manifest.json").read_text()) if e["name"] == name)
    with np.load(folder / entry["split"] / f"{name}.npz") as data:
        pan, ms = data["pan"].astype(np.float32), data["ms"].astype(np.float32)
    ms = torch.from_numpy(ms).permute(2, 0, 1)
    return torch.from_numpy(pan), ms if bands is None else ms[bands], entry


def cut(pan, ms, ratio: int, row: int, col: int, size: int = 128, k: tuple[int, int] = (0, 0)):
    """A window in MS pixels, its PAN cut out `k` PAN pixels further down and right; corner-aligned phase."""
    top, left = ratio * row + k[0], ratio * col + k[1]
    window = pan[top : top + ratio * size, left : left + ratio * size]
    return window, ms[:, row : row + size, col : col + size].contiguous(), ((ratio - 1) / 2,) * 2


@pytest.mark.parametrize(("name", "bands"), REAL, ids=[n for n, _ in REAL])
def test_real_pairs(shared, name, bands):
    pan, ms, entry = load(shared, name, bands)
    ratio, (h, w) = entry["ratio"], ms.shape[-2:]
    places = [(r, c) for r in (8, (h - 128) // 2, h - 136) for c in (8, (w - 128) // 2, w - 136)]
    found = combine([measure_shift(*cut(pan, ms, ratio, r, c)) for r, c in places[::2]])
    assert off(found, entry["remaining_shift_ms_px_yx"]) < 0.06
    assert found.windows >= 4
    assert found.confidence > 0.5
    centre = places[4]
    own = measure_shift(*cut(pan, ms, ratio, *centre))
    for k in ((1, -2), (3, 5), (-6, 1), (-7, -11)):
        moved = measure_shift(*cut(pan, ms, ratio, *centre, k=k))
        # PAN content comes k pixels earlier, so the MS samples lie k PAN pixels further up and left on it.
        put_in = (-k[0] / ratio, -k[1] / ratio)
        assert off(moved, (own.row + put_in[0], own.col + put_in[1])) < 0.05
        assert moved.confidence > 0.5
