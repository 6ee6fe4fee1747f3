"""Trained weights: a card (TOML) and a safetensors file for each name `network.tag`, loaded only when the hash fits."""

from panloom.weights import hub
from panloom.weights._card import Adapted, Card, Score, Setting, card_text, parse_card, read_card
from panloom.weights._importing import import_weights
from panloom.weights._store import (
    Stored,
    card,
    check_free,
    folders,
    is_file,
    is_name,
    load,
    names,
    path,
    read,
    save,
    tags_of,
    verify,
)
from panloom.weights._words import (
    bands_in_words,
    facts,
    mean_of_bands,
    number_in_words,
    score_rows,
    setting_in_words,
)

__all__ = [
    "Adapted",
    "Card",
    "Score",
    "Setting",
    "Stored",
    "bands_in_words",
    "card",
    "card_text",
    "check_free",
    "facts",
    "folders",
    "hub",
    "import_weights",
    "is_file",
    "is_name",
    "load",
    "mean_of_bands",
    "names",
    "number_in_words",
    "parse_card",
    "path",
    "read",
    "read_card",
    "save",
    "score_rows",
    "setting_in_words",
    "tags_of",
    "verify",
]
