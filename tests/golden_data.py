"""The golden pairs as tensors: inputs, stored results and their tolerances, in the convention of panloom.

Arrays of the files are (row, col, band) in digital numbers; here they are (1, band, row, col), float64.
`tests/golden/synthetic/README.md` explains names and tolerances.

    problem = whole("synth8_r4", "rr")
    fused = rule(problem.pair())
    problem.check("GSA", fused)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from panloom.optics import toolbox
from panloom.pair import Pair
from panloom.types import Band, Sensor

Scale = Literal["rr", "fr"]

GOLDEN = Path(__file__).resolve().parent / "golden" / "synthetic"

#: Pairs that stand in the repository, and those of the folder of real imagery (`shared / REAL_FOLDER`).
SYNTHETIC = ("synth8_r4", "synth4_r4", "synth6_r2")
REAL = (
    "vitale_WV2",
    "pairmaxRR_W3_Muni_Nat",
    "abf_QB_RRtrain",
    "pairmax_GE_Tren_Urb",
    "solaris_1d",
    "fuse_L7_07",
)
REAL_FULL = tuple(name for name in REAL if name not in ("abf_QB_RRtrain", "pairmax_GE_Tren_Urb"))
REAL_FOLDER = Path("golden") / "toolbox"

#: Sensor codes of the files: MTF gains of the MS bands, and of PAN.
GAINS: dict[str, tuple[tuple[float, ...], float]] = {
    "QB": ((0.34, 0.32, 0.30, 0.22), 0.15),
    "IKONOS": ((0.26, 0.28, 0.29, 0.28), 0.17),
    "GeoEye1": ((0.23,) * 4, 0.16),
    "WV4": ((0.23,) * 4, 0.16),
    "WV2": ((0.35,) * 7 + (0.27,), 0.11),
    "WV3": ((0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315), 0.14),
    "none": ((0.30,) * 4, 0.15),
}

#: Rules that solve least squares: in float32 they may differ by 1e-3 relative.
LEAST_SQUARES = ("GSA", "BTH", "PRACS", "MTF_GLP_HPM_H")

#: Share of the pixels that may differ where a rule is ill conditioned, and the relative limit of the others.
IGNORED_SHARE, ILL_CONDITIONED_RTOL = 0.005, 1e-5


def tolerances(dtype: torch.dtype) -> dict[str, float]:
    """Limits of operators and fused arrays, as keywords of `close`."""
    return {"rtol": 1e-4, "atol": 0.05} if dtype == torch.float32 else {"rtol": 1e-6, "atol": 1e-4}


def to_tensor(array: np.ndarray) -> Tensor:
    """(H, W) or (H, W, C) -> (1, C, H, W) float64."""
    x = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))
    return (x if x.ndim == 3 else x[..., None]).permute(2, 0, 1)[None].contiguous()


def close(
    actual: Tensor,
    stored: Tensor,
    rtol: float = 1e-6,
    atol: float = 1e-4,
    *,
    ignored: float = 0.0,
    what: str = "",
) -> bool:
    """True if |actual - stored| <= atol + rtol |stored| in all but the share `ignored` of the pixels.

    A pixel is out if any of its bands is. Otherwise an AssertionError tells where and by how much.
    """
    assert actual.shape == stored.shape, f"{what}: shape {tuple(actual.shape)}, stored {tuple(stored.shape)}"
    stored = stored.double()
    gap = (actual.double() - stored).abs()
    # Negated, so that a NaN is out.
    out = ~(gap <= atol + rtol * stored.abs())
    pixels = out.any(-3) if out.ndim >= 3 else out
    share = pixels.double().mean().item()
    if share > ignored:
        excess = torch.where(out, gap / (atol + rtol * stored.abs()), 0.0).nan_to_num(torch.inf, torch.inf)
        at = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), tuple(out.shape)))
        raise AssertionError(
            f"{what}: {share:.2%} of the pixels out (allowed {ignored:.2%}); worst at {at}: "
            f"{actual[at].item():.10g}, stored {stored[at].item():.10g}, limits rtol {rtol:g} atol {atol:g}"
        )
    return True


@dataclass(frozen=True)
class GoldenPair:
    """One pair of the golden data.

    Attributes:
        name: the file's name.
        ratio: PAN pixels per MS pixel.
        bands: their names.
        sensor_code: key of `GAINS`.
        ms_gains: one MTF gain per band.
        pan_gain: of PAN.
        arrays: as stored.
        meta: the JSON file.
    """

    name: str
    ratio: int
    bands: tuple[str, ...]
    sensor_code: str
    ms_gains: tuple[float, ...]
    pan_gain: float
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def tensor(self, key: str, dtype: torch.dtype = torch.float64) -> Tensor:
        """An array as (1, C, H, W); a fresh copy."""
        return to_tensor(self.arrays[key]).to(dtype)

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Reduced resolution, and full resolution where the pair has it."""
        return ("rr", "fr") if "fr_pan" in self else ("rr",)

    @property
    def truth(self) -> Tensor:
        """The ground truth at reduced resolution."""
        return self.tensor("rr_gt" if "rr_gt" in self else "fr_ms")

    @property
    def sensor(self) -> Sensor:
        """The gains as a sensor; its wavelengths mean nothing."""
        bands = tuple(Band(n.lower(), 0.0, 0.0, g) for n, g in zip(self.bands, self.ms_gains, strict=True))
        return Sensor(self.sensor_code.lower(), bands, Band("pan", 0.0, 0.0, self.pan_gain), self.ratio, None)

    def whole(self, scale: Scale) -> Problem:
        """The reduced-resolution or the full-resolution problem."""
        keys = ("rr_ms_lr", "rr_pan") if scale == "rr" else ("fr_ms", "fr_pan")
        return Problem(self, scale, *(self.tensor(key) for key in keys))


