"""The page of an adaptation: verdict, pictures before and after, what was looked at, curves, spectra and scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from panloom.run._explained import Explanation, Ground, Values
from panloom.run._offset import moved_in_words
from panloom.run.page._charts import Axis, Line, band_axis, legend, line_chart
from panloom.run.page._html import Html, document, facts, grid, joined, listing, section, styled, tag
from panloom.run.page._pictures import Gallery, Images, Interest, gallery, jpeg, painted
from panloom.run.page._places import Place
from panloom.run.page._protocols import ORDER, TITLES, WORDS
from panloom.run.page._tables import DASH, Cell, Column, Row, Table, plain, score_table
from panloom.run.page._views import crops, outline, overview, stretch_words, swipe
from panloom.run.protocol import Protocol
from panloom.types import Window

#: Bands whose power is drawn, at most, evenly chosen.
DRAWN = 8

#: Decibels that a chart of power goes on below all but interpolated MS.
BELOW = 10.0

#: The colour of each row.
_KINDS = {"exp": "rest", "network": "s2", "bridged": "s5", "fitted": "s1", "regression": "s3", "random": "s4"}

#: What each row is.
_MEANING = {
    "exp": "interpolated MS, without PAN: the zero line",
    "network": "the trained network as it is",
    "bridged": "the same, given the scene in the values of its training data, without any fit",
    "fitted": "the network fitted to the scene, whatever the gate says of it",
    "regression": "a control: details of PAN by a regression on the scene, without any network",
    "random": "a control: random, untrained features, fitted to the scene in the same way",
}


def explanation_page(done: Explanation) -> str:
    """The whole HTML document; it loads nothing, and is readable without its script.

    Args:
        done: from `panloom.run.explain.explain`.
    """
    images, drawn = _drawn(done)
    parts = [
        _about(done),
        section("pictures", "Before and after", _pictures(done, images, drawn)),
        section("fit", "What was fitted", _fit(done)),
        section("spectra", "Spectra", _spectra(done, images, drawn)),
        section("scores", "Scores", _scores(done)),
    ]
    links = [
        ("about", "The verdict"),
        ("pictures", "Before and after"),
        ("fit", "What was fitted"),
        ("spectra", "Spectra"),
        ("scores", "Scores"),
    ]
    foot = ", ".join(f"{name} {number}" for name, number in done.evaluation.versions.items())
    return document(f"{done.method} on {done.evaluation.name}", "panloom --explain", links, parts, foot)


# --- the verdict ------------------------------------------------------------------------------------------


def _about(done: Explanation) -> Html:
    evaluation = done.evaluation
    rows = [
        ("sensor", str(evaluation.sensor.get("name", DASH))),
        ("bands", ", ".join(evaluation.bands)),
        ("ratio", f"{evaluation.ratio} PAN pixels per MS pixel"),
        ("scene", f"{done.size[0]} x {done.size[1]} PAN pixels"),
        *([("map coordinates", _system(done.ground))] if done.ground.transform else []),
        ("drawn and scored at full resolution", _where(done, done.window)),
        ("scored at reduced resolution", _where(done, done.low_window)),
        ("seed", str(done.seed)),
        ("options", ", ".join(f"{name}={value}" for name, value in done.options.items()) or DASH),
    ]
    notes = listing("notes", dict.fromkeys((*done.warnings, *evaluation.notes)))
    # Numbered, and apart also where only the text is read.
    points = [part for text in done.conclusions for part in (tag("li", text), "\n")]
    said = tag("ol", *points, attrs={"class": "said"})
    words = (
        "Errors are ERGAS at reduced resolution by the sensor's optics, with the fit repeated there; differences below "
        "2 % do not count."
    )
    conclusions = joined([tag("h3", "What to conclude"), said, styled("note", words, name="p")])
    return section("about", "The verdict", styled("verdict", done.verdict, name="p"), conclusions, facts(rows), notes)


def _where(done: Explanation, window: Window) -> str:
    if (window.height, window.width) == done.size:
        return "all of the scene"
    row, col = done.ground.pixel(window)
    centre = _on_map(done.ground, window)
    return f"{window.height} x {window.width} PAN pixels from row {row}, column {col}" + (centre and f"; {centre}")


def _on_map(ground: Ground, window: Window) -> str:
    """The centre of a part of the scene in map coordinates, to a tenth of a pixel; empty without georeference."""
    centre = ground.centre(window)
    if centre is None or ground.transform is None:
        return ""
    digits = _digits(ground.transform)
    return f"centre x {centre[0]:.{digits}f}, y {centre[1]:.{digits}f}"


def _digits(transform: Sequence[float]) -> int:
    """Decimals of map coordinates that tell a tenth of a pixel."""
    step = math.hypot(transform[0], transform[3])
    return max(0, 1 - math.floor(math.log10(step))) if step > 0 else 0


def _system(ground: Ground) -> str:
    """The name in the WKT of the map coordinates."""
    named = re.match(r'\s*\w+\["([^"]*)"', ground.crs or "")
    return named[1] if named else DASH


# --- pictures ---------------------------------------------------------------------------------------------


def _drawn(done: Explanation) -> tuple[Images, Gallery]:
    """The images, and their pictures; the places are where the fit changed most, and where PAN has detail."""
    images = Images.of(done.pictures, truth=False)
    before, after = (images.fused.get(done.names[role]) for role in ("network", "fitted"))
    interest = None
    if before is not None and after is not None:
        level = np.maximum(np.abs(images.reference).mean((1, 2), keepdims=True), 1e-12)
        change = (np.abs(after - before) / level).mean(0, dtype=np.float32)
        interest = Interest(np.where(images.valid, change, np.float32(np.nan)), "most changed by the fit")
    # Interpolated MS is the reference already.
    shown = {name: image for name, image in images.fused.items() if name != done.names["exp"]}
    kept = Images(images.pan, images.reference, shown, images.valid, truth=False)
    return kept, gallery(kept, done.evaluation.bands, None, interest)


def _pictures(done: Explanation, images: Images, drawn: Gallery) -> Html:
    order = list(images.fused)
    rows = {role: name for role, name in done.names.items() if name in images.fused}
    reference = images.reference_name
    left, right = rows.get("network", reference), rows.get("fitted", reference)
    used = done.names[done.used]
    words = f"The output holds {used}." + (
        "" if done.used == "fitted" else f" {done.names['fitted']} is drawn as it would be without the gate."
    )
    return joined(
        [
            tag("p", f"{stretch_words(drawn, images)} {words}"),
            styled("lead", overview(drawn, reference, boxes=True), swipe(left, right)),
            styled("gallery", *(overview(drawn, name, boxes=name == "PAN") for name in ["PAN", *order])),
            *crops(drawn, ["PAN", reference, *order], lambda place: _where(done, _in_scene(done, place))),
        ]
    )


def _in_scene(done: Explanation, place: Window) -> Window:
    """A part of what is drawn as a part of the scene."""
    return place.shifted(done.window.row, done.window.col)


# --- the fit ----------------------------------------------------------------------------------------------


def _fit(done: Explanation) -> Html:
    told = done.fit
    if told is None:
        return joined([tag("p", "This adapter learns nothing from the scene."), _map(done, {})])
    return joined([facts(_numbers(told)), _map(done, told), _curves(told), _values(done)])


def _windows(told: Any) -> list[Window]:  # noqa: ANN401  what a report holds, as plain data
    return [Window(**window) for window in told or ()]


def _bridge(bridged: float | None) -> list[tuple[str, str]]:
    return [] if bridged is None else [("error with renormalisation alone over that without", f"{bridged:.3f}")]


def _offset(offset: Sequence[float] | None) -> list[tuple[str, str]]:
    """Whether PAN was moved; an offset that is too small, too large or uncertain is left."""
    if offset is None:
        return []
    moved = moved_in_words((offset[0], offset[1])) or ["PAN was not moved: no offset was found that is to be corrected"]
    return [("PAN and MS", text) for text in moved]


def _sharpness(gain: float | None) -> list[tuple[str, str]]:
    return [] if gain is None else [("MTF gain that PAN was degraded with", f"{gain:.2f}")]


def _numbers(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Those of the numbers that the adapter has."""
    work = told.get("work") or {}
    left = told["validated"]
    rows = [
        ("decision", str(told["decision"])),
        ("share of the error left on held-back pixels", DASH if left is None else f"{left:.3f}"),
        ("gate: largest share that passes", f"{told['gate']:g}"),
        ("renormalised", "yes" if told["renormalised"] else "no"),
        *_bridge(told.get("bridged")),
        *_offset(told.get("offset")),
        *_sharpness(told.get("pan_gain")),
        ("seconds", f"{told['seconds']:.2f}"),
        ("tiles looked at", str(len(told["places"]))),
    ]
    rows += [("bands left alone", ", ".join(told["unfitted"]))] if told["unfitted"] else []
    if "equations" in told:
        low, seen = told["equations"]
        ridge = told.get("ridge")
        rows.append(("ridge", DASH if ridge is None else f"{ridge:g}, chosen by cross-validation"))
        rows.append(("equations", f"{low} pixels of the degraded scene, {seen} MS pixels of the scene itself"))
        rows.append(("merged with the last layer", "yes" if told.get("merged") else "no"))
    if told.get("parameters"):
        rows.append(("parameters trained", str(told["parameters"])))
    if work:
        share = work["changed"] / max(work["parameters"], 1)
        rows.append(("weights changed", f"{work['changed']} of {work['parameters']} ({100 * share:.1f} %)"))
        rows.append(("patches learned from", f"{len(work['learned'])}; {told['judged']} held back for the gate"))
    if any(told.get("pixels") or ()):
        words = ("MS pixels of the spectral term", "of the degraded scene", "held back")
        counts = zip(told["pixels"], words, strict=True)
        rows.append(("pixels", ", ".join(f"{count} {word}" for count, word in counts)))
    return rows


