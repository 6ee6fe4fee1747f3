"""The drawn figures of the documentation, made while it is built."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

PAN_COLOUR, MS_COLOUR, PHASE_COLOUR = "#8a94a6", "#c2410c", "#1d4ed8"


def draw_all(folder: Path) -> None:
    """Write every figure as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    style = {"svg.hashsalt": "panloom", "font.size": 9, "font.family": "DejaVu Sans"}  # same input, same file
    with mpl.rc_context(style):
        two_grids().savefig(folder / "two-grids.svg", metadata={"Date": None})


def two_grids() -> Figure:
    """PAN pixels, MS pixels over them, and the phase between the two, for the two common conventions."""
    figure = Figure(figsize=(8.4, 4.4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    _grids(left, ratio=4, phase=1.5)
    left.set_title("corners coincide: ratio 4, phase (1.5, 1.5)")
    _grids(right, ratio=2, phase=0.0)
    right.set_title("centres coincide: ratio 2, phase (0, 0)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _grids(axes: Axes, ratio: int, phase: float, size: int = 8) -> None:
    centres = [(row, col) for row in range(size) for col in range(size)]
    for row, col in centres:
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, fill=False, lw=0.6, ec=PAN_COLOUR))
    axes.scatter(*zip(*centres, strict=True), s=6, c=PAN_COLOUR, label="PAN pixels and their centres")

    places = [ratio * i + phase for i in range(size // ratio)]
    for row in places:
        for col in places:
            corner = (col - ratio / 2, row - ratio / 2)
            axes.add_patch(Rectangle(corner, ratio, ratio, fill=False, lw=1.8, ec=MS_COLOUR))
    cols, rows = zip(*[(col, row) for row in places for col in places], strict=True)
    axes.scatter(cols, rows, s=46, c=MS_COLOUR, marker="s", label="MS pixels and their centres")

    axes.scatter([0], [0], s=70, facecolors="none", edgecolors=PHASE_COLOUR, lw=1.6, label="PAN (0, 0), and the phase")
    if phase:
        axes.annotate("", (phase, phase), (0, 0), arrowprops={"arrowstyle": "-|>", "color": PHASE_COLOUR, "lw": 1.6})
    axes.set(
        xlim=(-1.8, size - 0.2),
        ylim=(size - 0.2, -1.8),
        aspect="equal",
        xlabel="PAN column",
        ylabel="PAN row",
    )
    axes.set_xticks(range(size))
    axes.set_yticks(range(size))
    axes.spines[:].set_visible(False)
