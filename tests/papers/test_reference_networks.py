"""The reference networks give the numbers of the public ones, with the public weights where they are at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from panloom import networks
from panloom.errors import MethodError
from panloom.networks._published import Published, from_published
from panloom.networks.pannet import high_pass
from panloom.pair import Pair

#: Network and its name in the golden data.
STEMS = {
    "pnn": "pnn",
    "pannet": "pannet",
    "dicnn": "dicnn1",
    "msdcnn": "msdcnn",
    "drpnn": "drpnn",
    "fusionnet": "fusionnet",
}
EVERY_NETWORK = pytest.mark.parametrize("name", STEMS)
SENSORS = pytest.mark.parametrize("sensor", ["WV2", "QB"])
SETS = pytest.mark.parametrize("inputs", ["real", "rand"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])

#: Parameters for 8 and for 4 bands. What is not published for 4 bands is not listed.
PARAMETERS = {
    "pnn": (104_360, 80_420),
    "a-pnn": (79_880, None),
    "pannet": (83_024, 77_640),
    "dicnn": (46_792, 42_180),
    "msdcnn": (228_556, 189_852),
    "drpnn": (433_465, 418_365),
    "fusionnet": (78_632, 76_324),
    "lagnet": (151_397, None),
}

#: Subnormal weights of some public files, counted by those who made the golden data.
SUBNORMAL = {("WV2", "drpnn"): 23_512, ("QB", "drpnn"): 107_857}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    folder = shared / "golden" / "networks" / "networks"
    if not folder.is_dir():
        pytest.skip("no golden networks beside the checkout")
    return folder


def weights(golden: Path, sensor: str, name: str) -> dict[str, torch.Tensor]:
    return load_file(golden / "weights" / f"{sensor}_{STEMS[name]}.safetensors")


def load(golden: Path, sensor: str, name: str) -> Published:
    return from_published(weights(golden, sensor, name), name)


def pair_of(golden: Path, sensor: str, inputs: str, dtype: torch.dtype) -> Pair:
    """The stored inputs; EXP is the stored one, from the toolbox's interpolator."""
    with np.load(golden / f"{sensor}_inputs.npz") as arrays:
        pan, ms, exp = (torch.from_numpy(arrays[f"{inputs}_{key}"]).to(dtype) for key in ("pan", "ms", "lms"))
    return Pair(pan, ms, exp, torch.ones_like(pan, dtype=torch.bool), (2.0, 2.0))


def limits(name: str, inputs: str, dtype: torch.dtype) -> dict[str, float]:
    """Of output and feature; double precision agrees to the rounding of the stored single."""
    if dtype == torch.float64:
        return {"output": 1e-6, "feature": 2e-6}
    if inputs == "real":
        return {"output": 1e-5, "feature": 1e-5}
    return {"output": 3e-5, "feature": 2e-4 if name == "pannet" else 5e-5}


@EVERY_NETWORK
@SENSORS
@SETS
@DTYPES
def test_images_and_features_are_the_published_ones(golden, name, sensor, inputs, dtype):
    net = load(golden, sensor, name).network.to(dtype).eval()
    pair = pair_of(golden, sensor, inputs, dtype)
    with torch.no_grad():
        found = {"output": net(pair), "feature": net.features(pair)}
    with np.load(golden / f"{sensor}_{STEMS[name]}_expected.npz") as arrays:
        for key, limit in limits(name, inputs, dtype).items():
            stored = torch.from_numpy(arrays[f"{inputs}_{key}"])
            assert found[key].shape == stored.shape
            assert float((found[key].double() - stored.double()).abs().max()) <= limit, key


@SENSORS
@SETS
def test_high_passed_images_are_the_published_ones(golden, sensor, inputs):
    pair = pair_of(golden, sensor, inputs, torch.float32)
    with np.load(golden / f"{sensor}_inputs.npz") as arrays:
        for key in ("ms", "pan"):
            stored = torch.from_numpy(arrays[f"{inputs}_{key}_hp"])
            assert float((high_pass(getattr(pair, key)) - stored).abs().max()) <= 1e-6


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 9), (6, 7)])
def test_high_pass_mirrors_without_repeating_the_edge(height, width):
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    mirrored = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    means = np.lib.stride_tricks.sliding_window_view(mirrored, (5, 5), (2, 3)).mean((-2, -1))
    assert np.allclose(high_pass(x).numpy(), x.numpy() - means, atol=1e-14)


