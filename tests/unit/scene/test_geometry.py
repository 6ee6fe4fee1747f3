"""Geometry: wherever the two grids lie, MS is seen at its true place on the PAN grid, and the report says how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rasterio.crs import CRS
from rasters import EAST, NORTH, UTM, Place, Says, smooth, write

from panloom.errors import OptionError, SceneError
from panloom.scene import Opened, Scene, open_scene
from panloom.scene.geometry import cell_of, settle
from panloom.scene.scene import Loaded
from panloom.types import Tile, Window

PAN = Place(112, 128)
WEST_OF_33 = (1.0, 0.0, 830_000.0, 0.0, -1.0, NORTH)


#: Cubic resampling of waves of 16 pixels is this exact; 3 % of an MS pixel of shift would be more.
RESAMPLED = 2e-3


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Case:
    """Where PAN and MS lie, and what should come of it.

    Attributes:
        pan: the PAN grid.
        ms: the MS grid.
        ratio: that is settled.
        limit: of the error of EXP, in units of a truth between 0.1 and 0.9.
        says: a word of the note on resampling; empty where MS is read as it lies.
    """

    pan: Place
    ms: Place
    ratio: int = 4
    limit: float = 3e-5
    says: str = ""


def _square(pan: Place, ratio: float) -> Place:
    return replace(pan, height=round(28 * ratio), width=round(32 * ratio))


def _geographic(pan: Place, metres: float) -> Place:
    """A grid in degrees over the ground of `pan`, somewhat larger, with pixels of about `metres`."""
    corners = pan.at(np.array([-9.0, -9.0, 120.0, 120.0]), np.array([-9.0, 140.0, -9.0, 140.0]), "EPSG:4326")
    left, top = corners[0].min(), corners[1].max()
    step = metres / 111_000
    height, width = int((top - corners[1].min()) / step) + 1, int((corners[0].max() - left) / step) + 1
    return Place(height, width, (step, 0.0, left, 0.0, -step, top), "EPSG:4326")


def _zone(pan: Place, crs: str, step: float, middle: tuple[float, float] = (56.0, 64.0)) -> Place:
    """A grid of another projected system over the same ground, larger on every side."""
    (x,), (y,) = pan.at(np.array([middle[0]]), np.array([middle[1]]), crs)
    x, y = round(float(x)) - 25 * step, round(float(y)) + 25 * step
    return Place(50, 50, (step, 0.0, x, 0.0, -step, y), crs)


def _cases() -> dict[str, Case]:
    ms = PAN.coarser(4)
    long = Place(112, 128, (2.0, 0.0, EAST, 0.0, -1.0, NORTH))
    border = replace(PAN, transform=WEST_OF_33)
    cases = {
        "corner-aligned": Case(PAN, ms),
        "pan-3-rows-more": Case(Place(111, 130), PAN.coarser(4, size=(27, 32))),
        "pan-1-row-less": Case(Place(111, 127), ms),
        "ms-larger": Case(PAN, PAN.coarser(4, -36, -44, (45, 52))),
        "ms-larger-uneven": Case(PAN, PAN.coarser(4, -33, -46, (45, 52))),
        "ms-smaller": Case(PAN, PAN.coarser(4, 12, 9, (20, 22))),
        "half-pan-pixel": Case(PAN, PAN.coarser(4, 0.5, -0.5)),
        "quarter-ms-pixel": Case(PAN, PAN.coarser(4, -1, 1)),
        "no-special-offset": Case(PAN, PAN.coarser(4, -2.37, 1.81, (29, 33))),
        "landsat-centres": Case(PAN, PAN.coarser(2, -0.5, -0.5), ratio=2),
        "landsat-one-west": Case(PAN.part(0, -1, 112, 129), PAN.coarser(2, -0.5, -0.5), ratio=2),
        "south-up-both": Case(PAN.flipped(), ms.flipped()),
        "south-up-both-offset": Case(PAN.flipped(), PAN.coarser(4, -2.3, 1.6, (29, 32)).flipped()),
        "south-up-ms": Case(PAN, ms.flipped(), limit=3e-5, says="against the direction"),
        "south-up-pan": Case(PAN.flipped(), PAN.coarser(4, -2.3, 1.6, (30, 32)), says="against the direction"),
        "mirrored-ms": Case(PAN, ms.flipped(rows=False, cols=True), says="against the direction"),
        "turned-by-180-ms": Case(PAN, ms.flipped(cols=True), says="against the direction"),
        "rotated-alike": Case(PAN.turned(30), PAN.turned(30).coarser(4, 0.5, -0.25)),
        "rotated-ms": Case(PAN, ms.turned(20), limit=RESAMPLED, says="turned against"),
        "rotated-pan": Case(PAN.turned(20), PAN.coarser(4, -60, -60, (60, 60)), limit=RESAMPLED, says="turned against"),
        "rotated-ms-90": Case(PAN, ms.turned(90), limit=RESAMPLED, says="turned against"),
        "long-pixels": Case(long, long.coarser(4, 0.5, 1)),
        "ms-pixels-longer": Case(
            PAN, Place(56, 32, (4.0, 0.0, EAST, 0.0, -2.0, NORTH)), ratio=3, limit=RESAMPLED, says="no whole number"
        ),
        "ratio-3.98": Case(PAN, PAN.coarser(3.98), limit=RESAMPLED, says="no whole number"),
        "ratio-2.5": Case(PAN, PAN.coarser(2.5), ratio=2, limit=RESAMPLED, says="no whole number"),
        "ratio-4.0003": Case(PAN, PAN.coarser(4.0003), limit=RESAMPLED),
        "degrees-ms": Case(PAN, _geographic(PAN, 4.0), ratio=3, limit=RESAMPLED, says="another reference system"),
        "degrees-pan": Case(
            _geographic(PAN, 1.0),
            PAN.coarser(4, -80, -80, (80, 80)),
            ratio=5,
            limit=RESAMPLED,
            says="another reference",
        ),
        "mercator-ms": Case(PAN, _zone(PAN, "EPSG:3857", 5.6), limit=RESAMPLED, says="another reference system"),
        "other-zone": Case(border, _zone(border, "EPSG:32633", 4.0), limit=RESAMPLED, says="another reference system"),
        "no-crs-in-ms": Case(PAN, replace(PAN.coarser(4, 0.5, 0), crs=None)),
        "no-crs-in-ms-south-up": Case(PAN, replace(ms.flipped(), crs=None), says="against the direction"),
        "no-crs-in-ms-turned": Case(PAN, replace(ms.turned(20), crs=None), limit=RESAMPLED, says="turned against"),
        "no-crs-in-ms-ratio-3.98": Case(
            PAN, replace(PAN.coarser(3.98), crs=None), limit=RESAMPLED, says="no whole number"
        ),
        "no-crs-in-pan-south-up": Case(replace(PAN, crs=None), ms.flipped(), says="against the direction"),
        "no-crs-in-pan-turned": Case(replace(PAN, crs=None), ms.turned(20), limit=RESAMPLED, says="turned against"),
        "no-crs-in-pan-ratio-3.98": Case(
            replace(PAN, crs=None), PAN.coarser(3.98), limit=RESAMPLED, says="no whole number"
        ),
        "no-crs-at-all": Case(replace(PAN, crs=None), replace(PAN.coarser(4, 0.5, 0), crs=None)),
        "no-crs-rotated": Case(
            replace(PAN, crs=None), replace(ms.turned(20), crs=None), limit=RESAMPLED, says="turned against"
        ),
    }
    for ratio in (2, 3, 5, 6, 7, 8):
        pan = _square(PAN, ratio)
        cases[f"ratio-{ratio}"] = Case(pan, pan.coarser(ratio, 0.3, -0.4, (28, 32)), ratio=ratio)
    return cases


CASES = _cases()
EVERY_CASE = pytest.mark.parametrize("name", CASES)


def scene_files(folder: Path, pan: Place, ms: Place, wave: float = 64.0) -> tuple[str, str]:
    return (
        write(folder / "pan.tif", pan.truth(1, wave), pan),
        write(folder / "ms.tif", ms.truth(3, wave), ms),
    )


def whole(scene: Scene) -> Tile:
    grid = scene.grid
    return Tile(0, Window(0, 0, grid.height, grid.width), Window(0, 0, *grid.cells))


def cut(image: torch.Tensor, scene: Scene) -> np.ndarray:
    return image[0, :, : scene.grid.height, : scene.grid.width].numpy()


def grid_place(opened: Opened, pan: Place) -> Place:
    """The scene's grid as the settled transform states it."""
    grid = opened.scene.grid
    return Place(grid.height, grid.width, grid.transform, pan.crs)


