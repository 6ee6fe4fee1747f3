"""Which files belong together: by name, by footprint, from a CSV."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
import pytest

from panloom.errors import OptionError, OutputError, SceneError
from panloom.run.batch import Job, find
from panloom.scene._naming import label
from panloom.scene.pairing import Unmatched
from panloom.scene.saving import save

UTM = "EPSG:32632"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def raster(path, *, bands=1, pixel=1.0, size=(64, 64), at=(500_000.0, 5_000_000.0), crs: str | None = UTM):
    """A small image whose upper left corner lies at `at`, (x, y)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = (pixel, 0.0, at[0], 0.0, -pixel, at[1]) if crs else None
    save(path, np.ones((bands, *size), np.uint8), crs=crs, transform=transform)


def found(root, out=None):
    pairs = find(root, out or root / "out")
    jobs = {
        job.name: (
            Path(job.pan).relative_to(root).as_posix(),
            [Path(m).relative_to(root).as_posix() for m in job.ms],
            job.by,
        )
        for job in pairs.jobs
    }
    left = [({Path(f).relative_to(root).as_posix() for f in entry.files}, entry.why) for entry in pairs.unmatched]
    return jobs, left


P = "IMG_PHR1A_P_201309261047308_ORT_IPU_20131014_0967-001_R1C1.TIF"
M = "IMG_PHR1A_MS_201309261047308_ORT_IPU_20131014_0967-002_R1C1.TIF"
NEO = "IMG_PNEO4_202111021014077_{}_SEN_PWOI_000024241_2_1_F_1_{}_R1C1.TIF"
L8 = "LC08_L1TP_193024_20200801_20200807_02_T1"


@pytest.mark.parametrize(
    ("pan", "ms", "name"),
    [
        ("scene1_pan.tif", ["scene1_ms.tif"], "scene1"),
        ("scene1_PAN.TIF", ["scene1_mul.tif"], "scene1"),
        ("pan-scene1.tif", ["xs-scene1.tif"], "scene1"),
        ("QB_P.tif", ["QB_M.tif"], "QB"),
        ("plot_m_pan.tif", ["plot_m_ms.tif"], "plot_m"),
        ("a/pan.tif", ["a/ms.tif"], "a"),
        ("a/b/pan.tif", ["a/b/mss.tif"], "a_b"),
        ("PAN/img1.tif", ["MUL/img1.tif"], "img1"),
        ("town/PAN/PAN_img1.tif", ["town/MUL/MUL_img1.tif"], "town_img1"),
        ("10JAN01-P1BS-052345_01_P001.TIF", ["10JAN01-M1BS-052345_01_P001.TIF"], "10JAN01-1BS-052345_01_P001"),
        (
            "05_P001_PAN/12JUN-P2AS_R1C1-05_P001.TIF",
            ["05_P001_MUL/12JUN-M2AS_R1C1-05_P001.TIF"],
            "05_P001_12JUN-2AS_R1C1-05_P001",
        ),
        (f"IMG_PHR1A_P_001/{P}", [f"IMG_PHR1A_MS_002/{M}"], "PHR1A_201309261047308_R1C1"),
        (
            NEO.format("PAN", "P"),
            [NEO.format("MS-FS", "RGB"), NEO.format("MS-FS", "NED")],
            "PNEO4_202111021014077_R1C1",
        ),
        ("GF2_PMS1_E113_L1A0-PAN1.tiff", ["GF2_PMS1_E113_L1A0-MSS1.tiff"], "GF2_PMS1_E113_L1A0-1"),
        (f"{L8}_B8.TIF", [f"{L8}_B{k}.TIF" for k in range(1, 8)], L8),
        (f"{L8}/{L8}_B8.TIF", [f"{L8}/{L8}_B{k}.TIF" for k in range(1, 8)], L8),
        ("LE71930242000B_B8.tif", [f"LE71930242000B_B{k}.tif" for k in (1, 2, 3, 4, 5, 7)], "LE71930242000B"),
        (
            "EO1A193024_B01_L1T.TIF",
            [f"EO1A193024_B{k:02}_L1T.TIF" for k in range(2, 11)],
            "EO1A193024_L1T",
        ),
    ],
)
def test_pairs_by_name(tmp_path, pan, ms, name):
    touch(tmp_path, pan, *ms)
    assert found(tmp_path) == ({name: (pan, ms, "name")}, [])


