"""Several sources as one."""

from __future__ import annotations

import pytest
import torch

from panloom.data import Example, Mixture
from panloom.errors import OptionError
from panloom.pair import Pair


class Flat:
    """Examples of one number; the fraction behind it is drawn."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, rng: torch.Generator) -> Example:
        image = torch.full((1, 1, 4, 4), float(self.number)) + torch.rand((), generator=rng) / 2
        return Example(
            Pair(image, image[..., :1, :1], image, torch.ones_like(image, dtype=torch.bool), (1.5, 1.5)), image
        )


def drawn(source: Mixture, number: int) -> float:
    return float(source(torch.Generator().manual_seed(number)).truth.mean())


def test_sources_come_up_as_often_as_their_shares_say():
    source = Mixture([(Flat(1), 0.6), (Flat(2), 1.2), (Flat(3), 0.2)])
    met = torch.tensor([int(drawn(source, number)) for number in range(600)]).bincount(minlength=4)
    assert int(met[0]) == 0
    for found, share in zip(met[1:].tolist(), (0.3, 0.6, 0.1), strict=True):
        assert found / 600 == pytest.approx(share, abs=0.06)


def test_the_same_state_gives_the_same_example():
    one, other = (Mixture([(Flat(1), 1), (Flat(2), 1)]) for _ in range(2))
    assert [drawn(one, k) for k in range(9)] == [drawn(other, k) for k in reversed(range(9))][::-1]
    assert len({drawn(one, k) for k in range(9)}) == 9


@pytest.mark.parametrize("shares", [[], [0.0], [1.0, -0.5], [1.0, float("nan")], [1.0, float("inf")]], ids=str)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(OptionError, match=r"positive shares; given: \["):
        Mixture([(Flat(1), share) for share in shares])
