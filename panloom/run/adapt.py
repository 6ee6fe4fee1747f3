"""Weights adapted to a scene, or to several, and kept: what `NETWORK+ADAPTER` learns there, for use on others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from panloom import adapt, weights
from panloom._version import __version__
from panloom.compute import processor_name, processors, workers
from panloom.errors import MethodError, OptionError, OutputError, SceneError
from panloom.optics.alignment import aligned
from panloom.pair import Fuser, SceneLike
from panloom.run._fits import beyond_training, check_fits, fit_in_words, fit_of
from panloom.run._offset import moved_in_words
from panloom.run._scenes import Several
from panloom.run._units import Scaled
from panloom.run._values import values_of
from panloom.run.pairing import find
from panloom.run.preparing import Prepare, prepared
from panloom.run.reading import Reading, scene_name
from panloom.run.resolve import options_of, parse, resolve
from panloom.run.sharpen import Progress
from panloom.scene import Opened, describe, environment
from panloom.scene.geometry import Extent
from panloom.types import Sensor, Window

__all__ = ["Adaptation", "adapt_to"]

log = logging.getLogger("panloom")

#: Of several scenes so many tiles are looked at, one of each, unless the option `tiles` says otherwise.
MOST_TILES = 16


@dataclass(frozen=True)
class Adaptation:
    """The record of one adaptation.

    Attributes:
        file: of the weights; its path is the name of a method.
        card: of the weights.
        inputs: PAN and MS files of each scene.
        fit: what the adapter did.
        notes: what was done, in words.
        warnings: what may need a decision.
    """

    file: str
    card: weights.Card
    inputs: tuple[tuple[str, ...], ...]
    fit: Mapping[str, object]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """The record as indented JSON."""
        return json.dumps(asdict(self), indent=2, default=str)


def adapt_to(  # noqa: PLR0913  the words of the command line, each with a default
    method: str,
    pan: str | Path,
    ms: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path,
    tag: str | None = None,
    options: Mapping[str, object] | None = None,
    sensor: str | Sensor | None = None,
    bands: Sequence[str | int] | None = None,
    sharpen_bands: Sequence[str | int] | None = None,
    extent: Extent = "pan",
    ms_shift: tuple[float, float] | None = None,
    align: bool = False,
    window: Window | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    src_nodata: float | None = None,
    edge: str = "fill",
    threads: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    prepare: Prepare = prepared,
    progress: Progress | None = None,
) -> Adaptation:
    """Adapt trained weights to a scene, or to all pairs of a folder together, and save them with a card.

    The path of the file is the name of a method, on any scene of the same sensor, bands and ratio. On a scene that the
    weights were adapted to alone, it gives what the adapter gives there.

    Args:
        method: trained weights and one adapter, such as `fusionnet.wv3-open+refit`.
        pan: the sharp image; or, without `ms`, a folder or a CSV of pairs as `panloom batch` takes them: scenes of one
            sensor, with the same bands and ratio.
        ms: the spectral image, as in `panloom.sharpen`.
        out: folder of the file, which is called `NETWORK.TAG.safetensors`, and of its card; made where it is missing.
        tag: of the new weights; None: that of the old ones and the adapter's name.
        options: of the adapter, as in `--set name=value`.
        sensor: this and the words up to `edge` as in `panloom.sharpen`.
        bands: see there.
        sharpen_bands: see there.
        extent: see there.
        ms_shift: see there.
        align: see there.
        window: see there.
        bounds: see there.
        src_nodata: see there.
        edge: see there.
        threads: readers at work, and parts of the fit computed at once; None: one per processor.
        seed: of everything random.
        overwrite: replace weights of that name.
        prepare: fits the adapter; a `panloom.run.preparing.Kept` has it afterwards, to be explained.
        progress: told after every step: steps done, steps in all.

    Returns:
        What was done, with every note and warning. Where the gate keeps the frozen output, the frozen network is saved,
        and a warning says so.

    Raises:
        PanloomError: bad input or options; an existing file is untouched then.
    """
    target = _Target.of(method, options or {}, Path(out), tag, seed)
    reading = Reading(
        sensor, bands, sharpen_bands, extent, ms_shift, align, window, bounds, src_nodata, edge, threads=threads
    )
    jobs, left_out = _jobs(pan, ms, target.folder)
    steps = [partial(progress, k + 1, len(jobs) + 1) for k in range(len(jobs) + 1)] if progress else []
    with environment():
        _check_there(jobs)
        weights.check_free(target.name, target.folder, overwrite=overwrite)
    with environment(), _opened(jobs, reading, steps) as (scenes, warnings):
        fuser, notes = _checked(target, scenes)
        scene = _together(scenes)
        with workers(threads or processors()):
            ready, more = prepare(fuser, scene, seed)
        assert isinstance(ready, adapt.Keeper)
        card = _card(target, ready, scene, scenes)
        learned = ready.learned(scene)
    card = weights.save(learned.network, card, target.folder, learned=learned.tensors, overwrite=overwrite)
    for step in steps[-1:]:
        step()
    return _told(target, card, ready, jobs, notes, [*left_out, *warnings, *more])


@dataclass(frozen=True)
class _Target:
    """What is adapted, and what it will be called.

    Attributes:
        method: `NETWORK.TAG+ADAPTER`.
        fuser: the same, not yet prepared.
        options: that were given.
        parent: the card of the weights.
        adapter: name of the adapter.
        folder: of the file.
        name: `NETWORK.TAG` of the new weights.
        seed: of everything random.
    """

    method: str
    fuser: Fuser
    options: Mapping[str, object]
    parent: weights.Card
    adapter: str
    folder: Path
    name: str
    seed: int

    @staticmethod
    def of(method: str, options: Mapping[str, object], folder: Path, tag: str | None, seed: int) -> _Target:
        """What the words of the call mean.

        Raises:
            PanloomError: they mean nothing that can be adapted and kept.
        """
        found = parse(method)
        if found.method is not None or len(found.adapters) != 1:
            raise MethodError(f"{method}: name trained weights and one adapter to adapt them by, as {_EXAMPLE}")
        fuser, adapter = resolve(method, options), method.rpartition("+")[2]
        if not isinstance(fuser, adapt.Keeper):
            raise MethodError(f"{adapter} learns nothing, so there is nothing to save; use {method} as it is")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is a file; name a folder for the weights")
        parent = weights.card(found.weights)
        name = f"{parent.network}.{f'{parent.tag}-{adapter}' if tag is None else tag}"
        if not weights.is_name(name):
            raise OptionError(f"a tag is small letters and digits with hyphens between them; given: {tag!r}")
        return _Target(method, fuser, options, parent, adapter, folder, name, seed)


_EXAMPLE = "fusionnet.wv3-open+refit"


def _jobs(pan: str | Path, ms: str | Path | Sequence[str | Path], out: Path) -> tuple[list[tuple[str, ...]], list[str]]:
    """PAN and MS files of each scene, and warnings of files of a folder that are in no pair.

    Raises:
        PanloomError: there is no pair.
    """
    files = [str(ms)] if isinstance(ms, str | Path) else [str(file) for file in ms]
    if files:
        if Path(pan).is_dir():
            raise OptionError(
                f"{pan} is a folder of scenes, and nothing may stand beside it; given: {', '.join(files)}"
            )
        return [(str(pan), *files)], []
    if Path(pan).is_file() and Path(pan).suffix.lower() != ".csv":
        raise OptionError(f"{pan}: name its MS as well, PAN MS [MS ...], or give a folder or a CSV of pairs")
    pairs = find(pan, out)
    if not pairs.jobs:
        raise SceneError(f"{pan} holds no pair of PAN and MS: {'; '.join(map(str, pairs.unmatched)) or 'it is empty'}")
    return [(job.pan, *job.ms) for job in pairs.jobs], [f"{left} (left out)" for left in pairs.unmatched]


def _check_there(jobs: Sequence[tuple[str, ...]]) -> None:
    """Read the headers of all files, so that one that is missing is told before anything else.

    Raises:
        SceneError: one cannot be read.
    """
    for files in jobs:
        for file in files:
            describe(file)


@contextmanager
def _opened(
    jobs: Sequence[tuple[str, ...]], reading: Reading, steps: Sequence[Callable[[], None]]
) -> Iterator[tuple[list[Opened], list[str]]]:
    """The scenes, open as long as the work lasts, and what is to be warned of."""
    scenes: list[Opened] = []
    warnings: list[str] = []
    try:
        for k, (pan, *ms) in enumerate(jobs):
            opened, said = reading.open(pan, ms)
            scenes.append(opened)
            warnings += said if len(jobs) == 1 else [f"{_name(opened)}: {text}" for text in said]
            if steps:
                steps[k]()
        yield scenes, warnings
    finally:
        for opened in scenes:
            opened.scene.close()


def _name(opened: Opened) -> str:
    return scene_name(opened.pan.path)


def _checked(target: _Target, scenes: Sequence[Opened]) -> tuple[Fuser, list[str]]:
    """The adapter, if it works on the scenes and they are alike; it looks at a tile of each of several. And notes.

    Raises:
        PanloomError: it does not, or they are not.
    """
    for other in scenes:
        check_fits(target.fuser, target.method, other.scene)
    _alike(scenes)
    notes = [
        *scenes[0].identity.facts,
        *beyond_training(target.fuser, target.method, scenes[0].scene)[0],
    ]
    usual = {option.name: option.default for option in options_of(target.method)}.get("tiles")
    if len(scenes) == 1 or "tiles" in target.options or not isinstance(usual, int):
        return target.fuser, notes
    tiles = max(usual, min(len(scenes), MOST_TILES))
    notes.append(f"{len(scenes)} scenes are adapted to together, by {tiles} tiles in all (--set tiles=N)")
    return resolve(target.method, {**target.options, "tiles": tiles}), notes


def _alike(scenes: Sequence[Opened]) -> None:
    """Scenes that one network can be adapted to.

    Raises:
        SceneError: one is of another sensor, ratio or bands than the first.
    """
    first = scenes[0]
    for other in scenes[1:]:
        for (what, advice), had, has in zip(_KINDS.items(), _kinds(first), _kinds(other), strict=True):
            if had != has:
                raise SceneError(
                    f"scenes that are adapted to together must be alike: {other.pan.path} has {what} {has}, and "
                    f"{first.pan.path} has {what} {had}; leave one of them out{advice}"
                )


#: What must be alike in scenes that are adapted to together, and what else than leaving one out may help.
_KINDS = {
    "sensor": ", or say which sensor all of them are of (--sensor)",
    "ratio": "",
    "bands": ", or say which bands all of them have (--bands)",
    "MTF gains": "",
}


def _kinds(opened: Opened) -> tuple[object, ...]:
    """What must be the same in all scenes; see `_KINDS`."""
    sensor = opened.scene.sensor
    names, gains = [b.name for b in sensor.bands], [f"{b.mtf_nyquist:g}" for b in sensor.bands]
    return sensor.name, opened.scene.grid.ratio, ", ".join(names), ", ".join(gains)


def _together(scenes: Sequence[Opened]) -> SceneLike:
    """The scenes as one, in the units of the first; of several each has its own offset between PAN and MS corrected."""
    first, *others = (opened.scene for opened in scenes)
    if not others:
        return first
    full = first.units.full_scale
    scaled = [o if o.units.full_scale == full else Scaled(o, o.units.full_scale / full) for o in others]
    return Several(tuple(aligned(scene) for scene in (first, *scaled)))


def _card(target: _Target, ready: adapt.Keeper, whole: SceneLike, scenes: Sequence[Opened]) -> weights.Card:
    """The card of the new weights; what may be done with them is what may be done with the parent.

    Args:
        target: what is adapted.
        ready: the same, fitted.
        whole: what it was fitted to.
        scenes: of which that is made.
    """
    report, scene, parent = fit_of(ready), scenes[0].scene, target.parent
    assert report is not None
    made = weights.Adapted(
        adapter=target.adapter,
        scenes=tuple(map(_name, scenes)),
        sensor=scene.sensor.name,
        mtf=tuple(band.mtf_nyquist for band in scene.sensor.bands),
        parent_sha256=parent.sha256,
        decision=report.decision,
        reason=report.reason,
        validated=report.validated,
        options=_options(target.method, ready),
        seed=target.seed,
        statistics=values_of(whole, report.places),
    )
    limits = (
        f"Adapted to {_counted(len(scenes))}: for scenes of the same sensor, bands, ratio and calibration, such as "
        "neighbouring ones or the other tiles of a mosaic. The fit and the radiometric bridge are not made anew there."
    )
    return replace(
        parent,
        name=target.name,
        bands=tuple(band.name for band in scene.sensor.bands),
        ratios=(scene.grid.ratio,),
        full_scale=scene.units.full_scale,
        recipe=f"panloom {__version__} adapt, seed {target.seed}",
        commit="",
        seconds=report.seconds or None,
        hardware=processor_name(),
        parent=parent.name,
        limits=f"{parent.limits} {limits}".strip(),
        cite=tuple(dict.fromkeys((*parent.cite, *ready.traits.cite))),
        dtype="float32",
        sha256="",
        adapted=made,
        scores=(),
    )


def _counted(scenes: int) -> str:
    return "one scene" if scenes == 1 else f"{scenes} scenes together"


def _options(method: str, ready: adapt.Keeper) -> dict[str, weights.Setting]:
    """All options of an adapter that are not left to itself."""
    found = {option.name: getattr(ready, option.name) for option in options_of(method)}
    return {name: value for name, value in found.items() if value is not None}


def _told(
    target: _Target,
    card: weights.Card,
    ready: Fuser,
    jobs: Sequence[tuple[str, ...]],
    notes: Sequence[str],
    warnings: Sequence[str],
) -> Adaptation:
    """The record, which goes to the log as well."""
    report = fit_of(ready)
    assert report is not None
    said = fit_in_words(ready)
    if report.decision != "adapted":
        said = [
            f"nothing was learned that is used: what is saved is the frozen network ({report.reason}); a higher gate "
            "(--set gate=...) uses the fit nevertheless, where there is one"
        ]
        warnings = [text for text in warnings if text != report.reason] + said
    else:
        notes = [*notes, *said]
    notes = [*notes, *moved_in_words(report.offset)]
    for level, texts in ((logging.INFO, notes), (logging.WARNING, warnings)):
        for text in texts:
            log.log(level, text)
    file = str(target.folder / f"{card.name}.safetensors")
    return Adaptation(file, card, tuple(jobs), asdict(report), tuple(notes), tuple(warnings))
