"""The figures of an analysis, each with what it shows and what would be ideal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from panloom.analysis import Split
from panloom.run.analysis.captions import CAPTIONS
from panloom.run.analysis.method import MethodFindings, most_nonlinear
from panloom.run.analysis.model import JACOBIAN, ModelFindings, channel_names
from panloom.run.analysis.plots import (
    COLOURS,
    LARGE,
    cropped,
    curves,
    drawing,
    frequency_axis,
    kernel_maps,
    label,
    legend,
    maps_over_curves,
    mark_plane,
    matrix,
    plane_maps,
    png,
    scale_of,
)
from panloom.run.analysis.record import Figure, Lines, Parts, Quality, Stimulus
from panloom.run.analysis.scenes import evenly

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bands that are drawn, at most, evenly chosen.
DRAWN = 8

#: Pixels along a side of the pictures of the parts, and decibels of their spectra below the highest.
SHOWN, SPECTRUM = 256, 80.0


def method_figures(found: MethodFindings, quality: Quality | None) -> tuple[Figure, ...]:
    """All figures of a fusion method, in the order of the page."""
    done = [
        _pan_impulse(found),
        _pan_frequency(found),
        _ms_impulse(found),
        _ms_frequency(found),
        _mixing(found),
        _transfer(found),
        _parts(found.split, found.parts, "parts", most_nonlinear(found.parts)),
        *([] if quality is None else [_quality(quality)]),
        _phases(found),
    ]
    return tuple(done)


def model_figures(found: ModelFindings) -> tuple[Figure, ...]:
    """All figures of a super-resolution network, in the order of the page."""
    done = [
        _impulse(found),
        _frequency(found),
        *([_channels(found)] if found.numbers.channels[0] > 1 else []),
        *(
            _parts(found.splits[one.response], one, name, most_nonlinear(one))
            for name, one in zip(("parts", "parts-published"), found.parts, strict=False)
        ),
        *([] if found.quality is None else [_quality(found.quality)]),
        _sweep(found.numbers.sweep),
        _places(found),
    ]
    return tuple(done)


# --- a method ---------------------------------------------------------------------------------------------


def _some(names: Sequence[str], values: Float[Tensor, "bands *n"]) -> dict[str, np.ndarray]:
    """The bands that are drawn, by name."""
    return {names[k]: values[k].numpy() for k in evenly(len(names), DRAWN)}


def _only(lines: Lines, bands: Sequence[str]) -> Lines:
    """The curves of the bands that are drawn, and those that belong to no band."""
    left = {bands[k] for k in range(len(bands)) if k not in evenly(len(bands), DRAWN)}
    return Lines(lines.axis, lines.places, {name: row for name, row in lines.values.items() if name not in left})


def _captioned(name: str, picture: bytes, bands: Sequence[str] = (), **words: object) -> Figure:
    """A figure with its words; where not all bands are drawn they say so."""
    caption, more = CAPTIONS[name].filled(**words), ""
    if len(bands) > DRAWN:
        more = f" {DRAWN} of {len(bands)} bands are drawn, evenly chosen; analysis.json has the numbers of all."
    return Figure(name, caption.title, caption.shows + more, caption.ideal, picture)


def _pan_impulse(found: MethodFindings) -> Figure:
    bands, ratio = found.numbers.bands, found.numbers.ratio
    kernels = cropped(_some(bands, found.response.pan.kernel[:, 0]), 2 * ratio)
    picture = _maps_and_cut(kernels, _only(found.numbers.pan_cut, bands), "change per change of PAN")
    return _captioned("pan-impulse", picture, bands)


def _maps_and_cut(kernels: Mapping[str, np.ndarray], lines: Lines, unit: str) -> bytes:
    """Kernels as maps, and their middle rows below."""
    reach = next(iter(kernels.values())).shape[-1] // 2
    figure, maps, (axes,) = maps_over_curves(len(kernels))
    kernel_maps(maps, kernels, unit)
    curves(axes, lines)
    axes.set_xlim(-reach, reach)
    label(axes, x=lines.axis, y=unit)
    legend(axes)
    return png(figure)


def _pan_frequency(found: MethodFindings) -> Figure:
    numbers = found.numbers
    planes = _some(numbers.bands, found.pan_plane)
    picture = _planes_and_profiles(planes, _only(numbers.pan_profile, numbers.bands), numbers.ratio, "MS pixel")
    return _captioned("pan-frequency", picture, numbers.bands, scale=numbers.ratio)


def _planes_and_profiles(
    planes: Mapping[str, np.ndarray], lines: Lines, scale: int, coarse: str, *, decibels: bool = False
) -> bytes:
    """Maps of amplitude, and profiles along the axes below, linear, and in dB where asked for."""
    figure, maps, panels = maps_over_curves(len(planes), 2 if decibels else 1)
    plane_maps(maps, planes, scale)
    for axes, logarithmic in zip(panels, (False, True), strict=False):
        curves(axes, lines, decibels=logarithmic)
        label(axes, y="amplitude, dB" if logarithmic else "amplitude")
        frequency_axis(axes, scale, coarse)
        if logarithmic:
            axes.set_ylim(-60, None)
    legend(panels[-1])
    return png(figure)


def _ms_impulse(found: MethodFindings) -> Figure:
    bands, ratio = found.numbers.bands, found.numbers.ratio
    own = found.response.ms.kernel.diagonal(dim1=0, dim2=1).permute(2, 0, 1)
    kernels = cropped(_some(bands, own), 3 * ratio)
    picture = _maps_and_cut(kernels, _only(found.numbers.ms_cut, bands), "change per change of MS")
    return _captioned("ms-impulse", picture, bands)


def _ms_frequency(found: MethodFindings) -> Figure:
    numbers = found.numbers
    planes = _some(numbers.bands, found.ms_plane)
    lines = _only(numbers.ms_profile, numbers.bands)
    picture = _planes_and_profiles(planes, lines, numbers.ratio, "MS pixel", decibels=True)
    return _captioned("ms-frequency", picture, numbers.bands, scale=numbers.ratio)


def _mixing(found: MethodFindings) -> Figure:
    numbers = found.numbers
    count = len(numbers.bands)
    side = min(max(0.5 * count + 1.5, 3.2), 9.0)
    figure = drawing(1.25 * side + 1.8, side)
    left, right = figure.subplots(1, 2, width_ratios=[count, 2], sharey=True)
    drawn = matrix(left, np.array(numbers.mixing), numbers.bands, numbers.bands)
    label(left, "from MS band", y="to band of the result")
    beside = np.stack([numbers.leakage, numbers.sums], axis=1)
    matrix_of = matrix(right, beside, numbers.bands, ("PAN", "all"))
    matrix_of.set_clim(*drawn.get_clim())
    label(right, "from PAN, from all")
    scale_of([left, right], drawn, "change per constant change of 1")
    return _captioned("mixing", png(figure))


def _transfer(found: MethodFindings) -> Figure:
    numbers = found.numbers
    figure = drawing(8.0, 3.3)
    axes = figure.add_subplot()
    curves(axes, _only(numbers.transfer, numbers.bands))
    for k, band in enumerate(evenly(len(numbers.bands), DRAWN)):
        axes.plot(0.985, numbers.agreement[band], "o", color=COLOURS[k], ms=5)
    axes.axhline(1, color="#1b2330", ls="--", lw=1.0, zorder=0)
    axes.set_ylim(0, None)
    label(axes, y="what comes out of a detail of 1")
    frequency_axis(axes, numbers.ratio, "MS pixel")
    legend(axes)
    return _captioned("transfer", png(figure), numbers.bands)


def _phases(found: MethodFindings) -> Figure:
    response, numbers = found.response, found.numbers
    phases = response.pan_phases.numpy()
    spreads = [float(np.sqrt(np.square(phases[:, :, b] - phases[:, :, b].mean((0, 1))).mean())) for b in
               range(len(numbers.bands))]  # fmt: skip
    band = int(np.argmax(spreads))
    mean = phases[:, :, band].mean((0, 1))
    away = np.sqrt(np.square(phases[:, :, band] - mean).mean((0, 1)))
    kernels = cropped({"mean": mean, "deviation over places": away}, 2 * numbers.ratio)
    reach = kernels["mean"].shape[-1] // 2
    figure = drawing(9.0, 3.2)
    *maps, axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.6])
    kernel_maps(maps, kernels, "change per change of PAN")
    half = phases.shape[-1] // 2
    inner = slice(half - reach, half + reach + 1)
    for row in phases[:, :, band, half, inner].reshape(-1, 2 * reach + 1):
        axes.plot(range(-reach, reach + 1), row, color=COLOURS[0], lw=0.8, alpha=0.5)
    axes.plot(range(-reach, reach + 1), mean[half, inner], color="#1b2330", lw=1.8)
    label(axes, f"{numbers.bands[band]}, each place of a PAN pixel in its MS pixel", x="PAN pixels from the middle")
    return _captioned("phases", png(figure), band=numbers.bands[band])


# --- a model ----------------------------------------------------------------------------------------------


def _impulse(found: ModelFindings) -> Figure:
    scale = found.numbers.scale
    kernels = cropped({name: kernel.numpy() for name, kernel in found.kernels.items()}, 4 * scale)
    picture = _maps_and_cut(kernels, found.numbers.cut, "answer to a dot of 1")
    return _captioned("impulse", picture)


def _frequency(found: ModelFindings) -> Figure:
    planes = {name: plane.numpy() for name, plane in found.planes.items()}
    picture = _planes_and_profiles(planes, found.numbers.profile, found.numbers.scale, "input pixel", decibels=True)
    return _captioned("frequency", picture, scale=found.numbers.scale)


def _channels(found: ModelFindings) -> Figure:
    names = channel_names(found.numbers.channels[0])
    figure = drawing(4.6, 3.4)
    axes = figure.add_subplot()
    drawn = matrix(axes, np.array(found.numbers.mixing), names, names)
    label(axes, "from channel of the input", y="to channel of the output")
    scale_of([axes], drawn, "change per constant change of 1")
    return _captioned("channels", png(figure))


def _sweep(sweep: Sequence[Stimulus]) -> Figure:
    figure = drawing(9.0, 2.9)
    panels = figure.subplots(1, 3)
    quantities = (
        ("gain at frequency 0", 1.0, [one.response.dc for one in sweep]),
        ("-6 dB cut-off, parts of pi / scale", 1.0, [one.response.cutoff6 for one in sweep]),
        ("likeness to the ideal sinc", None, [one.response.rho for one in sweep]),
    )
    for axes, (title, ideal, values) in zip(panels, quantities, strict=True):
        for k, ground in enumerate(dict.fromkeys(one.background for one in sweep)):
            points = [(one.amplitude, v) for one, v in zip(sweep, values, strict=True) if one.background == ground]
            word = {0.0: "on black", 0.5: "on grey 0.5"}.get(ground, f"on {ground:g}")
            axes.semilogx(*zip(*points, strict=True), "o-", color=COLOURS[k], ms=4, label=word)
        if ideal is not None:
            axes.axhline(ideal, color="#1b2330", ls="--", lw=1.0, zorder=0)
        label(axes, title, x="height of the dot")
    legend(panels[-1])
    return _captioned("sweep", png(figure))


def _places(found: ModelFindings) -> Figure:
    figure = drawing(7.5, 3.0)
    axes = figure.add_subplot()
    row = (found.numbers.scale - 1) // 2
    for kernel in found.places:
        half = kernel.shape[-1] // 2
        axes.plot(range(-half, half + 1), kernel[half + row].numpy(), color=COLOURS[0], lw=0.9, alpha=0.6)
    mean = found.kernels[JACOBIAN]
    half, reach = mean.shape[-1] // 2, 5 * found.numbers.scale
    axes.plot(range(-half, half + 1), mean[half + row].numpy(), color="#1b2330", lw=1.8, label="mean")
    axes.axhline(0, color="#b4bac3", lw=0.8, zorder=0)
    axes.set_xlim(-reach, reach)
    label(
        axes, "single places (blue) and their mean (black)", x="output pixels from the middle", y="answer to a dot of 1"
    )
    return _captioned("places", png(figure))


# --- both -------------------------------------------------------------------------------------------------


def _parts(done: Split, parts: Parts, name: str, band: int) -> Figure:
    """Output, linear and nonlinear part of a band, and their spectra, each row on one scale."""
    images = [x[band].numpy() for x in (done.output, done.linear, done.nonlinear)]
    share = parts.bands[band]
    height, width = (min(n, SHOWN) for n in images[0].shape)
    top, left = ((n - m) // 2 for n, m in zip(images[0].shape, (height, width), strict=True))
    inner = [image[top : top + height, left : left + width] for image in images]
    figure = drawing(9.0, 6.4)
    panels = figure.subplots(2, 3)
    low, high = np.percentile(inner[0], [1, 99])
    span = max(float(high - low), 1e-12)
    for axes, image, title in zip(panels[0], inner, ("output", "linear part", "the rest"), strict=True):
        # The rest has no level of its own: grey is 0, and as much is as bright as in the other two.
        ends = (-span / 2, span / 2) if title == "the rest" else (low, high)
        axes.imshow(image, cmap="gray", vmin=ends[0], vmax=ends[1], interpolation="nearest")
        label(axes, f"{share.band}: {title}")
        axes.set_xticks([])
        axes.set_yticks([])
    _spectra(panels[1], images, done.scale, parts.border)
    drawn = panels[1][0].images[0]
    scale_of(panels[1], drawn, "dB")
    return _captioned(name, png(figure), band=share.band)


def _spectra(panels: Sequence[Axes], images: Sequence[np.ndarray], scale: int, border: int) -> None:
    planes = []
    for image in images:
        part = image[border:-border, border:-border] if border else image
        taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in part.shape))
        planes.append(20 * np.log10(np.abs(np.fft.fftshift(np.fft.fft2((part - part.mean()) * taper))) + 1e-12))
    top = max(float(plane.max()) for plane in planes)
    for axes, plane in zip(panels, planes, strict=True):
        axes.imshow(plane, cmap="viridis", vmin=top - SPECTRUM, vmax=top, extent=(-1, 1, 1, -1), aspect="auto")
        axes.set_box_aspect(1)
        mark_plane(axes, scale)
        label(axes)


def _quality(quality: Quality) -> Figure:
    indices = (
        ("PSNR", "psnr"),
        ("FSDS, as published", "fsds"),
        ("FSDS, windowed", "windowed"),
        ("FSDS, of power", "power"),
    )
    names = [row.band for row in next(iter(quality.rows.values()))]
    figure = drawing(9.0, 5.2)
    panels = figure.subplots(2, 2, sharex=True)
    marks = ("o", "s")
    for axes, (title, field) in zip(panels.flat, indices, strict=True):
        for k, (image, rows) in enumerate(quality.rows.items()):
            values = [getattr(row, field) for row in rows]
            axes.plot(range(len(names)), values, marks[k % 2], color=COLOURS[k] if k == 0 else "#8a94a3", label=image)
        axes.set_xticks(range(len(names)), names, rotation=35 if len(names) > 4 else 0)
        axes.grid(axis="y", color="#dde1e7", lw=0.6)
        axes.margins(x=0.08, y=0.15)
        label(axes, title, y="dB")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=LARGE, frameon=False)
    return _captioned("quality", png(figure), truth=quality.truth)
