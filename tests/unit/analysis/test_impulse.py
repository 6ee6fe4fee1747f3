"""Impulse responses: known kernels come back; what a network is not, is told."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from panloom.analysis import impulse_response, mean_response, published_response
from panloom.errors import OptionError


def weight(mode: str, t: torch.Tensor) -> torch.Tensor:
    """The kernel of an interpolation at a distance of t input pixels; Keys' cubic has a = -0.75 in torch."""
    d = t.abs()
    if mode == "bilinear":
        return (1 - d).clamp_min(0)
    if mode == "nearest":
        return ((t >= -0.5) & (t < 0.5)).to(t)
    a = -0.75
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def closed_form(mode: str, scale: int, side: int) -> torch.Tensor:
    place = torch.arange(side, dtype=torch.float64) - side // 2
    line = weight(mode, (place - (scale - 1) / 2) / scale)
    return torch.outer(line, line)


def enlarged(mode: str, scale: int):
    centred = {} if mode == "nearest" else {"align_corners": False}
    return partial(functional.interpolate, scale_factor=scale, mode=mode, **centred)


MODES = pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
SCALES = pytest.mark.parametrize("scale", [2, 3, 4])


@MODES
@SCALES
def test_an_interpolation_shows_its_kernel(mode, scale):
    found = impulse_response(enlarged(mode, scale), scale, channels=1, size=11, background=0.4, amplitude=-0.3)
    assert found.kernel.dtype == torch.float64
    assert found.kernel.shape[-1] % 2 == 1
    torch.testing.assert_close(found.kernel[0, 0], closed_form(mode, scale, found.kernel.shape[-1]), rtol=0, atol=2e-6)
    assert found.level == 0.4
    assert found.baseline.shape == (1, 11 * scale, 11 * scale)


@MODES
@SCALES
def test_its_derivative_is_the_same_everywhere(mode, scale):
    patches = torch.rand(2, 1, 40, 26, generator=torch.Generator().manual_seed(0))
    found = mean_response(enlarged(mode, scale), scale, patches, seed=3, size=9)
    torch.testing.assert_close(found.kernel[0, 0], closed_form(mode, scale, found.kernel.shape[-1]), rtol=0, atol=2e-6)
    assert found.recipe == "jacobian"
    assert found.spread < 3e-6


def test_places_are_averaged_in_a_window_that_all_of_them_have():
    net = enlarged("bicubic", 2)
    found = impulse_response(net, 2, channels=1, size=13, positions=[(6, 6), (5, 8), (4, 4)])
    assert found.kernel.shape[-1] == 2 * (2 * 4 + 1) + 1
    torch.testing.assert_close(found.kernel[0, 0], closed_form("bicubic", 2, 19), rtol=0, atol=1e-6)
    assert found.spread < 3e-6


def test_the_spread_is_that_of_a_network_that_varies_in_space():
    gain = torch.ones(1, 1, 9, 9)
    gain[..., 5] = 3  # responses of 1 and of 3: mean 2, distance 1
    found = impulse_response(lambda x: x * gain, 1, channels=1, size=9, positions=[(4, 4), (4, 5)])
    assert found.kernel[0, 0].sum() == pytest.approx(2)
    assert found.spread == pytest.approx(0.5)


@pytest.mark.parametrize(("ground", "height"), [(0.0, 1.0), (0.5, 0.1), (0.5, -0.25)])
def test_height_and_ground_decide_what_a_network_that_is_not_linear_answers(ground, height):
    found = impulse_response(torch.square, 1, channels=1, size=5, background=ground, amplitude=height)
    assert float(found.kernel.sum()) == pytest.approx(2 * ground + height, rel=1e-5)
    image = torch.full((1, 7, 5), ground)
    again = impulse_response(torch.square, 1, channels=1, background=image, amplitude=height)
    assert float(again.kernel.sum()) == pytest.approx(2 * ground + height, rel=1e-5)
    assert again.kernel.shape[-1] == 5
    assert again.level is None


def test_the_derivative_is_that_at_the_patch():
    patches = torch.full((1, 1, 60, 60), 0.3)
    found = mean_response(torch.square, 1, patches, seed=0, size=5)
    assert float(found.kernel[0, 0, 2, 2]) == pytest.approx(0.6)
    assert float(found.kernel.abs().sum()) == pytest.approx(0.6)
    assert found.spread < 3e-6


def test_many_impulses_in_one_patch_answer_as_each_alone():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1)).double()
    # Periodic, so that all places which the lattice can take are alike and one impulse tells what many tell.
    tile = torch.rand(1, 2, 1, 1, dtype=torch.float64)
    patch = tile.expand(1, 2, 64, 64).contiguous()
    many = mean_response(net, 1, patch, seed=1, size=7)
    alone = mean_response(net, 1, patch[..., 20:41, 20:41].contiguous(), seed=1, size=7)
    torch.testing.assert_close(many.kernel, alone.kernel, rtol=0, atol=1e-12)
    assert float(many.kernel.abs().sum()) > 0.1


def test_channels_are_told_apart():
    mixing = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    def net(x):
        return torch.einsum("oi,bihw->bohw", mixing, x)

    every = impulse_response(net, 1, channels=3, size=3)
    torch.testing.assert_close(every.kernel.sum((2, 3)).float(), mixing)
    torch.testing.assert_close(mean_response(net, 1, torch.rand(1, 3, 9, 9), seed=0).kernel.sum((2, 3)).float(), mixing)
    white = impulse_response(net, 1, channels=3, size=3, channel="white")
    torch.testing.assert_close(white.kernel.sum((2, 3)).float(), mixing.sum(1, keepdim=True))
    assert white.white
    one = impulse_response(net, 1, channels=3, size=3, channel=1)
    torch.testing.assert_close(one.kernel.sum((2, 3)).float(), mixing[:, 1:2])


