"""Networks by name: a class in a file of this folder, found by looking."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import TypeVar

from panloom.errors import MethodError, unknown
from panloom.networks._network import Network

Class = TypeVar("Class", bound=type[Network])

_NETWORKS: dict[str, type[Network]] = {}


def network(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers a network under a lower-case, hyphenated name.

    Raises:
        ValueError: the name is taken.
    """

    def register(cls: Class) -> Class:
        if name in _NETWORKS:
            raise ValueError(f"two networks are called {name!r}")
        _NETWORKS[name] = cls
        return cls

    return register


def _load() -> dict[str, type[Network]]:
    package = importlib.import_module("panloom.networks")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"panloom.networks.{module.name}")
    return _NETWORKS


def names() -> list[str]:
    """All networks, sorted."""
    return sorted(_load())


def get(name: str) -> type[Network]:
    """The class of a network; its constructor's keyword arguments are the network's options.

    Raises:
        MethodError: unknown name.
    """
    networks = _load()
    if name not in networks:
        raise MethodError(unknown("network", name, networks))
    return networks[name]


def build(name: str, options: Mapping[str, int | float | str | bool]) -> Network:
    """A network with untrained weights, drawn from torch's own generator.

    Raises:
        MethodError: unknown name, or options that the network does not have.
    """
    try:
        return get(name)(**options)
    except (TypeError, ValueError, RuntimeError) as error:  # whatever the layers say of a wrong number
        raise MethodError(f"{name} cannot be made with {dict(options)}: {error}") from error
