"""Methods on problems, and the scores they get."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import eval_tools
import pytest
import torch
from eval_tools import FAILS, Stub

from panloom import metrics
from panloom.compute import Policy
from panloom.errors import MethodError, OptionError, PanloomError
from panloom.run import _fits
from panloom.run import evaluate as engine
from panloom.run._json import to_json
from panloom.run.evaluate import FIRST, REDUCED, Evaluation, evaluate
from panloom.run.resolve import card_of

NEVER = pytest.fail


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made():
    return eval_tools.pair()


@pytest.fixture(scope="module")
def done(made) -> Evaluation:
    return evaluate(made, ["exp", "gsa"], pictures=True, notes=["said before"])


@pytest.fixture
def stubs(monkeypatch):
    """Methods of the tests beside the real ones: `stubs(name=fuser)`."""

    def add(**fusers):
        real, options = engine.resolve, engine.options_of
        known = {name.replace("_", "-"): fuser for name, fuser in fusers.items()}
        monkeypatch.setattr(engine, "resolve", lambda name, given=None: known.get(name) or real(name, given))
        monkeypatch.setattr(engine, "options_of", lambda name: [] if name in known else options(name))
        monkeypatch.setattr(_fits, "card_of", lambda name: None if name in known else card_of(name))
        return list(known)

    return add


def scores(evaluation: Evaluation, protocol: str) -> dict[str, engine.Score]:
    return {score.method: score for score in evaluation.scores if score.protocol == protocol}


# --- the record -------------------------------------------------------------------------------------------


def test_every_method_on_every_problem(done):
    assert [(s.protocol, s.method) for s in done.scores] == [
        (protocol, method) for protocol in ("wald-toolbox", "wald-physical", "full") for method in ("exp", "gsa")
    ]
    for score in done.scores:
        assert list(score.values) == list(done.labels[score.protocol])
        assert FIRST[score.protocol] in score.values
        assert all(math.isfinite(value) for value in score.values.values()), score
        assert score.error is None
        assert score.seconds > 0
    assert list(done.labels["wald-toolbox"]) == list(REDUCED)
    assert done.labels["wald-toolbox"]["psnr"] == "PSNR[peak=2047,band-mean]"
    assert done.labels["full"]["hqnr-physical"] != done.labels["full"]["hqnr"]


def test_what_stands_in_the_record(done, made):
    assert (done.name, done.group, done.ratio, done.full_scale, done.phase) == (
        "made",
        "worldview-3",
        4,
        2047.0,
        made.phase,
    )
    assert done.bands == ("blue", "green", "red", "nir1")
    assert done.sensor["mtf_nyquist"] == [band.mtf_nyquist for band in made.sensor.bands]
    assert done.notes == ("said before",)
    assert {"panloom", "torch"} <= set(done.versions)


def test_a_method_beats_the_zero_line_on_a_clean_scene(done):
    for protocol in ("wald-toolbox", "wald-physical"):
        found = scores(done, protocol)
        assert found["gsa"].values["ergas"] < found["exp"].values["ergas"]
        assert found["gsa"].values["q2n"] > found["exp"].values["q2n"]


def test_values_by_band(done):
    for score in done.scores[:4]:
        assert len(score.bands["ergas"]) == 4
        mean = math.sqrt(sum(v * v for v in score.bands["ergas"]) / 4)
        assert mean == pytest.approx(score.values["ergas"])


def test_pictures_are_kept_out_of_the_json(done):
    record = json.loads(done.to_json(), parse_constant=NEVER)
    assert "pictures" not in record
    assert len(record["scores"]) == 6
    for protocol, picture in done.pictures.items():
        assert set(picture.fused) == {"exp", "gsa"}
        size = (256, 240) if protocol == "full" else (64, 60)
        assert picture.pan.shape == (1, *size)
        assert picture.reference.shape == (4, *size) == picture.fused["gsa"].shape
        assert picture.valid.all()


def test_pictures_only_when_asked_for(made):
    assert evaluate(made, ["exp"], protocol="reduced").pictures == {}


@pytest.mark.parametrize(("protocol", "names"), [("reduced", ["wald-toolbox", "wald-physical"]), ("full", ["full"])])
def test_one_resolution(made, done, protocol, names):
    steps = []
    found = evaluate(made, ["gsa"], protocol=protocol, progress=lambda n, total: steps.append((n, total)))
    assert list(found.labels) == names
    assert steps == [(k + 1, len(names)) for k in range(len(names))]
    for name in names:
        assert scores(found, name)["gsa"].values == scores(done, name)["gsa"].values


def test_threads_change_nothing(made, done):
    found = evaluate(made, ["gsa"], policy=Policy.in_memory("cpu", 3))
    for name in done.labels:
        assert scores(found, name)["gsa"].values == pytest.approx(scores(done, name)["gsa"].values, rel=1e-6)


def test_a_method_named_twice_is_scored_once(made):
    assert len(evaluate(made, ["exp", "exp"], protocol="reduced").scores) == 2


# --- laws -------------------------------------------------------------------------------------------------


def constant(**changes):
    pair = eval_tools.noisy(size=64, **changes)
    levels = torch.tensor([300.0, 400.0, 500.0]).double().view(1, 3, 1, 1)
    return replace(pair, pan=torch.full_like(pair.pan, 350.0), ms=levels.expand_as(pair.ms).contiguous())


@pytest.mark.parametrize("phase", [(1.5, 1.5), (0.0, 1.0)])
def test_exp_of_a_constant_is_perfect(phase):
    (physical,) = scores(evaluate(constant(phase=phase), ["exp"], protocol="reduced"), "wald-physical").values()
    for name in ("ergas", "sam", "rmse", "bias", "ssim", "scc"):
        assert physical.values[name] == pytest.approx(metrics.get(name).perfect, abs=1e-4), name


def test_exp_scores_alike_wherever_the_grid_lies():
    """A smooth scene, seen by grids of several phases: no phase is an advantage in wald-physical."""
    values = []
    for phase in ((1.5, 1.5), (0.0, 1.0), (3.25, 2.0)):
        pair = eval_tools.noisy(size=96, phase=phase)
        rows, cols = (4 * torch.arange(96).double() + p for p in phase)
        ms = torch.stack(
            [500 + 100 * torch.sin(rows[:, None] / (9 + k)) * torch.cos(cols / (13 - k)) for k in range(3)]
        )
        found = evaluate(replace(pair, ms=ms[None]), ["exp"], protocol="reduced")
        values.append(scores(found, "wald-physical")["exp"].values["ergas"])
    assert max(values) < 1.03 * min(values), values


def test_the_truth_itself_is_perfect(made, stubs):
    names = stubs(oracle=Stub(lambda pair: (made.ms / 2047).float()))
    for score in evaluate(made, names, protocol="reduced").scores:
        for name in ("ergas", "sam", "rmse", "bias", "q2n", "q", "ssim"):
            assert score.values[name] == pytest.approx(metrics.get(name).perfect, abs=2e-5), name
        assert score.values["psnr"] > 120


def test_the_border_is_not_scored(made, stubs):
    def spoiled(pair):
        out = (made.ms / 2047).float()
        out[..., :12, :] = out[..., -12:, :] = out[..., :12] = out[..., -12:] = 7.0
        return out

    (score, _) = evaluate(made, stubs(spoiled=Stub(spoiled)), protocol="reduced").scores
    assert score.values["ergas"] < 1e-4

    def further(pair):
        out = spoiled(pair)
        out[..., 12, 30] += 1.0
        return out

    (score, _) = evaluate(made, stubs(further=Stub(further)), protocol="reduced").scores
    assert score.values["ergas"] > 0.1


def test_values_are_neither_clipped_nor_rounded(made, stubs):
    """Half a number less, and below zero: rmse tells both."""
    for offset in (-0.5, -5000.0):
        name = stubs(moved=Stub(lambda pair, offset=offset: ((made.ms + offset) / 2047).float()))
        (score, _) = evaluate(made, name, protocol="reduced").scores
        assert score.values["rmse"] == pytest.approx(-offset, rel=1e-3)


def test_pixels_without_data_do_not_count(made, stubs):
    """What is wrong under no-data costs nothing."""
    valid = made.ms_valid.clone()
    valid[..., 20:30, 25:40] = False
    holed = replace(made, ms_valid=valid, ms=torch.where(valid, made.ms, 1.2 * made.ms))
    names = stubs(oracle=Stub(lambda pair: (made.ms / 2047).float()))
    for score in evaluate(holed, names, protocol="reduced").scores:
        assert score.values["ergas"] < 1e-4


def test_reflectance_is_scored_unrounded(made):
    unit = replace(made, pan=made.pan / 2047, ms=made.ms / 2047, full_scale=1.0)
    found = evaluate(unit, ["exp"])
    reduced = scores(found, "wald-physical")["exp"].values
    assert found.labels["wald-physical"]["q2n-unrounded"] == "Q2n[block32,shift32,unrounded]"
    assert "unrounded" in found.labels["full"]["hqnr-physical"]
    assert reduced["ergas"] == pytest.approx(scores(evaluate(made, ["exp"]), "wald-physical")["exp"].values["ergas"])


# --- what methods cannot do -------------------------------------------------------------------------------


def test_a_method_that_fails_is_no_end(made, stubs):
    found = evaluate(made, ["exp", *stubs(dark=FAILS)], protocol="reduced", pictures=True)
    failed = scores(found, "wald-toolbox")["dark"]
    assert failed.error == "this method needs more light"
    assert failed.values == {}
    assert failed.bands == {}
    assert scores(found, "wald-physical")["exp"].error is None
    assert set(found.pictures["wald-toolbox"].fused) == {"exp"}
    json.loads(found.to_json(), parse_constant=NEVER)


def test_a_method_that_does_not_fit_the_scene():
    """The toolbox's interpolator knows ratios 2 and 4, and `brovey` wants a weight for each band."""
    found = evaluate(eval_tools.noisy(ratio=3), ["exp"], options={"form": "toolbox"})
    assert all("ratio" in score.error for score in found.scores)
    found = evaluate(eval_tools.noisy(), ["exp", "brovey"], options={"weights": "0.5,0.5"})
    assert {score.method for score in found.scores if score.error} == {"brovey"}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_result_without_numbers_is_a_failure(made, stubs, number):
    """Else a method would be scored on what it can do only."""

    def broken(pair):
        out = pair.exp.clone()
        out[:, 1, 20, 30:35] = number
        return out

    for score in evaluate(made, stubs(broken=Stub(broken))).scores:
        assert "no finite number in 5 pixels" in score.error
        assert score.values == {}


