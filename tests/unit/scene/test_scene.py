"""Scenes from files: no-data of every kind, units, bands, sensors, tiles; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.shutil import copy as copy_raster
from rasters import EAST, NORTH, Place, Says, write

from panloom import sensors
from panloom.errors import OptionError, SceneError, SensorError
from panloom.optics.registration import NOTHING, Shift
from panloom.run.preview import choose, preview
from panloom.scene import Loaded, Opened, Scene, array_scene, is_plain, is_remote, open_scene, opening, registered
from panloom.scene._rasterio import Reader
from panloom.tiling import plan, trim
from panloom.types import Tile, Traits, Window

PAN = Place(108, 124)
MS = PAN.coarser(4, 0.5, -0.25)
OTHER_ZONE = Place(108, 124, (1.0, 0.0, 830_000.0, 0.0, -1.0, NORTH))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def whole(scene: Scene) -> Tile:
    grid = scene.grid
    return Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))


def load(opened: Opened) -> Loaded:
    return opened.scene.load(whole(opened.scene))


def cut(image: torch.Tensor | None, scene: Scene) -> np.ndarray:
    assert image is not None
    return image[0, :, : scene.grid.height, : scene.grid.width].numpy()


def holes(place: Place, bands: int, seed: int = 0) -> np.ndarray:
    """(bands, H, W) valid: a wedge, a block and single pixels missing, the same in all bands."""
    rows, cols = np.mgrid[: place.height, : place.width] / (place.height, place.width)[0]
    block = (rows > 0.5) & (rows < 0.7) & (cols > 0.6) & (cols < 0.7)
    single = np.random.default_rng(seed).random(rows.shape) < 0.01
    return np.broadcast_to((cols > 0.15 + 0.2 * rows) & ~block & ~single, (bands, *rows.shape)).copy()


def numbers(place: Place, bands: int, dtype: str) -> np.ndarray:
    """The truth as digital numbers from 100 to 900; in [0.1, 0.9] for floats."""
    truth = place.truth(bands)
    return (
        truth.astype(dtype)
        if np.dtype(dtype).kind == "f"
        else np.rint(truth * 1000 // (5 if dtype == "uint8" else 1)).astype(dtype)
    )


# ---- no-data -------------------------------------------------------------------------------------


def _by_number(path: Path, array: np.ndarray, valid: np.ndarray, place: Place, value: float, declare: bool) -> str:
    return write(path, np.where(valid, array, np.array(value, array.dtype)), place, Says(value if declare else None))


def _zero(path, place, bands):
    return _by_number(path, numbers(place, bands, "uint16"), holes(place, bands), place, 0, True)


def _top(path, place, bands):
    return _by_number(path, numbers(place, bands, "uint16"), holes(place, bands), place, 65535, True)


def _minus(path, place, bands):
    return _by_number(path, numbers(place, bands, "int16"), holes(place, bands), place, -9999, True)


def _byte(path, place, bands):
    return _by_number(path, numbers(place, bands, "uint8"), holes(place, bands), place, 255, True)


def _lowest_float(path, place, bands):
    value = float(np.finfo(np.float32).min)
    return _by_number(path, numbers(place, bands, "float32"), holes(place, bands), place, value, True)


def _nan(path, place, bands):
    return _by_number(path, numbers(place, bands, "float32"), holes(place, bands), place, np.nan, True)


def _nan_unsaid(path, place, bands):
    return _by_number(path, numbers(place, bands, "float64"), holes(place, bands), place, np.nan, False)


def _nan_beside_a_number(path, place, bands):
    array, valid = numbers(place, bands, "float32"), holes(place, bands)
    rows = np.arange(place.height)[:, None] % 2 == 0
    return write(path, np.where(valid, array, np.where(rows, np.nan, -1)).astype("float32"), place, Says(-1))


def _mask_band(path, place, bands):
    array, valid = numbers(place, bands, "uint16"), holes(place, bands)
    return write(path, np.where(valid, array, 7).astype("uint16"), place, Says(mask=valid[0]))


def _float_mask_band(path, place, bands):
    array, valid = numbers(place, bands, "float32"), holes(place, bands)
    return write(path, np.where(valid, array, 7).astype("float32"), place, Says(mask=valid[0]))


def _alpha(path, place, bands):
    array, valid = numbers(place, bands, "uint16"), holes(place, bands)
    pixels = np.concatenate([np.where(valid, array, 3), 65535 * valid[:1]]).astype("uint16")
    colors = ("gray", *["undefined"] * (bands - 1), "alpha")
    return write(path, pixels, place, Says(colors=colors, options={"ALPHA": "YES"}))


def _each_band_its_own(path, place, bands):
    """A VRT whose bands have the no-data values 1, 2, 3."""
    array, valid = numbers(place, bands, "uint16"), holes(place, bands)
    values = np.arange(1, bands + 1)[:, None, None]
    plain = write(path.with_name(f"{path.stem}_plain.tif"), np.where(valid, array, values).astype("uint16"), place)
    copy_raster(plain, path.with_suffix(".vrt"), driver="VRT")
    text = path.with_suffix(".vrt").read_text()
    for b in range(1, bands + 1):
        head, tail = text.split(f'band="{b}"', 1)
        text = head + f'band="{b}"' + tail.replace(">", f"><NoDataValue>{b}</NoDataValue>", 1)
    path.with_suffix(".vrt").write_text(text)
    return str(path.with_suffix(".vrt"))


KINDS = {
    "zero": _zero,
    "65535": _top,
    "-9999": _minus,
    "255-byte": _byte,
    "lowest-float": _lowest_float,
    "nan": _nan,
    "nan-unsaid": _nan_unsaid,
    "nan-beside-a-number": _nan_beside_a_number,
    "mask-band": _mask_band,
    "float-mask-band": _float_mask_band,
    "alpha": _alpha,
    "each-band-its-own": _each_band_its_own,
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def files(folder: Path, kind: str, ms: Place = MS) -> tuple[str, str]:
    make = KINDS[kind]
    return make(folder / "pan.tif", PAN, 1), make(folder / "ms.tif", ms, 3)


def nearest(valid: np.ndarray, scene: Scene, reach: int) -> np.ndarray:
    """Validity of the MS pixel (or of one within `reach` of it) that each PAN pixel lies in."""
    index = []
    for axis, n in enumerate((scene.grid.height, scene.grid.width)):
        own = np.floor((np.arange(n) - scene.grid.phase[axis]) / scene.grid.ratio + 0.5).astype(int)
        index.append(own + scene.layout.ms_origin[axis])
    height, width = valid.shape[-2:]
    out = np.zeros((len(valid), scene.grid.height, scene.grid.width), bool)
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            r, c = index[0] + i, index[1] + j
            inside = ((r >= 0) & (r < height))[:, None] & ((c >= 0) & (c < width))[None]
            out |= inside & valid[:, r.clip(0, height - 1)][:, :, c.clip(0, width - 1)]
    return out


@EVERY_KIND
@pytest.mark.parametrize("edge", ["fill", "drop"])
def test_no_data_of_every_kind(tmp_path, kind, edge):
    opened = open_scene(*files(tmp_path, kind), edge=edge)
    scene, loaded = opened.scene, load(opened)
    assert scene.layout.nested is None
    pan_valid = holes(PAN, 1)
    own, near = (nearest(holes(MS, 3), scene, reach) for reach in (0, 1))
    kept = near if edge == "fill" else own
    expected = kept & pan_valid
    assert np.array_equal(cut(loaded.valid, scene), expected)
    assert np.array_equal(cut(loaded.pair.valid, scene), expected.all(0, keepdims=True))
    assert np.array_equal(cut(loaded.missing, scene), pan_valid & ~kept.all(0))
    assert np.array_equal(cut(loaded.filled, scene), pan_valid & kept.all(0) & ~own.all(0))
    for image in (loaded.pair.pan, loaded.pair.exp, loaded.pair.ms):
        assert bool(image.isfinite().all())
    check_values(opened, loaded)


def check_values(opened: Opened, loaded: Loaded) -> None:
    """PAN as stored where valid; EXP near the truth, also beside no-data: nothing bled."""
    scene, full = opened.scene, opened.scene.units.full_scale
    scale = numbers(PAN, 1, opened.pan.dtype).max() / PAN.truth(1).max() / full
    ok = cut(loaded.pair.valid, scene)[0]
    pan = numbers(PAN, 1, opened.pan.dtype).astype(np.float64) / full
    assert np.abs(cut(loaded.pair.pan, scene) - pan)[:, ok].max() < 1e-6
    error = np.abs(cut(loaded.pair.exp, scene) / scale - PAN.truth(3))
    inner = np.s_[:, 28:-28, 28:-28]
    # A block of 5 x 2 missing MS pixels cannot be guessed exactly; a bled 0 or 65535 would be off by 0.5 or more.
    assert error[inner][:, ok[inner[1:]]].max() < 0.15
    assert np.median(error[inner][:, ok[inner[1:]]]) < 0.01


@EVERY_KIND
def test_resampled_no_data_is_that_of_the_file(tmp_path, kind):
    """MS stored from south to north must be resampled; being the same pixels, it must give the same scene."""
    north = open_scene(*files(tmp_path, kind))
    flipped = tmp_path / "flipped"
    flipped.mkdir()
    pan, ms = files(flipped, kind)
    turn(Path(ms))
    south = open_scene(pan, ms)
    assert south.scene.layout.nested is not None
    expected, found = load(north), load(south)
    assert south.scene.grid == north.scene.grid
    inner = np.s_[:, 8:-8, 8:-8]
    if kind == "nan-beside-a-number":
        # GDAL resamples with one of the two: pixels next to the other are lost, never spoilt.
        a, b = (cut(x.valid, o.scene)[inner] for x, o in ((expected, north), (found, south)))
        assert not (b & ~a).any()
        assert bool(found.pair.exp.isfinite().all())
        return
    for field in ("valid", "filled", "missing"):
        a, b = (cut(getattr(x, field), o.scene) for x, o in ((expected, north), (found, south)))
        assert np.array_equal(a[inner], b[inner]), field
    same_scale = south.scene.units.full_scale / north.scene.units.full_scale
    inner = np.s_[:, 28:-28, 28:-28]
    np.testing.assert_allclose(
        cut(found.pair.exp, south.scene)[inner] * same_scale, cut(expected.pair.exp, north.scene)[inner], atol=2e-5
    )


def turn(path: Path) -> None:
    """Store the rows of a raster from the other end, in place."""
    if path.suffix == ".vrt":
        turn(path.with_name(f"{path.stem}_plain.tif"))
        a, b, c, d, e, f = MS.flipped().affine[:6]
        text = path.read_text()
        head, rest = text.split("<GeoTransform>", 1)
        _, tail = rest.split("</GeoTransform>", 1)
        path.write_text(f"{head}<GeoTransform>{c}, {a}, {b}, {f}, {d}, {e}</GeoTransform>{tail}")
        return
    with rasterio.open(path) as file:
        array, nodata, colors = file.read(), file.nodata, [c.name for c in file.colorinterp]
        masked = file.mask_flag_enums[0] == [rasterio.enums.MaskFlags.per_dataset]
        mask = file.read_masks(1)[::-1] > 0 if masked else None
    alpha = colors[-1] == "alpha"
    says = Says(nodata, mask=mask, colors=colors if alpha else (), options={"ALPHA": "YES"} if alpha else {})
    path.unlink()
    write(path, array[:, ::-1], MS.flipped(), says)


def test_src_nodata_where_files_do_not_tell(tmp_path):
    for name, place, bands in (("pan", PAN, 1), ("ms", MS, 3)):
        _by_number(tmp_path / f"{name}.tif", numbers(place, bands, "uint16"), holes(place, bands), place, 0, False)
    pan, ms = str(tmp_path / "pan.tif"), str(tmp_path / "ms.tif")
    silent = load(open_scene(pan, ms))
    assert silent.valid is None
    assert bool(silent.pair.valid.all())
    told, declared = load(open_scene(pan, ms, src_nodata=0)), load(open_scene(*files(tmp_path, "zero")))
    assert torch.equal(told.pair.valid, declared.pair.valid)
    torch.testing.assert_close(told.pair.exp, declared.pair.exp)


def test_infinite_pixels_are_not_valid(tmp_path):
    pan, ms = numbers(PAN, 1, "float32"), numbers(MS, 3, "float32")
    pan[0, 50, 60], ms[1, 13, 20] = np.inf, -np.inf
    opened = open_scene(write(tmp_path / "p.tif", pan, PAN), write(tmp_path / "m.tif", ms, MS), edge="drop")
    loaded = load(opened)
    valid = cut(loaded.valid, opened.scene)
    assert not valid[:, 50, 60].any()
    assert valid[0].sum() == valid[2].sum() == PAN.height * PAN.width - 1
    assert PAN.height * PAN.width - 1 - valid[1].sum() == 16
    assert bool(loaded.pair.exp.isfinite().all() and loaded.pair.pan.isfinite().all())


def test_bands_keep_their_own_no_data(tmp_path):
    """A band that is missing somewhere takes nothing from the others; the pair is valid where all are."""
    ms, gap = numbers(MS, 3, "uint16"), np.s_[5:12, 8:20]
    ms[(1, *gap)] = 0
    pan = write(tmp_path / "p.tif", numbers(PAN, 1, "uint16"), PAN)
    opened = open_scene(pan, write(tmp_path / "m.tif", ms, MS, Says(0)))
    loaded = load(opened)
    valid = cut(loaded.valid, opened.scene)
    assert valid[0].all()
    assert valid[2].all()
    assert not valid[1].all()
    assert np.array_equal(cut(loaded.pair.valid, opened.scene)[0], valid.all(0))


@pytest.mark.parametrize("place", [MS, MS.flipped(), MS.turned(10)])
@pytest.mark.parametrize("value", [0, np.nan])
def test_a_hole_in_one_band_does_not_touch_the_others(tmp_path, place, value):
    """Also where MS is resampled: band 2 has a hole, bands 1 and 3 have not, and nothing bleeds."""
    array = np.full((3, place.height, place.width), 0.5, "float32")
    array[1, 5:12, 8:20] = value
    pan = write(tmp_path / "p.tif", np.full((PAN.height, PAN.width), 0.5, "float32"), PAN)
    opened = open_scene(pan, write(tmp_path / "m.tif", array, place, Says(value)))
    loaded = load(opened)
    valid, exp = cut(loaded.valid, opened.scene), cut(loaded.pair.exp, opened.scene)
    assert np.array_equal(valid[0], valid[2])
    assert (valid[0] & ~valid[1]).sum() > 30 * 16
    np.testing.assert_allclose(exp[valid], 0.5, atol=1e-5)


def test_all_no_data_is_read_and_not_valid(tmp_path):
    pan = write(tmp_path / "p.tif", numbers(PAN, 1, "uint16"), PAN)
    ms = write(tmp_path / "m.tif", np.zeros((3, MS.height, MS.width), "uint16"), MS, Says(0))
    loaded = load(open_scene(pan, ms))
    assert not loaded.pair.valid.any()
    assert bool(loaded.pair.exp.isfinite().all())


# ---- tiles ---------------------------------------------------------------------------------------


TILED = {
    "as-it-lies": MS,
    "ms-smaller": PAN.coarser(4, 9, 14, (20, 22)),
    "south-up": MS.flipped(),
    "rotated": MS.turned(15),
    "ratio-3.9": PAN.coarser(3.9),
}


@pytest.mark.parametrize("kind", ["zero", "nan-unsaid", "mask-band", "alpha"])
@pytest.mark.parametrize("name", TILED)
@pytest.mark.parametrize("extent", ["pan", "ms"])
def test_tiles_equal_the_whole(tmp_path, kind, name, extent):
    opened = open_scene(*files(tmp_path, kind, TILED[name]), extent=extent)
    scene, expected = opened.scene, load(opened)
    fields = {
        "pan": lambda x: x.pair.pan,
        "exp": lambda x: x.pair.exp,
        "pair.valid": lambda x: x.pair.valid,
        "valid": lambda x: x.pair.valid.expand(x.pair.exp.shape) if x.valid is None else x.valid,
        "filled": lambda x: torch.zeros_like(x.pair.valid) if x.filled is None else x.filled,
        "missing": lambda x: torch.zeros_like(x.pair.valid) if x.missing is None else x.missing,
    }
    size, halo = (37, 0) if extent == "pan" else (28, 2)
    for tile in plan(scene.grid, Traits(halo=halo), size):
        part = scene.load(tile)
        assert part.pair.origin == (tile.read.row * 4, tile.read.col * 4)
        for field, of in fields.items():
            here = trim(of(part), tile, 4)
            there = of(expected)[(..., *tile.core.inside(Window(0, 0, 10**6, 10**6)))]
            assert bool(((here.float() - there.float()).abs() <= 1e-6).all()), (field, tile)


def test_windows_of_a_large_resampled_image_have_no_seams(tmp_path):
    """GDAL's own tolerance, an eighth of a pixel, would show where one window ends and the next begins."""
    x, y = OTHER_ZONE.at(np.array([0.0]), np.array([0.0]), "EPSG:32633")
    ms = Place(300, 300, (4.0, 0.0, float(x[0]) - 90, 0.0, -4.0, float(y[0]) + 90), "EPSG:32633")
    pan = replace(OTHER_ZONE, height=900, width=900)
    paths = write(tmp_path / "p.tif", pan.truth(1), pan), write(tmp_path / "m.tif", ms.truth(3), ms)
    source, frame = open_scene(*paths).scene.ms, Window(0, 0, 220, 220)
    expected = source.read(frame)[0].nan_to_num(-1)
    for window in (Window(0, 0, 64, 64), Window(100, 30, 64, 64), Window(150, 150, 64, 7), Window(3, 200, 1, 1)):
        found = source.read(window)[0].nan_to_num(-1)
        torch.testing.assert_close(found, expected[(..., *window.inside(frame))], rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", TILED)
def test_any_window_of_the_survey_has_the_same_values(tmp_path, name):
    scene = open_scene(*files(tmp_path, "zero", TILED[name])).scene
    frame = Window(0, 0, *scene.grid.cells)
    expected = scene.reduced(frame)
    for window in (Window(3, 5, 7, 9), Window(0, 0, 4, 4), Window(20, 22, 7, 9)):
        found, place = scene.reduced(window), window.inside(frame)
        assert torch.equal(found.valid, expected.valid[(..., *place)])
        for a, b in ((found.pan, expected.pan), (found.ms, expected.ms)):
            keep = found.valid.expand_as(a)
            torch.testing.assert_close(a[keep], b[(..., *place)][keep], rtol=0, atol=1e-6)


def test_reduced_pan_is_not_touched_by_no_data(tmp_path):
    """The survey sees PAN as MS would: beside a wedge it stays near the truth or is left out."""
    scene = open_scene(*files(tmp_path, "65535")).scene
    block = scene.reduced(Window(0, 0, *scene.grid.cells))
    pan = numbers(MS, 1, "uint16")[0] / scene.units.full_scale
    keep = block.valid[0, 0].numpy()
    assert 0.5 < keep.mean() < 0.9
    assert np.abs(block.pan[0, 0].numpy() - pan)[keep].max() < 0.05 * pan.max()


def test_scattered_no_data_leaves_enough_for_statistics(tmp_path):
    """One pixel in twenty without PAN, anywhere: most of the scene still counts, and at its right level."""
    pan = numbers(PAN, 1, "uint16")
    pan[:, np.random.default_rng(0).random(pan.shape[1:]) < 0.05] = 0
    paths = write(tmp_path / "p.tif", pan, PAN, Says(0)), write(tmp_path / "m.tif", numbers(MS, 3, "uint16"), MS)
    scene = open_scene(*paths).scene
    block = scene.reduced(Window(0, 0, *scene.grid.cells))
    keep = block.valid[0, 0].numpy()
    assert keep.mean() > 0.7
    error = block.pan[0, 0].numpy() * scene.units.full_scale - numbers(MS, 1, "uint16")[0]
    assert np.abs(error)[2:-2, 2:-2][keep[2:-2, 2:-2]].max() < 20


def test_threads_see_the_same(tmp_path):
    one, four = (open_scene(*files(tmp_path, "zero", TILED["rotated"]), threads=n).scene for n in (1, 4))
    for a, b in zip(one.survey(), four.survey(), strict=True):
        assert torch.equal(a.pan, b.pan)
        assert torch.equal(a.valid, b.valid)


def test_sampled_pairs(tmp_path):
    scene = open_scene(*files(tmp_path, "zero")).scene
    drawn = [list(scene.sample(3, 8, torch.Generator().manual_seed(1))) for _ in range(2)]
    assert 1 <= len(drawn[0]) <= 3
    for a, b in zip(*drawn, strict=True):
        assert a.ms.shape == (1, 3, 8, 8)
        assert a.pan.shape == (1, 1, 32, 32)
        assert a.valid.float().mean() >= 0.75
        assert torch.equal(a.pan, b.pan)
    large = next(scene.sample(1, 500, torch.Generator().manual_seed(1)), None)
    assert large is None or large.ms.shape[-2:] == scene.grid.cells


def test_a_scene_can_be_closed_and_is_read_again(tmp_path):
    scene = open_scene(*files(tmp_path, "zero")).scene
    before = scene.read(whole(scene)).exp
    scene.close()
    assert torch.equal(scene.read(whole(scene)).exp, before)


# ---- numbers and units ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_any_type_is_read(tmp_path, dtype):
    high = 100 if np.dtype(dtype).itemsize == 1 else 900
    pan, ms = (np.rint(p.truth(b) * high).astype(dtype) for p, b in ((PAN, 1), (MS, 3)))
    opened = open_scene(write(tmp_path / "p.tif", pan, PAN), write(tmp_path / "m.tif", ms, MS))
    pair, full = load(opened).pair, opened.scene.units.full_scale
    assert full == (127 if high == 100 else 1023)
    wide = np.dtype(dtype).itemsize > 4 or dtype in ("uint32", "int32")
    assert pair.pan.dtype == pair.exp.dtype == (torch.float64 if wide else torch.float32)
    assert opened.dtype == dtype
    np.testing.assert_allclose(cut(pair.pan, opened.scene) * full, pan, atol=1e-4)
    np.testing.assert_allclose(pair.ms[0, :, :25, :25].numpy() * full, ms[:, :25, :25], atol=1e-4)


def test_scale_and_offset_are_applied(tmp_path):
    """Each band has its own; the pair holds physical values over the full scale."""
    pan, ms = numbers(PAN, 1, "uint16"), numbers(MS, 3, "uint16")
    scales, offsets = (2e-3, 1e-3, 5e-4), (-0.1, 0.0, 0.2)
    opened = open_scene(
        write(tmp_path / "p.tif", pan, PAN, Says(scales=(1e-3,), offsets=(-0.05,))),
        write(tmp_path / "m.tif", ms, MS, Says(scales=scales, offsets=offsets)),
    )
    pair, scene = load(opened).pair, opened.scene
    full = scene.units.full_scale
    np.testing.assert_allclose(cut(pair.pan, scene) * full, pan * 1e-3 - 0.05, atol=1e-5)
    expected = ms * np.array(scales)[:, None, None] + np.array(offsets)[:, None, None]
    np.testing.assert_allclose(pair.ms[0, :, :20, :20].numpy() * full, expected[:, :20, :20], atol=1e-5)
    back = scene.units.to_dn(pair.ms.clone())
    np.testing.assert_allclose(back[0, :, :20, :20].numpy(), ms[:, :20, :20], atol=1e-2)
    assert full >= (expected.max() * 0.999)
    assert "99.9 %" in opened.full_scale_source


def test_full_scale(tmp_path):
    def source(high: float, dtype: str, sensor: str | None = None) -> tuple[float, str]:
        pan, ms = (np.clip(p.truth(b) * high / 0.9, 0, high).astype(dtype) for p, b in ((PAN, 1), (MS, 4)))
        opened = open_scene(write(tmp_path / "p.tif", pan, PAN), write(tmp_path / "m.tif", ms, MS), sensor=sensor)
        return opened.scene.units.full_scale, opened.full_scale_source

    assert source(1000, "uint16")[0] == 1023
    assert source(2000, "uint16") == (2047, source(2000, "uint16")[1])
    assert "99.9 %" in source(2000, "uint16")[1]
    assert source(1000, "uint16", "worldview-3") == (2047, "sensor worldview-3")
    assert source(0.8, "float32", "worldview-3") == (1.0, "physical units, at most 1")
    assert source(300, "float32")[0] == 511


# ---- bands and sensors ---------------------------------------------------------------------------


def ms_file(folder: Path, bands: int, says: Says | None = None, name: str = "ms.tif") -> str:
    """Band b holds the number 100 * b."""
    array = np.broadcast_to(100 * np.arange(1, bands + 1)[:, None, None], (bands, MS.height, MS.width))
    return write(folder / name, array.astype("uint16"), MS, says)


def pan_file(folder: Path, says: Says | None = None, name: str = "pan.tif") -> str:
    return write(folder / name, np.full((PAN.height, PAN.width), 500, "uint16"), PAN, says)


def taken(opened: Opened) -> list[int]:
    """Which file bands came out, in output order, from their numbers."""
    loaded = load(opened)
    sharp, rest = iter(cut(loaded.pair.ms, opened.scene)), iter([])
    if loaded.passed is not None:
        rest = iter(cut(loaded.passed, opened.scene))
    full = opened.scene.units.full_scale
    return [round(float(next(sharp if b.sharpen else rest)[10, 10]) * full / 100) for b in opened.scene.bands]


def names(opened: Opened) -> list[str]:
    return [b.band.name for b in opened.scene.bands]


def test_several_single_band_files(tmp_path):
    pan = pan_file(tmp_path)
    paths = [
        write(tmp_path / f"LC08_L1TP_B{b}.TIF", np.full((MS.height, MS.width), 100 * b, "uint16"), MS)
        for b in (4, 3, 2)
    ]
    opened = open_scene(pan, paths)
    assert opened.scene.sensor.name == "landsat-8"
    assert names(opened) == ["red", "green", "blue"]
    assert taken(opened) == [4, 3, 2]
    assert opened.identity.bands_source == "file names"


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (["3"], [3]),
        ([3], [3]),
        (["red"], [3]),
        (["3", "1"], [3, 1]),
        (["nir", "red", "green"], [4, 3, 2]),
        (["3=red"], [3]),
        (["1=red", "2=green"], [1, 2]),
        ([4, "blue"], [4, 1]),
    ],
)
def test_band_selection(tmp_path, bands, expected):
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4), sensor="quickbird", bands=bands)
    assert taken(opened) == expected


