"""A fusion method on a part of a scene: its responses, its linear part, and its image beside a truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from panloom.analysis import (
    FuserResponse,
    Split,
    describe,
    frequency_response,
    fuser_response,
    ideal_lowpass,
    impulse_response,
    least_cells,
    split_fuser,
)
from panloom.analysis.fusers import scene_details, scene_slopes
from panloom.analysis.spectrum import injection_gain, mtf_plane, system_transfer
from panloom.compute import Policy
from panloom.data.scenes import recorded
from panloom.errors import OptionError
from panloom.optics import physical
from panloom.pair import Fuser, Pair
from panloom.run._explained import LOW_SIDE
from panloom.run._part import part
from panloom.run.analysis.numbers import (
    PLANE,
    compared_with_truth,
    cut,
    largest_square,
    numbers,
    on_axes,
    profile,
    shared,
    table,
)
from panloom.run.analysis.record import FuserNumbers, Parts, Quality
from panloom.run.analysis.scenes import Site
from panloom.run.fuse import whole
from panloom.run.preparing import prepared
from panloom.run.protocol import problems
from panloom.run.resolve import resolve
from panloom.types import Window

#: PAN pixels along a side of the part that derivatives are taken at; they cost a few passes for each band.
RESPONSE_SIDE = 256

#: MS pixels on each side of a part that do not count: what lies beyond the part is not known there.
BORDER = 8

#: Gains of R2 that are no more than rounding.
ROUNDING = 1e-6

#: Names of curves.
IDEAL, BICUBIC, EXP = "ideal low-pass", "bicubic", "EXP"


@dataclass(frozen=True)
class MethodFindings:
    """Everything that the page of a method draws.

    Attributes:
        numbers: of the responses.
        parts: energies of the output and its parts.
        response: the kernels.
        split: the images of the parts.
        pan_plane: amplitude of the PAN response, frequency 0 in the middle.
        ms_plane: amplitude of the response of each MS band into itself, 1 at frequency 0 for a method that keeps it.
    """

    numbers: FuserNumbers
    parts: Parts
    response: FuserResponse
    split: Split
    pan_plane: Float[Tensor, "bands N N"]
    ms_plane: Float[Tensor, "bands N N"]


def method_findings(ready: Fuser, site: Site, seed: int, told: Callable[[], None]) -> MethodFindings:
    """Responses and parts of a method that is ready for a scene.

    Args:
        ready: for the scene.
        site: the scene and its part.
        seed: of places, signs and noise.
        told: after each step, two in all.

    Raises:
        OptionError: the method draws noise that the seed does not hold, or gives no finite numbers.
    """
    names = tuple(band.name for band in site.scene.sensor.bands)
    pair = site.pair(ready.traits.multiple)
    least = site.scene.grid.ratio * (least_cells(ready) + ready.traits.multiple)
    near = site.pair(ready.traits.multiple, max(RESPONSE_SIDE, least))
    response = fuser_response(ready, near, seed=seed)
    told()
    border = min(BORDER * pair.ratio, min(pair.pan.shape[-2:]) // 4)
    done, words = _split(ready, pair, response, border, seed)
    told()
    planes = _planes(response, pair)
    found = _numbers(response, near, names, planes)
    parts = shared(done, words, names, border)
    return MethodFindings(found, parts, response, done, planes[0].abs(), planes[1].abs())


def _split(ready: Fuser, pair: Pair, response: FuserResponse, border: int, seed: int) -> tuple[Split, str]:
    """The linear part that explains more: with a filter for each place of a PAN pixel in its MS pixel, or with one.

    Methods that bring PAN to the MS grid are linear place by place only. Of a method that is not linear each place is
    known by few samples, and a filter for each would print their chance on the image, as a pattern of MS pixels.
    """
    one, many = (split_fuser(ready, pair, each, seed=seed) for each in (response.averaged(), response))
    gain = many.shares(border).r2 - one.shares(border).r2
    if float(gain.median()) > ROUNDING:
        return many, f"{pair.ratio**2} filters of PAN, one for each place in an MS pixel"
    return one, "one filter of PAN for all places"


def _planes(response: FuserResponse, pair: Pair) -> tuple[Tensor, Tensor]:
    """Frequency responses: of PAN, and of each MS band into itself, at 1 where the level is kept."""
    ms = frequency_response(_into_itself(response), PLANE, centre=pair.phase) / pair.ratio**2
    return frequency_response(response.pan.kernel[:, 0], PLANE), ms


def _into_itself(response: FuserResponse) -> Float[Tensor, "bands K K"]:
    """The kernel of each MS band into itself."""
    return response.ms.kernel.diagonal(dim1=0, dim2=1).permute(2, 0, 1)


def _numbers(
    response: FuserResponse, pair: Pair, names: tuple[str, ...], planes: tuple[Tensor, Tensor]
) -> FuserNumbers:
    ratio, phase, sensor = pair.ratio, pair.phase, pair.sensor
    assert sensor is not None, "the pair of a scene has one"
    gains = torch.tensor([band.mtf_nyquist for band in sensor.bands], dtype=torch.float64)
    mtf, (pan_on_band, bands_on_band) = mtf_plane(gains, ratio, PLANE), scene_slopes(pair)
    pan, own = response.pan.kernel[:, 0], _into_itself(response)
    transfer = system_transfer(
        response.ms.kernel,
        pan,
        mtf,
        ratio=ratio,
        phase=phase,
        bands_on_band=bands_on_band,
        pan_on_band=pan_on_band,
    )
    references, slopes = _references(ratio, phase), _regression(pair)
    by_band = dict(zip(names, on_axes(planes[1]), strict=True))
    return FuserNumbers(
        ratio=ratio,
        bands=names,
        mtf=numbers(gains),
        ms=tuple(describe(kernel, ratio, centre=phase) for kernel in own),
        mixing=table(response.mixing),
        leakage=numbers(response.leakage),
        injection=numbers(injection_gain(planes[0], mtf, ratio)),
        slopes=numbers(slopes),
        agreement=numbers(slopes * pan_on_band),
        pan_spread=response.pan.spread,
        ms_spread=response.ms.spread,
        pan_profile=profile(dict(zip(names, on_axes(planes[0]), strict=True)) | {"1 - MTF": on_axes(1 - mtf).mean(0)}),
        ms_profile=profile(by_band | references | {"MTF": on_axes(mtf).mean(0)}),
        transfer=profile(dict(zip(names, on_axes(transfer), strict=True))),
        pan_cut=cut(dict(zip(names, pan, strict=True))),
        ms_cut=cut(
            dict(zip(names, own, strict=True)) | {IDEAL: ideal_lowpass(ratio, own.shape[-1], centre=phase)}, phase[0]
        ),
        part=(pair.pan.shape[-2], pair.pan.shape[-1]),
    )


def _references(ratio: int, phase: tuple[float, float]) -> dict[str, Tensor]:
    """Amplitudes of interpolations without PAN, and of the ideal low-pass."""
    exp = impulse_response(lambda x: physical.interpolate(x, ratio, phase), ratio, channels=1)
    return {
        EXP: on_axes(frequency_response(exp.kernel[0, 0], PLANE)) / ratio**2,
        BICUBIC: on_axes(frequency_response(bicubic(ratio), PLANE)) / ratio**2,
        IDEAL: step(ratio),
    }


def bicubic(scale: int) -> Float[Tensor, "K K"]:
    """The kernel of torch's bicubic enlargement, whose pixels share their corners."""
    found = impulse_response(
        lambda x: functional.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False),
        scale,
        channels=1,
        size=15,
    )
    return found.kernel[0, 0]


