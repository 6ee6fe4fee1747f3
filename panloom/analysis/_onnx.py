"""Networks as ONNX graphs, run by the extra `onnx`; what a graph does not say of itself is measured by runs of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from panloom.analysis._model import Model, check_image
from panloom.errors import OptionError, WeightsError

#: Sizes of images that are tried where the graph leaves the size open; the first is that of the published experiment.
SIZES = (11, 16, 32, 64, 128)

#: Numbers of channels that are tried where the graph leaves them open.
CHANNELS = (3, 1)

#: What white may be.
UNIT, BYTE = 1.0, 255.0

#: A smooth image that comes back with a smaller root mean square error than this was understood: white is 1. Measured
#: with CARN-M, IMDN and RFDN on images of 11 to 64 pixels: at most 0.0013 in the right range, at least 0.027 in the
#: wrong one. A plain minimum would be misled by networks that are nearly linear: constant terms count less in 0..255.
UNDERSTOOD = 0.01

#: Names of what onnxruntime raises. They have no parent in common.
_REFUSALS = (
    "Fail",
    "InvalidArgument",
    "NoSuchFile",
    "NoModel",
    "EngineError",
    "RuntimeException",
    "InvalidProtobuf",
    "NotImplemented",
    "InvalidGraph",
    "EPFail",
)

Size = tuple[int, int]


@runtime_checkable
class _Port(Protocol):
    """Input or output of a session: open axes are None or names."""

    name: str
    type: str
    shape: Sequence[int | str | None]


@runtime_checkable
class _Session(Protocol):
    """What is used of onnxruntime's InferenceSession."""

    def get_inputs(self) -> list[_Port]: ...

    def get_outputs(self) -> list[_Port]: ...

    def run(self, names: None, given: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]: ...


def open_onnx(path: Path, scale: int | None, licence: str) -> Model:
    """A graph with one image in and one image out, batch and channels first, float32.

    Scale and full scale are measured: the graph enlarges a smooth image, and white is 1 if the mean over each
    scale x scale pixels of the result agrees with the image, else 255 if that agrees better.

    Args:
        path: the file.
        scale: what the graph must turn out to have; None: whatever it has.
        licence: sentence for the model.

    Raises:
        OptionError: onnxruntime is not installed, or the scale is another one.
        WeightsError: the graph cannot be read or run, or is no enlargement of images.
    """
    graph = _Graph(_session(path), path.stem)
    given, fixed = _declared(path, graph.session)
    image, measured = _first_run(path, graph, given, fixed)
    if scale not in (None, measured):
        raise OptionError(f"{path} enlarges by {measured}; asked for: {scale}")
    smallest = 1 if fixed else image.shape[-1]
    white = _white(graph, image, measured)
    return Model(
        name=path.stem,
        architecture="onnx",
        scale=measured,
        channels=image.shape[1],
        net=_UnitRange(graph, image.shape[1], smallest, fixed, white),
        smallest=smallest,
        fixed=fixed,
        full_scale=white,
        differentiable=False,
        parameters=None,
        licence=licence,
    )


@dataclass(frozen=True)
class _Graph:
    """A session as a function of images, one after the other: many graphs take no batch."""

    session: _Session
    name: str

    def __call__(self, image: Float[Tensor, "b c h w"]) -> Tensor:
        entry = self.session.get_inputs()[0].name
        single = image.detach().to("cpu", torch.float32)
        try:
            made = [self.session.run(None, {entry: each[None].numpy()})[0] for each in single]
        except _refusals() as error:
            raise OptionError(
                f"{self.name} cannot take an image of {_by(image.shape)} values: {_said(error)}"
            ) from error
        return torch.cat([torch.from_numpy(each) for each in made])