def test_no_numbers_under_no_data_are_no_failure(made, stubs):
    pan_valid = made.pan_valid.clone()
    pan_valid[..., 100:140, 100:140] = False
    broken = Stub(lambda pair: torch.where(pair.valid, pair.exp, math.nan))
    for score in evaluate(replace(made, pan_valid=pan_valid), stubs(broken=broken)).scores:
        assert score.error is None


# --- pairs that are hard ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [2, 3, 5])
def test_any_ratio(ratio):
    """The toolbox form of HQNR is not defined at 3 and 5; the others are."""
    found = evaluate(eval_tools.noisy(ratio=ratio), ["exp", "gsa"])
    for score in found.scores:
        assert score.error is None
        undefined = {name for name, value in score.values.items() if math.isnan(value)} - {"q"}
        assert undefined <= ({"hqnr"} if ratio in (3, 5) else set()) | {"ssim", "ssim-full-scale"}, score
    record = json.loads(found.to_json(), parse_constant=NEVER)
    assert record["scores"][-1]["values"]["hqnr"] is None or ratio == 2


def test_one_band():
    found = evaluate(eval_tools.noisy(bands=1), ["exp"])
    full = scores(found, "full")["exp"]
    assert full.error is None
    assert math.isfinite(full.values["hqnr-physical"])
    assert math.isnan(full.values["qnr-physical"])


