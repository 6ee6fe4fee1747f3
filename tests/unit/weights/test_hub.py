"""The layout of the Hugging Face hub: what is written is what the hub reads, and comes back unchanged."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from weights_tools import SOURCE, full_card, small_card, small_network

from panloom import weights
from panloom.errors import OutputError, WeightsError
from panloom.weights import hub


def front(text: str) -> dict[str, object]:
    """The head of a README, which is simple YAML: keys with a word, and one list."""
    head = text.split("---\n")[1].splitlines()
    words = {key: value.strip() for key, _, value in (line.partition(":") for line in head if not line.startswith("-"))}
    return {**words, "tags": [json.loads(line[2:]) for line in head if line.startswith("- ")]}


@pytest.mark.parametrize("card", [small_card(), full_card()], ids=["least", "full"])
def test_there_and_back(card, tmp_path):
    net = small_network()
    files = hub.write(net, card, tmp_path / "model")
    names = {file.name for file in files}
    assert names - {"LICENSE"} == {"config.json", "model.safetensors", "README.md"}
    loaded, read = hub.read(tmp_path / "model")
    assert replace(read, sha256=card.sha256) == card
    stored = getattr(torch, card.dtype)
    for a, b in zip(net.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a.to(stored).float(), b)


def test_what_others_read(tmp_path):
    net = small_network()
    net.source = SOURCE
    hub.write(net, small_card(scores=(weights.Score("wald-toolbox", "a|b", "ergas", 2.0),)), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert front(text)["license"] == "apache-2.0"
    assert front(text)["library_name"] == "panloom"
    assert set(front(text)["tags"]) >= {"pansharpening", "fusionnet"}
    assert "--method fusionnet.test" in text
    assert "| wald-toolbox | a\\|b | ergas | 2 |" in text
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["network"] == "fusionnet"
    assert config["options"] == {"bands": 3}
    assert config["source"]["pan_mean"] == SOURCE.pan_mean
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert set(file.keys()) == set(net.state_dict())
    assert not (tmp_path / "LICENSE").exists()


@pytest.mark.parametrize(
    ("licence", "word"),
    [("MIT", "mit"), ("GPL-3.0-or-later", "gpl-3.0"), ("CC-BY-4.0", "cc-by-4.0"), ("My: terms!\nmore", "other")],
)
def test_licences(licence, word, tmp_path):
    hub.write(small_network(), small_card(licence=licence), tmp_path)
    head = front((tmp_path / "README.md").read_text())
    assert head["license"] == word
    if word == "other":
        assert head["license_name"] == "my-terms"
        assert head["license_link"] == "LICENSE"
        assert (tmp_path / "LICENSE").read_text() == licence + "\n"


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json"):
        hub.read(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        hub.read(tmp_path)
    for other in ("[]", '{"library_name": "timm"}'):
        (tmp_path / "config.json").write_text(other)
        with pytest.raises(WeightsError, match="not of a model that panloom wrote"):
            hub.read(tmp_path)
    hub.write(small_network(), small_card(), tmp_path)
    good = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(good.replace('"licence"', '"licens"'))
    with pytest.raises(WeightsError, match="did you mean 'licence'"):
        hub.read(tmp_path)
    (tmp_path / "config.json").write_text(good)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="damaged or was changed"):
        hub.read(tmp_path)


def test_a_folder_that_holds_a_model_or_cannot_be_made(tmp_path):
    hub.write(small_network(), small_card(), tmp_path)
    with pytest.raises(OutputError, match=r"holds a model.*--overwrite; in Python overwrite=True"):
        hub.write(small_network(), small_card(), tmp_path)
    hub.write(small_network(seed=1), small_card(), tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="cannot be made"):
        hub.write(small_network(), small_card(), tmp_path / "README.md" / "in")
