"""Records of one kind joined into one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from panloom.adapt._terms import Full, Low
from panloom.pair import Pair

Record = TypeVar("Record")


def joined(items: Sequence[Record]) -> Record:
    """Records with their tensors one behind the other, also those of a `Pair` in them; all else is that of the first.

    Also of one record it is a copy, which slopes may be kept of, whatever mode it was made in.
    """
    first: Any = items[0]
    return replace(first, **{f.name: _column([getattr(item, f.name) for item in items]) for f in fields(first)})


def _column(values: Sequence[object]) -> object:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if tensors:
        return torch.cat(tensors)
    return joined(values) if isinstance(values[0], Pair | Full | Low) else values[0]