def test_an_image_smaller_than_a_block():
    found = evaluate(eval_tools.noisy(size=8), ["exp"])
    values = scores(found, "wald-physical")["exp"].values
    assert math.isnan(values["q"])
    assert math.isnan(values["ssim"])
    assert math.isfinite(values["ergas"])
    assert any("too small for a border cut" in note for note in found.notes)
    assert "q" not in scores(found, "wald-physical")["exp"].bands


@pytest.mark.parametrize("shift", [0.0, -1000.0])
def test_constant_and_negative_pairs(shift):
    pair = constant()
    pair = replace(pair, pan=pair.pan + shift, ms=pair.ms + shift)
    found = evaluate(pair, ["exp", "gsa", "brovey"])
    assert not [score.error for score in found.scores if score.error]
    json.loads(found.to_json(), parse_constant=NEVER)


def test_almost_nothing_valid():
    pair = eval_tools.noisy()
    nothing = torch.zeros_like(pair.pan_valid)
    nothing[..., 3, 3] = True
    found = evaluate(replace(pair, pan_valid=nothing), ["exp"])
    assert all(math.isnan(value) for score in found.scores for value in score.values.values())


def test_a_pair_with_its_truth_has_nothing_at_full_resolution():
    pair = eval_tools.noisy(size=16)
    truth = torch.cat([pair.pan] * 3, 1)
    pair = replace(pair, truth=truth, ms_valid=torch.ones_like(pair.pan_valid))
    assert {score.protocol for score in evaluate(pair, ["exp"]).scores} == {"wald-toolbox", "wald-physical"}
    with pytest.raises(OptionError, match=r"noise comes with its truth.* use reduced"):
        evaluate(pair, ["exp"], protocol="full")


