"""Methods on problems: fused as the product does it, scored in DN, one record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom import metrics
from panloom.compute import Policy, torch_threads
from panloom.data.pairs import Recorded
from panloom.errors import MethodError, OptionError, PanloomError, unknown
from panloom.metrics import Form, FullScene, Metric, in_digital_numbers, variant
from panloom.pair import Fuser, Pair
from panloom.run._fits import beyond_training, check_fits, fit_in_words
from panloom.run._json import to_json
from panloom.run.fuse import whole
from panloom.run.protocol import CHOICES, Problem, Protocol, problems
from panloom.run.report import versions
from panloom.run.resolve import options_of, resolve
from panloom.types import Tile, Window, corner_phase

#: Indices of a table, in its order, by registry name.
REDUCED = ("ergas", "sam", "q2n", "q", "scc", "psnr", "rmse", "ssim-full-scale", "ssim", "bias")
#: At full resolution: by the true phase, and for comparison with published tables the toolbox's form of HQNR.
FULL: tuple[tuple[str, Form], ...] = (
    ("hqnr", "physical"),
    ("d-lambda-khan", "physical"),
    ("d-s", "physical"),
    ("hqnr-k-pan", "physical"),
    ("qnr", "physical"),
    ("d-rho", "physical"),
    ("hqnr", "toolbox"),
)

#: What methods are ranked by.
FIRST: dict[Protocol, str] = {"wald-toolbox": "ergas", "wald-physical": "ergas", "full": "hqnr-physical"}

#: Told after each method: done, in all.
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Score:
    """One method on one problem.

    Attributes:
        method: its name.
        protocol: of the problem.
        values: the indices by registry name, in the order of the table; NaN where one is not defined, empty where the
            method failed.
        bands: per band, of the indices that have such.
        seconds: to prepare and to fuse.
        error: why the method failed, in one line.
        notes: what the method did with this problem that a reader must know, as whether it used its fit to the scene.
    """

    method: str
    protocol: Protocol
    values: dict[str, float]
    bands: dict[str, list[float]]
    seconds: float
    error: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """What a report draws of one problem, in DN; kept out of the JSON.

    Attributes:
        pan: the sharp image.
        reference: the truth; at full resolution the interpolated MS.
        fused: by method.
        valid: pixels that hold data.
    """

    pan: Float[Tensor, "1 H W"]
    reference: Float[Tensor, "C H W"]
    fused: dict[str, Float[Tensor, "C H W"]]
    valid: Bool[Tensor, "H W"]


@dataclass(frozen=True)
class Evaluation:
    """Methods on one pair.

    Attributes:
        name: of the pair.
        group: the instrument by which averages are taken.
        sensor: its name, and the MTF gains that were used.
        bands: names of the bands that were fused.
        wavelengths: their centres in nm; None where unknown.
        ratio: PAN pixels per MS pixel.
        phase: (row, col) in PAN pixels, of the pair.
        full_scale: peak of PSNR, DN.
        labels: what is printed for each index, with its variant, by protocol and registry name.
        scores: every method on every problem, in order.
        notes: what a reader must know.
        versions: of panloom and what it stands on.
        pictures: by protocol; empty unless they were asked for.
    """

    name: str
    group: str
    sensor: dict[str, object]
    bands: tuple[str, ...]
    wavelengths: tuple[float | None, ...]
    ratio: int
    phase: tuple[float, float]
    full_scale: float
    labels: dict[Protocol, dict[str, str]]
    scores: tuple[Score, ...]
    notes: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=versions)
    pictures: dict[Protocol, Picture] = field(default_factory=dict, repr=False, compare=False)

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes on the pair, then those on methods, each once, with the protocols that it is about."""
        about: dict[tuple[str, str], list[str]] = {}
        for score in self.scores:
            for note in score.notes:
                about.setdefault((score.method, note), []).append(score.protocol)
        return (*self.notes, *(f"{name} ({', '.join(told)}): {note}" for (name, note), told in about.items()))

    def to_json(self) -> str:
        """Everything but the pictures, as indented JSON."""
        return to_json({key: value for key, value in self.__dict__.items() if key != "pictures"})