def wavelength(case: Case) -> float:
    """16 MS pixels, in metres."""
    ground = case.ms.at(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    return 16 * float(np.hypot(*np.diff(np.stack(ground))[:, 0]) / np.sqrt(2))


def seen(case: Case, place: Place, margin: float) -> np.ndarray:
    """Pixels of `place` that lie at least `margin` MS pixels inside the MS image."""
    xs, ys = place.at(np.arange(place.height)[:, None], np.arange(place.width)[None])
    rows, cols = case.ms.index(xs, ys)
    inside = (rows >= margin) & (rows <= case.ms.height - 1 - margin)
    return inside & (cols >= margin) & (cols <= case.ms.width - 1 - margin)


def away_from_edges(case: Case, place: Place, ratio: int) -> np.ndarray:
    """Far from the borders of MS, and of the scene, beyond which the edge is repeated."""
    ok = seen(case, place, 7.0)
    rim = 7 * ratio
    ok[:rim], ok[-rim:], ok[:, :rim], ok[:, -rim:] = False, False, False, False
    return ok


@EVERY_CASE
@pytest.mark.parametrize("extent", ["pan", "intersection", "ms"])
def test_ms_is_seen_at_its_true_place(tmp_path, name, extent):
    """The law of this folder: EXP equals the truth on the PAN grid."""
    case = CASES[name]
    wave = wavelength(case)
    opened = open_scene(*scene_files(tmp_path, case.pan, case.ms, wave), extent=extent)
    scene = opened.scene
    assert scene.grid.ratio == case.ratio
    place = grid_place(opened, case.pan)
    loaded = scene.load(whole(scene))
    xs, ys = place.at(np.arange(place.height)[:, None], np.arange(place.width)[None])
    ok = away_from_edges(case, place, case.ratio)
    assert ok.sum() > 200
    error = np.abs(cut(loaded.pair.exp, scene) - smooth(xs, ys, 3, wave))[:, ok]
    assert error.max() < case.limit
    pan_valid = np.isin(np.arange(place.height) + scene.layout.pan_origin[0], np.arange(case.pan.height))[:, None]
    pan_valid = pan_valid & np.isin(np.arange(place.width) + scene.layout.pan_origin[1], np.arange(case.pan.width))
    error = np.abs(cut(loaded.pair.pan, scene) - smooth(xs, ys, 1, wave))[:, pan_valid]
    assert error.max() < 1e-6
    check_notes(scene, case)
    check_validity(case, opened, loaded, pan_valid)


def check_notes(scene: Scene, case: Case) -> None:
    said = " ".join(scene.notes)
    if case.says:
        assert case.says in said
        assert "resampled" in said
        assert scene.layout.nested is not None
    else:
        assert "resampled" not in said
        assert scene.layout.nested is None


def check_validity(case: Case, opened: Opened, loaded: Loaded, pan_valid: np.ndarray) -> None:
    """Valid where PAN is and MS is near; nothing well inside MS is lost, nothing far outside is made up."""
    scene = opened.scene
    place = grid_place(opened, case.pan)
    valid = cut(loaded.pair.valid, scene)[0]
    # A resampled grid has its own pixels at the rim: one of them, in any direction, is left to it.
    slack = 1.5 if case.says else 1e-4
    inside = seen(case, place, slack - 0.5) & pan_valid
    outside = ~seen(case, place, -1.5 - slack)
    assert valid[inside].all()
    assert not valid[outside].any()
    assert not valid[~pan_valid].any()
    if loaded.missing is not None:
        missing = cut(loaded.missing, scene)[0]
        assert np.array_equal(missing, pan_valid & ~valid)


@pytest.mark.parametrize(
    ("ms", "limit"),
    [
        (PAN.coarser(4, -36, -44, (45, 52)), 3e-5),
        (PAN.coarser(2, -18.5, -20.5, (80, 90)), 3e-5),
        (PAN.coarser(4, -36, -44, (45, 52)).flipped(), 3e-5),
        (_zone(PAN, "EPSG:3857", 5.6), RESAMPLED),
        (PAN.coarser(4, -60, -60, (60, 60)).turned(20), RESAMPLED),
    ],
)
@pytest.mark.parametrize("shift", [None, (1.5, -2.25)])
def test_a_larger_ms_is_used_up_to_the_border_of_pan(tmp_path, ms, limit, shift):
    """The border of PAN is no border of MS: what MS shows beyond it serves the interpolation."""
    case = Case(PAN, ms, limit=limit)
    wave = wavelength(case)
    pan_path, ms_path = scene_files(tmp_path, PAN, ms, wave)
    if shift:
        ratio = open_scene(pan_path, ms_path).scene.grid.ratio
        xs, ys = ms.at(np.arange(ms.height)[:, None], np.arange(ms.width)[None])
        rows, cols = PAN.index(xs, ys)
        moved = PAN.at(rows + ratio * shift[0], cols + ratio * shift[1])
        write(Path(ms_path), smooth(*moved, 3, wave).astype(np.float32), ms)
    scene = open_scene(pan_path, ms_path, ms_shift=shift).scene
    loaded = scene.load(whole(scene))
    xs, ys = PAN.at(np.arange(PAN.height)[:, None], np.arange(PAN.width)[None])
    assert np.abs(cut(loaded.pair.exp, scene) - smooth(xs, ys, 3, wave)).max() < limit
    assert bool(loaded.pair.valid.all())
    assert loaded.missing is None or not loaded.missing.any()


@EVERY_CASE
@pytest.mark.parametrize("extent", ["pan", "intersection", "ms"])
def test_the_scene_lies_on_the_pan_grid(tmp_path, name, extent):
    case = CASES[name]
    layout = open_scene(*scene_files(tmp_path, case.pan, case.ms), extent=extent).scene.layout
    grid, origin = layout.grid, layout.pan_origin
    assert all(isinstance(o, int) for o in origin)
    expected = case.pan.part(*origin, 1, 1).transform
    np.testing.assert_allclose(grid.transform, expected, rtol=1e-12, atol=1e-9)
    assert (grid.crs is None) == (case.pan.crs is None)
    if grid.crs:
        assert CRS.from_wkt(grid.crs) == CRS.from_string(case.pan.crs)
    assert all(-0.5 <= p < grid.ratio - 0.5 for p in grid.phase)
    assert layout.area == Window(0, 0, grid.height, grid.width)
    if extent == "pan":
        assert (origin, grid.height, grid.width) == ((0, 0), case.pan.height, case.pan.width)
    rows = (origin[0], origin[0] + grid.height)
    cols = (origin[1], origin[1] + grid.width)
    if extent == "intersection":
        assert rows[0] >= 0 <= cols[0]
        assert rows[1] <= case.pan.height
        assert cols[1] <= case.pan.width
    if extent == "ms":
        # Every MS pixel centre is in it, and it is no larger than the outline of MS.
        xs, ys = case.ms.at(np.arange(case.ms.height)[:, None], np.arange(case.ms.width)[None])
        r, c = case.pan.index(xs, ys)
        assert rows[0] - 0.5 <= r.min()
        assert r.max() <= rows[1] - 0.5
        assert grid.height <= np.ptp(r) + 2.5 * grid.ratio
        assert grid.width <= np.ptp(c) + 2.5 * grid.ratio


@EVERY_CASE
def test_the_phase_is_where_the_transforms_put_ms(tmp_path, name):
    case = CASES[name]
    if case.says:
        pytest.skip("MS is resampled: the phase is that of the new grid")
    for extent in ("pan", "intersection", "ms"):
        layout = open_scene(*scene_files(tmp_path, case.pan, case.ms), extent=extent).scene.layout
        row, col = layout.ms_origin
        if not case.pan.crs or not case.ms.crs:
            centre = ~case.pan.affine * (case.ms.affine * (col + 0.5, row + 0.5))
            place = (centre[1] - 0.5, centre[0] - 0.5)
        else:
            place = tuple(float(v) for v in case.pan.index(*case.ms.at(row, col)))
        expected = [p - o for p, o in zip(place, layout.pan_origin, strict=True)]
        # A slight drift is shared out: right in the middle, off by half of it at the ends.
        np.testing.assert_allclose(layout.grid.phase, expected, atol=0.01 if name == "ratio-4.0003" else 2e-6)


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("corner-aligned", (1.5, 1.5)),
        ("half-pan-pixel", (2.0, 1.0)),
        ("quarter-ms-pixel", (0.5, 2.5)),
        ("landsat-centres", (0.0, 0.0)),
        ("landsat-one-west", (0.0, 1.0)),
        ("ratio-3", (1.3, 0.6)),
    ],
)
def test_phases_that_are_known(tmp_path, name, phase):
    grid = open_scene(*scene_files(tmp_path, CASES[name].pan, CASES[name].ms)).scene.grid
    assert grid.phase == pytest.approx(phase, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("landsat8_rup", (0.0, 0.0)),
        ("landsat8_mm", (0.0, 1.0)),
        ("landsat8_gppnn5", (0.0, 0.0)),
        ("landsat7_07", (0.5, 0.5)),
    ],
)
def test_phases_of_real_files(shared, name, phase):
    folder = shared / "data" / "geotiff" / name
    scene = open_scene(str(folder / "pan.tif"), str(folder / "ms.tif")).scene
    assert (scene.grid.ratio, scene.grid.phase) == (2, phase)
    assert scene.layout.nested is None


