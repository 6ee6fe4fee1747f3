"""PAN brought to where MS lies: an exact inverse of what displaced it, left alone where nothing can be believed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from panloom.data import procedural
from panloom.optics import alignment
from panloom.optics.alignment import NEGLIGIBLE, NOWHERE, REACH, Aligned, Moved, aligned, moved, offset, windows
from panloom.pair import Pair, SceneLike
from panloom.run.resolve import resolve
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Window

OFFSETS = [(0.3, -0.2), (-0.5, 0.5), (1.4, 0.0), (0.0, -2.75)]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def wave(by: tuple[float, float] = (0.0, 0.0), size: int = 64) -> torch.Tensor:
    """A smooth image that is known between its pixels too."""
    row, col = torch.meshgrid(*(torch.arange(size, dtype=torch.float64) + b for b in by), indexing="ij")
    return (torch.sin(0.9 * row + 0.4 * col) + torch.cos(0.5 * col - 0.7 * row))[None, None]


def scene(beside: tuple[float, float] = (0.0, 0.0), ratio: int = 4, side: int = 512) -> Scene:
    recording = procedural.Recording(ratio=ratio, dtype="float32", misregistration=beside)
    made = procedural.make(side, side, sensor="quickbird", wedge=False, recording=recording)
    pan, ms = (torch.from_numpy(x)[None] / 2047 for x in (made.pan[None], made.ms))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase)


def whole(of: SceneLike) -> Pair:
    cells = Window(0, 0, *of.grid.cells)
    return of.read(Tile(0, cells.scaled(of.grid.ratio), cells))


@pytest.mark.parametrize("by", OFFSETS)
def test_moved_is_what_a_displaced_instrument_records(by):
    edge = math.ceil(REACH + max(map(abs, by)))
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    torch.testing.assert_close(moved(wave(), by)[inner], wave(by)[inner], rtol=0, atol=2e-3)


@pytest.mark.parametrize("by", OFFSETS)
def test_moving_there_and_back_changes_nothing_that_is_smooth(by):
    edge = 2 * math.ceil(REACH + max(map(abs, by)))
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    back = moved(moved(wave(), by), (-by[0], -by[1]))
    torch.testing.assert_close(back[inner], wave()[inner], rtol=0, atol=3e-3)


def test_whole_pixels_are_moved_exactly_and_constants_stay():
    image = torch.rand(2, 1, 20, 22, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved(image, (3.0, -2.0))[..., :17, 2:], image[..., 3:, :-2], rtol=0, atol=1e-12)
    flat = torch.full((1, 1, 16, 16), 0.7, dtype=torch.float64)
    torch.testing.assert_close(moved(flat, (0.4, 0.1)), flat, rtol=0, atol=1e-12)
    assert moved(image, NOWHERE) is image


def test_a_pixel_looks_no_further_than_it_is_said():
    by = (0.4, -1.3)
    image = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    image[..., 20, 20] = 1.0
    rows, cols = moved(image, by)[0, 0].nonzero().T
    assert int((rows - 20).abs().max()) <= REACH + math.ceil(abs(by[0]))
    assert int((cols - 20).abs().max()) <= REACH + math.ceil(abs(by[1]))
    assert alignment.halo(by, 4) == math.ceil((REACH + 1.3) / 4)
    assert alignment.halo(NOWHERE, 4) == 0


@pytest.mark.parametrize("ratio", [2, 4])
@pytest.mark.parametrize("beside", [(0.3, -0.2), (-0.45, 0.1)])
def test_the_offset_of_a_scene_is_found(beside, ratio):
    found = aligned(scene(beside, ratio)).offset
    assert found == pytest.approx(beside, abs=0.08)


def test_an_aligned_scene_has_no_offset_and_its_ms_is_untouched():
    of = scene((0.4, -0.3))
    brought = aligned(of)
    assert brought.offset != NOWHERE
    assert math.hypot(*offset(windows(brought), 4)) < 0.1
    before, after = whole(of), whole(brought)
    assert torch.equal(before.ms, after.ms)
    assert torch.equal(before.exp, after.exp)
    torch.testing.assert_close(after.pan, moved(before.pan, brought.offset))


def test_all_ways_into_an_aligned_scene_see_the_same_pan():
    of = scene((0.4, -0.3), side=256)
    brought = Aligned(of, (0.4, -0.3))
    (sampled,) = brought.sample(1, 32, torch.Generator().manual_seed(3))
    top, left = sampled.origin
    edge = math.ceil(REACH + 0.4)
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    place = (..., slice(top, top + 128), slice(left, left + 128))
    torch.testing.assert_close(sampled.pan[inner], whole(brought).pan[place][inner])
    (low,), (before,) = list(brought.survey()), list(of.survey())
    torch.testing.assert_close(low.pan, moved(before.pan, (0.1, -0.075)))
    assert torch.equal(low.ms, before.ms)


def test_a_method_that_does_not_move_pan_can_be_shown_a_moved_one():
    of = scene((0.4, -0.3), side=256)
    brought, rng = aligned(of), torch.Generator()
    method = resolve("gsa")
    ready = Moved(method).prepare(of, rng)
    expected = method.prepare(brought, rng)(whole(brought))
    torch.testing.assert_close(ready(whole(of)), expected)
    assert ready.traits.halo == method.traits.halo + brought.halo
    assert not torch.allclose(method.prepare(of, rng)(whole(of)), expected, atol=1e-3)


@pytest.mark.parametrize(
    "of",
    [
        scene(),
        scene(side=64),  # too small to be measured
        scene((7.0, 0.0)),  # further than an MS pixel
    ],
    ids=["aligned", "small", "far"],
)
def test_nothing_is_moved_without_a_reason(of):
    assert aligned(of).offset == NOWHERE


def test_noise_has_no_offset():
    of = scene(side=256)
    pair = whole(of)
    noise = torch.rand(pair.ms.shape, generator=torch.Generator().manual_seed(1))
    assert offset([replace(pair, ms=noise)], 4) == NOWHERE


def test_what_is_within_its_own_error_is_left(monkeypatch):
    found = alignment.measure([whole(scene(side=256))])
    for row, spread, expected in [
        (0.05, 0.01, (0.2, 0.0)),
        (0.05, 0.06, NOWHERE),
        (NEGLIGIBLE / 5, 0.0, NOWHERE),
        (1.1, 0.0, NOWHERE),
    ]:
        shift = replace(found, row=row, col=0.0, spread=spread, confidence=0.9)
        monkeypatch.setattr(alignment, "measure", lambda pairs, shift=shift: shift)
        assert offset([], 4) == pytest.approx(expected)
