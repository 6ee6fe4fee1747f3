"""Super-resolution networks of others, out of files that are never run.

A state dict holds numbers only: the architecture is known by the names of its tensors, one file each in
`panloom.analysis.models`. An ONNX file holds the network itself, as a graph of known operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panloom.analysis._model import Model, check_image
from panloom.analysis._onnx import open_onnx
from panloom.analysis.models import Architecture, get, names
from panloom.errors import OptionError, WeightsError
from panloom.state import metadata, read_state

#: Endings of files with state dicts.
STATES = (".safetensors", ".pth", ".pt")

#: Entries that a message lists before it breaks off.
LISTED = 8

_LOOK = "look up where this file is from, and under which licence, before you pass on what it makes"


def open_model(file: str | Path, *, architecture: str | None = None, scale: int | None = None) -> Model:
    """A network ready to be analysed.

    Args:
        file: a state dict (.safetensors, .pth, .pt), or a graph (.onnx; needs the extra `onnx`).
        architecture: registry name in `panloom.analysis.models`; None: the one whose tensors the file holds.
        scale: at which it runs; needed only where the weights are for several.

    Raises:
        OptionError: the scale or the architecture must be said, or does not fit the file; onnxruntime is missing.
        MethodError: unknown architecture.
        WeightsError: there is no such file, it is damaged, of another kind, holds more than numbers or numbers that are
            not finite, or its tensors are those of no known architecture.
    """
    path = Path(file).expanduser()
    ending = path.suffix.lower()
    _check_kind(path, ending)
    if ending != ".onnx":
        return _from_state(path, architecture, scale)
    if architecture not in (None, "onnx"):
        raise OptionError(f"{path} is a graph, which says its architecture itself; leave out {architecture!r}")
    return open_onnx(path, scale, f"panloom does not know the licence of {path.name}: {_LOOK}")


def _check_kind(path: Path, ending: str) -> None:
    if not path.is_file():
        raise WeightsError(f"cannot read the model {path}: there is no such file")
    if ending == ".pb":
        raise WeightsError(
            f"{path} is a graph of TensorFlow, which panloom does not read; convert it to ONNX where it comes from "
            "(the package tf2onnx), and open that"
        )
    if ending not in (*STATES, ".onnx"):
        raise WeightsError(f"{path} is no model that panloom knows: the name must end in {', '.join(STATES)} or .onnx")


def _from_state(path: Path, architecture: str | None, scale: int | None) -> Model:
    asked = None if architecture is None else get(architecture)  # a wrong word is told as such
    state = read_state(path)
    shapes = {key: tuple(values.shape) for key, values in state.items()}
    name = architecture or _recognised(path, shapes)
    cls = asked or get(name)
    _check_marks(path, name, shapes)
    core = _built(path, name, cls.options(shapes, _scale(path, name, cls.scales(shapes), scale)))
    _check_shapes(path, name, core, shapes)
    _check_finite(path, state)
    core.load_state_dict({key: values.to(torch.float32) for key, values in state.items()}, assign=True)
    return Model(
        name=path.stem,
        architecture=name,
        scale=core.scale,
        channels=core.channels,
        net=_UnitRange(core, path.stem).eval().requires_grad_(False),
        smallest=core.smallest,
        fixed=None,
        full_scale=core.full_scale,
        differentiable=True,
        parameters=sum(values.numel() for values in state.values()),
        licence=_licence(path, name, cls),
    )


class _UnitRange(nn.Module):
    """A network of any range of values as one that takes and gives 0..1, and says what is wrong with an image."""

    def __init__(self, core: Architecture, name: str) -> None:
        super().__init__()
        self.core, self.name = core, name

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        check_image(self.name, image, self.core.channels, self.core.smallest, None)
        white = self.core.full_scale
        inside = image.to(next(self.core.parameters()).dtype) * white
        return (self.core(inside) / white).to(image.dtype)


def _missing(name: str, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Tensors that tell the architecture, and that are not there or are no filters."""
    return [key for key in get(name).marks if len(shape := shapes.get(key, ())) != 4 or 0 in shape]


def _recognised(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> str:
    found = [name for name in names() if not _missing(name, shapes)]
    if len(found) == 1:
        return found[0]
    if found:
        raise OptionError(f"the tensors in {path} may be those of {' or '.join(found)}: say which (architecture)")
    held = _list([f"{key} {_size(shape)}" for key, shape in shapes.items()])
    raise WeightsError(
        f"the tensors in {path} are those of no architecture that panloom knows ({', '.join(names())}); the file "
        f"holds: {held}. A network of another architecture can be opened as ONNX; panloom's own weights are analysed "
        "by their name"
    )


def _check_marks(path: Path, name: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if missing := _missing(name, shapes):
        raise WeightsError(
            f"{path} does not hold weights of {name}: these tensors, of four axes, are missing: {', '.join(missing)}"
        )


def _scale(path: Path, name: str, held: tuple[int, ...], scale: int | None) -> int:
    """The scale to run at, of those that the weights hold."""
    if not held:
        raise WeightsError(f"{path} holds weights of {name} without an upsampler")
    first, *more = held
    said = f"{path} holds weights of {name} for {', '.join(f'x{each}' for each in held)}"
    if scale is None and more:
        raise OptionError(f"{said}: say which (scale)")
    if scale not in (None, *held):
        raise OptionError(f"{said}; asked for: x{scale}")
    return scale or first


def _built(path: Path, name: str, options: Mapping[str, object]) -> Architecture:
    """The network without numbers: the file brings them."""
    try:
        with torch.device("meta"):
            return get(name)(**options)
    except (ValueError, RuntimeError) as error:  # whatever the layers say of a wrong number
        raise WeightsError(f"{path} holds no weights of {name}: it cannot be made with {options}: {error}") from error


def _check_shapes(path: Path, name: str, core: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> None:
    expected = {key: tuple(values.shape) for key, values in core.state_dict().items()}
    wrong = [key for key in {**expected, **shapes} if expected.get(key) != shapes.get(key)]
    if wrong:
        faults = [f"{key} {_size(shapes.get(key))} instead of {_size(expected.get(key))}" for key in wrong]
        raise WeightsError(f"the tensors in {path} are not those of {name}: {_list(faults)}")


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    wrong = [key for key, values in state.items() if not (values.is_floating_point() and bool(values.isfinite().all()))]
    if wrong:
        raise WeightsError(
            f"{path} holds values that are no finite numbers, in {_list(wrong)}: the file is damaged, or the training "
            "that made it went wrong; get it anew"
        )


def _licence(path: Path, name: str, cls: type[Architecture]) -> str:
    """What the file says of its licence, or else what is known of the public weights."""
    head = {key.lower(): text for key, text in metadata(path).items()}
    said = head.get("licence") or head.get("license")
    if said:
        return f"{path.name} says of its licence: {said}"
    return f"panloom does not know the licence of {path.name}. Weights of {name}: {cls.licence}; {_LOOK}"


def _size(shape: tuple[int, ...] | None) -> str:
    return "(nothing)" if shape is None else "x".join(map(str, shape)) or "(one number)"


def _list(entries: list[str]) -> str:
    more = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
    return (", ".join(entries[:LISTED]) or "nothing") + more
