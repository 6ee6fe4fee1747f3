"""What is to be concluded from an adaptation, by fixed rules: the same numbers always give the same words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from panloom.adapt import Report
from panloom.run.evaluate import Score
from panloom.run.protocol import Protocol

#: What stands beside each other: interpolated MS, the network as it is, the network in the values of its training data,
#: the network fitted to the scene, and the controls.
Role = Literal["exp", "network", "bridged", "fitted", "regression", "random"]

#: Differences of ERGAS below this share, and of HQNR below this number, do not count.
SAME, SAME_HQNR = 0.02, 0.002

#: The errors that conclusions are drawn from.
_JUDGED: Protocol = "wald-physical"


def used_role(report: Report | None) -> Role:
    """Which image the result of a method is."""
    if report is None or report.decision == "adapted":
        return "fitted"
    return "bridged" if report.renormalised else "network"


def verdict(report: Report | None, method: str) -> str:
    """Which output is used and why, in one sentence."""
    if report is None:
        return f"The output is that of {method}, whose step is a formula: nothing is learned, and no gate is asked."
    # The share of the error stands as the gate is set, and as the adapter itself tells it: 0.95, not 95 %.
    if report.decision == "adapted" and report.validated is not None:
        bridged = ", in the values of its training data," if report.renormalised else ""
        return (
            f"The output is the network fitted to the scene: on pixels of the scene degraded once more that were held "
            f"back from the fit, it leaves {report.validated:.3f} of the error that the network{bridged} has without a "
            f"fit; the gate lets {report.gate:g} or less pass."
        )
    if report.decision == "adapted":
        return "The output is the network fitted to the scene; nothing was held back to judge it by."
    kept = "as it is, in the values of its training data" if report.renormalised else "as it is"
    return f"The output is the network {kept}: {report.reason}."


def conclusions(names: Mapping[Role, str], scores: Sequence[Score], report: Report | None) -> list[str]:
    """What the scores say of a fit, wins and losses alike.

    Args:
        names: of the rows, by what they are.
        scores: of all rows.
        report: of the fit; None: nothing is learned.
    """
    ergas = _values(names, scores, _JUDGED, "ergas")
    if "fitted" not in ergas:
        return [
            "The error of the fit is not known: the degraded scene could not be fitted, so nothing can be said about "
            "whether it helps. A larger scene tells more."
        ]
    found = [_against_network(ergas), *_bridge(ergas, report), *_controls(ergas)]
    found += _gate(ergas, report)
    found += _hqnr(ergas, _values(names, scores, "full", "hqnr-physical"))
    found += _forms(ergas, _values(names, scores, "wald-toolbox", "ergas"))
    return [text for text in found if text]


def _values(names: Mapping[Role, str], scores: Sequence[Score], protocol: Protocol, index: str) -> dict[Role, float]:
    """The finite values of an index, by what the rows are."""
    known = {s.method: s.values.get(index, math.nan) for s in scores if s.protocol == protocol and s.error is None}
    return {role: known[name] for role, name in names.items() if math.isfinite(known.get(name, math.nan))}


def compared(value: float, other: float) -> Literal["less", "same", "more"]:
    """Whether an error is less than another, or more, or neither.

    >>> compared(0.9, 1.0), compared(0.99, 1.0), compared(1.1, 1.0)
    ('less', 'same', 'more')
    """
    if abs(value - other) <= SAME * max(abs(other), 1e-12):
        return "same"
    return "less" if value < other else "more"


def _against_network(ergas: Mapping[Role, float]) -> str:
    if "network" not in ergas:
        return ""
    fitted, plain = ergas["fitted"], ergas["network"]
    change = f"ERGAS {plain:.3f} before, {fitted:.3f} after"
    return {
        "less": f"The fit lowers the error of the network by {_percent(1 - fitted / plain)} ({change}).",
        "same": f"The fit changes the error of the network by less than {_percent(SAME)} ({change}): it is not needed.",
        "more": f"The fit raises the error of the network ({change}): it hurts on this scene.",
    }[compared(fitted, plain)]


def _bridge(ergas: Mapping[Role, float], report: Report | None) -> list[str]:
    """How much of the gain the renormalisation has without any fit, and what comes of it where it does harm."""
    if "bridged" not in ergas or "network" not in ergas:
        return []
    bridged, plain, fitted = ergas["bridged"], ergas["network"], ergas["fitted"]
    if compared(bridged, plain) == "more":
        used = report is None or report.renormalised
        advice = "see --set renormalise=never" if used else "what was adapted is the network without it"
        return [f"Renormalisation alone makes it worse (ERGAS {plain:.3f} to {bridged:.3f}); {advice}."]
    if compared(fitted, plain) != "less" or (report is not None and not report.renormalised):
        return []
    share = min(max((plain - bridged) / (plain - fitted), 0.0), 1.0)
    return [f"Of that, {_percent(share)} is renormalisation alone, without any fit (ERGAS {bridged:.3f})."]


def _controls(ergas: Mapping[Role, float]) -> list[str]:
    fitted = ergas["fitted"]
    words: dict[Role, tuple[str, str, str]] = {
        "regression": (
            "The fitted network has less error than the regression without any network",
            "The regression without any network does as well: the network adds nothing on this scene",
            "The regression without any network has less error: the network does not help on this scene",
        ),
        "random": (
            "It has less error than random, untrained features fitted in the same way: what the network learned counts",
            "Random, untrained features fitted in the same way do as well: what the network learned counts for nothing",
            "Random, untrained features fitted in the same way have less error: what the network learned does not help",
        ),
        "exp": (
            "",
            "Interpolated MS has as little error: there is no gain over not sharpening",
            "Interpolated MS has less error: on this scene the fitted network is worse than not sharpening",
        ),
    }
    found: list[str] = []
    for role, (less, same, more) in words.items():
        if role in ergas:
            outcome = compared(fitted, ergas[role])
            text = {"less": less, "same": same, "more": more}[outcome]
            # The number of what the sentence speaks of comes first.
            first, second = (fitted, ergas[role]) if outcome == "less" else (ergas[role], fitted)
            found.append(text and f"{text} (ERGAS {first:.3f} against {second:.3f}).")
    return found


def _gate(ergas: Mapping[Role, float], report: Report | None) -> list[str]:
    """Whether the gate and the scores agree."""
    if report is None or report.validated is None:
        return []
    kept = ergas.get("bridged" if report.renormalised else "network")
    if kept is None:
        return []
    outcome = compared(ergas["fitted"], kept)
    if report.decision == "adapted" and outcome == "more":
        return ["The gate let a fit pass that raises the error at reduced resolution: look at the pictures."]
    if report.decision != "adapted" and outcome == "less":
        return ["The gate refused a fit that lowers the error at reduced resolution: --set gate=NUMBER opens it."]
    return []


def _hqnr(ergas: Mapping[Role, float], hqnr: Mapping[Role, float]) -> list[str]:
    """Indices without a reference that praise what has more error."""
    if not {"fitted", "network"} <= set(hqnr) or "network" not in ergas:
        return []
    gain = hqnr["fitted"] - hqnr["network"]
    outcome = compared(ergas["fitted"], ergas["network"])
    numbers = f"HQNR {hqnr['network']:.4f} to {hqnr['fitted']:.4f}"
    if gain > SAME_HQNR and outcome == "more":
        return [f"{numbers}: an index without a reference rises while the error rises. Trust the error."]
    if gain < -SAME_HQNR and outcome == "less":
        return [f"{numbers}: an index without a reference falls while the error falls. Look at the pictures."]
    return []


def _forms(physical: Mapping[Role, float], toolbox: Mapping[Role, float]) -> list[str]:
    """Where the two forms of reduced resolution contradict each other about the main control."""
    if not {"fitted", "regression"} <= set(physical) & set(toolbox):
        return []
    both = {compared(form["fitted"], form["regression"]) for form in (physical, toolbox)}
    if both == {"less", "more"}:
        return ["The two forms of reduced resolution disagree about the regression: the difference is not certain."]
    return []


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
