"""Quality indices: one file each, an additive tally and a final formula."""

from panloom.metrics._metric import Metric, Tally, added
from panloom.metrics._registry import get, names
from panloom.metrics.bias import BIAS
from panloom.metrics.ergas import ERGAS
from panloom.metrics.sam import SAM

__all__ = ["BIAS", "ERGAS", "SAM", "Metric", "Tally", "added", "get", "names"]