def evaluate(  # noqa: PLR0913  the words of the command line, each with a default
    pair: Recorded,
    methods: Sequence[str],
    *,
    protocol: str = "both",
    options: Mapping[str, object] | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    pictures: bool = False,
    progress: Told | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Score methods on a pair.

    Args:
        pair: from `panloom.data.pairs.read_pair`, or `panloom.run.reading`.
        methods: names; see `panloom methods`.
        protocol: "reduced", "full", "both", or one of the two reduced ones by its name; a pair that comes with its
            truth has only the reduced ones.
        options: of the methods, each given to those that have it.
        policy: device and threads; None: processor, one thread for each.
        seed: of everything random.
        pictures: keep what a report draws.
        progress: told after each method: done, in all.
        notes: what is known already, kept in the result.

    Returns:
        One score for each method and protocol. A method that cannot work on the pair has an error instead of values.

    Raises:
        OptionError: unknown protocol, an option that no method has, or a pair too small to be degraded.
        MethodError: unknown method, or a wrong value of an option.
    """
    settings = checked(methods, protocol, options)
    todo = problems(pair, CHOICES[protocol])
    if not todo:
        raise OptionError(f"{pair.name} comes with its truth, so there is nothing at full resolution; use reduced")
    policy = policy or Policy.in_memory("cpu", None)
    scores: list[Score] = []
    drawn: dict[Protocol, Picture] = {}
    judges = [Judge.of(problem) for problem in todo]
    for judge in judges:
        problem = judge.problem
        fused: dict[str, Tensor] = {}
        for name, given in settings.items():
            image, score = _score(judge, name, given, policy, seed)
            scores.append(score)
            if pictures and image is not None:
                fused[name] = image[0].float()
            if progress is not None:
                progress(len(scores), len(todo) * len(settings))
        if pictures:
            drawn[problem.protocol] = picture(problem, fused)
    return gathered(pair, judges, scores, _said(notes, notes_on(pair, judges)), drawn)


def checked(
    methods: Sequence[str], protocol: str, options: Mapping[str, object] | None = None
) -> dict[str, dict[str, object]]:
    """The options of each method; wrong words are told here, before any work.

    Args:
        methods: names.
        protocol: "reduced", "full", "both", or one of the two reduced ones by its name.
        options: of the methods, each given to those that have it.

    Raises:
        OptionError: unknown protocol, no method, or an option that no method has.
        MethodError: unknown method, or a wrong value of an option.
    """
    if protocol not in CHOICES:
        raise OptionError(unknown("protocol", protocol, CHOICES))
    if not methods:
        raise OptionError("name at least one method; see: panloom methods")
    settings = _settings(methods, options or {})
    for name, given in settings.items():
        resolve(name, given)
    return settings


def gathered(
    pair: Recorded,
    judges: Sequence[Judge],
    scores: Sequence[Score],
    notes: tuple[str, ...],
    pictures: dict[Protocol, Picture],
) -> Evaluation:
    """The record of a pair whose problems were scored.

    Args:
        pair: the methods worked on it.
        judges: of its problems.
        scores: every method on every problem.
        notes: what a reader must know.
        pictures: by protocol.
    """
    sensor = judges[0].problem.scene.sensor
    gains = [band.mtf_nyquist for band in sensor.bands]
    return Evaluation(
        name=pair.name,
        group=pair.group,
        sensor={"name": sensor.name, "mtf_nyquist": gains, "pan_mtf_nyquist": sensor.pan.mtf_nyquist},
        bands=tuple(band.name for band in sensor.bands),
        wavelengths=tuple(None if band.placeholder else band.centre_nm for band in sensor.bands),
        ratio=pair.ratio,
        phase=pair.phase,
        full_scale=pair.full_scale,
        labels={judge.problem.protocol: judge.labels for judge in judges},
        scores=tuple(scores),
        notes=notes,
        pictures=pictures,
    )


def _settings(methods: Sequence[str], options: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """The options of each method."""
    known = {name: {option.name for option in options_of(name)} for name in methods}
    for key in options:
        if not any(key in names for names in known.values()):
            raise OptionError(f"none of {', '.join(methods)} has an option {key!r}")
    return {name: {k: v for k, v in options.items() if k in names} for name, names in known.items()}


def _score(
    judge: Judge, name: str, options: Mapping[str, object], policy: Policy, seed: int
) -> tuple[Float[Tensor, "1 C H W"] | None, Score]:
    """The fused image in DN, and its score."""

    def made() -> tuple[Fuser, Sequence[str]]:
        problem = judge.problem
        fuser = check_fits(resolve(name, options), name, problem.scene, problem.full_scale)
        notes = [note for notes in beyond_training(fuser, name, problem.scene) for note in notes]
        fuser = fuser.prepare(problem.scene, torch.Generator().manual_seed(seed))
        return fuser, notes + fit_in_words(fuser)

    return scored(judge, name, made, policy)


def scored(
    judge: Judge, name: str, made: Callable[[], tuple[Fuser, Sequence[str]]], policy: Policy
) -> tuple[Float[Tensor, "1 C H W"] | None, Score]:
    """The image that a method makes of a problem in DN, and its score; None and the error where it makes none.

    Args:
        judge: of the problem.
        name: of the row.
        made: gives the method, ready for the scene, and what is to be said of it; its time counts.
        policy: device and threads.
    """
    problem, began = judge.problem, time.perf_counter()
    try:
        fuser, notes = made()
        image = whole(problem.scene, fuser, policy)[None].double() * problem.full_scale
        seconds = time.perf_counter() - began
        with torch_threads(policy.threads):
            values, bands = judge.score(image)
    except PanloomError as error:
        text = " ".join(str(error).split())
        return None, Score(name, problem.protocol, {}, {}, time.perf_counter() - began, text)
    return image, Score(name, problem.protocol, values, bands, round(seconds, 4), notes=tuple(notes))


@dataclass(frozen=True)
class Judge:
    """The indices of one problem.

    Attributes:
        problem: what is scored.
        table: registry name (of the rounded variant) and index, in the order of the table.
        full: what indices without a truth look at; None where there is one.
        expected: pixels in which a result must hold numbers.
    """

    problem: Problem
    table: tuple[tuple[str, Metric], ...]
    full: FullScene | None
    expected: Bool[Tensor, "1 1 H W"]

    @staticmethod
    def of(problem: Problem) -> Judge:
        """The judge of a problem."""
        pair = _whole_pair(problem)
        expected = pair.valid[..., : problem.scene.grid.height, : problem.scene.grid.width]
        if problem.protocol == "full":
            ms_valid = problem.scene.reduced(Window(0, 0, *problem.scene.grid.cells)).valid
            full = FullScene.of(pair, problem.full_scale, ms_valid)
            return Judge(problem, tuple((_key(n, form), variant(n, full, form)) for n, form in FULL), full, expected)
        whole_numbers = (
            problem.truth is None
            or problem.truth_valid is None
            or in_digital_numbers(problem.truth, problem.truth_valid)
        )
        names = [name if whole_numbers or name != "q2n" else "q2n-unrounded" for name in REDUCED]
        return Judge(problem, tuple((name, metrics.get(name)) for name in names), None, expected)

    @property
    def labels(self) -> dict[str, str]:
        """What is printed, by name."""
        return {name: index.title(**self._settings) for name, index in self.table}

    @property
    def _settings(self) -> dict[str, float]:
        return {"ratio": self.problem.scene.grid.ratio, "full_scale": self.problem.full_scale}

    def score(self, fused: Float[Tensor, "1 C H W"]) -> tuple[dict[str, float], dict[str, list[float]]]:
        """Values, and values per band, of a fused image in DN that is NaN where it is not valid.

        Raises:
            MethodError: it is so where the pair is valid: what a method cannot do is not left out of its score.
        """
        valid = torch.isfinite(fused).all(1, keepdim=True)
        wrong = int((self.expected & ~valid).sum())
        if wrong:
            raise MethodError(f"the result has no finite number in {wrong} pixels in which the pair is valid")
        images = self._images(torch.where(valid, fused, torch.zeros_like(fused)), valid)
        values: dict[str, float] = {}
        bands: dict[str, list[float]] = {}
        for name, index in self.table:
            values[name], per_band = _measured(index, images, self._settings)
            if per_band is not None:
                bands[name] = per_band
        return values, bands

    def _images(self, fused: Tensor, valid: Tensor) -> tuple[object, ...]:
        """What the indices are given."""
        problem = self.problem
        if self.full is not None or problem.truth is None or problem.truth_valid is None:
            return fused, self.full
        inner = slice(problem.cut, -problem.cut) if problem.cut else slice(None)
        return tuple(x[..., inner, inner] for x in (fused, problem.truth, valid & problem.truth_valid))


def _key(name: str, form: Form) -> str:
    return f"{name}-physical" if form == "physical" and f"{name}-physical" in metrics.names() else name


def _whole_pair(problem: Problem) -> Pair:
    """All of the scene."""
    scene = problem.scene
    cells = Window(0, 0, *scene.grid.cells)
    return scene.load(Tile(0, cells.scaled(scene.grid.ratio), cells)).pair


def _measured(
    index: Metric, images: Sequence[object], settings: Mapping[str, float]
) -> tuple[float, list[float] | None]:
    """The index and its values per band; NaN where it is not defined on these images, as on one smaller than a window.

    An index may also not be defined for one band, or at this ratio.
    """
    try:
        tally = index.tally(*images, **{key: settings[key] for key in index.settings})
        return index.value(tally), None if index.bands is None else index.bands(tally).tolist()
    except OptionError:
        return math.nan, None


def picture(problem: Problem, fused: dict[str, Tensor]) -> Picture:
    """What a report draws of a problem, of images in DN by method."""
    pair = _whole_pair(problem)
    height, width = problem.scene.grid.height, problem.scene.grid.width
    reference = pair.exp * problem.full_scale if problem.truth is None else problem.truth
    return Picture(
        pan=(pair.pan * problem.full_scale)[0, :, :height, :width],
        reference=reference[0, :, :height, :width].float(),
        fused=fused,
        valid=pair.valid[0, 0, :height, :width],
    )


def _said(given: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """All notes, each once."""
    return tuple(dict.fromkeys((*given, *more)))


def notes_on(pair: Recorded, judges: Sequence[Judge]) -> list[str]:
    """What a reader of scores must know of a pair."""
    notes: list[str] = []
    problems = [judge.problem for judge in judges]
    left = [band.name for band in pair.sensor.bands if band.role != "sharpen"]
    if left:
        notes.append(f"left out, because they are not sharpened: {', '.join(left)}")
    if pair.sensor.name == "generic":
        said = [note for judge in judges if judge.full is not None for note in judge.full.notes]
        notes += said or [
            "the sensor is not known, so the MTF gains are those of a generic one, by which MS was degraded"
        ]
    elif any(band.placeholder for band in pair.sensor.bands):
        notes.append(f"the bands of {pair.sensor.name} are not known, so their MTF gains are those of a generic sensor")
    if any(problem.cut == 0 for problem in problems if problem.truth is not None):
        notes.append("the truth is too small for a border cut: its borders are scored too")
    if any("q2n-unrounded" in judge.labels for judge in judges):
        notes.append("the data are no digital numbers: Q2n does not round them")
    if any(problem.protocol == "wald-toolbox" for problem in problems) and _shifted(pair):
        notes.append(
            f"MS lies at PAN phase ({pair.phase[0]:g}, {pair.phase[1]:g}), not corner-aligned: wald-toolbox supposes "
            "corners, so that its PAN is shifted against its truth, and HQNR without `physical` does so too; read "
            "wald-physical and the physical forms"
        )
    return notes


def _shifted(pair: Recorded) -> bool:
    """The toolbox's reduced PAN lies noticeably (a tenth of an MS pixel) off the truth."""
    corner = corner_phase(pair.ratio)
    return pair.truth is None and math.dist(pair.phase, (corner, corner)) > 0.1 * pair.ratio
