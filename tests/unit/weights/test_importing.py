"""Weights from elsewhere: numbers are taken from checkpoints, programs in them are never run."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from weights_tools import own_folder, small_card, small_network

from panloom import networks, weights
from panloom.errors import MethodError, OptionError, WeightsError
from panloom.networks import get

folder = pytest.fixture(autouse=True)(own_folder)

GIVEN = {"licence": "GPL-3.0"}


def published(bands: int = 3) -> dict[str, torch.Tensor]:
    """The state of a small network by the names of its public checkpoints."""
    ours = {new: old for old, new in get("fusionnet").published.items()}
    found = {}
    for key, tensor in small_network(bands).state_dict().items():
        layer, _, leaf = key.rpartition(".")
        found[f"{ours.get(layer, layer)}.{leaf}"] = tensor
    return found


def check_same(name: str) -> None:
    ours, theirs = small_network().state_dict(), weights.load(name).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("key", [None, "model_state", "state_dict", "model", "both", "module"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint(key, legacy, tmp_path):
    state: dict[str, object] = dict(published())
    if key == "module":
        held: dict[str, object] = {f"module.{name}": tensor for name, tensor in state.items()}
    elif key == "both":
        held = {"epoch": 3, "state_dict": {"model": state, "step": 1}, "optimizer": {"lr": 0.1}}
    else:
        held = state if key is None else {key: state, "epoch": 3}
    torch.save(held, tmp_path / "x.pth.tar", _use_new_zipfile_serialization=not legacy)
    card = weights.import_weights(tmp_path / "x.pth.tar", "mine", facts={**GIVEN, "full_scale": 2047, "bands": 3})
    assert (card.name, card.bands, card.full_scale, card.licence) == ("fusionnet.mine", 3, 2047, "GPL-3.0")
    check_same("fusionnet.mine")


@pytest.mark.parametrize("network", [None, "fusionnet"])
def test_a_checkpoint_with_our_own_names(network, tmp_path):
    torch.save({"model": small_network().state_dict(), "step": 7}, tmp_path / "x.pt")
    card = weights.import_weights(tmp_path / "x.pt", "mine", network=network, facts=GIVEN)
    assert (card.name, card.options) == ("fusionnet.mine", {"bands": 3})
    check_same("fusionnet.mine")


def test_a_checkpoint_of_our_own_network_for_any_bands(tmp_path):
    torch.save(networks.build("universal", {}).state_dict(), tmp_path / "x.pt")
    card = weights.import_weights(tmp_path / "x.pt", "mine", facts=GIVEN)
    assert (card.name, card.options, card.bands) == ("universal.mine", {}, None)


def test_a_file_whose_head_names_the_network_and_its_options(tmp_path):
    state = networks.build("a-pnn", {"bands": 3, "filters": 5}).state_dict()
    head = {"panloom": json.dumps({"network": "a-pnn", "options": {"bands": 3, "filters": 5}})}
    safetensors.torch.save_file(state, tmp_path / "x.safetensors", head)
    card = weights.import_weights(tmp_path / "x.safetensors", "mine", facts=GIVEN)
    assert (card.name, card.options) == ("a-pnn.mine", {"bands": 3, "filters": 5})
    with pytest.raises(WeightsError, match="holds weights of a-pnn, not of pnn"):
        weights.import_weights(tmp_path / "x.safetensors", "other", network="pnn", facts=GIVEN)
    other = json.dumps({"network": "pnn", "options": {"bands": 3}})
    safetensors.torch.save_file(state, tmp_path / "x.safetensors", {"panloom": other})
    with pytest.raises(WeightsError, match="no weights of pnn"):
        weights.import_weights(tmp_path / "x.safetensors", "other", facts=GIVEN)


@pytest.mark.parametrize("head", [None, {"panloom": "[3]"}], ids=str)
@pytest.mark.parametrize(
    ("network", "options"), [("a-pnn", {"bands": 3, "filters": 5}), ("universal", {"width": 8, "depth": 3, "maps": 8})]
)
def test_bare_tensors_are_known_with_their_options(network, options, head, tmp_path):
    safetensors.torch.save_file(networks.build(network, options).state_dict(), tmp_path / "x.safetensors", head)
    card = weights.import_weights(tmp_path / "x.safetensors", "mine", facts=GIVEN)
    assert (card.name, card.options) == (f"{network}.mine", options)


def test_a_safetensors_file_and_named_bands(tmp_path):
    safetensors.torch.save_file(published(), tmp_path / "x.safetensors")
    facts = {**GIVEN, "bands": ["red", "green", "nir"], "ratios": [4], "note": "as found"}
    card = weights.import_weights(tmp_path / "x.safetensors", "mine", network="fusionnet", facts=facts)
    assert (card.bands, card.ratios, card.note) == (("red", "green", "nir"), (4,), "as found")
    check_same("fusionnet.mine")


def test_subnormal_weights_become_zero_and_the_card_says_so(tmp_path):
    state = published()
    state["conv3.bias"] = torch.tensor([1e-41, 0.5, 2e-40])
    safetensors.torch.save_file(state, tmp_path / "x.safetensors")
    card = weights.import_weights(tmp_path / "x.safetensors", "mine", facts={**GIVEN, "note": "as found"})
    assert card.note == "as found; 2 subnormal weights were set to 0"
    assert weights.load("fusionnet.mine").state_dict()["last.bias"].tolist() == [0, 0.5, 0]


@pytest.mark.parametrize("facts", [{}, {"licence": ""}, {"licence": " \n"}], ids=str)
def test_the_licence_is_demanded(facts, tmp_path):
    safetensors.torch.save_file(published(), tmp_path / "x.safetensors")
    with pytest.raises(OptionError, match=r"licence of .* must be said"):
        weights.import_weights(tmp_path / "x.safetensors", "mine", facts=facts)
    with pytest.raises(OptionError, match="need a tag"):
        weights.import_weights(tmp_path / "x.safetensors", facts=GIVEN)


@pytest.mark.parametrize(
    ("tag", "facts", "told"),
    [
        ("Big", {}, "name is 'fusionnet.Big'"),
        ("a.b", {}, "name is"),
        ("a", {"bands": 4}, "works on 3 bands, and its card says 4"),
        ("a", {"bands": ["red"]}, "says 1"),
        ("a", {"licens": "x"}, "did you mean 'licence'"),
        ("a", {"full_scale": -2}, "above 0"),
    ],
)
def test_facts_that_cannot_be(tag, facts, told, tmp_path, folder):
    safetensors.torch.save_file(published(), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=told):
        weights.import_weights(tmp_path / "x.safetensors", tag, facts={**GIVEN, **facts})
    assert not folder.exists()


def test_a_file_with_its_card_and_a_hub_folder_bring_their_own_facts(tmp_path):
    weights.save(small_network(), small_card(note="kept", dtype="bfloat16"), tmp_path / "a")
    file = tmp_path / "a" / "fusionnet.test.safetensors"
    card = weights.import_weights(file)
    assert (card.name, card.note, card.dtype) == ("fusionnet.test", "kept", "bfloat16")
    weights.hub.write(weights.load("fusionnet.test"), card, tmp_path / "hub")
    other = weights.import_weights(tmp_path / "hub", "other", network="fusionnet")
    assert (other.name, other.sha256) == ("fusionnet.other", card.sha256)
    for settings in ({"facts": GIVEN}, {"network": "pnn"}):
        with pytest.raises(OptionError, match=r"has a card, which says its (licence|network)"):
            weights.import_weights(file, "third", **settings)


# --- files that are refused -------------------------------------------------------------------------------


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


class Whole(nn.Module):
    """A network pickled with its class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3)


