"""Cards: what is written is read again, and every fault is told in one line."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weights_tools import full_card, small_card

from panloom import weights
from panloom.errors import WeightsError
from panloom.weights._toml import dumps

GOOD = 'format = 1\nname = "fusionnet.test"\nlicence = "MIT"\n'


@pytest.mark.parametrize("card", [small_card(), full_card()], ids=["least", "full"])
def test_a_card_is_read_as_it_was_written(card, tmp_path):
    file = tmp_path / "x.toml"
    file.write_bytes(weights.card_text(card).encode())
    assert weights.read_card(file) == card


def test_what_is_not_known_is_not_written():
    assert "seconds" not in weights.card_text(small_card())


def test_a_text_of_several_lines_stays_readable():
    assert 'licence = """\nfirst\nsecond"""' in weights.card_text(small_card(licence="first\nsecond"))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = TEXT | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False)
KEY = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
TABLE = st.dictionaries(KEY, PLAIN | st.lists(PLAIN, max_size=3), max_size=4)


@given(TABLE, st.dictionaries(KEY, TABLE, max_size=2), st.lists(TABLE, min_size=1, max_size=2))
def test_toml_round_trip(plain, tables, entries):
    table = {**plain, **tables, "entries": entries}
    assert tomllib.loads(dumps(table)) == table


def test_numbers_of_numpy_are_written_as_numbers():
    assert tomllib.loads(dumps({"a": np.float64(0.1), "b": float(np.float32(2))})) == {"a": 0.1, "b": 2.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", ["not a valid TOML"]),
        (GOOD.replace("format = 1\n", ""), ["names no format", "reads format 1", "import or train"]),
        (GOOD.replace("format = 1", "format = 0"), ["old format 0", "import or train"]),
        (GOOD.replace("format = 1", "format = 9"), ["format 9", "newer panloom"]),
        (GOOD.replace('licence = "MIT"', ""), ["licence is missing", "nobody may use"]),
        (GOOD.replace('"MIT"', '" "'), ["licence", "nobody may use"]),
        (GOOD.replace('"MIT"', "3"), ["licence is 3"]),
        (GOOD.replace("fusionnet.test", "FusionNet"), ["name is 'FusionNet'", "network.tag"]),
        (GOOD + "licenc = 1", ["licenc", "did you mean 'licence'", "known:", "sha256"]),
        (GOOD + "bands = 0", ["bands is 0"]),
        (GOOD + "bands = true", ["bands is True"]),
        (GOOD + 'bands = ["red", 3]', ["bands", "list of texts"]),
        (GOOD + "ratios = 4", ["ratios is 4", "list"]),
        (GOOD + "ratios = [2.5]", ["ratios"]),
        (GOOD + "full_scale = -1", ["full_scale is -1", "above 0"]),
        (GOOD + "seconds = nan", ["seconds is nan", "finite"]),
        (GOOD + 'dtype = "int8"', ["dtype is 'int8'", "float32, float16, bfloat16"]),
        (GOOD + "cite = 3", ["cite is 3"]),
        (GOOD + "options = 3", ["options is 3"]),
        (GOOD + "[options]\nbands = [3]", ["options"]),
        (GOOD + "source = 3", ["source is 3"]),
        (GOOD + "[source]\nmeans = [1]", ["key source 'means'", "did you mean 'mean'"]),
        (GOOD + "[source]\nmean = [1, 2]\nstd = [1]\npan_mean = 1\npan_std = 1", ["source.std", "as long as"]),
        (GOOD + "[source]\nmean = [inf]\nstd = [1]\npan_mean = 1\npan_std = 1", ["source.mean", "finite"]),
        (GOOD + "[source]\nmean = 1\nstd = [1]\npan_mean = 1\npan_std = 1", ["source.mean is 1"]),
        (GOOD + "scores = [1]", ["scores"]),
        (GOOD + '[[scores]]\nprotocol = "x"', ["scores[0].value is missing"]),
        (GOOD + "[[scores]]\nvalu = 3", ["scores[0] 'valu'", "did you mean 'value'"]),
    ],
)
def test_a_wrong_card_is_refused(text, told, tmp_path):
    file = tmp_path / "fusionnet.test.toml"
    file.write_text(text)
    with pytest.raises(WeightsError) as caught:
        weights.read_card(file)
    message = str(caught.value)
    assert str(file) in message
    assert "\n" not in message.replace(str(file), "") or "TOML" in message
    for word in told:
        assert word in message, message


def test_a_card_that_cannot_be_read(tmp_path):
    with pytest.raises(WeightsError, match="cannot read the card"):
        weights.read_card(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match="not a valid TOML"):
        weights.read_card(tmp_path / "x.toml")


def test_a_card_in_words():
    card = full_card()
    told = dict(weights.facts(card))
    assert told["bands"] == "red, green, nir-1"
    assert told["ratio"] == "2, 4"
    assert told["licence"] == 'Line "one"'
    assert told["training took"] == "1500.5 s on 2 cores"
    assert weights.score_rows(card)[0] == ("wald-toolbox", "val", "ergas", "0.8 x that of the best")
    assert weights.score_rows(card)[1][-1] == "1"
    assert dict(weights.facts(small_card(bands=None)))["bands"] == "any"
    assert len(small_card(licence="x" * 100).licence_name) == 60
