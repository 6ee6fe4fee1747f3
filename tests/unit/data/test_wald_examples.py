"""Random crops, degraded on the fly."""

from __future__ import annotations

from dataclasses import replace

import data_tools
import pytest
import torch
from data_tools import seeded

from panloom.data import Example, Orientation, WaldExamples, make
from panloom.errors import OptionError
from panloom.optics import physical, wald


@pytest.fixture(scope="module")
def pair():
    """MS of 72 x 80 pixels at ratio 4, at a phase with fractions."""
    return data_tools.pair_of(make(288, 320, bands=4, wedge=False, phase=(1.3, 2.1)))


def place(image: torch.Tensor, crop: torch.Tensor) -> tuple[int, int]:
    """Where a crop was cut from the image."""
    size = crop.shape[-1]
    windows = image[0, 0].unfold(0, size, 1).unfold(1, size, 1)
    (found,) = ((windows - crop[0, 0]).abs().amax((-1, -2)) < 1e-6).nonzero().tolist()
    return found[0], found[1]


def low_of(pair, form: wald.Form = "physical") -> wald.Degraded:
    assert pair.ms is not None
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    facts = {"pan_gain": pair.sensor.pan.mtf_nyquist, "phase": pair.phase, "form": form}
    return wald.degrade_pair(pair.pan, pair.ms, pair.pan_valid, pair.ms_valid, gains=gains, **facts)


def same(one: Example, other: Example) -> bool:
    images = [(e.truth, e.pair.pan, e.pair.ms, e.pair.exp, e.pair.valid) for e in (one, other)]
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(*images, strict=True))


def test_shapes_types_and_facts(pair):
    example = WaldExamples([pair], size=32, batch=3)(seeded())
    assert example.truth.shape == example.pair.exp.shape == (3, 4, 32, 32)
    assert example.pair.pan.shape == example.pair.valid.shape == (3, 1, 32, 32)
    assert example.pair.ms.shape == (3, 4, 8, 8)
    assert example.truth.dtype == example.pair.pan.dtype == example.pair.exp.dtype == torch.float32
    assert example.pair.valid.all()
    assert example.pair.phase == pair.phase
    assert example.pair.sensor == pair.sensor
    assert example.pair.ratio == 4
    assert 0 <= float(example.truth.min()) < float(example.truth.max()) <= 1


def test_the_generator_decides(pair):
    source = WaldExamples([pair], size=32, batch=2)
    rng = seeded(1)
    first, second = source(rng), source(rng)
    assert same(first, WaldExamples([pair], size=32, batch=2)(seeded(1)))
    assert not same(first, second)
    state = rng.get_state()
    again = torch.Generator()
    again.set_state(state)
    assert same(source(rng), source(again))


