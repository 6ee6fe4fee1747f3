"""`panloom sharpen` and `panloom batch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from panloom.cli._console import bar, err
from panloom.cli._explain import EXPLAIN, write_page
from panloom.cli._words import JSON, MACHINE, METHOD, OUTPUT, QUIET, SCENE, List, given_options

if TYPE_CHECKING:
    from panloom.run.batch import Outcome
    from panloom.run.pairing import Pairs
    from panloom.run.report import Report


@click.command()
@click.argument("pan")
@click.argument("ms", nargs=-1, required=True)
@click.argument("output", type=click.Path(dir_okay=False))
@METHOD
@SCENE
@OUTPUT
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same call.")
@click.option("--preview", type=click.Path(dir_okay=False), help="Also write a quick-look PNG.")
@click.option("--preview-bands", type=List(), metavar="R,G,B", help="Bands of the quick look.")
@click.option("--report", type=click.Path(dir_okay=False), help="Also write the report as JSON.")
@EXPLAIN
@MACHINE
@JSON
@QUIET
def sharpen(  # noqa: PLR0913  one for each word of the command line
    pan: str,
    ms: tuple[str, ...],
    output: str,
    preview: str | None,
    preview_bands: list[str] | None,
    report: str | None,
    explain: str | None,
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
    from panloom.run.preparing import Kept

    if report is not None:
        check_apart("report", report, [pan, *ms, output, *([preview] if preview else [])])
    if explain is not None:
        from panloom.run.explain import check_explain

        check_explain(given_options()["method"], explain)
    kept, quiet = Kept(), quiet or as_json
    given = {**given_options(), "overwrite": overwrite, "resume": resume, "prepare": kept}
    given |= {"preview": preview, "preview_bands": preview_bands}
    done = _sharpen(pan, ms, output, quiet=quiet, given=given)
    if report is not None:
        done.write(report)
    if as_json:
        click.echo(done.to_json())
    elif not quiet:
        _tell(done)
    if explain is not None:
        machine = {key: given[key] for key in ("method", "device", "threads")}
        write_page(pan, ms, explain, kept=kept, quiet=quiet, **machine)


def _sharpen(pan: str, ms: tuple[str, ...], output: str, *, quiet: bool, given: Mapping[str, Any]) -> Report:
    from panloom.run.progress import PIXELS, progress
    from panloom.run.sharpen import sharpen as run

    with progress(bar(quiet=quiet), given["method"], PIXELS) as told:
        try:
            return run(pan, list(ms), output, progress=told, say=None if quiet else _announce, **given)
        except KeyboardInterrupt:
            raise click.ClickException("interrupted; the same call with --resume goes on from there") from None


def _announce(text: str) -> None:
    err.print(f"the tiles will take {text}", highlight=False)


def _tell(done: Report) -> None:
    """One line for each thing that a user wants to know."""
    from panloom.scene.bands import NOT_RECOGNISED

    for note in done.notes:
        err.print(f"note: {note}")
    grid, pixels, seconds = done.grid, done.pixels, done.seconds
    size = f"{grid['width']} x {grid['height']}"
    memory = f", {done.peak_mb:.0f} MB" if done.peak_mb else ""
    known = f" ({source})" if (source := done.sensor["source"]) != NOT_RECOGNISED else ""  # a warning said it
    err.print(
        f"{done.output}: {size} pixels, ratio {grid['ratio']}, {done.method}, sensor {done.sensor['name']}{known}, "
        f"{pixels['valid']} valid pixels; {seconds['total']:.1f} s on {done.device}, "
        f"{done.threads} threads{memory}",
    )
    if done.preview is not None:
        err.print(f"{done.preview['path']}: quick look, shows {', '.join(done.preview['bands'])}")


@click.command()
@click.argument("source", type=click.Path(exists=True))
@click.argument("output", type=click.Path(file_okay=False))
@METHOD
@SCENE
@OUTPUT
@click.option("--again", is_flag=True, help="Do pairs whose result is there already.")
@click.option("--dry-run", is_flag=True, help="Show the pairs that were found, and stop.")
@MACHINE
@JSON
@QUIET
def batch(source: str, output: str, again: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Sharpen every pair of SOURCE (a folder, or a CSV with columns pan, ms and perhaps out) into OUTPUT."""
    from panloom.run.batch import find, run

    pairs = find(source, output)
    if dry_run:
        for job in pairs.jobs:
            click.echo(f"{job.name}: {job.pan} + {', '.join(job.ms)} -> {job.out}")
        _show_unmatched(pairs)
        return
    if not quiet and not as_json:
        _show_unmatched(pairs)
    told = None if quiet or as_json else _tell_job
    given = given_options()
    method, options = given.pop("method"), given.pop("options")
    done = run(pairs, method=method, options=options, settings=given, skip_done=not again, on_job=told)
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
    words = [outcome.status, *(text for text in (outcome.error, outcome.note) if text)]
    err.print(f"[{place}/{total}] {outcome.job.name}: {': '.join(words)}")
