"""The structure of a TIFF file: reads its directories, cuts out its tiles, lays out a file to be filled in.

Little-endian classic TIFF and BigTIFF, tiled. Sources: Adobe, TIFF Revision 6.0 (1992), sections 2 and 15;
for BigTIFF (magic number 43, 8-byte offsets), the description kept with libtiff.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap

import numpy as np
from jaxtyping import Int64

IMAGE_WIDTH = 256
IMAGE_LENGTH = 257
TILE_OFFSETS = 324
TILE_BYTE_COUNTS = 325

_LONG = 4
_LONG8 = 16
_FORMATS = {3: "<u2", _LONG: "<u4", 13: "<u4", _LONG8: "<u8", 18: "<u8"}
_ALIGN = 8

Buffer = bytes | bytearray | mmap


@dataclass(frozen=True, slots=True)
class Layout:
    """What differs between classic TIFF and BigTIFF.

    Attributes:
        big: BigTIFF.
        first: where the header holds the position of the first directory.
        count: `struct` format of the number of entries in a directory.
        entry: bytes in an entry: tag and type (2 + 2), number of values and value (`word` each).
        word: bytes of an offset.
    """

    big: bool
    first: int
    count: str
    entry: int
    word: int

    @property
    def number(self) -> str:
        """`struct` format of an offset."""
        return "<Q" if self.big else "<I"

    @property
    def type(self) -> int:
        """TIFF type of an offset: LONG8 or LONG."""
        return _LONG8 if self.big else _LONG

    @property
    def limit(self) -> int:
        """One more than the largest offset."""
        return 1 << (8 * self.word)


CLASSIC = Layout(big=False, first=4, count="<H", entry=12, word=4)
BIG = Layout(big=True, first=8, count="<Q", entry=20, word=8)


@dataclass(frozen=True, slots=True)
class Directory:
    """One image of the file. `entries`: tag -> position of its entry in the file."""

    layout: Layout
    entries: dict[int, int]

    def values(self, data: Buffer, tag: int) -> Int64[np.ndarray, " n"]:
        """The whole numbers of a tag.

        Raises:
            ValueError: the tag is missing, holds no whole numbers, or lies outside the file.
        """
        if tag not in self.entries:
            raise ValueError(f"the TIFF directory has no tag {tag}")
        at, word = self.entries[tag], self.layout.word
        kind = struct.unpack_from("<H", data, at + 2)[0]
        if kind not in _FORMATS:
            raise ValueError(f"tag {tag} has type {kind}, which holds no whole numbers")
        count = struct.unpack_from(self.layout.number, data, at + 4)[0]
        form = np.dtype(_FORMATS[kind])
        start = at + 4 + word
        if count * form.itemsize > word:
            start = struct.unpack_from(self.layout.number, data, start)[0]
        if start + count * form.itemsize > len(data):
            raise ValueError(f"the values of tag {tag} lie outside the file")
        return np.frombuffer(data, form, count, start).astype(np.int64)


def directories(data: Buffer) -> list[Directory]:
    """The directories of a TIFF file, in the file's order (those of a chain; not SubIFDs).

    Raises:
        ValueError: not a little-endian TIFF, or cut short.
    """
    layout = {b"II*\0": CLASSIC, b"II+\0": BIG}.get(bytes(data[:4]))
    if layout is None:
        raise ValueError(f"not a little-endian TIFF: it starts with {bytes(data[:4])!r}")
    found: list[Directory] = []
    try:
        at = struct.unpack_from(layout.number, data, layout.first)[0]
        while at:
            entries, link = _entries(data, at, layout)
            found.append(Directory(layout, entries))
            at = struct.unpack_from(layout.number, data, link)[0]
    except struct.error as error:
        raise ValueError(f"the TIFF is cut short: {error}") from error
    return found


def _entries(data: Buffer, at: int, layout: Layout) -> tuple[dict[int, int], int]:
    """Position of each tag's entry, and of the link to the next directory."""
    count = struct.unpack_from(layout.count, data, at)[0]
    start = at + struct.calcsize(layout.count)
    places = [start + k * layout.entry for k in range(count)]
    return {struct.unpack_from("<H", data, p)[0]: p for p in places}, start + count * layout.entry


