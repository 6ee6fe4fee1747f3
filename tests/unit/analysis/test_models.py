"""Every architecture of the registry keeps the promises of `Architecture`; laws of the single ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from panloom.analysis import models
from panloom.analysis.models import Architecture
from panloom.analysis.models.carn_m import CarnM
from panloom.analysis.models.imdn import Imdn
from panloom.analysis.models.rfdn import Rfdn
from panloom.errors import MethodError

#: Small ones, at scales and numbers of channels that are not the usual ones.
SMALL = {
    "carn-m": {"scale": 3, "features": 8, "groups": 2, "channels": 2, "held": (2, 3)},
    "imdn": {"scale": 2, "features": 8, "blocks": 3, "channels": 4},
    "rfdn": {"scale": 3, "features": 8, "kept": 3, "attended": 2, "channels": 1},
}
EVERY = pytest.mark.parametrize("name", models.names())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(name: str, seed: int = 0, **changed: int) -> Architecture:
    """With random weights, in double precision."""
    torch.manual_seed(seed)
    return models.get(name)(**{**SMALL[name], **changed}).double().eval().requires_grad_(False)


def noise(net: Architecture, rows: int, columns: int, batch: int = 1, seed: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(batch, net.channels, rows, columns, generator=rng, dtype=torch.float64)


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(values.shape) for key, values in net.state_dict().items()}


def test_the_registry_finds_what_stands_in_the_folder():
    assert models.names() == sorted(SMALL)
    with pytest.raises(MethodError, match=r"unknown architecture 'carn'; .* known: carn-m, imdn, rfdn"):
        models.get("carn")


@EVERY
def test_the_output_is_as_many_times_larger_as_the_scale_says(name):
    net = small(name)
    for rows, columns in [(net.smallest, net.smallest + 1), (net.smallest + 8, net.smallest + 3), (31, 16)]:
        expected = (2, net.channels, net.scale * rows, net.scale * columns)
        assert net(noise(net, rows, columns, batch=2)).shape == expected


@EVERY
def test_the_smallest_image_is_the_smallest(name):
    net = small(name)
    net(noise(net, net.smallest, net.smallest))
    if net.smallest > 1:
        with pytest.raises(RuntimeError):
            net(noise(net, net.smallest - 1, 40))


@EVERY
def test_the_images_of_a_batch_do_not_see_each_other(name):
    net = small(name)
    image = noise(net, 17, 18, batch=3)
    whole = net(image)
    for number in range(3):
        torch.testing.assert_close(whole[number : number + 1], net(image[number : number + 1]), rtol=0, atol=1e-12)


@EVERY
def test_the_shapes_tell_the_options(name):
    net = small(name)
    found = shapes(net)
    assert net.scale in type(net).scales(found)
    assert all(len(found[key]) == 4 for key in net.marks)
    assert type(net).options(found, net.scale) == SMALL[name]
    for usual in ({}, {"scale": 3}):
        grown = models.get(name)(**{"scale": 4, **usual})
        again = type(grown)(**type(grown).options(shapes(grown), grown.scale))
        assert (shapes(again), again.scale, again.channels) == (shapes(grown), grown.scale, 3)


@EVERY
def test_the_derivative_is_that_of_the_function(name):
    net = small(name)
    image, step = noise(net, 16, 17), noise(net, 16, 17, seed=2) - 0.5
    _, tangent = torch.func.jvp(net, (image,), (step,))
    h = 1e-7
    measured = (net(image + h * step) - net(image - h * step)) / (2 * h)
    assert float(tangent.abs().max()) > 1e-3
    torch.testing.assert_close(tangent, measured, rtol=1e-4, atol=1e-6)


@EVERY
def test_every_number_of_the_weights_counts(name):
    """No layer is forgotten: the output depends on every tensor, but for the upsamplers of other scales."""
    torch.manual_seed(0)
    net = models.get(name)(**SMALL[name]).double()
    net(noise(net, 19, 20)).square().sum().backward()
    idle = {key for key, values in net.named_parameters() if values.grad is None or not bool(values.grad.any())}
    assert idle == {key for key in shapes(net) if key.startswith("upsample.up2.")}


def shifted(net: Architecture, margin: int) -> tuple[Tensor, Tensor]:
    """The interior of the output, and that of the output for the image moved by (1, 2), moved back."""
    image = noise(net, 2 * margin + 6, 2 * margin + 7)
    moved = net(image.roll((1, 2), (2, 3))).roll((-net.scale, -2 * net.scale), (2, 3))
    inner = slice(net.scale * margin, -net.scale * margin)
    return net(image)[..., inner, inner], moved[..., inner, inner]


@pytest.mark.parametrize("name", ["carn-m", "imdn"])
def test_an_image_that_moves_moves_its_output(name):
    one, other = shifted(small(name), margin=26)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_rfdn_is_the_same_everywhere_only_without_its_attention():
    net = small("rfdn")
    one, other = shifted(net, margin=26)
    assert float((one - other).abs().max()) > 1e-6
    for block in (net.B1, net.B2, net.B3, net.B4):
        block.esa.conv4.weight.zero_()
    one, other = shifted(net, margin=26)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_attention_of_rfdn_is_a_weight_between_0_and_1():
    attention = small("rfdn").B1.esa
    x = torch.randn(1, 8, 20, 20, dtype=torch.float64)
    weight = attention(x) / x
    assert 0 < float(weight.min()) < float(weight.max()) < 1


def test_carn_m_uses_the_unit_of_a_block_three_times():
    """One set of weights: 3 units of 2 grouped layers and a 1x1 layer stand in the file, not 9."""
    net = CarnM(4)
    units = [key for key in shapes(net) if ".body.4.weight" in key]
    assert units == ["b1.b1.body.4.weight", "b2.b1.body.4.weight", "b3.b1.body.4.weight"]


def test_carn_m_at_one_scale_does_not_look_at_the_upsamplers_of_others():
    net = small("carn-m", held=(2, 3, 4))
    image = noise(net, 9, 9)
    before = net(image)
    for key, values in net.state_dict().items():
        if key.startswith(("upsample.up2.", "upsample.up4.")):
            values.fill_(torch.nan)
    assert torch.equal(net(image), before)


def test_imdn_without_its_mixing_layers_is_its_first_and_its_last_layers():
    """Each block is what goes in and a mix of what was kept: with an empty mix it is nothing."""
    net = small("imdn")
    for block in [*net.model[1].sub][:-1]:
        block.conv1x1.weight.zero_()
        block.conv1x1.bias.zero_()
    image = noise(net, 12, 13)
    first = net.model[0](image)
    expected = nn.functional.pixel_shuffle(net.model[2](first + net.model[1].sub[-1](first)), 2)
    torch.testing.assert_close(net(image), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("net", "millions"), [(Rfdn(), 0.433), (Imdn(), 0.894)], ids=["rfdn", "imdn"])
def test_sizes_are_those_that_the_challenges_report(net, millions):
    assert sum(values.numel() for values in net.parameters()) == pytest.approx(1e6 * millions, abs=500)