def test_names_for_all_bands_rename_those_that_are_only_guessed(tmp_path):
    wish = ["red", "green", "blue", "nir"]
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4), sensor="quickbird", bands=wish)
    assert names(opened) == wish
    assert taken(opened) == [1, 2, 3, 4]
    told = ms_file(tmp_path, 4, Says(descriptions=("Blue", "Green", "Red", "NIR")))
    opened = open_scene(pan_file(tmp_path), told, sensor="quickbird", bands=wish)
    assert taken(opened) == [3, 2, 1, 4], "descriptions are certain: names choose by them"


def test_a_given_name_brings_its_gain(tmp_path):
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4), sensor="quickbird", bands=["1=nir", "2=blue"])
    assert [b.mtf_nyquist for b in opened.scene.sensor.bands] == [0.22, 0.34]


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (["5"], "band 5 does not exist: the MS image has 4 bands"),
        ([0], "band 0 does not exist"),
        (["9=red"], "band 9 does not exist"),
        (["swir1"], "band 'swir1' does not exist: the MS image has blue, green, red, nir"),
        (["2=purple"], "'purple' is no band of quickbird"),
        (["-1"], "band '-1' does not exist"),
        (["red", "purple", "nir"], "band 'purple' does not exist"),
    ],
)
def test_bands_that_do_not_exist(tmp_path, bands, message):
    with pytest.raises(OptionError, match=message):
        open_scene(pan_file(tmp_path), ms_file(tmp_path, 4), sensor="quickbird", bands=bands)