def test_the_same_reference_system_in_other_words(tmp_path):
    """MS says UTM zone 32 by its parameters: no resampling."""
    pan, ms = scene_files(tmp_path, PAN, PAN.coarser(4, 0.5, 0))
    told = "+proj=tmerc +lat_0=0 +lon_0=9 +k=0.9996 +x_0=500000 +y_0=0 +datum=WGS84 +units=m +no_defs"
    write(Path(ms), PAN.coarser(4, 0.5, 0).truth(3), replace(PAN.coarser(4, 0.5, 0), crs=told))
    scene = open_scene(pan, ms).scene
    assert scene.layout.nested is None
    assert scene.grid.phase == (2.0, 1.5)


# ---- what the user asks for ----------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(1.0, 0.0), (0.0, -2.0), (0.3, -0.45), (-1.7, 2.2)])
@pytest.mark.parametrize("name", ["corner-aligned", "ms-larger-uneven", "south-up-ms", "mercator-ms"])
def test_ms_shift_moves_ms_down_and_right(tmp_path, name, shift):
    """The files lie: MS content is `shift` MS pixels further down / to the right. Told so, EXP is right again."""
    case = CASES[name]
    wave = wavelength(case)
    step = case.ratio
    real = case.pan.part(0, 0, case.pan.height, case.pan.width)
    pan_path, ms_path = scene_files(tmp_path, case.pan, case.ms, wave)
    xs, ys = case.ms.at(np.arange(case.ms.height)[:, None], np.arange(case.ms.width)[None])
    rows, cols = case.pan.index(xs, ys)
    moved = real.at(rows + step * shift[0], cols + step * shift[1])
    write(Path(ms_path), smooth(*moved, 3, wave).astype(np.float32), case.ms)
    opened = open_scene(pan_path, ms_path, ms_shift=shift)
    place = grid_place(opened, case.pan)
    ok = away_from_edges(case, place, case.ratio)
    rim = 3 * case.ratio
    ok = ok & np.roll(ok, rim, 0) & np.roll(ok, -rim, 0) & np.roll(ok, rim, 1) & np.roll(ok, -rim, 1)
    assert ok.any()
    xs, ys = place.at(np.arange(place.height)[:, None], np.arange(place.width)[None])
    error = cut(opened.scene.read(whole(opened.scene)).exp, opened.scene) - smooth(xs, ys, 3, wave)
    assert np.abs(error[:, ok]).max() < 2 * case.limit


