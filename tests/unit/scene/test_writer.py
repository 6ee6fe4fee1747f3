from __future__ import annotations

import dataclasses
import errno
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import MaskFlags

from panloom.errors import OutputError, ResumeError
from panloom.scene import _lock as lock
from panloom.scene import writer as module
from panloom.scene.profile import Profile
from panloom.scene.writer import GeoTiffWriter, TileEncoder

UTM = rasterio.crs.CRS.from_epsg(32632).to_wkt()
PLACE = (0.5, 0.0, 500000.0, 0.0, -0.5, 5000000.0)


def image(profile):
    """Smooth, with a little noise, so that it compresses as images do."""
    return _image((profile.count, profile.height, profile.width), profile.dtype)


@functools.cache
def _image(shape, dtype):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: shape[1], : shape[2]]
    waves = [90 + 40 * np.sin(x / (7 + k)) + 40 * np.cos(y / (11 + k)) for k in range(shape[0])]
    return (np.stack(waves) + rng.integers(0, 5, (1, *y.shape))).astype(dtype)


def tile(profile, data, index):
    """The full tile of a (band, row, col) array, its edge repeated."""
    size, (row, col) = profile.tile, divmod(index, profile.tiles[1])
    part = data[:, row * size : (row + 1) * size, col * size : (col + 1) * size]
    return np.pad(part, [(0, 0), (0, size - part.shape[1]), (0, size - part.shape[2])], mode="edge")


def holes(profile):
    mask = np.full((1, profile.height, profile.width), 255, dtype=np.uint8)
    mask[:, 10:40, 20:90] = 0
    return mask


def pieces(profile, index, encoder=None):
    mask = tile(profile, holes(profile), index)[0] if profile.mask else None
    return (encoder or TileEncoder(profile)).encode(tile(profile, image(profile), index), mask)


def write(path, profile, *, stop=None, **settings):
    """Write the tiles up to `stop`; closes only when nothing is left to write."""
    encoder = TileEncoder(profile)
    out = GeoTiffWriter(path, profile, **settings)
    for index in range(out.done, profile.tile_count if stop is None else stop):
        out.put(index, pieces(profile, index, encoder))
    if stop is None:
        out.close()
    else:
        out.abort()
    return path


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def full(**changes):
    base = Profile(
        height=150,
        width=200,
        count=4,
        dtype="uint16",
        crs=UTM,
        transform=PLACE,
        nodata=0.0,
        descriptions=("blue", "green", "red", "nir"),
        colors=("blue", "green", "red", "undefined"),
        scales=(1e-4,) * 4,
        offsets=(0.5,) * 4,
        tags={"METHOD": "gsa", "TIFFTAG_SOFTWARE": "panloom", "ODD": 'a "<&> b'},
        tile=64,
    )
    return dataclasses.replace(base, **changes)


def plain(**changes):
    return dataclasses.replace(Profile(height=150, width=200, count=1, dtype="uint8", tile=64), **changes)