def test_descriptions_colours_and_order(tmp_path):
    pan = pan_file(tmp_path)
    told = open_scene(pan, ms_file(tmp_path, 4, Says(descriptions=("NIR", "Red", "Green", "Blue"))), sensor="quickbird")
    assert names(told) == ["nir", "red", "green", "blue"]
    assert told.identity.bands_source == "band descriptions"
    colours = open_scene(pan, ms_file(tmp_path, 3, Says(colors=("red", "green", "blue"))), sensor="quickbird")
    assert names(colours) == ["red", "green", "blue"]
    assert colours.identity.bands_source == "colour interpretation"
    usual = open_scene(pan, ms_file(tmp_path, 4, name="plain.tif"), sensor="quickbird")
    assert names(usual) == ["blue", "green", "red", "nir"]
    assert "usual order of quickbird" in usual.identity.bands_source
    many = open_scene(pan, ms_file(tmp_path, 7, name="seven.tif"))
    assert names(many) == [f"band{b}" for b in range(1, 8)]


LANDSAT = tuple(f"B{b}" for b in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11))


def landsat(folder: Path, **options) -> Opened:
    ms = ms_file(folder, len(LANDSAT), Says(descriptions=LANDSAT), name="LC08_stack.tif")
    return open_scene(pan_file(folder), ms, **options)


