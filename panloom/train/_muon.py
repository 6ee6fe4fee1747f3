"""Muon: matrices are updated along an orthogonal matrix, everything else by Adam.

Published (K. Jordan et al., 2024, kellerjordan.github.io/posts/muon): the averaged gradient of a matrix is replaced by
a nearly orthogonal one with the same singular vectors, found by five Newton-Schulz steps, so that rare directions learn
as fast as frequent ones. The scale that makes rates those of Adam: Liu et al., 2025 (arXiv 2502.16982, eq. 4). A
convolution counts as the matrix of its outputs by all that each of them sees. torch.optim.Muon takes no convolutions.

Ours: matrices of one shape go through the steps together, which on small networks takes most of the cost away.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

#: Coefficients of the quintic iteration, and how often it is run: singular values end between .7 and 1.2.
QUINTIC, TIMES = (3.4445, -4.7750, 2.0315), 5

#: Root mean square of an update of Adam; that of an orthogonal one is brought to it.
LIKE_ADAM = 0.2


class Muon(torch.optim.Optimizer):
    """See the module.

    Args:
        parameters: of two or more dimensions: along an orthogonal matrix; of fewer: by Adam.
        lr: learning rate of both.
        momentum: decay of the average of a matrix's gradient, in Nesterov's form.
        betas: decay of Adam's two moments.
        weight_decay: beside the gradient, as in AdamW.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update; parameters without a gradient stay."""
        for group in self.param_groups:
            moving: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            for parameter in moving:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            for parameter in moving:
                if parameter.dim() < 2:
                    self._adam(parameter, group["lr"], group["betas"])
            self._orthogonal([p for p in moving if p.dim() > 1], group["lr"], group["momentum"])

    def _adam(self, parameter: Tensor, lr: float, betas: tuple[float, float]) -> None:
        state, slope = self.state[parameter], parameter.grad
        assert slope is not None
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        state["mean"].lerp_(slope, 1 - betas[0])
        state["square"].lerp_(slope.square(), 1 - betas[1])
        mean, square = (
            state[key] / (1 - beta ** state["step"]) for key, beta in zip(("mean", "square"), betas, strict=True)
        )
        parameter.sub_(lr * mean / (square.sqrt() + 1e-8))

    def _orthogonal(self, matrices: list[Tensor], lr: float, momentum: float) -> None:
        shapes: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for parameter in matrices:
            state, slope = self.state[parameter], parameter.grad
            assert slope is not None
            mean = state.setdefault("mean", torch.zeros_like(parameter)).lerp_(slope, 1 - momentum)
            ahead = slope.lerp(mean, momentum).flatten(1)
            shapes.setdefault(ahead.shape, []).append((parameter, ahead))
        for shape, members in shapes.items():
            scale = lr * LIKE_ADAM * max(shape) ** 0.5
            for (parameter, _), update in zip(members, orthogonal(torch.stack([a for _, a in members])), strict=True):
                parameter.sub_(update.view_as(parameter), alpha=scale)


def orthogonal(matrices: Float[Tensor, "k n m"]) -> Float[Tensor, "k n m"]:
    """Nearly orthogonal matrices with the singular vectors of those given; of 0 it is 0."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(TIMES):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
