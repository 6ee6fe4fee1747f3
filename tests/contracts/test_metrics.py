"""Every index of the registry keeps the promises that `Metric` makes."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from panloom import metrics
from panloom.errors import OptionError
from panloom.metrics import Metric

NAMES = metrics.names()
REFERENCE = [name for name in NAMES if metrics.get(name).needs == "reference"]
#: Indices that look at single pixels, without windows and blocks.
PIXELWISE = [name for name in REFERENCE if metrics.get(name).block == 1 and metrics.get(name).halo == 0]
SETTINGS = {"ratio": 4, "full_scale": 2047.0}
SIZE = (101, 83)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def image(seed: int, bands: int = 4, height: int = SIZE[0], width: int = SIZE[1]) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 50 + 900 * torch.rand((1, bands, height, width), generator=rng, dtype=torch.float64)


def worse(reference: torch.Tensor, amount: float) -> torch.Tensor:
    """A result with errors of every kind: noise, a colour cast and a brightness error."""
    bands = reference.shape[1]
    gains = (1 + amount * torch.linspace(0.2, 1.0, bands, dtype=torch.float64)).view(1, bands, 1, 1)
    return reference * gains + amount * (image(7, *reference.shape[1:]) - 500)


def holed(height: int = SIZE[0], width: int = SIZE[1]) -> torch.Tensor:
    """A mask with a wedge of no-data at the left border, a hole, and single pixels missing."""
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    valid = 3 * cols > 40 - rows
    valid[48:62, 52:60] = False
    valid[(rows % 41 == 7) & (cols % 37 == 11)] = False
    return valid[None, None]


def settings(metric: Metric, scale: float = 1.0) -> dict[str, float]:
    """The settings that the index takes, for data multiplied by `scale`."""
    chosen = {key: SETTINGS[key] for key in metric.settings}
    return chosen | ({"full_scale": scale * chosen["full_scale"]} if "full_scale" in chosen else {})


def call(name: str, *images: torch.Tensor) -> float:
    metric = metrics.get(name)
    return metric(*images, **settings(metric))


def tally(name: str, *images: torch.Tensor, **core: tuple[slice, slice]) -> metrics.Tally:
    metric = metrics.get(name)
    return metric.tally(*images, **settings(metric), **core)


def test_the_registry_is_complete():
    assert {"bias", "ergas", "psnr", "q", "q2n", "q2n-unrounded", "rmse", "sam"} <= set(NAMES)
    assert {"scc", "scc-valid", "ssim", "ssim-full-scale", "ssim-mhif"} <= set(NAMES)
    assert [metrics.get(name).name for name in NAMES] == NAMES
    assert len({metrics.get(name).label for name in NAMES}) == len(NAMES)
    with pytest.raises(OptionError, match="did you mean 'ergas'"):
        metrics.get("ergass")


def test_titles_name_the_settings_that_belong_to_the_variant():
    titles = {name: metrics.get(name).title(**settings(metrics.get(name))) for name in REFERENCE}
    expected = {
        "bias": "Bias[%,band-mean-abs]",
        "ergas": "ERGAS[100/r]",
        "psnr": "PSNR[peak=2047,band-mean]",
        "q": "Q[sliding32]",
        "q2n": "Q2n[block32,shift32,uint16]",
        "q2n-unrounded": "Q2n[block32,shift32,unrounded]",
        "rmse": "RMSE[DN,band-mean]",
        "sam": "SAM[deg]",
        "scc": "SCC[sobel,uncentred]",
        "scc-valid": "SCC[sobel,valid]",
        "ssim": "SSIM[L=2047,valid]",
        "ssim-full-scale": "SSIM[L=2047,valid]",
        "ssim-mhif": "SSIM[mhif,L255]",
    }
    assert titles.items() >= expected.items()
    assert metrics.PSNR.title(full_scale=1.0) == "PSNR[peak=1,band-mean]"


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("bands", [1, 3, 5, 200])
def test_a_perfect_image_has_the_perfect_value(name: str, bands: int):
    picture = image(1, bands, 40, 40)
    assert call(name, picture, picture.clone()) == pytest.approx(metrics.get(name).perfect, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_worse_image_has_a_worse_value(name: str):
    values = [call(name, worse(image(1), amount), image(1)) for amount in (0.0, 0.05, 0.1, 0.3)]
    assert values == sorted(values, reverse=metrics.get(name).better == "high")
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("surplus", [0, 3])
def test_tallies_of_tiles_add_up_to_the_whole(name: str, surplus: int):
    metric, (height, width) = metrics.get(name), (165, 150)
    reference, valid = image(1, 2, height, width), holed(height, width)
    fused, halo = worse(reference, 0.2), metric.halo + surplus
    # Blocks want their multiples, and a last core of one block at least; the others take any core, also one that
    # starts next to the border or is smaller than the halo.
    rows, cols = ((0, 64, 128), (0, 96)) if metric.block > 1 else ((0, 1, 3, 64), (0, 2, 90, 149))
    assert all(start % metric.block == 0 for start in (*rows, *cols))
    tiles = []
    for (top, bottom), (left, right) in product(pairwise((*rows, height)), pairwise((*cols, width))):
        top_, left_ = max(top - halo, 0), max(left - halo, 0)
        given = (..., slice(top_, min(bottom + halo, height)), slice(left_, min(right + halo, width)))
        core = slice(top - top_, bottom - top_), slice(left - left_, right - left_)
        tiles.append(tally(name, fused[given], reference[given], valid[given], core=core))
    whole, total = tally(name, fused, reference, valid), metrics.added(tiles)
    for key, value in whole.items():
        np.testing.assert_allclose(total[key], value, rtol=1e-12, atol=0)
        assert value.dtype == torch.float64
    assert metric.value(total) == pytest.approx(metric.value(whole), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in REFERENCE if metrics.get(name).halo])
def test_a_smaller_halo_than_declared_is_too_small(name: str):
    metric, reference = metrics.get(name), image(1, 1, 96, 40)
    fused, split, cols = worse(reference, 0.2), metric.halo, slice(None)
    above = tally(name, fused, reference, core=(slice(0, split), cols))
    for missing in (0, 1):
        images = [picture[:, :, missing:] for picture in (fused, reference)]
        below = tally(name, *images, core=(slice(split - missing, None), cols))
        same = metric.value(metrics.added([above, below])) == pytest.approx(call(name, fused, reference), rel=1e-12)
        assert same == (missing == 0)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_batch_counts_as_one_image(name: str):
    metric, reference = metrics.get(name), torch.cat([image(1), image(2)])
    fused, valid = torch.cat([worse(image(1), 0.1), worse(image(2), 0.3)]), torch.cat([holed(), holed().flip(-1)])
    both = [tally(name, *(x[n : n + 1] for x in (fused, reference, valid))) for n in (0, 1)]
    assert metric.value(metrics.added(both)) == pytest.approx(call(name, fused, reference, valid), rel=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_core_outside_the_image_is_an_error(name: str):
    for rows in (slice(-3, 5), slice(0, SIZE[0] + 1), slice(5, 5), slice(0, 9, 2)):
        with pytest.raises(OptionError, match="no part of 101 pixels"):
            tally(name, image(1), image(2), core=(rows, slice(None)))


@pytest.mark.parametrize("name", REFERENCE)
def test_what_is_not_valid_does_not_count(name: str):
    reference, valid = image(1), holed()
    fused = worse(reference, 0.2)
    expected = call(name, fused, reference, valid)
    assert expected != pytest.approx(call(name, fused, reference), rel=1e-9)
    for rubbish in (0.0, -9999.0, float("nan"), float("inf")):
        spoilt = [torch.where(valid, picture, rubbish) for picture in (fused, reference)]
        assert call(name, *spoilt, valid) == expected


@pytest.mark.parametrize("name", PIXELWISE)
def test_valid_pixels_are_an_image_of_their_own(name: str):
    reference, valid = image(1), holed()
    fused = worse(reference, 0.2)
    packed = [picture[valid.expand_as(picture)].view(1, 4, 1, -1) for picture in (fused, reference)]
    assert call(name, fused, reference, valid) == pytest.approx(call(name, *packed), rel=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_images_and_masks_are_left_as_they_are(name: str):
    images = [worse(image(1), 0.2), image(1), holed()]
    before = [x.clone() for x in images]
    tally(name, *images)
    assert all(torch.equal(*both) for both in zip(images, before, strict=True))


@pytest.mark.parametrize("name", REFERENCE)
def test_zeros_give_a_number_or_an_error_and_never_nan(name: str):
    reference = image(1)
    fused = worse(reference, 0.2)
    reference[:, :, :40], fused[:, :, 35:75] = 0, 0
    assert np.isfinite(call(name, fused, reference))
    dark_band, fused_band = image(1), image(1)
    dark_band[:, 2], fused_band[:, 2] = 0, 0
    assert call(name, fused_band, dark_band) == pytest.approx(metrics.get(name).perfect, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_constant_areas_give_a_number(name: str):
    flat = torch.full((1, 3, 70, 70), 300.0, dtype=torch.float64)
    assert call(name, flat, flat.clone()) == pytest.approx(metrics.get(name).perfect, abs=1e-12)
    assert np.isfinite(call(name, flat, 1.5 * flat))
    rough = worse(flat, 0.1)
    assert np.isfinite(call(name, rough, flat))
    assert np.isfinite(call(name, flat, rough))


@pytest.mark.parametrize("name", REFERENCE)
def test_negative_values_are_values(name: str):
    reference = image(1) - 600
    assert call(name, reference, reference.clone()) == pytest.approx(metrics.get(name).perfect, abs=1e-12)
    assert np.isfinite(call(name, worse(reference, 0.1), reference))


@pytest.mark.parametrize("name", REFERENCE)
def test_nothing_to_compare_is_an_error(name: str):
    with pytest.raises(OptionError, match=r"no pixel|nothing to compare"):
        call(name, image(1), image(2), torch.zeros((1, 1, *SIZE), dtype=torch.bool))


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("spoilt", [0, 1])
def test_rubbish_that_counts_is_an_error(name: str, rubbish: float, spoilt: int):
    images = [image(1), image(2)]
    images[spoilt][0, 1, 3, 4] = rubbish
    with pytest.raises(OptionError, match=r"NaN or infinite|mean 0"):
        call(name, *images)


@pytest.mark.parametrize("name", [name for name in REFERENCE if metrics.get(name).scale_free])
def test_the_unit_does_not_matter_where_promised(name: str):
    metric, reference = metrics.get(name), image(1)
    fused = worse(reference, 0.1)
    # also where an image is flat, dark, or missing
    reference[:, :, :40, :40], fused[:, :, :20, :35] = 77, 77
    reference[:, :, 60:], fused[:, :, 64:] = 0, 0
    expected = call(name, fused, reference, holed())
    for scale in (1 / 65535, 1 / 2047, 16.0):
        value = metric(scale * fused, scale * reference, holed(), **settings(metric, scale))
        assert value == pytest.approx(expected, rel=1e-10)
        single = metric((scale * fused).float(), (scale * reference).float(), holed(), **settings(metric, scale))
        assert single == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in REFERENCE if not metrics.get(name).scale_free])
def test_the_unit_matters_where_it_is_said_to(name: str):
    fused, reference = worse(image(1), 0.1), image(1)
    assert call(name, fused / 50, reference / 50) != pytest.approx(call(name, fused, reference), rel=1e-7)


@pytest.mark.parametrize("name", REFERENCE)
def test_integers_are_as_good_as_floats(name: str):
    reference = image(1).round()
    fused = worse(reference, 0.1).round()
    integers = call(name, fused.to(torch.uint16), reference.to(torch.uint16))
    assert integers == call(name, fused, reference)


@pytest.mark.parametrize("name", REFERENCE)
def test_images_of_different_size_are_an_error(name: str):
    with pytest.raises((OptionError, TypeError)):  # jaxtyping is asked first here
        call(name, image(1), image(1)[:, :3])


@pytest.mark.parametrize("name", [name for name in REFERENCE if metrics.get(name).bands])
def test_values_of_bands_make_the_value(name: str):
    metric = metrics.get(name)
    assert metric.bands is not None
    bands = metric.bands(tally(name, worse(image(1), 0.2), image(1)))
    value = call(name, worse(image(1), 0.2), image(1))
    assert bands.shape == (4,)
    assert float(bands.min()) <= value <= float(bands.max())
    if name != "ergas":  # a quadratic mean
        assert float(bands.abs().mean()) == pytest.approx(value, rel=1e-12)


def test_tallies_of_two_indices_do_not_add():
    tallies = [metrics.get(name).tally(image(1), image(2)) for name in ("sam", "ergas")]
    with pytest.raises(OptionError, match="two indices"):
        metrics.added(tallies)
    with pytest.raises(OptionError, match="no tally"):
        metrics.added([])


def test_ergas_is_relative_to_the_reference_and_to_the_ratio():
    reference = image(1)
    fused = worse(reference, 0.2)
    assert metrics.ERGAS(fused, reference) != pytest.approx(metrics.ERGAS(reference, fused), rel=1e-3)
    assert metrics.ERGAS(fused, reference, ratio=8) == pytest.approx(metrics.ERGAS(fused, reference) / 2)
    assert metrics.ERGAS(1.01 * reference.mean((2, 3), keepdim=True), reference.mean((2, 3), keepdim=True)) == (
        pytest.approx(0.25)
    )


def test_sam_of_known_angles():
    fused = torch.tensor([[1.0, 0.0, 1.0, 5.0]], dtype=torch.float64).T.view(1, 1, 4, 1).expand(1, 2, 4, 1).clone()
    fused[0, :, 0, 0] = torch.tensor([3.0, 0.0])
    reference = torch.tensor([[0.0, 7.0], [4.0, 4.0], [2.0, 2.0], [0.0, 0.0]], dtype=torch.float64).T.view(1, 2, 4, 1)
    # 90 degrees, excluded (fused is zero), 0 degrees, excluded (reference is zero)
    assert metrics.SAM(fused, reference) == pytest.approx(45.0)


def test_bias_per_band_has_a_sign():
    reference = image(1)
    fused = reference * torch.tensor([1.02, 0.97, 1.0, 1.0], dtype=torch.float64).view(1, 4, 1, 1)
    assert metrics.BIAS.bands is not None
    bands = metrics.BIAS.bands(metrics.BIAS.tally(fused, reference))
    np.testing.assert_allclose(bands, [2, -3, 0, 0], atol=1e-10)