def test_window_is_in_pixels_of_the_pan_file(tmp_path):
    pan, ms = scene_files(tmp_path, PAN, PAN.coarser(4, 20, 24, (16, 18)))
    for extent, start in (("pan", (0, 0)), ("intersection", (20, 24)), ("ms", (20, 24))):
        layout = open_scene(pan, ms, extent=extent, window=Window(30, 40, 10, 12)).scene.layout
        assert layout.area == Window(30 - start[0], 40 - start[1], 10, 12)
        assert layout.pan_origin == start
    over = open_scene(pan, ms, window=Window(-5, 120, 10, 50)).scene.layout.area
    assert over == Window(0, 120, 5, 8)
    for wrong in (Window(112, 0, 5, 5), Window(0, -9, 5, 9), Window(3, 3, 0, 5)):
        with pytest.raises(OptionError, match="holds no pixel of the scene"):
            open_scene(pan, ms, window=wrong)


@pytest.mark.parametrize("place", [PAN, PAN.flipped(), Place(112, 128, (0.3, 0.0, EAST + 0.1, 0.0, -0.3, NORTH - 0.1))])
def test_bounds_are_in_coordinates_of_pan(tmp_path, place):
    pan, ms = scene_files(tmp_path, place, place.coarser(4))
    (x0, x1), (y0, y1) = (sorted(v) for v in zip(*(place.affine * p for p in ((40, 30), (52, 41))), strict=True))
    settled = open_scene(pan, ms, bounds=(x0, y0, x1, y1)).scene.layout.area
    assert settled == Window(30, 40, 11, 12), "bounds on pixel edges take those pixels and no more"
    inside = abs(place.affine.a) * 0.4
    part = open_scene(pan, ms, bounds=(x0 + inside, y0 + inside, x1 - inside, y1 - inside)).scene.layout.area
    assert part == settled, "a pixel that is touched is taken"
    with pytest.raises(OptionError, match="LEFT,BOTTOM,RIGHT,TOP"):
        open_scene(pan, ms, bounds=(x1, y0, x0, y1))
    with pytest.raises(OptionError, match="holds no pixel"):
        open_scene(pan, ms, bounds=(x0 + 1e4, y0, x1 + 1e4, y1))


