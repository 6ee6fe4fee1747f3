"""Muon: orthogonal updates of matrices, Adam for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Generator, nn

from panloom.train import Muon
from panloom.train._muon import orthogonal


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def moved(start: torch.Tensor, slopes: list[torch.Tensor], optimizer: Muon) -> torch.Tensor:
    """A parameter after steps against given gradients."""
    parameter = nn.Parameter(start.clone())
    rule = optimizer.build([parameter])
    for slope in slopes:
        parameter.grad = slope
        rule.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)])
def test_singular_vectors_stay_and_singular_values_become_nearly_one(shape):
    matrix = drawn(*shape)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    seen = u.mT @ orthogonal(matrix[None])[0] @ vh.mT
    assert float((seen - torch.diag(seen.diagonal())).abs().max()) < 1e-4
    assert float(seen.diagonal().min()) > 0.3
    assert float(seen.diagonal().max()) < 1.3


def test_the_size_of_a_matrix_does_not_matter_and_neighbours_do_not_see_each_other():
    matrices = drawn(3, 6, 20)
    found = orthogonal(matrices)
    torch.testing.assert_close(orthogonal(1e3 * matrices), found, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(orthogonal(matrices[1:2])[0], found[1], rtol=1e-5, atol=1e-6)


def test_a_gradient_of_zero_moves_nothing():
    start = drawn(4, 3, 3, 3)
    assert torch.equal(moved(start, [torch.zeros_like(start)] * 2, Muon(0.1)), start)


def test_a_convolution_is_the_matrix_of_its_outputs():
    slopes = [drawn(4, 3, 3, 3, seed=k) for k in (1, 2)]
    as_matrix = moved(drawn(4, 27), [slope.flatten(1) for slope in slopes], Muon(0.1))
    assert torch.equal(moved(drawn(4, 27).view(4, 3, 3, 3), slopes, Muon(0.1)).flatten(1), as_matrix)


def test_vectors_move_as_adam_moves_them():
    start, slopes = drawn(7), [drawn(7, seed=k) for k in range(1, 6)]
    parameter = nn.Parameter(start.clone())
    adam = torch.optim.AdamW([parameter], lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for slope in slopes:
        parameter.grad = slope
        adam.step()
    found = moved(start, slopes, Muon(0.01, betas=(0.9, 0.98), weight_decay=0.1))
    torch.testing.assert_close(found, parameter.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_matrices_move_as_torchs_muon_moves_them():
    start, slopes = drawn(10, 24), [drawn(10, 24, seed=k) for k in range(1, 4)]
    parameter = nn.Parameter(start.clone())
    theirs = torch.optim.Muon([parameter], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for slope in slopes:
        parameter.grad = slope
        theirs.step()
    # Theirs computes in bfloat16.
    found = moved(start, slopes, Muon(0.01, weight_decay=0.1)) - start
    assert float((found - (parameter.detach() - start)).norm() / found.norm()) < 0.02


def test_two_parts_of_a_run_are_the_run():
    layers = [nn.Parameter(drawn(5, 6)), nn.Parameter(drawn(5))]
    rule = Muon(0.1).build(layers)
    slopes = [[drawn(5, 6, seed=k), drawn(5, seed=k)] for k in range(4)]

    def step(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, k: int) -> None:
        for parameter, slope in zip(parameters, slopes[k], strict=True):
            parameter.grad = slope
        optimizer.step()

    for k in range(2):
        step(layers, rule, k)
    later = [nn.Parameter(p.detach().clone()) for p in layers]
    resumed = Muon(0.1).build(later)
    resumed.load_state_dict(copy.deepcopy(rule.state_dict()))
    for k in (2, 3):
        step(layers, rule, k)
        step(later, resumed, k)
    assert all(torch.equal(a, b) for a, b in zip(layers, later, strict=True))
