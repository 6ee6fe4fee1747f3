"""Many scenes, one after the other: what is done is skipped, a failed pair does not stop the rest, one record."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from panloom.errors import PanloomError, ResumeError, SceneError
from panloom.run._aside import make_folder, write_text
from panloom.run._tags import METHOD, OPTIONS, SEED, SETTINGS, WEIGHTS, made_by
from panloom.run.pairing import Job, Pairs, find
from panloom.run.report import Report, versions
from panloom.run.resolve import DEFAULT
from panloom.run.sharpen import sharpen
from panloom.scene import Raster, Reader, describe
from panloom.scene.pairing import Unmatched
from panloom.scene.writer import unfinished
from panloom.types import Window

__all__ = ["BatchReport", "Job", "Outcome", "Pairs", "Unmatched", "find", "run"]

#: Name of the record in the folder of the results.
RECORD = "batch.json"

log = logging.getLogger("panloom")

Status = Literal["waiting", "running", "done", "skipped", "failed", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """What became of one pair.

    Attributes:
        job: the pair.
        status: "done" in this run, "skipped" because it was done before, "failed", or not (wholly) done yet.
        seconds: time taken.
        error: of a failed pair, one line.
        note: what the user should know about a skipped pair.
        report: of a pair that was done in this run.
    """

    job: Job
    status: Status = "waiting"
    seconds: float = 0.0
    error: str | None = None
    note: str | None = None
    report: Report | None = None

    def record(self) -> dict[str, object]:
        """What goes into the JSON: of the report only what differs from pair to pair."""
        found = {**asdict(self.job), "status": self.status, "seconds": self.seconds}
        found |= {key: text for key, text in (("error", self.error), ("note", self.note)) if text}
        if self.report is not None:
            whole = asdict(self.report)
            found |= {key: whole[key] for key in ("method", "sensor", "registration", "pixels", "notes", "warnings")}
        return found


@dataclass(frozen=True)
class BatchReport:
    """The record of a batch.

    Attributes:
        outcomes: one for each pair, in order.
        unmatched: files that are in no pair, and why.
        seconds: time taken.
        versions: of panloom and what it stands on.
    """

    outcomes: tuple[Outcome, ...]
    unmatched: tuple[Unmatched, ...]
    seconds: float
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs have each status."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    @property
    def ok(self) -> bool:
        """Every pair is done; unmatched files do not count."""
        return all(outcome.status in ("done", "skipped") for outcome in self.outcomes)

    def to_json(self) -> str:
        """The record as indented JSON."""
        record = {
            "counts": self.counts,
            "seconds": self.seconds,
            "pairs": [outcome.record() for outcome in self.outcomes],
            "unmatched": [asdict(entry) for entry in self.unmatched],
            "versions": self.versions,
        }
        return json.dumps(record, indent=2, default=str)


#: Told when a pair begins and when it ends: what became of it, its place from 1, and pairs in all.
Told = Callable[[Outcome, int, int], None]


def run(
    pairs: Pairs,
    *,
    sharpen: Callable[..., Report] = sharpen,
    method: str = DEFAULT,
    options: Mapping[str, object] | None = None,
    settings: Mapping[str, object] | None = None,
    skip_done: bool = True,
    on_job: Told | None = None,
) -> BatchReport:
    """Sharpen all pairs.

    Args:
        pairs: from `find`.
        sharpen: `panloom.run.sharpen.sharpen`, perhaps with keywords bound by `functools.partial` that change nothing
            in the result; `method`, `options`, `settings`, `overwrite` and `resume` are set here.
        method: see `panloom methods`.
        options: of the method.
        settings: other keywords of `sharpen` for every pair: `bands`, `extent`, `dtype`, ...
        skip_done: leave out pairs whose result is complete and not older than its inputs. Results of other methods,
            options or settings count too, with a note; False does all pairs anew, over what is there.
        on_job: told when a pair begins and when it ends.

    Returns:
        What became of every pair. The same stands in `batch.json` in the folder of the results after every pair, so
        that a killed batch leaves a record; run again, it goes on.

    Raises:
        OutputError: the folder of the results or the record cannot be written.
    """
    started = time.perf_counter()
    make_folder(pairs.folder)
    outcomes = [Outcome(job) for job in pairs.jobs]
    wanted = made_by(method, options, settings or {})
    sharpen = partial(sharpen, method=method, options=options, **(settings or {}))

    def told(index: int, outcome: Outcome) -> BatchReport:
        outcomes[index] = outcome
        report = BatchReport(tuple(outcomes), pairs.unmatched, round(time.perf_counter() - started, 3))
        # Pairs that are skipped cost no time, and writing the record for each of thousands would.
        if outcome.status != "skipped":
            write_text(pairs.folder / RECORD, report.to_json() + "\n")
        if on_job is not None:
            on_job(outcome, index + 1, len(outcomes))
        return report

    for index, job in enumerate(pairs.jobs):
        standing = _standing(job) if skip_done else None
        if standing is not None:
            told(index, Outcome(job, "skipped", note=_note(standing, wanted)))
            continue
        told(index, Outcome(job, "running"))
        began = time.perf_counter()
        try:
            outcome = _one(job, sharpen, resume=skip_done)
        except KeyboardInterrupt:
            told(index, Outcome(job, "interrupted", _since(began)))
            raise
        told(index, replace(outcome, seconds=_since(began)))
    report = BatchReport(tuple(outcomes), pairs.unmatched, round(time.perf_counter() - started, 3))
    write_text(pairs.folder / RECORD, report.to_json() + "\n")
    return report


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)


def _one(job: Job, sharpen: Callable[..., Report], *, resume: bool) -> Outcome:
    """One pair, whatever happens."""
    try:
        make_folder(Path(job.out).parent)
        return Outcome(job, "done", report=_sharpened(job, sharpen, resume=resume))
    except PanloomError as error:
        return Outcome(job, "failed", error=" ".join(str(error).split()))
    except Exception as error:
        # Whatever went wrong with this pair, the others must not suffer from it.
        log.debug("%s failed", job.name, exc_info=True)
        return Outcome(job, "failed", error=" ".join(f"{type(error).__name__}: {error}".split()))


def _sharpened(job: Job, sharpen: Callable[..., Report], *, resume: bool) -> Report:
    """Go on with an unfinished result, unless it was to be another one."""
    if resume and unfinished(job.out):
        try:
            return sharpen(job.pan, list(job.ms), job.out, overwrite=True, resume=True)
        except ResumeError as error:
            log.info("%s: %s", job.name, error)
    return sharpen(job.pan, list(job.ms), job.out, overwrite=True, resume=False)


def _standing(job: Job) -> Raster | None:
    """The result, if it is there, can be read to its end and is not older than its inputs."""
    out, inputs = Path(job.out), [Path(path) for path in (job.pan, *job.ms)]
    if not out.is_file() or any(path.is_file() and path.stat().st_mtime > out.stat().st_mtime for path in inputs):
        return None
    try:
        raster = describe(job.out)
        with closing(Reader(raster, raster.bands)) as reader:
            reader.read(Window(raster.height - 1, raster.width - 1, 1, 1))
    except SceneError:
        return None
    return raster


def _note(standing: Raster, wanted: Mapping[str, str]) -> str | None:
    """Where the result that is there is not what this call would make."""
    made = standing.tags
    if METHOD not in made:
        what = "another program"
    elif made[METHOD] != wanted[METHOD]:
        what = f"{made[METHOD]}, not with {wanted[METHOD]}"
    else:
        kinds = {WEIGHTS: "weights", OPTIONS: "options", SETTINGS: "settings", SEED: "seed"}
        pairs = {kind: (made.get(tag, "none"), wanted.get(tag, "none")) for tag, kind in kinds.items()}
        other = [f"other {kind} ({has}, not {wants})" for kind, (has, wants) in pairs.items() if has != wants]
        if not other:
            return None
        what = " and ".join(other)
    return f"the result that is there was made with {what}; --again replaces it"
