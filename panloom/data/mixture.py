"""Several sources of examples as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator

from panloom.data.example import Example, Source
from panloom.errors import OptionError


class Mixture:
    """Every example is drawn from one of several sources; see `panloom.data.Source`.

    Args:
        sources: each with its share of the examples; shares are positive and need not sum to 1.

    Raises:
        OptionError: there is no source, or a share is not positive.
    """

    def __init__(self, sources: Sequence[tuple[Source, float]]) -> None:
        if not sources or not all(0 < share < math.inf for _, share in sources):
            raise OptionError(f"a mixture needs sources with positive shares; given: {[share for _, share in sources]}")
        self._sources = [source for source, _ in sources]
        self._shares = torch.tensor([share for _, share in sources], dtype=torch.float32)

    def __repr__(self) -> str:
        parts = [f"({source!r}, {share:g})" for source, share in zip(self._sources, self._shares.tolist(), strict=True)]
        return f"Mixture([{', '.join(parts)}])"

    def __call__(self, rng: Generator) -> Example:
        """The next example."""
        return self._sources[int(torch.multinomial(self._shares, 1, generator=rng))](rng)