def test_pan_and_ms_in_the_folder_itself_have_its_name(tmp_path):
    touch(tmp_path, "pan.tif", "ms.tif")
    assert [job.out for job in find(tmp_path, "there").jobs] == [str(Path("there", f"{tmp_path.name}_sharpened.tif"))]


@pytest.mark.parametrize(
    "name",
    [
        "pan_ms.tif",
        "scene.tif",
        "T32TQM_20200801T101559_B08.jp2",
        "IMG_PHR1A_PMS_201309261047308_ORT_R1C1.TIF",
        "p/scene.tif",
        "panorama.tif",
        "P001.tif",
    ],
)
def test_names_that_tell_nothing(name):
    assert label(PurePath(name)).role == "unknown"


def test_other_bands_of_landsat_are_neither_used_nor_reported(tmp_path):
    bands = [f"B{k}" for k in range(1, 12)] + ["QA_PIXEL", "SAA", "B6_VCID_1"]
    touch(tmp_path, *(f"{L8}_{b}.TIF" for b in bands))
    jobs, left = found(tmp_path)
    assert [len(ms) for _, ms, _ in jobs.values()] == [7]
    assert left == []


def test_bands_without_pan_are_reported_together(tmp_path):
    touch(tmp_path, *(f"{L8}_B{k}.TIF" for k in (2, 3, 4)))
    jobs, [(files, why)] = found(tmp_path)
    assert jobs == {}
    assert len(files) == 3
    assert "PAN file of these MS files is missing" in why


@pytest.mark.parametrize(
    "names",
    [
        ("a_pan.tif", "a_ms.tif", "a_mul.tif"),
        ("a_pan.tif", "a_ms.tif", "a_ms.jp2"),
        ("a_pan.tif", "a_pan.vrt", "a_ms.tif"),
        ("PAN/a.tif", "a_pan.tif", "a_ms.tif"),
    ],
)
def test_names_that_fit_twice_are_not_guessed(tmp_path, names):
    touch(tmp_path, *names, "b_pan.tif", "b_ms.tif")
    jobs, [(files, why)] = found(tmp_path)
    assert list(jobs) == ["b"]
    assert files == set(names)
    assert "have one name; say in a CSV" in why


def test_hidden_files_results_and_the_output_folder_are_not_searched(tmp_path):
    touch(
        tmp_path, "a_pan.tif", "a_ms.tif", "a_sharpened.tif", ".b_pan.tif", ".git/c_pan.tif", "out/d_pan.tif", "e.txt"
    )
    assert found(tmp_path) == ({"a": ("a_pan.tif", ["a_ms.tif"], "name")}, [])
    assert found(tmp_path, tmp_path)[0].keys() == {"a"}


def test_jobs_come_in_the_order_of_their_names(tmp_path):
    touch(tmp_path, *(f"{k}_{w}.tif" for k in "cab" for w in ("ms", "pan")))
    assert [job.name for job in find(tmp_path, tmp_path / "out").jobs] == ["a", "b", "c"]


def test_the_ground_decides_where_names_do_not(tmp_path):
    raster(tmp_path / "x1.tif")
    raster(tmp_path / "y1.tif", bands=4, pixel=4.0, size=(16, 16))
    raster(tmp_path / "x2.tif", at=(600_000.0, 5_000_000.0))
    raster(tmp_path / "y2.tif", bands=3, pixel=2.0, size=(50, 50), at=(599_980.0, 5_000_010.0))
    jobs, left = found(tmp_path)
    assert jobs == {
        "x1": ("x1.tif", ["y1.tif"], "footprint"),
        "x2": ("x2.tif", ["y2.tif"], "footprint"),
    }
    assert left == []


