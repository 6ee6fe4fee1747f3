"""One run of a recipe: how it is to be done, and the folder that it fills."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from panloom import weights
from panloom.errors import PanloomWarning, TrainingError
from panloom.networks import Network
from panloom.scene import write_aside
from panloom.train._learner import Learner, read_checkpoint, refuse_old_torch
from panloom.train.recipe import Recipe
from panloom.weights import Card

#: Of the checkpoint's layout; raise it when what stands in a checkpoint changes its meaning.
VERSION = 1

#: Letters of a setting that a message tells in full.
_LONG = 160

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """How a recipe is run; nothing here decides what is learned.

    Attributes:
        out: the folder of the run.
        device: "auto" (CUDA where there is one), "cpu", "cuda", ...
        threads: of every operation; None: one per processor.
        workers: threads that make examples ahead of the loop.
        resume: go on from the checkpoint in `out`.
        init: safetensors file of the first weights, or checkpoint whose average they are; None: random ones.
        save_every: seconds between two checkpoints.
        origin: facts about the recipe, such as its file and text: another one on resuming is warned of.
    """

    out: Path
    device: str = "auto"
    threads: int | None = None
    workers: int = 1
    resume: bool = False
    init: Path | None = None
    save_every: float = 300.0
    origin: Mapping[str, str] = field(default_factory=dict)


class Book:
    """The folder of a run.

    - `train.jsonl`: one line per step, and one per look at the development data;
    - `last.pt`, `previous.pt`: checkpoints;
    - `model.safetensors`, `facts.json`: the result, and with a card `NAME.safetensors` and `NAME.toml`.
    """

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self._run, self._recipe = run, recipe
        self.log, self.last, self.previous = (run.out / name for name in ("train.jsonl", "last.pt", "previous.pt"))
        self.result = run.out / "model.safetensors"

    def check(self) -> None:
        """Refuse a folder that holds a run already, or, where one is to be gone on with, holds none.

        Raises:
            TrainingError: so it is.
        """
        there = [path.name for path in (self.log, self.last, self.previous, self.result) if path.exists()]
        if there and not self._run.resume:
            raise TrainingError(
                f"{self._run.out} holds a run already ({', '.join(there)}): go on with it by --resume, "
                "or give another --out"
            )
        if self._run.resume and not there:
            raise TrainingError(
                f"{self._run.out} holds no run that --resume could go on with: give the folder of one with --out, or "
                "leave --resume away to begin one there"
            )

    def open(self, learner: Learner, *, write: bool) -> None:
        """Bring the learner to where the run was left, and the log as well.

        Raises:
            TrainingError: the checkpoint is damaged, of another version or of another recipe.
        """
        if self._run.resume and (self.last.exists() or self.previous.exists()):
            self._restore(learner)
        elif self._run.resume:
            words = f"{self._run.out} holds no checkpoint yet: the run begins again with step 1"
            warnings.warn(words, PanloomWarning, stacklevel=2)
        if write:
            self._run.out.mkdir(parents=True, exist_ok=True)
            self._cut(learner.step)

    def tell(self, line: Line) -> None:
        """Add a line to the log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save(self, learner: Learner) -> None:
        """Write a checkpoint aside and rename it; the one before is kept as well.

        Raises:
            TrainingError: weights are not finite; the checkpoints stay as they are.
        """
        if not learner.finite():
            raise TrainingError(
                f"step {learner.step}: weights are not finite; {self.last.name} and {self.previous.name} stay as they "
                "were. Lower the learning rate or clip the gradient"
            )
        aside = self.last.with_name(".last.pt.partial")
        state = {"version": VERSION, "settings": self._recipe.settings(), "origin": self._origin(), **learner.state()}
        torch.save(state, aside)
        if self.last.exists():
            os.replace(self.last, self.previous)
        os.replace(aside, self.last)

    def finish(self, net: Network, facts: Mapping[str, Any], card: Card | None) -> None:
        """Write the weights that are kept, and the facts about how they came to be."""
        # One key: safetensors writes several in an order that differs from process to process.
        metadata = {"panloom": json.dumps({"network": self._recipe.network, "options": dict(self._recipe.options)})}
        tensors = {name: tensor.contiguous().cpu() for name, tensor in net.state_dict().items()}
        write_aside(self.result, save(tensors, metadata))
        write_aside(self._run.out / "facts.json", (json.dumps(facts, indent=2) + "\n").encode())
        if card is not None:
            weights.save(net, card, self._run.out, overwrite=True)

    def _origin(self) -> dict[str, str]:
        return {**self._run.origin, "threads": str(torch.get_num_threads()), "init": str(self._run.init)}

    def _restore(self, learner: Learner) -> None:
        state = self._read()
        if state["version"] != VERSION:
            raise TrainingError(
                f"{self.last}: a checkpoint of version {state['version']}; this panloom goes on from version {VERSION} "
                "only. Finish the run with the panloom that began it, or begin anew with --init"
            )
        self._compare(state["settings"], state["step"])
        for name, now in self._origin().items():
            if (before := state["origin"].get(name)) != now:
                warnings.warn(
                    f"the run was begun with {name} {before} and goes on with {now}: it may not be the same run as "
                    "without the interruption",
                    PanloomWarning,
                    stacklevel=2,
                )
        learner.restore(state)

    def _read(self) -> dict[str, Any]:
        """The last checkpoint that can be read."""
        refuse_old_torch(self.last)
        said = ""
        for path in (self.last, self.previous):
            try:
                state = read_checkpoint(path)
            except TrainingError as error:
                said = said or str(error)
                continue
            if said:
                words = f"{self.last} is damaged ({said}): the run goes on from {path.name}, step {state['step']}"
                warnings.warn(words, PanloomWarning, stacklevel=2)
            return state
        raise TrainingError(f"{self.last}: the checkpoint cannot be read ({said}); begin anew with another --out")

    def _compare(self, before: Mapping[str, str], step: int) -> None:
        """Refuse to go on with another recipe."""
        now = self._recipe.settings()
        differs = {name for name in {*before, *now} if not _same(before.get(name), now.get(name))}
        if differs == {"steps"} and self._recipe.schedule.open_ended and step <= self._recipe.steps:
            return
        if differs:
            words = "; ".join(_change(name, before.get(name), now.get(name)) for name in sorted(differs))
            more = ""
            if "steps" in differs:
                more = " (a schedule that ends with the run cannot be prolonged: all its rates would change)"
            raise TrainingError(
                f"{self._run.out} holds a run of another recipe: {words}{more}. Begin a new run with another --out, "
                "from these weights by --init"
            )

    def _cut(self, step: int) -> None:
        """Forget what the log says of later steps than the checkpoint's: they are made again."""
        if not self.log.exists():
            return
        kept = [text for text, line in _lines(self.log.read_text(encoding="utf-8")) if line["step"] <= step]
        write_aside(self.log, "".join(f"{text}\n" for text in kept).encode())


def _same(before: str | None, now: str | None) -> bool:
    """Whether a setting is as it was. A source that told only its kind, as those of older checkpoints, may be."""
    return before == now or bool(before and now and now.startswith(f"{before}("))


def _change(name: str, before: str | None, now: str | None) -> str:
    """What a setting was and is; of long words those around the first that differ."""
    letters = zip(str(before), str(now), strict=False)
    place = next((place for place, (one, other) in enumerate(letters) if one != other), 0)

    def cut(words: str | None) -> str:
        said = str(words)
        return said if len(said) < _LONG else f"...{said[max(place - _LONG // 4, 0) : place + _LONG // 2]}..."

    return f"{name} was {cut(before)} and is {cut(now)}"


def _lines(text: str) -> Iterable[tuple[str, Line]]:
    """The whole lines of a log; the last one may have been cut by a crash."""
    for line in text.splitlines():
        with suppress(json.JSONDecodeError):
            yield line, json.loads(line)
