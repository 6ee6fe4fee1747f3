"""A page that looks inside a fusion method or a super-resolution network: responses, spectra, what is linear in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from panloom import weights
from panloom.analysis.foreign import Model, open_model
from panloom.compute import Policy
from panloom.errors import MethodError, OptionError, OutputError
from panloom.pair import Fuser
from panloom.run._aside import make_folder, write_text
from panloom.run._fits import beyond_training, check_fits, fit_in_words
from panloom.run.analysis.conclusions import method_conclusions, model_conclusions
from panloom.run.analysis.figures import method_figures, model_figures
from panloom.run.analysis.method import method_findings, method_quality
from panloom.run.analysis.model import model_findings, pictures_for
from panloom.run.analysis.plots import check_matplotlib
from panloom.run.analysis.record import REPORT, Analysis
from panloom.run.analysis.scenes import Site, drawn_site, opened_site
from panloom.run.evaluate import Told
from panloom.run.page import analysis_page
from panloom.run.preparing import prepared
from panloom.run.reading import Reading
from panloom.run.resolve import resolve
from panloom.scene import write_aside
from panloom.types import Sensor

__all__ = ["Analysis", "Request", "analyze", "check_analyze"]

#: What is written beside the figures.
PAGE, NUMBERS = "index.html", "analysis.json"

#: Endings of files that hold a model; one of panloom's own weights has a card beside it.
MODELS = (".safetensors", ".pth", ".pt", ".onnx", ".pb")

#: Steps that are told of: of a method, and of a model.
METHOD_STEPS, MODEL_STEPS = 6, 7


@dataclass(frozen=True)
class Request:
    """What is to be analysed.

    Attributes:
        subject: a method's name, or the file of a model.
        pan: the sharp image of a scene; None: a drawn scene.
        ms: the spectral image of the scene: one multi-band file or several files of one grid.
        options: of the method.
        reading: how the files of the scene are read.
        sensor: of a drawn scene; None: one that suits the weights.
        images: pictures for a model; none: drawn ones.
        scale: of a model, where its file holds several.
        architecture: of a model, where its file does not tell.
        seed: of everything random; None: nothing may draw noise, and places are those of seed 0.
    """

    subject: str
    pan: str | None = None
    ms: tuple[str, ...] = ()
    options: Mapping[str, object] | None = None
    reading: Reading = field(default_factory=Reading)
    sensor: str | Sensor | None = None
    images: tuple[str, ...] = ()
    scale: int | None = None
    architecture: str | None = None
    seed: int | None = None

    @property
    def is_model(self) -> bool:
        """The subject is the file of a model, not panloom's own weights, which have a card beside them."""
        if not self.subject.lower().endswith(MODELS):
            return False
        return not (weights.is_file(self.subject) and Path(self.subject).expanduser().with_suffix(".toml").is_file())


def analyze(  # noqa: PLR0913  the words of the command line, each with a default
    subject: str | Path,
    pan: str | Path | None = None,
    ms: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path,
    options: Mapping[str, object] | None = None,
    reading: Reading | None = None,
    sensor: str | Sensor | None = None,
    images: Sequence[str | Path] = (),
    scale: int | None = None,
    architecture: str | None = None,
    seed: int | None = None,
    policy: Policy | None = None,
    progress: Told | None = None,
) -> Analysis:
    """Write `index.html`, `analysis.json` and the figures as PNG on a method or a super-resolution network.

    A method is made ready for the scene and looked at on a part of at most 512 x 512 PAN pixels around the middle of
    the valid data, so that the cost does not grow with the scene. Beside a truth it is compared on the scene degraded
    by its ratio; without a scene on a drawn one, whose truth is known. A network is looked at on pictures made small.

    Args:
        subject: a method's name (see `panloom methods`), or the file of a super-resolution network: a state dict
            (.safetensors, .pth, .pt) of a known architecture, or a graph (.onnx).
        pan: the sharp image of a scene, anything GDAL reads; None: a drawn scene is made.
        ms: the spectral image: one multi-band file or several files of one grid.
        out: the folder; made if it is not there. An earlier analysis in it is replaced, other files stay.
        options: of the method, as in `--set name=value`.
        reading: how the files of the scene are read; None: as they say.
        sensor: of the drawn scene, by its name or itself; None: one that suits the method.
        images: pictures for a network, anything GDAL reads; none: drawn ones.
        scale: of a network, where its file holds several.
        architecture: of a network, where its file does not tell.
        seed: of everything random; needed where the method or the network draws noise.
        policy: device and threads of whole images; None: processor, a thread for each.
        progress: told after each step: done, in all.

    Returns:
        What stands in `analysis.json`, with the figures.

    Raises:
        MethodError: unknown method, a network without weights, options or bands that do not fit, or noise without seed.
        OptionError: words that do not go together, matplotlib is missing, or a network draws noise without a seed.
        SceneError: the scene or a picture cannot be read, or is too small.
        WeightsError: the weights or the model cannot be read.
        OutputError: the folder cannot be made or written, or holds pages of something else.
    """
    files = [ms] if isinstance(ms, (str, Path)) else list(ms)
    request = Request(
        subject=str(subject),
        pan=None if pan is None else str(pan),
        ms=tuple(map(str, files)),
        options=options,
        reading=reading or Reading(),
        sensor=sensor,
        images=tuple(map(str, images)),
        scale=scale,
        architecture=architecture,
        seed=seed,
    )
    check_analyze(request, out)
    steps = _Steps(progress, MODEL_STEPS if request.is_model else METHOD_STEPS)
    done = _model(request, steps) if request.is_model else _method(request, policy, steps)
    _write(Path(out), done)
    return done


