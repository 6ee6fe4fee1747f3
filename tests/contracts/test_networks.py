"""Every network of the registry keeps the promises of `Network`, and those of `Fuser` that weights do not decide."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import fields, replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from panloom import networks, sensors
from panloom.errors import MethodError
from panloom.networks import Network
from panloom.pair import Fuser, Pair
from panloom.run.cite import citations
from panloom.run.sharpen import check_fits
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, trim
from panloom.types import Tile, Traits, Window

NAMES = networks.names()
EVERY_NETWORK = pytest.mark.parametrize("name", NAMES)
F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
BANDS = 4

#: Ratio and a phase of no special kind, inside the cell and beyond its rim.
CASES = [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))]
EVERY_CASE = pytest.mark.parametrize(("ratio", "phase"), CASES, ids=lambda v: str(v).replace(" ", ""))

#: Error of bfloat16 against float32 with random weights: root mean square, relative to the image's. Whether it is small
#: enough with trained weights is measured for each network.
BF16_ERROR = 0.03


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(name: str, ratio: int = 4, bands: int = BANDS, seed: int = 0) -> Network:
    """A network as its constructor leaves it; options that it does not have are left out."""
    known = inspect.signature(networks.get(name)).parameters
    torch.manual_seed(seed)
    return networks.build(name, {k: v for k, v in (("bands", bands), ("ratio", ratio)) if k in known})


def strong(name: str, ratio: int = 4, dtype: torch.dtype = F32) -> Network:
    """A network with random weights that keep the size of what goes through: gains near 0 would hide errors."""
    net, draw = make(name, ratio).to(dtype), rng(1)
    with torch.no_grad():
        for values in net.parameters():
            std = math.sqrt(2 / values[0].numel()) if values.ndim > 1 else 0.1
            values.copy_(std * torch.randn(values.shape, generator=draw, dtype=F64))
    return net


def scene_of(ratio, phase, cells=(9, 12), dtype=F32, bands=BANDS, change=lambda pan, ms: (pan, ms)) -> Scene:
    """Noise whose PAN size is no multiple of the ratio, unless it is so small that the ratio could not be seen."""
    height, width = (n * ratio - (n > 2) for n in cells)
    draw = rng(2)
    pan = torch.rand(1, 1, height, width, generator=draw, dtype=F64) + 0.2
    ms = torch.rand(1, bands, *cells, generator=draw, dtype=F64) + 0.2
    sensor = replace(sensors.get("generic"), bands=sensors.generic_bands(bands))
    return array_scene(*change(pan.to(dtype), ms.to(dtype)), sensor=sensor, phase=phase)


def whole(scene: Scene) -> Tile:
    grid = scene.grid
    return Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))


def read(scene: Scene) -> Pair:
    return scene.read(whole(scene))


def run(fuser: Fuser, scene: Scene) -> torch.Tensor:
    """The fused scene, cut to the PAN image."""
    with torch.no_grad():
        return fuser(read(scene))[..., : scene.grid.height, : scene.grid.width]


def mosaic(fuser: Fuser, scene: Scene, size: int, traits: Traits) -> torch.Tensor:
    grid = scene.grid
    out = torch.full_like(run(fuser, scene), torch.nan)
    with torch.no_grad():
        for tile in plan(grid, traits, size):
            part = trim(fuser(scene.read(tile)), tile, grid.ratio)
            out[(..., *tile.core.inside(Window(0, 0, grid.height, grid.width)))] = part
    return out


def gap(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative to the largest value; infinite for NaN."""
    error = (actual.double() - expected.double()).abs().max() / expected.double().abs().max()
    return float(error.nan_to_num(torch.inf))


# ---- the image -----------------------------------------------------------------------------------


@EVERY_NETWORK
@EVERY_CASE
def test_shape_type_and_repeat(name, ratio, phase):
    scene = scene_of(ratio, phase)
    fuser, pair = make(name, ratio).prepare(scene, rng()), read(scene)
    assert isinstance(fuser, Fuser)
    assert isinstance(fuser, Network)
    fused = fuser(pair)
    assert fused.shape == pair.exp.shape
    assert fused.dtype == pair.ms.dtype
    assert bool(fused.isfinite().all())
    assert torch.equal(fused, fuser(pair))