def test_bounds_need_a_georeference(tmp_path):
    bare = Place(112, 128, None, None)
    pan, ms = (
        write(tmp_path / "p.tif", PAN.truth(1), bare),
        write(tmp_path / "m.tif", PAN.coarser(4).truth(), Place(28, 32, None, None)),
    )
    with pytest.raises(OptionError, match="georeferenced PAN; use --window"):
        open_scene(pan, ms, bounds=(0, 0, 1, 1))


def test_unknown_words(tmp_path):
    files = scene_files(tmp_path, PAN, PAN.coarser(4))
    with pytest.raises(OptionError, match="edge is fill or drop; given: 'cut'"):
        open_scene(*files, edge="cut")


# ---- no georeference -----------------------------------------------------------------------------


def strip(place: Place) -> Place:
    return replace(place, transform=None, crs=None)


def bare_files(folder: Path, pan: Place, ms: Place, says: Says | None = None, keep: str = "") -> tuple[str, str]:
    return (
        write(folder / "pan.tif", pan.truth(1), pan if keep == "pan" else strip(pan), says),
        write(folder / "ms.tif", ms.truth(3), ms if keep == "ms" else strip(ms), says),
    )


@pytest.mark.parametrize("ms", [PAN.coarser(4), PAN.coarser(4, size=(27, 31)), PAN.coarser(4, size=(28, 32))])
def test_without_georeference_corners_coincide(tmp_path, ms):
    scene = open_scene(*bare_files(tmp_path, PAN, ms)).scene
    assert scene.grid.phase == (1.5, 1.5)
    assert scene.grid.transform is None
    assert scene.grid.crs is None
    assert any("no georeference" in note and "--ms-shift" in note for note in scene.notes)
    exp, truth = cut(scene.read(whole(scene)).exp, scene), PAN.truth(3)
    np.testing.assert_allclose(exp[:, 28:-32, 28:-32], truth[:, 28:-32, 28:-32], atol=3e-5)


