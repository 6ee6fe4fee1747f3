"""`panloom train`."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from panloom.cli._console import bar, err
from panloom.cli._words import QUIET

if TYPE_CHECKING:
    from panloom.train import Recipe
    from panloom.train.run import Line

#: What the process returns after it was asked to stop, as shells have it for Ctrl-C.
_STOPPED = 130

#: Seconds between two lines of a log that is no terminal.
_PAUSE = 10.0
#: The loss that is shown is a mean over about this many steps.
_SMOOTH = 50


@click.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Training data, where the recipe wants any.")
@click.option("--steps", type=click.IntRange(1), help="Instead of the recipe's number.")
@click.option("--examples", type=click.IntRange(1), help="Batches in one step, instead of the recipe's number.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Of layers, instead of the recipe's.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto (CUDA if there is one).")
@click.option("--threads", type=click.IntRange(1), help="Threads of every operation; default: one per processor.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads that make examples.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option(
    "--init",
    type=click.Path(dir_okay=False, path_type=Path),
    help="First weights: a safetensors file, or a run's last.pt.",
)
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard as well.")
@QUIET
def train(recipe: Path, out: Path, tensorboard: bool, quiet: bool, **options: Any) -> None:  # noqa: ANN401  click's own
    """Train a network as RECIPE says, a Python file with a function `recipe(data)`; see docs/training.md.

    Ctrl-C ends the run after the step with a checkpoint; --resume goes on from there, and the result is the same.
    Under torchrun the processes share the examples of each step.
    """
    from panloom.train import Run, launched, load_recipe, origin
    from panloom.train import train as run

    first = launched().first  # the others of torchrun's processes say nothing
    data = options.pop("data")
    changes = {name: options.pop(name) for name in ("steps", "examples", "seed", "precision")}
    made = load_recipe(recipe, data).changed(**changes)
    job = Run(out, origin=origin(recipe, data), **options)
    shown, events = _shown(made, quiet=quiet or not first), _events(out, wanted=tensorboard and first)
    with _stop() as stop, shown as bars, events as writers:
        done = run(made, job, [*bars, *writers], stop)
    if first and not done:
        err.print(f"stopped; go on with --resume --out {out}")
    elif first and not quiet:
        err.print(_next(out, made))
    if not done:
        raise SystemExit(_STOPPED)


def _next(out: Path, recipe: Recipe) -> str:
    """The weights that a run has made, and the command that uses them."""
    if recipe.card is not None:
        file = out / f"{recipe.card.name}.safetensors"
        return f"{file}: the weights, with their card; panloom sharpen PAN MS OUT --method {shlex.quote(str(file))}"
    file = out / "model.safetensors"
    words = f"{shlex.quote(str(file))} --tag TAG --licence TEXT"
    return (
        f"{file}: the weights, without a card; panloom weights import {words} keeps them for --method "
        f"{recipe.network}.TAG"
    )


@contextmanager
def _stop() -> Iterator[Callable[[], bool]]:
    """Whether the user or the system wants an end: asked after each step, so that no step is cut in two."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:  # the second time at once
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown(recipe: Recipe, *, quiet: bool) -> Iterator[list[Callable[[Line], None]]]:
    """Progress: a bar on a terminal, else a line every ten seconds."""
    console = bar(quiet=quiet)
    news = _News(recipe.steps)
    if not console.is_terminal:
        yield [] if quiet else [_lines(console, news)]
        return
    columns = TextColumn("train"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as shown:
        task = shown.add_task("train", total=recipe.steps, words="")

        def told(line: Line) -> None:
            news.take(line)
            shown.update(task, completed=line["step"], words=news.words())

        yield [told]


class _News:
    """The loss, smoothed, and the last scores."""

    def __init__(self, steps: int) -> None:
        self.steps, self._step, self._loss, self._seen, self._scores = steps, 0, 0.0, 0, ""

    def take(self, line: Line) -> None:
        """Look at a line of the log."""
        self._step = line["step"]
        if "loss" in line:
            self._seen += 1
            self._loss += (line["loss"] - self._loss) / min(self._seen, _SMOOTH)
        else:
            self._scores = "".join(f", {name} {value:.4g}" for name, value in line["development"].items())

    def words(self) -> str:
        """All of it in one line."""
        return f"{self._step}/{self.steps} loss {self._loss:.4g}{self._scores}"


def _lines(console: Console, news: _News) -> Callable[[Line], None]:
    began = last = time.monotonic()
    first = None

    def told(line: Line) -> None:
        nonlocal last, first
        first = line["step"] if first is None else first
        news.take(line)
        now, made = time.monotonic(), line["step"] - first
        if "development" in line or now - last > _PAUSE:
            last = now
            left = (now - began) / made * (news.steps - line["step"]) if made else float("nan")
            console.print(f"train: {news.words()}, {left:.0f} s left", highlight=False)

    return told


@contextmanager
def _events(out: Path, *, wanted: bool) -> Iterator[list[Callable[[Line], None]]]:
    """TensorBoard's events; nothing where they are not wanted."""
    if not wanted:
        yield []
        return
    from panloom.train import events

    with events(out) as told:
        yield [told]
