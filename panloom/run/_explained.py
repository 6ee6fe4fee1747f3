"""What an adaptation did to a scene, beside the network as it was and the controls: everything that a report shows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.adapt import Report
from panloom.compute import Policy, Tuned
from panloom.data.pairs import Recorded
from panloom.data.scenes import recorded
from panloom.errors import MethodError, OptionError
from panloom.networks import Network, SourceStatistics
from panloom.optics.alignment import Moved
from panloom.pair import Fuser
from panloom.run._conclusions import Role, conclusions, used_role, verdict
from panloom.run._fits import beyond_training, check_fits, fit_of
from panloom.run._json import to_json
from panloom.run._part import Ground, part
from panloom.run._power import frequencies, radial_power, squares
from panloom.run._values import values_of
from panloom.run.evaluate import Evaluation, Judge, Picture, Score, Told, gathered, notes_on, picture, scored
from panloom.run.preparing import prepared
from panloom.run.preview import choose
from panloom.run.protocol import CHOICES, Problem, problems
from panloom.run.resolve import parse, resolve
from panloom.scene import Scene
from panloom.tiling import blocks, tile_size
from panloom.types import Window
from panloom.weights import setting_in_words

#: PAN pixels along a side of the part of a scene that is drawn and scored as it is, and of the part that is scored
#: degraded: there it has a ratio squared fewer pixels.
SIDE, LOW_SIDE = 512, 1024

#: Pixels along the longer side of the map, and blocks of the scene that it is made of, at most.
MAP, BLOCKS = 480, 64

#: A gate that lets every fit pass.
OPEN = 1e9


@dataclass(frozen=True)
class Values:
    """Means and deviations, in units of the full scale, of each band and of PAN as the last one.

    Attributes:
        source: of the data that the network was trained on: mean, deviation; None: they are not known.
        scene: of the tiles that were looked at: mean, deviation.
    """

    source: tuple[tuple[float, ...], tuple[float, ...]] | None
    scene: tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Power:
    """Mean radial power of the part that is drawn, dB of squared DN.

    Attributes:
        frequencies: of the rings, cycles per PAN pixel.
        pan: of PAN.
        images: of each image by its name, band by band.
    """

    frequencies: tuple[float, ...]
    pan: tuple[float, ...]
    images: dict[str, tuple[tuple[float, ...], ...]]


@dataclass(frozen=True)
class QuickLook:
    """The whole scene, small.

    Attributes:
        image: one band or three, of MS, means over squares of MS pixels.
        valid: pixels that hold data and were read.
        complete: all of the scene was read, not only an even sample of blocks.
    """

    image: Float[np.ndarray, "c h w"]
    valid: Bool[np.ndarray, "h w"]
    complete: bool


@dataclass(frozen=True)
class Explanation:
    """What an adaptation did to a scene.

    Attributes:
        method: network.tag+adapter.
        options: of the adapter.
        names: of the images and rows, by what they are.
        used: the row that is the output.
        verdict: which output is used and why, in one sentence.
        conclusions: what the scores say, by fixed rules.
        fit: what the adapter reports; None: it learns nothing.
        values: of the source and of the scene; None: the adapter says no places.
        size: rows and columns of the scene, PAN pixels.
        ground: where the scene lies.
        window: the part that is drawn and scored as it is, PAN pixels of the scene; whole MS pixels.
        low_window: the part that is degraded and scored, likewise.
        evaluation: scores of every row, and the pictures at full resolution.
        power: spectra of the images; None: no square of the part is free of missing data.
        quick_look: the map.
        seed: of everything random.
        warnings: that the adapter gave.
        seconds: that all this took.
    """

    method: str
    options: dict[str, str]
    names: dict[Role, str]
    used: Role
    verdict: str
    conclusions: tuple[str, ...]
    fit: dict[str, Any] | None
    values: Values | None
    size: tuple[int, int]
    ground: Ground
    window: Window
    low_window: Window
    evaluation: Evaluation
    power: Power | None
    quick_look: QuickLook = field(repr=False)
    seed: int
    warnings: tuple[str, ...]
    seconds: float

    @property
    def pictures(self) -> Picture:
        """The images at full resolution."""
        return self.evaluation.pictures["full"]

    def to_json(self) -> str:
        """All numbers, without the pictures, as indented JSON."""
        record = {key: value for key, value in self.__dict__.items() if key != "quick_look"}
        scored = {key: value for key, value in self.evaluation.__dict__.items() if key != "pictures"}
        return to_json({"report": "panloom explain", **record, "evaluation": scored})


@dataclass(frozen=True)
class _Contender:
    """One image of the comparison.

    Attributes:
        role: what it is.
        name: of its row.
        ready: prepared for the scene.
        again: what is prepared for the scene degraded once more, with an open gate.
        gate: that the method has; None: the row has none.
    """

    role: Role
    name: str
    ready: Fuser
    again: Fuser
    gate: float | None


def adapted_network(method: str, given: Fuser | Mapping[str, object] | None) -> tuple[Fuser, Network]:
    """The adapter of a method, and the network that it adapts.

    Raises:
        MethodError: there is none, or unknown words.
    """
    if not parse(method).adapters:
        raise MethodError(
            f"{method} has no adapter, so there is nothing to explain; explain a trained network with one, as in "
            "fusionnet.wv3-open+refit, or score it with: panloom evaluate"
        )
    fuser = resolve(method, given) if given is None or isinstance(given, Mapping) else given
    fuser = fuser.fuser if isinstance(fuser, Tuned) else fuser
    network = getattr(fuser, "network", None)
    if not isinstance(network, Network):
        raise MethodError(f"{method} holds more than one adapter; explain the first of them alone")
    return fuser, network


def explained(
    scene: Scene,
    method: str,
    given: Fuser | Mapping[str, object] | None = None,
    *,
    name: str = "scene",
    seed: int = 0,
    policy: Policy | None = None,
    progress: Told | None = None,
    notes: Sequence[str] = (),
) -> Explanation:
    """Adapt a network to a scene and compare what comes out; see `panloom.run.explain.explain`."""
    began, policy = time.perf_counter(), policy or Policy.in_memory("cpu", None)
    fuser, network = adapted_network(method, given)
    check_fits(fuser, method, scene)
    window, low_window = part(scene, SIDE), part(scene, LOW_SIDE)
    pair = recorded(scene, name, window)
    todo, said = _problems(recorded(scene, name, low_window), pair)
    ready, told = _prepared(fuser, scene, seed)
    report = fit_of(ready)
    rows = _contenders(method, fuser, network, ready, scene, seed)
    names: dict[Role, str] = {row.role: row.name for row in rows}
    said = [*notes, *beyond_training(fuser, method, scene)[0], *said]
    evaluation = _evaluated(todo, pair, rows, said, policy, seed, progress)
    return Explanation(
        method=method,
        options=_options(fuser),
        names=names,
        used=used_role(report),
        verdict=verdict(report, method),
        conclusions=tuple(conclusions(names, evaluation.scores, report)),
        fit=None if report is None else asdict(report),
        values=None if report is None else _values(scene, network, report),
        size=(scene.grid.height, scene.grid.width),
        ground=Ground.of(scene),
        window=window,
        low_window=low_window,
        evaluation=evaluation,
        power=_power(evaluation.pictures["full"], names),
        quick_look=_quick_look(scene),
        seed=seed,
        warnings=tuple(dict.fromkeys(told)),
        seconds=time.perf_counter() - began,
    )


def _prepared(fuser: Fuser, scene: Scene, seed: int) -> tuple[Fuser, list[str]]:
    """A fuser that is ready for a scene, as it is or made so, and what it warned of."""
    if getattr(fuser, "ready", None) is not None:
        return fuser, []
    return prepared(fuser, scene, seed)


def _with(fuser: Fuser, **settings: object) -> Fuser:
    """An adapter that is not ready yet, with other values of those options that it has."""
    if not is_dataclass(fuser):
        return fuser
    known = {entry.name for entry in fields(fuser)}
    blank = {"ready": None} | settings
    return cast("Fuser", replace(cast("Any", fuser), **{key: value for key, value in blank.items() if key in known}))


def _options(fuser: Fuser) -> dict[str, str]:
    """The options of an adapter, in the words of `--set`."""
    if not is_dataclass(fuser):
        return {}
    told = [entry.name for entry in fields(fuser) if entry.metadata.get("option", True)]
    return {name: setting_in_words(getattr(fuser, name)) for name in told}


def _contenders(method: str, fuser: Fuser, network: Network, ready: Fuser, scene: Scene, seed: int) -> list[_Contender]:
    """The images to be compared, ready for the scene."""
    plain, report = method[: method.rindex("+")], fit_of(ready)
    # What is never used need not be learned in full.
    ungated, frozen = _with(fuser, gate=OPEN), _with(fuser, gate=0.0, steps=0, epochs=1, renormalise="always")
    # What adapters do first, moving PAN to where MS lies, is not to be taken for a merit of the fit.
    before = Moved(network)
    todo: list[tuple[Role, str, Fuser]] = [("exp", "exp", resolve("exp")), ("network", plain, before)]
    if report is not None and (report.renormalised or report.bridged is not None):
        todo.append(("bridged", f"{plain}, renormalised", frozen))
    todo.append(("fitted", method, ungated))
    todo.append(("regression", "regression", resolve("regression")))
    todo.append(("random", "random+refit", resolve("random+refit")))
    refused = report is not None and report.decision != "adapted" and report.validated is not None
    found: list[_Contender] = []
    for role, name, one in todo:
        kept = role == "fitted" and not refused
        gate = report.gate if report is not None and role == "fitted" else None
        found.append(_Contender(role, name, ready if kept else _prepared(one, scene, seed)[0], one, gate))
    return found


# --- scores -----------------------------------------------------------------------------------------------


def _problems(low: Recorded, full: Recorded) -> tuple[list[Problem], list[str]]:
    """What is scored: a part degraded, where that is possible, and a part as it is; and what is to be said of it."""
    last = problems(full, CHOICES["full"])
    try:
        return [*problems(low, CHOICES["reduced"]), *last], []
    except OptionError as error:
        return last, [f"nothing is scored at reduced resolution: {error}"]


def _evaluated(
    todo: Sequence[Problem],
    pair: Recorded,
    rows: Sequence[_Contender],
    notes: Sequence[str],
    policy: Policy,
    seed: int,
    progress: Told | None,
) -> Evaluation:
    """Every row on every problem; at reduced resolution it is prepared again, on the scene degraded once more."""
    judges, scores, drawn = [Judge.of(problem) for problem in todo], list[Score](), dict[str, Tensor]()
    for judge in judges:
        for row in rows:
            image, score = _scored(judge, row, policy, seed)
            scores.append(score)
            if image is not None and judge.problem.protocol == "full":
                drawn[row.name] = image[0].float()
            if progress is not None:
                progress(len(scores), len(judges) * len(rows))
    said = dict.fromkeys((*notes, *notes_on(pair, judges)))
    return gathered(pair, judges, scores, tuple(said), {"full": picture(todo[-1], drawn)})


def _scored(judge: Judge, row: _Contender, policy: Policy, seed: int) -> tuple[Float[Tensor, "1 C H W"] | None, Score]:
    """The image of a row in DN, and its score; seconds count what is done on this problem."""

    def made() -> tuple[Fuser, Sequence[str]]:
        ready = row.ready if judge.problem.protocol == "full" else _again(row, judge.problem, seed)
        return ready, _fit_notes(judge.problem, row, ready)

    return scored(judge, row.name, made, policy)


def _again(row: _Contender, problem: Problem, seed: int) -> Fuser:
    """A row made ready for a degraded scene.

    Raises:
        MethodError: it could not be fitted there: its score would be that of something else.
    """
    ready = _prepared(row.again, problem.scene, seed)[0]
    report = fit_of(ready)
    if report is not None and report.validated is None and row.role != "bridged":
        raise MethodError(report.reason)
    return ready


def _fit_notes(problem: Problem, row: _Contender, ready: Fuser) -> tuple[str, ...]:
    """What became of the fit that was repeated on a degraded scene."""
    report = fit_of(ready)
    if report is None or report.validated is None or problem.protocol == "full" or row.role == "bridged":
        return ()
    gate = report.gate if row.gate is None else row.gate
    word = "refuses" if report.validated > gate else "lets pass"
    shown = ", but the fit is shown" if row.gate is not None and report.validated > gate else ""
    return (f"on held-back pixels {report.validated:.3f} of the error is left, which a gate of {gate:g} {word}{shown}",)


# --- what is drawn ----------------------------------------------------------------------------------------


def _values(scene: Scene, network: Network, report: Report) -> Values | None:
    """Means and deviations of the tiles that were looked at, beside those of the training data."""
    known, source = values_of(scene, report.places), network.source
    return None if known is None else Values(None if source is None else _columns(source), _columns(known))


def _columns(known: SourceStatistics) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (*known.mean, known.pan_mean), (*known.std, known.pan_std)


def _power(drawn: Picture, names: Mapping[Role, str]) -> Power | None:
    """Spectra of PAN, of interpolated MS, and of the network before and after."""
    known = drawn.valid.numpy() & np.isfinite(drawn.pan[0].numpy())
    wanted = {
        names[role]: drawn.fused[names[role]] for role in ("exp", "network", "fitted") if names[role] in drawn.fused
    }
    for image in wanted.values():
        known = known & np.isfinite(image.numpy()).all(0)
    where = squares(known)
    if not where:
        return None
    images = {
        name: tuple(tuple(radial_power(band, where).tolist()) for band in image.numpy())
        for name, image in wanted.items()
    }
    pan = tuple(radial_power(drawn.pan[0].numpy(), where).tolist())
    return Power(tuple(frequencies(where[0].height)), pan, images)


def _quick_look(scene: Scene) -> QuickLook:
    """The whole scene, or of a large one an even sample of blocks, reduced."""
    rows, cols = scene.grid.cells
    shown = choose([band.name for band in scene.sensor.bands])
    factor = -(-max(rows, cols) // MAP)
    cut = list(blocks(Window(0, 0, rows, cols), tile_size(scene.grid.ratio) // scene.grid.ratio))
    count = min(len(cut), BLOCKS)
    sums = np.zeros((len(shown) + 1, -(-rows // factor), -(-cols // factor)))
    for window in (cut[k * len(cut) // count] for k in range(count)):
        block = scene.reduced(window)
        valid = block.valid[0].double()
        values = torch.cat([block.ms[0, shown].double() * valid, valid]).numpy()
        at = (np.arange(window.row, window.row_end) // factor, np.arange(window.col, window.col_end) // factor)
        for total, band in zip(sums, values, strict=True):
            np.add.at(total, cast("Any", np.ix_(*at)), band)
    known = sums[-1] > 0
    return QuickLook(sums[:-1] / np.maximum(sums[-1], 1) * scene.units.full_scale, known, count == len(cut))