@pytest.mark.parametrize("form", ["physical", "toolbox"])
def test_a_crop_is_what_the_whole_image_gives_there(pair, form):
    low, rng = low_of(pair, form), seeded(2)
    source = WaldExamples([pair], size=16, batch=1, form=form, turn=False)
    truth = (low.truth / pair.full_scale).float()
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    compared = 0
    for _ in range(80):
        example = source(rng)
        row, col = place(truth, example.truth)
        assert torch.equal(example.truth, truth[..., row : row + 16, col : col + 16])
        pan = (low.pan / pair.full_scale).float()[..., row : row + 16, col : col + 16]
        torch.testing.assert_close(example.pair.pan, pan, rtol=0, atol=1e-6)
        if min(row, col, truth.shape[-2] - row - 16, truth.shape[-1] - col - 16) < 24:
            continue  # the image's border is in sight, which lies elsewhere in the part below
        # Degraded from the first row and column on with which the crop's MS pixels are some of the whole image's.
        part = low.truth[..., row % 4 :, col % 4 :] / pair.full_scale
        part = part[..., : part.shape[-2] // 4 * 4, : part.shape[-1] // 4 * 4]
        valid = torch.ones_like(part[:, :1], dtype=torch.bool)
        ms, _ = wald.degrade_truth(part, valid, gains=gains, ratio=4, phase=low.phase, form=form)
        exp = physical.interpolate(ms, 4, low.phase)
        first = row // 4, col // 4
        ms = ms[..., first[0] : first[0] + 4, first[1] : first[1] + 4]
        exp = exp[..., 4 * first[0] : 4 * first[0] + 16, 4 * first[1] : 4 * first[1] + 16]
        torch.testing.assert_close(example.pair.ms, ms.float(), rtol=0, atol=1e-5)
        torch.testing.assert_close(example.pair.exp, exp.float(), rtol=0, atol=2e-5)
        assert example.pair.phase == low.phase
        compared += 1
    assert compared


@pytest.mark.parametrize("form", ["physical", "toolbox"])
def test_turned_crops_keep_pan_truth_and_phase_together(form):
    pair = data_tools.with_truth(make(96, 120, bands=4, wedge=False))
    source = WaldExamples([pair], size=32, batch=12, form=form)
    example = source(seeded(3))
    centre = 2.0 if form == "toolbox" else 1.5
    assert example.pair.phase == (centre, centre)
    torch.testing.assert_close(example.pair.pan, example.truth.mean(1, keepdim=True), rtol=0, atol=1e-6)
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    ms, _ = wald.degrade_truth(
        example.truth, example.pair.valid, gains=gains, ratio=4, phase=example.pair.phase, form=form
    )
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(example.pair.ms[inner], ms[inner], rtol=0, atol=2e-3)
    wrong = physical.degrade(example.truth, gains, 4, (centre - 0.5, centre))
    assert (example.pair.ms[inner] - wrong[inner]).abs().mean() > 4 * (example.pair.ms[inner] - ms[inner]).abs().mean()


def test_all_eight_orientations_come_up():
    pair = data_tools.with_truth(make(32, 32, bands=4, wedge=False))
    found = WaldExamples([pair], size=32, batch=64)(seeded(4)).truth
    assert pair.truth is not None
    whole = (pair.truth[0] / pair.full_scale).float()
    expected = [Orientation(turns, mirror).image(whole) for turns in range(4) for mirror in (False, True)]
    seen = {k for crop in found for k, image in enumerate(expected) if torch.equal(crop, image)}
    assert seen == set(range(8))
    assert all(any(torch.equal(crop, image) for image in expected) for crop in found)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_the_phase_of_a_turned_image(turns, mirror):
    phase, turned = (0.3, 2.2), Orientation(turns, mirror)
    x = torch.randn(1, 2, 40, 56, generator=seeded(), dtype=torch.float64)
    low = physical.degrade(x, [0.3], 4, phase)
    again = physical.degrade(turned.image(x), [0.3], 4, turned.phase(phase, 4))
    torch.testing.assert_close(turned.image(low), again, rtol=0, atol=1e-6)


def test_no_data_is_kept_out(pair):
    scene = make(288, 320, bands=4, wedge=True)
    source = WaldExamples([data_tools.pair_of(scene)], size=32, batch=8)
    examples = [source(seeded(k)) for k in range(4)]
    shares = torch.cat([e.pair.valid.flatten(1).double().mean(1) for e in examples])
    assert shares.min() > 0.6
    assert shares.min() < 1
    for example in examples:
        assert example.truth.isfinite().all()
        assert example.pair.exp.isfinite().all()
        # The continuation is smooth: never the 0 that stands in the file.
        assert example.pair.ms.min() > 0
        assert example.pair.pan.min() > 0


def test_valid_pixels_do_not_know_what_stands_where_nothing_is_valid():
    pair = data_tools.pair_of(make(288, 320, bands=4, wedge=True))
    assert pair.ms is not None
    clean = [WaldExamples([pair], size=32, batch=4, turn=False)(seeded(k)) for k in range(3)]
    hole = ~pair.ms_valid.expand_as(pair.ms)
    other = replace(pair, ms=torch.where(hole, pair.ms * 1.5, pair.ms))
    spoilt = [WaldExamples([other], size=32, batch=4, turn=False)(seeded(k)) for k in range(3)]
    for one, two in zip(clean, spoilt, strict=True):
        valid = one.pair.valid.expand_as(one.truth)
        assert torch.equal(one.truth[valid], two.truth[valid])
        assert (one.pair.ms - two.pair.ms).abs().max() < 2e-3


def test_a_constant_scene_stays_constant(pair):
    flat = replace(pair, pan=torch.full_like(pair.pan, 800.0), ms=torch.full_like(pair.ms, 600.0))
    example = WaldExamples([flat], size=32, batch=2)(seeded())
    for image, value in ((example.pair.pan, 800), (example.pair.exp, 600), (example.pair.ms, 600)):
        torch.testing.assert_close(image, torch.full_like(image, value / 2047), rtol=1e-6, atol=0)


def test_sizes_are_whole_ms_pixels_and_fit_the_smallest_image(pair):
    assert WaldExamples([pair], size=31)(seeded()).truth.shape[-2:] == (28, 28)
    assert WaldExamples([pair], size=500)(seeded()).truth.shape[-2:] == (72, 72)
    third = data_tools.pair_of(make(150, 180, bands=4, wedge=False, recording=data_tools.ratio(3)))
    example = WaldExamples([third], size=32)(seeded())
    assert example.truth.shape[-2:] == (30, 30)
    assert example.pair.ms.shape[-2:] == (10, 10)


def test_sensors_do_not_mix_in_a_batch(pair):
    other = data_tools.pair_of(make(128, 128, sensor="landsat-8", wedge=False))
    source = WaldExamples([pair, other, pair], size=16, batch=2)
    rng = seeded(5)
    names = [example.pair.sensor.name for example in (source(rng) for _ in range(60)) if example.pair.sensor]
    pixels = {"worldview-3": 2 * 57 * 65, "landsat-8": 49 * 49}
    assert set(names) == set(pixels)
    assert names.count("landsat-8") < 30
    even = WaldExamples([pair, other, pair], size=16, batch=2, even=True)
    names = [example.pair.sensor.name for example in (even(rng) for _ in range(60)) if example.pair.sensor]
    assert 18 <= names.count("landsat-8") <= 42


def test_bands_that_pan_does_not_see_are_left_out():
    scene = make(128, 128, sensor="landsat-8", bands=7, wedge=False)
    example = WaldExamples([data_tools.pair_of(scene)], size=16)(seeded())
    assert example.pair.sensor is not None
    assert [band.name for band in example.pair.sensor.bands] == ["coastal", "blue", "green", "red", "nir"]
    assert example.truth.shape[1] == 5


def test_what_cannot_be_used_is_told(pair):
    with pytest.raises(OptionError, match="no crop can be cut from these 0 pairs"):
        WaldExamples([])
    tiny = data_tools.pair_of(make(28, 28, bands=4, wedge=False))
    with pytest.raises(OptionError, match="these 1 pairs"):
        WaldExamples([tiny])
    with pytest.raises(OptionError, match="less than 75% of every crop"):
        WaldExamples([replace(pair, ms_valid=torch.zeros_like(pair.ms_valid))])
    with pytest.raises(OptionError, match="size 3"):
        WaldExamples([pair], size=3)
    with pytest.raises(OptionError, match="batch 0"):
        WaldExamples([pair], batch=0)


def test_noise_is_added_to_ms_and_to_exp_with_it(pair):
    plain, noisy = (WaldExamples([pair], size=32, batch=8, noise=n) for n in (0.0, 0.1))
    one, two = plain(seeded(3)), noisy(seeded(3))
    assert torch.equal(one.truth, two.truth)
    assert torch.equal(one.pair.pan, two.pair.pan)
    added = (two.pair.ms - one.pair.ms).std((2, 3)) / one.pair.ms.std((2, 3))
    assert 0 < float(added.max()) < 0.2
    assert float(added.min()) < 0.5 * float(added.max())  # little is as frequent as much is rare
    assert not torch.equal(one.pair.exp, two.pair.exp)


def test_noise_is_no_less_than_none(pair):
    with pytest.raises(OptionError, match="noise -1 0 or more"):
        WaldExamples([pair], noise=-1)
