"""Every method of the registry keeps the promises of `Fuser`."""

from __future__ import annotations

import copy
import inspect
from dataclasses import fields, replace
from functools import lru_cache

import pytest
import torch

from panloom import classical, sensors
from panloom.classical._statistics import Form
from panloom.data import procedural
from panloom.errors import MethodError
from panloom.pair import Fuser, Pair
from panloom.run.cite import citations
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, trim
from panloom.types import Grid, Tile, Traits, Window

NAMES = classical.names()
EVERY_METHOD = pytest.mark.parametrize("name", NAMES)
F32, F64 = torch.float32, torch.float64

#: Ratio and a phase of no special kind, inside the cell and beyond its rim.
CASES = [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))]
EVERY_CASE = pytest.mark.parametrize(("ratio", "phase"), CASES, ids=lambda v: str(v).replace(" ", ""))
RUBBISH = [0.0, -9999.0, 1e9, float("nan"), float("inf")]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@lru_cache(maxsize=16)
def land(ratio: int, phase: tuple[float, float], wedge: bool = False, cells: int = 34) -> procedural.ProceduralScene:
    """Farmland seen by a sensor with three MTF gains; the size is no multiple of the ratio."""
    size = cells * ratio
    recording = procedural.Recording(ratio=ratio, dtype="float32")
    return procedural.make(
        size - 1, size + 5 * ratio, sensor="quickbird", phase=phase, wedge=wedge, recording=recording
    )


def tensors(scene: procedural.ProceduralScene, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    scale = scene.sensor.full_scale or 1.0
    pan, ms = torch.from_numpy(scene.pan).to(dtype)[None, None], torch.from_numpy(scene.ms).to(dtype)[None]
    return pan / scale, ms / scale


def masks(scene: procedural.ProceduralScene) -> tuple[torch.Tensor, torch.Tensor]:
    pan = torch.from_numpy(scene.pan_valid)[None, None]
    ms = torch.from_numpy(scene.ms_valid)[None, None].expand(-1, len(scene.sensor.bands), -1, -1)
    return pan, ms


def scene_of(ratio, phase, dtype=F32, change=lambda pan, ms: (pan, ms)) -> Scene:
    made = land(ratio, phase)
    return array_scene(*change(*tensors(made, dtype)), sensor=made.sensor, phase=phase)


def whole(scene: Scene) -> Tile:
    grid = scene.grid
    return Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))


def ready(name: str, scene: Scene) -> Fuser:
    return classical.get(name)().prepare(scene, rng())


def fuse(name: str, scene: Scene) -> torch.Tensor:
    """The fused scene, cut to the PAN image."""
    fused = ready(name, scene)(scene.read(whole(scene)))
    return fused[..., : scene.grid.height, : scene.grid.width]


def mosaic(fuser: Fuser, scene: Scene, size: int, traits: Traits | None = None) -> torch.Tensor:
    grid = scene.grid
    out = None
    for tile in plan(grid, traits or fuser.traits, size):
        part = trim(fuser(scene.read(tile)), tile, grid.ratio)
        out = (
            torch.full((*part.shape[:2], grid.height, grid.width), torch.nan, dtype=part.dtype) if out is None else out
        )
        out[(..., *tile.core.inside(Window(0, 0, grid.height, grid.width)))] = part
    assert out is not None
    return out


