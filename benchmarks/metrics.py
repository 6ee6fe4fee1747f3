"""Every reduced-resolution index beside scikit-image, sewar and torchmetrics: time, value, memory.

    pip install scikit-image sewar torchmetrics
    python benchmarks/metrics.py --repeat 3 --report benchmarks/results/metrics.md

One procedural scene (worldview-3, 8 bands of 1024 x 1024) is the truth and GSA of it the result, float64 digital
numbers in memory; all programs run in this process, in turn, with as many threads as each takes by itself. The fastest
of the rounds counts. Disagreements are shown, not mended: the table says what the other program computes.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from panloom import fuse, metrics
from panloom.data import make

FULL_SCALE = 2047.0
RATIO = 4

_ALL = "of all bands at once"


@dataclass(frozen=True)
class Peer:
    """The same index elsewhere."""

    program: str
    call: Callable[[], float]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One index: our time and value, and those of the others."""

    name: str
    seconds: float
    value: float
    peers: tuple[tuple[Peer, float, float], ...]


def images(size: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and fused image (band, row, col) in whole digital numbers."""
    scene = make(size, size, sensor="worldview-3", bands=bands, wedge=False, seed=1)
    pan, ms = (image.astype(np.float32) for image in (scene.pan, scene.ms))
    fused = fuse(pan, ms, method="gsa", sensor=scene.sensor, phase=scene.phase)
    truth, result = (np.round(image).clip(0).astype(np.float64) for image in (scene.truth, fused))
    return truth, result


def ours(truth: np.ndarray, fused: np.ndarray) -> dict[str, Callable[[], float]]:
    """Our indices of a table."""
    pair = [torch.from_numpy(image)[None] for image in (fused, truth)]
    settings = {"ratio": RATIO, "full_scale": FULL_SCALE}
    names = ("ergas", "sam", "q2n", "q2n-unrounded", "q", "scc", "psnr", "rmse", "ssim-full-scale", "bias")
    found = {name: metrics.get(name) for name in names}
    return {n: partial(index, *pair, **{k: settings[k] for k in index.settings}) for n, index in found.items()}


def peers(truth: np.ndarray, fused: np.ndarray) -> dict[str, list[Peer]]:
    """What the others have, by our name; sewar's Q2n does not round."""
    import sewar.full_ref as sewar
    import torchmetrics.functional.image as tm
    from skimage import metrics as skimage

    last = [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in (truth, fused)]
    gt, result = (torch.from_numpy(image)[None] for image in (truth, fused))
    ssim = partial(
        skimage.structural_similarity, *last, data_range=FULL_SCALE, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    return {
        "ergas": [
            Peer("sewar", partial(sewar.ergas, *last, r=1 / RATIO)),
            Peer("torchmetrics", lambda: float(tm.error_relative_global_dimensionless_synthesis(result, gt, RATIO))),
        ],
        "sam": [
            Peer("sewar", lambda: float(np.degrees(sewar.sam(*last))), "radians there"),
            Peer("torchmetrics", lambda: float(torch.rad2deg(tm.spectral_angle_mapper(result, gt))), "radians there"),
        ],
        "q2n-unrounded": [
            Peer("sewar", lambda: float(sewar.q2n(*last))),
        ],
        "q": [Peer("sewar", partial(sewar.uqi, *last, ws=32), "another window sum at borders")],
        "scc": [Peer("sewar", partial(sewar.scc, *last), "Laplacian, sliding windows: another index of that name")],
        "psnr": [
            Peer("scikit-image", partial(skimage.peak_signal_noise_ratio, *last, data_range=FULL_SCALE), _ALL),
            Peer("sewar", partial(sewar.psnr, *last, MAX=FULL_SCALE), _ALL),
            Peer("torchmetrics", lambda: float(tm.peak_signal_noise_ratio(result, gt, FULL_SCALE)), _ALL),
        ],
        "rmse": [Peer("sewar", partial(sewar.rmse, *last), "of all bands at once")],
        "ssim-full-scale": [
            Peer("scikit-image", lambda: float(ssim()), "borders of 5 pixels cut as here"),
            Peer(
                "torchmetrics",
                lambda: float(tm.structural_similarity_index_measure(result, gt, data_range=FULL_SCALE)),
                "borders mirrored",
            ),
        ],
    }


def timed(call: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Seconds of the fastest round, and the value."""
    seconds, value = float("inf"), float("nan")
    for _ in range(rounds):
        began = time.perf_counter()
        value = float(call())
        seconds = min(seconds, time.perf_counter() - began)
    return seconds, value


def rows(truth: np.ndarray, fused: np.ndarray, rounds: int) -> list[Row]:
    """Every index, ours and theirs in turn."""
    theirs = peers(truth, fused)
    found = []
    for name, call in ours(truth, fused).items():
        mine = timed(call, rounds)
        others = tuple(
            (peer, *timed(peer.call, 1 if name == "q2n-unrounded" else rounds)) for peer in theirs.get(name, ())
        )
        print(f"{name}: {mine[0]:.3f} s, " + ", ".join(f"{o[0].program} {o[1]:.3f} s" for o in others), file=sys.stderr)
        found.append(Row(name, *mine, others))
    return found


def report(found: list[Row], shape: tuple[int, ...]) -> str:
    """The table as Markdown."""
    read = 2 * 8 * np.prod(shape)  # bytes of the two images
    total = sum(row.seconds for row in found)
    lines = [
        f"{shape[0]} x {shape[1]} x {shape[2]} float64, {_processor()}, {os.cpu_count()} cores; "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "scikit-image", "sewar", "torchmetrics")),
        "",
        "| index | seconds | share | ns per byte read | value | elsewhere | seconds | ratio | value there |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        cost = f"{row.seconds / read * 1e9:.2f}"
        start = f"| {row.name} | {row.seconds:.3f} | {100 * row.seconds / total:.0f} % | {cost} | {row.value:.6g} |"
        rest = [f" {p.program} | {s:.3f} | {s / row.seconds:.1f} | {v:.6g}{_remark(p)} |" for p, s, v in row.peers]
        lines += [start + text for text in rest or [" | | | |"]]
    both = [row for row in found if any(p.program in ("scikit-image", "sewar") for p, _, _ in row.peers)]
    mine = sum(row.seconds for row in both)
    best = sum(min(s for p, s, _ in row.peers if p.program in ("scikit-image", "sewar")) for row in both)
    words = f"all indices that scikit-image or sewar have: {mine:.2f} s here, {best:.2f} s with the faster of the two"
    lines += ["", f"{words}: {mine / best:.3f} of the time."]
    return "\n".join(lines) + "\n"


def _remark(peer: Peer) -> str:
    return f" ({peer.note})" if peer.note else ""


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Run and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the fastest counts")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    given = parser.parse_args()
    truth, fused = images(given.size, given.bands)
    text = report(rows(truth, fused, given.repeat), truth.shape)
    if given.report:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
