"""Super-resolution networks of others: one small file each, enough to run their public weights."""

from panloom.analysis.models._architecture import Architecture
from panloom.analysis.models._registry import architecture, get, names

__all__ = ["Architecture", "architecture", "get", "names"]