def test_one_row_of_shift_is_one_row_further_down(tmp_path):
    """An MS with its content one MS row further down, told so."""
    ms = PAN.coarser(4)
    lower = PAN.coarser(4, 4, 0)  # its row i shows the ground of row i + 1
    write(tmp_path / "pan.tif", PAN.truth(1), strip(PAN))
    write(tmp_path / "ms.tif", lower.truth(3), strip(ms))
    scene = open_scene(str(tmp_path / "pan.tif"), str(tmp_path / "ms.tif"), ms_shift=(1.0, 0.0)).scene
    exp, truth = cut(scene.read(whole(scene)).exp, scene), PAN.truth(3)
    np.testing.assert_allclose(exp[:, 32:-28, 28:-28], truth[:, 32:-28, 28:-28], atol=3e-5)


@pytest.mark.parametrize("keep", ["pan", "ms"])
def test_only_one_is_georeferenced(tmp_path, keep):
    scene = open_scene(*bare_files(tmp_path, PAN, PAN.coarser(4), keep=keep)).scene
    other = {"pan": "MS", "ms": "PAN"}[keep]
    assert any(note.startswith(f"{other} has no georeference") for note in scene.notes)
    assert scene.grid.phase == (1.5, 1.5)
    assert (scene.grid.transform is None) == (keep == "ms")


