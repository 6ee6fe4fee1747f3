"""The journal beside an unfinished output: what is being written, and how long the finished tiles are.

JSON lines: the first says what the file shall be, each further one holds the lengths of some more tiles. A
line counts when it is whole, so a process may be killed at any moment.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from panloom.errors import ResumeError

_VERSION = 1


@dataclass(frozen=True)
class Journal:
    """The journal file at `path` for tiles of `pieces` pieces."""

    path: Path
    pieces: int

    def begin(self, identity: dict[str, str]) -> None:
        """Start a new journal."""
        text = json.dumps({"panloom-journal": _VERSION, "pieces": self.pieces, **identity})
        with self.path.open("w", encoding="utf-8") as file:
            _save(file.fileno(), text)

    def append(self, lengths: Int64[np.ndarray, "tiles pieces"]) -> None:
        """Add finished tiles; their data must be on the disk already."""
        with self.path.open("rb+") as file:
            # A write that failed half-way (full disk) leaves a torn line; the next one must not continue it.
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            _save(file.fileno(), json.dumps(lengths.tolist(), separators=(",", ":")))

    def resume(self, identity: dict[str, str]) -> Int64[np.ndarray, "tiles pieces"]:
        """Lengths of the finished tiles.

        Raises:
            ResumeError: the journal is damaged, or that of another run.
        """
        lines = self.path.read_bytes().split(b"\n")[:-1]
        try:
            head, *rows = (json.loads(line) for line in lines)
            _compare(self.path, head, {"panloom-journal": _VERSION, "pieces": self.pieces, **identity})
            tiles = [tile for row in rows for tile in row]
            lengths = np.array(tiles, dtype=np.int64).reshape(len(tiles), self.pieces)
            if (lengths <= 0).any():
                raise ValueError("a tile has no length")
        except (ValueError, TypeError, AttributeError) as error:
            raise ResumeError(
                f"{self.path}: the journal is damaged ({error}); run again without --resume to start anew"
            ) from error
        return lengths

    def count(self) -> int:
        """Finished tiles, of whatever run; 0 where there is no journal or it is damaged."""
        try:
            rows = [json.loads(line) for line in self.path.read_bytes().split(b"\n")[1:-1]]
            return sum(map(len, rows))
        except (OSError, ValueError, TypeError):
            return 0


def _save(handle: int, text: str) -> None:
    data = (text + "\n").encode()
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)


def _compare(path: Path, found: dict[str, object], wanted: dict[str, object]) -> None:
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        about = "; ".join(_difference(key, found.get(key), wanted[key]) for key in differing)
        raise ResumeError(
            f"cannot resume {path}: it was begun by a run with other inputs, method or options ({about}); "
            "repeat that command, or run without --resume to start anew"
        )


def _difference(key: str, found: object, wanted: object) -> str:
    """What differs, in words: single fields where both are JSON objects."""
    try:
        old, new = json.loads(str(found)), json.loads(str(wanted))
        changed = [k for k in new if old.get(k) != new[k]]
        return ", ".join(f"{k}: {_short(old.get(k))} then, {_short(new[k])} now" for k in changed) or key
    except (ValueError, TypeError, AttributeError):
        return f"{key}: {_short(found)} then, {_short(wanted)} now"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
