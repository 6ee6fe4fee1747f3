"""With `form=toolbox` the methods equal the reference toolbox: synthetic pairs always, real ones where at hand."""

from __future__ import annotations

import golden_data as gold
import pytest
import torch

from panloom import classical
from panloom.errors import MethodError
from panloom.pair import Fuser, Pair

#: Method and its name in the golden data.
RULES = {
    "exp": "EXP",
    "bdsd": "BDSD",
    "bdsd-pc": "BDSD_PC",
    "brovey": "Brovey",
    "bt-h": "BTH",
    "gs": "GS",
    "gs2-glp": "GS2_GLP",
    "gsa": "GSA",
    "ihs": "IHS",
    "pca": "PCA",
    "pracs": "PRACS",
    "hpf": "HPF",
    "sfim": "SFIM",
    "atwt": "ATWT",
    "atwt-m2": "ATWT_M2",
    "atwt-m3": "ATWT_M3",
    "awlp": "AWLP",
    "mf-hg": "MF_HG",
    "mtf-glp": "MTF_GLP",
    "mtf-glp-cbd": "MTF_GLP_CBD",
    "mtf-glp-fs": "MTF_GLP_FS",
    "mtf-glp-hpm": "MTF_GLP_HPM",
    "mtf-glp-hpm-h": "MTF_GLP_HPM_H",
    "mtf-glp-hpm-r": "MTF_GLP_HPM_R",
}
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fuse(name: str, pair: Pair) -> torch.Tensor:
    fuser = classical.get(name)(form="toolbox")  # pyright: ignore[reportCallIssue]
    assert isinstance(fuser, Fuser)
    assert fuser.traits.tiling == "whole"
    return fuser(pair)


def check(problem: gold.Problem, name: str, dtype: torch.dtype) -> None:
    pair = problem.pair(dtype)
    if name == "mtf-glp-cbd" and problem.scale == "fr":
        pytest.skip("the reference has it at reduced resolution only")
    if RULES[name] not in problem.methods:
        assert (name, pair.ratio) == ("bdsd", 2)
        with pytest.raises(MethodError, match="ratio 2"):
            fuse(name, pair)
        return
    fused = fuse(name, pair)
    assert fused.dtype == dtype
    problem.check(RULES[name], fused)


def test_every_method_is_here():
    assert set(RULES) == set(classical.names())


@DTYPES
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("scale", ["rr", "fr"])
@pytest.mark.parametrize("source", gold.SYNTHETIC)
def test_synthetic_pairs(source, scale, name, dtype):
    check(gold.whole(source, scale), name, dtype)


@DTYPES
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("source", "scale"),
    [(source, "rr") for source in gold.REAL] + [(source, "fr") for source in gold.REAL_FULL],
)
def test_real_pairs(shared, source, scale, name, dtype):
    check(gold.whole(source, scale, shared / gold.REAL_FOLDER), name, dtype)


@pytest.mark.parametrize("name", RULES)
def test_another_phase_is_refused(name):
    pair = gold.whole("synth6_r2", "rr").pair()
    shifted = Pair(pair.pan, pair.ms, pair.exp, pair.valid, (0.5, 0.5), pair.sensor)
    with pytest.raises(MethodError, match=r"form=toolbox supposes MS samples at PAN phase 1 .*form=physical"):
        fuse(name, shifted)