class TestPixels:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
    @pytest.mark.parametrize("count", [1, 3, 4, 8])
    @pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
    def test_types_and_bands(self, tmp_path, dtype, count, interleave):
        profile = plain(dtype=dtype, count=count, options={"interleave": interleave})
        path = write(tmp_path / "o.tif", profile)
        with rasterio.open(path) as ds:
            np.testing.assert_array_equal(ds.read(), image(profile))
            assert ds.dtypes == (dtype,) * count
            assert ds.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "ZSTD"
            assert ds.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE", "BAND") == ("BAND" if count == 1 else interleave)
        assert files(tmp_path) == ["o.tif"]

    @pytest.mark.parametrize("compress", ["NONE", "DEFLATE", "LZW", "ZSTD", "LZMA", "PACKBITS", "LERC_ZSTD"])
    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_compressions(self, tmp_path, compress, dtype):
        profile = plain(dtype=dtype, count=3, options={"COMPRESS": compress})
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            np.testing.assert_array_equal(ds.read(), image(profile))
            assert ds.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "NONE") == compress

    @pytest.mark.parametrize(("height", "width"), [(64, 64), (1, 1), (65, 64), (63, 129), (128, 128)])
    @pytest.mark.parametrize("options", [{}, {"INTERLEAVE": "BAND", "BIGTIFF": "YES"}])
    def test_sizes(self, tmp_path, height, width, options):
        profile = plain(height=height, width=width, count=2, options=options)
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            np.testing.assert_array_equal(ds.read(), image(profile))

    def test_fewer_bits(self, tmp_path):
        profile = plain(dtype="uint16", options={"NBITS": "11"})
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            np.testing.assert_array_equal(ds.read(), image(profile))
            assert ds.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "11"

    @pytest.mark.parametrize("options", [{}, {"COMPRESS": "NONE"}, {"INTERLEAVE": "BAND"}])
    def test_empty_tiles_are_written(self, options):
        profile = plain(count=2, dtype="uint16", nodata=0.0, options=options)
        stored = TileEncoder(profile).encode(np.zeros((2, 64, 64), np.uint16))
        assert all(stored)

    def test_smaller_tiles_are_padded(self):
        profile = plain(mask=True, count=2)
        encoder, data = TileEncoder(profile), image(profile)[:, :22, :8]
        mask = np.full((22, 8), 255, np.uint8)
        mask[3, 4] = 0
        edges = [(0, 42), (0, 56)]
        assert encoder.encode(data, mask) == encoder.encode(
            np.pad(data, [(0, 0), *edges], mode="edge"), np.pad(mask, edges, mode="edge")
        )

    def test_without_mask_all_is_valid(self):
        encoder, data = TileEncoder(plain(mask=True)), np.zeros((1, 64, 64), np.uint8)
        assert encoder.encode(data) == encoder.encode(data, np.ones((64, 64), np.uint8))

    def test_a_wrong_tile_is_refused(self):
        encoder = TileEncoder(plain())
        with pytest.raises(ValueError, match="not 1 of uint16"):
            encoder.encode(np.zeros((1, 64, 64), np.uint16))
        with pytest.raises(ValueError, match="not 2 of uint8"):
            encoder.encode(np.zeros((2, 64, 64), np.uint8))
        with pytest.raises(ValueError, match="not 32 x 65"):
            encoder.encode(np.zeros((1, 32, 65), np.uint8))
        with pytest.raises(ValueError, match="mask"):
            encoder.encode(np.zeros((1, 64, 64), np.uint8), np.zeros((64, 64), np.uint8))


