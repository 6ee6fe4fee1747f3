"""From a name and options to a fuser: `resolve("brovey", {"weights": "0.1,0.4,0.5"})`."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from panloom import classical
from panloom.errors import MethodError, unknown
from panloom.pair import Fuser
from panloom.run._default import DEFAULT

__all__ = ["DEFAULT", "Option", "methods", "options_of", "resolve"]


@dataclass(frozen=True)
class Option:
    """One keyword of a method's constructor.

    Attributes:
        name: as in `--set name=value`.
        kind: its type.
        default: its default value.
        choices: allowed words; empty where any value of the type is.
        help: first sentence of its description.
    """

    name: str
    kind: object
    default: object
    choices: tuple[str, ...]
    help: str


def methods() -> list[str]:
    """Every method name that `resolve` knows."""
    return classical.names()


def resolve(name: str, options: Mapping[str, object] | None = None) -> Fuser:
    """A fuser by name, not yet prepared.

    Args:
        name: a method name, see `methods`.
        options: keyword arguments of its constructor; words (from a command line) are turned into their types.

    Raises:
        MethodError: unknown name or option, or a value of the wrong type.
    """
    cls = classical.get(name)
    known = {option.name: option for option in options_of(name)}
    values = {}
    for key, value in (options or {}).items():
        if key not in known:
            raise MethodError(unknown(f"option of {name}", key, known) if known else f"{name} has no options")
        values[key] = _typed(name, known[key], value)
    return cls(**values)


def options_of(name: str) -> list[Option]:
    """The options of a method, from its constructor's signature; what `prepare` fills in is left out."""
    cls = classical.get(name)
    hints = typing.get_type_hints(cls)
    found: list[Option] = []
    fields = getattr(cls, "__dataclass_fields__", {})
    made = {key for key, field in fields.items() if not field.metadata.get("option", True)}
    for key, parameter in inspect.signature(cls).parameters.items():
        if key in made:
            continue
        kind = hints[key]
        choices = tuple(map(str, typing.get_args(kind))) if typing.get_origin(kind) is typing.Literal else ()
        found.append(Option(key, kind, parameter.default, choices, _described(cls, key)))
    return found


def _described(cls: object, key: str) -> str:
    for line in (inspect.getdoc(cls) or "").splitlines():
        if line.strip().startswith(f"{key}:"):
            return line.split(":", 1)[1].strip()
    return ""


def _typed(method: str, option: Option, value: object) -> object:
    """A word from the command line as the option's type; other values are checked."""
    if option.choices:
        if value not in option.choices:
            raise MethodError(unknown(f"value of {method}'s {option.name}", str(value), option.choices))
        return value
    kinds = typing.get_args(option.kind) if _is_union(option.kind) else (option.kind,)
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        if type(None) in kinds:
            return None
        raise MethodError(f"{method}'s {option.name} cannot be none")
    kind = next(k for k in kinds if k is not type(None))
    try:
        return _parse(kind, value)
    except (TypeError, ValueError) as error:
        raise MethodError(f"{method}'s {option.name} must be {_named(kind)}; given: {value!r}") from error


def _is_union(kind: object) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _parse(kind: object, value: object) -> object:
    if typing.get_origin(kind) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(_parse(typing.get_args(kind)[0], item) for item in typing.cast("typing.Iterable[object]", items))
    if kind is bool:
        words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        return words[str(value).lower()] if str(value).lower() in words else _refuse()
    if kind is int or kind is float or kind is str:
        parsed = typing.cast("typing.Callable[[object], object]", kind)(value)
        return _refuse() if isinstance(parsed, float) and not math.isfinite(parsed) else parsed
    return _refuse()


def _refuse() -> object:
    raise ValueError


def _named(kind: object) -> str:
    if typing.get_origin(kind) is tuple:
        return "numbers separated by commas"
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(typing.cast("type", kind), "a word")
