"""A card in words, for people: one label and text for each thing it says."""

from __future__ import annotations

from panloom.weights._card import Adapted, Card


def bands_in_words(card: Card) -> str:
    """The bands, by name where they have one."""
    if isinstance(card.bands, tuple):
        return ", ".join(card.bands)
    return "any" if card.bands is None else str(card.bands)


def facts(card: Card) -> list[tuple[str, str]]:
    """Labels and texts; what is not known is left out."""
    options = ", ".join(f"{key}={value}" for key, value in card.options.items())
    ratios = "any" if card.ratios is None else ", ".join(map(str, card.ratios))
    took = "" if card.seconds is None else f"{card.seconds:g} s" + (f" on {card.hardware}" if card.hardware else "")
    rows = [
        ("network", f"{card.network} ({options})" if options else card.network),
        ("bands", bands_in_words(card)),
        ("ratio", ratios),
        ("full scale in training", "" if card.full_scale is None else f"{card.full_scale:g}"),
        ("licence", card.licence_name),
        ("trained on", card.data),
        ("recipe", card.recipe),
        ("commit", card.commit),
        ("training took", took or card.hardware),
        ("adapted from", card.parent),
        *([] if card.adapted is None else _adaptation(card.adapted)),
        ("limits", card.limits),
        ("note", card.note),
        ("stored as", card.dtype),
        ("sha256", card.sha256),
    ]
    return [(label, " ".join(text.split())) for label, text in rows if text]


def _adaptation(made: Adapted) -> list[tuple[str, str]]:
    """How weights were adapted."""
    options = ", ".join(f"{key}={_word(value)}" for key, value in made.options.items())
    left = "" if made.validated is None else f"on held-back pixels {made.validated:.3f} of the error is left"
    refused = f"{made.decision}: the parent's weights as they are, because {made.reason or 'it was said'}"
    return [
        ("adapted by", f"{made.adapter} ({options}; seed={made.seed})"),
        ("adapted to", f"{', '.join(made.scenes)}, sensor {made.sensor}"),
        ("MTF gains of the bands", ", ".join(f"{gain:g}" for gain in made.mtf)),
        ("gate", refused if made.decision != "adapted" else left),
        ("sha256 of the parent", made.parent_sha256),
    ]


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def score_rows(card: Card) -> list[tuple[str, str, str, str]]:
    """Protocol, data, index and value of each score."""
    return [
        (s.protocol, s.data, s.index, f"{s.value:.4g}" + (f" x that of {s.of}" if s.of else "")) for s in card.scores
    ]
