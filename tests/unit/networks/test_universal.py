"""Laws of the network for any sensor."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from panloom import networks, sensors
from panloom.data import procedural
from panloom.errors import MethodError, PanloomWarning
from panloom.networks.universal import Universal
from panloom.optics import physical
from panloom.optics.alignment import NOWHERE, moved, with_pan
from panloom.optics.moments import survey
from panloom.pair import Pair
from panloom.run.resolve import resolve
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, trim
from panloom.types import Band, Tile, Window

F64 = torch.float64
#: Single precision would hide small faults.
TIGHT = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module")
def net() -> Universal:
    torch.manual_seed(3)
    made = networks.build("universal", {"width": 16, "depth": 3, "maps": 16})
    assert isinstance(made, Universal)
    with torch.no_grad():
        made.weights.mul_(4)
    return made.double().eval()


def scene(
    ratio: int = 4, phase: tuple[float, float] = (1.5, 1.5), gains: tuple[float, ...] = (0.3, 0.25, 0.35)
) -> Scene:
    rng = torch.Generator().manual_seed(5)
    cells = 18
    rough = torch.rand(1, len(gains) + 1, cells * ratio // 3, cells * ratio // 3, generator=rng, dtype=F64)
    land = torch.nn.functional.interpolate(rough, size=(cells * ratio, cells * ratio), mode="bicubic") + 0.5
    bands = tuple(replace(b, mtf_nyquist=g) for b, g in zip(sensors.generic_bands(len(gains)), gains, strict=True))
    sensor = replace(sensors.get("generic"), bands=bands, ratio=ratio)
    ms = physical.degrade(land[:, 1:], gains, ratio, phase)
    pan = 0.3 * land[:, :1] + 0.7 * land[:, 1:].mean(1, keepdim=True)
    return array_scene(pan, ms, sensor=sensor, phase=phase, full_scale=1.0)


def read(of: Scene) -> Pair:
    return of.read(Tile(0, Window(0, 0, of.grid.height, of.grid.width), Window(0, 0, *of.grid.cells)))


def fuse(net: Universal, pair: Pair) -> torch.Tensor:
    with torch.no_grad():
        return net(pair)


def with_images(pair: Pair, pan: torch.Tensor, ms: torch.Tensor) -> Pair:
    return replace(pair, pan=pan, ms=ms, exp=physical.interpolate(ms, pair.ratio, pair.phase))


def test_budget_of_the_default():
    made = networks.build("universal", {})
    assert sum(p.numel() for p in made.parameters()) <= 130_000
    assert macs(made) <= 32_000


def test_budget_of_the_small_one():
    small = networks.build("universal", {"width": 24, "depth": 4, "maps": 16})
    assert sum(p.numel() for p in small.parameters()) <= 130_000 / 4
    assert macs(small) <= 32_000 / 4


def macs(made: networks.Network) -> float:
    """Multiplications of the layers per PAN pixel and band; every layer stands on the half grid."""
    assert isinstance(made, Universal)
    layers = [made.enter, *made.body, made.expand]
    return sum(layer.weight.numel() for layer in layers) / 4


@pytest.mark.parametrize("gain", [1 / 255, 3.0, 1000.0])
def test_the_result_follows_the_gain_of_the_data(net, gain):
    pair = read(scene())
    torch.testing.assert_close(
        fuse(net, with_images(pair, gain * pair.pan, gain * pair.ms)) / gain, fuse(net, pair), **TIGHT
    )


def test_the_gain_of_pan_alone_changes_nothing(net):
    pair = read(scene())
    torch.testing.assert_close(fuse(net, with_images(pair, 7 * pair.pan, pair.ms)), fuse(net, pair), **TIGHT)


def test_every_band_has_its_own_gain(net):
    pair = read(scene())
    gains = torch.tensor([0.5, 2.0, 30.0], dtype=F64).view(1, 3, 1, 1)
    torch.testing.assert_close(
        fuse(net, with_images(pair, pair.pan, gains * pair.ms)) / gains, fuse(net, pair), rtol=0, atol=1e-7
    )


def test_the_order_of_the_bands_does_not_matter(net):
    pair, order = read(scene()), [2, 0, 1]
    assert pair.sensor is not None
    bands = tuple(pair.sensor.bands[k] for k in order)
    turned = replace(with_images(pair, pair.pan, pair.ms[:, order]), sensor=replace(pair.sensor, bands=bands))
    torch.testing.assert_close(fuse(net, turned), fuse(net, pair)[:, order], **TIGHT)


@pytest.mark.parametrize("ratio", range(2, 9))
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_any_ratio_and_any_number_of_bands(net, ratio, bands):
    pair = read(scene(ratio, (0.3, ratio / 2), gains=(0.3,) * bands))
    assert fuse(net, pair).shape == pair.exp.shape


def test_the_result_is_nearer_to_ms_than_before_the_back_projection(net):
    pair = read(scene())
    assert pair.sensor is not None
    gains = [band.mtf_nyquist for band in pair.sensor.bands]

    def away(image: torch.Tensor) -> float:
        return float((physical.degrade(image, gains, pair.ratio, pair.phase) - pair.ms).square().mean())

    with torch.no_grad():
        before = torch.einsum("nfhw,f->nhw", net.features(pair), net.weights)[None] * net._look(pair).std
    assert away(fuse(net, pair)) < 0.5 * away(pair.exp + before)


def test_the_mtf_that_is_told_matters(net):
    pair = read(scene())
    assert pair.sensor is not None
    bands = tuple(replace(band, mtf_nyquist=0.15) for band in pair.sensor.bands)
    softer = replace(pair, sensor=replace(pair.sensor, bands=bands))
    assert float((fuse(net, softer) - fuse(net, pair)).abs().max()) > 1e-4


def test_prepared_statistics_are_those_of_the_scene(net):
    of = scene()
    ready = net.prepare(of, torch.Generator().manual_seed(0))
    assert isinstance(ready, Universal)
    assert ready.look is not None
    assert net.look is None
    moments = survey(of)
    torch.testing.assert_close(ready.look.mean.flatten(), moments.mean[1:], **TIGHT)
    torch.testing.assert_close(ready.look.std.flatten(), moments.std[1:], **TIGHT)


def test_constant_images_stay_as_they_are(net):
    pair = read(scene())
    flat = with_images(pair, torch.full_like(pair.pan, 0.4), torch.full_like(pair.ms, 0.2))
    torch.testing.assert_close(fuse(net, flat), flat.exp, rtol=0, atol=1e-6)


def test_a_pan_around_zero_has_no_modulation(net):
    pair = read(scene())
    centred = with_images(pair, pair.pan - pair.pan.mean() - 1, pair.ms)
    assert bool(torch.isfinite(fuse(net, centred)).all())


def test_a_pair_without_sensor_is_refused(net):
    with pytest.raises(MethodError, match="MTF"):
        net(replace(read(scene()), sensor=None))


def test_maps_must_fit_the_details():
    with pytest.raises(MethodError, match="multiple of 8"):
        networks.build("universal", {"maps": 12})


def test_bands_of_equal_numbers_give_equal_results(net):
    pair = read(scene(gains=(0.3, 0.3)))
    same = with_images(pair, pair.pan, pair.ms[:, :1].expand(-1, 2, -1, -1))
    band = Band("blue", 480.0, 60.0, 0.3)
    assert same.sensor is not None
    same = replace(same, sensor=replace(same.sensor, bands=(band, band)))
    out = fuse(net, same)
    torch.testing.assert_close(out[:, 0], out[:, 1], **TIGHT)


def test_no_data_does_not_change_how_sharp_pan_is(net):
    """A scene of which a corner is missing has the numbers of the rest, not those of what was continued."""
    whole = scene()
    pair = read(whole)
    valid = torch.ones_like(pair.valid)
    valid[..., 40:, 30:] = False
    pan = torch.where(valid, pair.pan, 0.0)
    ms_valid = valid[..., ::4, ::4].expand(-1, 3, -1, -1)
    part = array_scene(
        pan, pair.ms, sensor=whole.sensor, phase=(1.5, 1.5), full_scale=1.0, pan_valid=valid, ms_valid=ms_valid
    )
    looks = []
    for of in (whole, part):
        ready = net.prepare(of, torch.Generator().manual_seed(0))
        assert isinstance(ready, Universal)
        assert ready.look is not None
        looks.append(ready.look)
    assert float(looks[0].sharpness) == pytest.approx(float(looks[1].sharpness), abs=0.1)


def test_what_a_softer_band_does_to_the_mismatch(net):
    """Bands softer than PAN before the optics are told apart from bands as sharp as PAN."""
    found = []
    for softness in (None, 0.05):
        rng = torch.Generator().manual_seed(7)
        land = torch.rand(1, 1, 160, 160, generator=rng, dtype=F64) + 0.5
        bands = land if softness is None else physical.degrade(land, [softness], 1, (0.0, 0.0))
        ms = physical.degrade(bands.expand(-1, 3, -1, -1), [0.3], 4, (1.5, 1.5))
        of = array_scene(land, ms, sensor=scene().sensor, phase=(1.5, 1.5), full_scale=1.0)
        ready = net.prepare(of, torch.Generator().manual_seed(0))
        assert isinstance(ready, Universal)
        assert ready.look is not None
        found.append(float(ready.look.mismatch))
    assert abs(found[0]) < 0.1
    assert found[1] < found[0] - 0.02


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_noise_of_a_band_is_seen_as_its_own_and_not_as_sharpness(net, noise):
    rng = torch.Generator().manual_seed(7)
    land = torch.nn.functional.interpolate(torch.rand(1, 1, 80, 80, generator=rng, dtype=F64), scale_factor=2) + 0.5
    ms = physical.degrade(land, [0.3], 4, (1.5, 1.5)).expand(-1, 3, -1, -1)
    wild = torch.randn(ms.shape, generator=rng, dtype=F64) * ms.std() * noise
    wild[:, 2] = 0
    looks = []
    for bands in (ms + 1e-3 * wild, ms + wild):
        of = array_scene(land, bands, sensor=scene().sensor, phase=(1.5, 1.5), full_scale=1.0)
        ready = net.prepare(of, torch.Generator().manual_seed(0))
        assert isinstance(ready, Universal)
        assert ready.look is not None
        looks.append(ready.look)
    quiet, noisy = looks
    # A mean over 3 x 3 pixels takes a ninth of white noise away.
    variance = 8 / 9 * noise**2 / (1 + noise**2)
    assert (10 ** noisy.own[0, :2, 0, 0]).tolist() == pytest.approx([variance] * 2, rel=0.25)
    assert float(quiet.own.max()) < -3.5
    assert float(noisy.own[0, 2]) < -1.5
    assert bool((noisy.energy[0, :2] > quiet.energy[0, :2]).all())
    assert float(noisy.mismatch) == pytest.approx(float(quiet.mismatch), abs=0.02)


@pytest.mark.parametrize("rubbish", [0.0, 1e6, float("nan"), float("inf")])
def test_what_stands_in_invalid_pixels_does_not_matter(net, rubbish):
    whole = scene()
    pair = read(whole)
    valid = torch.ones_like(pair.valid)
    valid[..., 40:, 30:] = False
    ms_valid = valid[..., ::4, ::4].expand(-1, 3, -1, -1)

    def ready(number: float) -> tuple[Universal, Pair]:
        of = array_scene(
            torch.where(valid, pair.pan, number),
            torch.where(ms_valid, pair.ms, number),
            sensor=whole.sensor,
            phase=(1.5, 1.5),
            full_scale=1.0,
            pan_valid=valid,
            ms_valid=ms_valid,
        )
        made = net.prepare(of, torch.Generator().manual_seed(0))
        assert isinstance(made, Universal)
        return made, read(of)

    results = [fuse(*ready(number))[valid.expand(-1, 3, -1, -1)] for number in (0.5, rubbish)]
    torch.testing.assert_close(results[0], results[1], **TIGHT)


@pytest.mark.filterwarnings("error")
def test_detail_of_a_single_band_that_pan_does_not_have_is_no_reason_to_warn(net):
    rng = torch.Generator().manual_seed(7)
    land = torch.nn.functional.interpolate(torch.rand(1, 2, 80, 80, generator=rng, dtype=F64), scale_factor=2) + 0.5
    ms = physical.degrade(land[:, :1] + 0.7 * land[:, 1:], [0.3], 4, (1.5, 1.5))
    sensor = replace(scene().sensor, bands=(replace(scene().sensor.bands[0], mtf_nyquist=0.3),))
    of = array_scene(land[:, :1], ms, sensor=sensor, phase=(1.5, 1.5), full_scale=1.0)
    ready = net.prepare(of, torch.Generator().manual_seed(0))
    assert isinstance(ready, Universal)
    assert ready.look is not None
    assert abs(float(ready.look.mismatch)) < 0.1


def test_an_mtf_that_cannot_be_right_is_told_and_not_believed(net):
    """MS that was only picked out of the land, without any optics, is far sharper than the MTF that is told."""
    rng = torch.Generator().manual_seed(7)
    land = torch.rand(1, 1, 160, 160, generator=rng, dtype=F64) + 0.5
    land = physical.degrade(land, [0.05], 1, (0.0, 0.0))
    ms = land[..., 1::4, 1::4].expand(-1, 3, -1, -1)
    sensor = replace(scene().sensor, bands=tuple(replace(b, mtf_nyquist=0.2) for b in scene().sensor.bands))
    of = array_scene(land, ms, sensor=sensor, phase=(1.0, 1.0), full_scale=1.0)
    with pytest.warns(PanloomWarning, match="the gains may not be those"):
        ready = net.prepare(of, torch.Generator().manual_seed(0))
    assert isinstance(ready, Universal)
    assert ready.look is not None
    assert abs(float(ready.look.mismatch)) <= 0.15


def displaced(by: tuple[float, float]) -> tuple[Scene, torch.Tensor]:
    """A drawn scene whose MS looks beside its place, and its truth."""
    recording = procedural.Recording(ratio=4, dtype="float32", misregistration=by)
    made = procedural.make(512, 512, sensor="quickbird", wedge=False, recording=recording)
    pan, ms, truth = (torch.from_numpy(x).to(F64)[None] / 2047 for x in (made.pan[None], made.ms, made.truth))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase), truth


def test_an_offset_between_pan_and_ms_is_corrected(net):
    """What MS shows elsewhere is sharpened there, with the PAN of that place."""
    of, _ = displaced((0.4, -0.3))
    ready, pair = net.prepare(of, torch.Generator().manual_seed(0)), read(of)
    assert isinstance(ready, Universal)
    assert ready.offset == pytest.approx((0.4, -0.3), abs=0.08)
    still = copy.copy(ready)
    still.offset = NOWHERE
    torch.testing.assert_close(fuse(ready, pair), fuse(still, with_pan(pair, ready.offset)))
    with torch.no_grad():
        torch.testing.assert_close(fuse(ready, pair), ready.head(ready.features(pair), pair))


def test_trained_weights_lose_little_by_an_offset():
    trained = resolve("universal.open")
    inner = (..., slice(32, -32), slice(32, -32))

    def error(by: tuple[float, float]) -> float:
        of, truth = displaced(by)
        ready, pair = trained.prepare(of, torch.Generator().manual_seed(0)), read(of)
        with torch.no_grad():
            image = ready(replace(pair, **{k: getattr(pair, k).float() for k in ("pan", "ms", "exp")}))
        # The truth lies under PAN, and the result under MS.
        return float((image - moved(truth, by))[inner].square().mean().sqrt())

    assert error((0.5, -0.5)) < 1.1 * error((0.0, 0.0))


def test_tiles_of_a_displaced_scene_are_parts_of_the_whole(net):
    of, _ = displaced((-3.5, 1.5))
    ready, pair = net.prepare(of, torch.Generator().manual_seed(0)), read(of)
    assert isinstance(ready, Universal)
    assert ready.offset != NOWHERE
    expected = fuse(ready, pair)
    for tile in plan(of.grid, ready.traits, 160):
        part = trim(fuse(ready, of.read(tile)), tile, 4)
        torch.testing.assert_close(part, expected[(..., *tile.core.inside(Window(0, 0, 0, 0)))], rtol=0, atol=1e-7)