def test_the_ground_decides_between_reference_systems(tmp_path):
    raster(tmp_path / "x.tif", pixel=10.0)
    # the same ground in degrees: 9 E, about 45.15 N
    raster(tmp_path / "y.tif", bands=4, pixel=0.0004, size=(18, 23), at=(8.9998, 45.1537), crs="EPSG:4326")
    raster(tmp_path / "far.tif", bands=4, pixel=0.0004, size=(18, 23), at=(10.0, 45.1537), crs="EPSG:4326")
    jobs, [(files, _)] = found(tmp_path)
    assert jobs == {"x": ("x.tif", ["y.tif"], "footprint")}
    assert files == {"far.tif"}


def test_the_one_that_covers_most_is_taken(tmp_path):
    raster(tmp_path / "x.tif")
    raster(tmp_path / "whole.tif", bands=4, pixel=4.0, size=(16, 16))
    raster(tmp_path / "half.tif", bands=4, pixel=4.0, size=(16, 9))
    jobs, [(files, why)] = found(tmp_path)
    assert jobs == {"x": ("x.tif", ["whole.tif"], "footprint")}
    assert files == {"half.tif"}
    assert "no PAN file" in why


def test_rivals_on_the_same_ground_are_not_guessed(tmp_path):
    raster(tmp_path / "x.tif")
    for name in ("y.tif", "z.tif"):
        raster(tmp_path / name, bands=4, pixel=4.0, size=(16, 16))
    jobs, [(files, why)] = found(tmp_path)
    assert jobs == {}
    assert files == {"x.tif", "y.tif", "z.tif"}
    assert why == "several MS files lie on the same ground"


def test_two_pan_images_of_one_place_are_not_guessed(tmp_path):
    for name in ("x.tif", "y.tif"):
        raster(tmp_path / name)
    raster(tmp_path / "z.tif", bands=4, pixel=4.0, size=(16, 16))
    jobs, [(files, why)] = found(tmp_path)
    assert jobs == {}
    assert files == {"x.tif", "y.tif", "z.tif"}
    assert why == "several PAN files lie on the same ground"


def test_pan_is_the_finest_single_band(tmp_path):
    raster(tmp_path / "x.tif")
    raster(tmp_path / "height.tif", pixel=2.0, size=(32, 32))
    raster(tmp_path / "y.tif", bands=4, pixel=4.0, size=(16, 16))
    jobs, [(files, why)] = found(tmp_path)
    assert jobs == {"x": ("x.tif", ["y.tif"], "footprint")}
    assert files == {"height.tif"}
    assert "coarser than" in why


def test_pan_images_side_by_side_share_one_ms(tmp_path):
    raster(tmp_path / "left.tif")
    raster(tmp_path / "right.tif", at=(500_062.0, 5_000_000.0))
    raster(tmp_path / "y.tif", bands=4, pixel=4.0, size=(16, 32))
    jobs, left = found(tmp_path)
    assert {name: ms for name, (_, ms, _) in jobs.items()} == {"left": ["y.tif"], "right": ["y.tif"]}
    assert left == []


def test_a_pan_by_name_finds_an_ms_by_ground(tmp_path):
    raster(tmp_path / "10JAN01190033-P1BS.tif")
    raster(tmp_path / "10JAN01190034-M1BS.tif", bands=4, pixel=4.0, size=(16, 16))
    jobs, left = found(tmp_path)
    assert [(pan, ms) for pan, ms, _ in jobs.values()] == [("10JAN01190033-P1BS.tif", ["10JAN01190034-M1BS.tif"])]
    assert left == []


def test_what_fits_nothing_is_reported(tmp_path):
    raster(tmp_path / "a_pan.tif", bands=3)
    raster(tmp_path / "b.tif", crs=None)
    raster(tmp_path / "c.tif", at=(700_000.0, 5_000_000.0))
    raster(tmp_path / "d.tif", bands=4, pixel=1.1)
    touch(tmp_path, "e.tif")
    jobs, left = found(tmp_path)
    assert jobs == {}
    why = {next(iter(files)): text for files, text in left}
    assert "named as PAN, but it has 3 bands" in why["a_pan.tif"]
    assert "without georeference" in why["b.tif"]
    assert "no MS file" in why["c.tif"]
    assert "no PAN file" in why["d.tif"]
    assert "the file is empty" in why["e.tif"]


