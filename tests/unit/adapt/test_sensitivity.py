"""Scores and masks: the ratio is exact, the scale of a tensor does not matter, and signs that disagree do not count."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from swift_tools import Small, examples, rng, same

from panloom import networks
from panloom.adapt import _sensitivity
from panloom.adapt._masked import Task
from panloom.adapt._sensitivity import Grain, Probe, chances, every, last_layer, magnitudes, masks, only, sensitivities
from panloom.data.virtual import virtual_sensor
from panloom.errors import OptionError

SHARES = pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.7, 1.0])


def size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def count(found: tuple[torch.Tensor, ...]) -> int:
    return sum(int(mask.sum()) for mask in found)


@SHARES
@pytest.mark.parametrize("score", ["gradient", "taylor", "fisher", "chance", "magnitude"])
def test_the_mask_ratio_is_the_share(share, score):
    network = Small()
    if score == "chance":
        scores = chances(network, rng())
    elif score == "magnitude":
        scores = magnitudes(network)
    else:
        scores = sensitivities(network, Task(examples(6)), range(6), Probe(score=score), rng())
    found = masks(network, scores, share)
    assert count(found) == round(share * size(network))
    assert [mask.shape for mask in found] == [p.shape for p in network.parameters()]


@SHARES
def test_filters_are_whole_and_fill_the_share_as_far_as_they_can(share):
    network = Small()
    found = masks(network, chances(network, rng()), share, "filter")
    biggest = max(p[0].numel() for p in network.parameters())
    assert round(share * size(network)) - biggest < count(found) <= round(share * size(network))
    for mask in found:
        rows = mask.flatten(1) if mask.ndim > 1 else mask[:, None]
        assert torch.equal(rows.all(1), rows.any(1))


@pytest.mark.parametrize("grain", ["element", "filter"])
def test_the_biases_of_the_last_layer_always_change(grain: Grain):
    network = Small()
    last = last_layer(network, examples(1)[0].pair)
    assert [p is q for p, q in zip(last, (network.last.weight, network.last.bias), strict=True)] == [True, True]
    scores = tuple(torch.rand(p.shape, generator=rng(2)) + 1 for p in network.parameters())
    low = tuple(s * 0 if p is network.last.bias else s for s, p in zip(scores, network.parameters(), strict=True))
    for share in (0.05, 0.3):
        found = masks(network, low, share, grain, [network.last.bias])
        assert bool(found[-1].all())
        assert count(found) <= round(share * size(network))


def test_the_scale_of_a_tensor_does_not_matter():
    network = Small()
    scores = chances(network, rng())
    scaled = tuple(s * 10.0**k for k, s in enumerate(scores))
    for one, other in zip(masks(network, scores, 0.2), masks(network, scaled, 0.2), strict=True):
        assert torch.equal(one, other)


def test_a_tensor_that_nothing_asks_to_change_stays():
    network = Small()
    scores = sensitivities(network, Task(examples(4)), range(4), Probe(), rng())
    names = [name for name, _ in network.named_parameters()]
    assert float(scores[names.index("idle")].max()) == 0
    assert not bool(masks(network, scores, 0.3)[names.index("idle")].any())


def test_scores_are_those_of_the_definition():
    network, given = Small(), examples(3)
    slopes = []
    for one in given:
        loss = (network(one.pair) - one.truth).abs().mean()
        slopes.append(torch.autograd.grad(loss, network.first.weight)[0])
    g = torch.stack(slopes)
    agree, weight = g.sign().sum(0).abs() / 3, network.first.weight.detach().abs()
    expected = {
        "gradient": g.abs().mean(0) * agree,
        "taylor": g.abs().mean(0) * agree * weight,
        "fisher": g.square().mean(0) * agree,
    }
    names = [name for name, _ in network.named_parameters()]
    alone = sensitivities(network, Task(given), range(3), Probe(batches=3, batch=1, agree=False), rng())
    torch.testing.assert_close(alone[names.index("first.weight")], g.abs().mean(0))
    for score, value in expected.items():
        probe = Probe(batches=3, batch=1, score=score)  # pyright: ignore[reportArgumentType]
        found = sensitivities(network, Task(given), range(3), probe, rng())
        torch.testing.assert_close(found[names.index("first.weight")], value)


def test_probing_changes_nothing():
    source = Small().requires_grad_(False)
    source.first.weight.requires_grad_(True)
    network = copy.deepcopy(source)
    sensitivities(network, Task(examples(4)), range(4), Probe(), rng())
    assert same(network, source)
    flags = [p.requires_grad for p in network.parameters()]
    assert flags == [p.requires_grad for p in source.parameters()]
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(("have", "batches", "batch"), [(5, 16, 32), (54, 16, 32), (54, 2, 8), (1, 3, 1)])
def test_every_example_is_seen_before_any_is_seen_again(have, batches, batch):
    found = list(_sensitivity._batches(range(have), Probe(batches, batch), rng()))
    assert len(found) == batches
    assert len({len(one) for one in found}) == 1
    assert all(len(set(one)) == len(one) <= batch for one in found)
    seen = [number for one in found for number in one][: have // len(found[0]) * len(found[0])]
    assert len(set(seen)) == len(seen)


def test_controls():
    network, pair = Small(), examples(1)[0].pair
    assert count(every(network)) == size(network)
    found = only(network, last_layer(network, pair))
    assert count(found) == network.last.weight.numel() + 3
    assert bool(found[-1].all())


@pytest.mark.parametrize(
    ("name", "layer"), [("fusionnet", "last"), ("pnn", "last"), ("dicnn", "last"), ("universal", "expand")]
)
def test_the_last_layer_of_networks(name, layer):
    network = networks.build(name, {} if name == "universal" else {"bands": 3})
    pair = replace(examples(1)[0].pair, sensor=virtual_sensor([0.3] * 3, 2))
    found = last_layer(network, pair)
    assert found[0] is network.get_parameter(f"{layer}.weight")
    assert found[1] is network.get_parameter(f"{layer}.bias")


def test_bad_numbers_are_refused():
    network = Small()
    with pytest.raises(OptionError, match=r"share 1\.5"):
        masks(network, magnitudes(network), 1.5)
    with pytest.raises(OptionError, match="not 0 and 16"):
        sensitivities(network, Task([]), (), Probe(), rng())
