"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "synthetic"
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real imagery beside the checkout; tests that need it skip, visibly, where it is absent."""
    if not (SHARED / "data" / "README.md").is_file():
        pytest.skip("no ../shared beside the checkout: real imagery is not tested")
    return SHARED
