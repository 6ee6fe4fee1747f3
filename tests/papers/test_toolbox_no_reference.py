"""Indices without reference, toolbox form, equal the reference toolbox: synthetic pairs always, real ones at hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import golden_data as gold
import pytest
import torch

from panloom import classical, metrics
from panloom.metrics._full import FullScene

#: Name in the golden data and registry name. The data's D_lambda_K and HQNR are the K-PAN variants.
INDICES = {
    "D_lambda": "d-lambda",
    "D_lambda_orig": "d-lambda-qnr2008",
    "D_lambda_K": "d-lambda-khan-pan",
    "D_lambda_K_LR": "d-lambda-khan",
    "D_s": "d-s",
    "D_s_orig": "d-s-qnr2008",
    "QNR": "qnr",
    "HQNR": "hqnr-k-pan",
    "HQNR_LR": "hqnr",
}

#: Methods whose full-resolution image can be made again here.
RULES = {
    "exp": "EXP",
    "brovey": "Brovey",
    "gs": "GS",
    "gsa": "GSA",
    "sfim": "SFIM",
    "mtf-glp": "MTF_GLP",
    "mtf-glp-hpm": "MTF_GLP_HPM",
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@lru_cache(maxsize=2)
def scene(source: str, scale: gold.Scale, root: Path) -> FullScene:
    return FullScene.of(gold.whole(source, scale, root).pair(), 1.0)


def check(fused: torch.Tensor, problem: gold.Problem, method: str, root: Path, atol: float) -> int:
    """Compare every index that is defined, and tell how many are.

    `atol` is that of the indices that round nothing; where a pixel at x.5 may round the other way it is 1e-6.
    """
    stored = problem.index(method, "NOREF")
    full = scene(problem.source.name, problem.scale, root)
    for key, name in INDICES.items():
        if stored[key] is not None:
            metric = metrics.get(name)
            limit = 1e-4 if method in problem.ill_conditioned else atol if metric.scale_free else 1e-6
            value = metric(fused, full)
            assert value == pytest.approx(stored[key], rel=0, abs=limit), f"{problem.source.name} {method} {key}"
    return sum(stored[key] is not None for key in INDICES)


def check_stored(source: str, root: Path) -> None:
    problem = gold.whole(source, "rr", root)
    methods = [m for m in problem.methods if f"rr_fused_{m}" in problem.source]
    assert len(methods) >= 14
    for method in methods:
        fused = problem.source.tensor(f"rr_fused_{method}")
        # Stored as float32: a part in 1e7 of the two UQI that the indices are the difference of.
        count = check(fused, problem, method, root, 2e-8)
        assert count == (2 if source == "synth6_r2" else len(INDICES))


def check_made_again(source: str, method: str, root: Path) -> None:
    problem = gold.whole(source, "fr", root)
    fuser = classical.get(method)(form="toolbox")  # pyright: ignore[reportCallIssue]
    assert check(fuser(problem.pair()), problem, RULES[method], root, 1e-9) == len(INDICES)


@pytest.mark.parametrize("source", gold.SYNTHETIC)
def test_stored_results_of_synthetic_pairs(source):
    check_stored(source, gold.GOLDEN)


@pytest.mark.parametrize("source", gold.REAL)
def test_stored_results_of_real_pairs(shared, source):
    check_stored(source, shared / gold.REAL_FOLDER)


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("source", gold.SYNTHETIC)
def test_full_resolution_of_synthetic_pairs(source, method):
    check_made_again(source, method, gold.GOLDEN)


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("source", gold.REAL_FULL)
def test_full_resolution_of_real_pairs(shared, source, method):
    check_made_again(source, method, shared / gold.REAL_FOLDER)


def test_sizes_that_the_toolbox_refuses_have_a_value():
    """48 x 48 pixels: the blocks that stick out are left out, or mirrored in the K indices."""
    problem = gold.whole("synth6_r2", "rr")
    full = scene("synth6_r2", "rr", gold.GOLDEN)
    fused = problem.source.tensor("rr_fused_GSA")
    for name in INDICES.values():
        assert -1 < metrics.get(name)(fused, full) < 1
    assert float(metrics.get("d-s").tally(fused, full)["d-s:fused count"]) == 1
    assert float(metrics.get("d-lambda-khan-pan").tally(fused, full)["d-lambda-khan-pan:count"]) == 4