@dataclass(frozen=True)
class Problem:
    """What a fusion rule sees at one scale, and what it should answer; float64, digital numbers.

    Attributes:
        source: the golden pair.
        scale: "rr" or "fr".
        ms: (1, C, h, w).
        pan: (1, 1, H, W).
    """

    source: GoldenPair
    scale: Scale
    ms: Tensor
    pan: Tensor

    @cached_property
    def exp(self) -> Tensor:
        """(1, C, H, W), computed: the stored EXP is float32, too coarse for the ill-conditioned rules."""
        return toolbox.interp23(self.ms, self.source.ratio)

    @property
    def methods(self) -> tuple[str, ...]:
        """Rules with stored statistics at this scale."""
        return tuple(self.source.meta[self.scale]["stats"])

    @property
    def ill_conditioned(self) -> tuple[str, ...]:
        """Rules that divide by almost zero somewhere."""
        return tuple(self.source.meta[self.scale]["ill_conditioned"])

    def index(self, method: str, kind: Literal["RR_nocut", "RR_cut21", "NOREF"]) -> dict[str, float | None]:
        """Stored quality indices of a rule; None where undefined."""
        return self.source.meta[self.scale]["index"][method][kind]

    def pair(self, dtype: torch.dtype = torch.float64) -> Pair:
        """The inputs as the record that methods see; everything valid, phase ratio // 2."""
        centre = float(self.source.ratio // 2)
        valid = torch.ones_like(self.pan, dtype=torch.bool)
        pan, ms, exp = (x.to(dtype) for x in (self.pan, self.ms, self.exp))
        return Pair(pan=pan, ms=ms, exp=exp, valid=valid, phase=(centre, centre), sensor=self.source.sensor)

    def stored(self, method: str) -> dict[str, Tensor]:
        """All stored arrays of a rule by name, as (1, C, rows, cols); means have one column or one row."""
        suffixes = ("fused",) if self.scale == "rr" else ("tl", "c", "br", "rowmean", "colmean")
        keys = [f"{self.scale}_{suffix}_{method}" for suffix in suffixes]
        found = {key: self.source.arrays[key] for key in keys if key in self.source}
        shape = {"rowmean": np.s_[:, None], "colmean": np.s_[None]}
        return {key: to_tensor(a[shape.get(key.split("_")[1], np.s_[:])]) for key, a in found.items()}

    def view(self, key: str, image: Tensor) -> Tensor:
        """The part of a whole image that the stored array `key` ("fr_tl_GSA", ...) shows."""
        part = key.split("_")[1]
        if part == "rowmean":
            return image.mean(-1, keepdim=True)
        if part == "colmean":
            return image.mean(-2, keepdim=True)
        return window(image, part)

    def check(self, method: str, fused: Tensor, *, rtol: float | None = None, atol: float | None = None) -> None:
        """Compare a fused image with everything that is stored of the rule, at the stated tolerances.

        The limits follow the dtype of `fused` unless given. Ill-conditioned rules: 1e-5 relative, 0.5 % of
        the pixels of each array ignored, means and statistics skipped.

        Raises:
            AssertionError: something is out, or nothing is stored.
        """
        limits = tolerances(fused.dtype)
        if fused.dtype == torch.float32 and method in LEAST_SQUARES:
            limits["rtol"] = 1e-3
        ill = method in self.ill_conditioned
        if ill:
            limits["rtol"] = max(limits["rtol"], ILL_CONDITIONED_RTOL)
        limits |= {k: v for k, v in (("rtol", rtol), ("atol", atol)) if v is not None}
        what, ignored = f"{self.source.name} {self.scale} {method}", IGNORED_SHARE if ill else 0.0
        assert method in self.methods, f"{what}: nothing is stored; there are {', '.join(self.methods)}"
        for key, stored in self.stored(method).items():
            if not (ill and "mean_" in key):
                close(self.view(key, fused), stored, **limits, ignored=ignored, what=f"{what} {key}")
        if not ill:
            check_stats(fused, self.source.meta[self.scale]["stats"][method], what, **limits)


def window(image: Tensor, part: str) -> Tensor:
    """The windows "tl", "c", "br" of a whole image; the image itself for any other name."""
    rows, cols = image.shape[-2] // 2, image.shape[-1] // 2
    cuts = {
        "tl": np.s_[..., :32, :32],
        "c": np.s_[..., rows - 20 : rows + 20, cols - 20 : cols + 20],
        "br": np.s_[..., -24:, -24:],
    }
    return image[cuts[part]] if part in cuts else image


def check_stats(image: Tensor, stats: dict[str, list[float]], what: str, rtol: float, atol: float) -> None:
    """Compare mean, deviation (N - 1), minimum and maximum of each band with the JSON's."""
    flat = image.double().flatten(-2)[0]
    actual = {"mean": flat.mean(-1), "std_ddof1": flat.std(-1), "min": flat.amin(-1), "max": flat.amax(-1)}
    for key, value in actual.items():
        stored = torch.tensor(stats[key], dtype=torch.float64).reshape(-1)
        close(value, stored, rtol, atol, what=f"{what} {key}")


@lru_cache(maxsize=16)
def load(name: str, root: Path = GOLDEN) -> GoldenPair:
    """Read a golden pair, once per test run."""
    meta = json.loads((root / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(root / f"{name}.npz") as file:
        arrays = dict(file)
    code, bands = meta["sensor_code"], tuple(meta["bands"])
    ms_gains, pan_gain = GAINS[code]
    if code == "none":
        ms_gains = ms_gains[:1] * len(bands)
    return GoldenPair(name, meta["ratio"], bands, code, ms_gains, pan_gain, arrays, meta)


def whole(name: str, scale: Scale, root: Path = GOLDEN) -> Problem:
    """The problem of a pair at one scale."""
    return load(name, root).whole(scale)


@lru_cache(maxsize=2)
def kernels(root: Path = GOLDEN) -> dict[str, np.ndarray]:
    """Operator data that depend on no pair, as stored."""
    with np.load(root / "kernels.npz") as file:
        return dict(file)
