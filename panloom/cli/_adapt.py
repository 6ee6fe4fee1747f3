"""`panloom adapt`."""

from __future__ import annotations

import click

from panloom.cli._console import bar, err
from panloom.cli._words import JSON, QUIET, SCENE, SETTINGS, given_options


@click.command()
@click.argument("method", metavar="NETWORK+ADAPTER")
@click.argument("pan", metavar="PAN|FOLDER")
@click.argument("ms", metavar="[MS]...", nargs=-1)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Folder of the weights and their card.",
)
@click.option("--tag", metavar="TAG", help="The weights are called NETWORK.TAG; default: the old tag and the adapter.")
@SETTINGS
@SCENE
@click.option("--threads", type=click.IntRange(1), help="Readers at work; default: one per processor.")
@click.option("--overwrite", is_flag=True, help="Replace weights of that name.")
@JSON
@QUIET
def adapt(  # noqa: PLR0913  one for each word of the command line
    method: str,
    pan: str,
    ms: tuple[str, ...],
    out: str,
    tag: str | None,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Adapt trained weights to a scene, PAN MS [MS ...], or to all pairs of a FOLDER (or CSV) together.

    The weights are saved with a card; their path is the name of a method for scenes of the same sensor, bands and
    ratio: neighbouring scenes, the other tiles of a mosaic.
    """
    from panloom.run.adapt import adapt_to
    from panloom.run.progress import STEPS, progress

    with progress(bar(quiet=quiet or as_json), f"adapt {method}", STEPS) as told:
        done = adapt_to(
            method,
            pan,
            ms,
            out=out,
            tag=tag,
            threads=threads,
            overwrite=overwrite,
            progress=told,
            **given_options(),
        )
    if as_json:
        click.echo(done.to_json())
    elif not quiet:
        for note in done.notes:
            err.print(f"note: {note}")
        err.print(f"{done.file}: use it as --method {done.file}; licence: {done.card.licence_name}")
