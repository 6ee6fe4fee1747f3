"""Finds, loads and keeps trained weights: `NAME.toml`, the card, with `NAME.safetensors` beside it."""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from panloom import networks
from panloom.errors import MethodError, OutputError, WeightsError, unknown
from panloom.networks import Network
from panloom.scene import write_aside
from panloom.state import State, metadata, parse, read_bytes
from panloom.weights._card import NAME, Card, Option, card_text, parse_card, read_card

#: Weights that come with the package.
SHIPPED = Path(__file__).parent / "cards"

SUFFIX = ".safetensors"

#: What the names in a file of adapted weights begin with: the network's own, and what the adapter needs beside it.
NETWORK, LEARNED = "network.", "adapter."

#: What stands in the head of a file of adapted weights, with the name of the adapter.
ADAPTED = "adapted"

#: What is to be done where a file or card of adapted weights is lost: nobody but who adapted them can make them anew.
AGAIN = "which panloom adapt wrote with their card: copy both files once more, or adapt again (panloom adapt)"

#: Parameters (arrays, not numbers) beyond which a card's options are not followed; networks have some dozens.
MOST = 4096


def folders() -> list[Path]:
    """Where weights are looked for, the package first, so that nothing else goes by the name of what is shipped.

    `PANLOOM_WEIGHTS` holds folders as `PATH` does; without it, the user's own folder of program data counts. New
    weights go into the first folder after the package.
    """
    given = os.environ.get("PANLOOM_WEIGHTS", "")
    own = [Path(word).expanduser() for word in given.split(os.pathsep) if word]
    return [SHIPPED, *(own or [_data_folder() / "panloom" / "weights"])]


def _data_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def is_name(word: str) -> bool:
    """True for a word of the form `network.tag`, known or not."""
    return NAME.fullmatch(word) is not None


def is_file(word: str) -> bool:
    """True for a word that can only be the path of a weights file."""
    return word.endswith(SUFFIX)


def names() -> list[str]:
    """All weights that have a card in one of the folders, sorted; the cards are not read."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.toml") if is_name(path.stem)})


def tags_of(network: str) -> list[str]:
    """The weights of one network."""
    return [name for name in names() if name.partition(".")[0] == network]


def _card_path(name: str | Path) -> Path:
    """The card's file, by name or by the path of the weights."""
    word = str(name)
    if is_file(word):
        return Path(word).expanduser().with_suffix(".toml")
    for folder in folders():
        if is_name(word) and (folder / f"{word}.toml").is_file():
            return folder / f"{word}.toml"
    raise MethodError(f"{_missing(word)}; see: panloom weights list")


def _missing(word: str) -> str:
    network = word.partition(".")[0]
    if is_name(word) and network not in networks.names():
        return f"{word!r}: {unknown('network', network, networks.names())}"
    known = tags_of(network) or names()
    return unknown("weights", word, known) if known else f"unknown weights {word!r}; there are none here yet"


def card(name: str | Path) -> Card:
    """The card of weights.

    Args:
        name: `network.tag`, or the path of a safetensors file with its card beside it.

    Raises:
        MethodError: unknown name.
        WeightsError: the card is missing or wrong.
    """
    path = _card_path(name)
    if is_file(str(name)) and not path.with_suffix(SUFFIX).is_file():
        raise WeightsError(f"cannot read the weights {name}: there is no such file")
    if not path.is_file():
        raise WeightsError(_without_card(name, path))
    found = read_card(path)
    if not is_file(str(name)) and found.name != path.stem:
        raise WeightsError(f"{path}: name is {found.name!r}; it must be that of the file, {path.stem!r}")
    return found


def _without_card(name: str | Path, path: Path) -> str:
    file, told = path.with_suffix(SUFFIX), f"{name} has no card: {path} is not there"
    if file.is_file() and holds_adapted(file):
        return f"{told}; these are adapted weights, {AGAIN}"
    return f"{told}; panloom weights import makes one, and asks for the licence"


def holds_adapted(path: Path) -> bool:
    """Whether the head of a file says that its weights are adapted ones.

    Raises:
        WeightsError: it is a damaged safetensors file.
    """
    return ADAPTED in metadata(path)


def path(name: str | Path) -> Path:
    """The safetensors file of weights; it need not be there.

    Raises:
        MethodError: unknown name.
    """
    return _card_path(name).with_suffix(SUFFIX)


