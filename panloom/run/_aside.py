"""Small text files that are there completely or not at all."""

from __future__ import annotations

from pathlib import Path

from panloom.errors import OutputError
from panloom.scene import write_aside


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8 aside and rename it; an earlier file is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    write_aside(path, text.encode())


def make_folder(folder: str | Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror or error})") from error
