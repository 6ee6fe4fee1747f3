"""Architectures by name: a class in a file of this folder, found by looking."""

from __future__ import annotations

from collections.abc import Callable

from panloom.analysis.models._architecture import Architecture
from panloom.registry import Class, Registry

_ARCHITECTURES: Registry[type[Architecture]] = Registry("panloom.analysis.models", "architecture")


def architecture(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers an architecture under a lower-case, hyphenated name.

    Raises:
        ValueError: the name is taken.
    """
    return _ARCHITECTURES.register(name)


def names() -> list[str]:
    """All architectures, sorted."""
    return sorted(_ARCHITECTURES.loaded())


def get(name: str) -> type[Architecture]:
    """The class of an architecture.

    Raises:
        MethodError: unknown name.
    """
    return _ARCHITECTURES.find(name)