@EVERY_NETWORK
@EVERY_CASE
def test_forward_is_the_head_of_the_features(name, ratio, phase):
    scene = scene_of(ratio, phase)
    net, pair = strong(name, ratio).prepare(scene, rng()), read(scene)
    features = net.features(pair)
    batch, bands = pair.exp.shape[:2]
    assert features.shape[0] in (batch, batch * bands)
    assert features.shape[1] == net.channels
    assert all(f >= n for f, n in zip(features.shape[2:], pair.exp.shape[2:], strict=True))
    assert features.dtype == F32
    image = net.head(features, pair)
    if type(net).forward is Network.forward:
        assert torch.equal(net(pair), image)
    else:  # an equal form that sums in another order
        assert gap(net(pair), image) <= 1e-5


@EVERY_NETWORK
@pytest.mark.parametrize("way", ["forward", "head of features"])
def test_gradients_reach_every_parameter(name, way):
    scene = scene_of(*CASES[2])
    pair, without = read(scene), []
    for seed in range(3):  # in one draw, all ReLUs of a small layer may be shut
        net = make(name, seed=seed).prepare(scene, rng()).requires_grad_(True).train()
        image = net(pair) if way == "forward" else net.head(net.features(pair), pair)
        (image * torch.randn(image.shape, generator=rng(3))).sum().backward()
        without.append({k for k, values in net.named_parameters() if values.grad is None or not values.grad.any()})
    assert set.intersection(*without) == set()


@EVERY_NETWORK
def test_the_head_is_differentiable_in_the_features(name):
    scene = scene_of(*CASES[2])
    net, pair = strong(name).prepare(scene, rng()), read(scene)
    features = net.features(pair).requires_grad_(True)
    net.head(features, pair).square().sum().backward()
    assert features.grad is not None
    channels = features.grad.abs().sum((0, 2, 3))
    assert bool((channels > 0).all()), "an adapter can act on every channel"


@EVERY_NETWORK
@pytest.mark.parametrize("cells", [(1, 1), (1, 7), (5, 2), (3, 11)])
def test_any_size(name, cells):
    net = make(name)
    multiple = net.traits.multiple
    scene = scene_of(4, (1.5, 1.5), tuple(n * multiple for n in cells))
    pair = read(scene)
    fused = net.prepare(scene, rng())(pair)
    assert fused.shape == pair.exp.shape
    assert bool(fused.isfinite().all())


@EVERY_NETWORK
def test_a_batch_is_fused_pair_by_pair(name):
    scene = scene_of(*CASES[2], cells=(16, 20))
    net = strong(name).prepare(scene, rng())
    pairs = [scene.read(Tile(0, w.scaled(4), w)) for w in (Window(3, 2, 8, 8), Window(6, 10, 8, 8))]
    stacked = {f: torch.cat([getattr(p, f) for p in pairs]) for f in ("pan", "ms", "exp", "valid")}
    with torch.no_grad():
        together = net(replace(pairs[0], **stacked))
        assert gap(together, torch.cat([net(p) for p in pairs])) <= 1e-5


@EVERY_NETWORK
def test_inputs_are_untouched(name):
    scene = scene_of(*CASES[2])
    net, pair = strong(name).prepare(scene, rng()), read(scene)
    before = copy.deepcopy(pair)
    net(pair).add_(1)
    for field in fields(Pair):
        now, then = getattr(pair, field.name), getattr(before, field.name)
        assert torch.equal(now, then) if isinstance(now, torch.Tensor) else now == then, field.name


# ---- precision, devices --------------------------------------------------------------------------


@EVERY_NETWORK
@EVERY_CASE
def test_float32_is_close_to_float64(name, ratio, phase):
    single, double = (
        run(strong(name, ratio, dtype).prepare(scene, rng()), scene)
        for dtype in (F32, F64)
        for scene in [scene_of(ratio, phase, dtype=dtype)]
    )
    assert gap(single, double) <= 2e-5


