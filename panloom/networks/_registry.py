"""Networks by name: a class in a file of this folder, found by looking."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from panloom.errors import MethodError
from panloom.networks._network import Network
from panloom.registry import Class, Registry

_NETWORKS: Registry[type[Network]] = Registry("panloom.networks", "network")


def network(name: str) -> Callable[[Class], Class]:
    """Class decorator: registers a network under a lower-case, hyphenated name.

    Raises:
        ValueError: the name is taken.
    """
    return _NETWORKS.register(name)


def names() -> list[str]:
    """All networks, sorted."""
    return sorted(_NETWORKS.loaded())


def get(name: str) -> type[Network]:
    """The class of a network; its constructor's keyword arguments are the network's options.

    Raises:
        MethodError: unknown name.
    """
    return _NETWORKS.find(name)


def build(name: str, options: Mapping[str, int | float | str | bool]) -> Network:
    """A network with untrained weights, drawn from torch's own generator.

    Raises:
        MethodError: unknown name, or options that the network does not have.
    """
    try:
        return get(name)(**options)
    except (TypeError, ValueError, RuntimeError) as error:  # whatever the layers say of a wrong number
        raise MethodError(f"{name} cannot be made with {dict(options)}: {error}") from error
