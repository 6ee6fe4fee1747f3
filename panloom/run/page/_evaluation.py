"""The page of an evaluation: numbers, pictures in one stretch, error maps and spectra of one pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Shaped

from panloom.run.evaluate import FIRST, Evaluation
from panloom.run.page._charts import Line, band_axis, kinds, legend, line_chart
from panloom.run.page._html import Html, document, facts, grid, joined, listing, section, styled, tag
from panloom.run.page._pictures import Gallery, Images, colours, gallery
from panloom.run.page._protocols import ORDER, TITLES, WORDS
from panloom.run.page._tables import DASH, band_tables, plain, ranked, score_table
from panloom.run.page._views import crops, overview, stretch_words, swipe
from panloom.run.protocol import Protocol

#: Bands above which values per band are drawn instead of listed.
LISTED = 12


def evaluation_page(evaluation: Evaluation) -> str:
    """The whole HTML document; it loads nothing, and is readable without its script.

    Pictures stand in it where the evaluation kept them. They are those of the protocols that do not repeat another: of
    the two at reduced resolution, whose images hardly differ, only the physical one is drawn where both are there.

    Args:
        evaluation: from `panloom.run.evaluate.evaluate`, with `pictures=True` if pictures are wanted.
    """
    protocols = _protocols(evaluation)
    parts = [_about(evaluation)]
    for protocol in protocols:
        pictures = _pictures(evaluation, protocol) if _drawn(evaluation, protocol) else Html("")
        numbers, bands = _numbers(evaluation, protocol), _by_band(evaluation, protocol)
        parts.append(section(protocol, TITLES[protocol], numbers, pictures, bands))
    links = [("about", "The pair"), *((p, f"{TITLES[p]} ({p})") for p in protocols)]
    foot = ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())
    return document(evaluation.name, "panloom evaluate", links, parts, foot)


def _protocols(evaluation: Evaluation) -> list[Protocol]:
    return [protocol for protocol in ORDER if protocol in evaluation.labels]


def _drawn(evaluation: Evaluation, protocol: Protocol) -> bool:
    again = protocol == "wald-toolbox" and "wald-physical" in evaluation.pictures
    return protocol in evaluation.pictures and not again


def best_of(evaluation: Evaluation, protocol: Protocol) -> str | None:
    """The method that stands first; None where none has a value of the index they are ranked by."""
    score = next(iter(ranked(evaluation, protocol)), None)
    value = None if score is None else score.values.get(FIRST[protocol])
    return None if score is None or value is None or math.isnan(value) else score.method


# --- the pair ---------------------------------------------------------------------------------------------


def _about(evaluation: Evaluation) -> Html:
    cards = [_card(evaluation, protocol) for protocol in _protocols(evaluation)]
    rows = [
        ("sensor", str(evaluation.sensor.get("name", DASH))),
        ("ratio", f"{evaluation.ratio} PAN pixels per MS pixel"),
        ("phase of the grids", f"MS sample (0, 0) lies on PAN (row, col) {_phase(evaluation.phase)}"),
        ("full scale", f"{evaluation.full_scale:g} DN"),
        ("bands", _bands(evaluation)),
        ("MTF gains at Nyquist", _gains(evaluation)),
    ]
    notes = listing("notes", evaluation.remarks)
    return section("about", "The pair", styled("cards", *cards), facts(rows), notes)


def _card(evaluation: Evaluation, protocol: Protocol) -> Html:
    """The best method of a protocol."""
    table = score_table(evaluation, protocol)
    first = table.place(FIRST[protocol])
    best = [row for row in table.rows if row.cells[first].best]
    text = f"{table.columns[first].label} {best[0].cells[first].text}" if best else "no method could be scored"
    return styled(
        "card",
        styled("what", f"best at {TITLES[protocol][0].lower()}{TITLES[protocol][1:]}"),
        styled("who", ", ".join(row.head for row in best) or DASH),
        styled("what", f"{text}, of {len(table.rows)} methods"),
    )


def _bands(evaluation: Evaluation) -> str:
    known = [
        name if centre is None or math.isnan(centre) else f"{name} {centre:g} nm"
        for name, centre in zip(evaluation.bands, evaluation.wavelengths, strict=True)
    ]
    if len(known) <= 2 * LISTED:
        return ", ".join(known)
    return f"{len(known)}, from {known[0]} to {known[-1]}"


def _phase(phase: tuple[float, float]) -> str:
    return f"({phase[0]:.4g}, {phase[1]:.4g})"


def _gains(evaluation: Evaluation) -> str:
    gains, pan = evaluation.sensor.get("mtf_nyquist"), evaluation.sensor.get("pan_mtf_nyquist")
    numbers = [float(gain) for gain in gains] if isinstance(gains, (list, tuple)) else []
    if len(set(numbers)) == 1:
        text = f"{numbers[0]:g} in every band"
    elif len(numbers) > 2 * LISTED:
        text = f"{min(numbers):g} to {max(numbers):g}"
    else:
        text = ", ".join(f"{name} {gain:g}" for name, gain in zip(evaluation.bands, numbers, strict=False)) or DASH
    return f"{text}; PAN {pan:g}" if isinstance(pan, (int, float)) else text


# --- numbers ----------------------------------------------------------------------------------------------


def _numbers(evaluation: Evaluation, protocol: Protocol) -> Html:
    explained = tag("p", tag("code", protocol), ": ", WORDS[protocol])
    first = evaluation.labels[protocol][FIRST[protocol]]
    words = f"Best first by {first}; the best of each column, as far as it is printed, in bold."
    note = styled("note", words, name="p")
    return joined([explained, grid(score_table(evaluation, protocol)), note])


def _by_band(evaluation: Evaluation, protocol: Protocol) -> Html:
    tables = band_tables(evaluation, protocol)
    if not tables:
        return Html("")
    head = tag("h3", "Band by band")
    if len(evaluation.bands) <= LISTED:
        figures = [
            tag("figure", tag("figcaption", tag("b", label), f" {index.unit}"), grid(table))
            for index, label, table in tables
        ]
        return joined([head, styled("bands", *figures)])
    scores = [score for score in ranked(evaluation, protocol) if score.error is None]
    kind, axis = kinds([score.method for score in scores]), band_axis(evaluation.bands, evaluation.wavelengths)
    charts = []
    for index, label, _ in tables:
        lines = [Line(s.method, s.bands[index.name], kind[s.method]) for s in scores if s.bands.get(index.name)]
        charts.append(tag("figure", line_chart(label, index.unit, axis, lines)))
    return joined([head, styled("charts", *charts), legend([Line(name, (), kind[name]) for name in kind])])


# --- pictures ---------------------------------------------------------------------------------------------


def _pictures(evaluation: Evaluation, protocol: Protocol) -> Html:
    images = Images.of(evaluation.pictures[protocol], truth=protocol != "full")
    best = best_of(evaluation, protocol)
    order = [score.method for score in ranked(evaluation, protocol) if score.method in images.fused]
    drawn = gallery(images, evaluation.bands, best)
    names = ["PAN", images.reference_name, *order]
    return joined(
        [
            tag("h3", "Pictures"),
            tag("p", stretch_words(drawn, images)),
            styled("lead", overview(drawn, images.reference_name, boxes=True), _swipe(images, order, best)),
            styled("gallery", *(overview(drawn, name, boxes=name == "PAN") for name in ["PAN", *order])),
            *crops(drawn, names),
            _maps(drawn, order),
            _spectra(evaluation, images, order, drawn),
        ]
    )


def _swipe(images: Images, order: Sequence[str], best: str | None) -> Html:
    """Where the script puts two images on top of each other."""
    if not order:
        return Html("")
    left = "exp" if "exp" in order and best != "exp" else images.reference_name
    return swipe(left, best or order[0])


def _maps(drawn: Gallery, order: Sequence[str]) -> Html:
    if not drawn.maps:
        return Html("")
    words = (
        "The mean over the bands of |fused - truth|, each band divided by its mean; one scale for all methods. "
        "Errors above its end have its last colour."
    )
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in colours(16))
    ramp = tag("div", attrs={"class": "ramp", "style": f"background:linear-gradient(to right,{stops})"})
    ends = styled("ends", *(tag("span", f"{100 * drawn.top * share:.3g} %") for share in (0, 0.5, 1)))
    means = plain([100 * drawn.errors[name] for name in order], 2)
    figures = [
        tag(
            "figure",
            tag("img", attrs={"src": drawn.maps[name], "alt": f"errors of {name}"}),
            tag("figcaption", tag("b", name), f" mean {mean.text} %"),
        )
        for name, mean in zip(order, means, strict=True)
    ]
    scale = styled("scale", ramp, ends)
    return joined([tag("h3", "Error maps"), tag("p", words), scale, styled("gallery", *figures)])


# --- spectra ----------------------------------------------------------------------------------------------


def _spectra(evaluation: Evaluation, images: Images, order: Sequence[str], drawn: Gallery) -> Html:
    """The mean and a pixel of each place: values, and below them what differs from the reference."""
    kind, axis = kinds(order), band_axis(evaluation.bands, evaluation.wavelengths)
    spots: list[tuple[str, Callable[[Shaped[np.ndarray, "C H W"]], Float[np.ndarray, " C"]]]] = [
        ("mean", lambda image: _mean(image, images.valid))
    ]
    spots += [
        (f"pixel in {p.letter} ({p.pixel[0]}, {p.pixel[1]})", lambda image, p=p: image[:, p.pixel[0], p.pixel[1]])
        for p in drawn.places
    ]
    values, differences = [], []
    for title, taken in spots:
        truth = taken(images.reference).astype(np.float64)
        fused = {name: taken(images.fused[name]).astype(np.float64) for name in order}
        lines = [Line(images.reference_name, truth.tolist(), "truth")]
        lines += [Line(name, fused[name].tolist(), kind[name]) for name in order]
        values.append(line_chart(title, "DN", axis, lines))
        off = {name: 100 * (fused[name] - truth) / np.where(truth == 0, np.nan, np.abs(truth)) for name in order}
        apart = [Line(name, off[name].tolist(), kind[name]) for name in order]
        differences.append(line_chart(title, "difference, %", axis, apart, zero=True))
    names = legend([Line(images.reference_name, (), "truth"), *(Line(name, (), kind[name]) for name in order)])
    words = (
        f"Above, the values in DN; below, how far each method is from the {images.reference_name}, in percent of it."
    )
    charts = styled("charts", *(tag("figure", chart) for chart in (*values, *differences)))
    return joined([tag("h3", "Spectra"), tag("p", words), names, charts])


def _mean(image: Shaped[np.ndarray, "C H W"], valid: Shaped[np.ndarray, "H W"]) -> Float[np.ndarray, " C"]:
    """The mean of the pixels that are valid in every band."""
    known = valid & np.isfinite(image).all(0)
    if not known.any():
        return np.full(len(image), np.nan)
    return np.array([band[known].mean(dtype=np.float64) for band in image])
