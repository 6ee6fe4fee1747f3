"""A super-resolution network on pictures: its responses, its linear part, and its image beside a truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from panloom.analysis import (
    Response,
    Split,
    describe,
    frequency_response,
    ideal_lowpass,
    impulse_response,
    mean_response,
    published_response,
    split,
)
from panloom.analysis.foreign import Model
from panloom.analysis.impulse import PUBLISHED_SIZE
from panloom.run.analysis.method import BICUBIC, IDEAL, bicubic, step
from panloom.run.analysis.numbers import PLANE, compared_with_truth, cut, on_axes, profile, shared, table
from panloom.run.analysis.record import NetworkNumbers, Parts, Quality, Stimulus
from panloom.run.analysis.scenes import Natural, drawn_pictures, read_pictures

#: Input pixels along a side of a patch that the derivative is taken at, and how many patches.
PATCH, PATCHES = 31, 24

#: Input pixels along a side of the picture that is split into its parts.
SIDE = 96

#: Pictures that are drawn where none is named.
DRAWN = 4

#: Heights of the impulse, and the grounds that it stands on, in parts of the range; the paper's is the first of each.
HEIGHTS, GROUNDS = (1.0, 0.3, 0.1, 0.03, 0.01), (0.0, 0.5)

#: Input pixels on each side that do not count.
BORDER = 8

#: Input pixels on each side that are not compared with the truth.
RIM = 4

#: Single places that are drawn.
SHOWN = 6

#: Names of the two responses.
JACOBIAN, PUBLISHED = "mean derivative", "white dot on black"


@dataclass(frozen=True)
class ModelFindings:
    """Everything that the page of a model draws; the kernels are those of all channels together.

    Attributes:
        numbers: of the responses.
        parts: energies of the output and its parts, by the derivative, and by the paper's response.
        kernels: by the name of the response.
        splits: images of the parts, by the name of the response.
        places: the derivative at single places.
        planes: amplitudes, by the name of the response, 1 at frequency 0 where the level is kept.
        quality: the output beside the picture that it was made small from; None: nothing was enlarged.
        notes: what a reader must know.
    """

    numbers: NetworkNumbers
    parts: tuple[Parts, ...]
    kernels: dict[str, Float[Tensor, "K K"]]
    splits: dict[str, Split]
    places: tuple[Float[Tensor, "K K"], ...]
    planes: dict[str, Float[Tensor, "N N"]]
    quality: Quality | None
    notes: tuple[str, ...]


def pictures_for(model: Model, files: Sequence[str | Path]) -> Natural:
    """Pictures, large enough to be made small for a model.

    Raises:
        PanloomError: they cannot be read, or do not fit the model.
    """
    size = tuple(model.scale * n for n in _input_size(model))
    rows, cols = size
    if files:
        return read_pictures(files, model.channels, (rows, cols))
    return drawn_pictures(model.channels, (rows, cols), DRAWN)


def _input_size(model: Model) -> tuple[int, int]:
    """Of the picture that the model is given."""
    side = max(SIDE, model.smallest)
    return model.fixed or (side, side)


def model_findings(model: Model, natural: Natural, seed: int | None, told: Callable[[], None]) -> ModelFindings:
    """Responses and parts of a model.

    Args:
        model: open.
        natural: pictures of `pictures_for`.
        seed: of places and of noise; None: the model draws none.
        told: after each step, four in all.

    Raises:
        OptionError: the model draws noise and no seed is given, or gives no finite numbers or another size.
    """
    small = [made_small(image, model.scale) for image in natural.images]
    patches = _patches(small, model)
    _check_noise(model, patches[0], seed)
    kernels = {JACOBIAN: mean_response(model.net, model.scale, patches, seed=seed or 0)}
    told()
    notes, paper = list[str](), _published(model, seed)
    if paper is None:
        notes.append(f"{model.name} takes no picture of 11 x 11 pixels, so the paper's experiment is left out")
    else:
        kernels[PUBLISHED] = paper
    sweep = _sweep(model, patches[0], seed)
    told()
    places = tuple(_at_one(model, patch, seed) for patch in patches[:: max(len(patches) // SHOWN, 1)][:SHOWN])
    told()
    splits = {name: split(model.net, small[0], response, seed=seed) for name, response in kernels.items()}
    told()
    names = channel_names(model.channels)
    border = min(BORDER, min(small[0].shape[-2:]) // 4) * model.scale
    grey = {name: _grey(response) for name, response in kernels.items()}
    planes = {name: frequency_response(kernel, PLANE).abs() / model.scale**2 for name, kernel in grey.items()}
    return ModelFindings(
        numbers=_numbers(model, kernels[JACOBIAN], grey, planes, len(patches), sweep),
        parts=tuple(shared(done, name, names, border) for name, done in splits.items()),
        kernels=grey,
        splits=splits,
        places=places,
        planes=planes,
        quality=_quality(model, natural.images[0], small[0], splits[JACOBIAN].output, names),
        notes=tuple(notes),
    )


def channel_names(count: int) -> tuple[str, ...]:
    """What the channels of a picture are called."""
    known = {1: ("grey",), 3: ("red", "green", "blue")}
    return known.get(count) or tuple(f"channel {k + 1}" for k in range(count))


def made_small(image: Float[Tensor, "c H W"], scale: int) -> Float[Tensor, "c h w"]:
    """By bicubic means, which is what most of these networks learned to undo."""
    if scale == 1:
        return image
    size = tuple(n // scale for n in image.shape[-2:])
    return functional.interpolate(image[None], size=size, mode="bicubic", antialias=True)[0].clamp(0, 1)


def _patches(small: Sequence[Tensor], model: Model) -> Float[Tensor, "n c h w"]:
    """Parts of pictures, evenly spread; a model of one size is given whole pictures."""
    if model.fixed is not None:
        return torch.stack(list(small))
    side, each = max(PATCH, model.smallest), -(-PATCHES // len(small))
    found: list[Tensor] = []
    for image in small:
        along = max(2, round(each**0.5 + 0.5))
        starts = [[k * (n - side) // (along - 1) for k in range(along)] for n in image.shape[-2:]]
        places = [(row, col) for row in starts[0] for col in starts[1]]
        chosen = [places[k * len(places) // each] for k in range(each)]
        found += [image[:, row : row + side, col : col + side] for row, col in chosen]
    return torch.stack(found)


def _check_noise(model: Model, patch: Float[Tensor, "c h w"], seed: int | None) -> None:
    """Refuse a model that draws noise where no seed is given.

    Raises:
        OptionError: it does.
    """
    if seed is None:
        impulse_response(model.net, model.scale, channels=model.channels, background=patch, channel="white")


def _published(model: Model, seed: int | None) -> Response | None:
    """The paper's experiment; None where the model does not take its picture."""
    if model.smallest > PUBLISHED_SIZE or model.fixed not in (None, (PUBLISHED_SIZE, PUBLISHED_SIZE)):
        return None
    return published_response(model.net, model.scale, channels=model.channels, seed=seed)