def test_the_papers_recipe_subtracts_nothing():
    found = published_response(lambda x: enlarged("bicubic", 4)(x) + 0.5, 4, channels=3)
    assert found.recipe == "published"
    assert found.baseline is None
    seen = found.kernel[:, :, 3:, 3:]  # the 44 x 44 pixels of the paper
    assert seen.shape == (3, 1, 44, 44)
    plain = closed_form("bicubic", 4, found.kernel.shape[-1])[3:, 3:]
    torch.testing.assert_close(seen[1, 0], plain + 0.5, rtol=0, atol=1e-6)


def detached(x):
    return x.detach().square()


def numpy_square(x):
    return torch.from_numpy(x.detach().numpy() ** 2)


def single_square(x):
    return (x.float() ** 2).detach().to(x.dtype)


@pytest.mark.parametrize("net", [detached, numpy_square, single_square])
def test_where_forward_mode_does_not_reach_differences_are_taken(net):
    found = mean_response(net, 1, torch.full((1, 1, 9, 9), 0.3), seed=0, size=5)
    assert found.recipe == "differences"
    assert float(found.kernel[0, 0, 2, 2]) == pytest.approx(0.6, rel=1e-3)


def noisy(x):
    return x + torch.rand(())


class OwnNoise:
    """Noise that no seed of torch fixes."""

    def __init__(self):
        self.count = 0.0

    def __call__(self, x):
        self.count += 1
        return x + self.count


PATCHES = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_noise_asks_for_a_seed_and_is_fixed_by_it():
    with pytest.raises(OptionError, match=r"two outputs.*pass a seed"):
        impulse_response(noisy, 1, channels=3, size=5)
    state = torch.random.get_rng_state()
    found = impulse_response(noisy, 1, channels=3, size=5, seed=2)
    assert float(found.kernel[0, 0].sum()) == pytest.approx(1)
    assert mean_response(noisy, 1, PATCHES, seed=1, size=5).spread < 1e-6
    assert torch.equal(state, torch.random.get_rng_state())
    with pytest.raises(OptionError, match="begin at 1 each time"):
        mean_response(OwnNoise(), 1, PATCHES, seed=1)


def broken():
    net = nn.Conv2d(3, 3, 3, padding=1)
    with torch.no_grad():
        net.weight[0, 0, 0, 0] = torch.nan
    return net


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (nn.Conv2d(4, 3, 3, padding=1), ["3x12x12", "channels"]),
        (nn.Sequential(nn.Flatten(), nn.Linear(300, 3)), ["3x12x12", "size"]),
        (broken(), ["not finite", "weights"]),
        (enlarged("nearest", 2), [r"\(1, 3, 24, 24\)", "scale 1", "say its scale"]),
        (lambda x: x.mean((2, 3)), [r"\(1, 3\)", "scale 1"]),
    ],
    ids=["channels", "fixed size", "nan", "scale", "no image"],
)
def test_what_a_network_refuses_or_spoils_is_told(net, told):
    for call in (
        lambda: impulse_response(net, 1, channels=3, size=12),
        lambda: mean_response(net, 1, PATCHES, seed=0),
    ):
        with pytest.raises(OptionError) as error:
            call()
        for words in told:
            assert re.search(words, str(error.value))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"amplitude": 0.0}, "height that is not 0; given: 0.0"),
        ({"amplitude": float("nan")}, "given: nan"),
        ({"positions": [(2, 5)]}, r"5 x 5 pixels; given: \[\(2, 5\)\]"),
        ({"positions": []}, "positions are"),
        ({"channel": 3}, "0 to 2; given: 3"),
        ({"background": torch.zeros(2, 5, 5)}, r"\(2, 5, 5\) for 3 channels"),
        ({"background": torch.zeros(3, 5, 5)}, r"\(3, 5, 5\): leave out 5"),
        ({"size": 0}, "3 of size 0"),
        ({"channels": 0}, "0 of size 5"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(options, told):
    with pytest.raises(OptionError, match=told):
        impulse_response(lambda x: x, 1, **{"channels": 3, "size": 5, **options})


def test_patches_and_backgrounds_of_another_kind_are_refused():
    with pytest.raises(OptionError, match=r"patches are .* given: \(0, 3, 9, 9\)"):
        mean_response(lambda x: x, 1, torch.zeros(0, 3, 9, 9), seed=0)
    with pytest.raises(OptionError, match="1 pixel or more; given: 0"):
        mean_response(lambda x: x, 1, PATCHES, seed=0, size=0)
    # Behind the types that jaxtyping asks for in tests.
    mean = getattr(mean_response, "__wrapped__", mean_response)
    with pytest.raises(OptionError, match=r"given: \(3, 9, 9\)"):
        mean(lambda x: x, 1, torch.zeros(3, 9, 9), seed=0)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.Dropout(0.5)], ids=["norm", "dropout"])
def test_a_network_that_still_learns_is_refused(layer):
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), layer).train()
    for call in (
        lambda: impulse_response(net, 1, channels=3, size=5, seed=0),
        lambda: mean_response(net, 1, PATCHES, seed=0, size=5),
    ):
        with pytest.raises(OptionError, match=rf"training mode, where its {type(layer).__name__} .* eval\(\)"):
            call()
    net.eval()
    assert impulse_response(net, 1, channels=3, size=5).kernel.shape == (3, 3, 5, 5)
