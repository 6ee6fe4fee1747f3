"""The method of `panloom sharpen` without `--method`; alone here, because the command line reads it before torch."""

#: The trained network for any sensor (`docs/benchmarks.md`).
DEFAULT = "universal.open"

#: Of the classical methods that are never worse than EXP on a training pair, the one with the least reduced-resolution
#: ERGAS: what to take where the network was not trained.
ANY_RATIO = "mtf-glp-cbd"
