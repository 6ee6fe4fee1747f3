"""The command line. Every command is a few lines; what is heavy is imported inside it."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from panloom._version import __version__
from panloom.errors import MethodError, OptionError, PanloomError, PanloomWarning, SensorError

if TYPE_CHECKING:
    from panloom.run.batch import Outcome
    from panloom.run.describe import Info
    from panloom.run.pairing import Pairs
    from panloom.run.report import Report

Command = TypeVar("Command", bound=Callable[..., Any])

# No markup and no highlighting: a path may hold brackets.
err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
out = Console(soft_wrap=True, markup=False, highlight=False)


class _Failure(click.ClickException):
    """A PanloomError as one line; exit code 2 where the call was wrong, 1 where the work failed."""

    def __init__(self, error: PanloomError) -> None:
        super().__init__(" ".join(str(error).split()))
        self._usage = isinstance(error, (OptionError, MethodError, SensorError))

    @property
    def exit_code(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the process returns."""
        return 2 if self._usage else 1


class _Group(click.Group):
    """Turns panloom's errors into messages, also below `rio`."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PanloomError as error:
            raise _Failure(error) from error
        except (click.exceptions.Exit, click.Abort):  # RuntimeErrors, by which click ends a command
            raise
        except (MemoryError, RuntimeError) as error:
            from panloom.compute import out_of_memory

            if not out_of_memory(error):
                raise
            raise _Failure(PanloomError(f"memory ran out ({error}); use fewer --threads, or close programs")) from error


class _Numbers(click.ParamType):
    """`N` numbers separated by commas."""

    def __init__(self, kind: type[int] | type[float], words: str) -> None:
        self.name, self._kind, self._count = words, kind, words.count(",") + 1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self._kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self._count:
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return numbers


class _List(click.ParamType):
    """Words separated by commas."""

    name = "list"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        words = [word.strip() for word in str(value).split(",")] if not isinstance(value, list) else value
        if not all(words):
            self.fail(f"{value!r} has an empty item", param, ctx)
        return words


class _Setting(click.ParamType):
    """NAME=VALUE."""

    name = "name=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, word = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return key.strip(), word.strip()


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:  # noqa: ANN401  whatever click parsed
    """Options that several commands share are kept aside under their name, for `_given`."""
    given = ctx.meta.setdefault("panloom.given", {})
    given[param.name] = dict(value) if isinstance(param.type, _Setting) else value


def _given() -> dict[str, Any]:
    """The shared options of the running command, by name, as keywords of `panloom.run.sharpen.sharpen`."""
    from panloom.types import Window

    given = dict(click.get_current_context().meta.get("panloom.given", {}))
    if given.get("window"):
        given["window"] = Window(*given["window"])
    return given


def _shared(*names: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401  click.option's own
    return click.option(*names, expose_value=False, callback=_keep, **settings)


def _options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


_SCENE = _options(
    _shared("--sensor", metavar="NAME|TOML", help="Instrument; recognised from metadata unless given."),
    _shared("--bands", type=_List(), metavar="LIST", help="Bands to use: numbers, names, or 3=red."),
    _shared(
        "--sharpen",
        "sharpen_bands",
        type=_List(),
        metavar="LIST",
        help="Bands to sharpen, or 'all'; default: all but SWIR, cirrus and thermal.",
    ),
    _shared(
        "--extent",
        type=click.Choice(["pan", "intersection", "ms"]),
        default="pan",
        show_default=True,
        help="Ground that the result covers, always on PAN's grid.",
    ),
    _shared(
        "--ms-shift",
        type=_Numbers(float, "ROW,COL"),
        help="MS pixels by which MS lies further down, right than its georeference says.",
    ),
    _shared("--align", is_flag=True, help="Correct the measured offset between PAN and MS."),
    _shared("--window", type=_Numbers(int, "ROW,COL,HEIGHT,WIDTH"), help="Only these PAN pixels."),
    _shared("--bounds", type=_Numbers(float, "LEFT,BOTTOM,RIGHT,TOP"), help="Only this part, in PAN's CRS."),
    _shared("--src-nodata", type=float, help="No-data value of the inputs, where the files do not tell."),
    _shared(
        "--edge",
        type=click.Choice(["fill", "drop"]),
        default="fill",
        show_default=True,
        help="PAN pixels at the rim whose own MS pixel is missing.",
    ),
)

_METHOD = _options(
    _shared("--method", default="gsa", show_default=True, metavar="NAME", help="Fusion method, see: panloom methods."),
    _shared("--set", "options", multiple=True, type=_Setting(), metavar="NAME=VALUE", help="Method option."),
    _shared(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of everything random."
    ),
)

_OUTPUT = _options(
    _shared(
        "--format", type=click.Choice(["geotiff", "cog"]), default="geotiff", show_default=True, help="Output format."
    ),
    _shared("--dtype", metavar="TYPE", help="Output type; default: that of MS."),
    _shared("--nodata", metavar="NUMBER|nan|mask", help="No-data of the output; default: as in the inputs."),
    _shared("--co", "creation", multiple=True, type=_Setting(), metavar="NAME=VALUE", help="GDAL creation option."),
    _shared("--overviews", is_flag=True, help="Build overviews in a GeoTIFF (a COG always has them)."),
)

_MACHINE = _options(
    _shared("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:N, or auto (CUDA where there is one)."),
    _shared("--threads", type=click.IntRange(1), help="Tiles computed at once; default: one per processor."),
    _shared(
        "--memory", type=click.IntRange(1), default=2048, show_default=True, metavar="MB", help="Memory to stay below."
    ),
)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
_QUIET = click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")


@click.group("panloom", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="panloom")
def main() -> None:
    """Weaves sharp and spectral satellite images into one.

    A scene is always PAN MS [MS ...], in that order.
    """
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.addLevelName(logging.WARNING, "warning")
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, category: type[Warning], *_place: object) -> None:
    """Panloom's warnings as log lines; those of libraries are no news to a user."""
    if issubclass(category, PanloomWarning):
        logging.getLogger("panloom").warning("%s", message)