def check_analyze(request: Request, out: str | Path) -> None:
    """Refuse what cannot be analysed or written, before any work.

    Raises:
        OptionError: words that do not go together, or matplotlib is missing.
        MethodError: the method or one of its options is not known.
        WeightsError: its weights are missing.
        OutputError: the folder is a file, or holds pages of something else.
    """
    check_matplotlib()
    _check_words(request)
    if not request.is_model:
        _resolved(request)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the analysis")
    there = [name for name in (PAGE, NUMBERS) if (folder / name).exists()]
    if there and not _earlier(folder):
        raise OutputError(
            f"{folder} holds {' and '.join(there)} that no analysis wrote; name another folder, or remove them"
        )


def _check_words(request: Request) -> None:
    """Which words belong to a method, to a model, and together."""
    if (request.pan is None) != (not request.ms):
        have, miss = ("PAN", "MS") if request.ms == () else ("MS", "PAN")
        raise OptionError(f"{have} is named and {miss} is not: a scene is PAN MS [MS ...]; without both one is drawn")
    given = {
        "a scene (PAN MS)": request.pan is not None,
        "options of a method (--set)": bool(request.options),
        "a sensor (--sensor)": request.sensor is not None,
    }
    words = {"--images": bool(request.images), "--scale": request.scale is not None}
    words["--architecture"] = request.architecture is not None
    wrong = [word for word, told in (given if request.is_model else words).items() if told]
    if wrong and request.is_model:
        raise OptionError(f"{request.subject} is a model that enlarges pictures: {', '.join(wrong)} is of no use to it")
    if wrong:
        raise OptionError(f"{request.subject} is a method that fuses PAN and MS: {', '.join(wrong)} is for model files")
    if request.pan is not None and request.sensor is not None:
        raise OptionError("the sensor of a scene in files is told with how they are read (reading)")


def _resolved(request: Request) -> Fuser:
    """The method, not yet prepared.

    Raises:
        MethodError: it is not known, its options are wrong, or it draws noise and no seed is given.
        WeightsError: its weights are missing or damaged.
    """
    try:
        fuser = resolve(request.subject, request.options)
    except MethodError as error:
        if "is a network without weights" not in str(error):
            raise
        raise MethodError(f"{error}. Random weights are not analysed: what they show is chance") from error
    if fuser.traits.stochastic and request.seed is None:
        raise MethodError(f"{request.subject} draws noise: give a --seed, so that the analysis can be repeated")
    return fuser


def _earlier(folder: Path) -> dict[str, object] | None:
    """The numbers of an earlier analysis; None where there is none."""
    try:
        found: object = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("report") == REPORT else None


def _write(folder: Path, done: Analysis) -> None:
    """Figures, numbers, and last the page: where it is, the others are too."""
    make_folder(folder)
    before = _earlier(folder) or {}
    for figure in done.figures:
        write_aside(folder / figure.file, figure.png)
    write_text(folder / NUMBERS, done.to_json())
    write_text(folder / PAGE, analysis_page(done))
    known = {figure.file for figure in done.figures}
    for entry in before.get("figures") or ():  # pyright: ignore[reportGeneralTypeIssues]  what an earlier call wrote
        name = Path(str(entry.get("file", ""))).name if isinstance(entry, dict) else ""
        if name.endswith(".png") and name not in known:
            with suppress(OSError):
                (folder / name).unlink()