def step(scale: int) -> Float[Tensor, " F"]:
    """The ideal low-pass over the frequencies of a profile: 1 up to pi / scale, then 0."""
    places = torch.arange(PLANE // 2, dtype=torch.float64) / (PLANE // 2)
    return (places <= 1 / scale).double()


def _regression(pair: Pair) -> Float[Tensor, " bands"]:
    """The slope of the details of each band on those of PAN; 0 on a flat PAN."""
    detail = scene_details(pair)[1]
    energy = float(detail[0].square().sum())
    return detail[1:] @ detail[0] / energy if energy else torch.zeros_like(detail[1:, 0])


# --- beside a truth ---------------------------------------------------------------------------------------


def method_quality(
    method: str, fuser: Fuser, ready: Fuser, site: Site, seed: int, policy: Policy
) -> tuple[Quality | None, list[str]]:
    """The image of a method, and interpolated MS, beside the truth, and what is to be said of it.

    A drawn scene has its truth. Another one is degraded by its ratio through the sensor's MTF, its own MS is the
    truth, and the method is made ready for the degraded scene once more.

    Args:
        method: its name.
        fuser: as it was resolved.
        ready: for the scene.
        site: the scene and its part.
        seed: of everything random.
        policy: device and threads.
    """
    exp = resolve("exp")
    if site.truth is not None:
        full = site.scene.units.full_scale
        images = {name: whole(site.scene, one, policy) for name, one in ((method, ready), ("exp", exp))}
        known = torch.ones(site.truth.shape[-2:], dtype=torch.bool)
        return _beside(site.truth, images, known, site, full, "the truth of the drawn scene")
    window = part(site.scene, LOW_SIDE)
    try:
        problem = problems(recorded(site.scene, site.name, window), ("wald-physical",))[0]
    except OptionError as error:
        return None, [f"nothing is compared with a truth: {error}"]
    assert problem.truth is not None, "reduced resolution has one"
    assert problem.truth_valid is not None, "reduced resolution has one"
    full, images = problem.full_scale, {}
    for name, one in ((method, prepared(fuser, problem.scene, seed)[0]), ("exp", exp)):
        images[name] = whole(problem.scene, one, policy).double() * full
    inner = slice(problem.cut, -problem.cut) if problem.cut else slice(None)
    known = problem.truth_valid[0, 0, inner, inner]
    cropped = {name: image[:, inner, inner] for name, image in images.items()}
    words = "its own MS; PAN and MS were degraded by their ratio through the sensor's MTF"
    return _beside(problem.truth[0, :, inner, inner], cropped, known, site, full, words)


def _beside(
    truth: Tensor, images: dict[str, Tensor], known: Tensor, site: Site, full: float, words: str
) -> tuple[Quality | None, list[str]]:
    """Compared on the largest square without gaps: a spectrum needs every pixel."""
    for image in images.values():
        known = known & torch.isfinite(image).all(0)
    square = largest_square(known)
    if square is None:
        return None, ["nothing is compared with a truth: no square of 32 x 32 pixels is free of missing data"]
    area = square.inside(Window(0, 0, *known.shape))
    here = {name: image[:, *area] for name, image in images.items()}
    names = [band.name for band in site.scene.sensor.bands]
    return compared_with_truth(truth[:, *area], here, names, full, words), []


def most_nonlinear(parts: Parts) -> int:
    """The band whose linear part tells least: what is drawn of many bands."""
    shares: Sequence[float] = [band.r2 for band in parts.bands]
    return min(range(len(shares)), key=shares.__getitem__)
