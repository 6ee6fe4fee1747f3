"""What methods and models are analysed on: a part of a scene, a drawn scene, pictures from files or drawn ones."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from panloom import sensors
from panloom.data import Recording, make
from panloom.errors import MethodError, OptionError, SceneError
from panloom.pair import Fuser, Pair
from panloom.run._part import Ground, part
from panloom.run.preview import choose, stretch
from panloom.run.reading import Reading, scene_name
from panloom.run.resolve import card_of
from panloom.scene import Reader, Scene, array_scene, describe, environment
from panloom.types import Sensor, Tile, Window, bit_range
from panloom.weights import Card

#: PAN pixels along a side of the part of a scene that is analysed.
SIDE = 512

#: MS pixels along a side of the smallest part that says something: less is all border.
SMALLEST = 16

#: What is drawn where no scene is named and no weights ask for bands.
SENSOR, BANDS = "worldview-3", 4

#: Of drawn scenes; several of them are drawn for a model.
LAND = 1

#: The share of red, green and blue in the brightness of a picture (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Site:
    """A scene that a method is analysed on.

    Attributes:
        name: what it is called.
        scene: open.
        window: the part of it, whole cells, PAN pixels.
        truth: of a drawn scene on PAN's grid, DN; None: not known.
        words: what it is, for the reader.
        notes: what is known of it already.
    """

    name: str
    scene: Scene
    window: Window
    truth: Float[Tensor, "C H W"] | None
    words: str
    notes: tuple[str, ...] = ()

    def pair(self, multiple: int = 1, side: int | None = None) -> Pair:
        """The part as a method sees it.

        Args:
            multiple: cells along a side are a multiple of it.
            side: PAN pixels along a side at most, around the middle of the part; None: all of it.
        """
        ratio = self.scene.grid.ratio
        cells = _middle(self.window.cells(ratio), None if side is None else side // ratio, multiple)
        return self.scene.load(Tile(0, cells.scaled(ratio), cells)).pair


def _middle(cells: Window, side: int | None, multiple: int) -> Window:
    """The middle of a window of cells, cut to a side and to a multiple."""
    height, width = (min(n, side or n) // multiple * multiple for n in (cells.height, cells.width))
    return Window(cells.row + (cells.height - height) // 2, cells.col + (cells.width - width) // 2, height, width)


@contextmanager
def opened_site(pan: str, ms: Sequence[str], reading: Reading) -> Iterator[Site]:
    """A scene in files, and the part around the middle of its valid data.

    Raises:
        PanloomError: it cannot be read.
        SceneError: it is too small, or no pixel of the part is valid.
    """
    with environment():
        opened, notes = reading.open(pan, ms)
        scene, name = opened.scene, scene_name(opened.pan.path)
        with closing(scene):
            window = _part(scene, name)
            row, col = Ground.of(scene).pixel(window)
            words = f"{name}, {window.height} x {window.width} PAN pixels from row {row}, column {col} of its file"
            yield Site(name, scene, window, None, words, tuple(notes))


def _part(scene: Scene, name: str) -> Window:
    """Whole cells of a scene around the middle of its valid data, PAN pixels."""
    window, ratio = part(scene, SIDE), scene.grid.ratio
    cells = window.cells(ratio).clipped(*scene.grid.cells)
    if min(cells.height, cells.width) < SMALLEST:
        raise SceneError(
            f"{name} has {cells.height} x {cells.width} MS pixels that lie wholly in PAN; an analysis needs {SMALLEST} "
            f"x {SMALLEST} or more"
        )
    if not bool(scene.reduced(cells).valid.any()):
        raise SceneError(f"{name}: no pixel of the chosen part is valid in PAN and in all bands")
    return window


def drawn_site(method: str, fuser: Fuser, sensor: str | Sensor | None) -> Site:
    """A drawn scene with the bands and the sensor that suit a method.

    Args:
        method: its name.
        fuser: as it was resolved.
        sensor: of the scene; None: that of the weights, else WorldView-3 with four bands.

    Raises:
        MethodError: no sensor has the bands of the weights.
    """
    card = card_of(method)
    seen = _sensor(method, card, fuser, sensor)
    ratios = fuser.traits.ratios or (card.ratios if card is not None else None)
    ratio = seen.ratio if ratios is None or seen.ratio in ratios else ratios[0]
    bands, recording = [band.name for band in seen.bands], Recording(ratio=ratio)
    made = make(SIDE, SIDE, sensor=seen, bands=bands, wedge=False, seed=LAND, recording=recording)
    assert made.sensor.full_scale is not None, "a drawn scene has one"
    pan, ms = (torch.from_numpy(np.asarray(image, np.float32))[None] for image in (made.pan[None], made.ms))
    scene = array_scene(pan, ms, sensor=made.sensor, phase=made.phase, full_scale=made.sensor.full_scale)
    cells = Window(0, 0, SIDE // ratio, SIDE // ratio)
    names = ", ".join(band.name for band in made.sensor.bands)
    words = f"a drawn scene of {made.sensor.name} ({names}), whose truth is known; no real place"
    name = f"a drawn scene of {made.sensor.name}"
    return Site(name, scene, cells.scaled(ratio), torch.from_numpy(made.truth), words)


def _sensor(method: str, card: Card | None, fuser: Fuser, given: str | Sensor | None) -> Sensor:
    """The sensor whose bands are those that the method works on."""
    count = fuser.traits.bands
    if given is not None:
        known = sensors.get(given) if isinstance(given, str) else given
        return _with_bands(method, known, card, count)
    if card is not None and card.adapted is not None and card.adapted.sensor in sensors.names():
        return _with_bands(method, sensors.get(card.adapted.sensor), card, count)
    if card is not None and isinstance(card.bands, tuple):
        found = sensors.having(card.bands)
        told = [name for name in found if re.search(rf"\b{re.escape(name)}\b", card.data)]
        if not found:
            raise MethodError(f"no sensor has the bands of {method}, {', '.join(card.bands)}: name PAN and MS")
        return _with_bands(method, sensors.get((told or found)[0]), card, count)
    seen = sensors.get(SENSOR)
    return replace(seen, bands=sensors.bands_for(seen, count or BANDS) or sensors.generic_bands(count or BANDS))


def _with_bands(method: str, sensor: Sensor, card: Card | None, count: int | None) -> Sensor:
    """A sensor with the bands that a method asks for, else with those that PAN can sharpen."""
    if card is not None and isinstance(card.bands, tuple):
        named = [sensors.band_named(sensor, name) for name in card.bands]
        found = tuple(band for band in named if band is not None)
        if len(found) < len(named):
            have = ", ".join(band.name for band in sensor.bands)
            raise MethodError(f"{method} works on {', '.join(card.bands)}, and {sensor.name} has {have}")
        return replace(sensor, bands=found)
    if count is None:
        return replace(sensor, bands=tuple(band for band in sensor.bands if band.role == "sharpen"))
    bands = sensors.bands_for(sensor, count)
    if bands is None:
        raise MethodError(f"{method} works on {count} bands, and no product of {sensor.name} has that many")
    return replace(sensor, bands=bands)


# --- pictures ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Natural:
    """Pictures that a super-resolution network is analysed on.

    Attributes:
        images: 0 to 1.
        words: what they are, for the reader.
    """

    images: tuple[Float[Tensor, "c H W"], ...]
    words: str


def read_pictures(files: Sequence[str | Path], channels: int, size: tuple[int, int]) -> Natural:
    """The middles of pictures: PNG, JPEG, TIFF, whatever GDAL reads.

    Integers are divided by the largest number of the fewest bits that hold them, 255 for an 8-bit picture; other
    numbers must lie in 0 to 1. A network of one channel is given the brightness of a colour picture.

    Args:
        files: one or more.
        channels: of the network.
        size: rows and columns.

    Raises:
        SceneError: one cannot be read.
        OptionError: one is too small, has too few bands, holds no numbers in some pixels, or others than 0 to 1.
    """
    # That a photograph has no georeference is no news.
    with environment(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Dataset has no geotransform")
        images = tuple(_picture(str(path), channels, size) for path in files)
    count = "the picture" if len(images) == 1 else f"{len(images)} pictures"
    return Natural(images, f"{count} {', '.join(Path(path).name for path in files)}")


def _picture(path: str, channels: int, size: tuple[int, int]) -> Float[Tensor, "c H W"]:
    raster, (height, width) = describe(path), size
    if raster.height < height or raster.width < width:
        raise OptionError(f"{path} has {raster.height} x {raster.width} pixels; this model needs {height} x {width}")
    wanted = 3 if channels == 1 and len(raster.bands) >= 3 else channels
    if len(raster.bands) < wanted:
        raise OptionError(f"{path} has {len(raster.bands)} bands, and the model takes {channels}")
    with closing(Reader(raster, raster.bands[:wanted])) as reader:
        window = Window((raster.height - height) // 2, (raster.width - width) // 2, height, width)
        data, valid = reader.read(window)
    image = torch.from_numpy(data.astype(np.float64))
    if not bool(torch.isfinite(image).all()) or (valid is not None and not valid.all()):
        raise OptionError(f"{path} has pixels without data in its middle {height} x {width}; name another picture")
    if np.issubdtype(data.dtype, np.integer):
        image = image / (255 if data.dtype == np.uint8 else bit_range(float(image.max())))
    if float(image.min()) < 0 or float(image.max()) > 1:
        raise OptionError(f"{path} holds {float(image.min()):g} to {float(image.max()):g}; a picture holds 0 to 1")
    return _grey(image).float() if channels == 1 else image.float()


def drawn_pictures(channels: int, size: tuple[int, int], count: int) -> Natural:
    """Drawn land as a screen shows it: red, green and blue from the 2nd to the 98th percentile, gamma 1.4.

    Args:
        channels: of the network: 1 or 3.
        size: rows and columns.
        count: how many.

    Raises:
        OptionError: the network takes another number of channels.
    """
    if channels not in (1, 3):
        raise OptionError(f"the model takes {channels} channels, and drawn pictures have 3 or 1; name some by --images")
    images = tuple(_land(size, LAND + k, channels) for k in range(count))
    return Natural(images, f"{count} drawn pictures of land, no real place and no photograph")


def _land(size: tuple[int, int], seed: int, channels: int) -> Float[Tensor, "c H W"]:
    made = make(*size, sensor=SENSOR, bands=BANDS, wedge=False, seed=seed)
    shown = choose([band.name for band in made.sensor.bands])
    picture = stretch(made.truth[shown], np.ones(size, bool))[:3]
    image = torch.from_numpy(picture.astype(np.float64) / 255)
    return _grey(image).float() if channels == 1 else image.float()


def _grey(image: Float[Tensor, "c H W"]) -> Float[Tensor, "1 H W"]:
    """The brightness of red, green and blue; one band as it is."""
    if image.shape[0] == 1:
        return image
    return (torch.tensor(LUMA, dtype=image.dtype)[:, None, None] * image).sum(0, keepdim=True)


def evenly(count: int, most: int) -> list[int]:
    """Some of so many, the first and the last among them, evenly chosen.

    >>> evenly(3, 8), evenly(10, 4)
    ([0, 1, 2], [0, 3, 6, 9])
    """
    if count <= most:
        return list(range(count))
    return [math.floor(k * (count - 1) / (most - 1) + 0.5) for k in range(most)]
