"""Pictures of one problem: every image in one stretch, whole and in parts, and maps of the errors."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from panloom.run.evaluate import Picture
from panloom.run.page._places import Place, places
from panloom.run.preview import choose, limits, stretch
from panloom.run.protocol import CUT, SMALL
from panloom.scene.picture import encode_jpeg, encode_png

#: Largest sides, and the pixels of all pictures of a kind together, so that twenty methods still make a small page.
OVERVIEW, OVERVIEWS = 480, 1_400_000
CROP, CROPS = 128, 350_000
MAP, MAPS = 320, 1_000_000

#: The colours of an error map from none to large; lightness rises evenly (CIE L* 6, 22, 37, 52, 69, 86, 96), so that
#: more looks like more to every eye, and in grey too. Red, green, blue.
ANCHORS = (
    (20, 15, 45),
    (66, 37, 111),
    (135, 52, 131),
    (206, 84, 105),
    (242, 145, 80),
    (249, 211, 116),
    (252, 245, 214),
)

#: Colours of a map.
LEVELS = 48

#: The percentile of all methods' errors at which a map reaches its last colour.
TOP = 98.0

#: Shown where there are no data.
_EMPTY = 150


@dataclass(frozen=True)
class Gallery:
    """Pictures of one problem, each as the address of an image that stands in the page itself.

    Attributes:
        overviews: whole images, reduced, by name: "PAN", the reference, the methods.
        crops: the same for each place, pixel by pixel.
        places: the parts that are shown.
        maps: of the errors, by method; empty without a truth.
        errors: the mean of each map.
        top: relative error at the last colour of the maps.
        reduced: pixels of the image in one pixel of an overview, along one side.
        size: (rows, columns) of the images.
        bands: the bands that are shown as red, green and blue, or as grey.
        empty: some pixels hold no data.
    """

    overviews: dict[str, str]
    crops: list[dict[str, str]]
    places: list[Place]
    maps: dict[str, str]
    errors: dict[str, float]
    top: float
    reduced: int
    size: tuple[int, int]
    bands: tuple[str, ...]
    empty: bool


@dataclass(frozen=True)
class Images:
    """A problem's images as arrays, with what all of them are drawn by.

    Attributes:
        pan: the sharp image.
        reference: the truth; at full resolution the interpolated MS.
        fused: by method.
        valid: pixels that hold data.
        truth: the reference is the truth.
    """

    pan: Shaped[np.ndarray, "1 H W"]
    reference: Shaped[np.ndarray, "C H W"]
    fused: dict[str, Shaped[np.ndarray, "C H W"]]
    valid: Bool[np.ndarray, "H W"]
    truth: bool

    @classmethod
    def of(cls, picture: Picture, *, truth: bool) -> Images:
        """From what an evaluation kept."""
        fused = {name: image.numpy() for name, image in picture.fused.items()}
        return cls(picture.pan.numpy(), picture.reference.numpy(), fused, picture.valid.numpy(), truth)

    @property
    def reference_name(self) -> str:
        """What the reference is."""
        return "truth" if self.truth else "interpolated MS"

    def error(self, method: str) -> Float[np.ndarray, "H W"]:
        """The mean over the bands of |fused - truth|, each divided by the mean of the truth; NaN where not valid."""
        total = np.zeros(self.valid.shape, np.float32)
        for band, truth in zip(self.fused[method], self.reference, strict=True):
            level = float(np.abs(truth[self.valid]).mean()) if self.valid.any() else 1.0
            total += np.abs(band - truth) / np.float32(max(level, 1e-12) * len(self.reference))
        return np.where(self.valid, total, np.float32(np.nan))

    def disagreement(self) -> Float[np.ndarray, "H W"]:
        """The standard deviation over the methods, of the mean over the bands."""
        means = [image.mean(0, dtype=np.float32) for image in self.fused.values()]
        return np.stack(means).std(0) if means else np.zeros(self.valid.shape, np.float32)


@dataclass(frozen=True)
class Interest:
    """What a place is looked for by.

    Attributes:
        image: high where it is interesting.
        why: what it shows, for the reader.
    """

    image: Float[np.ndarray, "H W"]
    why: str


def gallery(images: Images, bands: Sequence[str], best: str | None, interest: Interest | None = None) -> Gallery:
    """All pictures of a problem.

    Args:
        images: the problem.
        bands: names of the bands.
        best: the method whose errors are looked for; None: none was scored.
        interest: what is looked for instead.
    """
    count = len(images.fused) + 2
    reduced = _factor(images, OVERVIEW, _side(OVERVIEWS, count))
    here = _places(images, interest or _interest(images, best), min(CROP, _side(CROPS, 3 * count)))
    shown = choose([band.lower() for band in bands])
    small = _Reduced(images.valid, reduced)
    between = limits(images.reference[shown], images.valid)
    pictures = {images.reference_name: images.reference, **images.fused}
    overviews = {"PAN": jpeg(painted(small(images.pan), small.valid))}
    for name, image in pictures.items():
        overviews[name] = jpeg(painted(small(image[shown]), small.valid, between))
    grey = limits(images.pan, images.valid)
    crops: list[dict[str, str]] = []
    for place in here:
        cut = (slice(place.window.row, place.window.row_end), slice(place.window.col, place.window.col_end))
        valid = images.valid[cut]
        crop = {"PAN": png(painted(images.pan[:, *cut], valid, grey))}
        for name, image in pictures.items():
            crop[name] = png(painted(image[:, *cut][shown], valid, between))
        crops.append(crop)
    errors, valid = _errors(images)
    top = _top(errors, valid)
    return Gallery(
        overviews=overviews,
        crops=crops,
        places=here,
        maps={method: _map(error, valid, top) for method, error in errors.items()},
        errors={method: _mean(error, valid) for method, error in errors.items()},
        top=top,
        reduced=reduced,
        size=(images.valid.shape[0], images.valid.shape[1]),
        bands=tuple(bands[k] for k in shown),
        empty=not bool(images.valid.all()),
    )


def colours(levels: int = LEVELS) -> list[tuple[int, int, int]]:
    """The colours of an error map, from none to large."""
    at, where = np.linspace(0, 1, levels), np.linspace(0, 1, len(ANCHORS))
    channels = [np.round(np.interp(at, where, [anchor[k] for anchor in ANCHORS])).astype(int) for k in range(3)]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*channels, strict=True)]


def png(image: UInt8[np.ndarray, "c h w"], palette: Sequence[tuple[int, int, int]] = ()) -> str:
    """The address of a picture that keeps every pixel."""
    return f"data:image/png;base64,{b64encode(encode_png(image, palette)).decode()}"


def jpeg(image: UInt8[np.ndarray, "c h w"]) -> str:
    """The address of a small picture that is not exact."""
    return f"data:image/jpeg;base64,{b64encode(encode_jpeg(image)).decode()}"


def _side(budget: int, count: int) -> int:
    """The largest side with which so many squares have no more pixels than that; 16 at least."""
    return max(int(math.sqrt(budget / count)), 16)


def _factor(images: Images, largest: int, wanted: int) -> int:
    """How many times an image is reduced: never larger than one, and else about as large as the other."""
    size = max(images.valid.shape)
    return max(math.ceil(size / largest), round(size / wanted), 1)


def _interest(images: Images, best: str | None) -> Interest:
    if images.truth and best in images.fused:
        return Interest(images.error(best), f"largest error of {best}")
    return Interest(images.disagreement(), "where the methods differ most")


def _places(images: Images, interest: Interest, side: int) -> list[Place]:
    margin = CUT if images.truth and min(images.valid.shape) >= SMALL else 0
    return places(images.pan[0], images.valid, interest.image, interest.why, side, margin)


class _Reduced:
    """Means over squares of pixels, of those that are valid.

    Attributes:
        valid: squares with a valid pixel.
    """

    def __init__(self, valid: Bool[np.ndarray, "H W"], factor: int) -> None:
        self._inside, self._factor = valid, factor
        self._count = self._sums(valid.astype(np.float64))
        self.valid = self._count > 0

    def __call__(self, image: Shaped[np.ndarray, "c H W"]) -> Float[np.ndarray, "c h w"]:
        """The image, reduced."""
        sums = [self._sums(np.where(self._inside, band, 0).astype(np.float64)) for band in image]
        return np.stack(sums) / np.maximum(self._count, 1)

    def _sums(self, band: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "h w"]:
        rows, cols = (np.arange(0, size, self._factor) for size in band.shape)
        return np.add.reduceat(np.add.reduceat(band, rows, axis=0), cols, axis=1)


def painted(
    image: Shaped[np.ndarray, "c h w"],
    valid: Bool[np.ndarray, "h w"],
    between: Sequence[tuple[float, float]] | None = None,
) -> UInt8[np.ndarray, "k h w"]:
    """Grey or red-green-blue, without transparency.

    Args:
        image: one band or three.
        valid: pixels that hold data; the others are grey.
        between: black and white of each band; None: its own limits.
    """
    known = valid & np.isfinite(image).all(0)
    shown = stretch(image, known, between)[: len(image)]
    shown[:, ~known] = _EMPTY
    return shown


def _errors(images: Images) -> tuple[dict[str, Float[np.ndarray, "h w"]], Bool[np.ndarray, "h w"]]:
    """The errors of each method, reduced, and where they are known; nothing without a truth."""
    small = _Reduced(images.valid, _factor(images, MAP, _side(MAPS, len(images.fused) + 1)))
    methods = images.fused if images.truth else ()
    return {method: small(images.error(method)[None])[0] for method in methods}, small.valid


def _top(errors: Mapping[str, Float[np.ndarray, "h w"]], valid: Bool[np.ndarray, "h w"]) -> float:
    """The end of the scale of all maps: a round number that few errors exceed."""
    known = np.concatenate([error[valid & np.isfinite(error)] for error in errors.values()] or [np.zeros(0)])
    return _round_up(float(np.percentile(known, TOP))) if known.size else 1.0


def _map(error: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], top: float) -> str:
    known = valid & np.isfinite(error)
    level = (np.where(known, error, 0) / top * (LEVELS - 1)).clip(0, LEVELS - 1).round().astype(np.uint8)
    level[~known] = LEVELS
    return png(level[None], [*colours(), (_EMPTY, _EMPTY, _EMPTY)])


def _mean(error: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]) -> float:
    known = error[valid & np.isfinite(error)]
    return float(known.mean()) if known.size else math.nan


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 times a power of ten."""
    if value <= 0:
        return 0.01
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= value * (1 - 1e-9))
