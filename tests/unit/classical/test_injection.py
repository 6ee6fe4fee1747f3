"""The frame of component substitutions."""

from __future__ import annotations

import pytest
import torch

from panloom.classical._injection import Substitution, injection_gains
from panloom.classical.pca import Pca
from panloom.optics.moments import Moments
from panloom.pair import Reduced

F64 = torch.float64


def images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """PAN, and three bands of which it is made, unlike in level and contrast."""
    rng = torch.Generator().manual_seed(seed)
    bands = torch.rand(1, 3, 12, 14, generator=rng, dtype=F64) * torch.tensor([1.0, 2.0, 0.5], dtype=F64).view(3, 1, 1)
    return bands.mean(1, keepdim=True) * 0.7 + 0.1, bands + torch.tensor([0.3, 0.1, 0.9], dtype=F64).view(3, 1, 1)


def moments(pan: torch.Tensor, bands: torch.Tensor) -> Moments:
    return Moments.of(Reduced(pan, bands, torch.ones_like(pan, dtype=torch.bool)))


def test_what_is_put_in_has_mean_and_deviation_of_what_goes():
    pan, bands = images()
    m = moments(pan, bands)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    s = Substitution.equalised(m, weights, torch.ones(3, dtype=F64))
    component = torch.einsum("c,bchw->bhw", weights, bands)
    put = pan * s.scale + s.constant
    torch.testing.assert_close(put.mean(), component.mean())
    torch.testing.assert_close(put.std(), component.std())
    torch.testing.assert_close(s(pan, bands), bands + (put - component[:, None]))


def test_a_constant_pan_is_not_put_in():
    pan, bands = images()
    pan = torch.full_like(pan, 0.4)
    s = Substitution.equalised(moments(pan, bands), torch.ones(3, dtype=F64) / 3, torch.ones(3, dtype=F64))
    assert torch.equal(s(pan, bands), bands)


def test_gains_are_regressions_on_the_intensity():
    _, bands = images()
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    covariance = torch.cov(bands[0].flatten(1))
    intensity = torch.einsum("c,chw->hw", weights, bands[0]).flatten()
    slopes = [float(torch.cov(torch.stack([intensity, band.flatten()]))[0, 1] / intensity.var()) for band in bands[0]]
    assert injection_gains(covariance, weights).tolist() == pytest.approx(slopes, rel=1e-12)
    assert not injection_gains(torch.zeros_like(covariance), weights).any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_first_component_goes_along_with_pan(sign: float):
    """Where the strongest band goes against PAN the product turns the component round; the toolbox does not."""
    pan, bands = images()
    strong = (pan - pan.mean()) * 5 * sign + 3
    bands = torch.cat([bands[:, :2] * 0.1, strong], 1)
    m = moments(pan, bands)
    product, published = Pca().fit(m), Pca(form="toolbox").fit(m)
    assert product.weights[2] * sign > 0.9
    assert published.weights[2] > 0.9
    detail = torch.einsum("c,c->", torch.tensor(product.gains, dtype=F64), m.covariance[1:, 0]) * product.scale
    assert detail > 0
