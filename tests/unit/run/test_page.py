"""The pages of `panloom evaluate` and `panloom bench`: whole documents that load nothing and say what was measured."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from rasterio.io import MemoryFile

from panloom import metrics
from panloom.run.bench import Bench, Mean
from panloom.run.evaluate import Evaluation, Picture, Score
from panloom.run.page import DASH, bench_page, evaluation_page, mean_table, score_table, sensor_table
from panloom.run.page._charts import Axis, Line, line_chart, ticks
from panloom.run.page._pictures import LEVELS, Images, colours, gallery
from panloom.run.page._places import places
from panloom.run.page._tables import marked, plain

VOID = {"img", "meta", "wbr"}
EVIL = "<script>alert('x')</script> & <b>"
REDUCED = ("ergas", "q2n", "psnr", "rmse", "bias")


class Page(HTMLParser):
    """What a page holds; fails on an element that is not closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words, self.texts = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
            self.texts.setdefault(self.open[-1], []).append(data)

    @property
    def text(self):
        return "".join(self.words)

    def of(self, tag, **attrs):
        return [found for name, found in self.elements if name == tag and attrs.items() <= found.items()]


def scored(method, protocol="wald-physical", *, ergas=1.0, bands=("blue", "green", "red"), **more):
    values = {"ergas": ergas, "q2n": 0.9, "psnr": 38.5, "rmse": 12.25, "bias": 0.5} | more
    per_band = {name: [value] * len(bands) for name, value in values.items() if name in ("ergas", "rmse", "bias")}
    return Score(method, protocol, values, per_band, 0.25)


