"""`panloom analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from panloom.cli._console import bar, err, out
from panloom.cli._words import JSON, QUIET, SCENE, SETTINGS, given_options


@click.command(short_help="Look inside a method or a super-resolution network: responses, spectra, what is linear.")
@click.argument("subject", metavar="METHOD|MODEL")
@click.argument("scene", nargs=-1, metavar="[PAN MS...]")
@click.option("--out", "folder", required=True, type=click.Path(), help="Folder for index.html, analysis.json, PNGs.")
@click.option(
    "--images",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Picture that a model is looked at on; again for more. Default: drawn ones.",
)
@click.option("--scale", type=click.IntRange(1), help="Of a model, where its file holds several.")
@click.option("--architecture", metavar="NAME", help="Of a model, where its file does not tell.")
@SETTINGS
@SCENE
@JSON
@QUIET
def analyze(
    subject: str,
    scene: tuple[str, ...],
    folder: str,
    images: tuple[str, ...],
    scale: int | None,
    architecture: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Look inside a fusion method or a super-resolution network, on one page.

    What one pixel does, how much comes through at each frequency beside the sensor's MTF and the ideal low-pass, how
    bands mix, how much of the output one linear filter explains, and how like the truth it is.

    METHOD is made ready for the scene PAN MS and looked at on 512 x 512 PAN pixels; without a scene one is drawn.
    MODEL is the file of a super-resolution network: .safetensors, .pth or .onnx. What draws noise needs a --seed.

    \b
      panloom analyze mtf-glp-cbd --out look
      panloom analyze universal.open pan.tif ms.tif --out look
      panloom analyze fusionnet.wv3-open+refit pan.tif ms.tif --out look
      panloom analyze carn_m.pth --scale 2 --out look
      panloom analyze network.onnx --images a.png --images b.png --out look
    """  # noqa: D301  click's own mark
    from panloom.run.analyze import analyze as run
    from panloom.run.progress import STEPS, progress

    given = _given(named=bool(scene))
    with progress(bar(quiet=quiet or as_json), "analyze", STEPS) as told:
        done = run(
            subject,
            scene[0] if scene else None,
            scene[1:],
            out=folder,
            images=images,
            scale=scale,
            architecture=architecture,
            progress=told,
            **given,
        )
    if as_json:
        click.echo(done.to_json(), nl=False)
        return
    for note in done.notes:
        err.print(f"note: {note}")
    for text in done.conclusions:
        out.print(f"- {text}")
    err.print(f"{Path(folder) / 'index.html'}: open it in a browser")


def _given(*, named: bool) -> dict[str, Any]:
    """What was said of the method and of the scene, as keywords of `panloom.run.analyze.analyze`.

    Raises:
        OptionError: how files are read is said, and none are named.
    """
    from panloom.errors import OptionError
    from panloom.run.reading import Reading

    context, given = click.get_current_context(), given_options()
    said = {name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    options, seed = given.pop("options"), given.pop("seed")
    words = {"options": options, "seed": seed if "seed" in said else None}
    if named:
        return {**words, "reading": Reading(**given)}
    lost = sorted(name.replace("_", "-") for name in said - {"options", "seed", "sensor"})
    if lost:
        raise OptionError(f"{', '.join(f'--{name}' for name in lost)} is about a scene in files, and none is named")
    return {**words, "sensor": given["sensor"]}
