"""How networks are run: precision by hardware, speed and error; bytes by nothing else."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import nn

from panloom import networks
from panloom.compute import Policy, Tuned, _tune, converted, fused, holds_network, measurements, memo_file, tune, wanted
from panloom.compute._tune import Mode
from panloom.errors import OptionError
from panloom.networks import Network
from panloom.run import fuse as _fuse_module
from panloom.run import fuse as engine
from panloom.run._tuning import PRECISION, outlook, precision_tag, tuned
from panloom.scene import array_scene
from panloom.sensors import generic_bands, get
from panloom.tiling import plan
from panloom.types import Tile, Window

CPU = torch.device("cpu")
POLICY = Policy.in_memory("cpu", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))


def a_scene(size=96, bands=4):
    draw = torch.Generator().manual_seed(0)
    pan = torch.rand(1, 1, size, size, generator=draw) * 0.5 + 0.2
    ms = torch.rand(1, bands, size // 4, size // 4, generator=draw) * 0.5 + 0.2
    sensor = replace(get("generic"), bands=generic_bands(bands))
    return array_scene(pan, ms, sensor=sensor, phase=(1.5, 1.5), full_scale=1.0)


def a_net(bands=4, name="fusionnet") -> Network:
    torch.manual_seed(0)
    return networks.build(name, {"bands": bands} if name == "fusionnet" else {}).eval().requires_grad_(False)


def ready(precision="auto", scene=None, net=None):
    scene, net = scene or a_scene(), net or a_net()
    return tuned(scene, net.prepare(scene, torch.Generator()), precision, POLICY, 0)


def has(monkeypatch, answer: bool) -> None:
    monkeypatch.setattr(_tune, "has_bfloat16", lambda _device: answer)


@dataclass(frozen=True)
class Around:
    """A method that keeps a network two records deep."""

    inner: object
    note: str = "x"
    made: int = field(default=0, init=False)

    @property
    def traits(self):
        return self.inner.traits

    def prepare(self, scene, rng):
        return self

    def __call__(self, pair):
        return self.inner(pair)


def test_auto_follows_the_hardware(monkeypatch):
    for answer, chosen in ((True, "bfloat16"), (False, "float32")):
        has(monkeypatch, answer)
        assert wanted("auto", CPU) == chosen
        assert wanted("float32", CPU) == "float32"
        assert wanted("bfloat16", CPU) == "bfloat16"
    with pytest.raises(OptionError, match="auto, float32, bfloat16; given: 'half'"):
        wanted("half", CPU)


def test_the_check_of_the_hardware_answers():
    assert _tune.has_bfloat16(CPU) in (True, False)
    assert not _tune.has_bfloat16(torch.device("meta"))


def test_other_methods_are_left_alone():
    from panloom.classical import get as classical

    method = classical("exp")()
    assert not holds_network(method)
    assert tuned(a_scene(), method, "auto", POLICY, 0) is method
    assert precision_tag(method, "auto", POLICY) == {}
    assert outlook(method, POLICY, 100, 4) is None
    assert not memo_file().exists()


def test_a_network_is_found_and_changed_wherever_it_is_kept():
    net = a_net()
    method = Around(Around(net))
    assert holds_network(method)
    changed = converted(method, torch.bfloat16, CPU)
    assert changed.inner.inner.first.weight.dtype == torch.bfloat16
    assert changed.inner.inner.first.weight.is_contiguous(memory_format=torch.channels_last)
    assert net.first.weight.dtype == torch.float32
    assert net.first.weight.is_contiguous()
    assert changed.note == "x"


def test_float32_is_float32(monkeypatch):
    has(monkeypatch, True)
    scene, net = a_scene(), a_net()
    done = ready("float32", scene, net)
    assert isinstance(done, Tuned)
    assert done.mode.precision == "float32"
    pair = scene.read(plan(scene.grid, net.traits, 96)[0])
    with torch.no_grad():
        assert torch.allclose(done(pair), net(pair), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seconds", [1.0, 9.0])
def test_bfloat16_is_used_where_it_is_close_whatever_the_clock_says(monkeypatch, seconds):
    has(monkeypatch, True)
    monkeypatch.setattr(_tune, "_seconds", lambda t, *_: {"bfloat16": seconds, "float32": 3.0}[t.mode.precision])
    done = ready()
    assert done.mode.precision == "bfloat16"
    assert done.mode.psnr >= 60
    assert "PSNR" in str(done.mode)


def test_bfloat16_is_not_used_where_its_error_is_large(monkeypatch):
    has(monkeypatch, True)
    monkeypatch.setattr(_tune, "_seconds", lambda t, *_: {"bfloat16": 1.0, "float32": 3.0}[t.mode.precision])
    net = a_net()
    net.last.weight.mul_(100)
    done = ready(net=net)
    assert done.mode.precision == "float32"
    assert done.mode.psnr < 60
    assert done.mode.rate == pytest.approx(measured_rate() / 3)
    net.last.weight.fill_(torch.nan)
    assert ready(net=net).mode.precision == "float32", "an error that is no number is large"


def measured_rate() -> float:
    (entry,) = measurements().values()
    return float(entry["rate"])


def test_a_measurement_is_made_once(monkeypatch):
    calls = []
    real = _tune._measure
    monkeypatch.setattr(_tune, "_measure", lambda *words: calls.append(1) or real(*words))
    first, again = ready(), ready()
    assert len(calls) == 1
    assert first.mode == again.mode
    ready(scene=a_scene(bands=3), net=a_net(bands=3))
    assert len(calls) == 2, "another shape is measured on its own"


@pytest.mark.parametrize(
    "harm",
    [{"precision": "int4"}, {"side": 7}, {"rate": -1.0}, {"rate": float("nan")}, {"slow_rate": "x"}, {"side": None}],
)
def test_a_wrong_entry_is_measured_again(harm):
    ready()
    ((key, entry),) = measurements().items()
    _tune.remember(key, {**entry, **harm})
    assert ready().mode.rate > 0
    ((_, entry),) = measurements().items()
    assert all(entry[name] != value for name, value in harm.items())


def test_the_choice_shows_in_the_tags(monkeypatch):
    has(monkeypatch, True)
    net = a_net()
    assert precision_tag(net, "auto", POLICY) == {PRECISION: "bfloat16 where its error is small"}
    assert precision_tag(net, "float32", POLICY) == {PRECISION: "float32"}
    has(monkeypatch, False)
    assert precision_tag(Around(net), "auto", POLICY) == {PRECISION: "float32"}


def test_the_mode_is_told_in_plain_words():
    mode = Mode("bfloat16", 0, 1.0, 71.25)
    assert str(mode) == "bfloat16, whole tiles at once, PSNR of bfloat16 against float32 71.2 dB"
    assert str(replace(mode, side=128, psnr=None)) == "bfloat16, tiles in parts of 128 pixels"
    assert str(replace(mode, psnr=math.inf)).endswith("bfloat16 equal to float32 on samples")
    assert str(replace(mode, psnr=-math.inf)).endswith("no sample to compare bfloat16 with float32 on")


def test_the_outlook_is_pixels_over_rate():
    done = ready("float32")
    done = replace(done, mode=replace(done.mode, rate=2.0))
    assert "about 50 s on cpu with 1 threads" in outlook(done, POLICY, 25_000_000, 4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["fusionnet", "universal"])
def test_cores_of_tiles_in_parts_equal_the_whole(precision, name):
    scene, net = a_scene(96), a_net(name=name)
    done = ready(precision, scene, net)
    grid = scene.grid
    everything = Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))
    with torch.inference_mode():
        expected = replace(done, mode=replace(done.mode, side=0))(scene.read(everything))
        for side in (0, 32):
            other = replace(done, mode=replace(done.mode, side=side))
            for tile in plan(grid, done.traits, 64):
                part = fused(other, scene.read(tile), tile, grid.ratio, POLICY)
                core = tile.core
                gap = part - expected[..., core.row : core.row_end, core.col : core.col_end]
                assert float(gap.abs().max()) <= (1e-5 if precision == "float32" else 2e-2)


def test_threads_do_not_change_a_bit(monkeypatch):
    net = a_net()
    monkeypatch.setattr(_fuse_module, "resolve", lambda *_words: net)
    draw = np.random.default_rng(0)
    pan, ms = draw.random((320, 320), np.float32), draw.random((4, 80, 80), np.float32)
    for precision in ("float32", "bfloat16"):
        one, three = (engine.fuse(pan, ms, method="exp", precision=precision, threads=n) for n in (1, 3))
        assert np.array_equal(one, three)
    with pytest.raises(OptionError, match="precision"):
        engine.fuse(pan, ms, method="exp", precision="half")


def test_a_tuned_network_can_be_prepared_again():
    scene, done = a_scene(), ready("float32")
    again = done.prepare(scene, torch.Generator())
    assert again is not done
    pair = scene.read(plan(scene.grid, done.traits, 96)[0])
    with torch.no_grad():
        assert torch.equal(again(pair), done(pair))


def test_the_given_network_is_not_changed():
    net = a_net()
    before = copy.deepcopy(net.state_dict())
    ready(net=net)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fusionnet", "universal"])
def test_a_gpu_gives_the_same_image(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    scene, net = a_scene(256), a_net(name=name)
    policy = Policy.in_memory("cuda", 2)
    done = tuned(scene, net.prepare(scene, torch.Generator()), "float32", policy, 0)
    expected = ready("float32", scene, net)
    tiles = plan(scene.grid, done.traits, 64)
    with torch.inference_mode():
        for tile in [*tiles, *tiles]:  # shapes come again, so that graphs are made and replayed
            pair = scene.read(tile)
            gap = fused(done, pair, tile, 4, policy) - fused(expected, pair, tile, 4, POLICY)
            assert float(gap.abs().max()) <= 5e-3


@pytest.mark.gpu
def test_bfloat16_on_a_gpu_is_close():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    scene, policy = a_scene(256), Policy.in_memory("cuda", 1)
    forms = [
        tune(
            a_net(),
            precision,
            policy,
            lambda: (scene.read(plan(scene.grid, a_net().traits, 256)[0]), Window(0, 0, 256, 256)),
            lambda: scene.sample(1, 32, torch.Generator().manual_seed(0)),
        )
        for precision in ("float32", "bfloat16")
    ]
    pair = scene.read(plan(scene.grid, a_net().traits, 256)[0])
    with torch.inference_mode():
        exact, reduced = (form(pair).cpu() for form in forms)
    assert float((exact - reduced).square().mean()) <= 1e-6


def test_layers_of_no_network_are_kept():
    assert holds_network(nn.Linear(1, 1))
    assert not holds_network(3)