def _map(done: Explanation, told: Mapping[str, Any]) -> Html:
    """The quick look of the scene, with what was looked at."""
    look, size = done.quick_look, done.size
    places, patches, low = (_windows(told.get(key)) for key in ("places", "patches", "low_patches"))
    picture = tag("img", attrs={"src": jpeg(painted(look.image, look.valid)), "alt": "quick look of the scene"})
    frames = [outline(place, size, f"{k + 1}", "tile") for k, place in enumerate(places)]
    frames += [outline(patch, size, kind="low") for patch in low] + [outline(p, size, kind="patch") for p in patches]
    frames.append(outline(done.window, size, kind="part"))
    words = ["The scene, from MS."]
    words += ["Of this large scene an even sample of blocks was read for it."] if not look.complete else []
    words += [f"White: tiles that the adapter looked at ({len(places)})."] if places else []
    words += [f"Yellow: patches that it learned from ({len(patches)})."] if patches else []
    words += [f"Orange: patches of the scene degraded once more ({len(low)})."] if low else []
    words.append("Dashed: what is drawn on this page.")
    figure = tag("figure", styled("framed", picture, *frames), tag("figcaption", " ".join(words)))
    return joined([tag("h3", "Where it looked"), styled("lead", figure), _tiles(done.ground, places)])


