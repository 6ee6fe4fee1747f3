"""Classes by name, found by looking into the files of a folder: a new file is enough to be known."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from panloom.errors import MethodError, unknown

Entry = TypeVar("Entry")
Class = TypeVar("Class", bound=type)


class Registry(dict[str, Entry]):
    """Entries by name; those of a package's public modules are there once `loaded` was called.

    Args:
        package: dotted name of the folder.
        kind: what an entry is called in messages.
    """

    def __init__(self, package: str, kind: str) -> None:
        super().__init__()
        self._package, self._kind = package, kind

    def register(self, name: str) -> Callable[[Class], Class]:
        """Class decorator: enters a class under a lower-case, hyphenated name.

        Raises:
            ValueError: the name is taken.
        """

        def enter(cls: Class) -> Class:
            if name in self:
                raise ValueError(f"two {self._kind}s are called {name!r}")
            dict.__setitem__(self, name, cls)
            return cls

        return enter

    def loaded(self) -> Registry[Entry]:
        """The registry itself, after all public modules of the package were imported."""
        for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self._package}.{module.name}")
        return self

    def find(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            MethodError: unknown name.
        """
        if name not in self.loaded():
            raise MethodError(unknown(self._kind, name, self))
        return self[name]
