"""`panloom adapt`."""

from __future__ import annotations

import click

from panloom.cli._console import bar, err
from panloom.cli._explain import EXPLAIN, write_page
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
@click.option(
    "--threads", type=click.IntRange(1), help="Readers and parts of the fit at work; default: one per processor."
)
@click.option("--overwrite", is_flag=True, help="Replace weights of that name.")
@EXPLAIN
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
    explain: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Adapt trained weights to a scene, PAN MS [MS ...], or to all pairs of a FOLDER (or CSV) together.

    The weights are saved with a card; their path is the name of a method for scenes of the same sensor, bands and
    ratio: neighbouring scenes, the other tiles of a mosaic.
    """
    from panloom.run.adapt import adapt_to
    from panloom.run.preparing import Kept
    from panloom.run.progress import STEPS, progress

    if explain is not None:
        _check_explain(method, pan, ms, explain)
    kept, quiet = Kept(), quiet or as_json
    with progress(bar(quiet=quiet), f"adapt {method}", STEPS) as told:
        done = adapt_to(
            method,
            pan,
            ms,
            out=out,
            tag=tag,
            threads=threads,
            overwrite=overwrite,
            prepare=kept,
            progress=told,
            **given_options(),
        )
    if as_json:
        click.echo(done.to_json())
    elif not quiet:
        for note in done.notes:
            err.print(f"note: {note}")
        err.print(f"{done.file}: use it as --method {done.file}; licence: {done.card.licence_name}")
    if explain is not None:
        write_page(pan, ms, explain, method=method, kept=kept, device="cpu", threads=threads, quiet=quiet)


def _check_explain(method: str, pan: str, ms: tuple[str, ...], folder: str) -> None:
    """Refuse a page that cannot be written before anything is adapted.

    Raises:
        OptionError: several scenes are adapted to.
        PanloomError: as `panloom.run.explain.check_explain`.
    """
    from panloom.errors import OptionError
    from panloom.run.explain import check_explain

    if not ms:
        raise OptionError(
            f"--explain tells of one scene, PAN MS [MS ...], and {pan} stands for all of its scenes together; for a "
            f"page on one of them: panloom sharpen PAN MS OUTPUT --method {method} --explain {folder}"
        )
    check_explain(method, folder)
