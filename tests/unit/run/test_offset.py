"""The offset between PAN and MS in words: who corrects it, and what a method did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panloom.data import procedural
from panloom.optics import alignment
from panloom.optics.alignment import NOWHERE
from panloom.optics.registration import Shift
from panloom.run._offset import misregistration, moved_by, moved_in_words, registration, remedy, signed
from panloom.run.report import Registration
from panloom.run.resolve import resolve
from panloom.scene import Scene, array_scene


def displaced(by: tuple[float, float] = (0.4, -0.3), side: int = 384) -> Scene:
    recording = procedural.Recording(ratio=4, dtype="float32", misregistration=by)
    made = procedural.make(side, side, sensor="quickbird", wedge=False, recording=recording)
    pan, ms = (torch.from_numpy(x)[None] / 2047 for x in (made.pan[None], made.ms))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase)


def shift(row: float, spread: float = 0.01) -> Shift:
    return Shift(row, 0.0, 0.9, 9, spread)


@pytest.mark.parametrize("row", [0.0, 0.005, 0.02, 0.3, 0.99, 1.01, 3.0])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.5])
def test_what_is_said_to_move_pan_is_what_moves_it(row, spread, monkeypatch):
    monkeypatch.setattr(alignment, "measure", lambda pairs: shift(row, spread))
    said = registration(shift(row, spread), 4, align=False)
    assert said.moves_pan == (alignment.offset([], 4) != NOWHERE)
    assert not registration(shift(row, spread), 4, align=True).moves_pan


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "could not be measured"),
        (Registration(0.001, -0.002, 0.9, corrected=False), "MS lies 0.00 rows, 0.00 columns"),
        (Registration(0.001, -0.002, 0.9, corrected=False), "too little to correct"),
        (Registration(0.4, -0.3, 0.9, corrected=False, moves_pan=True), "move PAN there, so that their result lies"),
        (Registration(0.4, -0.3, 0.9, corrected=True), "corrected: MS is placed there"),
        (Registration(1.4, -0.3, 0.9, corrected=False), "no method corrects it by itself; --align does"),
    ],
)
def test_the_line_of_info_says_who_corrects_it(found, text):
    assert text in misregistration(found, 4)


def test_the_remedy_names_both_ways():
    text = remedy(Registration(0.4, -0.3, 0.9, corrected=False, moves_pan=True))
    assert all(word in text for word in ("universal", "adapters", "PAN", "--align", "all methods"))


def test_zero_has_no_sign():
    assert [signed(x) for x in (-0.0, -0.004, 0.004, 0.006, -0.006)] == ["0.00", "0.00", "0.00", "+0.01", "-0.01"]


@pytest.mark.parametrize("method", ["universal.open", "regression", "dicnn.qb-open+refit", "universal.open+project"])
def test_what_a_method_moved_pan_by_is_found(method):
    ready = resolve(method).prepare(displaced(), torch.Generator().manual_seed(0))
    assert moved_by(ready) == pytest.approx((0.4, -0.3), abs=0.08)
    (said,) = moved_in_words(moved_by(ready))
    assert "PAN was moved to where MS lies, +0." in said


def test_a_method_that_does_not_move_pan_says_nothing():
    scene = displaced()
    for method in ("gsa", "dicnn.qb-open"):
        ready = resolve(method).prepare(scene, torch.Generator().manual_seed(0))
        assert moved_by(ready) is None
    assert moved_in_words(None) == []
    fits = resolve("universal.open").prepare(displaced((0.0, 0.0)), torch.Generator().manual_seed(0))
    assert moved_by(fits) == NOWHERE
    assert moved_in_words(NOWHERE) == []


def test_the_offset_outlives_a_wrapper():
    from panloom.run._units import InUnits

    ready = resolve("universal.open").prepare(displaced(), torch.Generator().manual_seed(0))
    assert moved_by(replace(InUnits(ready, 2.0))) == moved_by(ready)
