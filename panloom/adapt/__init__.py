"""Adapters: a trained network fitted to one scene, and the network-free controls that keep them honest."""

from panloom.adapt._frame import Report
from panloom.adapt._learned import Applied, Keeper, Learned
from panloom.adapt._registry import Adapter, adapter, free, free_method, get, names
from panloom.adapt._sample import Statistics, statistics

__all__ = [
    "Adapter",
    "Applied",
    "Keeper",
    "Learned",
    "Report",
    "Statistics",
    "adapter",
    "free",
    "free_method",
    "get",
    "names",
    "statistics",
]