def pieces(data: Buffer) -> list[bytes]:
    """The stored bytes of each tile of the first image (one a band where the bands are separate planes).

    Raises:
        ValueError: a tile is missing or lies outside the file.
    """
    first = directories(data)[0]
    offsets, counts = (first.values(data, tag) for tag in (TILE_OFFSETS, TILE_BYTE_COUNTS))
    if not counts.all() or (offsets + counts > len(data)).any():
        raise ValueError("a tile is missing or cut short")
    return [bytes(data[o : o + n]) for o, n in zip(offsets.tolist(), counts.tolist(), strict=True)]


def complete(data: Buffer, *, sparse: bool = False) -> bool:
    """Whether every tile of every image lies inside the file; `sparse`: tiles may be left out."""
    for directory in directories(data):
        offsets, counts = (directory.values(data, tag) for tag in (TILE_OFFSETS, TILE_BYTE_COUNTS))
        if (offsets + counts > len(data)).any() or not (sparse or counts.all()):
            return False
    return True


@dataclass(frozen=True)
class Skeleton:
    """The front of a file: all tags, and room for the tables of tiles. The tiles follow as they are written.

    Attributes:
        data: the bytes that stand before the first tile; the tables in it are zero.
        layout: classic or BigTIFF.
        groups: for each image, how many pieces a tile has in it.
        tables: for each image, positions of its offsets and byte counts.
    """

    data: bytes
    layout: Layout
    groups: tuple[int, ...]
    tables: tuple[tuple[int, int], ...]

    def filled(self, lengths: Int64[np.ndarray, "tiles pieces"]) -> bytes:
        """The front with its tables filled in.

        Args:
            lengths: bytes of each piece, tile by tile in row-major order, in the order of the file.
        """
        ends = np.cumsum(lengths.ravel()).reshape(lengths.shape)
        offsets = ends - lengths + len(self.data)
        front = bytearray(self.data)
        splits = np.cumsum((0, *self.groups)).tolist()
        for (first, last), places in zip(pairwise(splits), self.tables, strict=True):
            for table, place in zip((offsets, lengths), places, strict=True):
                # Separate planes are numbered plane by plane, each with all of its tiles.
                numbers = table[:, first:last].T.astype(_FORMATS[self.layout.type]).tobytes()
                front[place : place + len(numbers)] = numbers
        return bytes(front)


def skeleton(template: bytes, height: int, width: int, tiles: int, groups: Sequence[int]) -> Skeleton:
    """Make the front of a large file from a whole small one of the same kind.

    Args:
        template: a tiled TIFF with every tag that the large file shall have; its own tiles are left unused.
        height: rows of the large image, and so on of every image in the template.
        width: columns.
        tiles: tiles of one band.
        groups: for each image in the template, how many pieces a tile has in it (separate bands).

    Raises:
        ValueError: the template is no tiled TIFF or has another number of images.
    """
    front = bytearray(template)
    images = directories(template)
    if len(images) != len(groups):
        raise ValueError(f"the template holds {len(images)} images, not {len(groups)}")
    layout = images[0].layout
    tables: list[tuple[int, int]] = []
    for image, group in zip(images, groups, strict=True):
        for tag, size in ((IMAGE_WIDTH, width), (IMAGE_LENGTH, height)):
            at = image.entries[tag]
            struct.pack_into("<H", front, at + 2, _LONG)
            front[at + 4 : at + layout.entry] = _words(layout, 1, size)
        offsets, counts = (
            _table(front, image.entries[t], tiles * group, layout) for t in (TILE_OFFSETS, TILE_BYTE_COUNTS)
        )
        tables.append((offsets, counts))
    return Skeleton(bytes(front), layout, tuple(groups), tuple(tables))


def _words(layout: Layout, *numbers: int) -> bytes:
    return b"".join(struct.pack(layout.number, n) for n in numbers)


def _table(front: bytearray, at: int, count: int, layout: Layout) -> int:
    """Give a tag room for `count` offsets: one inside its entry, more at the end. Returns the place."""
    struct.pack_into("<H", front, at + 2, layout.type)
    inside = at + 4 + layout.word
    if count == 1:
        front[at + 4 : at + layout.entry] = _words(layout, 1, 0)
        return inside
    front.extend(bytes(-len(front) % _ALIGN))
    place = len(front)
    front[at + 4 : at + layout.entry] = _words(layout, count, place)
    front.extend(bytes(count * layout.word))
    return place
