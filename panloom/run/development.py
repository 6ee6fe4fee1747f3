"""Scores of a network on development pairs while it is trained: ERGAS over that of a classical method.

The pairs are those that `docs/protocol.md` lets one look at while something is tuned. They must not be among those that
are learned from, and their scores are no result.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import nn

from panloom.compute import Policy
from panloom.data.pairs import Recorded
from panloom.metrics import ERGAS
from panloom.pair import Fuser
from panloom.run.fuse import whole
from panloom.run.protocol import CHOICES, Problem, problems
from panloom.run.resolve import resolve

#: The classical method whose ERGAS is 1.
YARDSTICK = "mtf-glp-cbd"


class Watched:
    """Geometric means over sensors, for each protocol at reduced resolution, of ERGAS over that of YARDSTICK.

    Args:
        pairs: the development pairs.
        threads: tiles computed at once.
    """

    def __init__(self, pairs: Sequence[Recorded], threads: int = 1) -> None:
        self._pairs, self._threads = pairs, threads

    def __call__(self, net: Fuser) -> Mapping[str, float]:
        """The score of each protocol: less than 1 is better than the yardstick."""
        logs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for group, problem, reference in self._problems:
            logs[problem.protocol][group].append(math.log(self._ergas(problem, net) / reference))
        return {
            f"{protocol}/{YARDSTICK}": math.exp(_mean([_mean(of_sensor) for of_sensor in groups.values()]))
            for protocol, groups in logs.items()
        }

    @cached_property
    def _problems(self) -> list[tuple[str, Problem, float]]:
        """Sensor, problem, and the ERGAS of the yardstick."""
        found = [(pair.group, problem) for pair in self._pairs for problem in problems(pair, CHOICES["reduced"])]
        yardstick = resolve(YARDSTICK)
        return [(group, problem, self._ergas(problem, yardstick)) for group, problem in found]

    def _ergas(self, problem: Problem, fuser: Fuser) -> float:
        ready = fuser.prepare(problem.scene, torch.Generator().manual_seed(0))
        # A network that is being trained stays on the device that trains it.
        device = next(fuser.parameters()).device if isinstance(fuser, nn.Module) else "cpu"
        policy = Policy.in_memory(str(device), self._threads)
        image = whole(problem.scene, ready, policy)[None].double() * problem.full_scale
        assert problem.truth is not None  # both protocols have one
        assert problem.truth_valid is not None
        valid = torch.isfinite(image).all(1, keepdim=True) & problem.truth_valid
        inner = slice(problem.cut, -problem.cut) if problem.cut else slice(None)
        images = (x[..., inner, inner] for x in (torch.nan_to_num(image), problem.truth, valid))
        return ERGAS.value(ERGAS.tally(*images, ratio=problem.scene.grid.ratio))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
