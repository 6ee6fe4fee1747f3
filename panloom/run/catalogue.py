"""The methods in words: what `panloom methods` and `panloom cite` show."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from panloom import classical
from panloom.run.cite import citations
from panloom.run.resolve import Option, methods, options_of, resolve
from panloom.types import Traits


@dataclass(frozen=True)
class About:
    """One method.

    Attributes:
        name: registry name.
        summary: first sentence of its description.
        options: what `--set` takes.
        traits: as the machinery sees them, with default options and before `prepare`.
        cite: texts of its references.
    """

    name: str
    summary: str
    options: tuple[Option, ...]
    traits: Traits
    cite: tuple[str, ...]

    @property
    def habits(self) -> str:
        """The traits in words."""
        t = self.traits
        ratios = "any ratio" if t.ratios is None else f"ratio {', '.join(map(str, t.ratios))}"
        bands = "any number of bands" if t.bands is None else f"{t.bands} bands"
        around = f" (each reads {t.halo} MS pixels beyond its edges)" if t.halo else ""
        exact = f"works in tiles{around}, with the result of the whole scene"
        tiles = exact if t.tiling == "exact" else "needs the whole scene at once"
        level = "a constant level in the images, such as haze, "
        haze = f"{level}passes through" if t.additive else f"works by ratios, so that {level}changes the result"
        noise = "; draws random numbers (--seed)" if t.stochastic else ""
        return f"{ratios}, {bands}; {tiles}; {haze}{noise}"


def about(name: str) -> About:
    """A method by name.

    Raises:
        MethodError: unknown name.
    """
    fuser = resolve(name)
    first = (inspect.getdoc(classical.get(name)) or "").splitlines()[0]
    summary = first.split(". ")[0].rstrip(".") + "."
    return About(name, summary, tuple(options_of(name)), fuser.traits, tuple(citations(fuser.traits.cite)[1:]))


def summaries() -> list[tuple[str, str, str]]:
    """Name, summary and first reference key of every method."""
    found = [about(name) for name in methods()]
    return [(a.name, a.summary, ", ".join(a.traits.cite)) for a in found]


def about_cite(names: Sequence[str], *, bibtex: bool = False) -> list[str]:
    """References of panloom and of several methods, each once.

    Raises:
        MethodError: unknown name.
    """
    keys = [key for name in names for key in resolve(name).traits.cite]
    return citations(keys, bibtex=bibtex)
