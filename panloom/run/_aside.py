"""Small text files that are there completely or not at all."""

from __future__ import annotations

from pathlib import Path

from panloom.scene import write_aside


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8 aside and rename it; an earlier file is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    write_aside(path, text.encode())
