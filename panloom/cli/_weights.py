"""`panloom weights`: trained weights, listed, shown, checked, found, brought in and handed on."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import click
from rich.table import Table

from panloom.cli._console import err, out
from panloom.cli._words import JSON, List

#: One word that is an SPDX identifier: one of those without a digit in them, or one with a digit.
_SPDX = re.compile(
    r"licenseref-.+|mit|isc|zlib|unlicense|wtfpl|ncsa|postgresql"
    r"|(?!licen[cs]e|copying)[a-z0-9.+-]*\d[a-z0-9.+-]*(?<!\.txt)(?<!\.md)",
    re.IGNORECASE,
)

OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what is there under that name.")


@click.group()
def weights() -> None:
    """List, show, check, import and export trained weights.

    Weights are called NETWORK.TAG, and are used as --method NETWORK.TAG.
    """


@weights.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List the weights that are here, with bands and licence."""
    from panloom import weights as store
    from panloom.errors import WeightsError

    cards, faults = [], []
    for name in store.names():
        try:
            cards.append(store.card(name))
        except WeightsError as error:
            faults.append(str(error))
    if as_json:
        click.echo(json.dumps([tomllib.loads(store.card_text(card)) for card in cards], indent=2))
    else:
        table = Table("weights", "bands", "ratio", "licence", "trained on")
        for card in cards:
            told = dict(store.facts(card))
            data = " ".join(card.data.split()) or "-"
            table.add_row(card.name, told["bands"], told["ratio"], card.licence_name, data)
        out.print(table)
        err.print(f"looked for in {', '.join(map(str, store.folders()))}")
    for fault in faults:
        err.print(f"warning: {fault}")


@weights.command()
@click.argument("name")
@click.option("--licence", is_flag=True, help="Print the whole licence, and nothing else.")
@JSON
def show(name: str, licence: bool, as_json: bool) -> None:
    """Show the card of the weights NAME."""
    from panloom import weights as store

    card = store.card(name)
    if licence:
        click.echo(card.licence)
        return
    if as_json:
        click.echo(json.dumps(tomllib.loads(store.card_text(card)), indent=2))
        return
    out.print(card.name)
    for label, text in store.facts(card):
        out.print(f"  {label}: {text}")
    out.print(f"  file: {store.path(name)}")
    if card.scores:
        table = Table("protocol", "data", "index", "value", title="scores")
        for row in store.score_rows(card):
            table.add_row(*row)
        out.print(table)


@weights.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Load the weights NAME, or all, and check hash, shapes and card."""
    from panloom import weights as store
    from panloom.errors import PanloomError

    failed = 0
    for name in names or store.names():
        try:
            card = store.verify(name)
        except PanloomError as error:
            failed += 1
            err.print(f"{name}: {' '.join(str(error).split())}")
        else:
            out.print(f"{name}: sound, {card.sha256}")
    if failed:
        raise click.ClickException(f"{failed} of {len(names or store.names())} weights cannot be used")


@weights.command()
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Print the file of the weights NAME; without NAME the folder that imports go to."""
    from panloom import weights as store

    click.echo(store.folders()[1] if name is None else store.path(name))


@weights.command("import")
@click.argument("source", metavar="FILE|FOLDER", type=click.Path(exists=True))
@click.option("--tag", metavar="TAG", help="Of the new weights, which are called NETWORK.TAG.")
@click.option("--network", metavar="NAME", help="The network; default: known by the shapes of the weights.")
@click.option(
    "--licence",
    metavar="ID|TEXT|FILE",
    help="SPDX identifier (as CC-BY-4.0), text (several words) or web address of the licence, or a file that holds it.",
)
@click.option("--bands", type=List(), metavar="LIST", help="Names of the bands, or their number.")
@click.option("--ratio", type=click.IntRange(1), help="Ratio in training; default: whatever the network works at.")
@click.option("--full-scale", type=click.FloatRange(0, min_open=True), help="The DN that was 1.0 in training.")
@click.option("--data", metavar="TEXT", help="What the weights were trained on.")
@click.option("--cite", multiple=True, metavar="TEXT", help="Whom to cite; a key of panloom's references, or words.")
@click.option("--note", metavar="TEXT", help="Anything else.")
@OVERWRITE
def import_(  # noqa: PLR0913  one for each word of the command line
    source: str,
    tag: str | None,
    network: str | None,
    licence: str | None,
    bands: list[str] | None,
    ratio: int | None,
    full_scale: float | None,
    data: str | None,
    cite: tuple[str, ...],
    note: str | None,
    overwrite: bool,
) -> None:
    """Take in weights from FILE, a safetensors file or a checkpoint of PyTorch, or from FOLDER, a Hugging Face model.

    Nothing in a checkpoint is run: one that holds more than numbers is refused. The licence of the weights is not
    that of panloom, and must be said.
    """
    from panloom.weights import import_weights, path

    given = {
        "licence": _licence(licence),
        "bands": _bands(bands),
        "ratios": None if ratio is None else [ratio],
        "full_scale": full_scale,
        "data": data,
        "cite": list(cite),
        "note": note,
    }
    facts = {key: value for key, value in given.items() if value not in (None, [])}
    card = import_weights(source, tag, network=network, facts=facts, overwrite=overwrite)
    err.print(f"{path(card.name)}: use it as --method {card.name}; licence: {card.licence_name}")


def _licence(given: str | None) -> str | None:
    """The text, or that of the file."""
    from panloom.errors import OptionError

    # A long text is no name of a file, which some systems say with an error.
    if given is None or len(given) >= 1000 or not (Path(given).is_file() or _only_a_file(given)):
        return given
    try:
        return Path(given).read_text("utf-8")
    except FileNotFoundError as error:
        raise OptionError(
            f"--licence: there is no file {given}, and it is neither an SPDX identifier (as CC-BY-4.0) nor a text of "
            "several words"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--licence: {given} cannot be read as text ({error})") from error


def _only_a_file(given: str) -> bool:
    """Whether it can be meant only as the name of a file: neither an identifier, nor an address, nor a text."""
    if "://" in given or _SPDX.fullmatch(given.strip()):
        return False
    return len(given.split()) == 1 or given.lower().endswith((".txt", ".md"))


def _bands(given: list[str] | None) -> int | list[str] | None:
    return int(given[0]) if given and len(given) == 1 and given[0].isdecimal() else given


@weights.command()
@click.argument("name")
@click.argument("folder", type=click.Path(file_okay=False))
@OVERWRITE
def export(name: str, folder: str, overwrite: bool) -> None:
    """Write the weights NAME to FOLDER as a Hugging Face model: config.json, model.safetensors, README.md."""
    from panloom import weights as store

    for file in store.hub.write(store.load(name), store.card(name), folder, overwrite=overwrite):
        click.echo(file)
