"""`panloom demo`."""

from __future__ import annotations

import json

import click
from rich.table import Table

from panloom.cli._console import bar, out
from panloom.cli._words import JSON
from panloom.run._default import DEFAULT


@click.command()
@click.argument("folder", default="panloom-demo", type=click.Path(file_okay=False))
@click.option("--size", type=click.IntRange(64, 8192), default=1024, show_default=True, help="PAN pixels per side.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Of the land that is made."
)
@click.option("--method", default=DEFAULT, show_default=True, metavar="NAME", help="Method, see: panloom methods.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo.")
@JSON
def demo(folder: str, size: int, seed: int, method: str, overwrite: bool, as_json: bool) -> None:
    """Make a scene with known truth in FOLDER, sharpen it, score it, and draw it."""
    from panloom.run.demo import demo as run
    from panloom.run.progress import STEPS, progress

    with progress(bar(quiet=as_json), "demo", STEPS) as told:
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
    out.print(f"Open {done.picture}: a part of the scene, MS as it is (left), the result (middle), the truth (right).")
