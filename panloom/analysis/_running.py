"""A foreign network, run with care: what it gives is checked, its noise is fixed, its derivative is taken."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from panloom.errors import OptionError

Image = Callable[[Tensor], Tensor]
Net = TypeVar("Net")
Given = TypeVar("Given")

#: What torch, numpy and runtimes of other frameworks raise for a size or a type that they do not take.
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError)

#: Two runs that differ by more than this part of the largest value are no rounding.
REPEAT = 1e-5

#: Steps of central differences, in parts of the largest value: rounding and curvature cost about the same.
STEPS = {torch.float64: 1e-5, torch.float32: 2e-3}

#: Share of the true derivative that forward mode must find; less: a part of the network is hidden from it.
FOUND = 0.5


def run(net: Image, x: Tensor, scale: int) -> Tensor:
    """The output of a network from image to image.

    Raises:
        OptionError: it does not take the input, or its output has another size than `scale` says or is not finite.
    """
    given = "x".join(map(str, x.shape[1:]))
    try:
        with torch.no_grad():
            y = net(x)
    except REFUSALS as error:
        raise OptionError(
            f"the network does not take an image of {given} (channels x rows x columns): {str(error).strip()}; "
            "say how many channels it has, and a size that it can take"
        ) from error
    checked_shape(y, x, scale)
    return finite(y)


def checked_shape(y: Tensor, x: Tensor, scale: int) -> None:
    """That an output belongs to its input.

    Raises:
        OptionError: it does not.
    """
    wanted = tuple(n * scale for n in x.shape[2:])
    if y.ndim != 4 or len(y) != len(x) or tuple(y.shape[2:]) != wanted:
        raise OptionError(
            f"the network makes {tuple(y.shape)} of {tuple(x.shape)}; at scale {scale} it would be "
            f"({len(x)}, bands, {wanted[0]}, {wanted[1]}): say its scale"
        )


def finite(y: Tensor) -> Tensor:
    """The tensor itself.

    Raises:
        OptionError: it holds numbers that are none.
    """
    bad = int((~y.isfinite()).sum())
    if bad:
        raise OptionError(
            f"{bad} of {y.numel()} numbers of the network's output are not finite: its weights may be damaged, or its "
            "input is not in the range that it was made for"
        )
    return y


def seeded(function: Callable[[Given], Tensor], seed: int | None) -> Callable[[Given], Tensor]:
    """The function with torch's generators seeded before each call and left as they were; None: as it is."""
    if seed is None:
        return function

    def call(x: Given) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return function(x)

    return call


def check_repeats(first: Tensor, second: Tensor, seed: int | None) -> None:
    """That two runs on one input gave one output.

    Raises:
        OptionError: they did not.
    """
    gap, most = float((first - second).abs().max()), float(first.abs().max())
    if gap > REPEAT * most:
        advice = (
            "pass a seed, with which torch's generators begin every run"
            if seed is None
            else f"although torch's generators begin at {seed} each time: give it noise that does not change"
        )
        raise OptionError(f"the network gave two outputs for one input, up to {gap:g} apart; {advice}")


def fitted(net: Image, x: Tensor) -> Tensor:
    """The input in the type and on the device of a module's weights; as it is for what is no module.

    Raises:
        OptionError: the module is in training mode, and that counts: it drops values, or learns from what it sees.
    """
    if not isinstance(net, nn.Module):
        return x
    learning = [each for each in net.modules() if each.training and isinstance(each, (_NormBase, _DropoutNd))]
    if learning:
        raise OptionError(
            f"the network is in training mode, where its {type(learning[0]).__name__} does something else than later: "
            "call its eval() first"
        )
    first = next(net.parameters(), None)
    return x if first is None else x.to(first)


def doubled(net: Net) -> Net:
    """A copy of a module in double precision; what is no module is left as it is."""
    return copy.deepcopy(net).double() if isinstance(net, nn.Module) else net


@dataclass(frozen=True)
class Derivative:
    """The derivative of a function along a direction.

    Attributes:
        function: of one tensor.
        recipe: "jacobian": forward mode, exact; "differences": a small step to both sides.
        dtype: in which it is taken.
        span: size of the values that the function sees; None: that of its argument.
    """

    function: Image
    recipe: Literal["jacobian", "differences"]
    dtype: torch.dtype
    span: float | None = None

    def __call__(self, x: Tensor, direction: Tensor) -> Tensor:
        """At `x`, in float64."""
        x, direction = x.to(self.dtype), direction.to(self.dtype)
        if self.recipe == "jacobian":
            return forward_mode(self.function, x, direction)
        step = STEPS[self.dtype] * (float(x.abs().max()) or 1.0 if self.span is None else self.span)
        with torch.no_grad():
            ahead, behind = (self.function(x + sign * step * direction).double() for sign in (1, -1))
        return (ahead - behind) / (2 * step)


def forward_mode(function: Image, x: Tensor, direction: Tensor) -> Tensor:
    """By `torch.func.jvp`, float64; zeros where the function does not depend on what is followed."""
    return torch.func.jvp(function, (x,), (direction,))[1].detach().double()


def differences(function: Image, double: Image, x: Tensor, span: float | None = None) -> Derivative:
    """Central differences, in double precision where the function computes in it.

    Args:
        function: of one tensor.
        double: the same in double precision, as far as it can be had.
        x: where it is tried.
        span: see `Derivative`.
    """
    single = Derivative(function, "differences", x.dtype if x.dtype in STEPS else torch.float32, span)
    try:
        with torch.no_grad():
            y = double(x.double())
    except REFUSALS:
        return single
    # It may take and give doubles, and compute in single precision: a small step would find its rounding.
    inside = y.dtype == torch.float64 and not torch.equal(y, y.float().double())
    return Derivative(double, "differences", torch.float64, span) if inside else single


def derivative(function: Image, double: Image, x: Tensor, direction: Tensor, span: float | None = None) -> Derivative:
    """Forward mode where the function allows it, found out at one place and direction; else central differences.

    Args:
        function: of one tensor.
        double: see `differences`.
        x: the place.
        direction: along which both ways are tried.
        span: see `Derivative`.
    """
    exact = Derivative(function, "jacobian", x.dtype)
    try:
        found = float(exact(x, direction).norm())
    except REFUSALS:
        return differences(function, double, x, span)
    near = Derivative(function, "differences", x.dtype if x.dtype in STEPS else torch.float32, span)
    # A network that leaves torch inside, or detaches, has no tangent there and does not say so.
    hidden = found < FOUND * float(near(x, direction).norm())
    return differences(function, double, x, span) if hidden else exact
