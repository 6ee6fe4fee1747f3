"""Every index of this folder, found by looking: one module each, with one or more `Metric` in it."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from panloom.errors import OptionError, unknown
from panloom.metrics._metric import Metric


@cache
def _found() -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("_"):
            continue
        content = vars(importlib.import_module(f"panloom.metrics.{module.name}"))
        found |= {entry.name: entry for entry in content.values() if isinstance(entry, Metric)}
    return found


def names() -> list[str]:
    """Registry names of all indices, sorted."""
    return sorted(_found())


def get(name: str) -> Metric:
    """The index of that name, such as "ergas".

    Raises:
        OptionError: unknown name; the message lists the nearest and all known ones.
    """
    if name not in _found():
        raise OptionError(unknown("metric", name, names()))
    return _found()[name]
