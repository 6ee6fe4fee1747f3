"""The methods in words: what `panloom methods` and `panloom cite` show."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from panloom import adapt, classical, networks, weights
from panloom.errors import PanloomError
from panloom.run.cite import citations
from panloom.run.resolve import Option, card_of, options_of, parse, resolve
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
        facts: labels and texts of the card of its weights; empty for a method without.
    """

    name: str
    summary: str
    options: tuple[Option, ...]
    traits: Traits
    cite: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def habits(self) -> str:
        """The traits in words."""
        t = self.traits
        ratios = "any ratio" if t.ratios is None else f"ratio {', '.join(map(str, t.ratios))}"
        bands = "any number of bands" if t.bands is None else f"{t.bands} bands"
        around = f" (each reads {t.halo} MS pixels beyond its edges)" if t.halo else ""
        exact = f"works in tiles{around}, with the result of the whole scene"
        tiles = exact if t.tiling == "exact" else "needs the whole scene at once"
        noise = "; draws random numbers (--seed)" if t.stochastic else ""
        return f"{ratios}, {bands}; {tiles}; {self._haze}{noise}"

    @property
    def _haze(self) -> str:
        level = "a constant level in the images, such as haze, "
        if self.traits.additive:
            return f"{level}passes through"
        how = "works by ratios, so that " if self.name in classical.names() else ""
        return f"{how}{level}changes the result"


@dataclass(frozen=True)
class Trained:
    """Trained weights in the list of methods.

    Attributes:
        name: `network.tag`.
        summary: of the network, or why its card cannot be read.
        bands: what it works on.
        licence: of the weights, in short.
    """

    name: str
    summary: str
    bands: str
    licence: str


def about(name: str) -> About:
    """A method by name.

    Raises:
        MethodError: unknown name.
        WeightsError: the weights cannot be used.
    """
    found, fuser = parse(name), resolve(name)
    card = card_of(name)
    made = [*([networks.get(card.network)] if card else []), *found.makers]
    return About(
        name,
        " ".join(map(_summary, made)),
        tuple(options_of(name)),
        fuser.traits,
        tuple(dict.fromkeys(_reference(key, bibtex=False) for key in _keys(name) if key != "panloom")),
        tuple(weights.facts(card)) if card else (),
    )


def summaries() -> list[tuple[str, str, str]]:
    """Name, summary and reference keys of every method that needs no trained weights."""
    makers = {**{name: classical.get(name) for name in classical.names()}, **adapt.free()}
    return [(name, _summary(make), ", ".join(make().traits.cite)) for name, make in makers.items()]


def trained() -> list[Trained]:
    """The weights that are here; their files are not read, only their cards."""
    return [_trained(name) for name in weights.names()]


def adapters() -> list[tuple[str, str]]:
    """What may follow the name of trained weights, with a summary."""
    return [(f"+{name}", _summary(adapt.get(name))) for name in adapt.names()]


def _trained(name: str) -> Trained:
    try:
        card = weights.card(name)
        return Trained(name, _summary(networks.get(card.network)), weights.bands_in_words(card), card.licence_name)
    except PanloomError as error:
        return Trained(name, f"cannot be used: {error}", "", "")


def about_cite(names: Sequence[str], *, bibtex: bool = False) -> list[str]:
    """References of panloom and of several methods, each once.

    Raises:
        MethodError: unknown name.
        WeightsError: the weights cannot be used.
    """
    keys = ["panloom", *(key for name in names for key in _keys(name))]
    return [_reference(key, bibtex=bibtex) for key in dict.fromkeys(keys)]


def _keys(name: str) -> list[str]:
    """What a method and the card of its weights cite."""
    card = card_of(name)
    return [*resolve(name).traits.cite, *(card.cite if card else ())]


def _reference(key: str, *, bibtex: bool) -> str:
    """The text of a key; a card may also cite in words, which stay as they are."""
    try:
        return citations([key], bibtex=bibtex)[-1]
    except KeyError:
        return key


def _summary(made: object) -> str:
    """The first sentence of a description."""
    first = (inspect.getdoc(made) or "").splitlines()[0]
    return first.split(". ")[0].rstrip(".") + "."