@main.command()
@click.argument("pan")
@click.argument("ms", nargs=-1, required=True)
@click.argument("output", type=click.Path(dir_okay=False))
@_METHOD
@_SCENE
@_OUTPUT
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same call.")
@click.option("--preview", type=click.Path(dir_okay=False), help="Also write a quick-look PNG.")
@click.option("--preview-bands", type=_List(), metavar="R,G,B", help="Bands of the quick look.")
@click.option("--report", type=click.Path(dir_okay=False), help="Also write the report as JSON.")
@_MACHINE
@_JSON
@_QUIET
def sharpen(  # noqa: PLR0913  one for each word of the command line
    pan: str,
    ms: tuple[str, ...],
    output: str,
    preview: str | None,
    preview_bands: list[str] | None,
    report: str | None,
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    resume: bool,
) -> None:
    """Sharpen MS with PAN into OUTPUT, a GeoTIFF on PAN's grid.

    PAN has one band; MS is one multi-band file or several files of one grid. Anything GDAL reads, also /vsicurl/ and
    /vsis3/ paths.
    """
    from panloom.run._output import check_apart
    from panloom.run.preview import preview as write_preview

    given = {**_given(), "overwrite": overwrite, "resume": resume}
    files = [pan, *ms, output]
    for what, path in (("preview", preview), ("report", report)):
        if path is not None:
            check_apart(what, path, files)
            files.append(path)
    if len(preview_bands or "RGB") not in (1, 3):
        raise OptionError(f"--preview-bands takes one or three bands; given: {', '.join(preview_bands or [])}")
    done = _sharpen(pan, ms, output, quiet=quiet or as_json, given=given)
    if report:
        done.write(report)
    if preview:
        write_preview(output, preview, preview_bands)
    if as_json:
        click.echo(done.to_json())
    elif not quiet:
        _tell(done)


def _sharpen(pan: str, ms: tuple[str, ...], output: str, *, quiet: bool, given: Mapping[str, Any]) -> Report:
    from panloom.run.progress import progress
    from panloom.run.sharpen import sharpen as run

    with progress(
        Console(stderr=True, quiet=quiet, markup=False, highlight=False), given["method"], unit_pixels=512 * 512
    ) as told:
        try:
            return run(pan, list(ms), output, progress=told, **given)
        except KeyboardInterrupt:
            raise click.ClickException("interrupted; the same call with --resume goes on from there") from None


