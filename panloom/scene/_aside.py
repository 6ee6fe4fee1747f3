"""Small files that are there completely or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from panloom.errors import OutputError


def write_aside(path: str | Path, data: bytes) -> None:
    """Write a file aside and rename it; an earlier file is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.partial")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        # Where it could not be made for its place or name, looking for it fails too.
        with suppress(OSError):
            aside.unlink()