def test_swir_cirrus_and_thermal_are_passed_through(tmp_path):
    opened = landsat(tmp_path)
    assert opened.scene.sensor.name == "landsat-8"
    assert [b.sharpen for b in opened.scene.bands] == [True] * 5 + [False] * 5
    for text in ("swir1 (swir)", "cirrus (cirrus)", "thermal2 (thermal)", "passed through", "--sharpen"):
        assert text in opened.identity.facts[0]
    assert "does not cover coastal, blue, nir: " in " ".join(opened.scene.notes)
    assert taken(opened) == list(range(1, 11))
    loaded = load(opened)
    assert loaded.pair.exp.shape[1] == len(loaded.pair.sensor.bands) == 5  # pyright: ignore[reportOptionalMemberAccess]
    assert loaded.passed is not None
    assert loaded.passed.shape[1] == 5


def test_sharpen_overrides(tmp_path):
    opened = landsat(tmp_path, sharpen=["red", "swir1", "10"])
    assert [b.band.name for b in opened.scene.bands if b.sharpen] == ["red", "swir1", "thermal2"]
    assert taken(opened) == list(range(1, 11))
    assert all(b.sharpen for b in landsat(tmp_path, sharpen=["all"]).scene.bands)
    with pytest.raises(OptionError, match="band 'purple' cannot be sharpened"):
        landsat(tmp_path, sharpen=["purple"])
    with pytest.raises(OptionError, match="no band is left to sharpen among swir1"):
        landsat(tmp_path, bands=["swir1"])