def close(actual: torch.Tensor, expected: torch.Tensor, limit: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


# ---- the call ------------------------------------------------------------------------------------


@EVERY_METHOD
@EVERY_CASE
@pytest.mark.parametrize("dtype", [F32, F64], ids=["float32", "float64"])
def test_shape_type_and_repeat(name, ratio, phase, dtype):
    scene = scene_of(ratio, phase, dtype)
    fuser, pair = ready(name, scene), scene.read(whole(scene))
    assert isinstance(fuser, Fuser)
    fused = fuser(pair)
    assert fused.shape == pair.exp.shape
    assert fused.dtype == pair.ms.dtype == dtype
    assert bool(fused.isfinite().all())
    assert torch.equal(fused, fuser(pair))


@EVERY_METHOD
@EVERY_CASE
def test_float32_is_close_to_float64(name, ratio, phase):
    single, double = (fuse(name, scene_of(ratio, phase, dtype)) for dtype in (F32, F64))
    close(single.double(), double, 2e-5)


@EVERY_METHOD
def test_a_batch_is_fused_pair_by_pair(name):
    scene = scene_of(*CASES[2])
    fuser = ready(name, scene)
    pairs = [scene.read(Tile(0, w.scaled(4), w)) for w in (Window(3, 4, 12, 12), Window(15, 9, 12, 12))]
    stacked = {f: torch.cat([getattr(p, f) for p in pairs]) for f in ("pan", "ms", "exp", "valid")}
    together = fuser(replace(pairs[0], **stacked))
    close(together, torch.cat([fuser(p) for p in pairs]), 1e-6)


@EVERY_METHOD
def test_inputs_are_untouched(name):
    scene = scene_of(*CASES[2])
    fuser, pair = ready(name, scene), scene.read(whole(scene))
    before = copy.deepcopy(pair)
    fused = fuser(pair)
    fused.add_(1)
    for field in fields(Pair):
        now, then = getattr(pair, field.name), getattr(before, field.name)
        assert torch.equal(now, then) if isinstance(now, torch.Tensor) else now == then, field.name


@EVERY_METHOD
@pytest.mark.parametrize("bands", [1, 3, 9])
def test_any_number_of_bands(name, bands):
    generic = sensors.get("generic")
    sensor = replace(generic, bands=sensors.generic_bands(bands))
    noise = torch.rand(1, bands + 1, 40, 40, generator=rng()) + 0.2
    scene = array_scene(noise[:, :1], noise[:, 1:, 1::4, 2::4], sensor=sensor, phase=(1.0, 2.0))
    assert fuse(name, scene).shape == (1, bands, 40, 40)


@EVERY_METHOD
@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 4), (2, 40), (40, 2)])
def test_images_smaller_than_the_halo(name, height, width):
    sensor = replace(sensors.get("generic"), bands=sensors.generic_bands(3))
    noise = torch.rand(1, 4, height, width, generator=rng()) + 0.2
    cells = (1, 3, -(-height // 2), -(-width // 2))
    scene = array_scene(noise[:, :1], torch.rand(cells, generator=rng()), sensor=sensor, phase=(0.5, 0.5))
    assert bool(fuse(name, scene).isfinite().all())


# ---- prepare -------------------------------------------------------------------------------------


@EVERY_METHOD
def test_prepare_returns_a_new_fuser(name):
    fuser, scene = classical.get(name)(), scene_of(*CASES[0])
    before = copy.deepcopy(fuser)
    first, second = fuser.prepare(scene, rng()), fuser.prepare(scene, rng())
    assert first is not fuser
    assert fuser == before
    assert first == second
    again = first.prepare(scene_of(*CASES[1]), rng())
    assert again == fuser.prepare(scene_of(*CASES[1]), rng()), "nothing of the first scene is left"


@EVERY_METHOD
def test_a_call_without_prepare_says_so(name):
    scene = scene_of(*CASES[0])
    fuser, pair = classical.get(name)(), scene.read(whole(scene))
    if ready(name, scene) == fuser:
        fuser(pair)
        return
    with pytest.raises(MethodError, match=r"prepare\(scene, rng\)"):
        fuser(pair)


@EVERY_METHOD
def test_statistics_do_not_depend_on_threads_or_on_torch_threads(name):
    scene = scene_of(*CASES[2])
    assert ready(name, scene) == ready(name, replace(scene, threads=3))


# ---- tiles ---------------------------------------------------------------------------------------


@EVERY_METHOD
@EVERY_CASE
def test_tiles_equal_the_whole(name, ratio, phase):
    scene = scene_of(ratio, phase)
    fuser = ready(name, scene)
    assert fuser.traits.tiling == "exact"
    expected = fuse(name, scene)
    for size in (13 * ratio, 37, 16 * ratio + 1):
        close(mosaic(fuser, scene, size), expected, 1e-5)


@EVERY_METHOD
@EVERY_CASE
def test_the_halo_is_enough_and_needed(name, ratio, phase):
    def grain(pan, ms):
        # MS sees the grain too: gains near 0 would hide that a halo is missing.
        noise = 10 * torch.rand(pan.shape, generator=rng(), dtype=F64)
        return pan + noise, ms + torch.nn.functional.avg_pool2d(noise, ratio, ceil_mode=True)

    scene = scene_of(ratio, phase, F64, grain)
    fuser, expected = ready(name, scene), fuse(name, scene)
    size = 8 * ratio
    close(mosaic(fuser, scene, size), expected, 1e-12)
    if fuser.traits.halo:
        less = replace(fuser.traits, halo=fuser.traits.halo - 1)
        assert (mosaic(fuser, scene, size, less) - expected).abs().max() > 1e-11


@EVERY_METHOD
def test_a_part_of_the_scene_is_cut_from_the_whole(name):
    scene = scene_of(*CASES[1])
    fuser, expected, area = ready(name, scene), fuse(name, scene), Window(7, 11, 40, 31)
    for tile in plan(scene.grid, fuser.traits, 24, area):
        part = trim(fuser(scene.read(tile)), tile, scene.grid.ratio)
        close(part, expected[(..., *tile.core.inside(Window(0, 0, 10**6, 10**6)))], 1e-5)


# ---- no-data -------------------------------------------------------------------------------------


def wedged(ratio, phase, rubbish: float, dtype=F32) -> Scene:
    made = land(ratio, phase, wedge=True)
    pan_valid, ms_valid = masks(made)
    pan, ms = tensors(made, dtype)
    return array_scene(
        torch.where(pan_valid, pan, rubbish),
        torch.where(ms_valid, ms, rubbish),
        sensor=made.sensor,
        phase=phase,
        pan_valid=pan_valid,
        ms_valid=ms_valid,
    )


@EVERY_METHOD
@EVERY_CASE
def test_numbers_without_meaning_change_nothing(name, ratio, phase):
    results = []
    for rubbish in RUBBISH:
        scene = wedged(ratio, phase, rubbish)
        valid = scene.read(whole(scene)).valid[..., : scene.grid.height, : scene.grid.width]
        fused = fuse(name, scene)
        assert bool(fused.isfinite()[valid.expand_as(fused)].all()), rubbish
        results.append(torch.where(valid, fused, 0.0))
    assert all(torch.equal(results[0], other) for other in results[1:])


@EVERY_METHOD
@EVERY_CASE
def test_no_data_at_the_rim_of_tiles(name, ratio, phase):
    scene = wedged(ratio, phase, float("nan"))
    fuser, expected = ready(name, scene), fuse(name, scene)
    valid = scene.read(whole(scene)).valid[..., : scene.grid.height, : scene.grid.width].expand_as(expected)
    for size in (9 * ratio, 37):
        close(mosaic(fuser, scene, size)[valid], expected[valid], 1e-5)


@pytest.mark.parametrize("edge", ["fill", "drop"])
@EVERY_CASE
def test_a_wedge_does_not_spread(edge, ratio, phase):
    """Valid is where PAN is, and where the nearest MS pixel is, or (fill) one of its neighbours."""
    scene = replace(wedged(ratio, phase, float("nan")), edge=edge)
    pan_valid, ms_valid = masks(land(ratio, phase, wedge=True))
    loaded = scene.load(whole(scene))
    height, width = scene.grid.height, scene.grid.width
    rows, cols = (
        torch.floor((torch.arange(n) - p) / ratio + 0.5).long() for n, p in zip((height, width), phase, strict=True)
    )
    ms_height, ms_width = ms_valid.shape[-2:]

    def at(step_row: int, step_col: int) -> torch.Tensor:
        r, c = rows + step_row, cols + step_col
        there = ((r >= 0) & (r < ms_height))[:, None] & ((c >= 0) & (c < ms_width))
        r, c = r.clamp(0, ms_height - 1), c.clamp(0, ms_width - 1)
        return there & ms_valid[:, :1].index_select(-2, r).index_select(-1, c)

    own = at(0, 0)
    near = torch.stack([at(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]).any(0)
    expected = pan_valid & (near if edge == "fill" else own)
    assert torch.equal(loaded.pair.valid[..., :height, :width], expected)
    assert loaded.filled is not None
    assert loaded.missing is not None
    assert int(loaded.filled.sum()) == int((expected & ~own).sum())
    assert int(loaded.missing.sum()) == int((pan_valid & ~expected).sum())
    if edge == "fill":
        assert torch.equal(expected, pan_valid), "no valid PAN pixel is lost at the wedge"


def ring(valid: torch.Tensor, width: int) -> torch.Tensor:
    """Valid pixels within `width` of one that is not."""
    near = torch.nn.functional.max_pool2d((~valid).float(), 2 * width + 1, stride=1, padding=width) > 0
    return valid & near


@EVERY_METHOD
@EVERY_CASE
def test_pixels_beside_a_wedge_are_as_good_as_without_it(name, ratio, phase):
    made, scene = land(ratio, phase, wedge=True), wedged(ratio, phase, 0.0)
    truth = torch.from_numpy(made.truth)[None] / made.sensor.full_scale
    beside = ring(masks(made)[0], 8).expand_as(truth)
    errors = [float((fuse(name, s) - truth)[beside].square().mean().sqrt()) for s in (scene, scene_of(ratio, phase))]
    assert errors[0] <= 1.25 * errors[1]


# ---- levels --------------------------------------------------------------------------------------


@EVERY_METHOD
@EVERY_CASE
@pytest.mark.parametrize("value", [1.0, 0.3, 1 / 3, 1e-3, 0.0])
def test_constant_in_constant_out(name, ratio, phase, value):
    def flat(pan, ms):
        levels = value * torch.tensor([1.0, 0.7, 1.3, 0.9]).view(1, 4, 1, 1)
        return torch.full_like(pan, value), levels.expand_as(ms).contiguous()

    scene = scene_of(ratio, phase, F32, flat)
    pair = scene.read(whole(scene))
    close(fuse(name, scene), pair.exp[..., : scene.grid.height, : scene.grid.width], 2e-6 * value)


@EVERY_METHOD
@pytest.mark.parametrize("flat", ["pan", "ms"])
@pytest.mark.parametrize("value", [0.3, 0.5, 0.0])
def test_one_constant_image(name, flat, value):
    """A constant PAN has nothing to give; a constant MS gives no bound to a regression."""

    def change(pan, ms):
        return (torch.full_like(pan, value), ms) if flat == "pan" else (pan, torch.full_like(ms, value))

    scene = scene_of(*CASES[2], F32, change)
    fused, exp = fuse(name, scene), scene.read(whole(scene)).exp[..., : scene.grid.height, : scene.grid.width]
    assert bool(fused.isfinite().all())
    assert float(fused.min()) > -1
    assert float(fused.max()) < 3
    if flat == "pan" and name != "brovey":
        close(fused, exp, 2e-6)


@EVERY_METHOD
@EVERY_CASE
@pytest.mark.parametrize("gain", [0.25, 3.7])
def test_gain_equivariance(name, ratio, phase, gain):
    one = fuse(name, scene_of(ratio, phase, F64))
    other = fuse(name, scene_of(ratio, phase, F64, lambda pan, ms: (gain * pan, gain * ms)))
    close(other, gain * one, 1e-9 * gain)


@EVERY_METHOD
@EVERY_CASE
def test_offset_equivariance_where_it_is_claimed(name, ratio, phase):
    one = fuse(name, scene_of(ratio, phase, F64))
    scene = scene_of(ratio, phase, F64, lambda pan, ms: (pan + 0.4, ms + 0.4))
    gap = float((fuse(name, scene) - one - 0.4).abs().max())
    assert gap < 1e-9 if ready(name, scene).traits.additive else gap > 1e-3


@EVERY_METHOD
def test_statistics_are_kept(name):
    """The fused bands have the means of MS: no colour cast."""
    scene = scene_of(*CASES[2])
    pair, fused = scene.read(whole(scene)), fuse(name, scene)
    exp = pair.exp[..., : scene.grid.height, : scene.grid.width]
    ratio = fused.mean((2, 3)) / exp.mean((2, 3))
    close(ratio, torch.ones_like(ratio), 0.01)


# ---- registry, forms -----------------------------------------------------------------------------


@EVERY_METHOD
def test_traits_cite_known_references(name):
    traits = classical.get(name)().traits
    assert traits.cite
    assert len(citations(traits.cite)) == len(traits.cite) + 1


def test_unknown_method():
    with pytest.raises(MethodError, match="did you mean 'gsa'"):
        classical.get("gsaa")


def toolbox_pair(change=lambda x: x) -> Pair:
    made = land(4, (2.0, 2.0))
    pan, ms = (change(x) for x in tensors(made, F64))
    pan, ms = pan[..., :128, :128], ms[..., :32, :32]
    valid = torch.ones(1, 1, 128, 128, dtype=torch.bool)
    return Pair(pan, ms, torch.nn.functional.interpolate(ms, scale_factor=4), valid, (2.0, 2.0), made.sensor)


#: Methods that also come in the form of the reference toolbox.
IN_BOTH_FORMS = pytest.mark.parametrize(
    "name", [n for n in NAMES if "form" in inspect.signature(classical.get(n)).parameters]
)


@IN_BOTH_FORMS
def test_the_toolbox_form_keeps_levels_too(name):
    form: Form = "toolbox"
    fuser = classical.get(name)(form=form)  # pyright: ignore[reportCallIssue]
    assert fuser.traits.tiling == "whole"
    one = fuser(toolbox_pair())
    # The toolbox divides by what may be almost zero, and adds 2e-16 to it.
    tame = one.abs() < 2
    assert tame.double().mean() > 0.99
    close(fuser(toolbox_pair(lambda x: 3 * x))[tame], 3 * one[tame], 1e-9)
    gap = float((fuser(toolbox_pair(lambda x: x + 0.4)) - one - 0.4)[tame].abs().max())
    # MTF kernels of the toolbox have a DC gain below 1, so the offset is kept to 2e-3 at best.
    assert gap < (1e-8 if name in ("exp", "gs", "gsa") else 2e-3) if fuser.traits.additive else gap > 1e-3


@IN_BOTH_FORMS
def test_the_toolbox_form_refuses_another_phase(name):
    fuser = classical.get(name)(form="toolbox").prepare(scene_of(*CASES[2]), rng())  # pyright: ignore[reportCallIssue]
    with pytest.raises(MethodError, match="form=physical"):
        fuser(replace(toolbox_pair(), phase=(1.5, 1.5)))


def test_brovey_with_given_weights():
    scene = scene_of(*CASES[2], F64)
    weights = (0.1, 0.2, 0.3, 0.4)
    fused = fuse_with(scene, weights)
    pair = scene.read(whole(scene))
    intensity = sum(w * pair.exp[:, k : k + 1] for k, w in enumerate(weights))
    close(fused, pair.exp * pair.pan / intensity, 1e-12)
    for wrong in ((1.0, 2.0), (0.0, 0.0, 0.0, 0.0), (1.0, -1.0, 0.5, -0.6)):
        with pytest.raises(MethodError, match="needs 4 weights with a positive sum"):
            fuse_with(scene, wrong)


def fuse_with(scene: Scene, weights: tuple[float, ...]) -> torch.Tensor:
    from panloom.classical.brovey import Brovey

    return Brovey(weights=weights).prepare(scene, rng())(scene.read(whole(scene)))


def test_the_grid_of_an_array_scene():
    scene = scene_of(*CASES[1])
    assert scene.grid == Grid(101, 117, 3, (1.3, -0.4))
