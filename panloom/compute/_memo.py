"""What was measured on this machine, kept between runs in a small file of the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch

#: Measurements that are kept; the oldest go first.
KEPT = 64


def memo_file() -> Path:
    """The file that keeps measurements."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "panloom" / "compute.json"


@lru_cache(maxsize=1)
def processor_name() -> str:
    """Vendor's name, family and model of the processor, as far as the system tells."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), value.strip())
    words = (told.get("model name", ""), told.get("cpu family", ""), told.get("model", ""))
    return " ".join(filter(None, words)) or platform.processor() or platform.machine()


def key_of(facts: Iterable[object]) -> str:
    """A key for a measurement: what is measured, on this processor, with this torch."""
    text = repr((processor_name(), torch.__version__, *facts))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def measurements() -> dict[str, Mapping[str, object]]:
    """All that is kept, oldest first; nothing where the file is missing or damaged."""
    try:
        found: object = json.loads(memo_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    entries = cast("dict[str, object]", found)
    return {key: cast("Mapping[str, object]", entry) for key, entry in entries.items() if isinstance(entry, dict)}


def remember(key: str, entry: Mapping[str, object]) -> None:
    """Keep a measurement: written aside and renamed, so that a reader never sees half of it.

    A folder that cannot be written is no error: the next run measures again.
    """
    entries = {name: value for name, value in measurements().items() if name != key}
    entries = dict([*entries.items(), (key, entry)][-KEPT:])
    path = memo_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".compute")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(entries, out, indent=1)
            os.replace(aside, path)
        except OSError:
            os.unlink(aside)
            raise