def test_passed_bands_do_not_decide_where_the_pair_is_valid(tmp_path):
    array = np.full((10, MS.height, MS.width), 100, "uint16")
    array[6, :, :10] = 0
    ms = write(tmp_path / "LC08.tif", array, MS, Says(0, descriptions=LANDSAT))
    opened = open_scene(pan_file(tmp_path), ms)
    loaded = load(opened)
    assert bool(loaded.pair.valid.all())
    assert not cut(loaded.valid, opened.scene)[6].all()


@pytest.mark.parametrize(
    ("name", "says", "sensor", "source"),
    [
        ("WV03_scene.tif", Says(), "worldview-3", "file name WV03_scene.tif"),
        ("ms.tif", Says(tags={"IMAGE_SATELLITE": "QB02"}), "quickbird", "tags of ms.tif"),
        ("WV03_scene.tif", Says(tags={"satellite": "IKONOS"}), "ikonos", "tags of WV03_scene.tif"),
        ("IMG_PHR1A_MS.tif", Says(), "pleiades", "file name IMG_PHR1A_MS.tif"),
        ("ms.tif", Says(), "generic", "not recognised"),
    ],
)
def test_the_sensor_is_recognised(tmp_path, name, says, sensor, source):
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4, says, name=name))
    assert (opened.scene.sensor.name, opened.identity.sensor_source) == (sensor, source)
    assert any("sensor not recognised" in note for note in opened.scene.notes) == (sensor == "generic")


def test_the_sensor_of_pan_counts_too(tmp_path):
    opened = open_scene(pan_file(tmp_path, name="GE01_P.tif"), ms_file(tmp_path, 4))
    assert opened.scene.sensor.name == "geoeye-1"


def test_metadata_beside_the_files_come_first(tmp_path):
    (tmp_path / "WV02_ms.IMD").write_text(
        'satId = "QB02";\nbandId = "Multi";\nBEGIN_GROUP = BAND_B\nEND_GROUP = BAND_B\nBEGIN_GROUP = BAND_G\n'
        "END_GROUP = BAND_G\nBEGIN_GROUP = BAND_R\nEND_GROUP = BAND_R\nBEGIN_GROUP = BAND_N\nEND_GROUP = BAND_N\n"
    )
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4, name="WV02_ms.tif"))
    assert opened.scene.sensor.name == "quickbird"
    assert opened.identity.sensor_source == "metadata WV02_ms.IMD"
    assert opened.identity.bands_source == "metadata WV02_ms.IMD"


