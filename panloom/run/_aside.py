"""Small text files that are there completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from panloom.errors import OutputError


def write_text(path: str | Path, text: str) -> None:
    """Write a text aside and rename it; an earlier file is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.partial")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        aside.unlink(missing_ok=True)