class _Steps:
    """Counts steps and tells about them."""

    def __init__(self, told: Told | None, total: int) -> None:
        self._told, self._total, self._done = told, total, 0

    def __call__(self) -> None:
        """One more step is done."""
        self._done += 1
        if self._told is not None:
            self._told(self._done, self._total)


# --- methods ----------------------------------------------------------------------------------------------


def _method(request: Request, policy: Policy | None, step: Callable[[], None]) -> Analysis:
    began, fuser = time.perf_counter(), _resolved(request)
    policy, seed = policy or Policy.in_memory("cpu", None), request.seed or 0
    with _site(request, fuser) as site:
        fuser = check_fits(fuser, request.subject, site.scene)
        remarks = [text for texts in beyond_training(fuser, request.subject, site.scene) for text in texts]
        ready, told = prepared(fuser, site.scene, seed)
        step()
        found = method_findings(ready, site, seed, step)
        quality, said = method_quality(request.subject, fuser, ready, site, seed, policy)
        step()
    figures = method_figures(found, quality)
    step()
    notes = dict.fromkeys((*site.notes, *remarks, *told, *fit_in_words(ready), *said))
    done = Analysis(
        kind="method",
        name=request.subject,
        about=_method_facts(request, site, found.numbers.part),
        conclusions=tuple(method_conclusions(request.subject, found.numbers, found.parts, quality)),
        method=found.numbers,
        model=None,
        parts=(found.parts,),
        quality=quality,
        figures=figures,
        notes=tuple(notes),
        window=site.window,
        seed=request.seed,
        seconds=round(time.perf_counter() - began, 2),
    )
    step()
    return done


@contextmanager
def _site(request: Request, fuser: Fuser) -> Iterator[Site]:
    if request.pan is None:
        yield drawn_site(request.subject, fuser, request.sensor)
        return
    with opened_site(request.pan, request.ms, request.reading) as site:
        yield site


def _method_facts(request: Request, site: Site, part: tuple[int, int]) -> dict[str, str]:
    scene = site.scene
    options = ", ".join(f"{name}={value}" for name, value in (request.options or {}).items())
    return {
        "method": request.subject,
        "options": options or "all at their defaults",
        "looked at": site.words,
        "derivatives taken at": f"the middle {part[0]} x {part[1]} PAN pixels of it",
        "sensor": scene.sensor.name,
        "bands": ", ".join(band.name for band in scene.sensor.bands),
        "MTF at MS Nyquist": ", ".join(f"{band.mtf_nyquist:.3g}" for band in scene.sensor.bands),
        "ratio": f"{scene.grid.ratio} PAN pixels per MS pixel",
        "seed": "none" if request.seed is None else str(request.seed),
    }


# --- models -----------------------------------------------------------------------------------------------


def _model(request: Request, step: Callable[[], None]) -> Analysis:
    began = time.perf_counter()
    model = open_model(request.subject, architecture=request.architecture, scale=request.scale)
    natural = pictures_for(model, request.images)
    step()
    found = model_findings(model, natural, request.seed, step)
    figures = model_figures(found)
    step()
    done = Analysis(
        kind="model",
        name=model.name,
        about=_model_facts(request, model, natural.words),
        conclusions=tuple(model_conclusions(model.name, found.numbers, found.parts, found.quality)),
        method=None,
        model=found.numbers,
        parts=found.parts,
        quality=found.quality,
        figures=figures,
        notes=found.notes,
        window=None,
        seed=request.seed,
        seconds=round(time.perf_counter() - began, 2),
    )
    step()
    return done


def _model_facts(request: Request, model: Model, words: str) -> dict[str, str]:
    return {
        "file": Path(request.subject).name,
        "architecture": model.architecture,
        "enlarges": f"{model.scale} times along each axis",
        "channels": str(model.channels),
        "parameters": "not known" if model.parameters is None else f"{model.parameters:,}",
        "derivatives": "exact" if model.differentiable else "by finite differences",
        "looked at": f"{words}; made small by bicubic means",
        "seed": "none" if request.seed is None else str(request.seed),
        "licence": model.licence,
    }
