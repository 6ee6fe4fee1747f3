"""FSDS and its variants: laws, then values that follow from closed forms and seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from panloom import metrics
from panloom.data import procedural
from panloom.errors import OptionError, PanloomWarning
from panloom.metrics import FSDS, FSDS_POWER, FSDS_WINDOWED, SPECTRUM_INDICES, SpectrumIndex

EVERY = pytest.mark.parametrize("index", SPECTRUM_INDICES, ids=lambda index: index.name)

#: Two images that agree to rounding, in dB; the exact value depends on the machine.
ROUNDING = 200


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def image(seed: int, bands: int = 3, height: int = 30, width: int = 22) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand((bands, height, width), generator=rng, dtype=torch.float64)


def worse(reference: Tensor, amount: float = 0.2) -> Tensor:
    return reference + amount * (image(9, *reference.shape) - 0.5)


def drawn(side: int) -> Tensor:
    """The truth of a drawn scene, in full scales."""
    scene = procedural.make(side, side, bands=4, wedge=False, seed=3)
    return torch.from_numpy(scene.truth).double() / (scene.sensor.full_scale or 1.0)


def spot(reference: Tensor, row: int, col: int) -> Tensor:
    """The image with one pixel too bright."""
    spoilt = reference.clone()
    spoilt[:, row, col] += 0.5
    return spoilt


# Laws.


@EVERY
@pytest.mark.parametrize("bands", [1, 2, 3, 13])
def test_the_same_image_is_infinitely_good(index: SpectrumIndex, bands: int):
    found = index(image(1, bands), image(1, bands))
    assert found.joint == math.inf
    assert found.bands == (math.inf,) * bands
    assert found.median == found.minimum == math.inf


@EVERY
def test_a_worse_image_has_a_worse_value(index: SpectrumIndex):
    found = [index(worse(image(1), amount), image(1)) for amount in (0.01, 0.1, 0.5)]
    for values in ([f.joint for f in found], [f.median for f in found], [f.minimum for f in found]):
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == len(values)


@EVERY
def test_gain_and_offset_do_not_matter(index: SpectrumIndex):
    predicted, reference = worse(image(1)), image(1)
    expected = index(predicted, reference)
    for changed in (index(0.5 * predicted + 0.2, reference), index(predicted, 2047 * reference - 300)):
        assert changed.joint == pytest.approx(expected.joint, abs=1e-9)
        assert changed.bands == pytest.approx(expected.bands, abs=1e-9)


@EVERY
def test_gains_of_single_bands_matter_jointly_and_not_band_by_band(index: SpectrumIndex):
    predicted, reference = worse(image(1)), image(1)
    expected = index(predicted, reference)
    changed = index(predicted * torch.tensor([1.0, 1.5, 0.8]).double().view(3, 1, 1), reference)
    assert changed.bands == pytest.approx(expected.bands, abs=1e-9)
    assert changed.joint < expected.joint - 1


@pytest.mark.parametrize("index", [FSDS, FSDS_WINDOWED], ids=lambda index: index.name)
def test_the_negative_has_twice_the_reference_for_its_error(index: SpectrumIndex):
    assert index(-image(1), image(1)).joint == pytest.approx(-20 * math.log10(2), abs=1e-9)


def test_power_does_not_know_the_negative():
    assert FSDS_POWER(-image(1), image(1)).joint > ROUNDING


@EVERY
def test_values_of_bands_are_those_of_images_of_one_band(index: SpectrumIndex):
    predicted, reference = worse(image(1)), image(1)
    found = index(predicted, reference)
    alone = [index(predicted[b : b + 1], reference[b : b + 1]) for b in range(3)]
    assert found.bands == tuple(one.joint for one in alone)
    assert alone[0].bands == (alone[0].joint,)
    assert found.minimum == min(found.bands)
    assert found.median == sorted(found.bands)[1]


@EVERY
def test_the_denominator_is_exchanged_with_the_images(index: SpectrumIndex):
    predicted, reference = worse(image(1)), image(1)
    other = index(predicted, reference, denominator="pred")
    assert other == index(reference, predicted)
    assert abs(other.joint - index(predicted, reference).joint) > 1e-4


FLIPS = {
    "rows": lambda x: x.flip(1),
    "columns": lambda x: x.flip(2),
    "transposed": lambda x: x.transpose(1, 2),
    "rolled": lambda x: x.roll((7, 5), (1, 2)),
}


@pytest.mark.parametrize("name", FLIPS)
@pytest.mark.parametrize("size", [(30, 22), (29, 23)])
def test_mirrors_and_shifts_of_both_images_change_the_published_index_only(name: str, size: tuple[int, int]):
    predicted, reference = worse(image(1, 3, *size)), image(1, 3, *size)
    moved = FLIPS[name](predicted), FLIPS[name](reference)
    assert abs(FSDS(*moved).joint - FSDS(predicted, reference).joint) > 0.01
    power, expected = FSDS_POWER(*moved), FSDS_POWER(predicted, reference)
    assert power.joint == pytest.approx(expected.joint, abs=1e-9)
    assert power.bands == pytest.approx(expected.bands, abs=1e-9)


def test_power_does_not_see_where_things_are():
    reference = drawn(64)
    for moved in (reference.roll((3, 5), (1, 2)), reference.flip(1)):
        assert FSDS_POWER(moved, reference).joint > ROUNDING
        assert FSDS(moved, reference).joint < 20
        assert FSDS_WINDOWED(moved, reference).median < 30


def test_a_pixel_in_the_corner_rules_the_published_index_and_not_the_variants():
    reference = drawn(96)[:1]
    places = {"corner": (0, 0), "edge": (0, 48), "middle": (48, 48), "off": (20, 60), "last": (95, 95)}
    loss = {i.name: [i(spot(reference, *p), reference).joint for p in places.values()] for i in SPECTRUM_INDICES}
    spread = {name: max(values) - min(values) for name, values in loss.items()}
    assert loss["fsds"].index(min(loss["fsds"])) == 0
    assert spread["fsds"] > 50
    assert spread["fsds-windowed"] < 20
    assert spread["fsds-power"] < 20
    assert min(loss["fsds-windowed"]) < min(loss["fsds-windowed"][0], loss["fsds-windowed"][-1])


@EVERY
@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 2, 1), (1, 5, 4), (3, 4, 7), (200, 3, 3)])
def test_any_size_and_number_of_bands(index: SpectrumIndex, shape: tuple[int, int, int]):
    reference = image(1, *shape)
    found = index(worse(reference), reference)
    assert len(found.bands) == shape[0]
    assert not any(map(math.isnan, (found.joint, *found.bands)))


def test_an_odd_height_is_one_row_more_at_the_mean():
    predicted, reference = worse(image(1, 1, 15)), image(1, 1, 15)
    padded = [torch.cat([x, x.mean().expand(1, 1, x.shape[2])], 1) for x in (predicted, reference)]
    # The mean of the longer image is the same; its deviation is another factor on each image, and that does not matter.
    assert FSDS(predicted, reference).joint == pytest.approx(FSDS(*padded).joint, abs=1e-9)


@EVERY
def test_all_types_are_computed_in_float64(index: SpectrumIndex):
    reference = (2047 * image(1)).round()
    predicted = (2047 * worse(image(1), 0.01)).round()
    expected = index(predicted, reference)
    for dtype in (torch.float32, torch.int16, torch.int32):
        assert index(predicted.to(dtype), reference.to(dtype)) == expected


@EVERY
def test_images_are_left_as_they_are(index: SpectrumIndex):
    images = [worse(image(1)), image(1)]
    before = [x.clone() for x in images]
    index(*images)
    assert all(torch.equal(*both) for both in zip(images, before, strict=True))


def test_names_and_labels_tell_the_variants_apart():
    assert [index.name for index in SPECTRUM_INDICES] == ["fsds", "fsds-windowed", "fsds-power"]
    assert [index.title() for index in SPECTRUM_INDICES] == ["FSDS[ref]", "FSDS[windowed,ref]", "FSDS[power,ref]"]
    assert FSDS.title("pred") == "FSDS[pred]"
    assert not {index.name for index in SPECTRUM_INDICES} & set(metrics.names())


# What the definition does not cover.


@EVERY
@pytest.mark.parametrize("level", [0.0, 0.1, 2047.0])
@pytest.mark.parametrize("which", [0, 1])
def test_a_constant_image_has_no_value(index: SpectrumIndex, level: float, which: int):
    images = [image(1), image(2)]
    images[which] = torch.full_like(images[which], level)
    with pytest.raises(
        OptionError, match=f"not defined: the {('predicted', 'reference')[which]} image is {level:g} everywhere"
    ):
        index(*images)


@EVERY
@pytest.mark.parametrize("which", [0, 1])
def test_a_constant_band_has_no_value_and_says_so(index: SpectrumIndex, which: int):
    images = [worse(image(1)), image(1)]
    images[which][1] = 0.1
    with pytest.warns(PanloomWarning, match=r"not defined for band 2: constant"):
        found = index(*images)
    assert [math.isnan(value) for value in found.bands] == [False, True, False]
    assert math.isfinite(found.joint)
    assert found.minimum == min(found.bands[0], found.bands[2])
    assert found.median == pytest.approx((found.bands[0] + found.bands[2]) / 2)


def test_no_band_with_a_value_has_no_median():
    flat = torch.tensor([1.0, 2.0, 4.0]).double().view(3, 1, 1).expand(3, 8, 8)
    with pytest.warns(PanloomWarning, match="band 1, 2, 3"):
        found = FSDS(flat, image(1, 3, 8, 8))
    assert math.isfinite(found.joint)
    assert math.isnan(found.median)
    assert math.isnan(found.minimum)


@EVERY
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", [0, 1])
def test_gaps_are_an_error(index: SpectrumIndex, rubbish: float, which: int):
    images = [image(1), image(2)]
    images[which][1, 3, 4] = rubbish
    with pytest.raises(OptionError, match=r"NaN or infinite pixels.*crop"):
        index(*images)


@EVERY
def test_images_of_different_shapes_are_an_error(index: SpectrumIndex):
    call = getattr(SpectrumIndex.__call__, "__wrapped__", SpectrumIndex.__call__)  # without jaxtyping
    for other in (image(2, 2), image(2, 3, 29), image(2)[None], image(2)[0], image(2)[:, :0]):
        with pytest.raises(OptionError, match=r"reference (image has shape )?\("):
            call(index, image(1), other)


def test_the_messages_about_shapes_name_them():
    call = getattr(SpectrumIndex.__call__, "__wrapped__", SpectrumIndex.__call__)  # without jaxtyping
    with pytest.raises(OptionError, match=r"\(2, 30, 22\) and the reference \(3, 30, 22\): crop"):
        call(FSDS, image(1, 2), image(1))
    with pytest.raises(OptionError, match=r"\(1, 3, 30, 22\): FSDS is of one image"):
        call(FSDS, image(1)[None], image(1))


def test_an_unknown_denominator_is_an_error():
    call = getattr(SpectrumIndex.__call__, "__wrapped__", SpectrumIndex.__call__)  # without jaxtyping
    with pytest.raises(OptionError, match=r"unknown denominator 'reference'; did you mean 'ref'"):
        call(FSDS, image(1), image(2), denominator="reference")


# Values. The images are made here; the numbers are of the published program, in float64 where it could, or float32.


def sines() -> tuple[Tensor, Tensor]:
    y, x = np.mgrid[:32, :48]
    one, two = np.sin(2 * np.pi * (3 * x / 48 + 5 * y / 32)), np.cos(2 * np.pi * (7 * x / 48 - 2 * y / 32))
    three = np.sin(2 * np.pi * 11 * x / 48) * np.cos(2 * np.pi * 9 * y / 32)
    predicted = [0.9 * one + 0.1 * np.cos(2 * np.pi * 10 * x / 48), 0.8 * two + 0.05, 0.5 * three + 0.2 * one]
    return torch.from_numpy(np.stack(predicted)), torch.from_numpy(np.stack([one, two, three]))


def delta(row: int, col: int) -> Tensor:
    point = torch.zeros((1, 16, 16), dtype=torch.float64)
    point[0, row, col] = 1
    return point


def tiny() -> tuple[Tensor, Tensor]:
    t = torch.arange(144, dtype=torch.float64).view(3, 6, 8)
    saw = 0.1 * (t % 5)
    return (0.37 * t + 0.05).sin() + saw, (0.37 * t).sin() + saw


def ramp(*shape: int) -> Tensor:
    return torch.arange(math.prod(shape), dtype=torch.float64).view(shape)


@pytest.mark.parametrize(
    ("images", "expected", "swapped"),
    [
        (sines(), 14.1371952570, 14.5559111315),
        (tiny(), 25.895402121222, 25.896041609521),
        ((delta(8, 9), delta(8, 8)), 2.3842038379, None),
        ((delta(0, 1), delta(0, 0)), 0.0466365265, None),
        ((ramp(1, 4, 6) ** 1.5, ramp(1, 4, 6)), 16.1679066902, None),
        ((ramp(1, 4, 4) ** 2, ramp(1, 4, 4)), 11.804623632803, None),
    ],
    ids=["sines", "tiny", "delta in the middle", "delta in the corner", "ramp 1.5", "ramp 2"],
)
def test_closed_forms(images: tuple[Tensor, Tensor], expected: float, swapped: float | None):
    assert FSDS(*images).joint == pytest.approx(expected, abs=1e-9)
    if swapped is not None:
        assert FSDS(*images, denominator="pred").joint == pytest.approx(swapped, abs=1e-9)


def test_an_odd_height_as_published():
    assert FSDS(ramp(1, 5, 4) ** 2, ramp(1, 5, 4)).joint == pytest.approx(12.210270375, abs=1e-5)  # in float32


def test_noise_of_a_seed():
    rng = np.random.default_rng(42)
    reference = rng.random((3, 17, 20)).astype(np.float32)
    predicted = (reference + 0.05 * rng.standard_normal((3, 17, 20))).astype(np.float32)
    found = FSDS(torch.from_numpy(predicted), torch.from_numpy(reference))
    assert found.joint == pytest.approx(17.119664, abs=1e-6)


def test_discs_of_a_single_wave_by_hand():
    """Waves at rings 5 and 2: the sums differ at rings 2, 3 and 4, and those of the reference are 1 from ring 2 on."""
    x = 2 * math.pi * torch.arange(16, dtype=torch.float64).expand(1, 16, 16) / 16
    predicted, reference = (5 * x).cos(), (2 * x).cos()
    radii = round(math.hypot(8, 8)) + 1
    assert FSDS_POWER(predicted, reference).joint == pytest.approx(-10 * math.log10(3 / (radii - 2)), abs=1e-9)
    assert FSDS_POWER(predicted, reference, denominator="pred").joint == pytest.approx(
        -10 * math.log10(3 / (radii - 5)), abs=1e-9
    )