def _sweep(model: Model, like: Float[Tensor, "c h w"], seed: int | None) -> tuple[Stimulus, ...]:
    """Responses to impulses of several heights on two grounds; the highest reaches white."""
    found: list[Stimulus] = []
    for ground, height in ((g, h) for g in GROUNDS for h in HEIGHTS if g + h <= 1):
        flat = torch.full_like(like, ground)
        response = impulse_response(
            model.net,
            model.scale,
            channels=model.channels,
            background=flat,
            amplitude=height,
            channel="white",
            seed=seed,
        )
        kernel = response.kernel[:, 0].mean(0)
        if bool(kernel.any()):
            found.append(Stimulus(ground, height, describe(kernel, model.scale)))
    return tuple(found)


def _at_one(model: Model, patch: Float[Tensor, "c h w"], seed: int | None) -> Float[Tensor, "K K"]:
    """The derivative at one place, of all channels together."""
    return _grey(mean_response(model.net, model.scale, patch[None], seed=seed or 0))


def _grey(response: Response) -> Float[Tensor, "K K"]:
    """The mean of the output's channels for an impulse in all of the input's."""
    return response.kernel.sum(1).mean(0)


def _numbers(
    model: Model,
    mean: Response,
    grey: dict[str, Tensor],
    planes: dict[str, Tensor],
    patches: int,
    sweep: tuple[Stimulus, ...],
) -> NetworkNumbers:
    scale, kernel = model.scale, grey[JACOBIAN]
    middle = ((scale - 1) / 2, (scale - 1) / 2)  # pixels of both grids share their corners
    references = {
        BICUBIC: on_axes(frequency_response(bicubic(scale), PLANE)) / scale**2,
        IDEAL: step(scale),
    }
    sinc = ideal_lowpass(scale, kernel.shape[-1], centre=middle)
    return NetworkNumbers(
        scale=scale,
        channels=(mean.kernel.shape[1], mean.kernel.shape[0]),
        jacobian=describe(kernel, scale),
        published=describe(grey[PUBLISHED], scale) if PUBLISHED in grey else None,
        mixing=table(mean.kernel.sum((-2, -1)) / scale**2),
        spread=mean.spread,
        patches=patches,
        profile=profile({name: on_axes(plane) for name, plane in planes.items()} | references),
        cut=cut(grey | {IDEAL: sinc}, middle[0]),
        sweep=sweep,
    )


def _quality(model: Model, picture: Tensor, small: Tensor, output: Tensor, names: tuple[str, ...]) -> Quality | None:
    """The output, and bicubic enlargement, beside the picture."""
    if model.scale == 1:
        return None
    plain = functional.interpolate(small[None], scale_factor=model.scale, mode="bicubic", align_corners=False)[0]
    edge = RIM * model.scale
    inner = (slice(None), slice(edge, -edge), slice(edge, -edge))
    images = {model.name: output[inner], BICUBIC: plain[inner]}
    words = "the picture that it was made small from, by bicubic means"
    return compared_with_truth(picture[inner], images, names, 1.0, words)
