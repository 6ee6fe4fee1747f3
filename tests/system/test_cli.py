"""The commands: they are all there, say what they do, and end with the right code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
from system_tools import call, done, outside, textured, told

import panloom
from panloom import classical, sensors
from panloom.cli import main
from panloom.run.resolve import DEFAULT

COMMANDS = [
    "sharpen", "info", "methods", "sensors", "demo", "batch", "evaluate", "compare", "bench", "cite", "train", "adapt",
    "analyze", "weights",
]  # fmt: skip


def test_commands():
    assert set(main.commands) == set(COMMANDS)
    text = done(call("--help")).stdout
    assert all(command in text for command in COMMANDS)
    assert "PAN MS [MS ...]" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command):
    result = done(call(command, "--help"))
    assert result.stdout.startswith(f"Usage: panloom {command}")
    assert result.stderr == ""
    # Every option has a word of explanation.
    options = [line for line in result.stdout.splitlines() if line.strip().startswith("-")]
    assert options
    assert done(call(command, "-h")).stdout == result.stdout


@pytest.mark.parametrize(
    ("family", "commands"),
    [
        ("_sharpen", {"sharpen", "batch"}),
        ("_look", {"info", "methods", "sensors", "cite"}),
        ("_demo", {"demo"}),
    ],
)
def test_a_family_of_commands_has_a_module_of_its_own(family, commands):
    there = {name for name, c in main.commands.items() if c.callback.__module__ == f"panloom.cli.{family}"}
    assert there == commands


def test_version():
    assert panloom.__version__ in done(call("--version")).stdout
    seen = outside("--version")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert panloom.__version__ in seen.stdout


def test_no_command_and_unknown_commands():
    assert call().exit_code in (0, 2)
    result = call("sharpn")
    assert result.exit_code == 2
    assert "sharpn" in told(result)


# --- info -------------------------------------------------------------------------------------------------


def test_info_in_words(small):
    text = done(call("info", *small.words)).stdout
    for word in (
        "pan.tif",
        "ms.tif",
        "180 x 200",
        "uint16",
        "ratio 4",
        "generic",
        "blue",
        "nir",
        "sharpened",
        "misregistration",
        "in panloom.fuse",
        "counts as 1",
        "warning: sensor not recognised",
    ):
        assert word in text, word


def test_info_as_json(small):
    facts = json.loads(done(call("info", *small.words, "--json", "--sensor", "worldview-3")).stdout)
    assert facts["sensor"] == {"name": "worldview-3", "source": "given"}
    assert [band["name"] for band in facts["bands"]] == ["blue", "green", "red", "nir1"]
    assert facts["grid"]["ratio"] == 4
    assert facts["grid"]["phase"] == pytest.approx(small.scene.phase)
    assert facts["pan"]["width"] == 180
    assert abs(facts["registration"]["row"]) < 0.1
    assert abs(facts["registration"]["col"]) < 0.1


def test_info_is_json_that_every_program_reads(tmp_path):
    files = textured(tmp_path, "float32", 0.1, 0.9, nodata=np.nan)

    def no_number(word):
        raise AssertionError(f"{word} is not JSON")

    text = done(call("info", *files.words, "--json")).stdout
    assert json.loads(text, parse_constant=no_number)["ms"][0]["nodata"] == "nan"
    done(call("sharpen", "-q", *files.words, tmp_path / "out.tif", "--report", tmp_path / "report.json"))
    json.loads((tmp_path / "report.json").read_text(), parse_constant=no_number)


def test_info_takes_the_words_of_sharpen(small):
    words = ("--bands", "3,1", "--sharpen", "red", "--extent", "intersection", "--ms-shift", "0.5,0", "--align")
    facts = json.loads(done(call("info", *small.words, *words, "--json")).stdout)
    assert [band["name"] for band in facts["bands"]] == ["red", "blue"]
    assert [band["treatment"].split()[0] for band in facts["bands"]] == ["sharpened", "passed"]
    assert facts["registration"]["corrected"]


@pytest.mark.parametrize(
    ("words", "code"), [(("none.tif", "none.tif"), 1), (("--sensor", "spott"), 2), (("--bands", "77"), 2)], ids=str
)
def test_info_of_bad_input(small, words, code):
    result = call("info", *(words if words[0] == "none.tif" else (*small.words, *words)))
    told(result)
    assert result.exit_code == code


# --- registries -------------------------------------------------------------------------------------------


def test_methods():
    text = done(call("methods")).stdout
    assert all(name in text for name in classical.names())
    assert f"{DEFAULT} (default)" in text
    assert text.count("(default)") == 1


@pytest.mark.parametrize("name", classical.names())
def test_one_method(name):
    text = done(call("methods", name)).stdout
    assert text.startswith(f"{name}: ")
    assert "--set form=...(" in text.replace("... (", "...(")
    assert any(year in text for year in ("19", "20")), "no citation"
    assert "any ratio, any number of bands; " in text
    assert "haze" in text
    said = text.partition("any ratio")[0] + next(line for line in text.splitlines() if "any ratio" in line)
    assert not [word for word in ("additive", "halo", "no noise") if word in said], "words of the house"


def test_options_are_told_in_words_that_set_takes():
    text = done(call("methods", "fusionnet.wv3-open+refit")).stdout
    assert "--set ridge=...  default none: of the network's features" in text
    assert "--set kappa=...  default 100: " in text
    assert not [word for word in ("None", "True", "False") if word in text]


def test_unknown_names_are_refused_with_the_nearest():
    for command, word, near in (
        ("methods", "gsaa", "gsa"),
        ("sensors", "worldview3x", "worldview-3"),
        ("cite", "brov", "brovey"),
    ):
        result = call(command, word)
        assert result.exit_code == 2
        assert f"'{near}'" in told(result)


def test_sensors():
    text = done(call("sensors")).stdout
    assert all(name in text for name in sensors.names())
    text = done(call("sensors", "landsat-8")).stdout
    assert "ratio 2" in text
    roles = {words[1]: words[-2] for line in text.splitlines() if len(words := line.split()) > 5}
    assert roles["pan"] == "pan"
    assert roles["blue"] == "sharpen"


def test_cite():
    text = done(call("cite", "gsa", "brovey")).stdout
    assert "Aiazzi" in text
    assert "Gillespie" in text
    assert "panloom" in text.lower()
    assert done(call("cite", "--bibtex", "gsa")).stdout.count("@") >= 2
    assert done(call("cite")).stdout == done(call("cite", DEFAULT)).stdout


def test_light_commands_stay_light():
    """Neither torch nor rasterio for what needs no pixel."""
    for words in (["--help"], ["--version"], ["sensors"], ["sensors", "ikonos"], ["sharpen", "--help"]):
        code = (
            "import sys\nfrom panloom.cli import main\n"
            f"try:\n    main({words!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
            "heavy = {'torch', 'rasterio', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# --- below rio --------------------------------------------------------------------------------------------


@pytest.fixture
def rio():
    """The `rio` program, where panloom is installed with its entry points."""
    if not any(e.name == "panloom" for e in entry_points(group="rasterio.rio_plugins")):
        pytest.skip("panloom is not installed with its entry points: the rio plugin is not tested")
    found = shutil.which("rio", path=f"{sys.prefix}/bin") or shutil.which("rio")
    if found is None:
        pytest.skip("no rio program")
    return found


def test_rio_plugin(rio, small, tmp_path):
    seen = subprocess.run([rio, "panloom", "--help"], capture_output=True, text=True, check=True)
    assert all(command in seen.stdout for command in COMMANDS)
    out = tmp_path / "out.tif"
    subprocess.run([rio, "panloom", "sharpen", "-q", *small.words, out], check=True)
    assert out.exists()
    bad = subprocess.run([rio, "panloom", "sharpen", *small.words, out], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr
    assert "--overwrite" in bad.stderr
