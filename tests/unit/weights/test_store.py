"""The store: what is kept is found and loaded, and nothing that is not as its card says."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from weights_tools import SOURCE, own_folder, small_card, small_network

from panloom import networks, weights
from panloom.errors import MethodError, OutputError, WeightsError
from panloom.weights import _store

folder = pytest.fixture(autouse=True)(own_folder)


def rewrite(folder: Path, state: dict[str, torch.Tensor], name: str = "fusionnet.test") -> None:
    """Another file under the card, whose hash is made to fit."""
    data = safetensors.torch.save(state)
    (folder / f"{name}.safetensors").write_bytes(data)
    card = weights.read_card(folder / f"{name}.toml")
    card = replace(card, sha256=hashlib.sha256(data).hexdigest())
    (folder / f"{name}.toml").write_text(weights.card_text(card))


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "fusionnet.test.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_what_is_saved_is_loaded(folder):
    net = small_network()
    net.source = SOURCE
    card = weights.save(net, small_card())
    assert weights.names() == weights.tags_of("fusionnet") == ["fusionnet.test"]
    assert weights.tags_of("pannet") == []
    assert weights.card("fusionnet.test") == weights.verify("fusionnet.test") == card
    assert weights.path("fusionnet.test") == folder / "fusionnet.test.safetensors"
    loaded = weights.load("fusionnet.test")
    assert loaded.source == SOURCE
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), loaded.parameters(), strict=True))
    assert sorted(p.name for p in folder.iterdir()) == ["fusionnet.test.safetensors", "fusionnet.test.toml"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_stored_in_few_bits_are_loaded_as_float32(folder, dtype):
    net = small_network()
    weights.save(net, small_card(dtype=dtype))
    stored = safetensors.torch.load_file(folder / "fusionnet.test.safetensors")
    assert {str(t.dtype) for t in stored.values()} == {f"torch.{dtype}"}
    loaded = weights.load("fusionnet.test")
    for a, b in zip(net.parameters(), loaded.parameters(), strict=True):
        assert b.dtype == torch.float32
        assert torch.equal(a.to(getattr(torch, dtype)).float(), b)


def test_loading_and_saving_draw_nothing_and_change_nothing():
    net = small_network().train().requires_grad_(True)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    weights.save(net, small_card())
    weights.load("fusionnet.test")
    assert torch.equal(torch.rand(3), expected)
    assert net.training


def test_saving_twice_gives_the_same_bytes(folder, tmp_path):
    cards = [weights.save(small_network(), small_card(), place) for place in (folder, tmp_path / "other")]
    assert cards[0] == cards[1]


def test_a_file_beside_its_card_is_a_name_too(tmp_path):
    weights.save(small_network(), small_card(), tmp_path / "a.b+c")
    file = tmp_path / "a.b+c" / "fusionnet.test.safetensors"
    file.with_suffix(".toml").rename(file.with_name("mine.toml"))
    moved = file.rename(file.with_name("mine.safetensors"))
    assert weights.load(moved).traits.bands == 3
    assert weights.card(str(moved)).name == "fusionnet.test"
    with pytest.raises(WeightsError, match="no such file"):
        weights.card(file)
    (moved.with_suffix(".toml")).unlink()
    with pytest.raises(WeightsError, match="no card"):
        weights.load(moved)


def test_taken_names(folder, monkeypatch, tmp_path):
    weights.save(small_network(), small_card())
    with pytest.raises(WeightsError, match=r"there already; .*--tag.*--overwrite; in Python overwrite=True"):
        weights.save(small_network(seed=1), small_card())
    before = weights.load("fusionnet.test").state_dict()
    weights.save(small_network(seed=1), small_card(), overwrite=True)
    assert not torch.equal(before["last.weight"], weights.load("fusionnet.test").state_dict()["last.weight"])
    monkeypatch.setattr(_store, "SHIPPED", folder)
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(WeightsError, match="comes with panloom; choose another tag \\(--tag\\)"):
        weights.save(small_network(), small_card(), overwrite=True)
    # A folder in which names are not looked up, such as that of a training run, may hold it.
    assert weights.save(small_network(), small_card(), tmp_path / "run").name == "fusionnet.test"


def test_the_package_comes_first(folder, monkeypatch, tmp_path):
    weights.save(small_network(seed=1), small_card())
    weights.save(small_network(seed=2), small_card(), tmp_path / "shipped")
    monkeypatch.setattr(_store, "SHIPPED", tmp_path / "shipped")
    assert weights.path("fusionnet.test").parent == tmp_path / "shipped"
    assert weights.names() == ["fusionnet.test"]


def test_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("PANLOOM_WEIGHTS", os.pathsep.join(["a", "", "~/b"]))
    assert weights.folders()[1:] == [Path("a"), Path.home() / "b"]
    monkeypatch.setenv("PANLOOM_WEIGHTS", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    for platform, parent in (
        ("linux", tmp_path),
        ("win32", tmp_path),
        ("darwin", Path.home() / "Library" / "Application Support"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert weights.folders()[1:] == [parent / "panloom" / "weights"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fusionnet.tset", "did you mean 'fusionnet.test'"),
        ("fusionnet", "known: fusionnet.test"),
        ("pannet.none", "unknown weights 'pannet.none'"),
        ("fusionet.test", "unknown network 'fusionet'; did you mean 'fusionnet'"),
        ("../x", "unknown weights"),
    ],
)
def test_unknown_names(name, told):
    with pytest.raises(MethodError, match=r"none here yet|unknown network"):
        weights.load(name)
    weights.save(small_network(), small_card())
    with pytest.raises(MethodError, match=re.escape(told)) as caught:
        weights.load(name)
    assert str(caught.value).endswith("see: panloom weights list")


# --- what must not be loaded ------------------------------------------------------------------------------


@pytest.fixture
def saved(folder) -> Path:
    weights.save(small_network(), small_card())
    return folder


def refused(*told: str) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.load("fusionnet.test")
    assert "\n" not in str(caught.value)
    for word in told:
        assert word in str(caught.value), str(caught.value)


def test_one_changed_bit(saved):
    file = saved / "fusionnet.test.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    refused("damaged or was changed", "sha256")


def test_a_changed_hash(saved):
    edit(saved, 'sha256 = "', 'sha256 = "0')
    refused("damaged or was changed")
    edit(saved, "sha256 =", "note =")
    refused("says none")


@pytest.mark.parametrize("size", [0, 4, 100, -10])
def test_a_short_file_whose_hash_fits(saved, size):
    file = saved / "fusionnet.test.safetensors"
    data = file.read_bytes()[:size]
    old = weights.card("fusionnet.test").sha256
    file.write_bytes(data)
    refused("damaged or was changed")
    edit(saved, old, hashlib.sha256(data).hexdigest())
    refused("no sound safetensors")


def test_no_file(saved):
    (saved / "fusionnet.test.safetensors").unlink()
    refused("cannot read the weights")


def test_a_card_of_another_name(saved):
    edit(saved, "fusionnet.test", "fusionnet.other")
    refused("name is 'fusionnet.other'", "'fusionnet.test'")


def test_weights_of_another_network(saved):
    rewrite(saved, networks.build("pnn", {"bands": 3}).state_dict())
    refused("no weights of fusionnet(bands=3)", "lacks", "unknown there")


def test_weights_of_another_band_count(saved):
    rewrite(saved, small_network(bands=4).state_dict())
    refused("no weights of fusionnet(bands=3)", "first.weight of shape (32, 4, 3, 3) where (32, 3, 3, 3)")


def test_a_card_of_another_band_count(saved):
    edit(saved, "\nbands = 3\ndtype", "\nbands = 4\ndtype")
    refused("works on 3 bands", "says 4")


def test_options_that_the_network_does_not_have(saved):
    edit(saved, "[options]\nbands = 3", "[options]\nbnds = 3")
    refused("cannot be followed", "bnds")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("width", 10**6, "(1000000,) belongs"),
        ("width", 10**9, "cannot be followed"),
        ("width", 10**30, "cannot be followed"),
        ("maps", 8 * 10**9, "expand"),
        ("depth", 10**9, "more than 4096 parameters"),
    ],
)
def test_options_of_a_giant_are_refused_before_it_takes_memory(folder, option, value, told):
    options = {"width": 4, "depth": 1, "maps": 8}
    net = networks.build("universal", options)
    weights.save(net, weights.Card("universal.test", "MIT", options=options))
    file = folder / "universal.test.toml"
    file.write_text(file.read_text().replace(f"{option} = {options[option]}", f"{option} = {value}"))
    with pytest.raises(WeightsError) as caught:
        weights.load("universal.test")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    # What watched over it is gone.
    assert len(list(torch.nn.modules.module._global_parameter_registration_hooks)) == 0


def test_an_unknown_network(saved):
    for suffix in (".toml", ".safetensors"):
        (saved / f"fusionnet.test{suffix}").rename(saved / f"nonet.test{suffix}")
    (saved / "nonet.test.toml").write_text((saved / "nonet.test.toml").read_text().replace("fusionnet.", "nonet."))
    with pytest.raises(WeightsError, match="unknown network 'nonet'"):
        weights.load("nonet.test")


def test_numbers_that_are_not_finite(saved):
    state = small_network().state_dict()
    state["last.bias"][0] = torch.nan
    rewrite(saved, state)
    refused("last.bias", "not finite")


def test_what_does_not_fit_is_not_saved(folder):
    net = small_network()
    for wrong in (small_card(licence=" "), small_card(options={"bands": 4}), small_card(bands=2), small_card("pnn.x")):
        with pytest.raises(WeightsError):
            weights.save(net, wrong)
    torch.nn.init.constant_(net.get_parameter("last.bias"), 1e6)
    with pytest.raises(WeightsError, match="not finite as float16"):
        weights.save(net, small_card(dtype="float16"))
    assert not folder.exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        weights.save(small_network(), small_card(), tmp_path / "file" / "in")


# --- what is shipped --------------------------------------------------------------------------------------

SHIPPED = _store.SHIPPED
CARDS = sorted(path.stem for path in SHIPPED.glob("*.toml"))


@pytest.mark.parametrize("name", CARDS)
def test_shipped_weights_are_sound_and_say_where_they_come_from(name, monkeypatch):
    monkeypatch.setattr(_store, "SHIPPED", SHIPPED)
    card = weights.verify(name)
    for fact in ("licence", "data", "recipe", "commit", "hardware", "limits", "cite", "scores", "seconds"):
        assert getattr(card, fact), f"{name} does not tell its {fact}"
    # A network for any sensor has no statistics of one.
    assert card.source is not None or card.bands is None


def test_shipped_weights_are_small_and_each_has_a_card():
    files = list(SHIPPED.glob("*.safetensors"))
    assert sorted(file.stem for file in files) == CARDS
    assert sum(file.stat().st_size for file in files) <= 10_000_000
