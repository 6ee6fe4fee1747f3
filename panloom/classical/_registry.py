"""Classical methods by name: a class in a file of this folder, found by looking."""

from __future__ import annotations

from collections.abc import Callable

from panloom.pair import Fuser
from panloom.registry import Class, Registry

_METHODS: Registry[Callable[..., Fuser]] = Registry("panloom.classical", "method")


def method(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers a fuser under a lower-case, hyphenated name.

    Raises:
        ValueError: the name is taken.
    """
    return _METHODS.register(name)


def names() -> list[str]:
    """All classical methods, sorted."""
    return sorted(_METHODS.loaded())


def get(name: str) -> Callable[..., Fuser]:
    """The class of a method; its constructor's keyword arguments are the method's options.

    Raises:
        MethodError: unknown name.
    """
    return _METHODS.find(name)
