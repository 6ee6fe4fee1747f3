"""Weights from elsewhere become panloom's: a published checkpoint, a hub folder, or a file with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from panloom import networks
from panloom.errors import MethodError, OptionError, WeightsError
from panloom.networks import Network
from panloom.networks._published import Published, from_published
from panloom.state import State, metadata, read_state
from panloom.weights import hub
from panloom.weights._card import FORMAT, Card, parse_card
from panloom.weights._store import AGAIN, card, fill, holds_adapted, is_file, load, save


def import_weights(
    path: str | Path,
    tag: str | None = None,
    *,
    network: str | None = None,
    facts: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    overwrite: bool = False,
) -> Card:
    """Keep weights from elsewhere as `network.tag`.

    Args:
        path: a folder in the hub's layout; a safetensors file, alone or with its card beside it; or a checkpoint of
            torch, of which only numbers are read.
        tag: of the new weights; None: that of the card that comes along.
        network: registry name; None: the network is known by the shapes, or from the card.
        facts: other keys of the card, as in its TOML, where none comes along; `licence` is needed.
        folder: where to; None: the first of the user's folders.
        overwrite: replace weights of that name.

    Returns:
        The card as it was written.

    Raises:
        OptionError: the words of the call do not fit the file.
        MethodError: unknown network.
        WeightsError: the file holds no weights of a network of panloom, or more than numbers.
        OutputError: the result cannot be written.
    """
    path, facts = Path(path).expanduser(), facts or {}
    found = _with_card(path)
    if found is None:
        net, made = _foreign(path, tag, network, facts)
        return save(net, made, folder, overwrite=overwrite)
    net, made = found
    if facts or network not in (None, made.network):
        said = [*facts, *([] if network in (None, made.network) else ["network"])]
        raise OptionError(f"{path} has a card, which says its {', '.join(said)}; only the tag can be chosen")
    return save(net, replace(made, name=f"{made.network}.{tag or made.tag}"), folder, overwrite=overwrite)


def _with_card(path: Path) -> tuple[Network, Card] | None:
    """Network and card of a hub folder, or of a weights file with its card beside it."""
    if path.is_dir():
        return hub.read(path)
    if is_file(path.name) and path.with_suffix(".toml").is_file():
        return load(path), card(path)
    return None


def _foreign(path: Path, tag: str | None, network: str | None, facts: Mapping[str, object]) -> tuple[Network, Card]:
    if not str(facts.get("licence", "")).strip():
        raise OptionError(
            f"the licence of {path} must be said, as an SPDX identifier or a text (--licence TEXT or FILE): without "
            "one nobody may use the weights"
        )
    if tag is None:
        raise OptionError(f"the weights in {path} need a tag (--tag), which tells them from others of their network")
    if network is not None:
        networks.get(network)  # a wrong word is told as such
    try:
        state = read_state(path)
        if holds_adapted(path):
            raise WeightsError(f"{path} holds adapted weights, {AGAIN}")
        found = _told(path, state) or from_published(state, network)
    except MethodError as error:
        raise WeightsError(f"{path}: {str(error).splitlines()[0]}") from error
    if network not in (None, found.name):
        raise WeightsError(f"{path} holds weights of {found.name}, not of {network}")
    traits = found.network.traits
    known = {"bands": traits.bands, "ratios": None if traits.ratios is None else list(traits.ratios)}
    table = {key: value for key, value in known.items() if value is not None}
    table |= {"format": FORMAT, "name": f"{found.name}.{tag}", "options": found.options, **facts}
    if found.flushed:
        flushed = f"{found.flushed} subnormal weights were set to 0"
        table["note"] = f"{table['note']}; {flushed}" if table.get("note") else flushed
    return found.network, parse_card(table, f"the card of {path}")


def _told(path: Path, state: State) -> Published | None:
    """The network that a file of panloom's training names in its head; None: it names none."""
    try:
        made = json.loads(metadata(path).get("panloom", "null"))
        name, options = made["network"], made["options"]
    except (ValueError, TypeError, KeyError):
        return None
    return Published(name, options, fill(name, options, state), flushed=0)
