"""Classical fusion: one file per family, each method `prepare` (statistics) and a pure call."""

from panloom.classical._registry import get, method, names

__all__ = ["get", "method", "names"]
