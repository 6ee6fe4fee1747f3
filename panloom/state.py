"""Numbers by name out of a file that is never run: safetensors, or a pickle held to plain tensors."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from panloom.errors import WeightsError

State = dict[str, Tensor]

#: Where checkpoints of training programs keep the weights.
PLACES = ("model_state", "state_dict", "model")

#: Before it, a made-up pickle could run code or write beyond its memory in spite of `weights_only`
#: (CVE-2025-32434 to 2.5, CVE-2026-24747 to 2.9).
SAFE_TORCH = (2, 10)

# What torch's unpickler and archive reader raise for damaged or made-up files.
_REFUSALS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ImportError,
)


def parse(data: bytes, where: Path) -> State:
    """The tensors in the bytes of a safetensors file.

    Raises:
        WeightsError: they are no such file, or a damaged one.
    """
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{where} is no sound safetensors file ({error}); get it anew") from error


def metadata(path: Path) -> dict[str, str]:
    """The texts in the head of a safetensors file; of another file none.

    Raises:
        WeightsError: the file is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is no sound safetensors file ({error}); get it anew") from error


def read_bytes(path: Path) -> bytes:
    """A whole file.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror or error}") from error


def read_state(path: Path) -> State:
    """The state dict in a safetensors file or in a checkpoint of torch, wherever in it it stands.

    A checkpoint is a pickle, which can hold a program. It is only read where torch can hold it to tensors and plain
    containers; nothing in it is ever run.

    Raises:
        WeightsError: the file cannot be read, holds more than numbers, or holds no weights.
    """
    if path.suffix == ".safetensors":
        return parse(read_bytes(path), path)
    found = _inside(_unpickled(path))
    if found is None:
        raise WeightsError(
            f"{path} holds no weights: neither a mapping of names to tensors nor one under {', '.join(PLACES)}"
        )
    prefixed = all(name.startswith("module.") for name in found)  # by torch's data parallel wrappers
    return {name.removeprefix("module.") if prefixed else name: tensor for name, tensor in found.items()}


def _unpickled(path: Path) -> object:
    if not path.is_file():
        raise WeightsError(f"cannot read the weights {path}: there is no such file")
    if _torch_version() < SAFE_TORCH:
        need = ".".join(map(str, SAFE_TORCH))
        raise WeightsError(
            f"{path} is no safetensors file, and torch {torch.__version__} cannot read a checkpoint without danger; "
            f"update torch to {need} or later, or convert the file to safetensors where it comes from"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice to its developers, about kinds of pickle
            return torch.load(path, map_location="cpu", weights_only=True)
    except _REFUSALS as error:
        raise WeightsError(_refused(path, str(error))) from error


def _refused(path: Path, reason: str) -> str:
    named = re.search(r"GLOBAL ([\w.]+\.\w+)", reason)
    anew = "torch.save(model.state_dict(), 'weights.pth')"
    if named is None:
        return (
            f"{path} is no checkpoint of which the numbers alone can be read: it is damaged, of an old kind, or "
            f"something else; write one anew, {anew}"
        )
    return (
        f"{path} holds a program or whole objects ({named[1]}), not only numbers, and panloom never runs a pickle; "
        f"with the program that it comes from, if you trust it, write its numbers alone, {anew}, and import that file"
    )


def _inside(held: object) -> State | None:
    """The state dict in what a checkpoint holds."""
    if not isinstance(held, Mapping):
        return None
    state = {str(name): tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}
    if state and len(state) == len(held):
        return state
    return next((found for key in PLACES if (found := _inside(held.get(key))) is not None), None)


def _torch_version() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
