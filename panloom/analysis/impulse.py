"""Impulse responses of a network from image to image, of any scale.

Published (Deng et al., ICML 2024): one white pixel in the middle of 11 x 11 black ones, and what the network makes of
it is its linear part: `published_response`. That is what a network answers to an input like no other that it has seen;
where it is not linear, height and ground of the impulse decide the answer. Ours: any height, ground, place and channel,
with the answer to the ground taken away (`impulse_response`), and, to be preferred, the derivative of the network at
places of natural images, averaged (`mean_response`): how a small change of a pixel spreads. Many impulses share an
image where their responses do not meet; each has a random sign, so that what does reach a neighbour is no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from panloom.analysis._running import (
    Derivative,
    check_repeats,
    derivative,
    doubled,
    finite,
    fitted,
    run,
    seeded,
)
from panloom.errors import OptionError

#: (b, c, h, w) -> (b, k, s h, s w), s >= 1.
Upsampler = Callable[[Tensor], Tensor]

#: Input pixels along a side of an experiment, and of the window of a response.
SIZE = 31

#: The same in the paper.
PUBLISHED_SIZE = 11

#: Share of a response's energy that may lie beyond the distance of the next impulse.
STRAY = 1e-6


@dataclass(frozen=True)
class Response:
    """What a network answers to an impulse.

    Attributes:
        kernel: float64; band o of the output over a unit impulse in channel i of the input ("white": in all at once,
            and in = 1). The centre sample, K // 2, is at `scale` times the place of the impulse; K is odd. What the
            experiment could not see, up to scale - 1 pixels on the upper left, is 0.
        scale: pixels of the output per pixel of the input, along an axis.
        spread: `sqrt(mean |h - mean h|^2 / |mean h|^2)` over places: 0 where only one was looked at, or the network is
            linear.
        baseline: N(background), where it was subtracted.
        recipe: "jacobian": derivative by forward mode, exact; "differences": derivative by a small step to both sides;
            "finite": an impulse of finite height; "published": the paper's.
        level: the constant background that was subtracted; None: an image, or nothing was.
        white: all channels had the impulse at once.
    """

    kernel: Float[Tensor, "out in K K"]
    scale: int
    spread: float
    baseline: Float[Tensor, "out H W"] | None
    recipe: str
    level: float | None = None
    white: bool = False


def impulse_response(  # noqa: PLR0913  an experiment has many knobs
    net: Upsampler,
    scale: int,
    *,
    channels: int,
    size: int | None = None,
    amplitude: float = 1.0,
    background: float | Float[Tensor, "c h w"] = 0.0,
    channel: int | Literal["white", "all"] = "all",
    subtract: bool = True,
    positions: Sequence[tuple[int, int]] | None = None,
    seed: int | None = None,
) -> Response:
    """The response to impulses of finite height, over the height.

    Args:
        net: from image to image.
        scale: pixels of its output per pixel of its input.
        channels: of its input.
        size: pixels along a side of the input, where `background` is a number; None: 31.
        amplitude: height of the impulse above the background, in the units of the network's input.
        background: one number, or an image.
        channel: which one has the impulse; "white": all at once; "all": one after the other.
        subtract: N(background) is taken from the answer.
        positions: (row, col) of impulses, one at a time; their mean is the kernel, which reaches as far as the nearest
            of them is from the border. None: the middle.
        seed: of a network that draws noise.

    Raises:
        OptionError: the network does not take this input, is in training mode, draws noise without a seed, gives an
            output of another size or one that is not finite; a size, position, channel or amplitude that cannot be.
    """
    ground = fitted(net, _ground(background, channels, size))
    net = seeded(net, seed)
    height, width = ground.shape[1:]
    places = list(positions) if positions is not None else [(height // 2, width // 2)]
    _check(places, height, width, amplitude)
    flat = run(net, ground[None], scale)
    check_repeats(flat, run(net, ground[None], scale), seed)
    tally = _Tally(scale, min(min(r, height - 1 - r, c, width - 1 - c) for r, c in places))
    for row, col in places:
        answers = []
        for chosen in _channels(channel, channels):
            x = ground.clone()
            x[chosen, row, col] += amplitude
            answer = run(net, x[None], scale)
            answers.append((answer - flat if subtract else answer).double() / amplitude)
        tally.add(torch.cat(answers), [(row, col, 1.0)])
    level = float(background) if subtract and not isinstance(background, Tensor) else None
    found = tally.response("finite", flat[0] if subtract else None)
    return replace(found, level=level, white=channel == "white")


def published_response(net: Upsampler, scale: int, *, channels: int, seed: int | None = None) -> Response:
    """The experiment of the paper: 11 x 11 black pixels, the middle one 1 in all channels; nothing is subtracted.

    The network must be one that takes values from 0 to 1; nothing is cut off from its answer (the paper's pictures are
    of 8 bits, so they show neither negative lobes nor peaks above white).

    Raises:
        OptionError: as `impulse_response`.
    """
    found = impulse_response(
        net, scale, channels=channels, size=PUBLISHED_SIZE, channel="white", subtract=False, seed=seed
    )
    return replace(found, recipe="published")


def mean_response(
    net: Upsampler, scale: int, patches: Float[Tensor, "n c h w"], *, seed: int, size: int = SIZE
) -> Response:
    """The derivative of the network at places of natural patches, averaged: forward mode, where the network allows it.

    Args:
        net: from image to image.
        scale: pixels of its output per pixel of its input.
        patches: parts of images like those that the network is for, in its units. One of `size` or a little more has
            one impulse, in the middle or beside it; a larger one has as many as do not meet.
        seed: of places and signs of the impulses, and of a network's noise.
        size: input pixels along a side of the response; cut to what a patch holds.

    Raises:
        OptionError: the network does not take the patches, is in training mode, does not repeat itself although it is
            seeded, gives an output of another size or one that is not finite; no patches, or a size below 1.
    """
    if patches.ndim != 4 or not patches.numel():
        raise OptionError(
            f"patches are (n, channels, rows, columns) with something in each; given: {tuple(patches.shape)}"
        )
    if size < 1:
        raise OptionError(f"a response has a size of 1 pixel or more; given: {size}")
    patches = fitted(net, patches)
    net, double, first = seeded(net, seed), seeded(doubled(net), seed), patches[:1]
    check_repeats(run(net, first, scale), run(net, first, scale), seed)
    reach = (min(size, *patches.shape[-2:]) - 1) // 2
    probe = torch.zeros_like(first)
    probe[..., patches.shape[-2] // 2, patches.shape[-1] // 2] = 1
    slope = derivative(net, double, first, probe)
    distance = _distance(slope(first, probe), scale, reach)
    rng, tally = torch.Generator().manual_seed(seed), _Tally(scale, reach)
    for patch in patches.split(1):
        impulses = _lattice(patch.shape[-2:], reach, distance, rng)
        tally.add(_answers(slope, patch, impulses), impulses)
    return tally.response(slope.recipe, None)


# ---- impulses ------------------------------------------------------------------------------------


def _ground(background: float | Tensor, channels: int, size: int | None) -> Float[Tensor, "c h w"]:
    if not isinstance(background, Tensor):
        side = SIZE if size is None else size
        if min(channels, side) < 1:
            raise OptionError(f"an input has 1 channel and 1 pixel or more; given: {channels} of size {side}")
        return torch.full((channels, side, side), float(background))
    if background.ndim != 3 or background.shape[0] != channels or not background.numel():
        raise OptionError(
            f"a background is (channels, rows, columns); given: {tuple(background.shape)} for {channels} channels"
        )
    if size is not None:
        raise OptionError(f"a background that is an image has its size, {tuple(background.shape)}: leave out {size}")
    return background


def _check(places: Sequence[tuple[int, int]], height: int, width: int, amplitude: float) -> None:
    if not amplitude or abs(amplitude) == float("inf") or amplitude != amplitude:
        raise OptionError(f"an impulse has a finite height that is not 0; given: {amplitude}")
    outside = [p for p in places if not (0 <= p[0] < height and 0 <= p[1] < width)]
    if outside or not places:
        raise OptionError(f"positions are (row, col) inside {height} x {width} pixels; given: {outside or places}")


def _channels(channel: int | str, channels: int) -> list[slice | int]:
    if channel == "white":
        return [slice(None)]
    if channel == "all":
        return list(range(channels))
    if isinstance(channel, int) and 0 <= channel < channels:
        return [channel]
    raise OptionError(f"channel is 'white', 'all' or 0 to {channels - 1}; given: {channel!r}")


def _distance(answer: Float[Tensor, "1 out H W"], scale: int, reach: int) -> int:
    """Input pixels from one impulse to the next such that hardly anything of one is in the window of the other."""
    cells = functional.avg_pool2d(answer.square().sum(1, keepdim=True), scale)[0, 0]
    height, width = cells.shape
    rows, cols = ((torch.arange(n, device=cells.device) - n // 2).abs() for n in (height, width))
    ring = torch.maximum(rows[:, None], cols.expand(height, -1)).flatten()
    energy = torch.zeros(int(ring.max()) + 1, dtype=cells.dtype, device=cells.device)
    energy.index_add_(0, ring, cells.flatten())
    beyond = energy.flip(0).cumsum(0).flip(0)
    far = int((beyond > STRAY * beyond[0]).sum())
    # Odd, so that the impulses stand at all places of a grid of 2 x 2 pixels that a network may have inside.
    return max(far + reach + 1, 2 * reach + 1) | 1


def _lattice(size: Sequence[int], reach: int, distance: int, rng: torch.Generator) -> list[tuple[int, int, float]]:
    """(row, col, sign) of impulses whose windows lie inside; the lattice starts at a random place."""
    axes = []
    for n in size:
        room = n - 1 - 2 * reach
        count = room // distance + 1
        start = reach + int(torch.randint(room - (count - 1) * distance + 1, (), generator=rng))
        axes.append([start + k * distance for k in range(count)])
    signs = 2.0 * torch.randint(2, (len(axes[0]) * len(axes[1]),), generator=rng) - 1
    places = [(row, col) for row in axes[0] for col in axes[1]]
    return [(row, col, sign) for (row, col), sign in zip(places, signs.tolist(), strict=True)]


def _answers(slope: Derivative, patch: Tensor, impulses: Sequence[tuple[int, int, float]]) -> Float[Tensor, "in o H W"]:
    """The derivative along the impulses, in one channel after the other."""
    answers = []
    for channel in range(patch.shape[1]):
        direction = torch.zeros_like(patch)
        for row, col, sign in impulses:
            direction[0, channel, row, col] = sign
        answers.append(finite(slope(patch, direction)))
    return torch.cat(answers)


class _Tally:
    """The mean of responses, and how far they are from it.

    Args:
        scale: output pixels per input pixel.
        reach: input pixels on each side of an impulse that belong to its window.
    """

    def __init__(self, scale: int, reach: int) -> None:
        self.scale, self.reach = scale, reach
        self.found: list[Tensor] = []

    def add(self, answers: Float[Tensor, "in out H W"], impulses: Sequence[tuple[int, int, float]]) -> None:
        """The windows around impulses, out of what the network gave for each channel."""
        margin, side = self.scale - 1, 2 * (self.scale * (self.reach + 1) - 1) + 1
        # Beyond the border nothing was seen; only pixels on the upper left can be missing.
        wide = functional.pad(answers, (margin, 0, margin, 0))
        for row, col, sign in impulses:
            top, left = (self.scale * (n - self.reach) for n in (row, col))
            self.found.append(sign * wide[..., top : top + side, left : left + side].transpose(0, 1))

    def response(self, recipe: str, baseline: Tensor | None) -> Response:
        """The mean."""
        kernels = torch.stack(self.found)
        kernel = kernels.mean(0)
        return Response(kernel, self.scale, spread(kernels, kernel), baseline, recipe)


def spread(kernels: Float[Tensor, "n *k"], mean: Float[Tensor, "*k"]) -> float:
    """`sqrt(mean |h - mean h|^2 / |mean h|^2)` of kernels; 0 where all are 0."""
    size = float(mean.square().sum())
    away = float((kernels - mean).square().sum()) / len(kernels)
    return (away / size) ** 0.5 if size else 0.0
