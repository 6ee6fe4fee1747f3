"""Commands that only tell: `panloom info`, `methods`, `sensors` and `cite`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.table import Table

from panloom.cli._console import out
from panloom.cli._words import JSON, SCENE, given_options

if TYPE_CHECKING:
    from panloom.run.describe import Info


@click.command()
@click.argument("pan")
@click.argument("ms", nargs=-1, required=True)
@SCENE
@JSON
def info(pan: str, ms: tuple[str, ...], as_json: bool) -> None:
    """Show how a scene is understood: grids, phase, sensor, bands, registration."""
    from panloom.run.describe import describe
    from panloom.run.sharpen import register
    from panloom.scene import environment, open_scene

    given = given_options()
    align, given["sharpen"] = given.pop("align"), given.pop("sharpen_bands")
    with environment():
        opened, registration, warnings = register(open_scene(pan, list(ms), **given), align=align)
        facts = describe(opened, registration, warnings)
        opened.scene.close()
    if as_json:
        click.echo(json.dumps(facts.as_dict(), indent=2, default=str))
    else:
        _show_info(facts)


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
    from panloom.run.resolve import DEFAULT

    for text in about_cite(name or (DEFAULT,), bibtex=bibtex):
        click.echo(text)