def test_rpc_only_is_said_plainly(tmp_path):
    scene = open_scene(*bare_files(tmp_path, PAN, PAN.coarser(4), Says(rpcs=True))).scene
    assert any("not orthorectified" in note and "orthorectify both first" in note for note in scene.notes)
    assert scene.grid.phase == (1.5, 1.5)


def test_without_georeference_other_ground_is_refused(tmp_path):
    pan, ms = bare_files(tmp_path, PAN, Place(28, 45, (4.0, 0.0, EAST, 0.0, -4.0, NORTH)))
    with pytest.raises(SceneError, match=r"128 x 112 and MS 45 x 28 .* ratios of their sides"):
        open_scene(pan, ms)


# ---- what cannot be fused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ms",
    [
        PAN.coarser(4, 0, 128, (10, 10)),
        PAN.coarser(4, -40, 0, (10, 10)),
        PAN.coarser(4, 0, 5000),
        Place(20, 20, (4.0, 0.0, 300_000.0, 0.0, -4.0, 4_000_000.0), "EPSG:32633"),
        PAN.coarser(4, 500, 0).flipped(),
    ],
)
def test_disjoint(tmp_path, ms):
    with pytest.raises(SceneError, match=r"PAN and MS do not overlap: MS .*ms.tif.* covers PAN columns"):
        open_scene(*scene_files(tmp_path, PAN, ms))


