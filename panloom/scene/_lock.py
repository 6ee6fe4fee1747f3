"""A mark on an unfinished output that it is being written; the system takes it away when the process ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from panloom.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows, which also cannot rename a file that is held open
    fcntl = None

# How often the file may vanish between opening and locking before something else must be wrong.
_ATTEMPTS = 5


def hold(path: Path, wanted: Path) -> BinaryIO | None:
    """Lock a file, which is made if it is not there; closing what is returned releases it.

    Args:
        path: the unfinished output.
        wanted: what it shall become, for the message.

    Returns:
        None where the system has no such locks: the run goes on without.

    Raises:
        OutputError: another run holds it.
        OSError: the file cannot be made.
    """
    if fcntl is None:
        return None
    for _ in range(_ATTEMPTS):
        file = path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OutputError(
                f"{wanted}: another run is writing it just now; wait until it ends, stop it, or name another file"
            ) from error
        except OSError:  # some network file systems know no locks
            file.close()
            return None
        # The run that held it may have finished, and taken the file away, since it was opened.
        if _is_still(path, file):
            return file
        file.close()
    raise OutputError(f"{wanted}: other runs begin and end on it all the time; name another file")


def _is_still(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
