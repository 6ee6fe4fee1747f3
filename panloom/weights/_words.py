"""A card in words, for people: one label and text for each thing it says."""

from __future__ import annotations

from panloom.weights._card import Card


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
        ("limits", card.limits),
        ("note", card.note),
        ("stored as", card.dtype),
        ("sha256", card.sha256),
    ]
    return [(label, " ".join(text.split())) for label, text in rows if text]


def score_rows(card: Card) -> list[tuple[str, str, str, str]]:
    """Protocol, data, index and value of each score."""
    return [
        (s.protocol, s.data, s.index, f"{s.value:.4g}" + (f" x that of {s.of}" if s.of else "")) for s in card.scores
    ]