@dataclass(frozen=True)
class _UnitRange:
    """A graph of any range of values as a network that takes and gives 0..1."""

    graph: _Graph
    channels: int
    smallest: int
    fixed: Size | None
    white: float

    def __call__(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        check_image(self.graph.name, image, self.channels, self.smallest, self.fixed)
        return (self.graph(image * self.white) / self.white).to(image)


def _session(path: Path) -> _Session:
    try:
        onnxruntime = import_module("onnxruntime")
    except ImportError as error:
        raise OptionError(
            f"{path} needs the package onnxruntime, which is not installed: pip install panloom[onnx]; or open a state "
            "dict of a known architecture"
        ) from error
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4  # errors are raised; nothing is to be printed beside them
    try:
        return onnxruntime.InferenceSession(str(path), quiet, providers=["CPUExecutionProvider"])
    except _refusals() as error:
        raise WeightsError(
            f"{path} is no ONNX graph that onnxruntime can run ({_said(error)}); export it anew"
        ) from error


def _refusals() -> tuple[type[Exception], ...]:
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    return tuple(getattr(state, name) for name in _REFUSALS if hasattr(state, name))


def _said(error: Exception) -> str:
    """What onnxruntime says, on one line."""
    return " ".join(str(error).split())


def _declared(path: Path, session: _Session) -> tuple[int | None, Size | None]:
    """Channels and size that the graph says its image has; None: any."""
    entries, exits = session.get_inputs(), session.get_outputs()
    if len(entries) != 1 or len(exits) != 1:
        raise WeightsError(
            f"{path} has {len(entries)} inputs and {len(exits)} outputs; only graphs from one image to one image are "
            "read"
        )
    if entries[0].type != "tensor(float)" or len(entries[0].shape) != 4:
        raise WeightsError(
            f"{path} takes a {entries[0].type} of shape {entries[0].shape}; it must be float32, (batch, channel, row, "
            "column): export it anew"
        )
    channels, *size = (_number(axis) for axis in entries[0].shape[1:])
    if size[1] in CHANNELS and channels not in CHANNELS:
        raise WeightsError(f"{path} has its channels last, {entries[0].shape}; export it anew with channels first")
    rows, columns = size
    one = rows or columns
    return channels, None if one is None else (rows or one, columns or one)


def _number(axis: int | str | None) -> int | None:
    """The length of an axis; None where it is open, which graphs say in several ways."""
    return axis if isinstance(axis, int) and axis > 0 else None


def _first_run(path: Path, graph: _Graph, channels: int | None, fixed: Size | None) -> tuple[Tensor, int]:
    """A smooth image that the graph takes, and by how much it enlarges it."""
    refused = ""
    for image in _trials(channels, fixed):
        try:
            made = graph(image)
        except OptionError as error:
            refused = str(error)
            continue
        return image, _enlargement(path, image, made)
    raise WeightsError(f"{path} takes none of the images that were tried: {refused}")


def _trials(channels: int | None, fixed: Size | None) -> Iterator[Float[Tensor, "1 c h w"]]:
    for count in CHANNELS if channels is None else (channels,):
        for rows, columns in [fixed] if fixed else [(size, size) for size in SIZES]:
            yield _smooth(rows, columns).expand(1, count, rows, columns)


def _smooth(rows: int, columns: int) -> Float[Tensor, "h w"]:
    """One slow wave, in 0.2..0.8."""
    row, column = torch.linspace(0, 2, rows), torch.linspace(0, 2, columns)
    return 0.5 + 0.3 * torch.sin(row)[:, None] * torch.cos(column)


def _enlargement(path: Path, image: Tensor, made: Tensor) -> int:
    rows, columns = image.shape[-2:]
    scale = made.shape[-1] // columns if made.ndim == 4 else 0
    if scale < 1 or made.shape != (*image.shape[:2], scale * rows, scale * columns):
        raise WeightsError(
            f"{path} is no enlargement: of an image of {_by(image.shape)} values (batch, channel, row, column) it "
            f"makes {_by(made.shape)}"
        )
    if not bool(made.isfinite().all()):
        raise WeightsError(f"{path} makes values of a smooth image that are no finite numbers: its weights are damaged")
    return scale


def _white(graph: _Graph, image: Tensor, scale: int) -> float:
    """What 1.0 is to the graph."""
    lost = {white: _lost(graph, image, scale, white) for white in (UNIT, BYTE)}
    return BYTE if lost[BYTE] < lost[UNIT] and lost[UNIT] > UNDERSTOOD else UNIT


def _lost(graph: _Graph, image: Tensor, scale: int, white: float) -> float:
    """How far the result, averaged back, is from the image."""
    back = functional.avg_pool2d(graph(image * white) / white, scale)
    return float((back - image).square().mean().sqrt())


def _by(shape: torch.Size) -> str:
    return " x ".join(map(str, shape))