def pictured(fused, shape=(3, 64, 80), seed=0):
    """A reference with a few values, and methods made from it."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(100, 900, (shape[0], shape[1] // 8 + 1, shape[2] // 8 + 1)).astype(np.float32)
    truth = torch.from_numpy(coarse.repeat(8, 1).repeat(8, 2)[:, : shape[1], : shape[2]].copy())
    made = {name: change(truth) for name, change in fused.items()}
    return Picture(truth.mean(0, keepdim=True), truth, made, torch.ones(shape[1:], dtype=torch.bool))


def evaluated(scores, pictures=None, **changes):
    protocols = dict.fromkeys(score.protocol for score in scores)
    full = {"hqnr-physical": "HQNR[K-LR,physical]", "d-s-physical": "D_s[vivone2021,block32,physical]"}
    reduced = {name: metrics.get(name).title(ratio=4, full_scale=2047) for name in REDUCED}
    made = Evaluation(
        name="pair",
        group="generic",
        sensor={"name": "generic", "mtf_nyquist": [0.3, 0.29, 0.28], "pan_mtf_nyquist": 0.15},
        bands=("blue", "green", "red"),
        wavelengths=(480.0, 550.0, 660.0),
        ratio=4,
        phase=(1.5, 1.25),
        full_scale=2047.0,
        labels={protocol: full if protocol == "full" else reduced for protocol in protocols},
        scores=tuple(scores),
        notes=("MS is a little off",),
        pictures=pictures or {},
    )
    return replace(made, **changes)


def same(truth):
    return truth.clone()


def dimmer(truth):
    return truth * 0.8


def decoded(address):
    kind, data = address.removeprefix("data:image/").split(";base64,")
    raw = base64.b64decode(data, validate=True)
    assert raw.startswith({"png": b"\x89PNG\r\n", "jpeg": b"\xff\xd8\xff"}[kind])
    with MemoryFile(raw) as file, file.open() as picture:
        return picture.read()


@pytest.fixture(scope="module")
def both():
    scores = [
        scored("gsa", ergas=1.5),
        scored("exp", ergas=2.5, q2n=0.8),
        Score("pracs", "wald-physical", {}, {}, 0.0, f"needs four bands {EVIL}"),
        Score("gsa", "full", {"hqnr-physical": 0.95, "d-s-physical": 0.03}, {"d-s-physical": [0.01, 0.03, 0.05]}, 0.5),
        Score("exp", "full", {"hqnr-physical": 0.9, "d-s-physical": math.nan}, {}, 0.5),
    ]
    pictures = {"wald-physical": pictured({"gsa": same, "exp": dimmer}), "full": pictured({"gsa": same, "exp": dimmer})}
    return evaluated(scores, pictures)


# ---- pages ---------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_loads_nothing(both):
    text = evaluation_page(both)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    for _, attrs in page.elements:
        for key in ("src", "href", "data", "action", "poster", "srcset", "xlink:href"):
            assert attrs.get(key, "#").startswith(("#", "data:image/"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("data:image/", ""))
    anchors = {attrs["href"].removeprefix("#") for attrs in page.of("a")}
    assert anchors == {attrs["id"] for attrs in page.of("section")}


def test_the_page_holds_every_method_and_number(both):
    page = Page(evaluation_page(both))
    assert {"gsa", "exp", "pracs"} <= set(page.texts["th"])
    for row in [*score_table(both, "wald-physical").rows, *score_table(both, "full").rows]:
        for cell in row.cells if row.error is None else ():
            assert cell.text in page.texts["b" if cell.best else "td"]
    for words in (
        "ERGAS",
        "[100/r]",
        "PSNR",
        "[peak=2047,",
        "pair",
        "generic",
        "blue 480 nm",
        "(1.5, 1.25)",
        "MS is a",
    ):
        assert words in page.text
    assert "blue 0.3, green 0.29, red 0.28; PAN 0.15" in page.text


def test_the_page_is_the_same_each_time(both):
    assert evaluation_page(both) == evaluation_page(both)


def test_what_comes_from_files_is_escaped(both):
    strange = replace(both, name=EVIL, notes=(EVIL,), bands=(EVIL, "green", "red"), sensor={"name": EVIL})
    text = evaluation_page(strange)
    page = Page(text)
    assert "alert('x')" in page.text
    assert len(page.of("script")) == 1  # the page's own
    assert "<script>alert" not in text
    assert page.text.count("needs four bands <script>") == 1


def test_attributes_are_escaped():
    name = 'gsa" onerror="alert(1)'
    page = Page(evaluation_page(evaluated([scored(name)], {"wald-physical": pictured({name: same})})))
    assert name in {attrs.get("data-what") for attrs in page.of("img")}
    assert not any("onerror" in attrs for _, attrs in page.elements)


def test_undefined_numbers_are_dashes():
    scores = [scored("gsa", q2n=math.nan, psnr=math.inf, bias=None), scored("exp", ergas=-math.inf)]
    evaluation = evaluated(scores, phase=(0.0, 0.0))
    page = Page(evaluation_page(evaluation))
    assert not {"nan", "inf", "-inf", "None"} & set(page.words)
    cells = {row.head: [cell.text for cell in row.cells] for row in score_table(evaluation, "wald-physical").rows}
    assert cells["gsa"][1:3] == [DASH, DASH]
    assert cells["gsa"][4] == DASH
    assert cells["exp"][0] == DASH


def test_without_pictures_there_is_none(both):
    page = Page(evaluation_page(replace(both, pictures={})))
    assert page.of("img") == []
    assert page.of("svg") == []


def test_bands_whose_wavelengths_nobody_knows_are_drawn_by_name(both):
    page = Page(evaluation_page(replace(both, wavelengths=(None, 550.0, 660.0))))
    assert "nm" not in "".join(page.texts["text"])
    assert {"blue", "green", "red"} <= set(page.texts["text"])


def test_many_bands_are_drawn_instead_of_listed():
    names = tuple(f"band{k}" for k in range(1, 21))
    picture = pictured({"gsa": same}, (20, 40, 40))
    evaluation = evaluated(
        [scored("gsa", bands=names)], {"wald-physical": picture}, bands=names, wavelengths=(0.0,) * 20
    )
    page = Page(evaluation_page(evaluation))
    assert "band number" in page.texts["text"]
    assert len(page.of("table")) == 1


def test_a_scene_of_one_band_is_grey():
    evaluation = evaluated(
        [scored("gsa", bands=("red",))],
        {"wald-physical": pictured({"gsa": same}, (1, 33, 47))},
        bands=("red",),
        wavelengths=(660.0,),
    )
    page = Page(evaluation_page(evaluation))
    pictures = [decoded(attrs["src"]) for attrs in page.of("img") if attrs.get("data-place")]
    assert {len(picture) for picture in pictures} == {1}


def test_a_page_of_failures_alone():
    failed = Score("gsa", "wald-physical", {}, {}, 0.1, "does not work")
    page = Page(evaluation_page(evaluated([failed], {"wald-physical": pictured({})})))
    assert "does not work" in page.text
    assert "no method could be scored" in page.text


# ---- pictures ------------------------------------------------------------------------------------------


def test_every_picture_can_be_decoded(both):
    page = Page(evaluation_page(both))
    pictures = page.of("img")
    assert len(pictures) == 2 * 4 * (1 + 3) + 2  # whole and three places of four images, twice; two error maps
    for attrs in pictures:
        assert decoded(attrs["src"]).ndim == 3
        assert attrs["alt"]


def test_pictures_have_one_stretch(both):
    page = Page(evaluation_page(replace(both, pictures={"wald-physical": both.pictures["wald-physical"]})))
    for place in ("whole", "A", "B", "C"):
        shown = {attrs["data-what"]: attrs["src"] for attrs in page.of("img", **{"data-place": place})}
        assert shown["gsa"] == shown["truth"]  # a perfect result looks like the truth, to the last bit
        assert decoded(shown["exp"]).mean() < decoded(shown["truth"]).mean() - 5  # and a dim one is not brightened
        assert len(decoded(shown["PAN"])) == 1


def test_true_colours_are_found_by_name(both):
    images = Images.of(both.pictures["wald-physical"], truth=True)
    drawn = gallery(images, ("blue", "green", "red"), "gsa")
    assert drawn.bands == ("red", "green", "blue")
    window = drawn.places[0].window
    red = images.reference[2, window.row : window.row_end, window.col : window.col_end]
    shown = decoded(drawn.crops[0]["truth"])
    assert np.corrcoef(shown[0].ravel(), red.ravel())[0, 1] > 0.95


def test_error_maps_have_one_scale_and_show_where_errors_are(both):
    page = Page(evaluation_page(both))
    maps = {attrs["alt"]: decoded(attrs["src"])[0] for attrs in page.of("img") if attrs["alt"].startswith("errors")}
    assert not maps["errors of gsa"].any()
    assert 0 < maps["errors of exp"].min() <= maps["errors of exp"].max() <= LEVELS - 1
    assert "mean 0.00 %" in page.text
    assert "mean 20.00 %" in page.text  # a fifth too dim


def test_there_are_no_error_maps_without_a_truth(both):
    only = replace(both, pictures={"full": both.pictures["full"]})
    page = Page(evaluation_page(only))
    assert "Error maps" not in page.text
    assert {attrs["data-what"] for attrs in page.of("img")} == {"PAN", "interpolated MS", "gsa", "exp"}


def test_the_toolbox_protocol_is_drawn_only_where_the_physical_one_is_not():
    scores = [scored("gsa"), scored("gsa", "wald-toolbox")]
    picture = pictured({"gsa": same})
    alone = evaluation_page(evaluated(scores, {"wald-toolbox": picture}))
    assert len(Page(alone).of("img")) == len(
        Page(evaluation_page(evaluated(scores, {"wald-toolbox": picture, "wald-physical": picture}))).of("img")
    )


def test_pixels_without_data_are_grey_and_count_nowhere():
    picture = pictured({"gsa": same}, (3, 64, 64))
    picture.valid[:, :20] = False
    picture.fused["gsa"][:, :, :20] = math.nan
    picture.reference[:, :, :20] = 1e6
    page = Page(evaluation_page(evaluated([scored("gsa")], {"wald-physical": picture})))
    assert "hold no data" in page.text
    error = decoded(next(attrs["src"] for attrs in page.of("img") if attrs["alt"] == "errors of gsa"))[0]
    assert (error[:, :20] == LEVELS).all()
    assert not error[:, 20:].any()
    whole = decoded(page.of("img", **{"data-place": "whole", "data-what": "gsa"})[0]["src"])
    assert np.abs(whole[:, :, :14].astype(int) - 150).max() <= 6  # neither black nor white; a JPEG is not exact
    assert "nan" not in page.text


def test_nothing_valid_is_no_reason_to_fail():
    picture = pictured({"gsa": same}, (3, 16, 16))
    picture.valid[:] = False
    assert "hold no data" in Page(evaluation_page(evaluated([scored("gsa")], {"wald-physical": picture}))).text


def test_colours_of_errors_rise_in_lightness():
    light = [0.2126 * (r / 255) ** 2.2 + 0.7152 * (g / 255) ** 2.2 + 0.0722 * (b / 255) ** 2.2 for r, g, b in colours()]
    assert len(light) == LEVELS
    steps = np.diff(np.cbrt(light))  # lightness is about the cube root of luminance
    assert (steps > 0).all()
    assert steps.max() < 4 * steps.min()


@pytest.mark.slow
def test_twenty_methods_on_noise_make_a_page_below_six_megabytes():
    names = [f"method{k}" for k in range(20)]
    truth = torch.rand((4, 1024, 1024), generator=torch.Generator().manual_seed(0)) * 1000
    low = Picture(
        truth[:1, :256, :256],
        truth[:, :256, :256],
        dict.fromkeys(names, truth[:, 256:512, :256]),
        torch.ones(256, 256) > 0,
    )
    full = Picture(truth[:1], truth, dict.fromkeys(names, truth), torch.ones(1024, 1024) > 0)
    scores = [scored(name) for name in names]
    scores += [Score(name, "full", {"hqnr-physical": 0.9, "d-s-physical": 0.1}, {}, 0.1) for name in names]
    bands = ("blue", "green", "red", "nir")
    evaluation = evaluated(
        scores, {"wald-physical": low, "full": full}, bands=bands, wavelengths=(480.0, 550.0, 660.0, 830.0)
    )
    assert len(evaluation_page(evaluation)) < 6e6


# ---- places --------------------------------------------------------------------------------------------


def test_places_are_found_by_what_is_in_them():
    rng = np.random.default_rng(1)
    pan = np.full((160, 160), 500.0)
    pan[:32, :32] += rng.normal(0, 100, (32, 32))
    pan[:, 40:] += rng.normal(0, 10, (160, 120))
    interest = np.zeros((160, 160), np.float32)
    interest[96:128, 96:128] = 1
    found = places(pan, np.ones((160, 160), bool), interest, "errors", 32)
    assert [place.letter for place in found] == ["A", "B", "C"]
    assert (found[0].window.row, found[0].window.col) == (0, 0)
    assert found[1].window.col >= 32  # neither the lively corner nor, beside it, the flat strip
    assert (found[2].window.row, found[2].window.col) == (96, 96)
    assert found[2].why == "errors"


def test_places_do_not_overlap_and_hold_data():
    rng = np.random.default_rng(2)
    pan, valid = rng.uniform(0, 1, (90, 130)), np.ones((90, 130), bool)
    valid[:, :40] = False
    pan[30:60, 60:100] *= 100
    interest = (pan > 1).astype(np.float32)  # where most detail is as well
    found = places(pan, valid, interest, "any", 24, margin=5)
    covered = np.zeros((90, 130), int)
    for place in found:
        window = place.window
        covered[window.row : window.row_end, window.col : window.col_end] += 1
        assert valid[place.pixel]
        assert min(window.row, 90 - window.row_end, 130 - window.col_end) >= 5
    assert len(found) == 3
    assert covered.max() == 1
    assert not covered[:, :40].any()


@pytest.mark.parametrize("shape", [(5, 7), (16, 16), (30, 9)])
def test_a_small_image_is_shown_whole(shape):
    found = places(np.ones(shape), np.ones(shape, bool), np.zeros(shape, np.float32), "any", 128, margin=12)
    assert found[0].window.height == found[0].window.width == min(shape)


# ---- tables --------------------------------------------------------------------------------------------


def test_one_index_has_one_column_and_two_have_one_spelling():
    def heads(full_scale: float) -> list[str]:
        named = ("ergas", "ssim-full-scale", "ssim")
        labels = {name: metrics.get(name).title(ratio=4, full_scale=full_scale) for name in named}
        scores = [scored("gsa", ssim=0.9, **{"ssim-full-scale": 0.9})]
        table = score_table(evaluated(scores, labels={"wald-physical": labels}), "wald-physical")
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
        return [column.label for column in table.columns if "SSIM" in column.label]

    assert heads(2047) == ["SSIM[L=2047,valid]"]
    assert heads(255) == ["SSIM[L=255,valid]", "SSIM[L=2047,valid]"]


def test_scores_stand_best_first_and_failures_last(both):
    table = score_table(both, "wald-physical")
    assert [row.head for row in table.rows] == ["gsa", "exp", "pracs"]
    assert table.rows[2].error is not None
    assert [column.head for column in table.columns[:2]] == ["ERGAS[100/r] ↓", "Q2n[block32,shift32,uint16] ↑"]
    best = {table.columns[k].name: [row.head for row in table.rows if row.cells[k].best] for k in range(5)}
    assert best["ergas"] == best["q2n"] == ["gsa"]
    assert best["rmse"] == ["gsa", "exp"]  # the same number
    assert not any(row.cells[-1].best for row in table.rows)  # time is no index


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [
        ("ergas", [2.0, 1.0, 3.0], [1]),
        ("q2n", [0.9, 0.95, math.nan], [1]),
        ("psnr", [30.0, 40.0, None], [1]),
        ("bias", [-0.1, 0.5, 0.1], [0, 2]),
        ("ergas", [1.00001, 1.00002, 2.0], [0, 1]),  # printed alike
        ("ergas", [None, math.nan, math.inf], []),
    ],
)
def test_the_best_is_marked_as_far_as_it_is_printed(name, values, best):
    assert [k for k, cell in enumerate(marked(values, metrics.get(name))) if cell.best] == best


def test_who_does_not_compete_is_not_the_best():
    cells = marked([1.0, 1.0, 0.5], metrics.get("ergas"), [True, False, False])
    assert [cell.best for cell in cells] == [True, False, False]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.95, 0.9], ["0.9500", "0.9000"]),
        ([1.5, 2.25, 3.0], ["1.500", "2.250", "3.000"]),
        ([405.8394, 12000.0, 3.0], ["405.8", "12000.0", "3.0"]),
        ([0.00012, 0.00034, None], ["0.0001200", "0.0003400", DASH]),
        ([], []),
        ([math.nan], [DASH]),
    ],
)
def test_a_column_has_as_many_decimals_as_its_median_needs(values, texts):
    assert [cell.text for cell in plain(values)] == texts


# ---- charts --------------------------------------------------------------------------------------------


def test_a_line_has_a_gap_where_nothing_is_known():
    chart = line_chart("t", "DN", Axis("band", [1, 2, 3, 4]), [Line("gsa", [1.0, math.nan, None, 2.0], "s1")])
    path = next(attrs["d"] for attrs in Page(chart).of("path"))
    assert path.count("M") == 2
    assert "nan" not in chart


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0, 1, ["0.0", "0.5", "1.0"]), (-3, 12, ["0", "10"]), (1000, 1900, ["1000", "1500"]), (2, 2, [])],
)
def test_ticks_are_round(low, high, words):
    assert [word for _, word in ticks(low, high, 2)] == words


# ---- bench ---------------------------------------------------------------------------------------------


def mean(method, rank, landsat, geoeye, failed=0):
    values = {"ergas": None if landsat is None else math.sqrt(landsat * geoeye), "q2n": 0.9}
    groups = {"landsat8": {"ergas": landsat, "q2n": 0.9}, "geoeye1": {"ergas": geoeye, "q2n": 0.9}}
    return Mean(method, "wald-physical", 3 - failed, failed, values, groups, 0.5, rank)


@pytest.fixture
def benched():
    return Bench(
        pairs={"a": "landsat8", "b": "landsat8", "c": "geoeye1"},
        means=(mean("gsa", 1, 1.0, 4.0), mean("exp", 2, 3.0, 12.0), mean("bdsd", None, 0.5, 2.0, failed=1)),
        scores=(
            ("a", scored("gsa")),
            ("c", Score("bdsd", "wald-physical", {}, {}, 0.0, f"too few pixels {EVIL}")),
        ),
        failures={f"d{EVIL}": f"no such file {EVIL}"},
        notes=(f"note {EVIL}",),
    )


def test_the_page_of_a_bench_holds_numbers_only(benched):
    text = bench_page(benched)
    page = Page(text)
    assert page.of("img") == []
    assert "data:image" not in text
    assert "<script>alert" not in text
    assert len(page.of("script")) == 1
    for words in (
        "3 methods on 3 pairs",
        "note <script>",
        "landsat8 (2)",
        "geoeye1 (1)",
        "too few pixels <script>",
        "no such file <script>",
    ):
        assert words in page.text
    assert {attrs["href"].removeprefix("#") for attrs in page.of("a")} == {a["id"] for a in page.of("section")}


def test_the_dot_plot_has_a_mark_for_each_sensor_and_method(benched):
    page = Page(bench_page(benched))
    titles = page.texts["title"]
    assert "gsa, landsat8: 1" in titles
    assert "exp, mean over sensors: 6" in titles
    assert sum(", landsat8:" in words or ", geoeye1:" in words for words in titles) == 6


def test_a_method_that_failed_on_a_pair_is_not_the_best(benched):
    table = mean_table(benched, "wald-physical")
    place = table.place("ergas")
    assert [(row.head, row.cells[0].text, row.cells[place].best) for row in table.rows] == [
        ("gsa", "1", True),
        ("exp", "2", False),
        ("bdsd", DASH, False),
    ]
    sensors = sensor_table(benched, "wald-physical", "ergas")
    assert [column.label for column in sensors.columns] == ["landsat8", "geoeye1", "over sensors"]
    assert [cell.text for cell in sensors.rows[0].cells] == ["1.000", "4.000", "2.000"]
    assert [row.head for row in sensors.rows if row.cells[1].best] == ["gsa"]


def test_a_bench_without_any_value(benched):
    empty = replace(benched, means=tuple(replace(m, values={}, groups={}, rank=None) for m in benched.means))
    assert "gsa" in Page(bench_page(empty)).text


def test_labels_of_a_bench_name_what_differs_between_pairs(benched):
    more = replace(benched.means[0], values={"ergas": 1.0, "psnr": 38.0})
    labels = [column.label for column in mean_table(replace(benched, means=(more,)), "wald-physical").columns]
    assert "PSNR[peak=full scale,band-mean]" in labels