@pytest.mark.parametrize("name", PARAMETERS)
def test_numbers_of_parameters(name):
    for bands, expected in zip((8, 4), PARAMETERS[name], strict=True):
        net = networks.build(name, {"bands": bands})
        if expected is not None:
            assert sum(values.numel() for values in net.parameters()) == expected


@pytest.mark.parametrize("name", ["pannet", "dicnn", "lagnet"])
def test_truncated_normal_initialisation(name):
    torch.manual_seed(0)
    for key, values in networks.build(name, {"bands": 8}).named_parameters():
        if key.endswith("bias"):
            assert not bool(values.any())
        else:
            std = (1.3 / values[0].numel()) ** 0.5
            drawn = values.detach()
            assert float(drawn.abs().max()) <= 2 * std
            # A normal distribution that is cut at two deviations has 0.88 of its deviation left.
            assert float(drawn.square().mean().sqrt()) == pytest.approx(0.88 * std, rel=4 / values.numel() ** 0.5)


# ---- structure -----------------------------------------------------------------------------------


def row_sums(net: networks.Network, pair: Pair) -> torch.Tensor:
    """How much each output value grows with all inputs together: weights of the bands, of PAN, and of MS."""

    def image(pan: torch.Tensor, ms: torch.Tensor, exp: torch.Tensor) -> torch.Tensor:
        return net(replace(pair, pan=pan, ms=ms, exp=exp))

    inputs = (pair.pan, pair.ms, pair.exp)
    return torch.func.jvp(image, inputs, tuple(torch.ones_like(x) for x in inputs))[1]


@SENSORS
@pytest.mark.parametrize(("name", "one"), [("fusionnet", True), ("pannet", True), ("pnn", False), ("dicnn", False)])
def test_weights_of_bands_and_pan_sum_to_one(golden, name, one, sensor):
    net = load(golden, sensor, name).network.double().eval().requires_grad_(False)
    sums = row_sums(net, pair_of(golden, sensor, "real", torch.float64))
    off = float((sums - 1).abs().max())
    assert off < 1e-12 if one else off > 1e-2


# ---- public files --------------------------------------------------------------------------------


@EVERY_NETWORK
@pytest.mark.parametrize(("sensor", "bands"), [("WV2", 8), ("WV3", 8), ("QB", 4), ("WV4", 4)])
def test_public_weights_are_recognised(golden, name, sensor, bands):
    state = weights(golden, sensor, name)
    found = from_published(state)
    assert (found.name, found.options) == (name, {"bands": bands})
    tiny = torch.finfo(torch.float32).tiny
    values = torch.cat([v.flatten() for v in found.network.state_dict().values()])
    assert not bool(((values != 0) & (values.abs() < tiny)).any())
    subnormal = sum(int(((v != 0) & (v.abs() < tiny)).sum()) for v in state.values())
    assert found.flushed == SUBNORMAL.get((sensor, name), subnormal) == subnormal


def published(name: str, bands: int = 5) -> dict[str, torch.Tensor]:
    """A checkpoint with random weights, named like a public one."""
    theirs = {ours: layer for layer, ours in reversed([*networks.get(name).published.items()])}
    state = networks.build(name, {"bands": bands}).state_dict()
    return {".".join([theirs[key.rpartition(".")[0]], key.rpartition(".")[2]]): v for key, v in state.items()}


@EVERY_NETWORK
def test_any_number_of_bands_is_read(name):
    found = from_published(published(name, 5))
    assert (found.name, found.options, found.flushed) == (name, {"bands": 5}, 0)


