"""`panloom weights` from outside: in, listed, checked, used, handed on; and what is refused, in one line."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from system_tools import call, done, fails, pixels, told, try_sharpen

from panloom import networks, weights
from panloom.cli import main
from panloom.run._tags import made_by
from panloom.weights import _store

COMMANDS = {"list", "show", "verify", "path", "import", "export"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setattr(_store, "SHIPPED", tmp_path / "nothing")
    return tmp_path / "own"


def network(bands: int = 4) -> networks.Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.build("fusionnet", {"bands": bands})
    torch.nn.init.zeros_(net.get_parameter("last.weight"))
    torch.nn.init.zeros_(net.get_parameter("last.bias"))
    return net


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"state_dict": network().state_dict(), "epoch": 1}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


@pytest.fixture
def kept(checkpoint: Path, folder: Path) -> Path:
    """The file of weights `fusionnet.mine`."""
    done(call("weights", "import", checkpoint, "--tag", "mine", "--licence", "MIT"))
    return folder / "fusionnet.mine.safetensors"


def test_commands_and_help():
    assert set(main.commands["weights"].commands) == COMMANDS
    for command in COMMANDS:
        text = done(call("weights", command, "--help")).stdout
        assert text.startswith(f"Usage: panloom weights {command}")


def test_in_listed_shown_and_verified(checkpoint, folder, tmp_path):
    (tmp_path / "LICENCE").write_text("Do as you like\nbut say so.\n")
    words = ("--bands", "blue,green,red,nir", "--full-scale", "2047", "--ratio", "4", "--data", "noise", "--note", "x")
    cite = ("--cite", "deng2021", "--cite", "A. Person, 1999")
    licence = ("--licence", tmp_path / "LICENCE")
    done(call("weights", "import", checkpoint, "--network", "fusionnet", "--tag", "mine", *licence, *words, *cite))
    listed = done(call("weights", "list")).stdout
    assert all(word in listed for word in ("fusionnet.mine", "blue, green, red, nir", "Do as you like", "noise"))
    (entry,) = json.loads(done(call("weights", "list", "--json")).stdout)
    assert (entry["name"], entry["full_scale"], entry["ratios"]) == ("fusionnet.mine", 2047, [4])
    shown = done(call("weights", "show", "fusionnet.mine")).stdout
    assert all(word in shown for word in ("sha256", "fusionnet (bands=4)", "ratio: 4", str(folder)))
    assert json.loads(done(call("weights", "show", "fusionnet.mine", "--json")).stdout) == entry
    assert done(call("weights", "show", "fusionnet.mine", "--licence")).stdout.splitlines()[1] == "but say so."
    assert "sound" in done(call("weights", "verify")).stdout
    assert done(call("weights", "path", "fusionnet.mine")).stdout.strip() == str(folder / "fusionnet.mine.safetensors")
    assert done(call("weights", "path")).stdout.strip() == str(folder)
    assert "A. Person, 1999" in done(call("cite", "fusionnet.mine")).stdout


def test_methods_show_the_weights(kept):
    text = done(call("methods")).stdout
    assert all(word in text for word in ("fusionnet.mine", "MIT", "bands", "+refit", "regression", "gsa"))
    assert "licence: MIT" in done(call("methods", "fusionnet.mine")).stdout
    assert "--set kappa" in done(call("methods", "fusionnet.mine+refit")).stdout


def test_weights_sharpen_a_scene_whatever_its_full_scale(kept, small, tmp_path):
    """A network without detail gives EXP."""
    for name, method in (("net", "fusionnet.mine"), ("file", kept), ("exp", "exp")):
        done(try_sharpen(small, tmp_path / f"{name}.tif", "--method", method))
    expected = pixels(tmp_path / "exp.tif")
    assert (pixels(tmp_path / "net.tif") == expected).all()
    assert (pixels(tmp_path / "file.tif") == expected).all()


def test_weights_of_another_band_count_are_named(kept, small, tmp_path):
    result = try_sharpen(small, tmp_path / "out.tif", "--method", "fusionnet.mine", "--bands", "1,2,3")
    fails(result, 2, "fusionnet.mine works on 4 bands", "no weights here are for 3 bands")
    assert not (tmp_path / "out.tif").exists()


def test_out_to_the_hub_and_in_again(kept, tmp_path):
    written = done(call("weights", "export", "fusionnet.mine", tmp_path / "hub")).stdout.split()
    assert {Path(word).name for word in written} == {"config.json", "model.safetensors", "README.md"}
    fails(call("weights", "export", "fusionnet.mine", tmp_path / "hub"), 1, "holds a model")
    done(call("weights", "export", "fusionnet.mine", tmp_path / "hub", "--overwrite"))
    done(call("weights", "import", tmp_path / "hub", "--tag", "other"))
    assert weights.card("fusionnet.other").sha256 == weights.card("fusionnet.mine").sha256


@pytest.mark.parametrize("ships", [False, True], ids=["of one's own", "shipped"])
def test_the_commands_in_the_readme_work(ships, kept, small, tmp_path, monkeypatch):
    """Where the weights are not yet; beside shipped ones of the same name, too."""
    done(call("weights", "export", "fusionnet.mine", tmp_path / "hub") if not ships else call("weights", "list"))
    moved = kept.parent.rename(tmp_path / "elsewhere")
    if ships:
        monkeypatch.setattr(_store, "SHIPPED", moved)
        done(call("weights", "export", "fusionnet.mine", tmp_path / "hub"))
    block = (tmp_path / "hub" / "README.md").read_text().split("```")[1].splitlines()
    took, use = (line.split() for line in block if line.startswith("panloom "))
    done(call(*(tmp_path / "hub" if word == "FOLDER" else word for word in took[1:])))
    assert use[-2:] == ["--method", "fusionnet.mine-hub" if ships else "fusionnet.mine"]
    done(try_sharpen(small, tmp_path / "out.tif", *use[-2:]))


@pytest.mark.parametrize("word", ["LICENCE", "licence.txt", "my licence.md", "sub/terms", "LICENSE-2.0", "GPL"])
def test_a_licence_that_can_only_be_a_file_must_be_there(word, checkpoint, folder):
    result = call("weights", "import", checkpoint, "--tag", "mine", "--licence", word)
    fails(result, 2, "--licence", f"there is no file {word}", "SPDX")
    assert not folder.exists()


@pytest.mark.parametrize(
    "word",
    [
        "MIT",
        "cc-by-nc-4.0",
        "0BSD",
        "LicenseRef-mine",
        "https://x.org/terms.txt",
        "MIT OR Apache-2.0",
        "all rights ours",
    ],
)
def test_a_licence_in_words(word, checkpoint):
    done(call("weights", "import", checkpoint, "--tag", "mine", "--licence", word))
    assert weights.card("fusionnet.mine").licence == word


def test_bands_that_the_card_does_not_name_are_warned_about(checkpoint, small, tmp_path):
    words = ("--licence", "MIT", "--bands", "red,green,blue,nir")
    done(call("weights", "import", checkpoint, "--tag", "rgb", *words))
    told = "fusionnet.rgb was trained on the bands red, green, blue, nir, and is given blue, green, red, nir"

    def reported(*given: str) -> tuple[str, str]:
        out = ("--overwrite", "--json", *given)
        report = json.loads(done(call("sharpen", *small.words, tmp_path / "out.tif", *out)).stdout)
        return "\n".join(report["warnings"]), "\n".join(report["notes"])

    warned, noted = reported("--method", "fusionnet.rgb")
    assert told in warned
    assert told not in noted
    assert "was trained on" not in "".join(reported("--method", "fusionnet.rgb", "--bands", "3,2,1,4"))
    warned, noted = reported("--method", "fusionnet.rgb+refit")
    assert told not in warned
    assert told in noted


@pytest.mark.parametrize(
    ("words", "code", "fragments"),
    [
        (("show", "fusionnet.none"), 2, ("unknown weights", "did you mean 'fusionnet.mine'", "panloom weights list")),
        (("path", "none.none"), 2, ("unknown network 'none'",)),
        (("export", "pnn.none", "x"), 2, ("unknown weights",)),
        (("import", "CHECKPOINT", "--tag", "x"), 2, ("licence", "must be said", "--licence")),
        (("import", "CHECKPOINT", "--licence", "MIT"), 2, ("tag",)),
        (("import", "CHECKPOINT", "--tag", "mine", "--licence", "MIT"), 1, ("there already", "another tag")),
        (("import", "CHECKPOINT", "--tag", "X Y", "--licence", "MIT"), 1, ("name is",)),
        (("import", "CHECKPOINT", "--tag", "x", "--licence", "MIT", "--bands", "3"), 1, ("works on 4 bands",)),
        (("import", "CHECKPOINT", "--tag", "x", "--licence", "MIT", "--network", "pnn"), 1, ("not those of pnn",)),
        (("import", "nothing.pth", "--tag", "x", "--licence", "MIT"), 2, ("nothing.pth",)),
    ],
    ids=str,
)
def test_calls_that_are_refused(words, code, fragments, kept, checkpoint):
    given = [checkpoint if word == "CHECKPOINT" else word for word in words]
    fails(call("weights", *given), code, *fragments)


class Evil:
    """Creates a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_is_refused_in_one_line_and_not_run(tmp_path):
    torch.save({"model": Evil(tmp_path / "created")}, tmp_path / "evil.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil(tmp_path / "created")))
    for name in ("evil.pth", "plain.pkl"):
        told(call("weights", "import", tmp_path / name, "--tag", "x", "--licence", "MIT"))
    assert not (tmp_path / "created").exists()


def damaged(kept: Path) -> None:
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(data)


def cut_short(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:100])


