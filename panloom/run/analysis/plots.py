"""Pieces of figures: kernels, planes of frequencies, curves, a matrix. Drawn by matplotlib without its global state."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from panloom.errors import OptionError
from panloom.run.analysis.record import Lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Dots per inch, and sizes of letters.
DPI, SMALL, LARGE = 110, 8, 9.5

#: Colours of bands; those of the page.
COLOURS = ("#0072b2", "#d55e00", "#008f68", "#b5468f", "#9a7400", "#3b9dc9", "#6a4fb3", "#7a3b1d")

#: How curves that are no bands are drawn: colour and dashes.
REFERENCES = {
    "ideal low-pass": ("#1b2330", "--"),
    "bicubic": ("#8a94a3", ":"),
    "EXP": ("#5c6675", "-."),
    "MTF": ("#a3261c", (0, (4, 1.5))),
    "1 - MTF": ("#a3261c", (0, (4, 1.5))),
}

#: The lowest decibels of a map, below the highest.
DEPTH = 60.0

#: Part of the largest value of a kernel below which the colours of its map are linear; above they are logarithmic.
LINEAR = 0.03


def check_matplotlib() -> None:
    """Refuse to begin without what draws the figures.

    Raises:
        OptionError: matplotlib is missing.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise OptionError(
            'the figures need matplotlib, which is not installed: pip install "panloom[analyze]"'
        ) from error


