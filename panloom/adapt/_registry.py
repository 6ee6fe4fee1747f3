"""Adapters by name, and the methods that fit a scene without a trained network: files of this folder."""

from __future__ import annotations

from collections.abc import Callable

from panloom.pair import Fuser
from panloom.registry import Class, Registry

#: `cls(network, **options)` is a fuser whose `prepare` adapts a copy of the network to the scene.
Adapter = Callable[..., Fuser]

_ADAPTERS: Registry[Adapter] = Registry("panloom.adapt", "adapter")
_FREE: Registry[Callable[..., Fuser]] = Registry("panloom.adapt", "adapter")


def adapter(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers an adapter, the word behind the `+` of a method's name.

    Raises:
        ValueError: the name is taken.
    """
    return _ADAPTERS.register(name)


def free_method(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers a method without trained weights under its complete name.

    Raises:
        ValueError: the name is taken.
    """
    return _FREE.register(name)


def names() -> list[str]:
    """All adapters, sorted."""
    return sorted(_ADAPTERS.loaded())


def get(name: str) -> Adapter:
    """The class of an adapter: it takes a network, and keyword arguments that are its options.

    Raises:
        MethodError: unknown name.
    """
    return _ADAPTERS.find(name)


def free() -> dict[str, Callable[..., Fuser]]:
    """Methods that need no trained network, by their complete names; each takes its options."""
    return dict(sorted(_FREE.loaded().items()))
