"""Samples that stand for all: laws, on manifolds whose shape and outliers are known."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from panloom import networks, sensors
from panloom.adapt import _manifold
from panloom.adapt._manifold import describe, select, split, wanted
from panloom.errors import OptionError
from panloom.pair import Pair

F64 = torch.float64
SAMPLINGS = ("manifold", "fps", "k-center", "random")
EVERY_SAMPLING = pytest.mark.parametrize("sampling", SAMPLINGS)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def roll(count: int, outliers: int, seed: int = 0) -> torch.Tensor:
    """A sheet that is rolled up, dense at one end, in six dimensions; the first samples lie far off."""
    draw = rng(seed)
    t, h = (
        1.5 + 9 * torch.rand(count, generator=draw, dtype=F64) ** 1.5,
        6 * torch.rand(count, generator=draw, dtype=F64),
    )
    # As those of patches, descriptors say the same more than once.
    points = torch.stack([t * t.cos(), h, t * t.sin(), t, t + h, t - h], 1)
    points += 0.05 * torch.randn(count, 6, generator=draw, dtype=F64)
    away = functional.normalize(torch.randn(outliers, 3, generator=draw, dtype=F64), dim=1)
    points[:outliers, :3] += 25 * away
    return points


# ---- selection -----------------------------------------------------------------------------------


@EVERY_SAMPLING
def test_selection_is_deterministic_and_does_not_depend_on_the_order(sampling):
    points = roll(400, 4)
    order = torch.randperm(400, generator=rng(7))
    first = select(points, 12, sampling, rng())
    assert first == select(points, 12, sampling, rng())
    other = select(points[order], 12, sampling, rng())
    assert [int(order[k]) for k in other.indices] == list(first.indices)
    assert replace(other, indices=()) == replace(first, indices=())
    assert len(set(first.indices)) == 12


@pytest.mark.parametrize("seed", range(4))
def test_corrected_sampling_covers_like_chance_at_least_and_leaves_outliers(seed):
    count, few = 800, 24
    points = roll(count, 8, seed)
    manifold, plain, centre = (select(points, few, s, rng(seed)) for s in ("manifold", "fps", "k-center"))
    chance = [select(points, few, "random", rng(k)) for k in range(5)]
    assert manifold.inner <= sum(one.inner for one in chance) / len(chance)
    assert manifold.mmd <= plain.mmd
    assert manifold.outliers == math.ceil(0.01 * count)

    def far(selection: _manifold.Selection) -> int:
        return sum(k < 8 for k in selection.indices)

    assert far(manifold) == 0
    assert min(far(plain), far(centre)) > 8 / count * few, "plain farthest points over-select them"


def test_k_center_is_the_greedy_solution():
    points = roll(200, 0)
    chosen = list(select(points, 8, "k-center", rng()).indices)
    flat = _manifold.components(points)
    for k in range(1, 8):
        near = _manifold.distances(flat, flat[chosen[:k]]).amin(1)
        assert float(near[chosen[k]]) == pytest.approx(float(near.max()))


def test_paths_lead_along_the_manifold():
    """Two arms of a horseshoe: their ends are near each other, but far along it."""
    angle = torch.linspace(0.05, 2 * math.pi - 0.05, 300, dtype=F64)
    points = torch.stack([angle.cos(), angle.sin()], 1)
    around = _manifold._Around.of(points, 4)
    every = torch.ones(300, dtype=torch.bool)
    straight = (points - points[0]).norm(dim=1)
    lengths = _manifold._Paths(around, every).lengths(0, straight)
    assert float(straight[-1]) < 0.2
    assert float(lengths[-1]) == pytest.approx(2 * math.pi - 0.1, rel=0.01)
    assert bool((lengths >= straight - 1e-12).all())


def test_paths_of_several_starts_are_the_shortest_of_each():
    points = roll(150, 0)
    around, every = _manifold._Around.of(points, 6), torch.ones(150, dtype=torch.bool)
    together, none = _manifold._Paths(around, every), torch.full((150,), torch.inf, dtype=F64)
    found = [together.lengths(start, none).clone() for start in (3, 77, 140)]
    alone = torch.stack([_manifold._Paths(around, every).lengths(start, none) for start in (3, 77, 140)])
    torch.testing.assert_close(found[-1], alone.amin(0))
    assert all(bool((later <= before).all()) for before, later in pairwise(found))


def test_where_no_path_leads_the_straight_distance_counts():
    island = torch.randn(60, 2, generator=rng(), dtype=F64)
    points = torch.cat([island, island + 100])
    chosen = select(points, 4, "manifold", rng()).indices
    assert {k >= 60 for k in chosen[:2]} == {False, True}


def test_no_cluster_gives_much_more_than_its_share():
    """A dense and a thin group: the thin one, which farthest points prefer, is limited."""
    draw = rng()
    dense = torch.randn(450, 3, generator=draw, dtype=F64)
    thin = 40 * torch.randn(50, 3, generator=draw, dtype=F64) + 200
    points = torch.cat([dense, thin])
    corrected, plain = (select(points, 25, s, rng()).indices for s in ("manifold", "fps"))
    assert sum(k >= 450 for k in corrected) < sum(k >= 450 for k in plain)
    assert any(k >= 450 for k in corrected)


@EVERY_SAMPLING
@pytest.mark.parametrize("count", [1, 29, 30, 99])
def test_any_count_can_be_chosen(sampling, count):
    chosen = select(roll(30, 1), count, sampling, rng()).indices
    assert len(chosen) == len(set(chosen)) == min(count, 30)


@EVERY_SAMPLING
def test_samples_that_are_all_alike(sampling):
    found = select(torch.full((40, 3), 0.3, dtype=F64), 5, sampling, rng())
    assert len(set(found.indices)) == 5
    assert (found.radius, found.mmd) == (0, 0)


def test_descriptors_that_are_no_numbers_are_left_out():
    points = roll(50, 0)
    points[4, 2] = torch.nan
    points[9, 0] = torch.inf
    assert not {4, 9} & set(select(points, 48, "manifold", rng()).indices)
    with pytest.raises(OptionError, match="0 with a finite descriptor"):
        select(torch.full((3, 2), torch.nan), 1, "fps", rng())
    with pytest.raises(OptionError, match="0 samples"):
        select(points, 0, "fps", rng())


def test_radius_and_discrepancy_are_those_of_the_definition():
    points = roll(90, 0)
    found = select(points, 9, "manifold", rng())
    flat = _manifold.components(points)
    chosen = flat[list(found.indices)]
    assert found.radius == pytest.approx(float(torch.cdist(flat, chosen).amin(1).max()))
    assert found.inner <= found.radius
    assert _manifold.discrepancy(flat, flat) == pytest.approx(0, abs=1e-6)
    assert _manifold.discrepancy(flat, flat[:5]) > found.mmd


def test_components_keep_most_of_the_variance():
    draw = rng()
    line = torch.randn(200, 1, generator=draw, dtype=F64) @ torch.ones(1, 6, dtype=F64)
    noisy = torch.cat([1000 * line + torch.randn(200, 6, generator=draw, dtype=F64), torch.ones(200, 1)], 1)
    flat = _manifold.components(noisy)
    assert flat.shape == (200, 1)
    assert float(flat.square().mean(0).sum()) > 0.95 * 6
    assert _manifold.components(torch.randn(300, 80, generator=draw, dtype=F64)).shape[1] == _manifold.COMPONENTS


def test_memory_is_bounded_by_blocks(monkeypatch):
    """The matrix of all distances is never made."""
    rows: list[int] = []
    real = _manifold.distances

    def counted(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        rows.append(len(one) * len(other))
        return real(one, other)

    monkeypatch.setattr(_manifold, "distances", counted)
    select(roll(1500, 3), 45, "manifold", rng())
    assert max(rows) < 1500**2 / 3


@pytest.mark.parametrize(
    ("share", "have", "fewest", "count"),
    [(0.03, 2000, 1, 60), (0.03, 101, 1, 4), (0.07, 100, 1, 7), (0.03, 40, 16, 16)],
)
def test_the_number_of_samples(share, have, fewest, count):
    assert wanted(share, have, fewest) == count
    assert wanted(share, 3, 16) == 3
    assert wanted(0.0, 10, 0) == 1


def test_a_hold_out_of_a_tenth():
    learn, held = split(range(100, 154), 0.1, rng())
    assert (len(learn), len(held)) == (48, 6)
    assert sorted([*learn, *held]) == list(range(100, 154))
    assert split([5], 0.1, rng()) == ([5], [])
    assert split([5, 6], 0.0, rng()) == ([5, 6], [])


# ---- descriptors ---------------------------------------------------------------------------------


def pair(valid: torch.Tensor | None = None) -> Pair:
    draw = rng(3)
    ms, pan = torch.rand(1, 4, 16, 16, generator=draw), torch.rand(1, 1, 64, 64, generator=draw)
    known = torch.ones(1, 1, 64, 64, dtype=torch.bool) if valid is None else valid
    return Pair(
        pan, ms, ms.repeat_interleave(4, -1).repeat_interleave(4, -2), known, (1.5, 1.5), sensors.get("quickbird")
    )


@pytest.mark.parametrize(("look", "size"), [("statistics", 9), ("features", 9 + 64), ("crop", 9 + 64)])
def test_a_descriptor_holds_statistics_and_features(look, size):
    network = networks.build("fusionnet", {"bands": 4})
    found = describe(network, pair(), look)
    assert found is not None
    assert found.shape == (size,)
    assert found.dtype == F64
    assert not found.requires_grad
    torch.testing.assert_close(found[:4].float(), pair().ms.mean((2, 3))[0])
    if look == "features":
        with torch.no_grad():
            features = network.features(pair()).double()
        torch.testing.assert_close(found[9:41], features.mean((0, 2, 3)))
        torch.testing.assert_close(found[41:], features.std((0, 2, 3), correction=0))


@pytest.mark.parametrize("network", ["universal", "pnn", "pannet"])
def test_features_of_any_shape_can_be_described(network):
    net = networks.build(network, {} if network == "universal" else {"bands": 4})
    for look in ("features", "crop"):
        found = describe(net, pair(), look)
        assert found is not None
        assert bool(found.isfinite().all())


def test_pixels_that_are_not_valid_do_not_count():
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    valid[..., :20] = False
    first = pair(valid)
    changed = torch.where(valid, first.pan, 99.0)
    other = replace(first, pan=changed)
    network = networks.build("fusionnet", {"bands": 4})
    one, same = (describe(network, given, "statistics") for given in (first, other))
    assert one is not None
    assert same is not None
    assert torch.equal(one, same)
    assert describe(network, pair(torch.zeros_like(valid)), "features") is None
