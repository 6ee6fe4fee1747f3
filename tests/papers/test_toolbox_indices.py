"""The indices with reference equal those of the reference toolbox: synthetic pairs always, real ones where at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import golden_data as gold
import pytest
import torch

from panloom import classical, metrics
from panloom.errors import OptionError
from panloom.pair import Fuser

Cut = Literal["RR_nocut", "RR_cut21"]

#: Index, its name in the golden data, and the relative limit for results that are stored as float32. The stored ones
#: of SAM and ERGAS move by up to 5.4e-8 on 7 x 7 pixels; those of Q2n by single pixels at x.5 that round differently.
INDICES = {
    "q2n": ("Q2n", 2e-6),
    "q": ("Q_avg", 1e-8),
    "sam": ("SAM", 1e-7),
    "ergas": ("ERGAS", 1e-7),
    "scc": ("SCC", 1e-8),
    "ssim": ("SSIM_L2047", 1e-8),
}
CUTS: dict[Cut, slice] = {"RR_nocut": slice(None), "RR_cut21": slice(20, -21)}

#: Methods whose results are computed here in float64, to compare indices without the rounding of storage.
METHODS = {
    "exp": "EXP",
    "brovey": "Brovey",
    "gs": "GS",
    "gsa": "GSA",
    "sfim": "SFIM",
    "mtf-glp": "MTF_GLP",
    "mtf-glp-hpm": "MTF_GLP_HPM",
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def index(name: str, source: gold.GoldenPair, fused: torch.Tensor, cut: Cut) -> float:
    images = (image[..., CUTS[cut], CUTS[cut]] for image in (fused, source.truth))
    metric = metrics.get(name)
    return metric(*images, **({"ratio": source.ratio} if "ratio" in metric.settings else {}))


def check(problem: gold.Problem, method: str, fused: torch.Tensor, limits: dict[str, float]) -> int:
    """Compare all indices of a result; returns how many are stored."""
    number = 0
    for name, (key, _) in INDICES.items():
        for cut in CUTS:
            expected = problem.index(method, cut).get(key)
            if expected is None:
                continue
            number += 1
            value = index(name, problem.source, fused, cut)
            assert value == pytest.approx(expected, rel=limits[name]), f"{problem.source.name} {method} {cut} {name}"
    return number


def check_stored(source: str, root: Path = gold.GOLDEN) -> None:
    problem = gold.whole(source, "rr", root)
    for method in problem.methods:
        least = 1e-7 if method in problem.ill_conditioned else 0.0
        limits = {name: max(limit, least) for name, (_, limit) in INDICES.items()}
        for fused in problem.stored(method).values():
            assert check(problem, method, fused, limits) >= 8


def check_computed(source: str, name: str, root: Path = gold.GOLDEN) -> None:
    problem, method = gold.whole(source, "rr", root), METHODS[name]
    fuser = classical.get(name)(form="toolbox")  # pyright: ignore[reportCallIssue]
    assert isinstance(fuser, Fuser)
    limit = 1e-4 if method in problem.ill_conditioned else 1e-9
    assert check(problem, method, fuser(problem.pair()), dict.fromkeys(INDICES, limit)) >= 8


@pytest.mark.parametrize("source", gold.SYNTHETIC)
def test_stored_results_of_synthetic_pairs(source):
    check_stored(source)


@pytest.mark.parametrize("source", gold.REAL)
def test_stored_results_of_real_pairs(shared, source):
    check_stored(source, shared / gold.REAL_FOLDER)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("source", gold.SYNTHETIC)
def test_computed_results_of_synthetic_pairs(source, name):
    check_computed(source, name)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("source", gold.REAL)
def test_computed_results_of_real_pairs(shared, source, name):
    check_computed(source, name, shared / gold.REAL_FOLDER)


@pytest.mark.parametrize("source", gold.SYNTHETIC)
def test_what_the_toolbox_does_not_define(source):
    problem = gold.whole(source, "rr")
    stored, fused = problem.index("EXP", "RR_cut21"), problem.exp
    assert stored["Q_avg"] is None
    with pytest.raises(OptionError, match="no window of 32 x 32 pixels fits"):
        index("q", problem.source, fused, "RR_cut21")
    if stored["Q2n"] is None:  # 7 x 7 pixels, mirrored here as often as it takes
        assert 0 < index("q2n", problem.source, fused, "RR_cut21") < 1


def test_the_rounding_of_q2n_shows_in_the_stored_values():
    problem = gold.whole("synth6_r2", "rr")
    fused = problem.exp
    stored = problem.index("EXP", "RR_nocut")["Q2n"]
    assert index("q2n", problem.source, fused, "RR_nocut") == pytest.approx(stored, rel=1e-9)
    assert index("q2n-unrounded", problem.source, fused, "RR_nocut") != pytest.approx(stored, rel=1e-5)
