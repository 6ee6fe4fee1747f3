"""Commands that only tell: `panloom info`, `methods`, `sensors` and `cite`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from rich.table import Table

from panloom.cli._console import out
from panloom.cli._words import JSON, SCENE, given_options
from panloom.run._default import DEFAULT

if TYPE_CHECKING:
    from panloom.run.describe import Info
    from panloom.run.machine import Machine


@click.command()
@click.argument("pan", required=False)
@click.argument("ms", nargs=-1)
@SCENE
@click.option(
    "--compute",
    is_flag=True,
    help="Show devices, precisions and what was measured of networks; PAN and MS need not be named.",
)
@JSON
def info(pan: str | None, ms: tuple[str, ...], compute: bool, as_json: bool) -> None:
    """Show how a scene is understood: grids, phase, sensor, bands, registration."""
    if not ms and not (compute and pan is None):
        raise click.UsageError("name PAN and MS, or use --compute")
    facts, found = None if pan is None else _look(pan, ms), _machine() if compute else None
    if as_json:
        click.echo(json.dumps(_as_dict(facts, found), indent=2, default=str))
        return
    if facts is not None:
        _show_info(facts)
    if found is not None:
        _show_compute(found)


def _look(pan: str, ms: tuple[str, ...]) -> Info:
    from panloom.run.describe import describe
    from panloom.run.sharpen import register
    from panloom.scene import environment, open_scene

    given = given_options()
    align, given["sharpen"] = given.pop("align"), given.pop("sharpen_bands")
    with environment():
        opened, registration, warnings = register(open_scene(pan, list(ms), **given), align=align)
        facts = describe(opened, registration, warnings)
        opened.scene.close()
    return facts


def _machine() -> Machine:
    from panloom.run.machine import machine

    return machine()


def _as_dict(facts: Info | None, found: Machine | None) -> Mapping[str, object]:
    """The facts of the scene, with those of the machine under a key of their own; or of the machine alone."""
    scene = {} if facts is None else dict(facts.as_dict())
    if found is None:
        return scene
    return {**scene, "compute": found.as_dict()} if scene else found.as_dict()


def _show_compute(found: Machine) -> None:
    for line in found.lines():
        out.print(line, highlight=False)
    if found.networks:
        table = Table("network", "precision", "parts", "Msamples/s per thread", title="measured on this machine")
        for row in found.rows():
            table.add_row(*row)
        out.print(table)


def _show_info(facts: Info) -> None:
    for line in facts.lines():
        out.print(line)
    table = Table("band", "file", "number", "centre nm", "MTF", "treatment", title=f"bands ({facts.bands_source})")
    for row in facts.rows():
        table.add_row(*row)
    out.print(table)
    for label, texts in (("note", facts.notes), ("warning", facts.warnings)):
        for text in texts:
            out.print(f"{label}: {text}")


@click.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the fusion methods, or show one with its options, traits and citation."""
    from panloom.run.catalogue import about

    if name is None:
        _list_methods()
        return
    found = about(name)
    out.print(f"{found.name}: {found.summary}")
    for label, text in found.facts:
        out.print(f"  {label}: {text}")
    for option in found.options:
        choices = f" ({' | '.join(option.choices)})" if option.choices else ""
        out.print(f"  --set {option.name}=...{choices}  default {_in_words(option.default)}: {option.help}")
    out.print(f"  {found.habits}")
    for text in found.cite:
        out.print(f"  {text}")


def _in_words(default: object) -> str:
    """A default as `--set` takes it; what none means is told by the description.

    >>> _in_words(True), _in_words(None), _in_words(100.0), _in_words((2, 4))
    ('yes', 'none', '100', '2,4')
    """
    from panloom.weights import setting_in_words

    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else setting_in_words(default)


def _list_methods() -> None:
    from panloom.run.catalogue import adapters, summaries, trained

    table = Table("method", "what it does", "from")
    for row in summaries():
        table.add_row(*row)
    out.print(table)
    if found := trained():
        table = Table("trained weights", "what they do", "bands", "licence", title="networks, see: panloom weights")
        for entry in found:
            name = f"{entry.name} (default)" if entry.name == DEFAULT else entry.name
            table.add_row(name, entry.summary, entry.bands, entry.licence)
        out.print(table)
    table = Table("adapter", "what it does, behind the name of trained weights")
    for row in adapters():
        table.add_row(*row)
    out.print(table)


@click.command()
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
    for role, band in (("pan", found.pan), *((band.role, band) for band in found.bands)):
        table.add_row(band.name, f"{band.centre_nm:g}", f"{band.fwhm_nm:g}", f"{band.mtf_nyquist:g}", role)
    out.print(table)
    full = "from the data" if found.full_scale is None else f"{found.full_scale:g}"
    out.print(f"ratio {found.ratio}, full scale {full}")
    for source in found.cite:
        out.print(source)


@click.command()
@click.argument("name", nargs=-1)
@click.option("--bibtex", is_flag=True, help="As BibTeX.")
def cite(name: tuple[str, ...], bibtex: bool) -> None:
    """Print what to cite: panloom, and the sources of the methods NAME."""
    from panloom.run.catalogue import about_cite

    for text in about_cite(name or (DEFAULT,), bibtex=bibtex):
        click.echo(text)