def test_an_empty_folder_has_no_pairs(tmp_path):
    assert found(tmp_path) == ({}, [])


def table(tmp_path, text, name="pairs.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return find(path, tmp_path / "out").jobs


def test_a_csv_of_pairs(tmp_path):
    jobs = table(
        tmp_path,
        "\ufeffpan , ms, out\na_pan.tif,a_ms.tif,\nsub/pan.tif, b1.tif; b2.tif ,\n/data/c/pan.tif,/vsicurl/http://x/ms.tif,"
        "\nd.tif,e.tif,maps/f.tif\n/vsis3/bucket/g/pan.tif,h.tif,\n",
    )
    here, out = tmp_path, tmp_path / "out"
    assert jobs == (
        Job(str(here / "a_pan.tif"), (str(here / "a_ms.tif"),), str(out / "a_sharpened.tif"), "a"),
        Job(
            str(here / "sub/pan.tif"),
            (str(here / "b1.tif"), str(here / "b2.tif")),
            str(out / "sub_sharpened.tif"),
            "sub",
        ),
        Job("/data/c/pan.tif", ("/vsicurl/http://x/ms.tif",), str(out / "c_sharpened.tif"), "c"),
        Job(str(here / "d.tif"), (str(here / "e.tif"),), str(out / "maps/f.tif"), "f"),
        Job("/vsis3/bucket/g/pan.tif", (str(here / "h.tif"),), str(out / "g_sharpened.tif"), "g"),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the first line must name the columns"),
        ("pan\na.tif\n", "the first line must name the columns"),
        ("pan,ms,outt\n", "unknown column 'outt'; did you mean 'out'"),
        ("pan,ms\na.tif,\n", "line 2: needs one PAN file"),
        ("pan,ms\n,b.tif\n", "line 2: needs one PAN file"),
        ("pan,ms\na.tif\n", "line 2: needs one PAN file"),
        ("pan,ms\na.tif,b.tif;;c.tif\n", "line 2: needs one PAN file"),
        ("pan,ms\na.tif,b.tif,c.tif\n", "line 2: needs one PAN file.*a.tif,b.tif"),
    ],
)
def test_a_csv_that_cannot_be_used(tmp_path, text, told):
    with pytest.raises(OptionError, match=told):
        table(tmp_path, text)


def test_a_raster_is_no_csv(tmp_path):
    raster(tmp_path / "a.tif")
    with pytest.raises(OptionError, match=r"not a CSV|column"):
        find(tmp_path / "a.tif", tmp_path / "out")


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(SceneError, match="no such file or folder"):
        find(tmp_path / "nothing", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "pan,ms\na_pan.tif,a_ms.tif\nA_PAN.tif,b_ms.tif\n",
        "pan,ms,out\na.tif,b.tif,x.tif\nc.tif,d.tif,./X.tif\n",
    ],
)
def test_two_results_of_one_path_are_an_error(tmp_path, text):
    with pytest.raises(OutputError, match=r"would both be written to .*columns pan, ms and out"):
        table(tmp_path, text)


def test_two_results_of_one_path_are_an_error_in_a_folder_too(tmp_path):
    touch(tmp_path, "a/x_pan.tif", "a/x_ms.tif", "a_x_pan.tif", "a_x_ms.tif")
    with pytest.raises(OutputError, match="would both be written to"):
        find(tmp_path, tmp_path / "out")


def test_no_result_over_an_input(tmp_path):
    with pytest.raises(OutputError, match="over the input"):
        table(tmp_path, "pan,ms,out\na.tif,b.tif,c.tif\nd.tif,e.tif,../b.tif\n")


def test_what_is_left_out_is_told_in_words():
    assert str(Unmatched(("a.tif", "b.tif"), "several of one name")) == "a.tif, b.tif: several of one name"