def _tell(done: Report) -> None:
    """One line for each thing that a user wants to know."""
    grid, pixels, seconds = done.grid, done.pixels, done.seconds
    size = f"{grid['width']} x {grid['height']}"
    memory = f", {done.peak_mb:.0f} MB" if done.peak_mb else ""
    err.print(
        f"{done.output}: {size} pixels, ratio {grid['ratio']}, {done.method}, sensor {done.sensor['name']} "
        f"({done.sensor['source']}), {pixels['valid']} valid pixels; {seconds['total']:.1f} s on {done.device}, "
        f"{done.threads} threads{memory}",
    )


@main.command()
@click.argument("pan")
@click.argument("ms", nargs=-1, required=True)
@_SCENE
@_JSON
def info(pan: str, ms: tuple[str, ...], as_json: bool) -> None:
    """Show how a scene is understood: grids, phase, sensor, bands, registration."""
    from panloom.run.describe import describe
    from panloom.run.sharpen import register
    from panloom.scene import environment, open_scene

    given = _given()
    align, given["sharpen"] = given.pop("align"), given.pop("sharpen_bands")
    with environment():
        opened, registration, notes = register(open_scene(pan, list(ms), **given), align=align)
        facts = describe(opened, registration, notes)
        opened.scene.close()
    if as_json:
        click.echo(json.dumps(facts.as_dict(), indent=2, default=str))
    else:
        _show_info(facts)


def _show_info(facts: Info) -> None:
    for label, file in (("PAN", facts.pan), *(("MS", f) for f in facts.ms)):
        size = f"{file['width']} x {file['height']}, {file['bands']} band(s), {file['dtype']}"
        out.print(f"{label:9} {file['path']}: {size}, no-data {file['nodata']}")
    grid, sensor = facts.grid, facts.sensor
    out.print(f"sensor    {sensor['name']} ({sensor['source']})")
    out.print(
        f"grid      ratio {grid['ratio']}, MS sample (0, 0) on PAN (row, col) {grid['phase']}; against corner "
        f"alignment {grid['offset_ms_px']} MS pixels; result {grid['width']} x {grid['height']}",
    )
    out.print(f"scale     {facts.full_scale['value']} = 1 ({facts.full_scale['source']})")
    found = facts.registration
    offset = (
        f"{found.row:+.2f}, {found.col:+.2f} MS pixels, confidence {found.confidence}" if found else "not measurable"
    )
    out.print(f"offset    {offset}")
    table = Table("band", "file", "number", "centre nm", "MTF", "treatment", title=f"bands ({facts.bands_source})")
    for b in facts.bands:
        table.add_row(*(str(b[k]) for k in ("name", "file", "number", "centre_nm", "mtf_nyquist", "treatment")))
    out.print(table)
    for note in facts.notes:
        out.print(f"note      {note}")


