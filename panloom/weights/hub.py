"""The layout of a model folder on the Hugging Face hub: config.json, model.safetensors, README.md. Nothing is sent."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from panloom.errors import OutputError, WeightsError
from panloom.networks import Network
from panloom.scene import write_aside
from panloom.state import read_bytes
from panloom.weights._card import Card, card_text, parse_card
from panloom.weights._store import from_bytes, only_network, pack, ships
from panloom.weights._words import facts, score_rows

CONFIG, MODEL, README, LICENCE = "config.json", "model.safetensors", "README.md", "LICENSE"

#: Licences that the hub knows by these words; of any other it wants a name and a file.
HUB_LICENCES = frozenset(
    (
        "agpl-3.0",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc-by-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "gpl-2.0",
        "gpl-3.0",
        "isc",
        "lgpl-3.0",
        "mit",
        "mpl-2.0",
        "unlicense",
    )
)


def write(net: Network, card: Card, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write a network in the hub's layout.

    Args:
        net: the network.
        card: its card.
        folder: made where it is missing.
        overwrite: replace the model that is there.

    Returns:
        The files.

    Raises:
        WeightsError: card and network do not fit each other.
        OutputError: the folder holds a model, or cannot be written.
    """
    where = Path(folder)
    if (where / MODEL).exists() and not overwrite:
        raise OutputError(
            f"{where} holds a model already; choose another folder, or replace it (--overwrite; in Python "
            "overwrite=True)"
        )
    card, data = pack(net, card)
    config = {"library_name": "panloom", "network": card.network, **tomllib.loads(card_text(card))}
    texts = {CONFIG: json.dumps(config, indent=2, ensure_ascii=False) + "\n", README: _readme(card)}
    if _hub_licence(card) is None:
        texts[LICENCE] = card.licence.rstrip("\n") + "\n"
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{where}: the folder cannot be made ({error.strerror or error})") from error
    files = {MODEL: data, **{name: text.encode() for name, text in texts.items()}}
    for name, content in files.items():
        write_aside(where / name, content)
    return [where / name for name in files]


def read(folder: str | Path) -> tuple[Network, Card]:
    """The network and the card in a folder of that layout.

    Raises:
        WeightsError: a file is missing, wrong, damaged or changed, or the model is not one of panloom's.
    """
    where = Path(folder) / CONFIG
    try:
        config = json.loads(read_bytes(where))
    except ValueError as error:
        raise WeightsError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(config, dict) or config.pop("library_name", None) != "panloom":
        raise WeightsError(f"{where} is not of a model that panloom wrote; import its weights file instead")
    config.pop("network", None)
    card = parse_card(config, str(where))
    model = where.with_name(MODEL)
    return only_network(card, from_bytes(card, read_bytes(model), model)), card


def _hub_licence(card: Card) -> str | None:
    """The hub's word for the licence, if it has one."""
    word = re.sub(r"-(only|or-later)$", "", card.licence.strip().lower())
    return word if word in HUB_LICENCES else None


def _front(card: Card) -> list[str]:
    """The YAML at the head of the README; a JSON text is a YAML text."""
    known = _hub_licence(card)
    name = re.sub(r"[^a-z0-9.]+", "-", card.licence_name.lower()).strip("-.") or "see-file"
    other = ["license: other", f"license_name: {name}", f"license_link: {LICENCE}"]
    licence = [f"license: {known}"] if known else other
    tags = ["pansharpening", "image-fusion", "remote-sensing", card.network]
    labels = ["library_name: panloom", "pipeline_tag: image-to-image", "tags:", *(f"- {json.dumps(t)}" for t in tags)]
    return ["---", *licence, *labels, "---"]


def _readme(card: Card) -> str:
    lines = [*_front(card), "", f"# {card.name}", "", "Weights for panloom, image fusion for satellites.", ""]
    # Beside weights that come with panloom, those of the hub need a name of their own.
    tag = f"{card.tag}-hub" if ships(card.name) else card.tag
    took = f"panloom weights import FOLDER{f' --tag {tag}' if tag != card.tag else ''}"
    use = f"panloom sharpen pan.tif ms.tif out.tif --method {card.network}.{tag}"
    lines += ["```bash", took, use, "```", ""]
    lines += _table(["", ""], [[label, text] for label, text in facts(card)])
    if card.scores:
        lines += ["", "## Scores", "", *_table(["protocol", "data", "index", "value"], map(list, score_rows(card)))]
    if card.cite:
        lines += ["", f"`panloom cite {card.name}` prints what to cite: {', '.join(card.cite)}"]
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *([text.replace("|", "\\|") for text in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]
