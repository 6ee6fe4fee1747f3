"""The closed-form fit: its laws, on scenes whose truth is known."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from panloom import adapt, sensors
from panloom.adapt import _base, _equations, _head, _physics, _ridge, _sample
from panloom.adapt._sharpness import GAINS
from panloom.adapt.refit import RandomRefit, Refit, Regression
from panloom.data import procedural
from panloom.errors import PanloomWarning
from panloom.networks import Network, SourceStatistics
from panloom.optics import physical
from panloom.pair import Pair
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Traits, Window

F32, F64 = torch.float32, torch.float64
SLOPES = torch.tensor([0.7, 0.9, 1.0, 1.2], dtype=F64)
CASES = pytest.mark.parametrize(("ratio", "phase"), [(2, (0.0, 1.0)), (3, (1.3, -0.4)), (4, (1.75, 3.2))])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Convolution(Network):
    """Features of PAN and EXP without an activation, and a linear head; `tail` goes on behind it."""

    channels = 5

    def __init__(self, bands: int = 4, size: int = 3, tail: str = "") -> None:
        super().__init__()
        torch.manual_seed(3)
        self.bands, self.size, self.tail = bands, size, tail
        self.first = nn.Conv2d(bands + 1, 5, 3, padding=1)
        # As PNN does: features are larger than the image, and the last layer pads nothing.
        self.last = nn.Conv2d(5, bands, size, padding=0 if size == 5 else size // 2)

    @property
    def traits(self) -> Traits:
        return Traits(bands=self.bands, halo=2)

    def features(self, pair: Pair) -> torch.Tensor:
        x = self.first(self.cast(torch.cat([pair.exp, pair.pan], 1)))
        return functional.pad(x, (2, 2, 2, 2)) if self.size == 5 else x

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        image = pair.exp + 0.1 * self.last(features) if self.tail == "scale" else pair.exp + self.last(features)
        return functional.relu(image) if self.tail == "relu" else image


class Detail(Network):
    """The only feature is the detail of PAN, wrongly scaled; the frozen output is EXP."""

    channels = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0, dtype=F64))

    @property
    def traits(self) -> Traits:
        return Traits(halo=12)

    def features(self, pair: Pair) -> torch.Tensor:
        assert pair.sensor is not None
        return self.scale * _physics.maps(pair, pair.sensor, 1.0)[:, :1]

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        return pair.exp


class Bands(Detail):
    """Details, one for each band."""

    def features(self, pair: Pair) -> torch.Tensor:
        return super().features(pair).expand_as(pair.exp).transpose(0, 1)


def linear_scene(ratio: int, phase: tuple[float, float], cells: int = 48, pan_gain: float = GAINS[-1]) -> Scene:
    """MS is PAN as the optics of PAN see it, times SLOPES: degraded once more, the truth is exp + slope * h exactly."""
    sensor = sensors.get("quickbird")
    bands = tuple(replace(band, mtf_nyquist=0.3) for band in sensor.bands)
    # PAN is told to be as sharp as a PAN can be, so that it is degraded by the very gain that MS is made with here.
    sensor = replace(sensor, bands=bands, ratio=ratio, pan=replace(sensor.pan, mtf_nyquist=pan_gain))
    pan = functional.avg_pool2d(
        torch.rand(1, 1, ratio * cells + 2, ratio * cells + 2, generator=rng(), dtype=F64), 3, 1
    )
    low = physical.degrade(pan, [sensor.pan.mtf_nyquist], ratio, phase)
    # The constant tells a multiple of h from a modulation of the band.
    return array_scene(pan, low * SLOPES.view(1, 4, 1, 1) + 0.3, sensor=sensor, phase=phase)


def land(dtype: torch.dtype = F32, gain: float = 1.0, offset: float = 0.0) -> Scene:
    made = procedural.make(160, 172, sensor="quickbird", recording=procedural.Recording(ratio=4, dtype="float32"))
    pan, ms = (torch.from_numpy(x).to(dtype)[None] / 2047 * gain + offset for x in (made.pan[None], made.ms))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase)


def whole(scene: Scene) -> Pair:
    cells = Window(0, 0, *scene.grid.cells)
    return scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))


def close(actual: torch.Tensor, expected: torch.Tensor, limit: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


def expected_of(scene: Scene) -> tuple[Pair, torch.Tensor]:
    pair = whole(scene)
    return pair, pair.exp + SLOPES.view(1, 4, 1, 1) * _physics.maps(pair, scene.sensor, 1.0)[:, :1]


# ---- what is exactly linear is found -------------------------------------------------------------


@CASES
def test_regression_finds_a_linear_truth(ratio, phase):
    scene = linear_scene(ratio, phase)
    pair, expected = expected_of(scene)
    fitted = Regression(kappa=0, physics=1e-10).prepare(scene, rng())
    close(fitted(pair), expected, 1e-6)
    assert fitted.report.validated < 1e-4


@CASES
@pytest.mark.parametrize("network", [Detail, Bands])
def test_refit_finds_the_weights_of_features(ratio, phase, network):
    scene = linear_scene(ratio, phase)
    pair, expected = expected_of(scene)
    fitted = Refit(network(), ridge=1e-10, physics=1e-2, kappa=0).prepare(scene, rng())
    close(fitted(pair), expected, 1e-6)
    assert fitted.report.decision == "adapted"


def test_spectral_equations_hold_for_the_same_weights():
    """MS and what is seen of exp + slope * h agree where h lies beyond what the optics pass."""
    scene = linear_scene(4, (1.5, 1.5), pan_gain=0.15)
    far, near = (Regression(kappa=kappa).prepare(scene, rng()) for kappa in (0.0, 1000.0))
    pair = whole(scene)

    def wrong(fuser: Regression) -> float:
        seen = physical.degrade(fuser(pair), [0.3], 4, pair.phase)
        return float((seen - pair.ms).square().mean())

    assert wrong(near) < 0.9 * wrong(far)


# ---- limits --------------------------------------------------------------------------------------


def test_infinite_ridges_leave_the_frozen_output():
    scene, network = land(), Convolution()
    pair = whole(scene)
    fitted = Refit(network, ridge=1e12, physics=1e12, gate=9.0).prepare(scene, rng())
    assert fitted.report.decision == "adapted"
    close(fitted(pair), network(pair).detach(), 1e-6)


def test_gate_0_keeps_the_frozen_output_bit_for_bit():
    scene, network = land(), Convolution()
    pair = whole(scene)
    fitted = Refit(network, gate=0.0).prepare(scene, rng())
    assert fitted.report.decision == "frozen"
    assert "held-back" in fitted.report.reason
    assert torch.equal(fitted(pair), network(pair))
    assert fitted.traits.halo == network.traits.halo


def test_frozen_output_with_a_bridge_follows_gain_and_offset():
    network = Convolution().double()
    network.source = SourceStatistics((0.2, 0.3, 0.2, 0.4), (0.05, 0.06, 0.07, 0.1), 0.3, 0.08)

    def frozen(gain: float, offset: float) -> torch.Tensor:
        scene = land(F64, gain, offset)
        return Refit(network, gate=0.0, renormalise="always").prepare(scene, rng())(whole(scene))

    close(frozen(2.5, 0.0), 2.5 * frozen(1.0, 0.0), 1e-9)
    close(frozen(1.0, 0.4), frozen(1.0, 0.0) + 0.4, 1e-9)


@pytest.mark.parametrize("shared", [0, 3])
def test_shared_columns_are_eliminated_once_with_the_same_result(shared):
    draw = torch.randn(5, 6, 40, dtype=F64, generator=rng())
    draw[:, :shared] = draw[0, :shared]
    matrix, right = draw @ draw.transpose(1, 2), torch.randn(5, 6, dtype=F64, generator=rng())
    ridge = torch.linspace(0.1, 1, 6, dtype=F64)
    expected = torch.linalg.solve(matrix + torch.diag(ridge), right)
    found = _ridge.solve(matrix, right, ridge, shared)
    assert found is not None
    close(found, expected, 1e-10)


def test_random_features_follow_the_seed():
    scene = land()
    pair = whole(scene)
    one, same, other = (RandomRefit().prepare(scene, rng(seed))(pair) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# ---- the head ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("size", [3, 5])
def test_a_merged_head_gives_the_same_image(size, source, monkeypatch):
    scene, network = land(F64), Convolution(size=size).double()
    network.source = SourceStatistics((0.2,) * 4, (0.05,) * 4, 0.3, 0.08) if source else None
    merged = Refit(network, gate=9.0).prepare(scene, rng())
    monkeypatch.setattr("panloom.adapt._fit.merged", lambda *_: None)
    apart = Refit(network, gate=9.0).prepare(scene, rng())
    assert (merged.report.merged, apart.report.merged) == (True, False)
    close(merged(whole(scene)), apart(whole(scene)), 1e-10)


@pytest.mark.parametrize("tail", ["relu", "scale"])
def test_a_head_that_goes_on_is_not_merged(tail):
    scene = land()
    pair = whole(scene)
    network = Convolution(tail=tail)
    if tail == "relu":  # nothing is cut where all is positive, so some must not be
        network.last.bias.data -= 0.3
    fitted = Refit(network, gate=9.0).prepare(scene, rng())
    assert not fitted.report.merged
    assert bool(fitted(pair).isfinite().all())


def test_taps_and_convolution_are_the_same():
    features, pair = torch.randn(1, 3, 8, 12, generator=rng()), _sample.cut(whole(land()), Window(1, 2, 2, 3))
    kernel = torch.randn(4, 3, 3, 3, generator=rng())
    columns = _head.taps(features, 8, 12)
    close(_head.Kernel(kernel)(features, pair)[0], torch.einsum("ck,khw->chw", kernel.flatten(1), columns[0]), 1e-5)


# ---- the equations -------------------------------------------------------------------------------


def test_ridge_is_that_of_the_textbook():
    z, y = torch.randn(4, 50, generator=rng(), dtype=F64), torch.randn(2, 50, generator=rng(), dtype=F64)
    products = _ridge.Products.of(z[None], torch.cat([torch.ones(1, 50, dtype=F64), y])[None])
    group = torch.tensor([0, 0])
    roles = _ridge.Roles(group, torch.tensor([[0, 2, 4], [1, 3, 4]]), torch.tensor([5, 6]))
    matrix, right, power = roles.system(products.mean)
    ridge = torch.tensor([0.1, 0.2, 0.0], dtype=F64)
    weights = _ridge.solve(matrix, right, ridge)
    assert weights is not None
    for band, use in enumerate(([0, 2], [1, 3])):
        a = torch.cat([z[use], torch.ones(1, 50, dtype=F64)]).T
        close(weights[band], torch.linalg.solve(a.T @ a / 50 + torch.diag(ridge), a.T @ y[band] / 50), 1e-12)
    close(power, y.square().mean(1), 1e-12)


def test_a_singular_system_has_no_solution():
    flat = torch.zeros(1, 2, 2, dtype=F64)
    assert _ridge.solve(flat, torch.ones(1, 2, dtype=F64), torch.zeros(2, dtype=F64)) is None


@pytest.mark.parametrize(("side", "block"), [(32, 8), (128, 16), (40, 8)])
def test_checkerboard_halves_the_pixels(side, block):
    board = _ridge.checkerboard(side, side)
    assert bool(board[:block, :block].all())
    assert not bool(board[:block, block : 2 * block].any())
    assert abs(float(board.float().mean()) - 0.5) < 0.05


def test_patches_do_not_overlap_and_follow_the_seed():
    pair = whole(land())
    found = [window for _, window in _equations.patches([pair], 99, 2, rng())]
    seen = torch.zeros(pair.ms.shape[-2:], dtype=torch.int64)
    for window in found:
        seen[window.inside(Window(0, 0, 0, 0))] += 1
    assert int(seen.max()) == 1
    assert int(seen.sum()) == seen[:40, :42].numel()
    assert found == [window for _, window in _equations.patches([pair], 99, 2, rng())]


def test_ms_beside_a_missing_cell_is_no_truth():
    pair = whole(land())
    valid = pair.valid.clone()
    valid[..., 40, 40] = False
    good = replace(pair, valid=valid).whole_cells
    assert not bool(good[..., 9:12, 9:12].any())
    assert int((~good).sum()) == 9


# ---- what cannot be fitted -----------------------------------------------------------------------


def test_one_constant_band_is_left_alone():
    scene = land()
    pair = whole(scene)
    flat = pair.ms.clone()
    flat[:, 1] = 0.25
    scene = array_scene(pair.pan, flat, sensor=scene.sensor, phase=scene.grid.phase)
    with pytest.warns(PanloomWarning, match=f"constant bands.*{scene.sensor.bands[1].name}"):
        fitted = Regression().prepare(scene, rng())
    assert fitted.report.unfitted == (scene.sensor.bands[1].name,)
    fused = fitted(whole(scene))
    close(fused[:, 1], torch.full_like(fused[:, 1], 0.25), 1e-6)
    assert float((fused - whole(scene).exp)[:, 0].abs().max()) > 1e-3


def test_features_that_are_no_numbers_give_the_frozen_output():
    network = Convolution()
    network.first.bias.data[0] = torch.inf
    with pytest.warns(PanloomWarning, match="not finite"):
        fitted = Refit(network).prepare(land(), rng())
    assert fitted.report.decision == "frozen"
    assert fitted.report.validated is None


def test_half_of_the_scene_missing_is_no_obstacle():
    scene = land()
    pair = whole(scene)
    valid = torch.ones_like(pair.pan, dtype=torch.bool)
    valid[..., : valid.shape[-1] // 2] = False
    scene = array_scene(pair.pan, pair.ms, sensor=scene.sensor, phase=scene.grid.phase, pan_valid=valid)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Regression().prepare(scene, rng()).report.decision == "adapted"


def test_report_says_what_was_done():
    scene = land()
    report = Refit(Convolution(), gate=9.0).prepare(scene, rng()).report
    assert report.ridge in (0.01, 0.1, 1.0, 10.0, 100.0)
    assert report.validated is not None
    assert 0 < report.validated < 1.1
    assert report.equations[0] == 40 * 40
    assert report.places == (Window(0, 0, 160, 172),)
    assert report.seconds > 0
    assert not report.renormalised


def test_names():
    assert "refit" in adapt.names()
    assert adapt.get("refit") is Refit
    assert adapt.free()["regression"] is Regression
    assert adapt.free()["random+refit"] is RandomRefit


@pytest.mark.parametrize("cells", [40, 100])
@pytest.mark.parametrize("network", [None, Convolution().double(), Bands()], ids=["exp", "shared", "per-band"])
def test_spectral_equations_of_patches_are_those_of_the_whole(network, cells):
    """Whether a patch is cut out or the whole tile is computed: the same sums, away from the border of a tile."""
    scene = linear_scene(4, (1.75, 3.2), cells)
    pair = whole(scene)
    columns = _equations.Columns(_base.Base(network, None), scene.sensor, 0.5)
    with torch.no_grad():
        made, image = columns.make(pair)
        scaling = _equations.Scaling.of(made.flatten(2), columns.learned(made))
        patches = _equations.patches([pair], 99, 1, rng())
        found = [_equations.spectral(columns, *patch).products(scaling) for patch in patches]
        seen = physical.degrade(made.flatten(0, 1)[None], [0.3], 4, pair.phase).view(*made.shape[:2], cells, -1)
        left = pair.ms - physical.degrade(image, [0.3], 4, pair.phase)
    every = torch.ones(cells, cells, dtype=torch.bool)
    expected = _equations.Equations(seen, left, every).products(scaling)
    total = sum(found[1:], found[0])
    assert total.count == expected.count
    close(total.mean, expected.mean, 1e-3 * float(expected.mean.abs().max()))
    for (_, window), products in zip(patches, found, strict=True):
        if window.row >= 32 and window.col >= 32 and window.row_end <= 68 and window.col_end <= 68:
            inside = window.inside(Window(0, 0, 0, 0))
            part = _equations.Equations(seen[(..., *inside)], left[(..., *inside)], every[inside])
            inner = part.products(scaling)
            close(products.gram, inner.gram, 1e-9 * float(inner.gram.abs().max()))
