"""panloom weaves sharp and spectral images into one: pansharpening of real scenes of any size.

>>> import panloom
>>> panloom.__version__
'0.1.0'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from panloom._version import __version__

if TYPE_CHECKING:
    from panloom.run.adapt import adapt_to
    from panloom.run.fuse import fuse
    from panloom.run.report import Report
    from panloom.run.sharpen import sharpen

__all__ = ["Report", "__version__", "adapt_to", "fuse", "sharpen"]

_HOMES = {
    "adapt_to": "panloom.run.adapt",
    "fuse": "panloom.run.fuse",
    "sharpen": "panloom.run.sharpen",
    "Report": "panloom.run.report",
}


def __dir__() -> list[str]:
    """The public names, also those that are not imported yet."""
    return __all__


def __getattr__(name: str) -> object:
    """Public names are imported when they are first asked for, so that `import panloom` stays quick (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'panloom' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