def test_outside_the_reference_system(tmp_path):
    ms = Place(20, 20, (4.0, 0.0, 1e9, 0.0, -4.0, 1e9), "EPSG:32633")
    with pytest.raises(SceneError):
        settle_files(tmp_path, PAN, ms)


def settle_files(folder: Path, pan: Place, ms: Place) -> Scene:
    write(folder / "pan.tif", np.ones((pan.height, pan.width), np.float32), pan)
    write(folder / "ms.tif", np.ones((3, ms.height, ms.width), np.float32), ms)
    return open_scene(str(folder / "pan.tif"), str(folder / "ms.tif")).scene


def test_pan_coarser_than_ms(tmp_path):
    pan, ms = scene_files(tmp_path, PAN, PAN.coarser(4))
    swapped = write(tmp_path / "swapped.tif", PAN.truth(3), PAN)
    coarse = write(tmp_path / "coarse.tif", PAN.coarser(4).truth(1), PAN.coarser(4))
    with pytest.raises(SceneError, match=r"PAN is not sharper than MS: .* 0.25 pixels .* is the order PAN MS right"):
        open_scene(coarse, swapped)
    with pytest.raises(SceneError, match=r"PAN is not sharper than MS"):
        open_scene(pan, swapped)
    with pytest.raises(SceneError, match=r"PAN must have one band, .* has 3; is the order PAN MS right"):
        open_scene(ms, pan)


def test_ms_too_coarse(tmp_path):
    with pytest.raises(SceneError, match=r"MS is too coarse for PAN: .* 20 pixels .* ratios from 2 to 16"):
        open_scene(*scene_files(tmp_path, PAN, PAN.coarser(20)))


def test_ms_files_must_share_a_grid(tmp_path):
    pan, first = scene_files(tmp_path, PAN, PAN.coarser(4))
    other = write(tmp_path / "b.tif", PAN.coarser(4, 1, 0).truth(1), PAN.coarser(4, 1, 0))
    with pytest.raises(SceneError, match="must share one grid"):
        open_scene(pan, [first, other])


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "ratio", "cell", "inside"),
    [
        (1.5, 4, 0, 1.5),
        (-0.5, 4, 0, -0.5),
        (3.5, 4, 1, -0.5),
        (3.5 - 1e-12, 4, 1, -0.5),
        (3.499999, 4, 0, 3.499999),
        (-0.6, 4, -1, 3.4),
        (-9.0, 4, -3, 3.0),
        (1e-12, 2, 0, 0.0),
    ],
)
def test_cells(position, ratio, cell, inside):
    found = cell_of(position, ratio)
    assert found == (cell, pytest.approx(inside, abs=1e-6))
    assert -0.5 <= found[1] < ratio - 0.5


def test_settle_is_pure(tmp_path):
    opened = open_scene(*scene_files(tmp_path, PAN, PAN.coarser(4)))
    assert settle(opened.pan, opened.ms[0]) == opened.scene.layout


def test_utm_is_the_reference_of_these_tests():
    assert PAN.crs == UTM
    xs, ys = PAN.at(np.array([3.0]), np.array([5.0]))
    assert (xs[0], ys[0]) == (EAST + 5.5, NORTH - 3.5)
    rows, cols = PAN.index(xs, ys)
    assert (rows[0], cols[0]) == (3.0, 5.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ms_shift": (1e308, 0.0)}, "at most 1e"),
        ({"ms_shift": (0.0, -2e6)}, "at most 1e"),
        ({"ms_shift": (float("nan"), 0.0)}, "must be finite"),
        ({"bounds": (-1e308, -1e308, 1e308, 1e308)}, "too far from PAN"),
        ({"bounds": (0.0, 0.0, float("inf"), 1.0)}, "must be finite"),
    ],
)
def test_numbers_beyond_reason(tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        open_scene(*scene_files(tmp_path, PAN, PAN.coarser(4)), **options)
