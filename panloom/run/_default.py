"""The method of `panloom sharpen` without `--method`; alone here, because the command line reads it before torch."""

#: Of the methods that are never worse than EXP on a training pair, the one with the least reduced-resolution ERGAS
#: (`docs/benchmarks.md`).
DEFAULT = "mtf-glp-cbd"