@EVERY_NETWORK
def test_the_error_of_bfloat16_is_bounded(name):
    scene = scene_of(*CASES[2])
    net, pair = strong(name).prepare(scene, rng()), read(scene)
    exact, reduced = net(pair), net.to(BF16)(pair)
    assert reduced.dtype == F32, "the image keeps the type of the pair"
    error = float((reduced - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    assert 0 < error <= BF16_ERROR


@pytest.mark.gpu
@EVERY_NETWORK
def test_a_gpu_gives_the_same_image(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    scene = scene_of(*CASES[2])
    net, pair = strong(name).prepare(scene, rng()), read(scene)
    moved = replace(pair, **{f: getattr(pair, f).cuda() for f in ("pan", "ms", "exp", "valid")})
    expected, fused = net(pair), net.cuda()(moved)
    assert fused.device.type == "cuda"
    # Convolutions may run in TF32 (10 bits).
    assert gap(fused.cpu(), expected) <= 5e-3


# ---- prepare -------------------------------------------------------------------------------------


@EVERY_NETWORK
def test_prepare_returns_a_new_network(name):
    net, scene = strong(name).train(), scene_of(*CASES[2])
    before, told = copy.deepcopy(net.state_dict()), net.traits
    first, second = net.prepare(scene, rng()), net.prepare(scene, rng())
    assert first is not net
    assert not first.training
    assert not any(values.requires_grad for values in first.parameters())
    assert net.training
    assert all(values.requires_grad for values in net.parameters())
    assert net.traits == told
    assert all(torch.equal(values, before[key]) for key, values in net.state_dict().items())
    assert torch.equal(run(first, scene), run(second, scene))
    own = {values.data_ptr() for values in net.parameters()}
    assert not any(values.data_ptr() in own for values in first.parameters()), "no storage is shared"


@EVERY_NETWORK
def test_nothing_of_an_earlier_scene_is_left(name):
    net = strong(name)
    other, scene = scene_of(*CASES[2], cells=(7, 8)), scene_of(4, (1.5, 1.5))
    fresh, again = net.prepare(scene, rng()), net.prepare(other, rng()).prepare(scene, rng())
    assert again.traits == fresh.traits
    assert torch.equal(run(again, scene), run(fresh, scene))


# ---- tiles ---------------------------------------------------------------------------------------


def strips(net: Network, ratio: int, phase: tuple[float, float], dtype: torch.dtype):
    """Scenes that are a little longer than two halos, in either direction, with the network prepared for each."""
    for turned in (False, True):
        probe = net.prepare(scene_of(ratio, phase, dtype=dtype), rng())
        long, short = 2 * probe.traits.halo + 8, 5
        scene = scene_of(ratio, phase, (long, short) if turned else (short, long), dtype)
        yield scene, net.prepare(scene, rng()), long // 2 * ratio


@EVERY_NETWORK
@EVERY_CASE
def test_tiles_equal_the_whole(name, ratio, phase):
    net = strong(name, ratio)
    for scene, ready, size in strips(net, ratio, phase, F32):
        assert gap(mosaic(ready, scene, size, ready.traits), run(ready, scene)) <= 1e-5


#: Networks with filters that fade: what is beyond the halo, and how many MS pixels less would be too few.
FADING = {"universal": (1e-6, 4)}


@EVERY_NETWORK
@EVERY_CASE
def test_the_halo_is_enough_and_needed(name, ratio, phase):
    net = strong(name, ratio, F64)
    for scene, ready, size in strips(net, ratio, phase, F64):
        traits, expected = ready.traits, run(ready, scene)
        tiles = plan(scene.grid, traits, size)
        if traits.tiling == "whole":
            assert len(tiles) == 1
            less = replace(traits, tiling="exact", halo=3)
        else:
            assert len(tiles) == 2
            assert all(tile.read != whole(scene).read for tile in tiles), "the tiles are smaller than the scene"
            enough, step = FADING.get(name, (1e-12, 1))
            assert gap(mosaic(ready, scene, size, traits), expected) <= enough
            less = replace(traits, halo=traits.halo - step)
        assert gap(mosaic(ready, scene, size, less), expected) > 10 * FADING.get(name, (1e-12, 1))[0]


# ---- no-data, levels -----------------------------------------------------------------------------


@EVERY_NETWORK
def test_numbers_without_meaning_change_nothing(name):
    pan_valid, ms_valid = torch.ones(1, 1, 35, 47, dtype=torch.bool), torch.ones(1, BANDS, 9, 12, dtype=torch.bool)
    pan_valid[..., 20:, 30:], ms_valid[..., 6:, 8:] = False, False
    plain = scene_of(4, (1.5, 1.5))
    pair, results = read(plain), []
    pan, ms = pair.pan[..., :35, :47], pair.ms
    for rubbish in (0.0, -9999.0, float("nan"), float("inf")):
        scene = array_scene(
            torch.where(pan_valid, pan, rubbish),
            torch.where(ms_valid, ms, rubbish),
            sensor=plain.sensor,
            phase=(1.5, 1.5),
            pan_valid=pan_valid,
            ms_valid=ms_valid,
        )
        fused = run(strong(name).prepare(scene, rng()), scene)
        keep = read(scene).valid[..., :35, :47].expand_as(fused)
        assert bool(fused[keep].isfinite().all()), rubbish
        results.append(fused[keep])
    assert all(torch.equal(results[0], other) for other in results[1:])


@EVERY_NETWORK
def test_additive_where_it_is_claimed(name):
    ratio, phase = CASES[2]
    scene = scene_of(ratio, phase, dtype=F64)
    lifted = scene_of(ratio, phase, dtype=F64, change=lambda pan, ms: (pan + 0.4, ms + 0.4))
    net = strong(name, dtype=F64)
    one, other = (run(net.prepare(s, rng()), s) for s in (scene, lifted))
    error = float((other - one - 0.4).abs().max())
    assert error < 1e-9 if net.traits.additive else error > 1e-3


# ---- weights, registry ---------------------------------------------------------------------------


@EVERY_NETWORK
def test_weights_go_through_safetensors(name, tmp_path):
    scene, net = scene_of(*CASES[2]), strong(name)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    other = make(name)
    assert other.load_state_dict(load_file(tmp_path / "weights.safetensors")).missing_keys == []
    assert torch.equal(run(other.prepare(scene, rng()), scene), run(net.prepare(scene, rng()), scene))


@EVERY_NETWORK
def test_scenes_that_do_not_fit_are_refused(name):
    net = make(name)
    traits = net.traits
    assert check_fits(net, name, scene_of(4, (1.5, 1.5))) is net
    other_bands = scene_of(4, (1.5, 1.5), bands=BANDS - 1)
    other_ratio = scene_of(9, (4.0, 4.0), cells=(3, 4))
    for wrong, limit in ((other_bands, traits.bands), (other_ratio, traits.ratios)):
        if limit is None:
            check_fits(net, name, wrong)
        else:
            with pytest.raises(MethodError, match=rf"{name} works (on {BANDS} bands|at ratio )"):
                check_fits(net, name, wrong)


@EVERY_NETWORK
def test_traits_cite_known_references(name):
    cite = make(name).traits.cite
    assert cite
    assert len(citations(cite)) == len(dict.fromkeys(["panloom", *cite]))


@EVERY_NETWORK
def test_options_that_make_no_network_are_refused(name):
    with pytest.raises(MethodError, match=f"{name} cannot be made with"):
        networks.build(name, {"colour": 3})
    for option in {"bands", "ratio", "filters"} & set(inspect.signature(networks.get(name)).parameters):
        with pytest.raises(MethodError, match=f"{name}'s {option} must be 1 or more; given: 0"):
            networks.build(name, {"bands": BANDS, option: 0})


def test_unknown_network():
    with pytest.raises(MethodError, match="did you mean 'pannet'"):
        networks.get("pannett")
