"""Responses of fusion methods: closed forms, sum rules, and every method of the registries."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest
import torch

from panloom import classical, networks, sensors
from panloom.analysis import (
    Split,
    detail_r2,
    frequency_response,
    fuser_response,
    fusers,
    injection_gain,
    least_cells,
    mtf_plane,
    scene_slopes,
    split_fuser,
    system_transfer,
)
from panloom.errors import MethodError, OptionError
from panloom.networks import Network
from panloom.optics import physical
from panloom.pair import Fuser, Pair
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Traits, Window

F32, F64 = torch.float32, torch.float64
BANDS = 3


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@lru_cache(maxsize=8)
def scene_of(ratio: int, cells: int, dtype: torch.dtype = F32, phase: tuple[float, float] | None = None) -> Scene:
    """Smooth noise that PAN and the bands share in part, and two MTF gains."""
    size = ratio * cells
    truth = (
        physical.degrade(torch.rand(1, BANDS + 1, size, size, generator=rng(), dtype=F64), [0.3], 1, (0.0, 0.0)) + 0.2
    )
    pan = truth.mean(1, keepdim=True)
    bands = sensors.generic_bands(BANDS)
    bands = tuple(replace(b, mtf_nyquist=g) for b, g in zip(bands, (0.3, 0.3, 0.22), strict=True))
    where = phase or ((ratio - 1) / 2,) * 2
    ms = physical.degrade(truth[:, :BANDS], [b.mtf_nyquist for b in bands], ratio, where)
    sensor = replace(sensors.get("generic"), bands=bands)
    return array_scene(pan.to(dtype), ms.to(dtype), sensor=sensor, phase=where)


def whole(scene: Scene) -> Pair:
    grid = scene.grid
    return scene.read(Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells)))


def prepared(name: str, scene: Scene) -> Fuser:
    return classical.get(name)().prepare(scene, rng())


def strong(name: str, scene: Scene, seed: int = 0) -> Network:
    """A network with random weights that keep the size of what goes through."""
    known, given = inspect.signature(networks.get(name)).parameters, {"bands": BANDS, "ratio": scene.grid.ratio}
    net, draw = networks.build(name, {k: v for k, v in given.items() if k in known}), rng(seed)
    with torch.no_grad():
        for values in net.parameters():
            std = math.sqrt(2 / values[0].numel()) if values.ndim > 1 else 0.1
            values.copy_(std * torch.randn(values.shape, generator=draw, dtype=F64))
    ready = net.prepare(scene, rng())
    assert isinstance(ready, Network)
    return ready


def one_cell(pair: Pair, row: int, col: int) -> Pair:
    """With data in (row, col) and in the eight cells around it only."""
    valid = torch.zeros_like(pair.valid)
    valid[(..., *(slice(pair.ratio * (n - 1), pair.ratio * (n + 2)) for n in (row, col)))] = True
    return replace(pair, valid=valid)


def inner(x: torch.Tensor, border: int) -> torch.Tensor:
    return x[..., border:-border, border:-border]


# ---- closed forms --------------------------------------------------------------------------------


def test_exp_shows_its_interpolator_and_no_pan():
    scene = scene_of(3, 20, F64, (1.3, 0.4))
    pair = whole(scene)
    found = fuser_response(prepared("exp", scene), pair, seed=0)
    assert not found.pan.kernel.any()
    assert found.pan.spread == 0
    torch.testing.assert_close(found.mixing, torch.eye(BANDS, dtype=F64))
    pulse = torch.zeros(1, 1, 20, 20, dtype=F64)
    pulse[..., 10, 10] = 1
    image, side = physical.interpolate(pulse, 3, pair.phase)[0, 0], found.ms.kernel.shape[-1] // 2
    expected = image[30 - side : 30 + side + 1, 30 - side : 30 + side + 1]
    for band in range(BANDS):
        torch.testing.assert_close(found.ms.kernel[band, band], expected, rtol=0, atol=1e-12)
    assert float(found.ms.kernel.sum((2, 3)).diagonal().mean()) == pytest.approx(9)
    assert found.ms.spread < 1e-6


@pytest.mark.parametrize(("ratio", "phase"), [(2, (0.5, 0.5)), (3, (1.3, 0.4))])
def test_mtf_glp_answers_to_pan_as_its_filters_say(ratio, phase):
    scene = scene_of(ratio, 36, F64, phase)
    pair, fuser = whole(scene), prepared("mtf-glp", scene)
    assert isinstance(fuser, classical.get("mtf-glp"))
    found = fuser_response(fuser, pair, seed=0)
    gains, middle = torch.tensor(fuser.ready.gain, dtype=F64), found.pan.kernel.shape[-1] // 2
    mtf = [b.mtf_nyquist for b in scene.sensor.bands]

    # Place by place: g (delta - L H delta).
    for row in range(ratio):
        for col in range(ratio):
            pulse = torch.zeros(1, BANDS, *pair.pan.shape[2:], dtype=F64)
            at = [18 * ratio + p for p in (row, col)]
            pulse[..., at[0], at[1]] = 1
            low = physical.interpolate(physical.degrade(pulse, mtf, ratio, phase), ratio, phase)
            expected = (gains[:, None, None] * (pulse - low)[0])[
                :, at[0] - middle : at[0] + middle + 1, at[1] - middle : at[1] + middle + 1
            ]
            torch.testing.assert_close(found.pan_phases[row, col], expected, rtol=0, atol=1e-12)

    # Their mean: g (1 - H L), the product of the MTF's response and the interpolator's.
    cell = torch.zeros(1, 1, 36, 36, dtype=F64)
    cell[..., 18, 18] = 1
    up = physical.interpolate(cell, ratio, phase)[0, 0]
    reach, size = 17 * ratio, 256
    cut = slice(18 * ratio - reach, 18 * ratio + reach + 1)
    spread = frequency_response(up[cut, cut], size, centre=phase) / ratio**2
    for band, gain in enumerate(mtf):
        seen = physical.adjoint(
            lambda x, g=gain: physical.degrade(x, [g], ratio, phase), cell, (1, 1, 36 * ratio, 36 * ratio)
        )
        optics = frequency_response(seen[0, 0][cut, cut], size, centre=phase).conj()
        response = frequency_response(found.pan.kernel[band, 0], size)
        torch.testing.assert_close(response, gains[band] * (1 - optics * spread), rtol=0, atol=1e-9)
    assert 0.001 < found.pan.spread < 0.3
    assert float(found.leakage.abs().max()) < 1e-9


def test_gsa_mixes_as_its_weights_say():
    scene = scene_of(2, 24, F64)
    fuser = prepared("gsa", scene)
    ready = fuser.ready
    found = fuser_response(fuser, whole(scene), seed=0)
    gains, weights = (torch.tensor(v, dtype=F64) for v in (ready.gains, ready.weights))
    torch.testing.assert_close(found.mixing, torch.eye(BANDS, dtype=F64) - torch.outer(gains, weights))
    torch.testing.assert_close(found.leakage, gains * ready.scale)
    torch.testing.assert_close(found.ms.kernel.sum((2, 3)) / 4, found.mixing)


LINEAR = ["exp", "mtf-glp", "mtf-glp-fs", "gs2-glp", "gs", "gsa", "ihs", "pca", "hpf", "atwt", "atwt-m2", "bdsd"]


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_method_leaves_nothing_else(name):
    scene = scene_of(2, 40)
    pair, fuser = whole(scene), prepared(name, scene)
    found = fuser_response(fuser, pair, seed=0)
    parts = split_fuser(fuser, pair, found)
    assert float(inner(parts.nonlinear, 30).abs().max()) <= 1e-5
    torch.testing.assert_close(parts.linear + parts.nonlinear, parts.output)
    r2 = detail_r2(parts, pair, 30)
    assert bool(r2.isnan().all()) if name == "exp" else float(r2.min()) > 1 - 1e-6


def test_the_mean_over_a_cell_is_not_enough_for_mtf_glp():
    scene = scene_of(2, 44)
    pair, fuser = whole(scene), prepared("mtf-glp", scene)
    found = fuser_response(fuser, pair, seed=0)
    parts = split_fuser(fuser, pair, found.averaged())
    assert float(inner(parts.nonlinear, 30).abs().max()) > 1e-4


@pytest.mark.parametrize("name", ["brovey", "mtf-glp-hpm"])
def test_a_ratio_method_is_not_linear(name):
    scene = scene_of(2, 44)
    pair, fuser = whole(scene), prepared(name, scene)
    parts = split_fuser(fuser, pair, fuser_response(fuser, pair, seed=0))
    assert float(inner(parts.nonlinear, 30).abs().max()) > 1e-3
    assert float(detail_r2(parts, pair, 30).max()) < 1 - 1e-4


# ---- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_the_weights_of_fusionnet_sum_to_one(seed):
    scene = scene_of(2, 23, F64)
    net = strong("fusionnet", scene, seed).double()
    found = fuser_response(net, whole(scene), seed=0)
    torch.testing.assert_close(found.mixing.sum(1) + found.leakage, torch.ones(BANDS, dtype=F64))
    assert float(found.leakage.abs().min()) > 1e-3
    assert found.pan.recipe == found.ms.recipe == "jacobian"


def test_those_of_pnn_do_not():
    scene = scene_of(2, 23)
    found = fuser_response(strong("pnn", scene), whole(scene), seed=0)
    assert float((found.mixing.sum(1) + found.leakage - 1).abs().max()) > 0.05


def test_the_response_of_a_network_is_its_derivative():
    # So many gaps that only one cell counts, (11, 12).
    scene = scene_of(2, 24, F64)
    net, pair = strong("fusionnet", scene).double(), one_cell(whole(scene), 11, 12)
    found = fuser_response(net, pair, seed=0)

    def slope(image: str, at: tuple[int, int, int]) -> torch.Tensor:
        step = torch.zeros_like(getattr(pair, image))
        step[(0, *at)] = 1e-6
        moved = []
        for sign in (1, -1):
            exp = physical.interpolate(step, 2, pair.phase) if image == "ms" else torch.zeros_like(pair.exp)
            changed = {image: getattr(pair, image) + sign * step, "exp": pair.exp + sign * exp}
            moved.append(net(replace(pair, **changed))[0])
        return (moved[0] - moved[1]) / 2e-6

    assert found.pan.kernel.shape[-1] == 2 * (5 * 2 + 1) + 1
    for place, (row, col) in {(0, 1): (22, 25), (1, 1): (23, 25)}.items():
        expected = slope("pan", (0, row, col))[:, row - 11 : row + 12, col - 11 : col + 12]
        torch.testing.assert_close(found.pan_phases[place], expected, rtol=0, atol=1e-6)
        assert float(expected.abs().max()) > 0.01
    assert found.ms.kernel.shape[-1] == 2 * (2 * 11 + 1) + 1
    for band in range(BANDS):
        expected = slope("ms", (band, 11, 12))[:, :46, 1:]  # the window of 11 cells to each side, and one pixel more
        torch.testing.assert_close(found.ms.kernel[:, band, 1:], expected, rtol=0, atol=1e-6)
        assert not found.ms.kernel[:, band, 0].any()  # above the image nothing is seen


EVERY = [*classical.names(), *networks.names()]


@pytest.mark.filterwarnings("ignore:seen through the MTF")
@pytest.mark.parametrize("name", EVERY)
def test_every_method_has_finite_responses(name, monkeypatch):
    # Few places, and a narrow window for statistics of the whole tile: this test asks for no numbers.
    monkeypatch.setattr(fusers, "MAX_PASSES", 1)
    monkeypatch.setattr(fusers, "WHOLE_HALO", 1)
    ready = strong if name in networks.names() else prepared
    scene = scene_of(2, least_cells(ready(name, scene_of(2, 12))))
    fuser, pair = ready(name, scene), whole(scene)
    found = fuser_response(fuser, pair, seed=0)
    for values in (found.pan.kernel, found.ms.kernel, found.mixing, found.leakage, found.pan_phases):
        assert bool(values.isfinite().all())
    assert found.pan.kernel.shape[:2] == (BANDS, 1)
    assert found.ms.kernel.shape[:2] == (BANDS, BANDS)
    assert found.pan.kernel.shape[-1] % 2 == found.ms.kernel.shape[-1] % 2 == 1
    assert found.ms.scale == 2
    torch.testing.assert_close(found.pan_phases.mean((0, 1)), found.pan.kernel[:, 0])
    parts = split_fuser(fuser, pair, found)
    assert bool(parts.linear.isfinite().all())


def test_a_method_with_statistics_of_the_whole_tile():
    scene = scene_of(2, 29, F64, (1.0, 1.0))
    pair, fuser = whole(scene), classical.get("gsa")(form="toolbox")
    found = fuser_response(fuser, pair, seed=0)
    assert found.pan.recipe == "differences"
    assert float(found.leakage.min()) > 0
    parts = split_fuser(fuser, pair, found)
    assert float(parts.nonlinear.mean().abs()) < 1e-9
    assert float(detail_r2(parts, pair).min()) > 0.5


def test_the_seed_decides_the_places():
    scene = scene_of(2, 26)
    fuser, pair = prepared("brovey", scene), whole(scene)
    first, again, other = (fuser_response(fuser, pair, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.pan.kernel, again.pan.kernel)
    assert not torch.equal(first.pan.kernel, other.pan.kernel)
    assert torch.equal(first.leakage, other.leakage)


class Steep:
    """The sum of PAN and MS, five times as much in the last quarter of the columns."""

    traits = Traits()

    def prepare(self, scene, rng):
        return self

    def __call__(self, pair):
        gain = torch.where(torch.arange(pair.pan.shape[-1]) < pair.pan.shape[-1] * 3 // 4, 1.0, 5.0)
        return gain * (pair.exp + pair.pan)


def test_places_without_data_do_not_count():
    pair, half = whole(scene_of(2, 40)), 40
    everywhere = fuser_response(Steep(), pair, seed=0)
    assert float(everywhere.leakage.min()) == pytest.approx(2)
    assert min(everywhere.pan.spread, everywhere.ms.spread) > 0.3
    valid = pair.valid.clone()
    valid[..., half:] = False
    found = fuser_response(Steep(), replace(pair, valid=valid), seed=0)
    torch.testing.assert_close(found.leakage, torch.ones(BANDS, dtype=F64))
    torch.testing.assert_close(found.mixing, torch.eye(BANDS, dtype=F64))
    torch.testing.assert_close(found.pan.kernel.sum((2, 3)), torch.ones(BANDS, 1, dtype=F64))
    assert max(found.pan.spread, found.ms.spread) < 1e-6


# ---- the system ----------------------------------------------------------------------------------


def test_the_detail_of_a_scene_belongs_together_as_it_was_made():
    scene = scene_of(2, 24, F64)
    pair = whole(scene)
    low = physical.degrade(pair.pan, [sum(b.mtf_nyquist for b in scene.sensor.bands) / BANDS], 2, pair.phase)
    made = replace(pair, ms=torch.cat([2 * low, 0.5 * low + 1, torch.full_like(low, 0.3)], 1))
    pan, bands = scene_slopes(made)
    torch.testing.assert_close(pan, torch.tensor([0.5, 2.0, 0.0], dtype=F64))
    torch.testing.assert_close(bands[0], torch.tensor([1.0, 0.25, 0.0], dtype=F64))
    with pytest.raises(MethodError, match="no sensor"):
        scene_slopes(replace(pair, sensor=None))


def test_a_sharpened_system_transfers_more_than_exp():
    scene = scene_of(2, 36, F64)
    pair = whole(scene)
    mtf, (slopes, _) = mtf_plane(torch.tensor([b.mtf_nyquist for b in scene.sensor.bands]), 2, 256), scene_slopes(pair)
    found = [fuser_response(prepared(name, scene), pair, seed=0) for name in ("exp", "mtf-glp")]
    exp, glp = (
        system_transfer(
            f.ms.kernel,
            f.pan.kernel[:, 0],
            mtf,
            ratio=2,
            phase=pair.phase,
            bands_on_band=torch.eye(BANDS, dtype=F64),
            pan_on_band=slopes,
        )
        for f in found
    )
    for transfer in (exp, glp):  # levels are kept
        torch.testing.assert_close(transfer[:, 128, 128], torch.ones(BANDS, dtype=F64), rtol=0, atol=1e-6)
    assert float(exp[:, 128, 224].max()) < 0.01  # three quarters of the way to pi nothing is left
    assert float(glp[:, 128, 224].min()) > 0.2


def test_the_injection_gain_of_mtf_glp_is_its_own():
    scene = scene_of(2, 36, F64)
    fuser = prepared("mtf-glp", scene)
    found = fuser_response(fuser, whole(scene), seed=0)
    mtf = mtf_plane(torch.tensor([b.mtf_nyquist for b in scene.sensor.bands]), 2, 256)
    estimated = injection_gain(frequency_response(found.pan.kernel[:, 0], 256), mtf, 2)
    torch.testing.assert_close(estimated, torch.tensor(fuser.ready.gain, dtype=F64), rtol=0.1, atol=0)


# ---- bad input -----------------------------------------------------------------------------------


@dataclass
class Broken:
    """A method that does `what`."""

    what: str
    count: int = 0

    @property
    def traits(self) -> Traits:
        return Traits(stochastic=self.what in ("noise", "own noise"))

    def prepare(self, scene, rng):
        return self

    def __call__(self, pair):
        self.count += 1
        match self.what:
            case "noise":
                return pair.exp + torch.rand(())
            case "own noise":
                return pair.exp + self.count
            case "nan":
                return pair.exp * torch.nan
            case "shape":
                return pair.ms
            case _:
                raise RuntimeError("expected 8 channels")


@pytest.mark.parametrize(
    ("what", "error", "told"),
    [
        ("own noise", OptionError, "two outputs for one input"),
        ("nan", MethodError, "numbers of the fused pair are not finite"),
        ("shape", MethodError, r"\(1, 3, 16, 16\).*\(1, 3, 32, 32\)"),
        ("channels", MethodError, "expected 8 channels"),
    ],
)
def test_a_method_that_cannot_be_looked_at_is_refused(what, error, told):
    with pytest.raises(error, match=told):
        fuser_response(Broken(what), whole(scene_of(2, 16)), seed=0)


def test_noise_of_torch_is_fixed_by_the_seed():
    found = fuser_response(Broken("noise"), whole(scene_of(2, 16)), seed=0)
    torch.testing.assert_close(found.mixing, torch.eye(BANDS, dtype=F64), rtol=0, atol=1e-5)


def test_a_split_asks_for_the_seed_of_noise():
    pair = whole(scene_of(2, 16))
    found = fuser_response(Broken("noise"), pair, seed=0)
    with pytest.raises(OptionError, match=r"two outputs.*pass a seed"):
        split_fuser(Broken("noise"), pair, found)
    parts = split_fuser(Broken("noise"), pair, found, seed=0)
    assert float(inner(parts.nonlinear, 12).abs().max()) < 1e-5
    assert float((parts.output - pair.exp[0]).abs().min()) > 1e-3


def test_a_pair_that_cuts_the_kernels_is_refused():
    fuser = prepared("mtf-glp", scene_of(2, 40))
    assert least_cells(fuser) == 31  # a halo of 9 cells, and 6 of EXP
    fuser_response(fuser, whole(scene_of(2, 31)), seed=0)
    with pytest.raises(OptionError, match=r"reaches 15 MS pixels.*31 x 31 MS pixels or more; given: 30 x 30"):
        fuser_response(fuser, whole(scene_of(2, 30)), seed=0)


def test_a_pair_without_data_is_refused():
    pair = whole(scene_of(2, 16))
    with pytest.raises(OptionError, match="nowhere in this pair of 16 x 16 MS pixels, 6 or more from its border"):
        fuser_response(prepared("exp", scene_of(2, 16)), one_cell(pair, 5, 8), seed=0)


def test_pairs_and_responses_that_do_not_belong_together_are_refused():
    scene = scene_of(2, 16)
    pair, fuser = whole(scene), prepared("exp", scene)
    images = {name: torch.cat([getattr(pair, name)] * 2) for name in ("pan", "ms", "exp", "valid")}
    two = replace(pair, **images)
    with pytest.raises(MethodError, match=r"one PAN image of one band; given: \(2, 1"):
        fuser_response(fuser, two, seed=0)
    found = fuser_response(fuser, pair, seed=0)
    with pytest.raises(OptionError, match="for 3 bands at ratio 2; the pair has 3 at ratio 3"):
        split_fuser(fuser, whole(scene_of(3, 20, F64, (1.3, 0.4))), found)
    parts = split_fuser(fuser, pair, found)
    with pytest.raises(OptionError, match="a border of 16 leaves 0 x 0"):
        detail_r2(parts, pair, 16)


def test_rounding_is_no_detail():
    pair = whole(scene_of(2, 16))
    output, noise = pair.exp[0].double(), torch.randn(BANDS, 32, 32, generator=rng(), dtype=F64)
    for size, defined in ((1e-9, False), (1e-3, True)):
        parts = Split(output + size * noise, output, size * noise, 2)
        assert bool(detail_r2(parts, pair).isfinite().all()) is defined