@pytest.mark.parametrize("where", ["alone", "beside", "legacy", "plain", "newer", "tar", "safetensors"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(where, tmp_path, folder):
    target, file = tmp_path / "created", tmp_path / ("x.safetensors" if where == "safetensors" else "x.pth")
    held: object = {"state_dict": published(), "extra": Evil(target)} if where == "beside" else Evil(target)
    if where in ("plain", "newer", "safetensors"):
        file.write_bytes(pickle.dumps(held, protocol=4 if where == "newer" else 2))
    else:
        torch.save(held, file, _use_new_zipfile_serialization=where != "legacy")
    if where == "tar":
        import tarfile

        (tmp_path / "pickle").write_bytes(pickle.dumps(held))
        with tarfile.open(file, "w") as tar:
            for name in ("pickle", "tensors", "storages"):
                tar.add(tmp_path / "pickle", name)
    with pytest.raises(WeightsError) as caught:
        weights.import_weights(file, "mine", network="fusionnet", facts=GIVEN)
    assert not target.exists()
    assert not folder.exists()
    assert "\n" not in str(caught.value)
    if where in ("alone", "beside", "legacy", "plain"):  # named, so that one sees what the file wants
        assert "never runs a pickle" in str(caught.value)
        assert "torch.save(model.state_dict()" in str(caught.value)
        assert "mkdir" in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_whole_network_is_refused_with_what_to_do(legacy, tmp_path):
    torch.save(Whole(), tmp_path / "x.pth.tar", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=r"whole objects \(.*Whole\).*torch\.save\(model\.state_dict\(\)"):
        weights.import_weights(tmp_path / "x.pth.tar", "mine", facts=GIVEN)


def test_a_torch_that_is_not_safe_reads_no_pickle(tmp_path, monkeypatch):
    torch.save(published(), tmp_path / "x.pth")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(WeightsError, match=r"update torch to 2\.10"):
        weights.import_weights(tmp_path / "x.pth", "mine", facts=GIVEN)


@pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)) * 8, b"PK\x03\x04", b"\x80\x02}."], ids=len)
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "x.bin"])
def test_damaged_files(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        weights.import_weights(tmp_path / name, "mine", facts=GIVEN)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_checkpoint_cut_short(share, tmp_path):
    torch.save(published(), tmp_path / "x.pth")
    data = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match="damaged"):
        weights.import_weights(tmp_path / "x.pth", "mine", facts=GIVEN)


