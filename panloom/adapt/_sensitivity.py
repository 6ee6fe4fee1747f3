"""Which weights of a network a new sensor asks to change: scores of all entries, and masks of the highest.

Published in the abstract of SWIFT (Xia et al., arXiv 2507.20311): the gradients of a small sample tell which 10 to 30 %
of the weights to update. Proposed, as nothing more is public: the scores, their scale in each tensor, and the masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from panloom.adapt._masked import Masks, Task
from panloom.errors import OptionError
from panloom.networks import Network
from panloom.pair import Pair

#: Size of the slope, slope times weight, or squared slope.
Score = Literal["gradient", "taylor", "fisher"]

#: What is chosen at once: a single entry, or the entries that make one output channel.
Grain = Literal["element", "filter"]

Scores = tuple[Float[Tensor, "..."], ...]


@dataclass(frozen=True)
class Probe:
    """How slopes are looked at.

    Attributes:
        batches: so many, without any update between them.
        batch: examples in each, at most.
        score: what is made of them.
        agree: count the share by which signs agree over the batches.
    """

    batches: int = 16
    batch: int = 32
    score: Score = "gradient"
    agree: bool = True


def sensitivities(network: Network, task: Task, numbers: Sequence[int], probe: Probe, rng: Generator) -> Scores:
    """A score for every entry of every parameter of a network, which is not changed.

    The mean over batches of the size of the slope (or its square), times the share by which its sign agrees over the
    batches (`agree`): a weight that is pulled to and fro is not one that the new sensor wants elsewhere.

    Args:
        network: its slopes.
        task: the loss.
        numbers: of the examples.
        probe: how.
        rng: which examples stand together.

    Raises:
        OptionError: no example, or no batch.
    """
    if not numbers or probe.batches < 1:
        raise OptionError(f"sensitivity needs an example and a batch at least, not {len(numbers)} and {probe.batches}")
    parameters = list(network.parameters())
    flags = [p.requires_grad for p in parameters]
    sizes, signs = ([torch.zeros_like(p, dtype=torch.float32) for p in parameters] for _ in range(2))
    network.requires_grad_(True)
    try:
        for chosen in _batches(numbers, probe, rng):
            _, slopes = task.slopes(network, chosen, parameters)
            for size, sign, slope in zip(sizes, signs, slopes, strict=True):
                slope = slope.float()
                size += slope.square() if probe.score == "fisher" else slope.abs()
                sign += slope.sign()
    finally:
        for p, flag in zip(parameters, flags, strict=True):
            p.requires_grad_(flag)
    scores = [size / probe.batches for size in sizes]
    if probe.agree:
        scores = [score * sign.abs() / probe.batches for score, sign in zip(scores, signs, strict=True)]
    if probe.score == "taylor":
        scores = [score * p.detach().float().abs() for score, p in zip(scores, parameters, strict=True)]
    return tuple(scores)


def _batches(numbers: Sequence[int], probe: Probe, rng: Generator) -> Iterator[list[int]]:
    """So many batches; each example comes once before any comes again."""
    size = max(min(probe.batch, len(numbers) // probe.batches), 1)
    waiting: list[int] = []
    for _ in range(probe.batches):
        if len(waiting) < size:
            waiting = [numbers[k] for k in torch.randperm(len(numbers), generator=rng).tolist()]
        yield waiting[:size]
        waiting = waiting[size:]


def magnitudes(network: Network) -> Scores:
    """The sizes of the weights: a control that looks at no example."""
    return tuple(p.detach().float().abs() for p in network.parameters())


def chances(network: Network, rng: Generator) -> Scores:
    """Random numbers: a control that looks at nothing."""
    return tuple(torch.rand(p.shape, generator=rng).to(p.device) for p in network.parameters())


def masks(
    network: Network, scores: Scores, share: float, grain: Grain = "element", always: Sequence[Tensor] = ()
) -> Masks:
    """The highest scores of all tensors, each tensor's first divided by their root mean square.

    Args:
        network: whose parameters.
        scores: one tensor for each.
        share: of all entries; the masks hold round(share * entries), filters as many as fit in.
        grain: what is chosen at once.
        always: parameters of which all entries are chosen before any other, as far as the share reaches.

    Raises:
        OptionError: the share is not in 0 to 1.
    """
    if not 0 <= share <= 1:
        raise OptionError(f"share {share} of the weights must be in 0 to 1")
    parameters = list(network.parameters())
    first = [any(p is one for one in always) for p in parameters]
    scaled = [torch.full_like(s, torch.inf) if f else _scaled(s) for s, f in zip(scores, first, strict=True)]
    units = [_units(score, grain) for score in scaled]
    sizes = [torch.full_like(unit, p.numel() // max(len(unit), 1)) for unit, p in zip(units, parameters, strict=True)]
    order = torch.cat(units).argsort(descending=True, stable=True)
    # In float64: float32 does not count beyond 16 million.
    reached = torch.cat(sizes).double()[order].cumsum(0)
    taken = torch.zeros_like(order, dtype=torch.bool)
    taken[order[reached <= round(share * sum(p.numel() for p in parameters))]] = True
    parts = taken.split([len(unit) for unit in units])
    return tuple(_spread(part, p) for part, p in zip(parts, parameters, strict=True))


def _scaled(score: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    size = score.double().square().mean().sqrt()
    return score.double() / size if float(size) > 0 else score.double()


def _units(score: Float[Tensor, "..."], grain: Grain) -> Float[Tensor, " u"]:
    """A score for each thing to choose: entries, or filters of a tensor that has such."""
    return score.flatten(1).mean(1) if grain == "filter" and score.ndim > 1 else score.flatten()


def _spread(taken: Bool[Tensor, " u"], parameter: Tensor) -> Bool[Tensor, "..."]:
    """The mask of a parameter."""
    each = max(parameter.numel() // max(len(taken), 1), 1)
    return taken.repeat_interleave(each).view(parameter.shape)


def every(network: Network) -> Masks:
    """Masks that let all entries change."""
    return tuple(torch.ones_like(p, dtype=torch.bool) for p in network.parameters())


def only(network: Network, chosen: Sequence[Tensor]) -> Masks:
    """Masks that let some parameters change."""
    return tuple(torch.full_like(p, any(p is one for one in chosen), dtype=torch.bool) for p in network.parameters())


def last_layer(network: Network, pair: Pair) -> Sequence[Tensor]:
    """The parameters, weight before bias, of the layer that runs last; those of the last tensor where none can be told.

    Args:
        network: a run of it tells.
        pair: what it runs on.
    """
    ran: list[nn.Module] = []

    def note(module: nn.Module, _inputs: object, _output: object) -> None:
        ran.append(module)

    layers = [m for m in network.modules() if m is not network and list(m.parameters(recurse=False))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            # `forward` may fold layers together without running them.
            network.head(network.features(pair), pair)
    finally:
        for hook in hooks:
            hook.remove()
    return list(ran[-1].parameters(recurse=False)) if ran else list(network.parameters())[-1:]