@main.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the fusion methods, or show one with its options, traits and citation."""
    from panloom.run.catalogue import about, summaries

    if name is None:
        table = Table("method", "what it does", "from")
        for row in summaries():
            table.add_row(*row)
        out.print(table)
        return
    found = about(name)
    out.print(f"{found.name}: {found.summary}")
    for option in found.options:
        choices = f" ({' | '.join(option.choices)})" if option.choices else ""
        out.print(f"  --set {option.name}=...{choices}  default {option.default}: {option.help}")
    out.print(f"  {found.habits}")
    for text in found.cite:
        out.print(f"  {text}")


@main.command()
@click.argument("name", required=False)
def sensors(name: str | None) -> None:
    """List the sensors, or show one with its bands, MTF gains and sources."""
    from panloom import sensors as registry

    if name is None:
        table = Table("sensor", "ratio", "PAN m", "bands")
        for known in registry.names():
            found = registry.get(known)
            gsd = "" if found.gsd_pan_m is None else f"{found.gsd_pan_m:g}"
            table.add_row(known, str(found.ratio), gsd, ", ".join(b.name for b in found.bands))
        out.print(table)
        return
    found = registry.get(name)
    table = Table("band", "centre nm", "width nm", "MTF at Nyquist", "role", title=found.name)
    for band in (found.pan, *found.bands):
        table.add_row(band.name, f"{band.centre_nm:g}", f"{band.fwhm_nm:g}", f"{band.mtf_nyquist:g}", band.role)
    out.print(table)
    full = "from the data" if found.full_scale is None else f"{found.full_scale:g}"
    out.print(f"ratio {found.ratio}, full scale {full}")
    for source in found.cite:
        out.print(source)


@main.command()
@click.argument("folder", default="panloom-demo", type=click.Path(file_okay=False))
@click.option("--size", type=click.IntRange(64, 8192), default=1024, show_default=True, help="PAN pixels per side.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Of the land that is made."
)
@click.option("--method", default="gsa", show_default=True, metavar="NAME", help="Fusion method, see: panloom methods.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo.")
@_JSON
def demo(folder: str, size: int, seed: int, method: str, overwrite: bool, as_json: bool) -> None:
    """Make a scene with known truth in FOLDER, sharpen it, score it, and draw it."""
    from panloom.run.demo import demo as run
    from panloom.run.progress import progress

    with progress(Console(stderr=True, quiet=as_json, markup=False, highlight=False), "demo", unit="steps") as told:
        done = run(folder, size=size, seed=seed, method=method, progress=told, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"files": done.files, "scores": done.scores}, indent=2, default=str))
        return
    table = Table("method", "ERGAS (0 is best)", "SAM degrees (0 is best)", "bias %", title="against the known truth")
    for name, scores in done.scores.items():
        table.add_row(name, *(f"{scores[k]:.3f}" for k in ("ERGAS", "SAM", "bias")))
    out.print(table)
    for file in done.files:
        out.print(str(file))


@main.command()
@click.argument("source", type=click.Path(exists=True))
@click.argument("output", type=click.Path(file_okay=False))
@_METHOD
@_SCENE
@_OUTPUT
@click.option("--again", is_flag=True, help="Do pairs whose result is there already.")
@click.option("--dry-run", is_flag=True, help="Show the pairs that were found, and stop.")
@_MACHINE
@_JSON
@_QUIET
def batch(source: str, output: str, again: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Sharpen every pair of SOURCE (a folder, or a CSV with columns pan, ms and perhaps out) into OUTPUT."""
    from functools import partial

    from panloom.run.batch import find, run
    from panloom.run.sharpen import sharpen as sharpen_one

    pairs = find(source, output)
    if dry_run:
        for job in pairs.jobs:
            click.echo(f"{job.name}: {job.pan} + {', '.join(job.ms)} -> {job.out}")
        _show_unmatched(pairs)
        return
    if not quiet and not as_json:
        _show_unmatched(pairs)
    told = None if quiet or as_json else _tell_job
    given = _given()
    method, options = given.pop("method"), given.pop("options")
    one = partial(sharpen_one, **given)
    done = run(pairs, sharpen=one, method=method, options=options, skip_done=not again, on_job=told)
    if as_json:
        click.echo(done.to_json())
    elif not quiet:
        err.print(", ".join(f"{n} {status}" for status, n in done.counts.items()) or "no pairs found")
    if not done.ok or not pairs.jobs:
        raise SystemExit(1)


def _show_unmatched(pairs: Pairs) -> None:
    for entry in pairs.unmatched:
        err.print(f"left out: {entry}")


def _tell_job(outcome: Outcome, place: int, total: int) -> None:
    words = outcome.error or outcome.note or ""
    err.print(f"[{place}/{total}] {outcome.job.name}: {outcome.status} {words}".rstrip())


@main.command()
@click.argument("name", nargs=-1)
@click.option("--bibtex", is_flag=True, help="As BibTeX.")
def cite(name: tuple[str, ...], bibtex: bool) -> None:
    """Print what to cite: panloom, and the sources of the methods NAME."""
    from panloom.run.catalogue import about_cite
    from panloom.run.resolve import DEFAULT

    for text in about_cite(name or (DEFAULT,), bibtex=bibtex):
        click.echo(text)
