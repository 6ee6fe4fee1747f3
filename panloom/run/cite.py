"""The references of methods, in words or as BibTeX."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources


@cache
def _references() -> dict[str, dict[str, str]]:
    return tomllib.loads(resources.files("panloom").joinpath("references.toml").read_text("utf-8"))


def citations(keys: Iterable[str], *, bibtex: bool = False) -> list[str]:
    """Texts of references, panloom's own first.

    Raises:
        KeyError: a key is not in `references.toml`.
    """
    wanted = dict.fromkeys(["panloom", *keys])
    return [_references()[key]["bibtex" if bibtex else "text"] for key in wanted]
