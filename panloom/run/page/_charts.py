"""Charts as SVG that stands in the page: lines over bands, and dots along a scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from panloom.run.page._html import Html, joined, styled, tag

#: Lines that have a colour of their own; the others are grey.
COLOURED = 5

#: Sensors that have a colour of their own; each has a shape too, for eyes and printers that tell no colours apart.
DOTS = 8

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 210, 50, 8, 26, 40


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: what it shows.
        values: one for each place along x; None or NaN leaves a gap.
        kind: its class: "truth", "s1" to "s5" or "rest".
    """

    name: str
    values: Sequence[float | None]
    kind: str


@dataclass(frozen=True)
class Axis:
    """What runs along x.

    Attributes:
        label: its name and unit.
        places: of the values.
        names: printed under the places; empty: round numbers are.
    """

    label: str
    places: Sequence[float]
    names: Sequence[str] = ()


def band_axis(bands: Sequence[str], wavelengths: Sequence[float | None]) -> Axis:
    """Wavelength where all are known and differ, else the bands by name or number."""
    known = [w for w in wavelengths if w is not None and math.isfinite(w)]
    if len(set(known)) == len(bands) and len(bands) > 1:
        return Axis("wavelength, nm", known)
    places = [float(k + 1) for k in range(len(bands))]
    return Axis("band", places, tuple(bands)) if len(bands) <= 8 else Axis("band number", places)


def line_chart(title: str, unit: str, axis: Axis, lines: Sequence[Line], *, zero: bool = False) -> Html:
    """Lines over bands, the first one on top of the others.

    Args:
        title: stands above.
        unit: of the values, along y.
        axis: what runs along x.
        lines: to be drawn.
        zero: y includes 0, and a line is drawn there.
    """
    known = [v for line in lines for v in line.values if _known(v)]
    ends = _padded(min(known), max(known), zero=zero) if known else (0.0, 1.0)
    span = (min(axis.places), max(axis.places))

    def x(place: float) -> float:
        share = 0.5 if span[0] == span[1] else (place - span[0]) / (span[1] - span[0])
        return _LEFT + 10 + share * (_WIDTH - _LEFT - _RIGHT - 20)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - ends[0]) / (ends[1] - ends[0]) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_text(_LEFT, 15, title, "title"), _text(_WIDTH - _RIGHT, 15, unit, "unit end")]
    for tick, word in ticks(*ends, 4):
        kind = "zero" if zero and tick == 0 else "rule"
        parts += [_rule(_LEFT, y(tick), _WIDTH - _RIGHT, y(tick), kind), _text(_LEFT - 6, y(tick) + 4, word, "end")]
    marks = list(zip(axis.places, axis.names, strict=True)) if axis.names else ticks(*span, 5, single=True)
    parts += [_text(x(place), _HEIGHT - _BOTTOM + 16, word, "middle") for place, word in marks]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, axis.label, "middle unit"))
    dots = len(axis.places) <= 16
    for line in reversed(lines):
        parts += _line(
            [(x(p), y(v)) if _known(v) else None for p, v in zip(axis.places, line.values, strict=True)],
            line,
            dots=dots,
        )
    return _svg(_WIDTH, _HEIGHT, f"{title}, {unit}, over {axis.label}", parts)


def legend(lines: Sequence[Line]) -> Html:
    """The names of coloured lines, and how many grey ones there are."""
    items = [tag("li", styled(f"swatch {line.kind}", name="span"), line.name) for line in lines if line.kind != "rest"]
    rest = [line.name for line in lines if line.kind == "rest"]
    if rest:
        items.append(tag("li", styled("swatch rest", name="span"), "grey: ", ", ".join(rest)))
    return tag("ul", *items, attrs={"class": "legend"})


def kinds(methods: Sequence[str]) -> dict[str, str]:
    """The class of each method's line: colours for the first ones."""
    return {name: f"s{k + 1}" if k < COLOURED else "rest" for k, name in enumerate(methods)}


@dataclass(frozen=True)
class Dots:
    """One row of a dot plot: a value for each sensor, and the mean over them."""

    name: str
    values: Mapping[str, float | None]
    mean: float | None


