"""The masked fit: what is frozen stays bit for bit, the best is kept, and broken numbers change nothing."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from swift_tools import Small, example, examples, rng, same

from panloom.adapt._masked import Loss, Masks, Schedule, Task, fit
from panloom.data.example import Example
from panloom.errors import PanloomWarning
from panloom.networks import Network

SHORT = Schedule(lr=1e-2, final=1e-3, batch=4, epochs=6)


def drawn(network: Network, share: float) -> Masks:
    draw = rng(9)
    return tuple(torch.rand(p.shape, generator=draw) < share for p in network.parameters())


def everything(network: Network) -> Masks:
    return tuple(torch.ones_like(p, dtype=torch.bool) for p in network.parameters())


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_frozen_entries_stay_bit_for_bit(kind, layout):
    source = Small().to(kind).to(memory_format=layout)
    network, masks = copy.deepcopy(source), drawn(source, 0.3)
    curve = fit(network, masks, Task(examples(10)), range(8), (), SHORT, rng())
    changed = 0
    for old, new, mask in zip(source.parameters(), network.parameters(), masks, strict=True):
        assert torch.equal(old[~mask], new[~mask])
        changed += int((old != new)[mask].sum())
    assert changed > 10
    assert (curve.best, curve.reason) == (12, "")
    assert not any(p.requires_grad for p in network.parameters())


def test_all_free_is_ordinary_adam():
    network, given = Small(), examples(4)
    plain = copy.deepcopy(network)
    constant = Schedule(lr=3e-3, final=3e-3, warmup=0.0, batch=4, epochs=5)
    task = Task(given)
    fit(network, everything(network), task, range(4), (), constant, rng())
    optimizer = torch.optim.Adam([p for p in plain.parameters() if p is not plain.idle], lr=3e-3)
    batch = task._batches([0, 1, 2, 3], plain)
    ((_, whole),) = list(batch)
    for _ in range(5):
        optimizer.zero_grad()
        (plain(whole.pair) - whole.truth).abs().mean().backward()
        optimizer.step()
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("schedule", [replace(SHORT, epochs=0), replace(SHORT, seconds=0.0)])
def test_no_steps_are_the_identity(schedule):
    source = Small()
    network = copy.deepcopy(source)
    curve = fit(network, everything(source), Task(examples(6)), range(4), (4, 5), schedule, rng())
    assert same(network, source)
    assert [point.step for point in curve.points] == [0]


def test_empty_masks_and_no_examples_change_nothing():
    source = Small()
    network = copy.deepcopy(source)
    fit(network, drawn(source, 0.0), Task(examples(4)), range(4), (), SHORT, rng())
    fit(network, everything(source), Task(examples(4)), (), (), SHORT, rng())
    assert same(network, source)


def test_the_best_on_the_hold_out_is_kept():
    source, task, held = Small(), Task(examples(10)), (8, 9)
    network = copy.deepcopy(source)
    curve = fit(network, everything(source), task, range(8), held, replace(SHORT, epochs=10), rng())
    found = {point.step: point.held for point in curve.points}
    assert found[curve.best] == min(found.values())
    assert task.value(network, held) == pytest.approx(found[curve.best])
    assert found[curve.best] < task.value(source, held)
    assert all(later.seconds > before.seconds for before, later in pairwise(curve.points))


def test_steps_that_lead_astray_are_not_kept():
    source, task = Small(), Task(examples(6))
    network = copy.deepcopy(source)
    wild = Schedule(lr=1e3, final=1e3, batch=4, epochs=2)
    curve = fit(network, everything(source), task, range(4), (4, 5), wild, rng())
    assert curve.best == 0
    assert same(network, source)


@pytest.mark.parametrize("held", [(), (4, 5)])
@pytest.mark.parametrize("where", [0, 4])
def test_a_loss_that_is_no_number_gives_the_source(held, where):
    given = examples(6)
    given[where] = Example(given[where].pair, torch.full_like(given[where].truth, torch.nan))
    source, task = Small(), Task(given)
    if where == 4 and not held:
        return
    network = copy.deepcopy(source)
    with pytest.warns(PanloomWarning, match="not finite.*source"):
        curve = fit(network, everything(source), task, range(4), held, SHORT, rng())
    assert same(network, source)
    assert "not finite" in curve.reason
    assert curve.best == 0


def test_the_same_seed_gives_the_same_weights():
    task, found = Task(examples(8)), []
    for seed in (0, 0, 1):
        network = Small()
        fit(network, everything(network), task, range(8), (), SHORT, rng(seed))
        found.append(network)
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_the_rate_falls_like_half_a_cosine():
    schedule = Schedule(warmup=0.0)
    assert schedule.rate(0) == 1e-3
    assert schedule.rate(0.5) == pytest.approx(5.5e-4)
    assert schedule.rate(1) == schedule.rate(1.7) == pytest.approx(1e-4)
    rising = Schedule(warmup=0.2)
    assert rising.rate(0) == pytest.approx(1e-4)
    assert rising.rate(0.1) == pytest.approx(0.55 * schedule.rate(0.1))
    assert rising.rate(0.2) == schedule.rate(0.2)


def test_a_limit_in_time_ends_the_fit_and_watching_does_not_count():
    network, told = Small(), []

    def watch(step: int, seconds: float, now: Network) -> None:
        assert now is network
        told.append((step, seconds))
        time.sleep(0.02)

    schedule = replace(SHORT, epochs=10**6, seconds=0.15)
    curve = fit(network, everything(network), Task(examples(8)), range(8), (), schedule, rng(), watch)
    assert [step for step, _ in told] == list(range(len(told)))
    assert 0.15 <= curve.points[-1].seconds < 0.15 + 0.5
    # Else the pauses alone would have used it up.
    assert len(told) > 8


def test_examples_of_several_kinds_stand_in_one_step():
    """Each kind in a batch of its own: the loss and its slopes are those of the mean over images."""
    given = [example(0), example(1, images=3), example(2, size=24), example(3)]
    task, network = Task(given), Small()
    network.requires_grad_(True)
    loss, slopes = task.slopes(network, range(4), list(network.parameters()))
    losses = [len(e.truth) * (network(e.pair) - e.truth).abs().mean() for e in given]
    expected = sum(losses, torch.zeros(())) / 6
    assert loss == pytest.approx(float(expected.detach()))
    assert task.value(network, range(4)) == pytest.approx(loss)
    found = torch.autograd.grad(expected, list(network.parameters()), allow_unused=True)
    for ours, theirs in zip(slopes, found, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", ["l1", "mse", "relative"])
def test_pixels_at_the_border_and_without_data_do_not_count(loss: Loss):
    given, network = example(0), Small()
    truth, valid = given.truth.clone(), given.pair.valid.clone()
    valid[..., 6:8, 6:8] = False
    pair = replace(given.pair, valid=valid)
    truth[..., :3] = 50
    truth[..., -3:, :] = 50
    truth[..., 6:8, 6:8] = torch.nan
    broken = Task([Example(pair, truth)], loss, 3).value(network, [0])
    sound = Task([Example(pair, given.truth)], loss, 3).value(network, [0])
    assert math.isfinite(broken)
    assert broken == pytest.approx(sound)
