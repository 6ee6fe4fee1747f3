"""Commands that only tell something answer at once: they load neither torch nor rasterio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "rasterio"}


def loaded(*args: str, cwd: Path) -> set[str]:
    """Top-level packages that `python ARGS` imports, as the interpreter itself lists them."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    listed = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    said = [line for line in run.stderr.splitlines() if line not in listed]
    assert run.returncode == 0, "\n".join(said)
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in listed}


@pytest.mark.parametrize("command", ["--help", "--version", "sensors"])
def test_a_command_that_only_tells_loads_nothing_heavy(command):
    names = loaded("-m", "panloom", command, cwd=ROOT)
    assert "panloom" in names
    assert not names & HEAVY


def test_import_panloom_loads_nothing_heavy():
    assert not loaded("-c", "import panloom; dir(panloom)", cwd=ROOT) & HEAVY


def test_a_planted_import_is_found(tmp_path):
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "slow.py").write_text("def main():\n    import torch\nmain()\n")
    assert loaded("-m", "slow", cwd=tmp_path) & HEAVY == {"torch"}