def dot_plot(label: str, rows: Sequence[Dots], sensors: Sequence[str]) -> Html:
    """One row for each method, one mark for each sensor, a bar at the mean.

    The scale is logarithmic where all values are positive and the largest is more than five times the smallest.
    """
    known = [v for row in rows for v in (*row.values.values(), row.mean) if _known(v)]
    if not known:
        return Html("")
    logarithmic = min(known) > 0 and max(known) > 5 * min(known)
    ends = (min(known) / 1.1, max(known) * 1.1) if logarithmic else _padded(min(known), max(known), zero=False)
    left, width, step = 150, 860, 24
    height = 50 + step * len(rows)

    def x(value: float) -> float:
        low, high, at = (math.log(v) if logarithmic else v for v in (*ends, value))
        return left + (at - low) / (high - low) * (width - left - 20)

    parts: list[str] = []
    for tick, word in _decades(*ends) if logarithmic else ticks(*ends, 8):
        parts += [_rule(x(tick), 12, x(tick), height - 36, "rule"), _text(x(tick), height - 20, word, "middle")]
    scale = f"{label}, logarithmic scale" if logarithmic else label
    parts.append(_text((left + width - 20) / 2, height - 3, scale, "middle unit"))
    for k, row in enumerate(rows):
        middle = 24 + step * k
        parts += [_text(left - 10, middle + 4, row.name, "end name"), _rule(left, middle, width - 20, middle, "row")]
        for place, sensor in enumerate(sensors):
            value = row.values.get(sensor)
            if _known(value):
                parts.append(_mark(x(value), middle, place, f"{row.name}, {sensor}: {value:.4g}"))
        if _known(row.mean):
            mean = _rule(x(row.mean), middle - 9, x(row.mean), middle + 9, "mean")
            parts.append(tag("g", tag("title", f"{row.name}, mean over sensors: {row.mean:.4g}"), mean))
    return _svg(width, height, f"{label} of every method and sensor", parts)


def dot_legend(sensors: Sequence[str]) -> Html:
    """Which mark is which sensor."""
    items = [
        tag("li", tag("svg", _mark(8, 8, k, sensor), attrs={"viewBox": "0 0 16 16", "class": "key"}), sensor)
        for k, sensor in enumerate(sensors)
    ]
    bar = tag("svg", _rule(8, 1, 8, 15, "mean"), attrs={"viewBox": "0 0 16 16", "class": "key"})
    return tag("ul", *items, tag("li", bar, "mean over sensors"), attrs={"class": "legend"})


def ticks(low: float, high: float, count: int, *, single: bool = False) -> list[tuple[float, str]]:
    """Round numbers in a range, about so many, as they are printed.

    Args:
        low: one end.
        high: the other.
        count: about how many.
        single: an empty range has one, instead of none.
    """
    if not high > low:
        return [(low, f"{low:g}")] if single else []
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(low / step - 1e-9)
    found = [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]
    return [(value, f"{value:.{decimals}f}") for value in found]


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    return [(value, f"{value:g}") for value in found if low <= value <= high]


def _padded(low: float, high: float, *, zero: bool) -> tuple[float, float]:
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - room, high + room


def _line(points: Sequence[tuple[float, float] | None], line: Line, *, dots: bool) -> list[Html]:
    """Its pieces between gaps, and a dot at each place."""
    path, pen = "", "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            path, pen = f"{path}{pen}{point[0]:.1f} {point[1]:.1f}", "L"
    marks = [
        tag("circle", attrs={"cx": f"{p[0]:.1f}", "cy": f"{p[1]:.1f}", "r": 3 if line.kind == "truth" else 2})
        for p in points
        if p is not None and dots
    ]
    drawn = [tag("path", attrs={"d": path})] if path else []
    return [tag("g", tag("title", line.name), *drawn, *marks, attrs={"class": f"line {line.kind}"})]


def _mark(x: float, y: float, place: int, words: str) -> Html:
    """A mark of its own shape and colour for each sensor."""
    shapes = (
        "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
        "M-4 -4H4V4H-4z",
        "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
        "M0 -5L5 4H-5z",
    )
    shape = tag("path", attrs={"d": shapes[place % len(shapes)], "transform": f"translate({x:.1f} {y:.1f})"})
    return tag("g", tag("title", words), shape, attrs={"class": f"dot d{place % DOTS + 1}"})


def _text(x: float, y: float, words: str, kind: str) -> Html:
    return tag("text", words, attrs={"x": f"{x:.1f}", "y": f"{y:.1f}", "class": kind})


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return tag("line", attrs={**{key: f"{value:.1f}" for key, value in ends.items()}, "class": kind})


def _svg(width: int, height: int, words: str, parts: Sequence[str]) -> Html:
    attrs = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": words, "class": "chart"}
    return tag("svg", joined(parts), attrs=attrs)


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
