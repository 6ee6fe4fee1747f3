"""Where pixels come from: files or arrays, in physical units divided by the full scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panloom.errors import SceneError
from panloom.optics.physical import replicate
from panloom.scene._rasterio import Reader
from panloom.types import Window


@runtime_checkable
class Source(Protocol):
    """An image of some bands that can be read by window."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def all_valid(self) -> bool:
        """No pixel can be invalid."""
        ...

    @property
    def remote(self) -> bool:
        """Reading waits for a network."""
        ...

    def read(self, window: Window) -> tuple[Float[Tensor, "1 c h w"], Bool[Tensor, "1 c h w"] | None]:
        """Values and validity (None: all) of a window inside the image."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


@dataclass(frozen=True)
class Units:
    """From stored numbers to what methods see: (scale * DN + offset) / full_scale, band by band."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    full_scale: float

    def to_value(self, dn: Tensor, dtype: torch.dtype) -> Float[Tensor, "1 c h w"]:
        """Stored numbers (1, c, h, w) as values."""
        value = dn.to(dtype)
        if len(set(self.scale)) == 1 and not any(self.offset):
            factor = self.scale[0] / self.full_scale
            return value.mul_(factor) if factor != 1 else value
        return value.mul_(self._column(self.scale, value)).add_(self._column(self.offset, value))

    def to_dn(self, value: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
        """Values as stored numbers, not yet rounded; `value` may be overwritten."""
        if len(set(self.scale)) == 1 and not any(self.offset):
            return value.mul_(self.full_scale / self.scale[0])
        return value.sub_(self._column(self.offset, value)).div_(self._column(self.scale, value))

    def _column(self, numbers: tuple[float, ...], like: Tensor) -> Tensor:
        return (torch.tensor(numbers, dtype=torch.float64) / self.full_scale).to(like).view(1, -1, 1, 1)


class FileSource:
    """Bands of one or several files of one grid."""

    def __init__(
        self, readers: Sequence[Reader], size: tuple[int, int], units: Units, dtype: torch.dtype = torch.float32
    ) -> None:
        """`readers` give the bands in order, one or more each."""
        self._readers, self._size, self._units, self._dtype = tuple(readers), size, units, dtype

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._size

    @property
    def all_valid(self) -> bool:
        """No pixel can be invalid."""
        return all(reader.all_valid for reader in self._readers)

    @property
    def remote(self) -> bool:
        """Reading waits for a network."""
        return any(reader.remote for reader in self._readers)

    def read(self, window: Window) -> tuple[Float[Tensor, "1 c h w"], Bool[Tensor, "1 c h w"] | None]:
        """Values and validity of a window inside the image."""
        parts = [reader.read(window) for reader in self._readers]
        data = parts[0][0] if len(parts) == 1 else np.concatenate([d for d, _ in parts])
        values = self._units.to_value(torch.from_numpy(data)[None], self._dtype)
        if all(valid is None for _, valid in parts):
            return values, None
        masks = [np.ones(d.shape, dtype=bool) if v is None else v for d, v in parts]
        return values, torch.from_numpy(np.concatenate(masks))[None]

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()


class ArraySource:
    """Bands of an image in memory."""

    def __init__(self, values: Float[Tensor, "1 c h w"], valid: Bool[Tensor, "1 c h w"] | None) -> None:
        """`values` in the units of methods; `valid` None where every pixel is valid."""
        self._values, self._valid = values, valid

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._values.shape[-2], self._values.shape[-1]

    @property
    def all_valid(self) -> bool:
        """No pixel can be invalid."""
        return self._valid is None

    @property
    def remote(self) -> bool:
        """Never: the pixels are in memory."""
        return False

    def read(self, window: Window) -> tuple[Float[Tensor, "1 c h w"], Bool[Tensor, "1 c h w"] | None]:
        """Values and validity of a window inside the image."""
        rows, cols = window.inside(Window(0, 0, *self.size))
        valid = None if self._valid is None else self._valid[..., rows, cols]
        return self._values[..., rows, cols].clone(), None if valid is None or bool(valid.all()) else valid

    def close(self) -> None:
        """Nothing to let go of."""


def take(
    source: Source, origin: tuple[int, int], window: Window
) -> tuple[Float[Tensor, "1 c h w"], Bool[Tensor, "1 c h w"] | None]:
    """A window that may lie partly or wholly outside the image; there the edge is repeated and invalid.

    Args:
        source: the image.
        origin: (row, col) of the window's frame in the image.
        window: rows and columns in that frame.

    Raises:
        SceneError: the file cannot be read.
    """
    place = window.shifted(*origin)
    inside = place.clipped(*source.size)
    if not inside.height or not inside.width:
        nearest = Window(min(inside.row, source.size[0] - 1), min(inside.col, source.size[1] - 1), 1, 1)
        values, _ = source.read(nearest)
        values = torch.zeros_like(values).expand(-1, -1, place.height, place.width).clone()
        return values, torch.zeros_like(values, dtype=torch.bool)
    values, valid = source.read(inside)
    if inside == place:
        return values, valid
    pads = (
        inside.row - place.row,
        place.row_end - inside.row_end,
        inside.col - place.col,
        place.col_end - inside.col_end,
    )
    known = torch.ones_like(values, dtype=torch.bool) if valid is None else valid
    mask = torch.zeros((*values.shape[:2], place.height, place.width), dtype=torch.bool)
    rows, cols = inside.inside(place)
    mask[..., rows, cols] = known
    return replicate(values, *pads), mask


def check_readable(source: Source, what: str) -> None:
    """Read the last pixel: a truncated file is found before the work, not after it.

    Raises:
        SceneError: it cannot be read.
    """
    rows, cols = source.size
    try:
        source.read(Window(rows - 1, cols - 1, 1, 1))
    except SceneError as error:
        raise SceneError(f"the {what} image cannot be read to its end: {error}") from error
