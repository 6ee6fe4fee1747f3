"""Interrupted and killed runs leave nothing under the final name, and go on to the same bytes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from system_tools import call, digest, leftovers, one_line, pixels, scene_files, told
from system_tools import run_api as run

from panloom.errors import OutputError, PanloomError
from panloom.run import _output
from panloom.run import sharpen as engine
from panloom.scene._journal import Journal
from panloom.scene.writer import GeoTiffWriter
from panloom.types import Window

pytestmark = pytest.mark.usefixtures("tiles_of_64", "no_registration")

DRIVER = """
import signal, sys, time
import panloom.run._output as output
from functools import partial
from panloom.run import sharpen as engine
from panloom.scene import writer

pause, last = float(sys.argv.pop(1)), float(sys.argv.pop(1))
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells switch it off in background jobs
engine.tile_size = lambda ratio, multiple=1: 64
output.GeoTiffWriter = partial(writer.GeoTiffWriter, flush_seconds=0.05)
finish, whole = engine.finish, writer._is_complete


def slowly(*words):
    time.sleep(pause)
    return finish(*words)


def lingering(*words, **more):
    time.sleep(last)
    return whole(*words, **more)


engine.finish, writer._is_complete = slowly, lingering
from panloom.cli import main

main()
"""


# --- interruption in this process -------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """The engine fails at one tile of the run that is made inside."""

    def after(tiles, error):
        real, calls, lock = engine.finish, [], threading.Lock()

        def failing(*words):
            with lock:
                calls.append(1)
            if len(calls) > tiles:
                raise error
            return real(*words)

        patch = pytest.MonkeyPatch()
        patch.setattr(engine, "finish", failing)
        return patch

    return after


def interrupted(files, out, broken, error=None, tiles=6, **settings):
    patch = broken(tiles, error or PanloomError("the power went off"))
    try:
        with pytest.raises((PanloomError, KeyboardInterrupt)):
            run(files, out, **settings)
    finally:
        patch.undo()


@pytest.mark.parametrize("settings", [{}, {"format": "cog"}, {"overviews": True}], ids=["geotiff", "cog", "overviews"])
def test_resumed_run_has_the_bytes_of_an_uninterrupted_one(many, tmp_path, broken, settings):
    run(many, tmp_path / "whole.tif", **settings)
    out = tmp_path / "out.tif"
    interrupted(many, out, broken, threads=2, **settings)
    assert not out.exists()
    assert leftovers(tmp_path)
    report = run(many, out, threads=1, resume=True, **settings)
    assert 0 < report.tiles["resumed"] <= 6
    assert any("taken over" in note for note in report.notes)
    assert digest(out) == digest(tmp_path / "whole.tif")
    assert not leftovers(tmp_path)


def test_existing_output_stands_until_the_new_one_is_complete(many, tmp_path, broken):
    out = tmp_path / "out.tif"
    out.write_bytes(b"precious")
    interrupted(many, out, broken, overwrite=True)
    assert out.read_bytes() == b"precious"
    with pytest.raises(OutputError, match="exists"):
        run(many, out, resume=True)
    run(many, out, resume=True, overwrite=True)
    assert pixels(out).shape == (4, 256, 240)


def test_resuming_something_else_is_refused(many, tmp_path, broken):
    out = tmp_path / "out.tif"
    interrupted(many, out, broken)
    before = {name: digest(tmp_path / name) for name in leftovers(tmp_path)}
    others = [
        {"method": "exp"},
        {"method": "gsa", "options": {"form": "physical"}},
        {"dtype": "float32"},
        {"nodata": 7},
        {"bands": ["1", "2", "3"]},
        {"ms_shift": (0.25, 0.0)},
        {"window": Window(0, 0, 256, 200)},
        {"edge": "drop"},
        {"seed": 3},
        {"sensor": "worldview-2"},
        {"creation": {"COMPRESS": "DEFLATE"}},
        {"format": "cog"},
    ]
    for other in others:
        with pytest.raises(OutputError, match=r"cannot resume .* without --resume"):
            run(many, out, resume=True, **other)
        assert {name: digest(tmp_path / name) for name in leftovers(tmp_path)} == before, other
        assert not out.exists()


def test_resuming_with_changed_inputs_is_refused(tmp_path, broken):
    files = scene_files(tmp_path / "in", 150, 150, sensor="worldview-3", bands=4)
    out = tmp_path / "out.tif"
    interrupted(files, out, broken, tiles=4)
    os.utime(files.ms, (1, 1))
    with pytest.raises(OutputError, match="cannot resume"):
        run(files, out, resume=True)


def test_nothing_to_resume_starts_anew_and_says_so(many, tmp_path):
    report = run(many, tmp_path / "out.tif", resume=True)
    assert any("no earlier run" in warning for warning in report.warnings)


def test_a_damaged_journal_is_refused(many, tmp_path, broken):
    out = tmp_path / "out.tif"
    interrupted(many, out, broken)
    (tmp_path / ".out.tif.partial.json").write_text("nonsense\n")
    with pytest.raises(OutputError, match="journal"):
        run(many, out, resume=True)
    run(many, out)
    assert not leftovers(tmp_path)


def test_keyboard_interrupt_on_the_command_line(many, tmp_path, broken):
    out = tmp_path / "out.tif"
    patch = broken(6, KeyboardInterrupt())
    result = call("sharpen", "-q", *many.words, out)
    patch.undo()
    assert result.exit_code == 1
    assert "--resume" in told(result)
    assert not out.exists()
    run(many, tmp_path / "whole.tif")
    run(many, out, resume=True)
    assert digest(out) == digest(tmp_path / "whole.tif")


def test_interrupt_right_after_the_journal_was_written(many, tmp_path, monkeypatch):
    """Ctrl-C at the worst moment: the tiles are in the journal, and the writer does not know it yet."""
    out = tmp_path / "out.tif"
    run(many, tmp_path / "whole.tif")
    real, calls = Journal.append, []

    def append(self, lengths):
        real(self, lengths)
        calls.append(len(lengths))
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", append)
        patch.setattr(_output, "GeoTiffWriter", partial(GeoTiffWriter, flush_seconds=0.0))
        with pytest.raises(KeyboardInterrupt):
            run(many, out)
    report = run(many, out, resume=True)
    assert report.tiles["resumed"] == 3
    assert digest(out) == digest(tmp_path / "whole.tif")


def test_progress_counts_the_pixels_of_every_tile(many, tmp_path, broken):
    """Four rows of tiles of 64 x 64; the last of a row is 48 wide."""
    told_of = []
    sizes = [64 * 64, 64 * 64, 64 * 64, 64 * 48] * 4
    steps = [(sum(sizes[:k]), 256 * 240) for k in range(1, 17)]
    run(many, tmp_path / "out.tif", progress=lambda done, total: told_of.append((done, total)))
    assert told_of == steps
    interrupted(many, tmp_path / "two.tif", broken)
    told_of.clear()
    report = run(many, tmp_path / "two.tif", resume=True, progress=lambda done, total: told_of.append((done, total)))
    assert told_of == steps[report.tiles["resumed"] :]


def test_scene_files_are_closed(many, tmp_path, broken):
    def open_files():
        return [p for p in os.listdir("/proc/self/fd") if str(many.pan.parent) in _link(p)]

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc: open files cannot be counted")
    run(many, tmp_path / "out.tif")
    interrupted(many, tmp_path / "two.tif", broken)
    assert not open_files()


def _link(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


def test_log_is_quiet(many, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG, logger="panloom"):
        run(many, tmp_path / "out.tif", method="exp", edge="drop", sensor="worldview-3")
    assert [r for r in caplog.records if r.name.startswith("panloom") and r.levelno > logging.WARNING] == []


# --- processes that are killed ----------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path):
    """Start a slow run in a process of its own; it is gone when the test ends."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    children = []

    def start(files, out, *words, pause=0.25, last=0.0):
        command = [sys.executable, script, str(pause), str(last), "sharpen", "-q", *files.words, out, "--threads", "2"]
        child = subprocess.Popen([*map(str, command), *words], stderr=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def wait_for(condition, child, seconds=60):
    """Until the condition holds; fails where the child ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def journal_lines(out):
    journal = out.with_name(f".{out.name}.partial.json")
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.fixture(scope="module")
def references(many, tmp_path_factory):
    """Digests of uninterrupted runs."""
    folder = tmp_path_factory.mktemp("references")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "tile_size", lambda ratio, multiple=1: 64)
        for form in ("geotiff", "cog"):
            run(many, folder / form, format=form)
            found[form] = digest(folder / form)
    return found


@pytest.mark.parametrize("form", ["geotiff", "cog"])
def test_killed_again_and_again(many, tmp_path, started, references, monkeypatch, form):
    """SIGKILL at three moments, each time resumed; the last run is left in peace."""
    out = tmp_path / "out.tif"
    rng = np.random.default_rng()
    for words in ([], ["--resume"], ["--resume"]):
        before = journal_lines(out)
        child = started(many, out, "--format", form, *words)
        wait_for(lambda before=before: journal_lines(out) > before + int(not before), child)
        time.sleep(rng.uniform(0, 0.25))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert not out.exists()
    monkeypatch.setattr(_output, "GeoTiffWriter", partial(GeoTiffWriter, flush_seconds=0.05))
    resumed = run(many, out, format=form, resume=True).tiles["resumed"]
    assert resumed > 2
    assert digest(out) == references[form]
    assert not leftovers(tmp_path)


def test_killed_while_the_file_is_completed(many, tmp_path, started, references):
    """All tiles are there, the cloud-optimised copy too, but not the name."""
    out = tmp_path / "out.tif"
    child = started(many, out, "--format", "cog", pause=0.0, last=30.0)
    wait_for((tmp_path / ".out.tif.partial.cog").exists, child)
    time.sleep(0.1)
    child.kill()
    child.wait()
    assert not out.exists()
    assert run(many, out, format="cog", resume=True).tiles == {"all": 16, "resumed": 16}
    assert digest(out) == references["cog"]
    assert not leftovers(tmp_path)


def test_control_c(many, tmp_path, started, references):
    out = tmp_path / "out.tif"
    child = started(many, out)
    wait_for(lambda: journal_lines(out) > 1, child)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=30)
    assert child.returncode == 1
    assert "--resume" in one_line(stderr)
    assert not out.exists()
    assert run(many, out, resume=True).tiles["resumed"] > 0
    assert digest(out) == references["geotiff"]
