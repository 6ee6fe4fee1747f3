"""The offset between PAN and MS in words: who corrects it, by moving which of the two, and what a method did.

`universal` and all adapters move PAN to where MS lies (`panloom.optics.alignment`); `--align` places MS where it
belongs under PAN (`panloom.scene.registered`), for every method.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass

from panloom.optics.alignment import NEGLIGIBLE, NOWHERE, Offset, believed
from panloom.optics.registration import Shift
from panloom.run.report import Registration


def registration(shift: Shift, ratio: int, *, align: bool) -> Registration:
    """What is told of a measured offset.

    Args:
        shift: that can be believed.
        ratio: of the scene.
        align: it was corrected.
    """
    row, col, confidence = (round(number, 3) for number in (shift.row, shift.col, shift.confidence))
    moves = not align and believed(shift, ratio) != NOWHERE
    return Registration(row, col, confidence, align, moves_pan=moves)


def remedy(found: Registration) -> str:
    """Who corrects an offset that is left as it is."""
    if found.moves_pan:
        return (
            "universal and adapters move PAN there, so that their result lies where MS does; --align moves MS to PAN "
            "instead, for all methods"
        )
    return "no method corrects it by itself; --align does"


def misregistration(found: Registration | None, ratio: int) -> str:
    """One line about the offset of a scene."""
    if found is None:
        return "could not be measured"
    if found.corrected:
        what = "corrected: MS is placed there"
    elif math.hypot(found.row, found.col) * ratio < NEGLIGIBLE:
        what = "too little to correct"
    else:
        what = remedy(found)
    return (
        f"MS lies {signed(found.row)} rows, {signed(found.col)} columns (MS pixels) from where the files say "
        f"(confidence {found.confidence:.2f}); {what}"
    )


def moved_by(method: object) -> Offset | None:
    """What a prepared method moves PAN by, as `Report.offset` has it; None where it is none that moves PAN."""
    own = getattr(method, "offset", None)
    if isinstance(own, tuple):
        return own
    if not is_dataclass(method):
        return None
    inner = (moved_by(getattr(method, field.name)) for field in fields(method))
    known = [offset for offset in inner if offset is not None]
    return next((offset for offset in known if offset != NOWHERE), known[0] if known else None)


def moved_in_words(offset: Offset | None) -> list[str]:
    """That PAN was moved; nothing where it was not.

    >>> moved_in_words((0.31, -0.2))
    ['PAN was moved to where MS lies, +0.31 rows, -0.20 columns (PAN pixels) away; the result lies there too']
    >>> moved_in_words(NOWHERE)
    []
    """
    if offset is None or offset == NOWHERE:
        return []
    row, col = map(signed, offset)
    return [f"PAN was moved to where MS lies, {row} rows, {col} columns (PAN pixels) away; the result lies there too"]


def signed(pixels: float) -> str:
    """A number of pixels with its sign, and zero without one.

    >>> signed(0.254), signed(-0.3), signed(-0.001)
    ('+0.25', '-0.30', '0.00')
    """
    text = f"{pixels:+.2f}"
    return text if float(text) else "0.00"
