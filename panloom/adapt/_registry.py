"""Adapters by name, and the methods that fit a scene without a trained network: files of this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from panloom.errors import MethodError, unknown
from panloom.pair import Fuser

Class = TypeVar("Class", bound=type)

#: `cls(network, **options)` is a fuser whose `prepare` adapts a copy of the network to the scene.
Adapter = Callable[..., Fuser]

_ADAPTERS: dict[str, Adapter] = {}
_FREE: dict[str, Callable[..., Fuser]] = {}


def adapter(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers an adapter, the word behind the `+` of a method's name.

    Raises:
        ValueError: the name is taken.
    """
    return _into(_ADAPTERS, name)


def free_method(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers a method without trained weights under its complete name.

    Raises:
        ValueError: the name is taken.
    """
    return _into(_FREE, name)


def _into(registry: dict[str, Callable[..., Fuser]], name: str) -> Callable[[Class], Class]:
    def register(cls: Class) -> Class:
        if name in registry:
            raise ValueError(f"two adapters are called {name!r}")
        registry[name] = cls
        return cls

    return register


def _load() -> None:
    package = importlib.import_module("panloom.adapt")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"panloom.adapt.{module.name}")


def names() -> list[str]:
    """All adapters, sorted."""
    _load()
    return sorted(_ADAPTERS)


def get(name: str) -> Adapter:
    """The class of an adapter: it takes a network, and keyword arguments that are its options.

    Raises:
        MethodError: unknown name.
    """
    _load()
    if name not in _ADAPTERS:
        raise MethodError(unknown("adapter", name, _ADAPTERS))
    return _ADAPTERS[name]


def free() -> dict[str, Callable[..., Fuser]]:
    """Methods that need no trained network, by their complete names; each takes its options."""
    _load()
    return dict(sorted(_FREE.items()))