@dataclass(frozen=True, eq=False)
class Stored:
    """What a weights file holds.

    Attributes:
        network: in evaluation mode, float32, with the statistics of its training data.
        learned: what adapted weights need beside the network, by name; empty for others.
    """

    network: Network
    learned: Mapping[str, Tensor]


def read(name: str | Path, known: Card | None = None) -> Stored:
    """All that the file of weights holds.

    Args:
        name: `network.tag`, or the path of a safetensors file with its card beside it.
        known: their card, where it was read already.

    Raises:
        MethodError: unknown name.
        WeightsError: card or file are missing, wrong, damaged or changed, or of another network.
    """
    found, where = known or card(name), path(name)
    return from_bytes(found, read_bytes(where), where)


def load(name: str | Path) -> Network:
    """A trained network: in evaluation mode, float32, with the statistics of its training data.

    Args:
        name: `network.tag`, or the path of a safetensors file with its card beside it.

    Raises:
        MethodError: unknown name.
        WeightsError: as `read`, or these are adapted weights, which are more than a network.
    """
    found = card(name)
    return only_network(found, read(name, found))


def only_network(card: Card, stored: Stored) -> Network:
    """The network, where it is all that there is.

    Raises:
        WeightsError: the weights are adapted ones.
    """
    if card.adapted is not None:
        raise WeightsError(
            f"{card.name} was adapted by {card.adapted.adapter}, so it is more than a network: its name or the path of "
            f"its file is a method (--method); adapt, export or train its parent, {card.parent}, in its place"
        )
    return stored.network


def verify(name: str | Path) -> Card:
    """The card of weights, after everything that `load` checks was found right.

    Raises:
        MethodError: unknown name.
        WeightsError: as `load`.
    """
    found = card(name)
    read(name, found)
    return found