# --- notes ------------------------------------------------------------------------------------------------


def said(pair, protocol: str = "both") -> str:
    return "\n".join(evaluate(pair, ["exp"], protocol=protocol).notes)


def test_notes_on_the_sensor(made):
    for protocol in ("reduced", "full", "both"):
        assert said(eval_tools.noisy(), protocol).count("the sensor is not known") == 1
    strange = replace(made.sensor, bands=eval_tools.noisy(bands=4).sensor.bands)
    assert "the bands of worldview-3 are not known" in said(replace(made, sensor=strange))
    swir = (replace(made.sensor.bands[0], role="swir"), *made.sensor.bands[1:])
    told = said(replace(made, sensor=replace(made.sensor, bands=swir)))
    assert "left out, because they are not sharpened: blue" in told


def test_notes_on_the_phase(made):
    assert said(made) == ""
    off = replace(made, phase=(0.0, 0.5))
    assert "PAN phase (0, 0.5), not corner-aligned" in said(off)
    assert "wald-toolbox" not in said(off, "full")
    assert "read wald-physical" in said(replace(made, phase=(2.0, 2.0)))
    assert said(replace(made, phase=(1.7, 1.4))) == ""


# --- wrong words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "words", "kind", "text"),
    [
        (["exp"], {"protocol": "wald"}, OptionError, "unknown protocol 'wald'"),
        ([], {}, OptionError, "at least one method"),
        (["exp", "gsaa"], {}, MethodError, "did you mean 'gsa'"),
        (["exp"], {"options": {"weights": "1,1"}}, OptionError, "none of exp has an option 'weights'"),
        (["exp", "gsa"], {"options": {"form": "square"}}, MethodError, "square"),
    ],
)
def test_wrong_words_are_told_before_any_work(made, monkeypatch, methods, words, kind, text):
    monkeypatch.setattr(engine, "problems", lambda *_: pytest.fail("work began"))
    with pytest.raises(kind, match=text):
        evaluate(made, methods, **words)


def test_options_go_to_the_methods_that_have_them(made):
    plain = evaluate(made, ["exp", "brovey"], protocol="reduced")
    other = evaluate(made, ["exp", "brovey"], protocol="reduced", options={"weights": "0.1,0.2,0.3,0.4"})
    for name in ("wald-toolbox", "wald-physical"):
        assert scores(plain, name)["exp"].values == scores(other, name)["exp"].values
        assert scores(plain, name)["brovey"].values != scores(other, name)["brovey"].values


def test_too_small_for_the_reduced_problems():
    with pytest.raises(PanloomError, match="too small to be degraded"):
        evaluate(eval_tools.noisy(size=3), ["exp"])


# --- JSON -------------------------------------------------------------------------------------------------


def test_json_holds_no_number_that_is_none():
    record = {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": (-math.inf, "x")}, 3: None, "e": True}
    plain = json.loads(to_json(record), parse_constant=NEVER)
    assert plain == {"a": None, "b": [None, 1.5], "c": {"d": [None, "x"]}, "3": None, "e": True}


def test_json_of_a_dataclass():
    score = engine.Score("exp", "full", {"qnr": math.nan}, {"q": [math.inf]}, 0.5)
    assert json.loads(to_json([score]), parse_constant=NEVER) == [
        {
            "method": "exp",
            "protocol": "full",
            "values": {"qnr": None},
            "bands": {"q": [None]},
            "seconds": 0.5,
            "error": None,
            "notes": [],
        }
    ]
