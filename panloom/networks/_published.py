"""Tensors without a word about where they are from: the network that they fit, by their names and shapes.

Any network is known by our own names of layers. One whose public weights can be read has a class attribute `published`:
names of layers as published, and ours. Two published names of one layer may stand there; the first is the one that
messages use.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from panloom.errors import MethodError
from panloom.networks._network import Network
from panloom.networks._registry import build, get, names

Shapes = dict[str, tuple[int, ...]]
Options = dict[str, int | float | str | bool]

#: Options that show in the shapes, besides the bands; names of layers as messages use them.
_SEEN: Mapping[str, Callable[[Shapes], Options]] = {
    "a-pnn": lambda shapes: {"filters": shapes["first.weight"][0]},
    "pannet": lambda shapes: {"ratio": (shapes["deconv.weight"][2] + 1) // 2},
    "universal": lambda shapes: {
        "width": shapes["enter.weight"][0],
        "depth": sum(key.startswith("body.") and key.endswith(".weight") for key in shapes),
        "maps": shapes["expand.weight"][0] // 4,
    },
}

#: Entries that a message lists before it breaks off.
LISTED = 8


@dataclass(frozen=True)
class Published:
    """A checkpoint, understood.

    Attributes:
        name: of the network in the registry.
        options: of its constructor.
        network: with the weights, in float32.
        flushed: weights that were subnormal numbers and are zero now.
    """

    name: str
    options: Options
    network: Network
    flushed: int


def from_published(state: Mapping[str, Tensor], name: str | None = None) -> Published:
    """A network with weights that are named as in the public toolbox (Deng et al. 2022), or as ours.

    Its options follow from the shapes; those that are as usual are not told. Layers that a file holds under two names
    are taken once. Subnormal weights become zero: they change no result, and processors are slow with them.

    Args:
        state: the checkpoint's tensors by their names.
        name: the network; None: the one that the tensors fit.

    Raises:
        MethodError: the tensors are not those of the network, or of any; two copies of a layer differ; a weight is not
            a finite number.
    """
    known = {candidate: _once(state, candidate) for candidate in ([name] if name else names())}
    # Of two networks that the tensors fit it is the one with its usual options: a-pnn can be as wide as pnn.
    for candidate, once in sorted(known.items(), key=lambda entry: len(_unusual(_shapes(entry[1]), entry[0]))):
        options = _options(_shapes(once), candidate)
        if options is not None:
            return _filled(once, candidate, options)
    raise MethodError(_misfit(_shapes(known[name]), name) if name else _stranger(_shapes(state), known))


def _table(name: str) -> Mapping[str, str]:
    """Published names of layers, and ours; empty for a network that nobody published in this form."""
    return getattr(get(name), "published", {})


def _theirs(name: str) -> dict[str, str]:
    """Our names of layers, and the first of the published ones."""
    return {ours: published for published, ours in reversed([*_table(name).items()])}


def _moved(key: str, names: Mapping[str, str]) -> str:
    """The name of a tensor with the new name of its layer; unchanged where the layer is not known."""
    layer, _, leaf = key.rpartition(".")
    return f"{names[layer]}.{leaf}" if layer in names else key


def _once(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors under the first of their published names, if they have any, so that each is there once."""
    theirs = _theirs(name)
    firsts = theirs | {layer: theirs[ours] for layer, ours in _table(name).items()}
    found: dict[str, Tensor] = {}
    for key, values in state.items():
        first = _moved(key, firsts)
        if first in found and not torch.equal(found[first], values):
            raise MethodError(f"the file holds {first} twice, also as {key}, with different values: it is damaged")
        found[first] = values
    return found


def _filled(state: Mapping[str, Tensor], name: str, options: Options) -> Published:
    weights, flushed = {}, 0
    for key, values in state.items():
        if not (values.is_floating_point() and bool(values.isfinite().all())):
            raise MethodError(f"{key} of {name} holds values that are no finite numbers: the file is damaged")
        single = values.to(torch.float32)
        subnormal = (single != 0) & (single.abs() < torch.finfo(torch.float32).tiny)
        weights[_moved(key, _table(name))] = single.masked_fill(subnormal, 0)
        flushed += int(subnormal.sum())
    with torch.random.fork_rng(devices=[]):  # the draw of first weights must not move the caller's generator
        network = build(name, options)
    network.load_state_dict(weights)
    return Published(name, options, network, flushed)


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(values.shape) for key, values in state.items()}


def _expected(name: str, options: Options) -> Shapes:
    """Shapes of a network's tensors, by their published names.

    Raises:
        MethodError: there is no such network.
    """
    with torch.device("meta"):
        shapes = _shapes(build(name, options).state_dict())
    return {_moved(key, _theirs(name)): shape for key, shape in shapes.items()}


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(get(name)).parameters


def _unusual(shapes: Shapes, name: str) -> Options:
    """Options other than the bands that show in the shapes and are not as usual."""
    try:
        seen = _SEEN[name](shapes) if name in _SEEN else {}
    except (KeyError, IndexError):  # tensors of another network
        return {}
    usual = _parameters(name)
    return {option: value for option, value in seen.items() if value != usual[option].default}


def _choices(shapes: Shapes, name: str) -> list[Options]:
    """What the options may be: any size of a tensor may be the number of bands."""
    unusual = _unusual(shapes, name)
    if "bands" not in _parameters(name):
        return [unusual]
    counts = sorted({shape[0] for shape in shapes.values() if shape and shape[0] > 0})
    return [{"bands": count, **unusual} for count in counts or [1]]


def _options(shapes: Shapes, name: str) -> Options | None:
    def fit(options: Options) -> bool:
        try:
            return _expected(name, options) == shapes
        except MethodError:  # no such network
            return False

    return next(filter(fit, _choices(shapes, name)), None)


def _misfit(shapes: Shapes, name: str) -> str:
    """What is wrong with tensors that should be those of a network, compared at the nearest options."""

    def faults(options: Options) -> list[str]:
        expected = _expected(name, options)
        keys = [key for key in {**expected, **shapes} if expected.get(key) != shapes.get(key)]
        return [f"{key} {_size(shapes.get(key))} instead of {_size(expected.get(key))}" for key in keys]

    options = min(_choices(shapes, name), key=lambda choice: len(faults(choice)))
    said = ", ".join(f"{value} {option}" for option, value in options.items()) or "its usual options"
    return f"the tensors are not those of {name}; compared with {said}: {_list(faults(options))}"


def _stranger(shapes: Shapes, known: Iterable[str]) -> str:
    held = _list([f"{key} {_size(shape)}" for key, shape in shapes.items()])
    return f"the tensors fit no network ({', '.join(known)}); the file holds: {held}"


def _size(shape: tuple[int, ...] | None) -> str:
    return "(nothing)" if shape is None else "x".join(map(str, shape)) or "(one number)"


def _list(entries: list[str]) -> str:
    more = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
    return (", ".join(entries[:LISTED]) or "nothing") + more
