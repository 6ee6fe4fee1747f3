from __future__ import annotations

import struct

import numpy as np
import pytest
from rasterio import Affine
from rasterio.io import MemoryFile

from panloom.scene import _tiff


def written(size=64, count=2, height=None, **options):
    height = height or size
    shape = (count, height, size)
    data = np.random.default_rng(0).integers(0, 999, shape, dtype=np.uint16)
    settings = {"tiled": True, "blockxsize": 64, "blockysize": 64, "transform": Affine.scale(2), **options}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=height, width=size, count=count, dtype="uint16", **settings) as ds:
            ds.write(data)
        return data, memory.read()


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize(("interleave", "expected"), [("PIXEL", 1), ("BAND", 2)])
def test_pieces_are_the_pixels_when_nothing_is_compressed(bigtiff, interleave, expected):
    data, file = written(bigtiff=bigtiff, interleave=interleave)
    found = _tiff.pieces(file)
    assert len(found) == expected
    if interleave == "PIXEL":
        assert found[0] == data.transpose(1, 2, 0).tobytes()
    else:
        assert found == [band.tobytes() for band in data]


def test_values_inside_the_entry_and_outside():
    _, file = written(size=192, count=1)
    (directory,) = _tiff.directories(file)
    assert directory.values(file, _tiff.IMAGE_WIDTH).tolist() == [192]
    assert len(directory.values(file, _tiff.TILE_OFFSETS)) == 9


def test_values_of_a_missing_tag_and_of_text():
    _, file = written(count=1)
    (directory,) = _tiff.directories(file)
    with pytest.raises(ValueError, match="no tag 9999"):
        directory.values(file, 9999)
    with pytest.raises(ValueError, match="type 12"):
        directory.values(file, 34264)


@pytest.mark.parametrize("data", [b"", b"PNG!", b"MM\0*" + bytes(20), b"II*\0\xff\xff\0\0"])
def test_what_is_no_tiff(data):
    with pytest.raises(ValueError, match=r"TIFF"):
        _tiff.directories(data)


def test_complete_notices_a_file_cut_short_and_a_missing_tile():
    _, file = written(size=128, count=1, compress="DEFLATE")
    assert _tiff.complete(file)
    (directory,) = _tiff.directories(file)
    last = int(directory.values(file, _tiff.TILE_OFFSETS).max())
    assert not _tiff.complete(file[: last + 1])
    with pytest.raises(ValueError, match="missing or cut short"):
        _tiff.pieces(file[: last + 1])
    _, sparse = written(size=128, count=1, sparse_ok=True, nodata=1)
    assert _tiff.complete(sparse)
    hole = bytearray(file)
    place = struct.unpack_from("<I", file, directory.entries[_tiff.TILE_BYTE_COUNTS] + 8)[0]
    hole[place : place + 2] = bytes(2)
    assert not _tiff.complete(bytes(hole))
    assert _tiff.complete(bytes(hole), sparse=True)


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize(
    ("height", "width", "interleave"),
    [(150, 70, "PIXEL"), (150, 70, "BAND"), (64, 50, "PIXEL"), (9, 64, "BAND")],
)
def test_a_filled_skeleton_is_read_by_gdal(bigtiff, height, width, interleave):
    data, small = written(bigtiff=bigtiff, interleave=interleave)
    rows, cols = -(-height // 64), -(-width // 64)
    planes = 2 if interleave == "BAND" else 1
    made = _tiff.skeleton(small, height, width, rows * cols, (planes,))
    stored = _tiff.pieces(small)
    lengths = np.array([[len(p) for p in stored]] * (rows * cols), dtype=np.int64)
    file = made.filled(lengths) + b"".join(stored) * (rows * cols)
    assert len(made.filled(lengths)) == len(made.data)
    assert _tiff.complete(file)
    with MemoryFile(file) as memory, memory.open() as ds:
        np.testing.assert_array_equal(ds.read(), np.tile(data, (1, rows, cols))[:, :height, :width])


def test_offsets_beyond_4_gib():
    _, small = written(count=1, bigtiff="YES")
    made = _tiff.skeleton(small, 64, 192, 3, (1,))
    front = made.filled(np.full((3, 1), 3_000_000_000, dtype=np.int64))
    (directory,) = _tiff.directories(front)
    offsets = directory.values(front, _tiff.TILE_OFFSETS) - len(front)
    assert offsets.tolist() == [0, 3_000_000_000, 6_000_000_000]


def test_a_skeleton_needs_a_group_for_each_image():
    _, small = written()
    with pytest.raises(ValueError, match="1 images, not 2"):
        _tiff.skeleton(small, 64, 64, 1, (1, 1))
