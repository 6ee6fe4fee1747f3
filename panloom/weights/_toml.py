"""Writes the small TOML of a card, which `tomllib` reads back to the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

Table = Mapping[str, object]


def dumps(table: Table) -> str:
    """A table as TOML: plain values first, then its tables, then its lists of tables.

    Args:
        table: texts, numbers, truth values, lists of these, tables of all these, and lists of tables of plain values.

    >>> print(dumps({"name": "a.b", "options": {"bands": 4}}), end="")
    name = "a.b"
    <BLANKLINE>
    [options]
    bands = 4
    """
    return "\n".join(_parts(table, ""))


def _parts(table: Table, place: str) -> list[str]:
    """The table and those within it; `place` is what their names begin with."""
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lists = {key: entries for key, value in table.items() if (entries := _tables(value))}
    lines = _lines({key: value for key, value in table.items() if key not in tables and key not in lists})
    parts = [f"[{place[:-1]}]\n{lines}" if place else lines]
    for key, value in tables.items():
        parts += _parts(value, f"{place}{key}.")
    parts += [f"[[{place}{key}]]\n{_lines(entry)}" for key, entries in lists.items() for entry in entries]
    return parts


def _tables(value: object) -> list[Table]:
    """The value, if it is a list of tables; else none."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _lines(table: Table) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    # Numbers of numpy call themselves by other names.
    return str(int(value)) if isinstance(value, int) else repr(float(str(value)))


def _text(text: str) -> str:
    """A text of several lines stays readable as such."""
    if "\n" not in text:
        return _escaped(text)
    return '"""\n' + "\n".join(_escaped(line)[1:-1] for line in text.split("\n")) + '"""'


def _escaped(line: str) -> str:
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return re.sub("\x7f", r"\\u007f", json.dumps(line, ensure_ascii=False))
