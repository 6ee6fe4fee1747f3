"""A card in words, for people: one label and text for each thing it says."""

from __future__ import annotations

from panloom.networks import SourceStatistics
from panloom.weights._card import Adapted, Card


def bands_in_words(card: Card) -> str:
    """The bands, by name where they have one."""
    if isinstance(card.bands, tuple):
        return ", ".join(card.bands)
    return "any" if card.bands is None else str(card.bands)


def facts(card: Card) -> list[tuple[str, str]]:
    """Labels and texts; what is not known is left out."""
    options = ", ".join(f"{key}={setting_in_words(value)}" for key, value in card.options.items())
    ratios = "any" if card.ratios is None else ", ".join(map(str, card.ratios))
    rows = [
        ("network", f"{card.network} ({options})" if options else card.network),
        ("bands", bands_in_words(card)),
        ("ratio", ratios),
        ("licence", card.licence_name),
        *(_training(card) if card.adapted is None else _adaptation(card, card.adapted)),
        ("limits", card.limits),
        ("note", card.note),
        ("stored as", card.dtype),
        ("sha256", card.sha256),
    ]
    return [(label, " ".join(text.split())) for label, text in rows if text]


def _training(card: Card) -> list[tuple[str, str]]:
    """How weights were trained."""
    return [
        ("full scale in training", _full_scale(card)),
        ("trained on", card.data),
        ("recipe", card.recipe),
        ("commit", card.commit),
        ("training took", _took(card)),
        ("adapted from", card.parent),
    ]


def _adaptation(card: Card, made: Adapted) -> list[tuple[str, str]]:
    """How weights were adapted; what they were trained on is the parent's."""
    options = ", ".join(f"{key}={setting_in_words(value)}" for key, value in made.options.items())
    left = "" if made.validated is None else f"on held-back pixels {made.validated:.3f} of the error is left"
    refused = f"{made.decision}: the parent's weights as they are, because {made.reason or 'it was said'}"
    return [
        ("adapted from", card.parent),
        ("adapted by", f"{made.adapter} ({options}; seed={made.seed})"),
        ("adapted to", f"{', '.join(made.scenes)}, sensor {made.sensor}"),
        ("full scale of what it was adapted to", _full_scale(card)),
        ("mean of what it was adapted to", _mean(card, made)),
        ("MTF gains of the bands", ", ".join(f"{gain:g}" for gain in made.mtf)),
        ("gate", refused if made.decision != "adapted" else left),
        ("made by", card.recipe),
        ("adaptation took", _took(card)),
        ("sha256 of the parent", made.parent_sha256),
        ("parent trained on", card.data),
    ]


def _full_scale(card: Card) -> str:
    return "" if card.full_scale is None else number_in_words(card.full_scale)


def _took(card: Card) -> str:
    if card.seconds is None:
        return card.hardware
    return f"{round(card.seconds, 2):g} s" + (f" on {card.hardware}" if card.hardware else "")


def _mean(card: Card, made: Adapted) -> str:
    if made.statistics is None:
        return ""
    return f"{number_in_words(mean_of_bands(made.statistics) * (card.full_scale or 1))}, over all bands"


def number_in_words(value: float) -> str:
    """A number to four digits that count, and to the unit where it is large.

    >>> number_in_words(12208.4), number_in_words(65535.0), number_in_words(0.123456), number_in_words(1.0)
    ('12208', '65535', '0.1235', '1')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def mean_of_bands(statistics: SourceStatistics) -> float:
    """The mean of all bands together, in units of the full scale."""
    return sum(statistics.mean) / len(statistics.mean)


def setting_in_words(value: object) -> str:
    """The value of an option as the command line takes it: none, true, 0.5, 1,2,3.

    >>> setting_in_words(None), setting_in_words(True), setting_in_words((0.5, 2.0)), setting_in_words(0.1)
    ('none', 'true', '0.5,2', '0.1')
    """
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def score_rows(card: Card) -> list[tuple[str, str, str, str]]:
    """Protocol, data, index and value of each score."""
    return [
        (s.protocol, s.data, s.index, f"{s.value:.4g}" + (f" x that of {s.of}" if s.of else "")) for s in card.scores
    ]
