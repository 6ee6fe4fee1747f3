"""Words that several commands share: types of parameters, and groups of options, kept aside for `given_options`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from panloom.run._default import DEFAULT

Command = TypeVar("Command", bound=Callable[..., Any])


class _Numbers(click.ParamType):
    """`N` numbers separated by commas."""

    def __init__(self, kind: type[int] | type[float], words: str) -> None:
        self.name, self._kind, self._count = words, kind, words.count(",") + 1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self._kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self._count:
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return numbers


class List(click.ParamType):
    """Words separated by commas."""

    name = "list"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        words = [word.strip() for word in str(value).split(",")] if not isinstance(value, list) else value
        if not all(words):
            self.fail(f"{value!r} has an empty item", param, ctx)
        return words


class _Setting(click.ParamType):
    """NAME=VALUE."""

    name = "name=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, word = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return key.strip(), word.strip()


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:  # noqa: ANN401  whatever click parsed
    """Options that several commands share are kept aside under their name, for `given_options`."""
    given = ctx.meta.setdefault("panloom.given", {})
    given[param.name] = dict(value) if isinstance(param.type, _Setting) else value


def given_options() -> dict[str, Any]:
    """The shared options of the running command, by name, as keywords of `panloom.run.sharpen.sharpen`."""
    from panloom.types import Window

    given = dict(click.get_current_context().meta.get("panloom.given", {}))
    if given.get("window"):
        given["window"] = Window(*given["window"])
    return given


def _shared(*names: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401  click.option's own
    return click.option(*names, expose_value=False, callback=_keep, **settings)


def _options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


SCENE = _options(
    _shared("--sensor", metavar="NAME|TOML", help="Instrument; recognised from metadata unless given."),
    _shared("--bands", type=List(), metavar="LIST", help="Bands to use: numbers, names, or 3=red."),
    _shared(
        "--sharpen",
        "sharpen_bands",
        type=List(),
        metavar="LIST",
        help="Bands to sharpen, or 'all'; default: all but SWIR, cirrus and thermal.",
    ),
    _shared(
        "--extent",
        type=click.Choice(["pan", "intersection", "ms"]),
        default="pan",
        show_default=True,
        help="Ground that the result covers, always on PAN's grid.",
    ),
    _shared(
        "--ms-shift",
        type=_Numbers(float, "ROW,COL"),
        help="MS pixels by which MS lies further down, right than its georeference says.",
    ),
    _shared(
        "--align",
        is_flag=True,
        help="Correct the measured offset between PAN and MS by moving MS to PAN, for all methods; without it, "
        "universal and adapters move PAN to MS, and other methods correct nothing.",
    ),
    _shared("--window", type=_Numbers(int, "ROW,COL,HEIGHT,WIDTH"), help="Only these PAN pixels."),
    _shared("--bounds", type=_Numbers(float, "LEFT,BOTTOM,RIGHT,TOP"), help="Only this part, in PAN's CRS."),
    _shared("--src-nodata", type=float, help="No-data value of the inputs, where the files do not tell."),
    _shared(
        "--edge",
        type=click.Choice(["fill", "drop"]),
        default="fill",
        show_default=True,
        help="PAN pixels at the rim whose own MS pixel is missing.",
    ),
)

SETTINGS = _options(
    _shared("--set", "options", multiple=True, type=_Setting(), metavar="NAME=VALUE", help="Method option."),
    _shared(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of everything random."
    ),
)

METHOD = _options(
    _shared("--method", default=DEFAULT, show_default=True, metavar="NAME", help="Method, see: panloom methods."),
    SETTINGS,
)

OUTPUT = _options(
    _shared(
        "--format",
        type=click.Choice(["geotiff", "cog"]),
        default="geotiff",
        show_default=True,
        help="geotiff: a tiled GeoTIFF; cog: a cloud-optimised one, for reading over a network.",
    ),
    _shared("--dtype", metavar="TYPE", help="Output type; default: that of MS."),
    _shared("--nodata", metavar="NUMBER|nan|mask", help="No-data of the output; default: as in the inputs."),
    _shared("--co", "creation", multiple=True, type=_Setting(), metavar="NAME=VALUE", help="GDAL creation option."),
    _shared("--overviews", is_flag=True, help="Build overviews in a GeoTIFF (a COG always has them)."),
)

COMPUTE = _options(
    _shared("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:N, or auto (CUDA where there is one)."),
    _shared("--threads", type=click.IntRange(1), help="Tiles computed at once; default: one per processor."),
)

MACHINE = _options(
    COMPUTE,
    _shared(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="Of networks; auto: bfloat16 where the hardware has it and its error is small.",
    ),
    _shared(
        "--memory", type=click.IntRange(1), default=2048, show_default=True, metavar="MB", help="Memory to stay below."
    ),
)

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