class TestTags:
    @pytest.mark.parametrize("driver", ["GTiff", "COG"])
    def test_round_trip(self, tmp_path, driver):
        profile = full(driver=driver)
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            np.testing.assert_array_equal(ds.read(), image(profile))
            assert ds.crs == rasterio.crs.CRS.from_wkt(UTM)
            assert tuple(ds.transform)[:6] == PLACE
            assert ds.nodata == 0
            assert ds.descriptions == profile.descriptions
            assert tuple(c.name for c in ds.colorinterp) == profile.colors
            assert ds.scales == profile.scales
            assert ds.offsets == profile.offsets
            tags = ds.tags()
            assert all(tags[k] == v for k, v in profile.tags.items())
            assert ds.block_shapes[0] == (64, 64) or driver == "COG"
        assert files(tmp_path) == ["o.tif"]

    @pytest.mark.parametrize(
        "colors", [("red", "green", "blue"), ("red", "green", "blue", "alpha"), ("gray",), ("nir", "gray")]
    )
    def test_colours(self, tmp_path, colors):
        profile = plain(count=len(colors), colors=colors)
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            found = [c.name for c in ds.colorinterp]
        assert found == [c if c != "nir" or "nir" in found else "undefined" for c in colors]

    def test_nan_is_a_no_data_number(self, tmp_path):
        profile = plain(dtype="float32", nodata=float("nan"))
        write(tmp_path / "o.tif", profile, stop=3)
        with rasterio.open(write(tmp_path / "o.tif", profile, resume=True)) as ds:
            assert np.isnan(ds.nodata)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("driver", ["GTiff", "COG"])
    def test_no_georeference_is_no_news(self, tmp_path, driver):
        write(tmp_path / "o.tif", plain(height=300, overviews=True, driver=driver))
        assert files(tmp_path) == ["o.tif"]

    def test_rpcs_follow_the_origin(self, tmp_path):
        rpcs = rasterio.rpc.RPC(
            height_off=1, height_scale=1, lat_off=1, lat_scale=1, long_off=1, long_scale=1,
            line_off=100, line_scale=50, samp_off=90, samp_scale=45,
            line_num_coeff=[1.0] * 20, line_den_coeff=[2.0] * 20,
            samp_num_coeff=[3.0] * 20, samp_den_coeff=[4.0] * 20,
        )  # fmt: skip
        source = tmp_path / "pan.tif"
        with rasterio.open(source, "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8") as ds:
            ds.rpcs = rpcs
        profile = plain(rpcs_from=str(source), rpcs_origin=(10, 20))
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            assert (ds.rpcs.line_off, ds.rpcs.samp_off) == (90, 70)
            assert ds.rpcs.samp_den_coeff == [4.0] * 20

    @pytest.mark.parametrize("driver", ["GTiff", "COG"])
    def test_ground_control_points_follow_the_origin(self, tmp_path, driver):
        places = [(0, 0, 10.0, 50.0), (0, 300, 10.3, 50.1), (300, 0, 10.1, 49.7), (300, 300, 10.4, 49.8)]
        points = [GroundControlPoint(row, col, x, y, 7.0) for row, col, x, y in places]
        source = tmp_path / "pan.tif"
        with rasterio.open(source, "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8") as ds:
            ds.gcps = points, rasterio.crs.CRS.from_epsg(4326)
        profile = plain(rpcs_from=str(source), rpcs_origin=(10, 20), driver=driver)
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            found, crs = ds.gcps
            assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [
                (r - 10, c - 20, x, y, 7) for r, c, x, y in places
            ]
            assert crs.to_epsg() == 4326
            assert ds.rpcs is None

    @pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no gdalinfo")
    @pytest.mark.parametrize("changes", [{}, {"overviews": True}, {"nodata": None, "mask": True}])
    def test_gdalinfo_has_nothing_to_say_against_it(self, tmp_path, changes):
        path = write(tmp_path / "o.tif", full(height=400, width=300, **changes))
        done = subprocess.run(
            ["gdalinfo", "-checksum", str(path)], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr == ""
        assert "Size is 300, 400" in done.stdout


class TestMask:
    @pytest.mark.parametrize("driver", ["GTiff", "COG"])
    @pytest.mark.parametrize("overviews", [False, True])
    def test_internal_mask(self, tmp_path, driver, overviews):
        profile = full(nodata=None, mask=True, height=400, width=530, driver=driver, overviews=overviews)
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            assert ds.mask_flag_enums[0] == [MaskFlags.per_dataset]
            np.testing.assert_array_equal(ds.read(), image(profile))
            np.testing.assert_array_equal(ds.dataset_mask(), holes(profile)[0])
        assert files(tmp_path) == ["o.tif"]
        if overviews:
            with rasterio.open(tmp_path / "o.tif", overview_level=0) as ds:
                assert not ds.dataset_mask()[6:19, 11:44].any()
                assert ds.dataset_mask()[25:].all()

    def test_mask_or_number(self):
        with pytest.raises(OutputError, match="not both"):
            plain(mask=True, nodata=0.0)


class TestOverviews:
    @pytest.mark.parametrize("options", [{}, {"INTERLEAVE": "BAND"}, {"COMPRESS": "DEFLATE"}, {"NBITS": "11"}])
    def test_averages(self, tmp_path, options):
        profile = full(nodata=None, height=600, width=300, overviews=True, options=options)
        data = image(profile).astype(np.float64)
        mean = (data[:, ::2, ::2] + data[:, 1::2, ::2] + data[:, ::2, 1::2] + data[:, 1::2, 1::2]) / 4
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            assert ds.overviews(1) == [2, 4]
            np.testing.assert_array_equal(ds.read(), data)
        with rasterio.open(tmp_path / "o.tif", overview_level=0) as ds:
            assert np.abs(ds.read() - mean).max() <= 0.5
            assert ds.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == options.get("COMPRESS", "ZSTD")
            assert ds.block_shapes[0] == (64, 64)

    def test_small_images_have_none(self, tmp_path):
        with rasterio.open(write(tmp_path / "o.tif", plain(overviews=True))) as ds:
            assert ds.overviews(1) == []

    def test_no_data_is_left_out(self, tmp_path):
        profile = plain(height=300, nodata=0.0, overviews=True)
        encoder, out = TileEncoder(profile), GeoTiffWriter(tmp_path / "o.tif", profile)
        chequered = np.zeros((1, 64, 64), np.uint8)
        chequered[:, ::2, ::2] = 100
        for index in range(profile.tile_count):
            out.put(index, encoder.encode(chequered))
        out.close()
        with rasterio.open(tmp_path / "o.tif", overview_level=0) as ds:
            assert (ds.read() == 100).all()


class TestSameBytes:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"options": {"INTERLEAVE": "BAND"}},
            {"options": {"COMPRESS": "DEFLATE"}},
            {"options": {"NBITS": "9"}},
        ],
    )
    def test_any_order_and_number_of_threads(self, changes):
        profile = full(**changes)
        encoder, data = TileEncoder(profile), image(profile)
        order = [*range(profile.tile_count)] * 4
        random.Random(0).shuffle(order)
        expected = [encoder.encode(tile(profile, data, k)) for k in range(profile.tile_count)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda k: encoder.encode(tile(profile, data, k)), order))
        assert all(f == expected[k] for k, f in zip(order, found, strict=True))

    @pytest.mark.parametrize("changes", [{}, {"driver": "COG"}, {"mask": True}, {"mask": True, "driver": "COG"}])
    def test_any_cache_and_number_of_gdal_threads(self, tmp_path, changes):
        profile = full(nodata=None, height=700, width=600, overviews=True, **changes)
        contents = []
        for threads, cache in [(1, 64), (4, 64), (2, 1)]:
            with rasterio.Env(GDAL_NUM_THREADS=str(threads), GDAL_CACHEMAX=cache):
                contents.append(write(tmp_path / "o.tif", profile, overwrite=True).read_bytes())
        assert contents[0] == contents[1] == contents[2]

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"overviews": True},
            {"driver": "COG", "overviews": True},
            {"nodata": None, "mask": True, "overviews": True},
            {"options": {"INTERLEAVE": "BAND", "BIGTIFF": "YES"}},
        ],
    )
    def test_resumed(self, tmp_path, changes):
        profile = full(height=330, **changes)
        whole = write(tmp_path / "whole.tif", profile).read_bytes()
        path = tmp_path / "o.tif"
        for stop in (0, 5, 6, profile.tile_count):
            write(path, profile, stop=stop, resume=True)
            assert not path.exists()
        assert write(path, profile, resume=True).read_bytes() == whole
        assert files(tmp_path) == ["o.tif", "whole.tif"]


