"""Which patches are learned from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tailor_tools import land, rng, whole

from panloom.adapt._selection import CHOICES, candidates, chosen, described, farthest, windows
from panloom.types import Window


def spread(points: torch.Tensor, order: list[int]) -> float:
    """The largest distance of a point from the nearest chosen one, in scaled descriptors."""
    std, mean = torch.std_mean(points, 0, correction=0)
    scaled = (points - mean) / std
    return float(torch.cdist(scaled, scaled[order]).min(1).values.max())


@pytest.mark.parametrize("seed", range(5))
def test_farthest_points_cover_at_least_as_well_as_drawn_ones(seed):
    points = torch.randn(60, 7, generator=rng(seed), dtype=torch.float64) ** 3
    drawn = [spread(points, CHOICES["random"](points, 6, rng(k))) for k in range(20)]
    assert spread(points, farthest(points, 6, rng())) <= sum(drawn) / len(drawn)


def test_farthest_points_take_one_of_each_cluster():
    centres = 10 * torch.eye(5, dtype=torch.float64)
    points = torch.cat([centres + 0.01 * torch.randn(5, 5, generator=rng(k), dtype=torch.float64) for k in range(8)])
    assert sorted(k % 5 for k in farthest(points, 5, rng())) == [0, 1, 2, 3, 4]


def test_farthest_points_do_not_depend_on_the_order_of_candidates():
    points = torch.randn(40, 5, generator=rng(), dtype=torch.float64)
    order = torch.randperm(40, generator=rng(1))
    there = farthest(points[order], 7, rng())
    assert [int(order[k]) for k in there] == farthest(points, 7, rng())


@pytest.mark.parametrize("how", CHOICES)
def test_choices_are_distinct_bounded_and_follow_the_seed(how):
    points = torch.randn(23, 5, generator=rng(), dtype=torch.float64)
    for count in (1, 4, 23):
        order = CHOICES[how](points, count, rng(3))
        assert len(set(order)) == len(order) == count
        assert order == CHOICES[how](points, count, rng(3))
    assert set(CHOICES[how](torch.zeros(4, 5, dtype=torch.float64), 4, rng())) == {0, 1, 2, 3}


def test_texture_takes_the_roughest_and_uniform_spreads():
    points = torch.arange(12.0, dtype=torch.float64)[:, None].expand(-1, 3)
    assert CHOICES["texture"](points, 3, rng()) == [11, 10, 9]
    assert CHOICES["uniform"](points, 3, rng()) == [2, 6, 10]


@pytest.mark.parametrize(
    ("height", "width", "multiple"), [(40, 43, 1), (128, 128, 1), (17, 16, 1), (44, 30, 4), (9, 7, 2)]
)
def test_windows_cover_an_image_and_are_of_one_size(height, width, multiple):
    found = windows(height, width, 16, multiple)
    assert len({(w.height, w.width) for w in found}) == 1
    assert all(n % multiple == 0 for w in found for n in (w.row, w.col, w.height, w.width))
    seen = torch.zeros(height, width, dtype=torch.bool)
    for w in found:
        seen[w.inside(Window(0, 0, 0, 0))] = True
    assert bool(seen[: height - height % multiple, : width - width % multiple].all())


def test_an_image_below_the_multiple_has_no_windows():
    assert windows(3, 40, 16, 4) == []


def test_descriptors_do_not_see_what_is_not_valid():
    pair = whole(land())
    window = Window(8, 8, 16, 16)
    valid = pair.valid[..., 32:96, 32:96].clone()
    valid[..., :30, :] = False
    rubbish = replace(pair, pan=pair.pan.clone(), exp=pair.exp.clone())
    rubbish.pan[..., 32:62, 32:96], rubbish.exp[..., 32:62, 32:96] = 99.0, -99.0
    assert torch.equal(described(pair, window, valid), described(rubbish, window, valid))
    assert torch.isfinite(described(pair, window, valid)).all()


def test_a_single_valid_pixel_has_a_descriptor():
    pair = whole(land())
    valid = torch.zeros_like(pair.valid[..., 32:96, 32:96])
    valid[..., 5, 5] = True
    assert torch.isfinite(described(pair, Window(8, 8, 16, 16), valid)).all()


def test_mostly_valid_patches_come_first_and_the_only_one_is_taken():
    pair = whole(land())
    valid = torch.zeros_like(pair.valid)
    valid[..., :64, :64] = True
    found = candidates([replace(pair, valid=valid)], 16, 1)
    assert [one.window for one in found] == [Window(0, 0, 16, 16)]
    valid[..., 20:, :] = False
    partly = candidates([replace(pair, valid=valid)], 16, 1)
    assert Window(0, 0, 16, 16) in [one.window for one in partly]
    assert candidates([replace(pair, valid=torch.zeros_like(valid))], 16, 1) == []


def test_candidates_of_several_tiles_say_which():
    pair = whole(land())
    found = candidates([pair, pair], 16, 1)
    assert [one.tile for one in found] == [0] * 9 + [1] * 9
    assert len(chosen(found, 99, "farthest", rng())) == 18
    assert chosen([], 4, "farthest", rng()) == []
