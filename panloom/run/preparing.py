"""Methods made ready for a scene, with what they warn of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from warnings import catch_warnings, simplefilter, warn_explicit

import torch

from panloom.compute import torch_threads
from panloom.errors import PanloomWarning
from panloom.pair import Fuser, SceneLike

#: Makes a method ready for a scene, with a seed of everything random; what it warned of comes with it.
Prepare = Callable[[Fuser, SceneLike, int], tuple[Fuser, list[str]]]


def prepared(fuser: Fuser, scene: SceneLike, seed: int) -> tuple[Fuser, list[str]]:
    """The method made ready for a scene, and what it warned of."""
    # Readers are at work beside it; threads of small operations would wait for them.
    with torch_threads(1), catch_warnings(record=True) as caught:
        simplefilter("always", PanloomWarning)
        ready = fuser.prepare(scene, torch.Generator().manual_seed(seed))
    for other in caught:
        if not issubclass(other.category, PanloomWarning):
            warn_explicit(other.message, other.category, other.filename, other.lineno)
    return ready, [str(one.message) for one in caught if issubclass(one.category, PanloomWarning)]


@dataclass
class Kept:
    """`prepared`, which keeps what it made, so that what was adapted for a result can be explained after it.

    Attributes:
        ready: the method that was made ready last; None: none yet.
        warnings: what it warned of.
    """

    ready: Fuser | None = None
    warnings: tuple[str, ...] = ()

    def __call__(self, fuser: Fuser, scene: SceneLike, seed: int) -> tuple[Fuser, list[str]]:
        """As `prepared`."""
        self.ready, warnings = prepared(fuser, scene, seed)
        self.warnings = tuple(warnings)
        return self.ready, warnings
