"""Every index of the registry keeps the promises that `Metric` makes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from panloom import metrics
from panloom.errors import OptionError
from tests.conftest import GOLDEN

NAMES = metrics.names()
REFERENCE = [name for name in NAMES if metrics.get(name).needs == "reference"]


def image(seed: int, bands: int = 4, height: int = 37, width: int = 29) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 50 + 900 * torch.rand((1, bands, height, width), generator=rng, dtype=torch.float64)


def worse(reference: torch.Tensor, amount: float) -> torch.Tensor:
    """A result with errors of every kind: noise, a colour cast and a brightness error."""
    bands = reference.shape[1]
    gains = (1 + amount * torch.linspace(0.2, 1.0, bands, dtype=torch.float64)).view(1, bands, 1, 1)
    return reference * gains + amount * (image(7, *reference.shape[1:]) - 500)


def test_the_registry_is_complete():
    assert {"ergas", "sam", "bias"} <= set(NAMES)
    assert [metrics.get(name).name for name in NAMES] == NAMES
    assert len({metrics.get(name).label for name in NAMES}) == len(NAMES)
    with pytest.raises(OptionError, match="did you mean 'ergas'"):
        metrics.get("ergass")


@pytest.mark.parametrize("name", REFERENCE)
def test_a_perfect_image_has_the_perfect_value(name: str):
    metric = metrics.get(name)
    assert metric(image(1), image(1)) == pytest.approx(metric.perfect, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_worse_image_has_a_worse_value(name: str):
    metric = metrics.get(name)
    values = [metric(worse(image(1), amount), image(1)) for amount in (0.0, 0.05, 0.1, 0.3)]
    assert values == sorted(values, reverse=metric.better == "high")
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", REFERENCE)
def test_tallies_of_tiles_add_up_to_the_whole(name: str):
    metric, reference = metrics.get(name), image(1)
    fused, valid = worse(reference, 0.2), image(3, 1) > 200
    tiles = [
        metric.tally(fused[:, :, rows, cols], reference[:, :, rows, cols], valid[:, :, rows, cols])
        for rows in (slice(0, 16), slice(16, None))
        for cols in (slice(0, 5), slice(5, 20), slice(20, None))
    ]
    whole = metric.tally(fused, reference, valid)
    assert metric.value(metrics.added(tiles)) == pytest.approx(metric.value(whole), rel=1e-12)
    assert all(total.dtype == torch.float64 for total in whole.values())


@pytest.mark.parametrize("name", REFERENCE)
def test_what_is_not_valid_does_not_count(name: str):
    metric, reference = metrics.get(name), image(1)
    fused, valid = worse(reference, 0.2), image(3, 1) > 300
    expected = metric(
        fused[valid.expand_as(fused)].view(1, 4, 1, -1), reference[valid.expand_as(fused)].view(1, 4, 1, -1)
    )
    for rubbish in (0.0, -9999.0, float("nan"), float("inf")):
        spoilt = [torch.where(valid, picture, rubbish) for picture in (fused, reference)]
        assert metric(*spoilt, valid) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_zeros_give_a_number_or_an_error_and_never_nan(name: str):
    metric, reference = metrics.get(name), image(1)
    fused = worse(reference, 0.2)
    reference[:, :, :9], fused[:, :, 4:12] = 0, 0
    assert np.isfinite(metric(fused, reference))
    dark_band, fused_band = image(1), image(1)
    dark_band[:, 2], fused_band[:, 2] = 0, 0
    assert metric(fused_band, dark_band) == pytest.approx(metric.perfect, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_nothing_to_compare_is_an_error(name: str):
    metric = metrics.get(name)
    with pytest.raises(OptionError, match="no pixel"):
        metric(image(1), image(2), torch.zeros((1, 1, 37, 29), dtype=torch.bool))


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf")])
def test_rubbish_that_counts_is_an_error(name: str, rubbish: float):
    metric, fused = metrics.get(name), image(1)
    fused[0, 1, 3, 4] = rubbish
    with pytest.raises(OptionError, match="NaN or infinite"):
        metric(fused, image(2))


@pytest.mark.parametrize("name", [name for name in REFERENCE if metrics.get(name).scale_free])
def test_the_unit_does_not_matter_where_promised(name: str):
    metric, reference = metrics.get(name), image(1)
    fused = worse(reference, 0.1)
    expected = metric(fused, reference)
    for scale in (1 / 65535, 1 / 2047, 16.0):
        assert metric(scale * fused, scale * reference) == pytest.approx(expected, rel=1e-10)
        assert metric((scale * fused).float(), (scale * reference).float()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", REFERENCE)
def test_integers_are_as_good_as_floats(name: str):
    metric, reference = metrics.get(name), image(1).round()
    fused = worse(reference, 0.1).round()
    integers = metric(fused.to(torch.uint16), reference.to(torch.uint16))
    assert integers == metric(fused, reference)


@pytest.mark.parametrize("name", REFERENCE)
def test_images_of_different_size_are_an_error(name: str):
    with pytest.raises((OptionError, TypeError)):  # jaxtyping is asked first here
        metrics.get(name)(image(1), image(1)[:, :3])


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


GOLDEN_KEYS = {"sam": "SAM", "ergas": "ERGAS"}
CUTS = {"RR_nocut": slice(None), "RR_cut21": slice(20, -21)}


@pytest.mark.parametrize("pair", ["synth4_r4", "synth8_r4", "synth6_r2"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", GOLDEN_KEYS)
def test_golden_values(pair: str, cut: str, name: str):
    facts = json.loads((GOLDEN / f"{pair}.json").read_text())
    settings = {key: facts[key] for key in metrics.get(name).settings}
    with np.load(GOLDEN / f"{pair}.npz") as arrays:
        truth = _tensor(arrays["fr_ms"], CUTS[cut])
        fused = {
            key.removeprefix("rr_fused_"): _tensor(arrays[key], CUTS[cut])
            for key in arrays.files
            if key.startswith("rr_fused_")
        }
    assert len(fused) >= 14
    for method, result in fused.items():
        expected = facts["rr"]["index"][method][cut][GOLDEN_KEYS[name]]
        # the stored results are rounded to float32, which moves an index of 7 x 7 pixels by up to 5.4e-8
        assert metrics.get(name)(result, truth, **settings) == pytest.approx(expected, rel=1e-7), method


def _tensor(array: np.ndarray, cut: slice) -> torch.Tensor:
    return torch.from_numpy(array[cut, cut].astype(np.float64).transpose(2, 0, 1)[None].copy())
