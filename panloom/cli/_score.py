"""`panloom evaluate`, `panloom compare` and `panloom bench`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from panloom.cli._console import bar, err, out
from panloom.cli._words import COMPUTE, JSON, QUIET, SCENE, SETTINGS, List, given_options
from panloom.run._default import ANY_RATIO, DEFAULT

if TYPE_CHECKING:
    from panloom.run.bench import Bench
    from panloom.run.compare import Comparison
    from panloom.run.evaluate import Evaluation
    from panloom.run.reading import Reading

#: Compared unless others are named: the zero line, and methods that most tables hold.
USUAL = f"exp,brovey,gsa,bdsd-pc,mtf-glp-hpm,{ANY_RATIO},{DEFAULT}"

_METHODS = click.option(
    "--methods",
    type=List(),
    default=USUAL,
    show_default=True,
    metavar="LIST",
    help="Methods (see: panloom methods), or 'all'.",
)

_PROTOCOL = click.option(
    "--protocol",
    type=click.Choice(["reduced", "full", "both", "wald-toolbox", "wald-physical"]),
    default="both",
    show_default=True,
    help="reduced: degraded by its ratio, against the original MS; full: as it is, by indices without reference.",
)


@click.command()
@click.argument("pan")
@click.argument("ms", nargs=-1, required=True)
@_METHODS
@_PROTOCOL
@SETTINGS
@SCENE
@click.option("--out", type=click.Path(file_okay=False), help="Folder for report.html and scores.json.")
@COMPUTE
@JSON
@QUIET
def evaluate(
    pan: str,
    ms: tuple[str, ...],
    methods: list[str],
    protocol: str,
    out: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score methods on a scene: at reduced resolution against its own MS, and at full resolution.

    Of a scene above 4096 PAN pixels its centre is scored; --window chooses another part. docs/protocol.md says what is
    done.
    """
    from panloom.compute import Policy
    from panloom.run.evaluate import evaluate as run
    from panloom.run.progress import STEPS, progress

    given = given_options()
    policy = Policy.in_memory(given.pop("device"), given["threads"])
    options, seed = given.pop("options"), given.pop("seed")
    pair, notes = _reading(given).read(pan, ms)
    with progress(bar(quiet=quiet or as_json), "evaluate", STEPS) as told:
        done = run(
            pair,
            _chosen(methods),
            protocol=protocol,
            options=options,
            policy=policy,
            seed=seed,
            pictures=out is not None,
            progress=told,
            notes=notes,
        )
    if out is not None:
        _keep(Path(out), done)
    if as_json:
        click.echo(done.to_json(), nl=False)
        _end(score.error for score in done.scores)
        return
    for note in done.remarks:
        err.print(f"note: {note}")
    for name, labels in done.labels.items():
        rows = [(s.method, s.values, s.error) for s in done.scores if s.protocol == name]
        _show(f"{done.name}, {name}", labels, rows)
    _end(score.error for score in done.scores)


def _end(errors: Iterable[str | None]) -> None:
    """Exit status 1 where nothing could be scored."""
    if all(error is not None for error in errors):
        raise SystemExit(1)


def _reading(given: Mapping[str, Any]) -> Reading:
    from panloom.run.reading import Reading

    return Reading(**given)


def _keep(folder: Path, done: Evaluation) -> None:
    from panloom.run._aside import make_folder, write_text
    from panloom.run.page import evaluation_page

    make_folder(folder)
    write_text(folder / "scores.json", done.to_json())
    write_text(folder / "report.html", evaluation_page(done))
    err.print(f"{folder / 'report.html'}: open it in a browser")


