"""Fusion networks: one file each, `features(pair)` and then `head(features, pair)`."""

from panloom.networks._network import IMAGES, Network, SourceStatistics
from panloom.networks._registry import build, get, names, network

__all__ = ["IMAGES", "Network", "SourceStatistics", "build", "get", "names", "network"]