CHILD = """
import sys, time
sys.path[:0] = [{tests!r}, {here!r}]
import test_writer as t
profile = t.full(height=600, width=500, **{changes!r})
encoder, data = t.TileEncoder(profile), t.image(profile)
masks = t.holes(profile)
out = t.GeoTiffWriter({path!r}, profile, resume=True, flush_seconds=0.005)
print(out.done, flush=True)
for index in range(out.done, profile.tile_count):
    mask = t.tile(profile, masks, index)[0] if profile.mask else None
    out.put(index, encoder.encode(t.tile(profile, data, index), mask))
    time.sleep(0.002)
print("closing", flush=True)
out.close()
print("closed", flush=True)
"""


class TestKilled:
    @pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
    @pytest.mark.parametrize(
        ("changes", "waits"),
        [
            ({"overviews": True}, [(0, 0.02), (0, 0.08), (1, 0.0), (1, 0.03)]),
            ({"driver": "COG", "overviews": True}, [(0, 0.05), (1, 0.02), (1, 0.06)]),
            ({"nodata": None, "mask": True, "overviews": True}, [(0, 0.05), (1, 0.03)]),
        ],
    )
    def test_resumes_to_the_same_bytes(self, tmp_path, changes, waits):
        profile = full(height=600, width=500, **changes)
        whole = write(tmp_path / "whole.tif", profile).read_bytes()
        path, here = tmp_path / "o.tif", Path(__file__).parent
        code = CHILD.format(path=str(path), changes=changes, tests=str(here.parents[1]), here=str(here))
        done = []
        for line, wait in waits:
            child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            done.append(int(child.stdout.readline()))
            if line:
                assert child.stdout.readline() == "closing\n"
            time.sleep(wait)
            child.send_signal(signal.SIGKILL)
            rest = child.communicate()[0]
            if "closed" in rest or path.exists():
                assert path.read_bytes() == whole
                if "closed" not in rest:
                    return  # killed after the file had its name, while what is beside it was removed
                break
        else:
            assert not path.exists()
            assert done == sorted(done)
            assert done[-1] > 0
            finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            assert "closed" in finished.stdout
        assert path.read_bytes() == whole
        assert files(tmp_path) == ["o.tif", "whole.tif"]

    def test_an_error_leaves_the_partial_and_nothing_else(self, tmp_path):
        profile = plain()

        def interrupted():
            with GeoTiffWriter(tmp_path / "o.tif", profile) as out:
                out.put(0, pieces(profile, 0))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert files(tmp_path) == [".o.tif.partial", ".o.tif.partial.json"]
        again = GeoTiffWriter(tmp_path / "o.tif", profile, resume=True)
        assert again.done == 1
        assert "after 1 of 12 tiles" in (again.note or "")
        again.abort()

    def test_the_journal_is_written_in_time(self, tmp_path, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        profile, journal = plain(), tmp_path / ".o.tif.partial.json"
        out = GeoTiffWriter(tmp_path / "o.tif", profile, flush_seconds=5)
        counts = []
        for index in range(6):
            now[0] += 2
            out.put(index, pieces(profile, index))
            counts.append(sum(len(json.loads(line)) for line in journal.read_text().splitlines()[1:]))
        assert counts == [0, 0, 3, 3, 3, 6]
        out.abort()


class TestJournal:
    @pytest.fixture
    def begun(self, tmp_path):
        write(tmp_path / "o.tif", plain(), stop=4, key="gsa")
        return tmp_path / "o.tif"

    def test_other_key_or_profile(self, begun):
        with pytest.raises(OutputError, match="key: 'gsa' then, 'brovey' now"):
            GeoTiffWriter(begun, plain(), resume=True, key="brovey")
        with pytest.raises(OutputError, match="width: 200 then, 201 now"):
            GeoTiffWriter(begun, plain(width=201), resume=True, key="gsa")
        assert GeoTiffWriter(begun, plain(), resume=True, key="gsa").done == 4

    def test_torn_last_line(self, begun):
        journal = begun.with_name(".o.tif.partial.json")
        journal.write_bytes(journal.read_bytes() + b"[[12],[1")
        out = GeoTiffWriter(begun, plain(), resume=True, key="gsa")
        assert out.done == 4
        out.put(4, pieces(plain(), 4))
        out.abort()
        assert GeoTiffWriter(begun, plain(), resume=True, key="gsa").done == 5

    @pytest.mark.parametrize("content", [b"", b"[]\n", b"\xff\n", b"{}\n", b'"x"\n', b"{not json}\n"])
    def test_damaged_head(self, begun, content):
        begun.with_name(".o.tif.partial.json").write_bytes(content)
        with pytest.raises(OutputError, match="without --resume"):
            GeoTiffWriter(begun, plain(), resume=True, key="gsa")

    @pytest.mark.parametrize("line", [b"[[1,2]]", b"[[-4]]", b"7", b"[[1]", b'[["a"]]', b"[[99999999]]"])
    def test_damaged_line(self, begun, line):
        journal = begun.with_name(".o.tif.partial.json")
        journal.write_bytes(journal.read_bytes() + line + b"\n")
        with pytest.raises(OutputError, match="without --resume"):
            GeoTiffWriter(begun, plain(), resume=True, key="gsa")

    def test_data_shorter_than_the_journal_says(self, begun):
        partial = begun.with_name(".o.tif.partial")
        partial.write_bytes(partial.read_bytes()[:-1])
        with pytest.raises(OutputError, match="does not fit its journal"):
            GeoTiffWriter(begun, plain(), resume=True, key="gsa")

    def test_nothing_to_resume(self, tmp_path):
        out = GeoTiffWriter(tmp_path / "o.tif", plain(), resume=True)
        assert out.done == 0
        assert "no earlier run" in (out.note or "")

    def test_without_resume_the_old_partial_goes(self, begun):
        out = GeoTiffWriter(begun, plain(), key="gsa")
        assert out.done == 0
        assert out.note is not None
        assert "an unfinished run of 4 tiles was discarded (--resume would have gone on with it)" in out.note
        out.abort()
        assert GeoTiffWriter(begun, plain(), key="gsa").note is None  # no tile was done

    def test_without_resume_another_partial_goes_too(self, begun):
        out = GeoTiffWriter(begun, plain(width=100))
        assert "4 tiles was discarded (it was of another call)" in (out.note or "")

    def test_a_damaged_partial_goes_without_a_word(self, begun):
        begun.with_name(".o.tif.partial.json").write_bytes(b"\xff\n[[\n7\n")
        assert GeoTiffWriter(begun, plain()).note is None

    def test_what_belongs_to_another_call_has_its_own_error(self, begun):
        with pytest.raises(ResumeError):
            GeoTiffWriter(begun, plain(), resume=True, key="brovey")
        partial = begun.with_name(".o.tif.partial")
        os.truncate(partial, partial.stat().st_size - 1)
        with pytest.raises(ResumeError):
            GeoTiffWriter(begun, plain(), resume=True, key="gsa")
        begun.with_name(".o.tif.partial.json").write_bytes(b"x\n")
        with pytest.raises(ResumeError):
            GeoTiffWriter(begun, plain(), resume=True, key="gsa")

    def test_options_of_a_cog_may_change(self, tmp_path):
        one, other = (full(driver="COG", overviews=True, options={"COMPRESS": c}) for c in ("LZW", "DEFLATE"))
        write(tmp_path / "o.tif", one, stop=5)
        out = GeoTiffWriter(tmp_path / "o.tif", other, resume=True)
        assert out.done == 5
        out.abort()
        resumed = write(tmp_path / "o.tif", other, resume=True).read_bytes()
        assert resumed == write(tmp_path / "whole.tif", other).read_bytes()

    def test_other_options_of_a_geotiff_are_another_file(self, tmp_path):
        write(tmp_path / "o.tif", plain(), stop=5)
        with pytest.raises(ResumeError, match="options"):
            write(tmp_path / "o.tif", plain(options={"COMPRESS": "LZW"}), resume=True)


HOLDER = """
import sys
sys.path[:0] = [{tests!r}, {here!r}]
import test_writer as t
out = t.GeoTiffWriter({path!r}, t.plain(), resume=True)
out.put(out.done, t.pieces(t.plain(), out.done))
out.flush()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="no flock")
class TestLock:
    @pytest.mark.parametrize("resume", [False, True])
    def test_another_process(self, tmp_path, resume):
        path, here = tmp_path / "o.tif", Path(__file__).parent
        code = HOLDER.format(path=str(path), tests=str(here.parents[1]), here=str(here))
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "held\n"
            before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
            with pytest.raises(OutputError, match="another run is writing it") as caught:
                GeoTiffWriter(path, plain(), resume=resume)
            assert not isinstance(caught.value, ResumeError)
            assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
            child.kill()
        out = GeoTiffWriter(path, plain(), resume=True)
        assert out.done == 1
        out.abort()

    @pytest.mark.parametrize("changes", [{}, {"driver": "COG"}, {"overviews": True, "height": 600}])
    def test_held_until_the_file_has_its_name(self, tmp_path, monkeypatch, changes):
        path, profile, right, seen = tmp_path / "o.tif", plain(**changes), module._is_complete, []

        def looked(result, **how):
            with pytest.raises(OutputError, match="another run"):
                GeoTiffWriter(path, profile, resume=True, overwrite=True)
            seen.append(result)
            return right(result, **how)

        monkeypatch.setattr(module, "_is_complete", looked)
        write(path, profile)
        assert seen
        assert files(tmp_path) == ["o.tif"]
        write(path, profile, overwrite=True)

    def test_released_by_an_error(self, tmp_path):
        write(tmp_path / "o.tif", plain(), stop=2)
        with pytest.raises(ResumeError) as caught:
            GeoTiffWriter(tmp_path / "o.tif", plain(width=99), resume=True)
        assert GeoTiffWriter(tmp_path / "o.tif", plain(), resume=True).done == 2
        assert caught.value is not None  # its traceback holds the writer

    def test_a_file_that_is_taken_away_meanwhile(self, tmp_path, monkeypatch):
        partial, calls = tmp_path / ".o.tif.partial", []
        right = lock.fcntl.flock

        def late(file, how):
            calls.append(how)
            if len(calls) == 1:
                partial.unlink()
            right(file, how)

        monkeypatch.setattr(lock.fcntl, "flock", late)
        write(tmp_path / "o.tif", plain())
        assert len(calls) == 2
        assert files(tmp_path) == ["o.tif"]

    def test_systems_without_locks(self, tmp_path, monkeypatch):
        def unknown(file, how):
            raise OSError(errno.ENOLCK, "No locks available")

        with monkeypatch.context() as patch:
            patch.setattr(lock.fcntl, "flock", unknown)
            write(tmp_path / "a.tif", plain())
        monkeypatch.setattr(lock, "fcntl", None)
        write(tmp_path / "b.tif", plain())
        assert files(tmp_path) == ["a.tif", "b.tif"]


class TestErrors:
    def test_exists(self, tmp_path):
        path = tmp_path / "o.tif"
        path.write_text("precious")
        with pytest.raises(OutputError, match="--overwrite"):
            GeoTiffWriter(path, plain())
        out = GeoTiffWriter(path, plain(), overwrite=True)
        assert path.read_text() == "precious"
        out.abort()
        write(path, plain(), overwrite=True)
        with rasterio.open(path) as ds:
            assert ds.count == 1

    def test_places(self, tmp_path, monkeypatch):
        with pytest.raises(OutputError, match="does not exist"):
            GeoTiffWriter(tmp_path / "no" / "o.tif", plain())
        with pytest.raises(OutputError, match="is a folder"):
            GeoTiffWriter(tmp_path, plain(), overwrite=True)
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="does not exist"):
            GeoTiffWriter(tmp_path / "file" / "o.tif", plain())
        (tmp_path / ".b.tif.partial").mkdir()
        with pytest.raises(OutputError, match="cannot write here"):
            GeoTiffWriter(tmp_path / "b.tif", plain())
        monkeypatch.setattr(module.os, "access", lambda *_: False)
        with pytest.raises(OutputError, match="cannot be written"):
            GeoTiffWriter(tmp_path / "o.tif", plain())

    @pytest.mark.parametrize("partly", [False, True])
    def test_full_disk(self, tmp_path, monkeypatch, partly):
        profile, path = plain(), tmp_path / "o.tif"
        whole = write(tmp_path / "whole.tif", profile).read_bytes()
        out = GeoTiffWriter(path, profile)
        for index in range(5):
            out.put(index, pieces(profile, index))
        right = module._write

        def full_disk(file, data):
            if partly:
                right(file, data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module, "_write", full_disk)
        with pytest.raises(OutputError, match=r"disk is full after 5 of 12 tiles.*about 0\.00 GB more.*--resume"):
            out.put(5, pieces(profile, 5))
        out.abort()
        monkeypatch.setattr(module, "_write", right)
        assert files(tmp_path) == [".o.tif.partial", ".o.tif.partial.json", "whole.tif"]
        assert write(path, profile, resume=True).read_bytes() == whole

    def test_full_disk_while_gdal_works(self, tmp_path, monkeypatch):
        right = module.add_overviews

        def cut(path, profile):
            right(path, profile)
            os.truncate(path, path.stat().st_size - 9)

        profile, path = plain(height=600, overviews=True), tmp_path / "o.tif"
        whole = write(tmp_path / "whole.tif", profile).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(module, "add_overviews", cut)
            with pytest.raises(OutputError, match=r"left the file incomplete.*GB are free.*--resume"):
                write(path, profile)
            little = shutil.disk_usage(tmp_path)._replace(free=1000)
            patch.setattr(module.shutil, "disk_usage", lambda _: little)
            with pytest.raises(OutputError, match=r"could not complete.*disk is full \(0.00 GB free\)"):
                write(path, profile, resume=True)
        assert not path.exists()
        assert write(path, profile, resume=True).read_bytes() == whole

    def test_tiles_in_order_and_all(self, tmp_path):
        profile = plain()
        out = GeoTiffWriter(tmp_path / "o.tif", profile)
        with pytest.raises(ValueError, match="expected tile 0"):
            out.put(1, [b"x"])
        with pytest.raises(ValueError, match="2 pieces"):
            out.put(0, [b"x", b"y"])
        with pytest.raises(ValueError, match="only 0 of 12"):
            out.close()
        assert not (tmp_path / "o.tif").exists()

    def test_too_large_for_a_classic_tiff(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module._tiff.Layout, "limit", property(lambda _: 500))
        out = GeoTiffWriter(tmp_path / "o.tif", plain(options={"BIGTIFF": "NO"}))
        with pytest.raises(OutputError, match="BIGTIFF=NO"):
            out.put(0, [bytes(1000)])
        out.abort()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"COMPRES": "LZW"}, "did you mean 'COMPRESS'"),
            ({"COMPRESS": "ZIP"}, "known: DEFLATE, LERC"),
            ({"COMPRESS": "JPEG"}, "--format cog"),
            ({"BLOCKXSIZE": "128"}, "tile size"),
            ({"ZSTD_LEVEL": "99"}, "from 1 to 22"),
            ({"ZSTD_LEVEL": "high"}, "from 1 to 22"),
            ({"NBITS": "11"}, "NBITS=11 does not fit uint8"),
            ({"PREDICTOR": "3"}, "PREDICTOR=3 does not fit uint8"),
            ({"NBITS": "7", "PREDICTOR": "2"}, "with NBITS=7"),
            ({"INTERLEAVE": "LINE"}, "known: BAND, PIXEL"),
            ({"MAX_Z_ERROR": "little"}, "a number of at least 0"),
            ({"MAX_Z_ERROR": "-1"}, "a number of at least 0"),
            ({"DISCARD_LSB": "two"}, "a number of bits"),
            ({"GEOTIFF_VERSION": "2"}, "known: 1.0, 1.1, AUTO"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(OutputError, match=message):
            plain(options=options)

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("BLOCKSIZE=abc", "from 128 to 4096"),
            ("BLOCKSIZE=100000", "from 128 to 4096"),
            ("BLOCKSIZE=-512", "from 128 to 4096"),
            ("BLOCKSIZE=", "from 128 to 4096"),
            ("BLOCKSIZE=\u0665\u0661\u0662", "from 128 to 4096"),
            ("BLOCKSIZE=500", "multiples of 16"),
            ("QUALITY=0", "from 1 to 100"),
            ("LEVEL=99", "from 0 to 22"),
            ("OVERVIEW_COUNT=many", "from 0 to 30"),
            ("COMPRESS=ZIP", "known: DEFLATE, JPEG, JXL"),
            ("COMPRESS=PACKBITS", "unknown value"),
            ("OVERVIEW_RESAMPLING=NICE", "known: AVERAGE, BILINEAR"),
            ("PREDICTOR=2", "known: FLOATING_POINT, NO, STANDARD, YES"),
            ("BIGTIFF=MAYBE", "known: IF_NEEDED"),
            ("RES=0", "a number of at least 1e-12"),
            ("RES=nan", "a number of at least 1e-12"),
            ("JXL_DISTANCE=30", "from 0.01 to 25"),
            ("NUM_THREADS=all", "or ALL_CPUS"),
            ("RES=2", "RES=2 needs EXTENT and TARGET_SRS"),
            ("EXTENT=1,2,3,4", "needs TARGET_SRS"),
            ("EXTENT=1,2,3", "left,bottom,right,top"),
            ("EXTENT=3,2,1,4", "left < right"),
            ("EXTENT=a,b,c,d", "left,bottom,right,top"),
        ],
    )
    def test_options_of_a_cog(self, option, message):
        with pytest.raises(OutputError, match=message):
            plain(driver="COG", options=dict([option.split("=")]))

    @pytest.mark.parametrize(
        "option",
        [
            "BLOCKSIZE=128",
            "compress=lzw",
            "OVERVIEWS=NONE",
            "OVERVIEW_COUNT=1",
            "NUM_THREADS=ALL_CPUS",
            "RES=1.5 EXTENT=499990,4999990,500050,5000011 TARGET_SRS=EPSG:32632",
            "EXTENT=499990,4999990,500050,5000010 TARGET_SRS=EPSG:32632",
            "TARGET_SRS=EPSG:3857",
            "TILING_SCHEME=GoogleMapsCompatible",
            "ADD_ALPHA=no",
            "MAX_Z_ERROR=0.5",
        ],
    )
    def test_good_options_of_a_cog(self, tmp_path, option):
        profile = full(driver="COG", overviews=True, options=dict(part.split("=") for part in option.split()))
        with rasterio.open(write(tmp_path / "o.tif", profile)) as ds:
            assert ds.count >= 4

    @pytest.mark.parametrize(
        "options",
        [
            {"COMPRESS": "JPEG"},
            {"OVERVIEW_COMPRESS": "JPEG"},
            {"TARGET_SRS": "EPSG:99999"},
            {"TILING_SCHEME": "mine"},
        ],
    )
    def test_what_a_cog_cannot_hold_is_told_before_the_work(self, tmp_path, options):
        write(tmp_path / "o.tif", full(driver="COG"), stop=3)
        before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
        with pytest.raises(OutputError, match=r"GDAL .*(JPEG|99999|mine)"):
            GeoTiffWriter(tmp_path / "o.tif", full(driver="COG", overviews=True, options=options))
        assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before

    def test_others(self):
        with pytest.raises(OutputError, match="multiples of 16"):
            plain(tile=100)
        with pytest.raises(OutputError, match="alpha"):
            plain(count=2, colors=("gray", "alpha"), options={"COMPRESS": "LERC"})
        with pytest.raises(OutputError, match="creation option of COG"):
            plain(driver="COG", options={"ZLEVEL": "3"})

    def test_what_only_gdal_can_refuse(self, tmp_path):
        with pytest.raises(OutputError, match="GDAL"):
            GeoTiffWriter(tmp_path / "o.tif", plain(nodata=-5.0))
        with pytest.raises(OutputError, match="GDAL"):
            write(tmp_path / "o.tif", plain(driver="COG", options={"COMPRESS": "JPEG"}, dtype="float32"))


def test_the_form_of_large_files():
    assert plain().creation_options["BIGTIFF"] == "NO"
    assert plain(height=50_000, width=50_000).creation_options["BIGTIFF"] == "NO"
    assert plain(height=60_000, width=60_000).creation_options["BIGTIFF"] == "YES"
    assert plain(height=55_000, width=55_000, overviews=True).creation_options["BIGTIFF"] == "YES"
    assert plain(options={"BIGTIFF": "IF_SAFER"}).creation_options["BIGTIFF"] == "NO"


def test_predictors():
    assert plain().creation_options["PREDICTOR"] == "2"
    assert plain(dtype="float32").creation_options["PREDICTOR"] == "3"
    assert "PREDICTOR" not in plain(options={"COMPRESS": "NONE", "PREDICTOR": "2"}).creation_options
    assert "PREDICTOR" not in plain(options={"NBITS": "7"}).creation_options


def test_overview_factors():
    assert plain(height=256, width=256).overview_factors() == []
    assert plain(height=257, width=100).overview_factors() == [2]
    assert plain(height=8192, width=100).overview_factors() == [2, 4, 8, 16, 32]
