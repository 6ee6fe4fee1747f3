"""Progress on development pairs: ERGAS over that of the yardstick."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from eval_tools import Stub, noisy, pair

from panloom import networks
from panloom.compute import Policy
from panloom.metrics import ERGAS
from panloom.run.development import YARDSTICK, Watched
from panloom.run.fuse import whole
from panloom.run.protocol import CHOICES, problems
from panloom.run.resolve import resolve

#: PAN pixels along a side: enough for a border that is not scored.
SIDE = 256

KEYS = {f"{protocol}/{YARDSTICK}" for protocol in CHOICES["reduced"]}


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched([pair(SIDE, SIDE)])


def test_the_yardstick_scores_one_in_every_protocol(watched):
    scores = watched(resolve(YARDSTICK))
    assert scores.keys() == KEYS
    assert list(scores.values()) == pytest.approx([1.0] * len(KEYS))


def test_the_score_is_ergas_over_that_of_the_yardstick(watched):
    scores = watched(resolve("exp"))
    for problem in problems(pair(SIDE, SIDE), CHOICES["reduced"]):
        assert problem.cut > 0
        inner = (..., slice(problem.cut, -problem.cut), slice(problem.cut, -problem.cut))

        def ergas(method, problem=problem, inner=inner):
            ready = resolve(method).prepare(problem.scene, torch.Generator())
            image = whole(problem.scene, ready, Policy.in_memory("cpu", 1))[None].double() * problem.full_scale
            return ERGAS(image[inner], problem.truth[inner], problem.truth_valid[inner], ratio=4)

        assert scores[f"{problem.protocol}/{YARDSTICK}"] == pytest.approx(ergas("exp") / ergas(YARDSTICK), rel=1e-4)
    assert min(scores.values()) > 1


def test_every_sensor_counts_alike_and_pairs_of_one_are_averaged():
    scene, other = pair(96, 96), replace(noisy(bands=4), group="other")
    exp = resolve("exp")
    one, two = Watched([scene])(exp), Watched([other])(exp)
    both = Watched([scene, scene, other])(exp)
    for key in KEYS:
        assert both[key] == pytest.approx((one[key] * two[key]) ** 0.5, rel=1e-6)


def test_a_network_is_watched_as_it_is_and_does_not_change(watched):
    net = networks.build("fusionnet", {"bands": 4}).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    scores = watched(net)
    assert scores == watched(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_pixels_that_a_method_leaves_out_do_not_count(watched):
    def holed(x):
        image = x.exp.clone()
        image[..., 30:34, 30:34] = torch.nan
        return image

    scores, whole = watched(Stub(holed)), watched(resolve("exp"))
    for key in KEYS:
        assert scores[key] == pytest.approx(whole[key], rel=0.2)