@pytest.mark.parametrize("held", [[1, 2], {}, {"epoch": 3}, {"state_dict": {}}, {"model": {"a": 1}}, 3], ids=str)
def test_checkpoints_without_weights(held, tmp_path):
    torch.save(held, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="holds no weights"):
        weights.import_weights(tmp_path / "x.pth", "mine", facts=GIVEN)


def test_weights_of_another_network(tmp_path):
    torch.save({"a.weight": torch.zeros(2, 2)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth: the tensors fit no network"):
        weights.import_weights(tmp_path / "x.pth", "mine", facts=GIVEN)
    torch.save(published(), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="not those of pannet"):
        weights.import_weights(tmp_path / "x.pth", "mine", network="pannet", facts=GIVEN)
    with pytest.raises(MethodError, match="unknown network 'panet'; did you mean 'pannet'"):
        weights.import_weights(tmp_path / "x.pth", "mine", network="panet", facts=GIVEN)


def test_no_file(tmp_path):
    for name in ("x.pth", "x.safetensors"):
        with pytest.raises(WeightsError, match="cannot read the weights"):
            weights.import_weights(tmp_path / name, "mine", facts=GIVEN)


# --- public checkpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["pnn", "pannet", "dicnn1", "msdcnn", "drpnn", "fusionnet"])
def test_public_weights_are_taken_over(net, shared):
    file = shared / "golden" / "networks" / "networks" / "weights" / f"QB_{net}.safetensors"
    if not file.is_file():
        pytest.skip(f"no {file}")
    card = weights.import_weights(file, "qb", facts=GIVEN)
    assert card.network == net.rstrip("1")
    assert card.bands == card.options["bands"] == weights.load(card.name).traits.bands == 4
