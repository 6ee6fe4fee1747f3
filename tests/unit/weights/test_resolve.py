"""Names of methods: classical, free of networks, trained weights, and adapters behind them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from weights_tools import own_folder, small_card, small_network

from panloom import adapt, classical, networks, weights
from panloom.adapt import _registry
from panloom.errors import MethodError, WeightsError
from panloom.networks import Network
from panloom.run.catalogue import about, about_cite, adapters, summaries, trained
from panloom.run.resolve import card_of, methods, options_of, resolve, trained_ratios
from panloom.types import Grid, Traits
from panloom.weights import _store

folder = pytest.fixture(autouse=True)(own_folder)


@dataclass(frozen=True, eq=False)
class Brighter:
    """Adds to the last bias. More words.

    Attributes:
        network: what is adapted.
        by: how much.
        mode: what for.
    """

    network: Network
    by: float = 1.0
    mode: Literal["a", "b"] = "a"

    @property
    def traits(self) -> Traits:
        return replace(self.network.traits, cite=("brighter",))

    def prepare(self, scene: object, rng: torch.Generator) -> Network:
        ready = self.network.prepare(scene, rng)
        ready.get_parameter("last.bias").add_(self.by)
        return ready

    def __call__(self, pair: object) -> object:
        return self.network(pair)


@dataclass(frozen=True, eq=False)
class Closed(Brighter):
    """Leaves no network behind it."""

    ready: bool = field(default=False, metadata={"option": False})

    def prepare(self, scene: object, rng: torch.Generator) -> Closed:
        return replace(self, ready=True)


@pytest.fixture(autouse=True)
def stubs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two adapters, and weights of one network."""
    adapt.names()
    monkeypatch.setitem(_registry._ADAPTERS, "brighter", Brighter)
    monkeypatch.setitem(_registry._ADAPTERS, "closed", Closed)
    weights.save(small_network(), small_card(ratios=(4,), cite=("deng2021", "A. Person, 1999")))


def bias(net: object) -> torch.Tensor:
    assert isinstance(net, Network)
    return net.get_parameter("last.bias")


def test_methods_are_all_kinds():
    assert {*classical.names(), *adapt.free(), "fusionnet.test"} == set(methods())
    assert len(set(methods())) == len(methods())


def test_trained_weights():
    net = resolve("fusionnet.test")
    assert isinstance(net, networks.get("fusionnet"))
    assert net.traits.bands == 3
    assert options_of("fusionnet.test") == []
    assert card_of("fusionnet.test") == weights.card("fusionnet.test")
    assert card_of("gsa") is None
    assert trained_ratios("fusionnet.test") == (4,)
    assert trained_ratios("fusionnet.test+brighter") is trained_ratios("gsa") is None


def test_a_file_is_a_name(folder, tmp_path):
    moved = folder.rename(tmp_path / "a+b.safetensors+x")
    name = str(moved / "fusionnet.test.safetensors")
    assert torch.equal(bias(resolve(name)), bias(small_network()))
    assert isinstance(resolve(f"{name}+brighter"), Brighter)
    assert card_of(name).name == "fusionnet.test"


def test_an_adapter_and_its_options():
    fuser = resolve("fusionnet.test+brighter", {"by": "2.5", "mode": "b"})
    assert isinstance(fuser, Brighter)
    assert (fuser.by, fuser.mode) == (2.5, "b")
    assert [option.name for option in options_of("fusionnet.test+brighter")] == ["by", "mode"]
    assert options_of("fusionnet.test+brighter")[0].help == "how much."


def test_adapters_in_a_row():
    fuser = resolve("fusionnet.test+brighter+brighter", {"by": 0.5})
    assert fuser.traits.cite == ("brighter",)
    scene = SimpleNamespace(grid=Grid(64, 64, 4, (1.5, 1.5)), sensor=None, read=list, survey=list, sample=list)
    ready = fuser.prepare(scene, torch.Generator())
    assert torch.allclose(bias(ready), bias(small_network()) + 1)
    with pytest.raises(MethodError, match="leaves no network"):
        resolve("fusionnet.test+closed+brighter").prepare(scene, torch.Generator())


