"""The page of an analysis: what the numbers say, every figure with its words, and the tables behind it."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence

from panloom.analysis import Descriptors
from panloom.run.analysis.record import Analysis, Figure, FuserNumbers, NetworkNumbers, Parts, Quality
from panloom.run.page._html import Html, document, facts, grid, joined, listing, section, styled, tag
from panloom.run.page._tables import Column, Row, Table, plain

#: Sections: anchor, name, and the figures that stand in them.
_METHOD = (
    ("pan", "PAN", ("pan-impulse", "pan-frequency", "phases")),
    ("ms", "MS", ("ms-impulse", "ms-frequency", "mixing")),
    ("system", "From the scene to the result", ("transfer",)),
    ("parts", "Linear and not", ("parts",)),
    ("quality", "Beside the truth", ("quality",)),
)
_MODEL = (
    ("response", "Responses", ("impulse", "frequency", "channels")),
    ("parts", "Linear and not", ("parts", "parts-published")),
    ("trust", "How far to trust it", ("sweep", "places")),
    ("quality", "Beside the truth", ("quality",)),
)


def analysis_page(done: Analysis) -> str:
    """The whole HTML document; it loads nothing.

    Args:
        done: from `panloom.run.analyze.analyze`.
    """
    figures = {figure.name: figure for figure in done.figures}
    parts, links = [_about(done)], [("about", "What the numbers say")]
    for anchor, name, wanted in _METHOD if done.kind == "method" else _MODEL:
        here = [figures[key] for key in wanted if key in figures]
        if here:
            parts.append(section(anchor, name, *map(_figure, here), _tables(done, anchor)))
            links.append((anchor, name))
    foot = ", ".join(f"{name} {number}" for name, number in done.versions.items())
    return document(done.name, "panloom analyze", links, parts, foot)


def _about(done: Analysis) -> Html:
    drawn = done.method is not None and "drawn" in done.about.get("looked at", "")
    lead = "What the method does to small changes of its images, at every frequency, and how much of it is one filter."
    if done.kind == "model":
        lead = (
            "What the network does to small changes of a picture, at every frequency, and how much of it is one filter."
        )
    words = (
        "Each sentence follows a fixed rule from the numbers in analysis.json. Responses are derivatives: true for "
        "small changes around what was looked at, here "
        + ("a drawn scene, which is simpler than a real one." if drawn else "and less so for other images.")
    )
    rows = [*done.about.items(), ("seconds", f"{done.seconds:.1f}")]
    return section(
        "about",
        "What the numbers say",
        styled("verdict", lead, name="p"),
        listing("said", done.conclusions),
        styled("note", words, name="p"),
        facts(rows),
        listing("notes", done.notes),
    )


def _figure(figure: Figure) -> Html:
    """A picture and its words; it stands in the page itself."""
    source = f"data:image/png;base64,{b64encode(figure.png).decode()}"
    picture = tag("img", attrs={"src": source, "alt": figure.title, "data-what": figure.name})
    words = tag("figcaption", figure.shows, " ", tag("b", "Ideal: "), figure.ideal)
    return joined([tag("h3", figure.title), tag("figure", picture, words)])


def _tables(done: Analysis, anchor: str) -> Html:
    """The numbers behind the figures of a section."""
    found: list[Html] = []
    if anchor == "pan" and done.method is not None:
        found.append(_injection(done.method))
    if anchor == "ms" and done.method is not None:
        found.append(_lowpasses(done.method.bands, done.method.ms))
    if anchor == "response" and done.model is not None:
        found.append(_responses(done.model))
    if anchor == "parts":
        found += [_shares(part, len(done.parts) > 1) for part in done.parts]
    if anchor == "quality" and done.quality is not None:
        found.append(_likeness(done.quality))
    return joined(found)


def _table(corner: str, heads: Sequence[str], rows: Sequence[str], columns: Sequence[Sequence[float]]) -> Html:
    """A table of numbers; infinite ones are dashes, as those that are not defined."""
    filled = [plain(column) for column in columns]
    body = [Row(name, tuple(cells)) for name, cells in zip(rows, zip(*filled, strict=True), strict=True)]
    return grid(Table(corner, tuple(Column(head, head) for head in heads), tuple(body)))


def _injection(numbers: FuserNumbers) -> Html:
    heads = (
        "leakage (ideal 0)",
        "gain beyond the MS grid",
        "gain of a regression",
        "share of detail that PAN knows",
        "MTF of the sensor",
    )
    columns = (numbers.leakage, numbers.injection, numbers.slopes, numbers.agreement, numbers.mtf)
    return _table("band", heads, numbers.bands, columns)


_DESCRIPTORS = (
    "gain (ideal 1)",
    "-3 dB, of pi / scale",
    "-6 dB, of pi / scale (ideal 1)",
    "ripple, dB (0)",
    "weakest copy's rejection, dB (low)",
    "energy beyond (0)",
    "side lobe (sinc: -0.217)",
    "likeness to sinc (1)",
)


def _lowpasses(names: Sequence[str], found: Sequence[Descriptors]) -> Html:
    rows = [
        (
            one.dc,
            one.cutoff3,
            one.cutoff6,
            one.ripple,
            max(one.rejection, default=math.nan),
            one.outside,
            one.sidelobe,
            one.rho,
        )
        for one in found
    ]
    return _table("response", _DESCRIPTORS, names, list(zip(*rows, strict=True)))


def _responses(numbers: NetworkNumbers) -> Html:
    named = {"mean derivative": numbers.jacobian}
    if numbers.published is not None:
        named["white dot on black"] = numbers.published
    return _lowpasses(tuple(named), tuple(named.values()))


def _shares(parts: Parts, several: bool) -> Html:
    heads = (
        "R2 of the linear part (1: linear)",
        "high frequencies in the output",
        "the same in the linear part, times",
        "the same in the rest, times",
        "cancellation (1: the rest only undoes)",
    )
    bands = parts.bands
    columns = (
        [band.r2 for band in bands],
        [band.high_output for band in bands],
        [band.high_linear for band in bands],
        [band.high_nonlinear for band in bands],
        [band.cancellation for band in bands],
    )
    head = [tag("h3", f"By the {parts.response}")] if several else []
    return joined([*head, _table("band", heads, [band.band for band in bands], columns)])


def _likeness(quality: Quality) -> Html:
    heads = ("PSNR, dB", "FSDS as published, dB", "FSDS windowed, dB", "FSDS of power, dB")
    found: list[Html] = []
    for name, rows in quality.rows.items():
        columns = (
            [row.psnr for row in rows],
            [row.fsds for row in rows],
            [row.windowed for row in rows],
            [row.power for row in rows],
        )
        found.append(_table(name, heads, [row.band for row in rows], columns))
    joint = ", ".join(f"{name} {value:.2f}" for name, value in quality.joint.items())
    words = f"{quality.size[0]} x {quality.size[1]} pixels. FSDS of all bands together, as published, dB: {joint}."
    return joined([*found, styled("note", words, name="p")])