def from_bytes(card: Card, data: bytes, where: Path) -> Stored:
    """What is in the bytes of the file that a card belongs to.

    Raises:
        WeightsError: as `read`.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise WeightsError(
            f"{where} is damaged or was changed: its sha256 is {found[:12]}..., and the card of {card.name} says "
            f"{card.sha256[:12] or 'none'}...; "
            + ("get it anew, or import it again" if card.adapted is None else f"it holds adapted weights, {AGAIN}")
        )
    return assemble(card, parse(data, where))


def assemble(card: Card, state: State) -> Stored:
    """The network of a card with these weights, and what else adapted ones hold.

    Raises:
        WeightsError: the card's network cannot be made, or the weights are not its.
    """
    for key, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{card.name}: {key} holds numbers that are not finite as {card.dtype}")
    if card.adapted is None:
        return Stored(_network(card, state), {})
    own, learned = (_under(place, state) for place in (NETWORK, LEARNED))
    if len(own) + len(learned) < len(state):
        other = sorted(key for key in state if not key.startswith((NETWORK, LEARNED)))
        raise WeightsError(f"{card.name}: adapted weights are called {NETWORK}... and {LEARNED}..., not {_few(other)}")
    return Stored(_network(card, own), learned)


def _under(place: str, state: State) -> State:
    """What is called so, without that."""
    return {key.removeprefix(place): tensor for key, tensor in state.items() if key.startswith(place)}


def _network(card: Card, state: State) -> Network:
    try:
        net = fill(card.network, card.options, state)
    except MethodError as error:
        raise WeightsError(f"the card of {card.name} cannot be followed: {str(error).splitlines()[0]}") from error
    if card.band_count is not None and net.traits.bands not in (None, card.band_count):
        raise WeightsError(f"{card.name} works on {net.traits.bands} bands, and its card says {card.band_count}")
    net.source = card.source
    return net


def fill(name: str, options: Mapping[str, Option], state: State) -> Network:
    """A network with these weights, in float32 and evaluation mode.

    Raises:
        MethodError: there is no such network, or it has other options.
        WeightsError: the weights are of another network.
    """
    made = f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})"
    # Whoever wrote the card chose the options, so shapes are looked at before there is memory behind them.
    with torch.device("meta"), _few_parameters(made):
        _check_shapes(made, networks.build(name, options), state)
    with torch.random.fork_rng(devices=[]):  # the draw of first weights must not move the caller's generator
        net = networks.build(name, options).float()
    net.load_state_dict({k: t.float() if t.is_floating_point() else t for k, t in state.items()})
    return net.eval()


@contextmanager
def _few_parameters(made: str) -> Iterator[None]:
    """Within it, networks of endless depth are given up.

    Raises:
        WeightsError: more than `MOST` parameters were made.
    """
    count = 0

    def counted(_module: nn.Module, _name: str, _parameter: nn.Parameter) -> None:
        nonlocal count
        count += 1
        if count > MOST:
            raise WeightsError(f"these are no weights of {made}: it has more than {MOST} parameters")

    handle = nn.modules.module.register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _check_shapes(made: str, net: Network, state: State) -> None:
    need = net.state_dict()
    faults = [f"lacks {_few(need.keys() - state.keys())}"] if need.keys() - state.keys() else []
    faults += [f"has {_few(state.keys() - need.keys())}, unknown there"] if state.keys() - need.keys() else []
    faults += [
        f"has {key} of shape {tuple(state[key].shape)} where {tuple(need[key].shape)} belongs"
        for key in sorted(need.keys() & state.keys())
        if state[key].shape != need[key].shape
    ][:1]
    if faults:
        raise WeightsError(f"these are no weights of {made}: the file {'; '.join(faults)}")


def _few(keys: Iterable[str]) -> str:
    listed = sorted(keys)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def save(
    net: Network,
    card: Card,
    folder: str | Path | None = None,
    *,
    learned: Mapping[str, Tensor] | None = None,
    overwrite: bool = False,
) -> Card:
    """Write a network's weights and their card; both files are written aside and renamed.

    Args:
        net: the network; its `source` goes into the card unless that has its own.
        card: the facts; `sha256` is filled in, and numbers are stored as `dtype` says.
        folder: where to; None: the first of the user's folders.
        learned: what adapted weights, whose card has `adapted`, need beside the network; kept in its own types.
        overwrite: replace weights of that name.

    Returns:
        The card as it was written.

    Raises:
        WeightsError: a fact in the card is wrong or the weights are not those of its network; the name is taken; or
            the numbers do not fit into `dtype`.
        OutputError: the files cannot be written.
    """
    where = folders()[1] if folder is None else Path(folder)
    check_free(card.name, where, overwrite=overwrite)
    card, data = pack(net, card, learned)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{where}: the folder cannot be made ({error.strerror or error})") from error
    write_aside(where / f"{card.name}{SUFFIX}", data)
    write_aside(where / f"{card.name}.toml", card_text(card).encode())
    return card


def ships(name: str) -> bool:
    """Whether weights of that name come with panloom."""
    return (SHIPPED / f"{name}.toml").is_file()


def check_free(name: str, folder: Path, *, overwrite: bool) -> None:
    """Refuse a name that is taken: there, or in a folder that weights are looked for in, by what comes with panloom.

    Raises:
        WeightsError: it is.
    """
    if folder in folders()[1:] and ships(name):
        raise WeightsError(f"{name} comes with panloom; choose another tag (--tag)")
    if (folder / f"{name}.toml").exists() and not overwrite:
        raise WeightsError(
            f"{folder / name}.toml is there already; choose another tag (--tag), or replace it (--overwrite; in Python "
            "overwrite=True)"
        )


def pack(net: Network, card: Card, learned: Mapping[str, Tensor] | None = None) -> tuple[Card, bytes]:
    """The completed card and the bytes of the safetensors file, after they were found to fit each other.

    Raises:
        WeightsError: they do not.
    """
    stored = getattr(torch, card.dtype)
    state = {
        key: (tensor.to(stored) if tensor.is_floating_point() else tensor) for key, tensor in net.state_dict().items()
    }
    if card.adapted is not None:
        state = {f"{NETWORK}{key}": tensor for key, tensor in state.items()}
        state |= {f"{LEARNED}{key}": tensor for key, tensor in (learned or {}).items()}
    state = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
    head = {} if card.adapted is None else {ADAPTED: card.adapted.adapter}
    data = safetensors.torch.save(state, {"format": "pt", **head})
    source = net.source if card.source is None else card.source
    card = replace(card, source=source, sha256=hashlib.sha256(data).hexdigest())
    card = parse_card(_as_read(card), f"the card of {card.name}")
    assemble(card, state)
    return card, data


def _as_read(card: Card) -> dict[str, object]:
    """The card's table as a reader will see it."""
    return tomllib.loads(card_text(card))