def drawing(width: float, height: float) -> Figure:
    """An empty figure, inches; it belongs to nobody."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def maps_over_curves(count: int, wide: int = 1, low: float = 2.9) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure of square maps, four in a row at most, over so many panels of curves.

    Args:
        count: of the maps.
        wide: panels of curves, side by side.
        low: inches along the height of the curves.
    """
    columns = min(count, 4)
    rows, side = -(-count // columns), 2.2 if count > 2 else 3.0
    figure = drawing(max(side * columns + 1.2, 6.5 if wide == 1 else 9.0), side * rows + low)
    upper, lower = figure.add_gridspec(2, 1, height_ratios=[side * rows, low])
    above, below = upper.subgridspec(rows, columns), lower.subgridspec(1, wide)
    maps = [figure.add_subplot(above[k // columns, k % columns]) for k in range(count)]
    return figure, maps, [figure.add_subplot(below[0, k]) for k in range(wide)]


def png(figure: Figure) -> bytes:
    """The figure as a picture; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def label(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Texts and sizes that all pieces share."""
    axes.set_title(title, fontsize=LARGE)
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)


def kernel_maps(panels: Sequence[Axes], kernels: Mapping[str, Float[np.ndarray, "K K"]], unit: str) -> None:
    """Kernels side by side, zero in the middle of the colours, none cut off; one scale for all.

    Args:
        panels: empty, one for each.
        kernels: by title, of one size.
        unit: of the values.
    """
    from matplotlib.colors import SymLogNorm

    top = max(float(np.abs(kernel).max()) for kernel in kernels.values()) or 1.0
    norm = SymLogNorm(LINEAR * top, vmin=-top, vmax=top)
    drawn = None
    for axes, (title, kernel) in zip(panels, kernels.items(), strict=True):
        half = kernel.shape[-1] / 2
        drawn = axes.imshow(kernel, cmap="RdBu_r", norm=norm, extent=(-half, half, half, -half))
        label(axes, title)
    ticks = [-top, -LINEAR * top, 0, LINEAR * top, top]
    bar = scale_of(panels, drawn, unit, ticks=ticks)
    bar.ax.set_yticklabels([f"{tick:.2g}" for tick in ticks])


def plane_maps(panels: Sequence[Axes], planes: Mapping[str, Float[np.ndarray, "N N"]], scale: int) -> None:
    """Amplitudes over the plane of frequencies in dB, with the cut-off as a square and the spectral images as crosses.

    Args:
        panels: empty, one for each.
        planes: by title; frequency 0 in the middle.
        scale: the cut-off is pi / scale.
    """
    decibels = {title: 20 * np.log10(np.maximum(plane, 1e-12)) for title, plane in planes.items()}
    top = max(float(plane.max()) for plane in decibels.values())
    drawn = None
    for axes, (title, plane) in zip(panels, decibels.items(), strict=True):
        drawn = axes.imshow(plane, cmap="viridis", vmin=top - DEPTH, vmax=top, extent=(-1, 1, 1, -1))
        mark_plane(axes, scale)
        label(axes, title)
    scale_of(panels, drawn, "dB")


def scale_of(panels: Sequence[Axes], drawn: Any, unit: str, **ticks: Any) -> Any:  # noqa: ANN401  matplotlib's own
    """The scale of colours that pictures share, beside them."""
    figure = panels[0].get_figure(root=True)
    assert figure is not None, "panels stand in one"
    bar = figure.colorbar(drawn, ax=list(panels), shrink=0.85, pad=0.01, **ticks)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(unit, fontsize=SMALL)
    return bar


def mark_plane(axes: Axes, scale: int) -> None:
    """The square at pi / scale, crosses where copies of the spectrum have their middles, and ticks."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((-1 / scale, -1 / scale), 2 / scale, 2 / scale, fill=False, color="#ff3b30", lw=1.2))
    at = [2 * k / scale for k in range(-(scale // 2), scale // 2 + 1)]
    points = [(x, y) for x in at for y in at if (x, y) != (0, 0)]
    if points:
        axes.plot(*zip(*points, strict=True), "+", color="white", ms=4, mew=0.8)
    axes.set_xlim(-1, 1)
    axes.set_ylim(1, -1)
    _parts_of_pi(axes.set_xticks, (-1, 0, 1))
    _parts_of_pi(axes.set_yticks, (-1, 0, 1))


def curves(axes: Axes, lines: Lines, *, decibels: bool = False, names: Sequence[str] = ()) -> None:
    """All curves of a record, bands in their colours and references in grey, dashed.

    Args:
        axes: empty.
        lines: to be drawn.
        decibels: of amplitudes.
        names: those that are drawn; empty: all.
    """
    place = 0
    for name, values in lines.values.items():
        known = REFERENCES.get(name)
        colour, dashes = known or (COLOURS[place % len(COLOURS)], "-")
        place += known is None
        if names and name not in names:
            continue
        shown = np.asarray(values)
        shown = 20 * np.log10(np.maximum(shown, 1e-6)) if decibels else shown
        width = 1.2 if known else 1.6
        axes.plot(lines.places, shown, color=colour, ls=dashes, lw=width, label=name, zorder=1 if known else 2)
    axes.axhline(0, color="#b4bac3", lw=0.8, zorder=0)
    axes.margins(x=0)


def frequency_axis(axes: Axes, scale: int, coarse: str) -> None:
    """Frequencies below in parts of pi per output pixel, above in cycles per input pixel; a line at pi / scale.

    Args:
        axes: with curves over parts of pi.
        scale: output pixels per input pixel.
        coarse: what an input pixel is called.
    """
    axes.axvline(1 / scale, color="#ff3b30", lw=1.0, zorder=0)
    axes.set_xlim(0, 1)
    _parts_of_pi(axes.set_xticks, tuple(k / scale for k in range(scale + 1)) if scale <= 6 else (0, 1 / scale, 0.5, 1))
    axes.set_xlabel("radians per output pixel", fontsize=SMALL)
    # Any: matplotlib says that it may be given whatever numpy takes, and gives arrays.
    cycles: tuple[Callable[[Any], Any], Callable[[Any], Any]] = (lambda x: x * scale / 2, lambda x: 2 * x / scale)
    above = axes.secondary_xaxis("top", functions=cycles)
    above.set_xlabel(f"cycles per {coarse}", fontsize=SMALL)
    above.tick_params(labelsize=SMALL)


def legend(axes: Axes, columns: int = 1) -> None:
    """The names of the curves, beside them."""
    axes.legend(fontsize=SMALL, ncols=columns, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def matrix(axes: Axes, values: Float[np.ndarray, "n m"], rows: Sequence[str], columns: Sequence[str]) -> Any:  # noqa: ANN401  matplotlib's own
    """A heat map, zero in the middle of the colours, with its numbers where there is room."""
    top = max(float(np.abs(values).max()), 1.0)
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-top, vmax=top, aspect="equal")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    if len(rows) <= 12:
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                ink = "white" if abs(value) > 0.6 * top else "#1b2330"
                word = f"{round(float(value), 2) + 0.0:.2f}"  # no minus before 0.00
                axes.text(x, y, word, ha="center", va="center", fontsize=SMALL - 1, color=ink)
    return drawn


def cropped(kernels: Mapping[str, Float[np.ndarray, "K K"]], least: int) -> dict[str, Float[np.ndarray, "k k"]]:
    """The middles of kernels, large enough for all but a millionth of the energy of each.

    Args:
        kernels: by title; they may differ in size.
        least: pixels on each side that are kept at least, as far as there are any.
    """
    reach = max([min(least, kernel.shape[-1] // 2) for kernel in kernels.values()])
    for kernel in kernels.values():
        half = kernel.shape[-1] // 2
        offsets = np.abs(np.arange(-half, half + 1))
        ring = np.maximum(offsets[:, None], offsets[None])
        energy = np.bincount(ring.ravel(), kernel.ravel() ** 2).cumsum()
        reach = max(reach, int(np.searchsorted(energy, energy[-1] * (1 - 1e-6))))
    return {name: _resized(kernel, reach) for name, kernel in kernels.items()}


def _resized(kernel: Float[np.ndarray, "K K"], reach: int) -> Float[np.ndarray, "k k"]:
    """The middle of a kernel, with zeros around a smaller one."""
    half = kernel.shape[-1] // 2
    if half < reach:
        return np.pad(kernel, reach - half)
    return kernel[half - reach : half + reach + 1, half - reach : half + reach + 1]


def _parts_of_pi(set_ticks: Callable[..., object], places: Sequence[float]) -> None:
    """Ticks that say pi / 4 and the like."""
    from fractions import Fraction

    words = []
    for place in places:
        part = Fraction(place).limit_denominator(64)
        top = {0: "0", 1: "π", -1: "-π"}.get(part.numerator, f"{part.numerator}π")
        words.append(top if part.denominator == 1 or part == 0 else f"{top}/{part.denominator}")
    set_ticks(places, words)