def _tiles(ground: Ground, places: Sequence[Window]) -> Html:
    """The tiles that the adapter looked at, in pixels of PAN, and their centres on the map."""
    if not places:
        return Html("")
    columns = [Column(name, name) for name in ("row", "column", "height", "width")]
    pixels = [[*ground.pixel(place), place.height, place.width] for place in places]
    cells = [[Cell(str(number)) for number in row] for row in pixels]
    if ground.transform is not None:
        digits = _digits(ground.transform)
        columns += [Column("x", "x of the centre"), Column("y", "y of the centre")]
        centres = [ground.centre(place) or () for place in places]
        cells = [[*row, *(Cell(f"{n:.{digits}f}") for n in at)] for row, at in zip(cells, centres, strict=True)]
    rows = tuple(Row(str(k), tuple(row)) for k, row in enumerate(cells, 1))
    return grid(Table("tile, PAN pixels", tuple(columns), rows))


def _curves(told: Mapping[str, Any]) -> Html:
    charts = [*_step_curve(told), *_work_curve(told)]
    if not charts:
        words = "There is no curve: " + (
            "the weights come from one set of equations (a ridge regression), without steps."
            if "equations" in told
            else "nothing was learned."
        )
        return joined([tag("h3", "Curves"), tag("p", words)])
    terms = listing("said", _terms(told))
    return joined([tag("h3", "Curves"), styled("charts", *(tag("figure", chart) for chart in charts)), terms])


