"""The sentences of an analysis follow from its numbers by fixed rules: same numbers, same words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from panloom.analysis import Descriptors
from panloom.run.analysis.conclusions import method_conclusions, model_conclusions
from panloom.run.analysis.record import FuserNumbers, Likeness, Lines, NetworkNumbers, Parts, Quality, Share, Stimulus

BANDS = ("blue", "nir")
IDEAL = Descriptors(1.0, 0.95, 1.0, 0.1, (-60.0, -60.0, -60.0), 0.01, -0.2, 0.99)
PLACES = tuple(k / 64 for k in range(64))
NOTHING = Lines("", (0.0,), {})


def lines(**values: float) -> Lines:
    return Lines("", PLACES, {name: (value,) * 64 for name, value in values.items()})


METHOD = FuserNumbers(
    ratio=4,
    bands=BANDS,
    mtf=(0.3, 0.3),
    ms=(IDEAL, IDEAL),
    mixing=((1.0, 0.0), (0.0, 1.0)),
    leakage=(0.0, 0.01),
    injection=(1.0, 1.0),
    slopes=(1.0, 1.0),
    agreement=(0.9, 0.9),
    pan_spread=0.0,
    ms_spread=0.0,
    pan_profile=NOTHING,
    ms_profile=NOTHING,
    transfer=lines(blue=0.9, nir=0.9),
    pan_cut=NOTHING,
    ms_cut=NOTHING,
    part=(256, 256),
)
MODEL = NetworkNumbers(
    scale=2,
    channels=(3, 3),
    jacobian=IDEAL,
    published=IDEAL,
    mixing=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    spread=0.0,
    patches=24,
    profile=NOTHING,
    cut=NOTHING,
    sweep=(Stimulus(0.0, 1.0, IDEAL), Stimulus(0.0, 0.1, IDEAL)),
)


def parts(r2: float = 1.0, high: float = 1.0, cancellation: float = 0.0, response: str = "r") -> Parts:
    return Parts(response, tuple(Share(band, r2, 0.1, high, 0.1, cancellation) for band in BANDS), 8)


def said(numbers: FuserNumbers = METHOD, shares: Parts | None = None, quality: Quality | None = None) -> str:
    return " ".join(method_conclusions("m", numbers, shares or parts(), quality))


def told(numbers: NetworkNumbers = MODEL, *shares: Parts) -> str:
    return " ".join(model_conclusions("m", numbers, shares or (parts(),), None))


def test_an_ideal_method_is_praised_in_every_sentence():
    words = said()
    for text in (
        "does not leak",
        "comes out brighter by as much",
        "No band takes anything",
        "as it should",
        "about as much as makes the least error",
        "beyond the MS grid 0.90 comes out in the median band",
        "no nonlinear part",
        "the same at every place",
    ):
        assert text in words
    assert "Beside the truth" not in words


def test_the_same_numbers_give_the_same_words():
    assert said() == said(replace(METHOD))
    assert told() == told(replace(MODEL))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"leakage": (0.0, -0.3)}, "where all of PAN is 1 brighter, nir changes by -0.30"),
        ({"mixing": ((1.0, 0.0), (0.0, 0.7))}, "nir is brighter by 0.71"),
        ({"mixing": ((0.6, 0.4), (0.0, 1.0))}, "blue takes +0.40 of nir, and keeps 0.60"),
        ({"mixing": ((0.95, 0.05), (0.0, 1.0))}, "hardly mix: blue takes +0.05 of nir"),
        ({"ms": (replace(IDEAL, cutoff6=0.6),) * 2}, "MS loses detail of its own"),
        ({"ms": (replace(IDEAL, cutoff6=1.5),) * 2}, "beyond where its grid ends: its amplitude falls to half at 1.50"),
        ({"ms": (replace(IDEAL, cutoff6=math.inf),) * 2}, "nowhere falls to half"),
        ({"ms": (replace(IDEAL, cutoff6=math.nan),) * 2}, "no band has a gain at frequency 0"),
        ({"injection": (0.0, 0.0)}, "No detail of PAN is put in"),
        (
            {"injection": (0.5, 0.5)},
            "0.50 times the gain of a regression on this scene (median of the bands): less than",
        ),
        ({"injection": (0.5, 0.5)}, "softer than it need be"),
        ({"injection": (2.0, 2.0)}, "more than makes the least error"),
        ({"slopes": (0.0, 0.01)}, "PAN does not go with any band"),
        ({"transfer": lines(blue=1.4, nir=1.4)}, "comes out 1.40 times as strong: it is put in twice"),
        ({"transfer": lines(blue=0.3, nir=0.3)}, "0.30 comes out in the median band"),
        ({"agreement": (0.4, 0.4)}, "by what PAN shows of it, would bring 0.40"),
        ({"pan_spread": 0.05}, "differs somewhat from place to place: by 5 %"),
        ({"pan_spread": 0.5}, "differs much from place to place"),
    ],
)
def test_what_is_not_ideal_is_said_with_its_number(change, text):
    assert text in said(replace(METHOD, **change))
    assert text not in said()


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("comes", [0.3, 0.9, 1.2])
def test_whether_too_much_is_put_in_is_said_once(gain, comes):
    words = said(replace(METHOD, injection=(gain, gain), transfer=lines(blue=comes, nir=comes)))
    assert words.count("the least error") == 1


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        (parts(0.97), "explains nearly all: 97.0 %"),
        (parts(0.5), "explains 50.0 % of the output's variance in blue"),
        (parts(-0.1), "explains nothing of the output in blue"),
        (parts(0.5, 150.0, 0.99), "150 times the energy of the output, and the rest mostly takes that away"),
        (parts(0.5, 2.0, 0.3), "undoes only some of it"),
        (parts(0.5, 0.7, -0.4), "the rest adds to it (cancellation -0.40"),
    ],
)
def test_what_one_filter_explains(shares, text):
    assert text in said(shares=shares)


def test_a_method_is_set_against_interpolation():
    rows = {"m": tuple(Likeness(band, 40.0, 20.0, 22.0, 30.0) for band in BANDS)}
    rows["exp"] = (Likeness("blue", 30.0, 15.0, 25.0, 20.0), Likeness("nir", 41.0, 15.0, math.inf, 20.0))
    words = said(quality=Quality("t", rows, {"m": 1.0, "exp": 1.0}, (64, 64)))
    assert "against exp: PSNR +4.5 dB, better in 1 of 2 bands; windowed FSDS -3.0 dB, better in 0 of 1 bands." in words


def test_a_linear_model_is_found_to_be_one():
    words = told()
    for text in (
        "a low-pass close to the ideal one",
        "tells the same",
        "The height of the dot does not matter",
        "The response is the same at every place",
        "no nonlinear part",
    ):
        assert text in words


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"jacobian": replace(IDEAL, cutoff6=1.5)}, "not the low-pass that the paper speaks of: gain 1.00"),
        ({"jacobian": replace(IDEAL, cutoff6=math.nan)}, "this is no enlargement"),
        ({"published": replace(IDEAL, dc=0.6)}, "tells something else (gain 0.60"),
        ({"sweep": (Stimulus(0.0, 1.0, IDEAL), Stimulus(0.0, 0.1, replace(IDEAL, dc=0.7)))}, "gains of 0.70 to 1.00"),
        ({"mixing": ((1.0, 0.0, 0.0), (0.0, 0.9, -0.2), (0.0, 0.0, 1.0))}, "green takes -0.20 of blue, and keeps 0.90"),
        ({"spread": 0.38}, "differs much from place to place: by 38 %"),
    ],
)
def test_what_is_special_of_a_model_is_said_with_its_number(change, text):
    assert text in told(replace(MODEL, **change))
    assert text not in told()


def test_the_response_of_the_paper_is_judged_by_what_it_explains():
    words = told(MODEL, parts(0.96), parts(0.441, 152.0, 0.99, "white dot on black"))
    assert "With the response to the paper's white dot a filter explains 44.1 % of the variance of the output" in words
    assert "has 152 times its energy beyond the cut-off" in words
    assert "white dot" not in told(replace(MODEL, published=None), parts(0.96))