@pytest.mark.parametrize("name", sorted(adapt.free()))
def test_methods_without_a_network(name):
    option = next(o for o in options_of(name) if o.kind is float)
    assert getattr(resolve(name, {option.name: "0.25"}), option.name) == 0.25


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("gsaa", {}, "did you mean 'gsa'"),
        ("fusionnet", {}, "fusionnet is a network without weights; name its weights: fusionnet.test;"),
        ("pnn", {}, "no weights of it are here; see: panloom weights list"),
        ("pnn+brighter", {}, "no weights of it are here"),
        ("fusionnet.tset", {}, "did you mean 'fusionnet.test'? known: fusionnet.test; see: panloom weights list"),
        ("fusionet.test", {}, "did you mean 'fusionnet'"),
        ("fusionnet.test+brightr", {}, "unknown adapter 'brightr'; did you mean 'brighter'"),
        ("fusionnet.test+", {}, "unknown adapter ''"),
        ("gsa+brighter", {}, "gsa takes no adapter: +brighter goes behind trained weights"),
        ("fusionnet.test", {"by": 1}, "fusionnet.test has no options"),
        ("fusionnet.test+brighter", {"bi": 1}, "did you mean 'by'"),
        ("fusionnet.test+brighter", {"by": "x"}, "must be a number"),
        ("fusionnet.test+brighter", {"mode": "c"}, "unknown value of fusionnet.test+brighter's mode"),
        ("regression", {"zz": 1}, "unknown option of regression"),
        ("", {}, "unknown method ''"),
        ("+brighter", {}, "unknown method '+brighter'"),
    ],
)
def test_what_is_refused(name, options, told):
    with pytest.raises(MethodError, match=re.escape(told)):
        resolve(name, options)


def test_files_that_cannot_be_used(folder):
    with pytest.raises(WeightsError, match="no such file"):
        resolve("none.safetensors+brighter")
    (folder / "fusionnet.test.toml").unlink()
    with pytest.raises(WeightsError, match="has no card"):
        resolve(str(folder / "fusionnet.test.safetensors"))


# --- in words ---------------------------------------------------------------------------------------------


def test_about_weights_and_adapters():
    found = about("fusionnet.test+brighter")
    assert found.summary == "Residual blocks on PAN - EXP, and EXP. Adds to the last bias."
    assert dict(found.facts)["licence"] == "Apache-2.0"
    assert found.cite[-1] == "A. Person, 1999"
    assert [option.name for option in found.options] == ["by", "mode"]
    assert about("gsa").facts == ()
    assert "works by ratios" in about("brovey").habits
    assert "ratios, so" not in about("fusionnet.test").habits


def test_lists():
    assert {row[0] for row in summaries()} == {*classical.names(), *adapt.free()}
    (entry,) = trained()
    assert (entry.name, entry.bands, entry.licence) == ("fusionnet.test", "3", "Apache-2.0")
    assert ("+brighter", "Adds to the last bias.") in adapters()


def test_a_card_that_is_wrong_spoils_no_list(folder):
    (folder / "fusionnet.bad.toml").write_text("")
    bad, good = trained()
    assert (bad.name, bad.licence, good.name) == ("fusionnet.bad", "", "fusionnet.test")
    assert "cannot be used" in bad.summary
    with pytest.raises(WeightsError, match="names no format"):
        resolve("fusionnet.bad")


def test_what_to_cite():
    texts = about_cite(["fusionnet.test", "gsa"])
    assert "A. Person, 1999" in texts
    assert len(texts) == len(set(texts))
    assert any("Deng" in text for text in texts)
    assert about_cite(["gsa"], bibtex=True)[0].startswith("@")


@pytest.mark.parametrize("name", [*classical.names(), *adapt.free(), *(f"fusionnet.test+{a}" for a in adapt.names())])
def test_every_option_is_described_where_it_stands_or_where_it_comes_from(name):
    assert not [option.name for option in options_of(name) if not option.help]


def test_a_description_of_several_lines_is_told_whole():
    told = {option.name: option.help for option in options_of("regression")}
    assert told["gate"].endswith("0 always keeps the frozen output.")


def test_a_card_is_read_once(monkeypatch):
    weights.save(small_network(), small_card(), overwrite=True)
    read: list[Path] = []
    monkeypatch.setattr(_store, "read_card", lambda path: [read.append(path), weights.read_card(path)][1])
    resolve("fusionnet.test+refit", {"gate": 1})
    assert len(read) == 1