def _step_curve(told: Mapping[str, Any]) -> list[Html]:
    curve = told.get("curve") or ()
    if not curve:
        return []
    title = f"loss, step {told['best']} is kept"
    axis = Axis("steps", [float(k) for k in range(len(curve))])
    return [line_chart(title, "loss", axis, [Line("loss", list(curve), _KINDS["fitted"])])]


def _work_curve(told: Mapping[str, Any]) -> list[Html]:
    work = told.get("work") or {}
    points = work.get("curve", {}).get("points", ())
    if not points:
        return []
    axis = Axis("steps", [float(point["step"]) for point in points])
    lines = [
        Line("learned from", [point["learned"] for point in points], "s1"),
        Line("held out", [point["held"] for point in points], "s2"),
    ]
    title = f"loss, step {work['curve']['best']} is kept"
    return [joined([line_chart(title, "loss", axis, lines), legend(lines)])]


def _terms(told: Mapping[str, Any]) -> list[str]:
    """The terms of the loss, each before and after."""
    terms = told.get("terms") or {}
    return [f"{name} term: {before:.4g} before, {after:.4g} after" for name, (before, after) in terms.items()]


def _values(done: Explanation) -> Html:
    """Source and scene side by side."""
    if done.values is None:
        return Html("")
    values = done.values
    columns = [Column("mean", "mean here"), Column("std", "deviation here")]
    cells = [_cells(values.scene[0]), _cells(values.scene[1])]
    if values.source is not None:
        columns += [Column("there", "mean in training"), Column("deviation", "deviation in training")]
        columns += [Column("shift", "shift of the mean, in deviations"), Column("ratio", "ratio of deviations")]
        cells += [_cells(values.source[0]), _cells(values.source[1]), *_moved(values)]
    names = (*done.evaluation.bands, "PAN")
    rows = [Row(name, row) for name, row in zip(names, zip(*cells, strict=True), strict=True)]
    words = (
        "In units of the full scale. The network knows the values of its training data; renormalisation brings the "
        "scene to these means and deviations and its result back."
        if values.source is not None
        else "In units of the full scale. Nothing is known of the values that the network was trained on, or it asks "
        "for none, so that nothing is renormalised."
    )
    return joined([tag("h3", "Values of the scene"), tag("p", words), grid(Table("band", tuple(columns), tuple(rows)))])


def _cells(values: Sequence[float]) -> list[Cell]:
    return plain(values, 4)


def _moved(values: Values) -> list[list[Cell]]:
    """How far the scene lies from the source."""
    assert values.source is not None
    pairs = [list(zip(here, there, strict=True)) for here, there in zip(values.scene, values.source, strict=True)]
    shifts = [
        (here - there) / std if std else math.nan for (here, there), std in zip(pairs[0], values.source[1], strict=True)
    ]
    ratios = [here / there if there else math.nan for here, there in pairs[1]]
    return [plain(shifts, 2), plain(ratios, 2)]


# --- spectra ----------------------------------------------------------------------------------------------


def _spectra(done: Explanation, images: Images, drawn: Gallery) -> Html:
    return joined([*_signatures(done, images, drawn), *_powers(done)])


