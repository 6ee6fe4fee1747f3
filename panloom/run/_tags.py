"""How a result was made, as it stands in its tags."""

from __future__ import annotations

from collections.abc import Mapping

METHOD, OPTIONS = "PANLOOM_METHOD", "PANLOOM_OPTIONS"


def made_by(method: str, options: Mapping[str, object] | None) -> dict[str, str]:
    """The tags of a method and its options.

    >>> made_by("glp", {"gain": 2, "form": "x"})
    {'PANLOOM_METHOD': 'glp', 'PANLOOM_OPTIONS': 'form=x,gain=2'}
    """
    told = ",".join(f"{name}={value}" for name, value in sorted((options or {}).items()))
    return {METHOD: method, OPTIONS: told or "none"}