def card_missing_file(kept: Path) -> None:
    kept.unlink()


def old_card(kept: Path) -> None:
    card = kept.with_suffix(".toml")
    card.write_text(card.read_text().replace("format = 1", "format = 0"))


def card_without_licence(kept: Path) -> None:
    card = kept.with_suffix(".toml")
    card.write_text(card.read_text().replace("licence = ", "note = "))


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (damaged, "damaged or was changed"),
        (cut_short, "damaged or was changed"),
        (card_missing_file, "cannot read the weights"),
        (old_card, "old format 0"),
        (card_without_licence, "licence is missing"),
    ],
)
def test_files_that_are_refused(spoil, fragment, kept, small, tmp_path):
    spoil(kept)
    for method in ("fusionnet.mine", "fusionnet.mine+refit"):
        fails(try_sharpen(small, tmp_path / "out.tif", "--method", method), 1, fragment)
    result = call("weights", "verify")
    assert result.exit_code == 1
    assert fragment in result.stderr
    assert "1 of 1 weights cannot be used" in result.stderr
    done(call("methods"))
    listed = done(call("weights", "list"))
    assert "fusionnet.mine" in listed.stdout + listed.stderr


def test_a_file_without_a_card(small, tmp_path):
    safetensors.torch.save_file(network().state_dict(), tmp_path / "net.safetensors")
    result = try_sharpen(small, tmp_path / "out.tif", "--method", tmp_path / "net.safetensors")
    fails(result, 1, "has no card", "panloom weights import")


def test_weights_of_another_ratio_are_named(checkpoint, small, tmp_path):
    done(call("weights", "import", checkpoint, "--tag", "two", "--licence", "MIT", "--ratio", "2"))
    result = try_sharpen(small, tmp_path / "out.tif", "--method", "fusionnet.two")
    fails(result, 2, "fusionnet.two works at ratio 2, and this scene has ratio 4")


def test_other_weights_of_the_same_name_are_no_run_to_go_on_with(checkpoint, small, tmp_path):
    done(call("weights", "import", checkpoint, "--tag", "mine", "--licence", "MIT"))
    before = made_by("fusionnet.mine", {}, {})
    torch.save({key: value + 1 for key, value in network().state_dict().items()}, checkpoint)
    done(call("weights", "import", checkpoint, "--tag", "mine", "--licence", "MIT", "--overwrite"))
    after = made_by("fusionnet.mine", {}, {})
    assert before != after
    assert before.keys() == after.keys() == made_by("gs", {}, {}).keys() | {"PANLOOM_WEIGHTS_SHA256"}
