"""What FSDS and its variants see: the tables and the pictures of `docs/fsds.md`, on drawn scenes.

python benchmarks/fsds.py tables
python benchmarks/fsds.py pictures docs/images
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from panloom.data import procedural
from panloom.metrics import FSDS, FSDS_POWER, PSNR, SPECTRUM_INDICES, SpectrumIndex

SIDE, SCENES = 256, 12

#: PSNR of the errors that are made of equal size.
LEVEL = 34.0

#: Bounds of the octaves of frequency, in cycles per pixel along any direction.
OCTAVES = [2.0**-power for power in range(8, 0, -1)]

HEADS = (
    "FSDS, joint",
    *("FSDS" + index.title()[4:].replace(",ref", "").replace("[ref]", "") for index in SPECTRUM_INDICES),
)

Row = tuple[str, Sequence[str]]


def scene(seed: int, side: int = SIDE) -> Tensor:
    """Blue, green, red and near infrared of a drawn scene (band, row, col), in full scales; no blur and no noise."""
    made = procedural.make(side, side, bands=4, wedge=False, seed=seed)
    return torch.from_numpy(made.truth).double() / (made.sensor.full_scale or 1.0)


def psnr(predicted: Tensor, reference: Tensor) -> float:
    return PSNR(predicted[None], reference[None], full_scale=1.0)


def row(name: str, predicted: Tensor, reference: Tensor) -> Row:
    """PSNR, the joint published index, and the median over the bands of each variant."""
    medians = [index(predicted, reference).median for index in SPECTRUM_INDICES]
    return name, [
        _decibels(value) for value in (psnr(predicted, reference), FSDS(predicted, reference).joint, *medians)
    ]


def _decibels(value: float) -> str:
    return "> 200" if value > 200 else f"{value:.1f}"


def table(heads: Sequence[str], rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [heads, ["---"] * len(heads), *([name, *values] for name, values in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spot(reference: Tensor, place: tuple[int, int]) -> Tensor:
    """The image with half a full scale more in one pixel."""
    spoilt = reference.clone()
    spoilt[:, place[0], place[1]] += 0.5
    return spoilt


def spots() -> list[Row]:
    """One wrong pixel in all bands, at different places."""
    last, half, quarter = SIDE - 1, SIDE // 2, SIDE // 4
    places = [(0, 0), (last, last), (0, half), (half, 0), (quarter, quarter), (half, half), (200, 60)]
    return [row(f"({r}, {c})", spot(scene(0), (r, c)), scene(0)) for r, c in places]


def enlarged(reference: Tensor, scale: int, mode: str) -> Tensor:
    """Means of scale x scale pixels, interpolated."""
    corners = None if mode == "nearest" else False
    return interpolate(avg_pool2d(reference[None], scale), scale_factor=scale, mode=mode, align_corners=corners)[0]


def rankings() -> list[Row]:
    """Means over the scenes, and how often each index puts that enlargement first."""
    found: list[Row] = []
    modes = ("nearest", "bilinear", "bicubic")
    for scale in (2, 4):
        values = np.array(
            [[_numbers(enlarged(x, scale, mode), x) for mode in modes] for x in map(scene, range(SCENES))]
        )
        first = values.argmax(1)  # (scene, index): the mode
        for k, mode in enumerate(modes):
            wins = (first == k).sum(0)
            texts = [f"{v:.2f} ({w})" for v, w in zip(values[:, k].mean(0), wins, strict=True)]
            found.append((f"{mode} x{scale}", texts))
    return found


def _numbers(predicted: Tensor, reference: Tensor) -> list[float]:
    medians = [index(predicted, reference).median for index in SPECTRUM_INDICES]
    return [psnr(predicted, reference), FSDS(predicted, reference).joint, *medians]


def deviations() -> list[Row]:
    """What is left of the deviation of the bands at scale 2, and the indices where that is not made good."""
    found: list[Row] = []
    for mode in ("nearest", "bilinear", "bicubic"):
        values = []
        for truth in map(scene, range(SCENES)):
            pairs = list(zip(enlarged(truth, 2, mode), truth, strict=True))
            shares = [float(one.std() / other.std()) for one, other in pairs]
            indices = [[_with_deviation(index, *pair) for pair in pairs] for index in (FSDS, FSDS_POWER)]
            values.append([np.median(bands) for bands in (shares, *indices)])
        share, published, power = np.mean(values, 0)
        found.append((f"{mode} x2", [f"{share:.3f}", f"{published:.2f}", f"{power:.2f}"]))
    return found


def _with_deviation(index: SpectrumIndex, band: Tensor, truth: Tensor) -> float:
    """The index of a band where the prediction keeps the deviation that it has."""
    sums, expected = (index.sums((x - x.mean()) / truth.std()) for x in (band, truth))
    return -10 * math.log10(float((sums - expected).abs().square().sum() / expected.abs().square().sum()))


def moved() -> list[Row]:
    """A pair mirrored and shifted together, then the truth against itself moved."""
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "as they are": lambda x: x,
        "rows mirrored": lambda x: x.flip(1),
        "columns mirrored": lambda x: x.flip(2),
        "transposed": lambda x: x.transpose(1, 2),
        "shifted around by 10 rows and columns": lambda x: x.roll((10, 10), (1, 2)),
        "shifted around by 64": lambda x: x.roll((64, 64), (1, 2)),
        "the first 128 x 128": lambda x: x[:, :128, :128],
        "the last 128 x 128": lambda x: x[:, -128:, -128:],
    }
    truth = scene(0)
    pair = enlarged(truth, 2, "bicubic"), truth
    both = [row(name, way(pair[0]), way(pair[1])) for name, way in ways.items()]
    alone = {"one column": truth.roll(1, 2), "one row": truth.roll(1, 1), "8 columns": truth.roll(8, 2)}
    return both + [row(f"truth, against itself shifted by {name}", image, truth) for name, image in alone.items()]


def of_level(error: Tensor, level: float = LEVEL) -> Tensor:
    """The error at that PSNR in every band."""
    return error * 10 ** (-level / 20) / error.square().mean((1, 2), keepdim=True).sqrt()


def octaves() -> list[Row]:
    """Noise of one octave of spatial frequency, of equal size."""
    found: list[Row] = []
    for k, (low, high) in enumerate(pairwise(OCTAVES)):
        found.append(row(f"1/{1 / low:.0f} to 1/{1 / high:.0f}", scene(0) + of_level(octave(low, high, k)), scene(0)))
    return found


def octave(low: float, high: float, seed: int) -> Tensor:
    """White noise (4, SIDE, SIDE) with the frequencies from `low` up to `high` left in it."""
    noise = torch.randn((4, SIDE, SIDE), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    steps = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    radius = (steps[:, None].square() + steps.square()).sqrt()
    return torch.fft.ifft2(torch.fft.fft2(noise) * ((radius >= low) & (radius < high))).real


def equals(truth: Tensor) -> dict[str, Tensor]:
    """The same image with errors of many kinds and one PSNR."""
    side, patch = truth.shape[1], truth.shape[1] // 8
    corner, middle = torch.zeros_like(truth), torch.zeros_like(truth)
    corner[:, :patch, :patch] = 1
    middle[:, (side - patch) // 2 :][:, :patch, (side - patch) // 2 :][:, :, :patch] = 1
    smooth = avg_pool2d(pad(truth[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = torch.linspace(-1, 1, side, dtype=torch.float64).expand_as(truth)
    errors = {
        "noise": noise,
        "blur": smooth - truth,
        "a part of a column's shift": truth.roll(1, 2) - truth,
        "slope of brightness": slope,
        "a bright square\nin the first corner": corner,
        "a bright square\nin the middle": middle,
    }
    return {"the reference": truth} | {name: truth + of_level(error) for name, error in errors.items()}


def weights(index: SpectrumIndex, side: int, step: int) -> np.ndarray:
    """The index with one wrong pixel at every `step`-th place of the red band, the last row and column among them."""
    red, places = scene(0, side)[2:3], [*range(0, side, step), side - 1]
    return np.array([[index(spot(red, (r, c)), red).joint for c in places] for r in places])


def weights_picture(out: Path) -> None:
    """Where a wrong pixel lowers which variant how far."""
    figure, axes = _figure(3, 3.3)
    for axis, index in zip(axes, SPECTRUM_INDICES, strict=True):
        loss = weights(index, 128, 4)
        axis.imshow(loss, cmap="magma", extent=(0, 128, 128, 0), interpolation="nearest", vmin=0, vmax=80)
        axis.set_title(f"{index.title()}: {round(loss.min())} to {round(loss.max())} dB", fontsize=9)
    figure.colorbar(axes[0].images[0], ax=axes, label="dB with one wrong pixel there", shrink=0.8)
    figure.savefig(out, dpi=90)


def equals_picture(out: Path) -> None:
    """Errors of one size, with what each index makes of them; red band."""
    truth = scene(0, 192)[2:3]
    figure, axes = _figure(7, 2.3)
    low, high = (float(truth.quantile(q)) for q in (0.01, 0.99))
    for axis, (name, image) in zip(axes, equals(truth).items(), strict=True):
        axis.imshow(image[0], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        axis.set_title(name, fontsize=9)
        if image is not truth:
            values = [f"{index.title()}  {_decibels(index(image, truth).joint)}" for index in SPECTRUM_INDICES]
            axis.set_xlabel("\n".join([f"PSNR  {_decibels(psnr(image, truth))}", *values]), fontsize=8)
    figure.savefig(out, dpi=100, pil_kwargs={"quality": 80})


def octaves_picture(out: Path) -> None:
    """The index of an error of one size against its frequency; medians of the bands."""
    figure, (axis,) = _figure(1, 4.6)
    bounds = [2.0 ** (-power / 2) for power in range(14, 1, -1)]
    middles = [math.sqrt(low * high) for low, high in pairwise(bounds)]
    for index in SPECTRUM_INDICES:
        values = []
        for low, high in pairwise(bounds):
            errors = (of_level(octave(low, high, seed)) for seed in range(4))
            values.append(np.mean([index(scene(0) + error, scene(0)).median for error in errors]))
        axis.plot(middles, values, marker="o", ms=3, ls="--" if index is FSDS_POWER else "-", label=index.title())
    axis.axhline(LEVEL, color="0.6", lw=1, label="PSNR")
    axis.set_xscale("log", base=2)
    axis.set(xlabel="spatial frequency of the error, cycles per pixel", ylabel="dB", ylim=(0, None))
    axis.legend(fontsize=8, frameon=False)
    figure.savefig(out, dpi=100)


def _figure(panels: int, size: float) -> tuple[Any, Any]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    lines = 2 if panels > 4 else 1
    cols = math.ceil(panels / lines)
    shape = (size * cols * (1.2 if panels == 1 else 1), size * (1.35 * lines if lines > 1 else 0.85))
    figure, axes = plt.subplots(lines, cols, figsize=shape, squeeze=False, layout="constrained")
    for spare in axes.flat[panels:]:
        spare.remove()
    return figure, axes.flat[:panels]


def tables() -> str:
    """All tables."""
    columns = ("PSNR", *HEADS)
    parts = [("wrong pixel", spots()), ("enlargement", rankings()), ("pair", moved()), ("cycles per pixel", octaves())]
    kept = ("enlargement", "deviation / the truth's", "FSDS, deviation kept", "FSDS[power], deviation kept")
    return "\n".join([*(table((name, *columns), rows) for name, rows in parts), table(kept, deviations())])


def main() -> None:
    """Print or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("tables")
    tasks.add_parser("pictures").add_argument("folder", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.task == "tables":
        print(tables())
        return
    weights_picture(given.folder / "fsds-weights.png")
    equals_picture(given.folder / "fsds-equal-psnr.jpg")
    octaves_picture(given.folder / "fsds-octaves.png")


if __name__ == "__main__":
    main()
