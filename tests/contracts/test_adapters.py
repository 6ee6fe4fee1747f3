"""Every adapter, on a small network, and every method without a network keep the promises of `panloom.adapt`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from panloom import adapt, sensors
from panloom.data import procedural
from panloom.errors import MethodError, PanloomWarning
from panloom.networks import Network, SourceStatistics
from panloom.pair import Fuser, Pair
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, trim
from panloom.types import Grid, Tile, Traits, Window

F32, F64 = torch.float32, torch.float64

#: Ratio and a phase of no special kind, inside the cell and beyond its rim.
CASES = [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))]
EVERY_CASE = pytest.mark.parametrize(("ratio", "phase"), CASES, ids=lambda v: str(v).replace(" ", ""))
RUBBISH = [0.0, -9999.0, float("nan"), float("inf")]


class SharedFeatures(Network):
    """Two layers of features that all bands share, and a linear head."""

    channels = 6

    def __init__(self, bands: int = 4) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.bands = bands
        self.first, self.last = nn.Conv2d(bands + 1, 6, 3, padding=1), nn.Conv2d(6, bands, 3, padding=1)
        self.source = SourceStatistics((0.2,) * bands, (0.1,) * bands, 0.3, 0.1)

    @property
    def traits(self) -> Traits:
        return Traits(bands=self.bands, halo=1)

    def features(self, pair):
        return functional.relu(self.first(self.cast(torch.cat([pair.exp, pair.pan], 1))))

    def head(self, features, pair):
        return pair.exp + 0.1 * self.last(features).to(pair.exp.dtype)


class BandFeatures(Network):
    """One layer of features of each band, any number of bands."""

    channels = 6

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.weights = nn.Conv2d(2, 6, 3, padding=1), nn.Parameter(0.1 * torch.randn(6))

    @property
    def traits(self) -> Traits:
        return Traits(halo=1, multiple=2)

    def features(self, pair):
        both = torch.stack([pair.exp, pair.pan.expand_as(pair.exp)], 2).flatten(0, 1)
        return torch.tanh(self.first(self.cast(both)))

    def head(self, features, pair):
        residual = torch.einsum("nfhw,f->nhw", features, self.weights).unflatten(0, pair.ms.shape[:2])
        return pair.exp + residual.to(pair.exp.dtype)


FREE = {name: lambda dtype, make=make: make() for name, make in adapt.free().items()}
ADAPTED = {
    f"{network.__name__}+{name}": lambda dtype, name=name, network=network: adapt.get(name)(network().to(dtype))
    for name in adapt.names()
    for network in (SharedFeatures, BandFeatures)
}
METHODS: dict[str, Callable[[torch.dtype], Fuser]] = {**FREE, **ADAPTED}
EVERY_METHOD = pytest.mark.parametrize("name", METHODS)
#: What fits something to a scene, and so may find that there is nothing to fit.
EVERY_FIT = pytest.mark.parametrize("name", [name for name in METHODS if not name.endswith("+project")])
EVERY_FREE = pytest.mark.parametrize("name", FREE)
EVERY_ADAPTED = pytest.mark.parametrize("name", ADAPTED)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@lru_cache(maxsize=16)
def land(ratio: int, phase: tuple[float, float], wedge: bool = False) -> procedural.ProceduralScene:
    recording = procedural.Recording(ratio=ratio, dtype="float32")
    return procedural.make(
        36 * ratio - 1, 41 * ratio, sensor="quickbird", phase=phase, wedge=wedge, recording=recording
    )


def tensors(made: procedural.ProceduralScene, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    scale = made.sensor.full_scale or 1.0
    pan, ms = torch.from_numpy(made.pan).to(dtype)[None, None], torch.from_numpy(made.ms).to(dtype)[None]
    return pan / scale, ms / scale


def scene_of(ratio, phase, dtype=F32, change=lambda pan, ms: (pan, ms)) -> Scene:
    made = land(ratio, phase)
    return array_scene(*change(*tensors(made, dtype)), sensor=made.sensor, phase=phase)


def wedged(ratio, phase, rubbish: float) -> Scene:
    made = land(ratio, phase, wedge=True)
    pan_valid = torch.from_numpy(made.pan_valid)[None, None]
    ms_valid = torch.from_numpy(made.ms_valid)[None, None].expand(-1, 4, -1, -1)
    pan, ms = tensors(made, F32)
    pan, ms = torch.where(pan_valid, pan, rubbish), torch.where(ms_valid, ms, rubbish)
    return array_scene(pan, ms, sensor=made.sensor, phase=phase, pan_valid=pan_valid, ms_valid=ms_valid)


def whole(scene: Scene) -> Tile:
    grid = scene.grid
    return Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))


def ready(name: str, scene: Scene, dtype: torch.dtype = F32) -> Fuser:
    return METHODS[name](dtype).prepare(scene, rng())


def cut(image: torch.Tensor, grid: Grid) -> torch.Tensor:
    return image[..., : grid.height, : grid.width]


def fuse(fuser: Fuser, scene: Scene) -> torch.Tensor:
    return cut(fuser(scene.read(whole(scene))), scene.grid)


def mosaic(fuser: Fuser, scene: Scene, size: int, traits: Traits | None = None) -> torch.Tensor:
    grid = scene.grid
    pair = scene.read(whole(scene))
    out = torch.full_like(cut(pair.exp, grid), torch.nan)
    for tile in plan(grid, traits or fuser.traits, size):
        part = trim(fuser(scene.read(tile)), tile, grid.ratio)
        out[(..., *tile.core.inside(Window(0, 0, grid.height, grid.width)))] = part
    return out


def close(actual: torch.Tensor, expected: torch.Tensor, limit: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


# ---- the call ------------------------------------------------------------------------------------


@EVERY_METHOD
@EVERY_CASE
def test_shape_type_and_repeat(name, ratio, phase):
    for dtype in (F32, F64):
        scene = scene_of(ratio, phase, dtype)
        fuser, pair = ready(name, scene, dtype), scene.read(whole(scene))
        assert isinstance(fuser, Fuser)
        fused = fuser(pair)
        assert fused.shape == pair.exp.shape
        assert fused.dtype == dtype
        assert not fused.requires_grad
        assert bool(fused.isfinite().all())
        assert torch.equal(fused, fuser(pair))


@EVERY_METHOD
def test_inputs_are_untouched(name):
    scene = scene_of(*CASES[2])
    fuser, pair = ready(name, scene), scene.read(whole(scene))
    before = copy.deepcopy(pair)
    fuser(pair).add_(1)
    for f in fields(Pair):
        now, then = getattr(pair, f.name), getattr(before, f.name)
        assert torch.equal(now, then) if isinstance(now, torch.Tensor) else now == then, f.name


@EVERY_METHOD
def test_a_batch_is_fused_pair_by_pair(name):
    scene = scene_of(*CASES[2])
    fuser = ready(name, scene)
    pairs = [scene.read(Tile(0, w.scaled(4), w)) for w in (Window(3, 4, 12, 12), Window(15, 9, 12, 12))]
    stacked = {f: torch.cat([getattr(p, f) for p in pairs]) for f in ("pan", "ms", "exp", "valid")}
    close(fuser(replace(pairs[0], **stacked)), torch.cat([fuser(p) for p in pairs]), 1e-6)


@EVERY_METHOD
def test_a_call_without_prepare_says_so(name):
    scene = scene_of(*CASES[0])
    with pytest.raises(MethodError, match=r"prepare\(scene, rng\)"):
        METHODS[name](F32)(scene.read(whole(scene)))


# ---- prepare -------------------------------------------------------------------------------------


@EVERY_ADAPTED
def test_the_source_is_unchanged(name):
    fuser = METHODS[name](F32)
    before = copy.deepcopy(fuser.network.state_dict())  # pyright: ignore[reportAttributeAccessIssue]
    flags = [p.requires_grad for p in fuser.network.parameters()]  # pyright: ignore[reportAttributeAccessIssue]
    adapted = fuser.prepare(scene_of(*CASES[2]), rng())
    assert adapted is not fuser
    now = fuser.network.state_dict()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(torch.equal(now[key], before[key]) for key in before)
    assert flags == [p.requires_grad for p in fuser.network.parameters()]  # pyright: ignore[reportAttributeAccessIssue]


@EVERY_METHOD
def test_the_same_seed_gives_the_same_result(name):
    scene = scene_of(*CASES[2])
    first = fuse(ready(name, scene), scene)
    assert torch.equal(first, fuse(ready(name, replace(scene, threads=3)), scene))
    twice = ready(name, scene_of(*CASES[0])).prepare(scene, rng())
    assert torch.equal(first, fuse(twice, scene)), "nothing of the first scene is left"


@dataclass
class Counted:
    """A scene that counts what is read of it."""

    scene: Scene
    pixels: list[int] = field(default_factory=list)
    surveyed: int = 0

    @property
    def grid(self):
        return self.scene.grid

    @property
    def sensor(self):
        return self.scene.sensor

    def read(self, tile):
        self.pixels.append(tile.read.height * tile.read.width)
        return self.scene.read(tile)

    def survey(self):
        self.surveyed += 1
        return self.scene.survey()

    def sample(self, n, size, rng) -> Iterator[Pair]:
        for pair in self.scene.sample(n, size, rng):
            self.pixels.append(pair.ms.shape[-2] * pair.ms.shape[-1])
            yield pair


def noise(cells: int, ratio: int = 2) -> Scene:
    sensor = replace(sensors.get("quickbird"), ratio=ratio)
    pan = torch.rand(1, 1, ratio * cells, ratio * cells, generator=rng()) + 0.2
    ms = functional.avg_pool2d(pan, ratio) * torch.tensor([0.7, 0.9, 1.0, 1.2]).view(1, 4, 1, 1)
    return array_scene(pan, ms, sensor=sensor, phase=(0.5, 0.5))


@EVERY_METHOD
def test_what_is_read_does_not_grow_with_the_scene(name):
    counts = []
    for cells in (420, 800):
        scene = Counted(noise(cells))
        METHODS[name](F32).prepare(scene, rng())
        counts.append(sum(scene.pixels))
        assert not scene.surveyed
    assert counts[0] == counts[1] <= 16 * 128**2


# ---- tiles ---------------------------------------------------------------------------------------


@EVERY_METHOD
@EVERY_CASE
def test_tiles_equal_the_whole(name, ratio, phase):
    scene = scene_of(ratio, phase)
    fuser = ready(name, scene)
    expected = fuse(fuser, scene)
    for size in (12 * ratio, 16 * ratio + 1):
        close(mosaic(fuser, scene, size), expected, 1e-5)


@EVERY_METHOD
@EVERY_CASE
def test_the_halo_is_enough_and_needed(name, ratio, phase):
    def grain(pan, ms):
        return pan + 10 * torch.rand(pan.shape, generator=rng(), dtype=F64), ms

    scene = scene_of(ratio, phase, F64)
    fuser = ready(name, scene, F64)
    rough = scene_of(ratio, phase, F64, grain)
    expected = fuse(fuser, rough)
    close(mosaic(fuser, rough, 8 * ratio), expected, 1e-11)
    if name.endswith("+project"):
        return  # its step ends inside a cell, and whether the network then needs one more depends on its pixels
    less = replace(fuser.traits, halo=fuser.traits.halo - 1)
    assert (mosaic(fuser, rough, 8 * ratio, less) - expected).abs().max() > 1e-11


# ---- no-data -------------------------------------------------------------------------------------


@EVERY_METHOD
@EVERY_CASE
def test_numbers_without_meaning_change_nothing(name, ratio, phase):
    results = []
    for rubbish in RUBBISH:
        scene = wedged(ratio, phase, rubbish)
        valid = cut(scene.read(whole(scene)).valid, scene.grid)
        fused = fuse(ready(name, scene), scene)
        assert bool(fused.isfinite()[valid.expand_as(fused)].all()), rubbish
        results.append(torch.where(valid, fused, 0.0))
    assert all(torch.equal(results[0], other) for other in results[1:])


# ---- levels, hard cases --------------------------------------------------------------------------


@EVERY_FREE
@EVERY_CASE
@pytest.mark.parametrize("gain", [0.25, 3.7])
def test_gain_equivariance(name, ratio, phase, gain):
    scene = scene_of(ratio, phase, F64)
    other = scene_of(ratio, phase, F64, lambda pan, ms: (gain * pan, gain * ms))
    close(fuse(ready(name, other, F64), other), gain * fuse(ready(name, scene, F64), scene), 1e-8 * gain)


@EVERY_FIT
@pytest.mark.parametrize("flat", ["pan", "ms", "both"])
def test_a_constant_image_is_said_and_left_alone(name, flat):
    def change(pan, ms):
        pan = pan if flat == "ms" else torch.full_like(pan, 0.4)
        return pan, ms if flat == "pan" else torch.full_like(ms, 0.3)

    scene = scene_of(*CASES[2], F32, change)
    with pytest.warns(PanloomWarning, match="constant"):
        fuser = ready(name, scene)
    fused, pair = fuse(fuser, scene), scene.read(whole(scene))
    assert bool(fused.isfinite().all())
    if name in FREE:
        close(fused, cut(pair.exp, scene.grid), 1e-6)


@EVERY_FIT
@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 4), (4, 40), (40, 4)])
def test_a_tiny_scene_is_said_and_left_alone(name, height, width):
    pan = torch.rand(1, 1, height, width, generator=rng()) + 0.2
    ms = torch.rand(1, 4, height // 2, width // 2, generator=rng()) + 0.2
    scene = array_scene(pan, ms, sensor=sensors.get("quickbird"), phase=(0.5, 0.5))
    with pytest.warns(PanloomWarning, match="frozen output"):
        fuser = ready(name, scene)
    assert bool(fuse(fuser, scene).isfinite().all())


@EVERY_FIT
def test_a_scene_without_valid_pixels_is_said_and_left_alone(name):
    scene = scene_of(*CASES[2])
    empty = torch.zeros_like(scene.read(whole(scene)).valid)[..., : scene.grid.height, : scene.grid.width]
    pan, ms = tensors(land(*CASES[2]), F32)
    scene = array_scene(pan, ms, sensor=scene.sensor, phase=CASES[2][1], pan_valid=empty)
    with pytest.warns(PanloomWarning, match="valid"):
        fuser = ready(name, scene)
    assert bool(fuse(fuser, scene).isfinite().all())


@EVERY_METHOD
def test_an_ordinary_scene_gives_no_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ready(name, scene_of(*CASES[2]))


# ---- registry ------------------------------------------------------------------------------------


def test_unknown_adapter():
    with pytest.raises(MethodError, match="did you mean 'refit'"):
        adapt.get("refitt")


def test_free_methods_are_complete_names():
    assert {"regression", "random+refit"} <= set(adapt.free())