@pytest.mark.parametrize("name", ["pannet", "fusionnet"])
def test_blocks_that_stand_there_twice(name):
    state = published(name)
    for key in [key for key in state if key.startswith("res")]:
        block, rest = key.split(".", 1)
        state[f"backbone.{int(block[3:]) - 1}.{rest}"] = state[key].clone()
    expected = from_published(published_once := {k: v for k, v in state.items() if not k.startswith("backbone")})
    assert len(state) == len(published_once) + 16
    found = from_published(state)
    assert found.name == name
    assert all(torch.equal(v, expected.network.state_dict()[k]) for k, v in found.network.state_dict().items())
    state["backbone.2.conv21.bias"] += 1
    with pytest.raises(MethodError, match=r"res3\.conv21\.bias twice, also as backbone\.2\.conv21\.bias"):
        from_published(state, name)


def test_subnormal_weights_become_zero():
    state = published("drpnn")
    state["conv1.weight"][0, 0, 0, :3] = torch.tensor([1e-40, -1e-42, 2e-38])
    found = from_published(state)
    assert found.flushed == 2
    assert found.network.get_parameter("first.weight")[0, 0, 0, :3].tolist() == pytest.approx([0, 0, 2e-38])


def changed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = {**published("dicnn"), **{key.replace("__", "."): v for key, v in changes.items()}}
    return {key: v for key, v in state.items() if v is not None}


@pytest.mark.parametrize(
    ("state", "name", "told"),
    [
        (changed(conv2__bias=None), "dicnn", r"5 bands: conv2\.bias \(nothing\) instead of 64"),
        (changed(conv4__bias=torch.ones(3)), "dicnn", r"conv4\.bias 3 instead of \(nothing\)"),
        (changed(conv2__bias=torch.ones(7)), "dicnn", r"conv2\.bias 7 instead of 64"),
        (changed(conv2__bias=torch.ones(())), "dicnn", r"conv2\.bias \(one number\) instead of 64"),
        (changed(), "pnn", r"conv1\.weight 64x6x3x3 instead of 64x6x9x9"),
        (changed(), "pannet", r"not those of pannet; compared with .* and \d+ more"),
        (changed(conv2__bias=None), None, r"fit no network .*the file holds: conv1\.weight 64x6x3x3"),
        ({}, None, "the file holds: nothing"),
        ({}, "pnn", "not those of pnn"),
        (changed(conv2__bias=torch.full((64,), torch.nan)), None, r"conv2\.bias of dicnn .* no finite numbers"),
        (changed(conv2__bias=torch.ones(64, dtype=torch.int64)), None, r"conv2\.bias of dicnn .* no finite numbers"),
        (changed(), "lagnet", r"not those of lagnet; compared with \d+ bands: .* and \d+ more"),
        (changed(), "universal", "not those of universal; compared with its usual options: "),
        (changed(), "lagnett", "unknown network 'lagnett'; did you mean 'lagnet'"),
        ({"enter.weight": torch.ones(0), "expand.weight": torch.ones(4)}, "universal", "universal needs a width of 1"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(state, name, told):
    with pytest.raises(MethodError, match=told):
        from_published(state, name)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"bands": 5}) for name in networks.names() if name != "universal"),
        ("a-pnn", {"bands": 5, "filters": 20}),
        ("pannet", {"bands": 3, "ratio": 2}),
        ("pannet", {"bands": 3, "ratio": 5}),
        ("universal", {}),
        ("universal", {"width": 24, "depth": 4, "maps": 16}),
        ("universal", {"depth": 0}),
    ],
)
def test_tensors_by_our_own_names_are_known_with_their_options(name, options):
    state = networks.build(name, options).state_dict()
    for demanded in (None, name):
        found = from_published(state, demanded)
        assert (found.name, found.options) == (name, options)
        assert all(torch.equal(value, state[key]) for key, value in found.network.state_dict().items())


def test_what_fits_two_networks_is_the_one_with_its_usual_options():
    state = networks.build("a-pnn", {"bands": 4, "filters": 64}).state_dict()
    assert (from_published(state).name, from_published(state).options) == ("pnn", {"bands": 4})
    found = from_published(state, "a-pnn")
    assert (found.name, found.options) == ("a-pnn", {"bands": 4, "filters": 64})
