"""The loop.

Step k of a run takes the examples k n .. k n + n - 1 of its recipe, where n is `recipe.examples`. Each is a pure
function of the seed and its number, so that a run that was interrupted, or that is shared by several processes, sees
what a straight one sees: resuming is exact by construction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import torch

from panloom.compute import Policy, processors, torch_threads
from panloom.errors import OptionError
from panloom.train._facts import completed, facts, statistics
from panloom.train._learner import Learner, length
from panloom.train._memory import memory_kept
from panloom.train._processes import processes
from panloom.train._step import Work, check, gradient, told
from panloom.train.recipe import Recipe
from panloom.train.run import Book, Line, Run

Told = Callable[[Line], None]


def train(recipe: Recipe, run: Run, tell: Sequence[Told] = (), stop: Callable[[], bool] = lambda: False) -> bool:
    """Train, or go on with it.

    Args:
        recipe: what is learned.
        run: where and how.
        tell: told every line of the log.
        stop: asked after each step; True ends the run with a checkpoint.

    Returns:
        Whether all steps are made.

    Raises:
        OptionError: no such device, or examples that cannot be shared evenly by the processes.
        TrainingError: loss, gradient or weights are not finite, or the folder holds another run.
    """
    device = Policy.in_memory(run.device, run.threads).device
    with memory_kept(), torch_threads(run.threads or processors()), processes(device) as group:
        if recipe.examples % group.world:
            raise OptionError(
                f"{recipe.examples} examples a step cannot be shared by {group.world} processes; "
                f"give --examples {group.world} or a multiple"
            )
        device = group.device(device)
        book = Book(run, recipe)
        book.check()
        group.wait()
        learner = Learner(recipe, device, run.init)
        book.open(learner, write=group.first)
        group.wait()
        _steps(Work(recipe, run, learner, book, group, device), tell, stop)
        done = learner.step == recipe.steps
        if done and group.first:
            _finish(book, learner, recipe, facts(recipe, run, learner.seconds, device))
        group.wait()
        return done


def _finish(book: Book, learner: Learner, recipe: Recipe, told: dict[str, Any]) -> None:
    """The weights that are kept, with all that is known about them."""
    net = learner.kept().cpu()
    net.source = statistics(recipe)
    book.finish(net, told, None if recipe.card is None else completed(recipe.card, told))


def _steps(work: Work, tell: Sequence[Told], stop: Callable[[], bool]) -> None:
    """All steps that are left."""
    learner, saved, began = work.learner, time.monotonic(), time.monotonic()
    with closing(work.examples()) as examples:
        while learner.step < work.recipe.steps:
            slope, notes = gradient(work, examples, stop())
            norm = length(slope)
            check(work, notes, norm)
            rate = learner.update(slope, norm)
            spent, began = time.monotonic() - began, time.monotonic()
            learner.seconds += spent
            _tell(work, tell, told(learner, notes, rate, norm, spent))
            if _looked(work):
                _tell(work, tell, _scores(work))
                began = time.monotonic()  # looking is no training
            halted = bool(notes.stop)
            if halted or learner.step == work.recipe.steps or time.monotonic() - saved > work.run.save_every:
                saved = time.monotonic()
                if work.group.first:
                    work.book.save(learner)
            if halted:
                return


def _looked(work: Work) -> bool:
    """Whether the development data are due."""
    development, step = work.recipe.development, work.learner.step
    return development is not None and (step % development.every == 0 or step == work.recipe.steps)


def _scores(work: Work) -> Line:
    """What the log says of the development data; the first process looks at them."""
    development = work.recipe.development
    with torch.no_grad():
        scores = development.score(work.learner.kept()) if development and work.group.first else {}
    return {"step": work.learner.step, "development": dict(scores)}


def _tell(work: Work, tell: Sequence[Told], line: Line) -> None:
    if work.group.first:
        for hear in (work.book.tell, *tell):
            hear(line)
