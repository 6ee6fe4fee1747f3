"""One step: the mean gradient of its examples over all processes, and whether it may be trusted."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from panloom.compute import each, to_device
from panloom.data.example import Example
from panloom.errors import TrainingError
from panloom.train._learner import Learner, length
from panloom.train._processes import Processes
from panloom.train.recipe import Recipe, stream
from panloom.train.run import Book, Line, Run


@dataclass(frozen=True)
class Work:
    """What stands still while the steps go by."""

    recipe: Recipe
    run: Run
    learner: Learner
    book: Book
    group: Processes
    device: torch.device

    def examples(self) -> Generator[tuple[int, Example]]:
        """The examples of this process from the learner's step on, each with its number, made ahead."""
        recipe, first = self.recipe, self.learner.step * self.recipe.examples
        mine = range(first + self.group.rank, recipe.steps * recipe.examples, self.group.world)
        with closing(each(mine, self._drawn, self.run.workers, self.run.workers + 1)) as drawn:
            for index, batch in zip(mine, drawn, strict=True):
                yield index, Example(to_device(batch.pair, self.device), batch.truth.to(self.device))

    def _drawn(self, index: int) -> Example:
        # `each` computes in inference mode, and autograd keeps no tensor that was made so, one in a cache neither.
        with torch.inference_mode(False), torch.no_grad():
            return self.recipe.draw(index)


@dataclass(frozen=True)
class Notes:
    """What the processes tell each other about a step, besides the gradient: one row per example.

    Attributes:
        rows: loss and length of the gradient of each example, images in it, and band samples in its truth.
        stop: how many processes were asked to stop.
    """

    rows: Float[Tensor, "n 4"]
    stop: float


def gradient(work: Work, examples: Generator[tuple[int, Example]], stop: bool) -> tuple[Float[Tensor, " n"], Notes]:
    """The mean gradient of the examples of a step, over all processes."""
    recipe, learner = work.recipe, work.learner
    rows = torch.zeros(recipe.examples + 1, 4, device=work.device)
    rows[-1, 0] = float(stop)
    total = torch.zeros((), device=work.device)
    for _ in range(recipe.examples // work.group.world):
        index, batch = next(examples)
        loss, gradient = learner.gradient(batch, stream(recipe.seed, "objective", index))
        total = total + gradient
        counts = batch.truth.shape[0], batch.truth.numel()
        rows[index % recipe.examples] = torch.tensor([loss, length(gradient), *counts])
    work.group.add(total, rows)
    return total / recipe.examples, Notes(rows[:-1].cpu(), float(rows[-1, 0]))


def check(work: Work, notes: Notes, norm: float) -> None:
    """Stop before numbers that are none reach the weights; these are saved as they are.

    Raises:
        TrainingError: with the step and the example.
    """
    if math.isfinite(norm) and notes.rows.isfinite().all():
        return
    step, n = work.learner.step, work.recipe.examples
    if work.group.first:
        work.book.save(work.learner)
    bad = [i for i, row in enumerate(notes.rows) if not row.isfinite().all()] or list(range(n))
    words = ", ".join(f"{step * n + i} (loss {notes.rows[i, 0]:g}, gradient {notes.rows[i, 1]:g})" for i in bad[:4])
    raise TrainingError(
        f"step {step + 1}: not finite in example {words} of seed {work.recipe.seed}. Training stopped; the weights "
        f"before this step are in {work.book.last}. Lower the learning rate or clip the gradient, or look at the "
        f"example: recipe.draw({step * n + bad[0]})"
    )


def told(learner: Learner, notes: Notes, rate: float, norm: float, spent: float) -> Line:
    """What the log says of a step."""
    loss, _, images, samples = notes.rows.double().sum(0).tolist()
    return {
        "step": learner.step,
        "loss": loss / len(notes.rows),
        "lr": rate,
        "grad_norm": norm,
        "seconds": learner.seconds,
        "images_per_s": images / spent,
        "samples_per_s": samples / spent,
    }
