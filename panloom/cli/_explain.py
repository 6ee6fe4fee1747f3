"""`--explain`: the page on an adaptation, written after the command has done its own work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panloom.cli._console import bar, err
from panloom.cli._words import given_options

if TYPE_CHECKING:
    from panloom.run.preparing import Kept

EXPLAIN = click.option(
    "--explain",
    type=click.Path(),
    metavar="DIR",
    help="Also write a page into DIR on what an adapter did to the scene, and whether it helped.",
)


def write_page(
    pan: str,
    ms: Sequence[str],
    folder: str,
    *,
    method: str,
    kept: Kept,
    device: str,
    threads: int | None,
    quiet: bool,
) -> None:
    """Write the page on an adaptation that was just done, on the scene that it was done on.

    Args:
        pan: the sharp image.
        ms: the files of the spectral image.
        folder: of the page.
        method: network.tag+adapter.
        kept: what was adapted.
        device: that the images of the page are made on.
        threads: tiles computed at once; None: one per processor.
        quiet: say nothing but warnings.
    """
    from panloom.compute import Policy
    from panloom.run.explain import PAGE, explain_files
    from panloom.run.progress import STEPS, progress
    from panloom.run.reading import Reading

    given = {**given_options(), "threads": threads}
    reading = Reading(**{entry.name: given[entry.name] for entry in fields(Reading) if entry.name in given})
    policy = Policy.in_memory(device, threads)
    with progress(bar(quiet=quiet), "explain", STEPS) as told:
        done = explain_files(
            pan,
            list(ms),
            folder,
            method=method,
            fuser=kept.ready,
            reading=reading,
            seed=given["seed"],
            policy=policy,
            progress=told,
            notes=kept.warnings,
        )
    if not quiet:
        err.print(done.verdict)
        err.print(f"{Path(folder) / PAGE}: open it in a browser")
