"""Quality indices: one file each, an additive tally and a final formula.

FSDS, which is of whole images only, stands beside the registry: see `panloom.metrics.fsds`.
"""

from panloom.metrics._full import Form, FullMetric, FullScene, in_digital_numbers, variant
from panloom.metrics._metric import Core, Metric, Tally, added
from panloom.metrics._registry import get, names
from panloom.metrics.bias import BIAS
from panloom.metrics.ergas import ERGAS
from panloom.metrics.fsds import (
    FSDS,
    FSDS_POWER,
    FSDS_WINDOWED,
    SPECTRUM_INDICES,
    Denominator,
    SpectrumIndex,
    SpectrumSimilarity,
)
from panloom.metrics.psnr import PSNR
from panloom.metrics.q import Q
from panloom.metrics.q2n import Q2N, Q2N_UNROUNDED
from panloom.metrics.rmse import RMSE
from panloom.metrics.sam import SAM
from panloom.metrics.scc import SCC, SCC_VALID
from panloom.metrics.ssim import SSIM, SSIM_FULL_SCALE, SSIM_MHIF

__all__ = [
    "BIAS",
    "ERGAS",
    "FSDS",
    "FSDS_POWER",
    "FSDS_WINDOWED",
    "PSNR",
    "Q2N",
    "Q2N_UNROUNDED",
    "RMSE",
    "SAM",
    "SCC",
    "SCC_VALID",
    "SPECTRUM_INDICES",
    "SSIM",
    "SSIM_FULL_SCALE",
    "SSIM_MHIF",
    "Core",
    "Denominator",
    "Form",
    "FullMetric",
    "FullScene",
    "Metric",
    "Q",
    "SpectrumIndex",
    "SpectrumSimilarity",
    "Tally",
    "added",
    "get",
    "in_digital_numbers",
    "names",
    "variant",
]
