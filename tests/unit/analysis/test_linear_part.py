"""The linear part of a network is exact, and what remains is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from panloom.analysis import (
    Response,
    Split,
    impulse_response,
    linear_part,
    mean_response,
    published_response,
    published_split,
    sinc_upsample,
    split,
)
from panloom.errors import OptionError


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(channels: int = 3, height: int = 20, width: int = 26) -> torch.Tensor:
    return torch.rand(channels, height, width, generator=rng(), dtype=torch.float64)


def response(out: int, inputs: int, side: int, scale: int, white: bool = False) -> Response:
    kernel = torch.randn(out, inputs, side, side, generator=rng(1), dtype=torch.float64)
    return Response(kernel, scale, 0.0, None, "jacobian", white=white)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("offset", [None, (7, 2)])
def test_it_is_a_transposed_convolution(scale, offset):
    x, found = image(2), response(3, 2, 15, scale)
    full = functional.conv_transpose2d(x[None], found.kernel.transpose(0, 1), stride=scale)[0]
    top, left = offset or (7, 7)
    part = linear_part(x, found, padding="zeros", offset=offset)
    assert part.shape == (3, scale * 20, scale * 26)
    seen = full[:, top : top + part.shape[1], left : left + part.shape[2]]
    torch.testing.assert_close(part[:, : seen.shape[1], : seen.shape[2]], seen, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("padding", "mode"), [("reflect", "reflect"), ("replicate", "replicate")])
def test_beyond_the_border_the_image_goes_on(padding, mode):
    x, found = image(2), response(2, 2, 15, 2)
    wide = functional.pad(x[None], (9, 9, 9, 9), mode=mode)[0]
    expected = linear_part(wide, found, padding="zeros")[:, 18:-18, 18:-18]
    torch.testing.assert_close(linear_part(x, found, padding=padding), expected, rtol=0, atol=1e-10)


def test_a_mirror_is_used_as_often_as_it_takes():
    part = linear_part(image(1, 2, 1), response(1, 1, 15, 1), padding="reflect")
    column = functional.pad(image(1, 2, 1)[None], (9, 9, 0, 0), mode="replicate")[0]  # one column mirrors into itself
    rows = torch.arange(-9, 11).remainder(2)
    expected = linear_part(column[:, rows], response(1, 1, 15, 1), padding="zeros")[:, 9:11, 9:10]
    torch.testing.assert_close(part, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_interpolation_leaves_nothing_else(mode, scale):
    centred = {} if mode == "nearest" else {"align_corners": False}

    def net(x):
        return functional.interpolate(x, scale_factor=scale, mode=mode, **centred)

    x = image().float()
    for found in (
        impulse_response(net, scale, channels=3, size=9, background=0.5, amplitude=0.1),
        mean_response(net, scale, x[None], seed=0, size=9),
        published_response(net, scale, channels=3),
    ):
        parts = split(net, x, found)
        border = 3 * scale
        assert float(parts.nonlinear[:, border:-border, border:-border].abs().max()) < 1e-5
        torch.testing.assert_close(parts.linear + parts.nonlinear, parts.output)
        assert float(parts.shares(border).r2.min()) > 1 - 1e-8
        assert float(found.kernel.sum()) == pytest.approx(3 * scale**2, rel=1e-5)


def test_a_pedestal_belongs_to_the_linear_part_where_it_was_subtracted():
    def net(x):
        return 2 * x + 0.5

    x = image().float()
    assert float(split(net, x, impulse_response(net, 1, channels=3, size=5)).nonlinear.abs().max()) < 1e-5
    assert float(split(net, x, mean_response(net, 1, x[None], seed=0, size=5)).nonlinear.abs().max()) < 1e-5
    # The paper's recipe has it in every tap.
    published = split(net, x, published_response(net, 1, channels=3))
    assert float(published.nonlinear.abs().max()) > 10
    kept = impulse_response(net, 1, channels=3, size=5, subtract=False)
    assert float(split(net, x, kept).nonlinear.abs().max()) > 1


def test_a_square_leaves_what_is_not_linear():
    x = image(1).float()
    found = mean_response(torch.square, 1, torch.full((1, 1, 9, 9), float(x.mean())), seed=0)
    rest = split(torch.square, x, found).nonlinear
    torch.testing.assert_close(rest, (x - x.mean()).double() ** 2, rtol=0, atol=1e-6)


def test_channels_must_fit():
    with pytest.raises(OptionError, match="2 channels in and 2 out; the image has 3"):
        linear_part(image(3), response(2, 2, 5, 1))
    with pytest.raises(OptionError, match="1 channels in and 3 out"):
        linear_part(image(3), response(3, 1, 5, 1))
    each = linear_part(image(3), response(3, 1, 5, 1, white=True))
    alone = linear_part(image(3)[1:2], replace(response(3, 1, 5, 1), kernel=response(3, 1, 5, 1).kernel[1:2]))
    torch.testing.assert_close(each[1:2], alone)


def test_a_split_asks_for_the_seed_of_noise():
    def noisy(x):
        return 2 * x + torch.rand(())

    x = image().float()
    found = impulse_response(noisy, 1, channels=3, size=5, seed=0)
    with pytest.raises(OptionError, match=r"two outputs.*pass a seed"):
        split(noisy, x, found)
    parts = split(noisy, x, found, seed=0)
    assert float(parts.nonlinear.abs().max()) < 1e-5
    assert float((parts.output - 2 * x).abs().min()) > 1e-3


# ---- energies ------------------------------------------------------------------------------------


def wave(cycles: float, size: int = 64) -> torch.Tensor:
    place = torch.arange(size, dtype=torch.float64)
    return torch.cos(2 * torch.pi * cycles * place / size).expand(1, size, size)


def test_what_only_cancels_is_told_from_what_adds_detail():
    low, high = wave(4), wave(24)  # at scale 2 the cut-off is at 16 cycles
    cancels = Split(low + 0.01 * high, low + high, -0.99 * high, 2).shares()
    assert float(cancels.cancellation) == pytest.approx(1, abs=1e-6)
    assert float(cancels.high_linear) == pytest.approx(1e4, rel=0.01)
    adds = Split(low + high, low + 0.1 * high, 0.9 * high, 2).shares()
    assert float(adds.cancellation) == pytest.approx(-1, abs=1e-6)
    assert float(adds.high_output) == pytest.approx(0.5, abs=0.01)
    assert float(adds.high_nonlinear) == pytest.approx(0.81, abs=0.01)
    assert float(adds.r2) == pytest.approx(1 - 0.81 / 2, abs=0.01)
    lifted = Split(low + high + 3, low + 3, high, 2).shares()
    assert float(lifted.injected) < 0.1 < float(lifted.high_output)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_constant_band_says_nothing(level):
    flat = torch.full((1, 64, 64), level, dtype=torch.float64)
    output = torch.cat([flat + 1e-9 * level * wave(9), wave(4)])
    shares = Split(output, output - 1e-3 * wave(24), 1e-3 * wave(24).expand(2, -1, -1), 2).shares()
    for values in vars(shares).values():
        assert torch.equal(values.isfinite(), torch.tensor([False, True]))


def test_a_border_that_leaves_nothing_is_refused():
    parts = Split(wave(4), wave(4), wave(4), 2)
    assert float(parts.shares(20).r2) < 1
    with pytest.raises(OptionError, match="a border of 32 leaves 0 x 0"):
        parts.shares(32)


# ---- the paper's own forms -----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3])
def test_the_published_form_is_the_exact_one_displaced_and_short(scale):
    lr, side = image(2), 11 * scale
    line = torch.randn(side, generator=rng(2), dtype=torch.float64)
    line = line + line.flip(0)  # a correlation is a convolution only with what is symmetric
    kernel = torch.outer(line, line).expand(2, -1, -1).contiguous()
    linear, rest = published_split(lr, torch.zeros(2, 20 * scale, 26 * scale, dtype=lr.dtype), kernel, scale)
    assert linear.shape == (2, 20 * scale - scale + 1, 26 * scale - scale + 1)
    torch.testing.assert_close(rest, -linear)
    true = Response(kernel[:, None], scale, 0.0, None, "published", white=True)
    # Its image begins at that pixel of the kernel which the padding of side // (2 scale) pixels brings to the border.
    first = side - 1 - scale * (side // (2 * scale))
    exact = linear_part(lr, true, offset=(first, first))[:, : linear.shape[1], : linear.shape[2]]
    torch.testing.assert_close(linear, exact, rtol=0, atol=1e-9)


def test_the_papers_sinc_keeps_the_pixels_up_to_its_rescaling():
    x = image(2, 16, 16)
    y = sinc_upsample(x, 3, omega=8.0)
    assert y.shape == (2, 48, 48)
    for channel, low in zip(y, x, strict=True):
        assert float(channel.amin()) == pytest.approx(float(low.amin()))
        assert float(channel.amax()) == pytest.approx(float(low.amax()))
        inner = torch.stack([channel[::3, ::3][2:-2, 2:-2].flatten(), low[2:-2, 2:-2].flatten()])
        assert float(torch.corrcoef(inner)[0, 1]) == pytest.approx(1, abs=1e-9)
    with pytest.raises(OptionError, match="square"):
        sinc_upsample(image(), 2, 10.0)
    flat = torch.tensor([0.0, 0.7])[:, None, None].expand(2, 8, 8)
    assert torch.equal(sinc_upsample(flat, 2, 4.0), flat.repeat(1, 2, 2))


def test_images_that_do_not_belong_together_are_refused():
    recipe = getattr(published_split, "__wrapped__", published_split)  # without jaxtyping
    with pytest.raises(OptionError, match="given: 3, 3, 1"):
        recipe(image(3), image(3, 40, 52), torch.ones(1, 5, 5), 2)
