"""Weights as others published them: their names of layers, brought to ours.

A network whose public weights can be read has a class attribute `published`: names of layers as published, and ours.
Two published names of one layer may stand there; the first is the one that messages use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from panloom.errors import MethodError, unknown
from panloom.networks._network import Network
from panloom.networks._registry import build, get, names

Shapes = dict[str, tuple[int, ...]]

#: Entries that a message lists before it breaks off.
LISTED = 8


@dataclass(frozen=True)
class Published:
    """A public checkpoint, understood.

    Attributes:
        name: of the network in the registry.
        options: of its constructor.
        network: with the weights, in float32.
        flushed: weights that were subnormal numbers and are zero now.
    """

    name: str
    options: dict[str, int | float | str | bool]
    network: Network
    flushed: int


def readable() -> list[str]:
    """Networks whose public checkpoints can be read."""
    return [name for name in names() if _table(name)]


def from_published(state: Mapping[str, Tensor], name: str | None = None) -> Published:
    """A network with weights that are named as in the public toolbox (Deng et al. 2022).

    The number of bands follows from the shapes. Layers that a file holds under two names are taken once. Subnormal
    weights become zero: they change no result, and processors are slow with them.

    Args:
        state: the checkpoint's tensors by their published names.
        name: the network, one of `readable()`; None: the one that the tensors fit.

    Raises:
        MethodError: the tensors are not those of the network, or of any; two copies of a layer differ; a weight is not
            a finite number.
    """
    known = readable()
    if name is not None and name not in known:
        raise MethodError(unknown("network with public weights", name, known))
    for candidate in [name] if name else known:
        once = _once(state, candidate)
        bands = _bands(_shapes(once), candidate)
        if bands is not None:
            return _filled(once, candidate, {"bands": bands})
    raise MethodError(_misfit(_shapes(_once(state, name)), name) if name else _stranger(_shapes(state), known))


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
    """The tensors under the first of their published names, so that each is there once."""
    table, theirs = _table(name), _theirs(name)
    found: dict[str, Tensor] = {}
    for key, values in state.items():
        first = _moved(key, {layer: theirs[ours] for layer, ours in table.items()})
        if first in found and not torch.equal(found[first], values):
            raise MethodError(f"the file holds {first} twice, also as {key}, with different values: it is damaged")
        found[first] = values
    return found


def _filled(state: Mapping[str, Tensor], name: str, options: dict[str, int | float | str | bool]) -> Published:
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


def _expected(name: str, bands: int) -> Shapes:
    """Shapes of a network's tensors, by their published names."""
    with torch.device("meta"):
        shapes = _shapes(build(name, {"bands": bands}).state_dict())
    return {_moved(key, _theirs(name)): shape for key, shape in shapes.items()}


def _counts(shapes: Shapes) -> list[int]:
    """Numbers of bands that the last layer may have."""
    return sorted({shape[0] for shape in shapes.values() if shape and shape[0] > 0})


def _bands(shapes: Shapes, name: str) -> int | None:
    return next((count for count in _counts(shapes) if _expected(name, count) == shapes), None)


def _misfit(shapes: Shapes, name: str) -> str:
    """What is wrong with tensors that should be those of a network, compared at the nearest number of bands."""

    def faults(bands: int) -> list[str]:
        expected = _expected(name, bands)
        keys = [key for key in {**expected, **shapes} if expected.get(key) != shapes.get(key)]
        return [f"{key} {_size(shapes.get(key))} instead of {_size(expected.get(key))}" for key in keys]

    bands = min(_counts(shapes) or [1], key=lambda count: len(faults(count)))
    return f"the tensors are not those of {name}; compared with {bands} bands: {_list(faults(bands))}"


def _stranger(shapes: Shapes, known: Iterable[str]) -> str:
    held = _list([f"{key} {_size(shape)}" for key, shape in shapes.items()])
    return f"the tensors fit no network with public weights ({', '.join(known)}); the file holds: {held}"


def _size(shape: tuple[int, ...] | None) -> str:
    return "(nothing)" if shape is None else "x".join(map(str, shape)) or "(one number)"


def _list(entries: list[str]) -> str:
    more = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
    return (", ".join(entries[:LISTED]) or "nothing") + more
