"""The command line. Each family of commands is a module; what is heavy is imported inside the commands."""

from __future__ import annotations

import logging
import sys
import warnings

import click

from panloom._version import __version__
from panloom.cli._adapt import adapt
from panloom.cli._analyze import analyze
from panloom.cli._demo import demo
from panloom.cli._look import cite, info, methods, sensors
from panloom.cli._score import bench, compare, evaluate
from panloom.cli._sharpen import batch, sharpen
from panloom.cli._train import train
from panloom.cli._weights import weights
from panloom.errors import MethodError, OptionError, PanloomError, PanloomWarning, SensorError

__all__ = ["main"]


class _Failure(click.ClickException):
    """A PanloomError as one line; exit code 2 where the call was wrong, 1 where the work failed."""

    def __init__(self, error: PanloomError) -> None:
        super().__init__(" ".join(str(error).split()))
        self._usage = isinstance(error, (OptionError, MethodError, SensorError))

    @property
    def exit_code(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the process returns."""
        return 2 if self._usage else 1


class _Group(click.Group):
    """Turns panloom's errors into messages, also below `rio`."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PanloomError as error:
            raise _Failure(error) from error
        except (click.exceptions.Exit, click.Abort):  # RuntimeErrors, by which click ends a command
            raise
        except (MemoryError, RuntimeError) as error:
            from panloom.compute import out_of_memory

            if not out_of_memory(error):
                raise
            raise _Failure(PanloomError(f"memory ran out ({error}); use fewer --threads, or close programs")) from error


@click.group("panloom", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="panloom")
def main() -> None:
    """Weaves sharp and spectral satellite images into one.

    A scene is always PAN MS [MS ...], in that order.
    """
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.addLevelName(logging.WARNING, "warning")
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, category: type[Warning], *_place: object) -> None:
    """Panloom's warnings as log lines; those of libraries are no news to a user."""
    if issubclass(category, PanloomWarning):
        logging.getLogger("panloom").warning("%s", message)


for _command in (
    sharpen,
    batch,
    adapt,
    train,
    evaluate,
    compare,
    bench,
    analyze,
    info,
    methods,
    sensors,
    cite,
    demo,
    weights,
):
    main.add_command(_command)
