"""Classical methods by name: a class in a file of this folder, found by looking."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from panloom.errors import MethodError, unknown
from panloom.pair import Fuser

Method = TypeVar("Method", bound=type)

_METHODS: dict[str, Callable[..., Fuser]] = {}


def method(name: str) -> Callable[[Method], Method]:
    """Class decorator: registers a fuser under a lower-case, hyphenated name.

    Raises:
        ValueError: the name is taken.
    """

    def register(cls: Method) -> Method:
        if name in _METHODS:
            raise ValueError(f"two classical methods are called {name!r}")
        _METHODS[name] = cls
        return cls

    return register


def _load() -> dict[str, Callable[..., Fuser]]:
    package = importlib.import_module("panloom.classical")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"panloom.classical.{module.name}")
    return _METHODS


def names() -> list[str]:
    """All classical methods, sorted."""
    return sorted(_load())


def get(name: str) -> Callable[..., Fuser]:
    """The class of a method; its constructor's keyword arguments are the method's options.

    Raises:
        MethodError: unknown name.
    """
    methods = _load()
    if name not in methods:
        raise MethodError(unknown("method", name, methods))
    return methods[name]