def _signatures(done: Explanation, images: Images, drawn: Gallery) -> list[Html]:
    """Means over each place, band by band: what the fit does to colours."""
    axis = band_axis(done.evaluation.bands, done.evaluation.wavelengths)
    rows = [(name, _KINDS[role]) for role, name in done.names.items() if name in images.fused]
    values, apart = [], []
    for place in drawn.places:
        truth = _mean(images.reference, images, place)
        fused = {name: _mean(images.fused[name], images, place) for name, _ in rows}
        lines = [Line("MS", truth.tolist(), "truth"), *(Line(name, fused[name].tolist(), kind) for name, kind in rows)]
        off = {name: 100 * (fused[name] - truth) / np.where(truth == 0, np.nan, np.abs(truth)) for name, _ in rows}
        values.append(line_chart(f"place {place.letter}", "DN", axis, lines))
        differences = [Line(name, off[name].tolist(), kind) for name, kind in rows]
        apart.append(line_chart(f"place {place.letter}", "difference, %", axis, differences, zero=True))
    names = legend([Line("MS", (), "truth"), *(Line(name, (), kind) for name, kind in rows)])
    words = (
        "Means over the places above. A faithful result has the means of MS: below, how far each one is from them, in "
        "percent."
    )
    charts = styled("charts", *(tag("figure", chart) for chart in (*values, *apart)))
    return [tag("h3", "Band by band"), tag("p", words), names, charts]


def _mean(image: Float[np.ndarray, "C H W"], images: Images, place: Place) -> Float[np.ndarray, " C"]:
    """The mean of a place over pixels that are valid in every band."""
    window = place.window
    rows, cols = slice(window.row, window.row_end), slice(window.col, window.col_end)
    part, known = image[:, rows, cols], images.valid[rows, cols]
    known = known & np.isfinite(part).all(0)
    if not known.any():
        return np.full(len(image), np.nan)
    return part[:, known].mean(1, dtype=np.float64)


def _powers(done: Explanation) -> list[Html]:
    head = tag("h3", "Frequency by frequency")
    power = done.power
    if power is None:
        return [head, tag("p", "No square of 16 pixels is free of missing data, so that no power can be told.")]
    count, ends = len(done.evaluation.bands), 0.5 / done.evaluation.ratio
    chosen = [k * count // min(count, DRAWN) for k in range(min(count, DRAWN))]
    axis = Axis(f"cycles per PAN pixel; MS ends at {ends:.3g}", power.frequencies)
    kinds = {name: "truth" if role == "exp" else _KINDS[role] for role, name in done.names.items()} | {"PAN": "s4"}
    charts: list[Html] = []
    for band in chosen:
        values = {name: image[band] for name, image in power.images.items()} | {"PAN": power.pan}
        # Interpolation leaves nothing at high frequencies, which would press all else together.
        floor = min(min(line) for name, line in values.items() if name != "exp") - BELOW
        lines = [Line(name, [v if v >= floor else None for v in line], kinds[name]) for name, line in values.items()]
        charts.append(line_chart(done.evaluation.bands[band], "dB", axis, lines))
    names = legend([Line(name, (), kinds[name]) for name in (*power.images, "PAN")])
    words = (
        "Mean power of rings of frequencies. Below the end of MS, a result should lie on exp up to the blur of the "
        "optics; above, where MS knows nothing, its slope should be that of PAN: one that falls faster is soft, one "
        "that falls less is noisy. exp ends where it holds next to nothing."
    )
    some = "" if len(chosen) == count else f" {len(chosen)} of {count} bands are drawn."
    return [head, tag("p", words + some), names, styled("charts", *(tag("figure", chart) for chart in charts))]


# --- scores -----------------------------------------------------------------------------------------------


def _scores(done: Explanation) -> Html:
    evaluation = done.evaluation
    rows = [Row(name, (Cell(_MEANING[role]),)) for role, name in done.names.items()]
    parts: list[str] = [styled("words", grid(Table("row", (Column("what", "what it is"),), tuple(rows))))]
    protocols: list[Protocol] = [protocol for protocol in ORDER if protocol in evaluation.labels]
    for protocol in protocols:
        words = WORDS[protocol]
        if protocol != "full":
            words += " Every fit was repeated there, on the scene degraded once more."
        parts += [tag("h3", TITLES[protocol]), tag("p", tag("code", protocol), ": ", words)]
        parts += [grid(score_table(evaluation, protocol)), listing("said", _notes(done, protocol))]
    return joined(parts)


def _notes(done: Explanation, protocol: Protocol) -> Iterable[str]:
    """What became of each fit that was repeated."""
    return [f"{s.method}: {note}" for s in done.evaluation.scores if s.protocol == protocol for note in s.notes if note]