@click.command()
@click.argument("truth")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--ratio", type=click.IntRange(1), default=4, show_default=True, help="PAN pixels per MS pixel, for ERGAS."
)
@click.option("--full-scale", type=click.FloatRange(0, min_open=True), help="Peak of PSNR and range of SSIM.")
@click.option("--metrics", type=List(), metavar="LIST", help="Indices by name; default: those of a table.")
@click.option("--threads", type=click.IntRange(1), help="Tiles at once; default: one per processor.")
@JSON
@QUIET
def compare(
    truth: str,
    files: tuple[str, ...],
    ratio: int,
    full_scale: float | None,
    metrics: list[str] | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score FILES against TRUTH, rasters of one grid of any size."""
    from panloom.run.compare import compare as run
    from panloom.run.progress import STEPS, progress

    with progress(bar(quiet=quiet or as_json), "compare", STEPS) as told:
        done = run(truth, files, ratio=ratio, full_scale=full_scale, names=metrics, threads=threads, progress=told)
    if as_json:
        click.echo(done.to_json(), nl=False)
        return
    _tell_comparison(done)


def _tell_comparison(done: Comparison) -> None:
    for note in done.notes:
        err.print(f"note: {note}")
    _show(f"against {done.truth}", done.labels, [(file.path, file.values, None) for file in done.files])
    for file in done.files:
        err.print(f"{file.path}: {file.pixels} pixels compared")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@_METHODS
@_PROTOCOL
@SETTINGS
@SCENE
@click.option("--only", type=List(), metavar="LIST", help="Only these pairs, by name.")
@click.option(
    "--out", type=click.Path(file_okay=False), required=True, help="Folder for the scores; a second call goes on there."
)
@COMPUTE
@JSON
@QUIET
def bench(
    folder: str,
    methods: list[str],
    protocol: str,
    only: list[str] | None,
    out: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score methods on every pair of FOLDER: .npz pairs with a manifest, or rasters as `panloom batch` finds them.

    Scores of a pair are kept as soon as it is done, so that an interrupted bench goes on. Means are taken within each
    sensor, then over the sensors.
    """
    from panloom.compute import Policy
    from panloom.run._aside import write_text
    from panloom.run.bench import bench as run
    from panloom.run.page import bench_page
    from panloom.run.reading import find_sources

    given = given_options()
    policy = Policy.in_memory(given.pop("device"), given["threads"])
    options, seed = given.pop("options"), given.pop("seed")
    done = run(
        find_sources(folder, _reading(given), only),
        out,
        _chosen(methods),
        protocol=protocol,
        options=options,
        policy=policy,
        seed=seed,
        progress=None if quiet or as_json else _tell_pair,
    )
    write_text(Path(out) / "bench.html", bench_page(done))
    if as_json:
        click.echo(done.to_json(), nl=False)
    else:
        _tell_bench(done, Path(out))
    if done.failures:
        raise SystemExit(1)
    _end(score.error for _, score in done.scores)


def _tell_pair(name: str, place: int, total: int) -> None:
    if name:
        err.print(f"[{place + 1}/{total}] {name}")


def _tell_bench(done: Bench, folder: Path) -> None:
    from panloom.run.page import general_label

    for protocol in done.protocols:
        means = [mean for mean in done.means if mean.protocol == protocol]
        labels = {name: general_label(name) for mean in means for name in mean.values}
        rows = [(f"{m.rank or '-'} {m.method}", m.values, f"failed on {m.failed}" if m.failed else None) for m in means]
        scored = {name for name, score in done.scores if score.protocol == protocol}
        sensors = {done.pairs[name] for name in scored}
        _show(f"{protocol}: means over sensors ({len(sensors)}) of pairs ({len(scored)})", labels, rows)
    for note in done.notes:
        err.print(f"note: {note}")
    for name, why in done.failures.items():
        err.print(f"{name}: {why}")
    err.print(f"{folder / 'bench.html'}: all tables; bench.csv and bench.json: every score")


def _chosen(methods: Sequence[str]) -> list[str]:
    """The named methods, each once; "all" is every one that is not made for certain bands."""
    from panloom.run.resolve import card_of
    from panloom.run.resolve import methods as known

    if "all" not in methods:
        return list(dict.fromkeys(methods))
    return [name for name in known() if (card := card_of(name)) is None or card.bands is None]


def _show(
    title: str,
    labels: Mapping[str, str],
    rows: Iterable[tuple[str, Mapping[str, float | None], str | None]],
) -> None:
    """One table: a row for each method or file, a column for each index; cut in pieces where the screen is narrow."""
    from panloom.run.page import once

    rows = list(rows)
    heads = {key: label.rstrip("]").replace("[", "\n").replace(",", "\n") for key, label in once(labels).items()}
    width = max([len(name) for name, *_ in rows] + [0])
    for part in _pieces(heads, out.width - width - 2):
        table = Table("", title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
        table.columns[0].no_wrap, table.columns[0].min_width = True, width
        for key in part:  # the variant stands below the name, for narrow columns
            table.add_column(heads[key], justify="right", no_wrap=True)
        for name, values, _ in rows:
            table.add_row(name, *(_number(values.get(key)) for key in part))
        out.print(table)
    for name, _, error in rows:
        if error:
            err.print(f"{name}: {error}")


def _pieces(heads: Mapping[str, str], room: int) -> list[list[str]]:
    """Columns that fit side by side."""
    pieces: list[list[str]] = [[]]
    used = 0
    for key, head in heads.items():
        need = max([len(line) for line in head.split("\n")] + [9]) + 2
        if pieces[-1] and used + need > room:
            pieces.append([])
            used = 0
        pieces[-1].append(key)
        used += need
    return pieces


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4g}"
