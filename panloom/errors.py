"""Errors and warnings that panloom raises for bad input; each message states the values and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PanloomError(Exception):
    """Input or arguments that panloom cannot use. The parent of every error below."""


class SceneError(PanloomError):
    """The PAN or MS image cannot be read, or the two do not belong together."""


class SensorError(PanloomError):
    """A sensor is unknown, or its TOML file is wrong."""


class MethodError(PanloomError):
    """A fusion method or one of its options is unknown or does not fit the scene."""


class WeightsError(PanloomError):
    """A weights file or its card is missing, damaged or changed, of another network, or holds more than numbers."""


class OutputError(PanloomError):
    """The result cannot be written."""


class ResumeError(OutputError):
    """What an earlier run left is damaged, or of another call: it cannot be gone on with, only begun anew."""


class TrainingError(PanloomError):
    """A training run cannot go on: its numbers are not finite, or its folder holds another run."""


class OptionError(PanloomError):
    """An argument of a call is out of its range."""


class PanloomWarning(UserWarning):
    """Something about the input that the user should know and that does not stop the work."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is not in a registry: nearest names first, then all of them.

    >>> unknown("method", "gsaa", ["gs", "gsa", "exp"])
    "unknown method 'gsaa'; did you mean 'gsa' or 'gs'? known: exp, gs, gsa"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"unknown {what} {name!r}; {hint}known: {', '.join(names)}"
