"""The array API: numpy in, numpy out; torch in, torch out. What a file would have said is an argument."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from panloom import sensors
from panloom.compute import Policy, Tuned, each, fused, wanted, workers
from panloom.errors import OptionError, PanloomWarning
from panloom.pair import Fuser
from panloom.run._fits import beyond_training, check_fits
from panloom.run._tiles import in_order
from panloom.run._tuning import needless, tuned
from panloom.run.resolve import DEFAULT, resolve
from panloom.scene import Scene, array_scene
from panloom.tiling import plan, tile_size, trim
from panloom.types import Sensor, Tile, bit_range, corner_phase

Array = TypeVar("Array", np.ndarray, Tensor)


def fuse(  # noqa: PLR0913  what a file would have said is an argument
    pan: Array,
    ms: Array,
    *,
    method: str = DEFAULT,
    options: Mapping[str, object] | None = None,
    sensor: str | Sensor = "generic",
    bands: Sequence[str] | None = None,
    sharpen_bands: Sequence[str] | None = None,
    phase: Literal["corner"] | tuple[float, float] = "corner",
    nodata: float | None = None,
    full_scale: float | None = None,
    device: str = "cpu",
    precision: str = "auto",
    threads: int | None = None,
    seed: int = 0,
) -> Array:
    """Sharpen arrays in memory.

    Args:
        pan: (H, W) or (1, H, W).
        ms: (C, h, w), with H and W about an integer ratio times h and w.
        method: see `panloom methods`.
        options: of the method, as in `--set name=value`.
        sensor: registry name, path of a TOML file, or a sensor: its MTF gains are used.
        bands: names of the bands of `ms`; None: the sensor's usual order.
        sharpen_bands: names of the bands to sharpen; None: all but SWIR, cirrus and thermal, which are interpolated.
        phase: "corner" (both images start at the same corner), or (row, col) in PAN pixels at which MS sample (0, 0)
            is centred.
        nodata: number that marks invalid pixels in both; NaN and infinity are always invalid.
        full_scale: the number that becomes 1 inside; None: 1 where no number is larger, else that of the sensor, else
            the 2^n - 1 that holds the largest number. It changes no classical result and none of `universal`.
        device: "cpu", "cuda", "cuda:1", or "auto" (CUDA where there is one).
        precision: of networks: "float32", "bfloat16", or "auto" (bfloat16 where the hardware has it and
            its PSNR against float32 on samples of the scene is at least 60 dB at full scale).
        threads: tiles computed at once; None: one per processor.
        seed: of everything random.

    Returns:
        (C, H, W) float32 (float64 if an input is), in the numbers of `ms`, of the kind of the inputs; NaN where PAN or
        MS is invalid. Nothing is clipped: beside sharp edges of high contrast a method may overshoot, so values may lie
        below 0 or above the range of `ms`; clip them before a conversion to integers.

    Raises:
        PanloomError: shapes, bands or options that do not fit.

    Warns:
        PanloomWarning: the weights were trained at other ratios or on other bands, or a precision is given for a method
            without a network.

    >>> import numpy as np
    >>> pan, ms = np.full((32, 32), 7.0, "float32"), np.full((3, 8, 8), 5.0, "float32")
    >>> fuse(pan, ms).shape
    (3, 32, 32)
    """
    sharp, spectral = _images(pan, ms)
    settled = _sensor(sensor, bands, spectral.shape[0])
    scene = _scene(sharp, spectral, settled, sharpen_bands, phase, nodata, full_scale)
    policy = Policy.in_memory(device, threads)
    wanted(precision, policy.device)  # a wrong word is told before the work
    scene = replace(scene, threads=policy.threads)
    fuser = check_fits(resolve(method, options), method, scene)
    with workers(policy.threads):
        ready = fuser.prepare(scene, torch.Generator().manual_seed(seed))
    ready = tuned(scene, ready, precision, policy, seed)
    for text in (*beyond_training(fuser, method, scene)[1], *needless(ready, method, precision)):
        warnings.warn(text, PanloomWarning, stacklevel=2)
    image = whole(scene, ready, policy)
    return cast("Array", image.numpy() if isinstance(pan, np.ndarray) else image.to(pan.device))


def whole(scene: Scene, fuser: Fuser, policy: Policy) -> Tensor:
    """All tiles of a scene, put together, in the numbers of its units; NaN where invalid."""
    ratio, grid = scene.grid.ratio, scene.grid
    tiles = plan(grid, fuser.traits, _tile_size(scene, fuser))

    def work(tile: Tile) -> Tensor:
        loaded = scene.load(tile)
        image = in_order(scene, fused(fuser, loaded.pair, tile, ratio, policy), loaded, tile)
        if loaded.valid is None:
            return image
        return torch.where(trim(loaded.valid, tile, ratio), image, torch.full_like(image, torch.nan))

    out: Tensor | None = None
    for tile, image in zip(tiles, each(tiles, work, policy.threads), strict=True):
        if out is None:
            out = image.new_empty((image.shape[1], grid.height, grid.width))
        core = tile.core
        out[:, core.row : core.row_end, core.col : core.col_end] = image[0]
    if out is None:
        raise OptionError("the images hold no pixel")
    return out.mul_(scene.units.full_scale)


def _tile_size(scene: Scene, fuser: Fuser) -> int:
    """PAN pixels along a side of a tile: for networks, which are slow, smaller where an image is hardly one tile.

    It does not depend on the number of threads, so the result does not either.
    """
    ratio, multiple = scene.grid.ratio, fuser.traits.multiple
    usual, unit = tile_size(ratio, multiple), ratio * multiple
    few = max(scene.grid.height, scene.grid.width) <= 2 * usual
    return -(-usual // (2 * unit)) * unit if few and isinstance(fuser, Tuned) else usual


def _images(pan: np.ndarray | Tensor, ms: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """PAN as (1, H, W) and MS as (C, h, w)."""
    sharp, spectral = _tensor(pan, "pan"), _tensor(ms, "ms")
    sharp = sharp[None] if sharp.ndim == 2 else sharp
    if sharp.ndim != 3 or sharp.shape[0] != 1 or spectral.ndim != 3 or not sharp.numel() or not spectral.numel():
        shapes = f"{tuple(pan.shape)} and {tuple(ms.shape)}"
        raise OptionError(f"pan is (H, W) or (1, H, W) and ms is (C, h, w); given: {shapes}")
    return sharp, spectral


def _scene(
    sharp: Tensor,
    spectral: Tensor,
    sensor: Sensor,
    sharpen_bands: Sequence[str] | None,
    phase: Literal["corner"] | tuple[float, float],
    nodata: float | None,
    full_scale: float | None,
) -> Scene:
    _check_numbers(phase, full_scale)
    dtype = torch.float64 if torch.float64 in (sharp.dtype, spectral.dtype) else torch.float32
    pan_valid, ms_valid = _valid(sharp, nodata), _valid(spectral, nodata)
    ratio = max(round((sharp.shape[1] * sharp.shape[2] / (spectral.shape[1] * spectral.shape[2])) ** 0.5), 1)
    centred = corner_phase(ratio)
    return array_scene(
        sharp.to(dtype)[None],
        spectral.to(dtype)[None],
        sensor=sensor,
        sharpen=sharpen_bands,
        phase=(centred, centred) if phase == "corner" else phase,
        pan_valid=None if bool(pan_valid.all()) else pan_valid[None],
        ms_valid=None if bool(ms_valid.all()) else ms_valid[None],
        full_scale=full_scale or _full_scale(sensor, _largest(sharp, pan_valid, spectral, ms_valid)),
    )


def _check_numbers(phase: Literal["corner"] | tuple[float, float], full_scale: float | None) -> None:
    if phase != "corner" and not all(map(math.isfinite, phase)):
        raise OptionError(f"phase is 'corner' or (row, col) in PAN pixels; given: {phase}")
    if full_scale is not None and not 0 < full_scale < math.inf:
        raise OptionError(f"full_scale must be positive; given: {full_scale:g}")


def _tensor(array: object, name: str) -> Tensor:
    if isinstance(array, Tensor):
        if array.is_complex() or array.dtype == torch.bool:
            raise OptionError(f"{name} must hold real numbers; given: {array.dtype}")
        return array.detach().cpu()
    if not isinstance(array, np.ndarray):
        raise OptionError(f"{name} must be a numpy array or a torch tensor; given: {type(array).__name__}")
    given = cast("npt.NDArray[np.generic]", array)
    if not np.issubdtype(given.dtype, np.number) or np.issubdtype(given.dtype, np.complexfloating):
        raise OptionError(f"{name} must hold real numbers; given: {given.dtype}")
    # torch knows neither foreign byte orders nor numbers longer than a double.
    native = given.astype(np.float64 if given.dtype.itemsize > 8 else given.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native))  # pyright: ignore[reportUnknownMemberType]


def _valid(image: Tensor, nodata: float | None) -> Tensor:
    values = image.double()
    valid = torch.isfinite(values)
    return valid if nodata is None else valid & (values != nodata)


def _full_scale(sensor: Sensor, largest: float) -> float:
    return 1.0 if largest <= 1 else max(sensor.full_scale or 0.0, float(bit_range(largest)))


def _largest(pan: Tensor, pan_valid: Tensor, ms: Tensor, ms_valid: Tensor) -> float:
    found = [float(i[v].double().max()) for i, v in ((pan, pan_valid), (ms, ms_valid)) if bool(v.any())]
    return max([n for n in found if n > 0], default=1.0)


def _sensor(sensor: str | Sensor, bands: Sequence[str] | None, count: int) -> Sensor:
    """The sensor with exactly the bands of `ms`."""
    chosen = sensor if isinstance(sensor, Sensor) else sensors.get(sensor)
    if bands is not None:
        named = [sensors.band_named(chosen, name) for name in bands]
        found = tuple(b for b in named if b is not None)
        if len(found) != count or len(found) != len(bands):
            have = ", ".join(b.name for b in chosen.bands)
            raise OptionError(
                f"ms has {count} bands, and the names given are {', '.join(bands)}; {chosen.name} has {have}"
            )
        return replace(chosen, bands=found)
    if len(chosen.bands) == count:
        return chosen
    return replace(chosen, bands=sensors.bands_for(chosen, count) or sensors.generic_bands(count))