def test_a_given_sensor_wins(tmp_path):
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4, name="WV03.tif"), sensor="ikonos")
    assert (opened.scene.sensor.name, opened.identity.sensor_source) == ("ikonos", "given")
    with pytest.raises(SensorError, match=r"unknown sensor 'ikonoss'; did you mean 'ikonos'"):
        open_scene(pan_file(tmp_path), ms_file(tmp_path, 4), sensor="ikonoss")


# ---- what is refused -----------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[SceneError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_systems_without_a_way_between_them(tmp_path):
    site = replace(MS, crs='LOCAL_CS["site",UNIT["metre",1]]')
    ms = write(tmp_path / "m.tif", MS.truth(3), site)
    with pytest.raises(SceneError) as error:
        open_scene(pan_file(tmp_path), ms)
    one_line(error, "no transformation between the reference systems of PAN and MS")


def test_missing_file(tmp_path):
    with pytest.raises(SceneError) as error:
        open_scene(str(tmp_path / "none.tif"), ms_file(tmp_path, 4))
    one_line(error, "none.tif: no such file")
    with pytest.raises(SceneError) as error:
        open_scene(pan_file(tmp_path), str(tmp_path / "none.tif"))
    one_line(error, "none.tif: no such file")


def test_empty_and_text_files(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("no image at all, only words\n" * 20)
    for name, word in (("empty.tif", "the file is empty"), ("text.tif", "not a raster")):
        with pytest.raises(SceneError) as error:
            open_scene(pan_file(tmp_path), str(tmp_path / name))
        one_line(error, name, word)


def test_a_folder_is_no_raster(tmp_path):
    with pytest.raises(SceneError) as error:
        open_scene(str(tmp_path), ms_file(tmp_path, 4))
    one_line(error, "not a raster")


@pytest.mark.parametrize("which", ["pan", "ms"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("compress", [None, "deflate"])
def test_truncated_files_are_found_when_opened(tmp_path, which, share, compress):
    options = {"compress": compress} if compress else {}
    rng = np.random.default_rng(0)
    large, coarse = Place(400, 500), Place(400, 500).coarser(4)
    paths = {}
    for name, place, bands in (("pan", large, 1), ("ms", coarse, 3)):
        noise = rng.integers(1, 900, (bands, place.height, place.width)).astype("uint16")
        paths[name] = write(tmp_path / f"{name}.tif", noise, place, Says(options=options))
    path = Path(paths[which])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SceneError) as error:
        open_scene(paths["pan"], paths["ms"])
    one_line(error, "truncated", path.name)


def test_pan_of_several_bands(tmp_path):
    two = write(tmp_path / "two.tif", PAN.truth(2), PAN)
    with pytest.raises(SceneError) as error:
        open_scene(two, ms_file(tmp_path, 4))
    one_line(error, "PAN must have one band", "has 2", "order PAN MS")


def test_pan_with_alpha_has_one_band(tmp_path):
    opened = open_scene(_alpha(tmp_path / "pan.tif", PAN, 1), _alpha(tmp_path / "ms.tif", MS, 3))
    assert opened.pan.bands == (1,)
    assert len(opened.scene.bands) == 3


def test_complex_pixels(tmp_path):
    odd = write(tmp_path / "p.tif", PAN.truth(1).astype("complex64"), PAN)
    with pytest.raises(SceneError, match="complex pixels"):
        open_scene(odd, ms_file(tmp_path, 4))


def test_no_ms_at_all(tmp_path):
    with pytest.raises(SceneError, match="no MS image"):
        open_scene(pan_file(tmp_path), [])


@pytest.mark.parametrize(
    ("pan_size", "ms_size"), [((2, 2), (1, 1)), ((4, 4), (1, 1)), ((3, 5), (1, 2)), ((1, 9), (1, 3))]
)
def test_tiny_images(tmp_path, pan_size, ms_size):
    pan, ratio = Place(*pan_size), 3 if pan_size == (1, 9) else pan_size[0] // ms_size[0]
    ms = Place(*ms_size, (float(ratio), 0.0, EAST, 0.0, -float(ratio), NORTH))
    scene = open_scene(write(tmp_path / "p.tif", pan.truth(1), pan), write(tmp_path / "m.tif", ms.truth(3), ms)).scene
    pair = scene.read(whole(scene))
    assert bool(pair.exp.isfinite().all())
    assert cut(pair.exp, scene).shape == (3, *pan_size)
    assert cut(pair.valid, scene).all()


def test_other_zone_with_no_data(tmp_path):
    """Resampled from another reference system: zeros outside MS and no-data inside it stay what they are."""
    x, y = OTHER_ZONE.at(np.array([54.0]), np.array([62.0]), "EPSG:32633")
    ms = Place(26, 26, (4.0, 0.0, float(x[0]) - 52, 0.0, -4.0, float(y[0]) + 52), "EPSG:32633")
    array = np.full((3, 26, 26), 500, "uint16")
    array[:, 10:14, 10:16] = 0
    pan = write(tmp_path / "p.tif", np.full((108, 124), 500, "uint16"), OTHER_ZONE)
    for says in (Says(0), Says(mask=array[0] > 0)):
        opened = open_scene(pan, write(tmp_path / "m.tif", array, ms, says))
        loaded = load(opened)
        assert opened.scene.layout.nested is not None
        valid = cut(loaded.pair.valid, opened.scene)[0]
        assert not valid[44:58, 48:64].all()
        assert 0.5 < valid.mean() < 0.98
        exp = cut(loaded.pair.exp, opened.scene)[:, valid] * opened.scene.units.full_scale
        np.testing.assert_allclose(exp, 500, atol=1e-3)


def test_south_up_equals_north_up_of_both(tmp_path):
    """A scene stored from the south gives the mirrored result."""
    north = open_scene(write(tmp_path / "p.tif", PAN.truth(1), PAN), write(tmp_path / "m.tif", MS.truth(3), MS))
    pan, ms = PAN.flipped(), MS.flipped()
    south = open_scene(write(tmp_path / "q.tif", pan.truth(1), pan), write(tmp_path / "n.tif", ms.truth(3), ms))
    a, b = (cut(load(o).pair.exp, o.scene) for o in (north, south))
    np.testing.assert_allclose(a[:, 12:-12], b[:, ::-1][:, 12:-12], atol=1e-5)


def test_replace_keeps_scenes_frozen(tmp_path):
    scene = open_scene(*files(tmp_path, "zero")).scene
    assert replace(scene, edge="drop").edge == "drop"
    assert scene.edge == "fill"


# ---- no-data that the user tells beside the files, and MS that ends early ------------------------


def two_marks(folder: Path, place: Place, crs: str | None = "EPSG:32632", says: Says | None = None) -> str:
    """Declared -9999 in the upper left corner, undeclared 0 in the lower right one."""
    array = np.full((3, place.height, place.width), 500, "int16")
    array[:, :4, :4], array[:, -4:, -4:] = -9999, 0
    return write(folder / "ms.tif", array, replace(place, crs=crs), says or Says(-9999))


def test_src_nodata_is_added_to_what_the_file_declares(tmp_path):
    opened = open_scene(pan_file(tmp_path), two_marks(tmp_path, MS), src_nodata=0, edge="drop")
    valid = cut(load(opened).pair.valid, opened.scene)[0]
    assert not valid[:12, :12].any()
    assert not valid[-12:, -12:].any()
    assert valid[20:-20, 20:-20].all()
    told = open_scene(pan_file(tmp_path), two_marks(tmp_path, MS), edge="drop")
    assert cut(load(told).pair.valid, told.scene)[0][-12:, -12:].all()


@pytest.mark.parametrize("declared", [-9999, None])
def test_src_nodata_where_ms_is_resampled(tmp_path, declared):
    ms = two_marks(tmp_path, MS.flipped(), says=Says(declared))
    opened = open_scene(pan_file(tmp_path), ms, src_nodata=0, edge="drop")
    assert opened.scene.layout.nested is not None
    valid = cut(load(opened).pair.valid, opened.scene)[0]
    assert valid[:12, -12:].all() == (declared is not None), "the file's own number counts alone"
    assert any("--src-nodata" in note for note in opened.scene.notes) == (declared is not None)


@pytest.mark.parametrize("phase", [(3.4, 1.5), (-0.5, 1.5), (1.5, 3.4), (2.0, 2.0)])
def test_pan_pixels_beyond_ms_are_counted(phase):
    pan, ms = torch.full((1, 1, 40, 48), 0.5), torch.full((1, 4, 10, 12), 0.5)
    scene = array_scene(pan, ms, sensor=sensors.get("generic"), phase=phase)
    loaded = scene.load(whole(scene))
    expected = np.zeros((40, 48), bool)
    for axis, (n, p) in enumerate(zip((40, 48), phase, strict=True)):
        position = (np.arange(n) - p) / 4
        lost = (position < -0.5) | (position > n // 4 - 0.5)
        expected |= lost[:, None] if axis == 0 else lost
    assert expected.any() == (phase != (2.0, 2.0)), "half-way at the border belongs to the border"
    filled = np.zeros_like(expected) if loaded.filled is None else cut(loaded.filled, scene)[0]
    assert np.array_equal(filled, expected)
    assert bool(loaded.pair.valid.all())
    assert not scene.may_be_invalid
    strict = replace(scene, edge="drop")
    assert np.array_equal(cut(strict.load(whole(strict)).pair.valid, strict)[0], ~expected)
    assert strict.may_be_invalid == expected.any()


def test_what_may_be_invalid(tmp_path):
    pan = pan_file(tmp_path)
    assert not open_scene(pan, ms_file(tmp_path, 4)).scene.may_be_invalid
    assert open_scene(pan, ms_file(tmp_path, 4, Says(0))).scene.may_be_invalid
    short = PAN.coarser(4, 12, 12, (10, 10))
    ms = write(tmp_path / "short.tif", np.full((4, 10, 10), 500, "uint16"), short)
    assert open_scene(pan, ms).scene.may_be_invalid
    assert not open_scene(pan, ms, extent="intersection").scene.may_be_invalid


# ---- types ---------------------------------------------------------------------------------------

_VRT = """<VRTDataset rasterXSize="{w}" rasterYSize="{h}"><SRS>EPSG:32632</SRS>
<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"""
_BAND = """<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource><SourceFilename>{path}</SourceFilename>
<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"""


def mixed(folder: Path, place: Place) -> tuple[list[str], str]:
    """A byte file and a 16-bit file, and both as one VRT."""
    paths, bands = [], ""
    for n, (kind, dtype) in enumerate((("Byte", "uint8"), ("UInt16", "uint16")), 1):
        array = np.full((place.height, place.width), 200 if n == 1 else 2000, dtype)
        paths.append(write(folder / f"{dtype}.tif", array, place))
        bands += _BAND.format(kind=kind, n=n, path=paths[-1])
    a, b, c, d, e, f = place.affine[:6]
    text = _VRT.format(w=place.width, h=place.height, transform=f"{c},{a},{b},{f},{d},{e}", bands=bands)
    (folder / "mixed.vrt").write_text(text)
    return paths, str(folder / "mixed.vrt")


@pytest.mark.parametrize("turned", [False, True])
def test_mixed_types(tmp_path, turned):
    paths, vrt = mixed(tmp_path, MS.flipped() if turned else MS)
    for ms in (paths, vrt):
        opened = open_scene(pan_file(tmp_path), ms)
        assert opened.dtype == "uint16"
        assert any("uint8, uint16" in note for note in opened.scene.notes)
        found = load(opened).pair.ms[0, :, 12, 12] * opened.scene.units.full_scale
        np.testing.assert_allclose(found.numpy(), [200, 2000], rtol=1e-5)
        only = open_scene(pan_file(tmp_path), ms, bands=[1])
        assert only.dtype == "uint8"


@pytest.mark.parametrize("dtype", ["uint32", "int32", "float64"])
def test_large_numbers_stay_what_they_are(tmp_path, dtype):
    array = (2**30 + np.arange(MS.height * MS.width)).reshape(1, MS.height, MS.width).repeat(3, 0).astype(dtype)
    opened = open_scene(pan_file(tmp_path), write(tmp_path / "m.tif", array, MS))
    scene = opened.scene
    back = scene.units.to_dn(load(opened).pair.ms.clone())[0, :, : MS.height, : MS.width].round().numpy()
    np.testing.assert_array_equal(back, array[:, : back.shape[1], : back.shape[2]])


def test_the_scale_of_the_sensor_counts_where_the_file_has_none(tmp_path):
    sensor = replace(sensors.get("quickbird"), scale=0.001, offset=-0.1, full_scale=1000.0)
    opened = open_scene(pan_file(tmp_path), ms_file(tmp_path, 4), sensor=sensor)
    units = opened.scene.units
    assert (units.scale, units.offset) == ((0.001,) * 4, (-0.1,) * 4)
    assert (units.full_scale, opened.full_scale_source) == (pytest.approx(0.9), "sensor quickbird")
    pair = load(opened).pair
    np.testing.assert_allclose(pair.ms[0, :, 5, 5], (np.array([0.1, 0.2, 0.3, 0.4]) - 0.1) / 0.9, atol=1e-6)
    np.testing.assert_allclose(pair.pan[0, 0, 5, 5], 0.4 / 0.9, atol=1e-6)
    np.testing.assert_allclose(units.to_dn(pair.ms.clone())[0, :, 5, 5], [100, 200, 300, 400], atol=1e-3)
    tagged = ms_file(tmp_path, 4, Says(scales=(0.01,) * 4, offsets=(0.0,) * 4), name="tagged.tif")
    opened = open_scene(pan_file(tmp_path), tagged, sensor=sensor)
    assert opened.scene.units.scale == (0.01,) * 4, "tags of the file come first"


def test_each_file_has_its_own_scale_in_the_full_scale(tmp_path):
    paths = [
        write(tmp_path / f"{k}.tif", np.full((MS.height, MS.width), 100, "uint16"), MS, Says(scales=(scale,)))
        for k, scale in enumerate((0.001, 50.0))
    ]
    opened = open_scene(pan_file(tmp_path), paths)
    assert opened.scene.units.full_scale == 8191, "100 x 50 = 5000 needs 13 bits"


# ---- alignment, handles, places ------------------------------------------------------------------


def test_an_offset_that_cannot_be_believed_is_not_applied(tmp_path, monkeypatch):
    pan, ms = pan_file(tmp_path), ms_file(tmp_path, 4)
    plain = Scene.open(pan, ms)
    monkeypatch.setattr(opening, "misregistration", lambda scene: replace(NOTHING, row=1.3, confidence=0.2))
    scene = Scene.open(pan, ms, align=True)
    assert scene.layout == plain.layout
    assert any("nothing was corrected" in note for note in scene.notes)
    assert registered(open_scene(pan, ms), align=False)[1] is None
    sure = Shift(1.25, -0.5, 0.9, 5, 0.01)
    monkeypatch.setattr(opening, "misregistration", lambda scene: sure)
    moved, shift = registered(open_scene(pan, ms), align=True)
    assert shift == sure
    assert moved.scene.layout == open_scene(pan, ms, ms_shift=(1.25, -0.5)).scene.layout
    assert Scene.open(pan, ms, align=True).layout == moved.scene.layout


def test_files_are_closed(tmp_path, monkeypatch):
    closed: list[str] = []
    real = Reader.close
    monkeypatch.setattr(Reader, "close", lambda self: (closed.append(self._raster.path), real(self))[1])
    pan, ms = pan_file(tmp_path), ms_file(tmp_path, 4)
    with Scene.open(pan, ms) as scene:
        assert not closed
        scene.read(whole(scene))
    assert sorted(closed) == sorted([pan, ms])
    closed.clear()

    def broken(source: object, what: str) -> None:
        raise SceneError(f"no {what}")

    monkeypatch.setattr(opening, "check_readable", broken)
    with pytest.raises(SceneError, match="no PAN"):
        open_scene(pan, ms)
    assert sorted(closed) == sorted([pan, ms])


@pytest.mark.parametrize(
    ("path", "plain", "remote"),
    [
        ("ms.tif", True, False),
        ("C:/a/ms.tif", True, False),
        ("/data/vsis3/ms.tif", True, False),
        ("https://x.org/a.tif", False, True),
        ("s3://b/a.tif", False, True),
        ("file:///a.tif", False, False),
        ("zip+file://a.zip!b.tif", False, False),
        ("zip+https://x.org/a.zip!b.tif", False, True),
        ("/vsizip/a.zip/b.tif", False, False),
        ("/vsizip//vsicurl/https://x.org/a.zip/b.tif", False, True),
        ("/vsis3/b/a.tif", False, True),
        ('NETCDF:"a.nc":x', False, False),
        ("<VRTDataset/>", False, False),
    ],
)
def test_where_an_image_lies(path, plain, remote):
    assert (is_plain(path), is_remote(path)) == (plain, remote)


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(SceneError, match="no such file"):
        open_scene(str(tmp_path / ("n" * 300)), ms_file(tmp_path, 4))


def test_the_text_of_a_vrt_is_an_image(tmp_path):
    _, vrt = mixed(tmp_path, MS)
    text = Path(vrt).read_text()
    assert len(open_scene(pan_file(tmp_path), text).scene.bands) == 2
    with pytest.raises(SceneError):
        open_scene(pan_file(tmp_path), "<VRTDataset")


@pytest.mark.parametrize(
    "numbers", ["500000,1,0,5000000,0,1e-320", "500000,1,1,5000000,1,1", "500000,0,0,5000000,0,-1"]
)
def test_pixels_without_area(tmp_path, numbers):
    band = _BAND.format(kind="UInt16", n=1, path=pan_file(tmp_path))
    text = _VRT.format(w=PAN.width, h=PAN.height, transform=numbers, bands=band)
    (tmp_path / "flat.vrt").write_text(text)
    for pan, ms in (
        (str(tmp_path / "flat.vrt"), ms_file(tmp_path, 4)),
        (pan_file(tmp_path), str(tmp_path / "flat.vrt")),
    ):
        with pytest.raises(SceneError, match="gives pixels no area"):
            open_scene(pan, ms)


# ---- previews ------------------------------------------------------------------------------------


def test_a_preview_shows_true_colours(tmp_path):
    labels = ["band_b", "band_g", "band_r", "band_n"]
    assert choose(labels, colors=["blue", "green", "red", "undefined"]) == [2, 1, 0]
    assert choose(["blue", "green", "red"], colors=["undefined"] * 3) == [2, 1, 0]
    assert choose(labels, colors=["undefined"] * 4) == [0, 1, 2]
    array = np.broadcast_to(np.arange(40, dtype="uint16") * 10, (4, 40, 40)).copy()
    array[0] = array[0][:, ::-1]  # blue falls to the right, the others rise
    says = Says(descriptions=labels, colors=("blue", "green", "red", "undefined"))
    preview(write(tmp_path / "a.tif", array, MS.part(0, 0, 40, 40), says), tmp_path / "a.png")
    with rasterio.open(tmp_path / "a.png") as png:
        shown = png.read()
    assert shown[0, 20, -1] > shown[0, 20, 0]
    assert shown[2, 20, -1] < shown[2, 20, 0]


def test_a_huge_scene_is_sampled_evenly_and_says_so(tmp_path, monkeypatch):
    from panloom.scene import scene as reading

    monkeypatch.setattr(reading, "SURVEY_BLOCKS", 3)
    monkeypatch.setattr(reading, "tile_size", lambda ratio: 16)
    pan = Place(64, 96)
    ms = pan.coarser(4)
    write(tmp_path / "pan.tif", np.ones((1, 64, 96), "uint16"), pan)
    write(tmp_path / "ms.tif", np.ones((3, 16, 24), "uint16"), ms)
    with Scene.open(str(tmp_path / "pan.tif"), str(tmp_path / "ms.tif")) as scene:
        assert scene.surveyed == (3, 24)
        assert len(list(scene.survey())) == 3
