"""FSDS gives the numbers of the published program, where the golden data are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from panloom.metrics import FSDS

CASES = (
    "smooth0",
    "smooth1",
    "smooth2",
    "smooth3",
    "smooth4",
    "sines",
    "delta_shift",
    "negated",
    "gain_offset",
    "photo_bicubic_crop",
)

#: In dB: of the float64 formula, and of the published program where an odd height leaves it float32 only.
FLOAT64, FLOAT32 = 1e-6, 1e-3


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    found = shared / "golden" / "networks" / "frequency"
    if not (found / "fsds_cases.npz").is_file():
        pytest.skip("no golden numbers of FSDS in ../shared")
    return found


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "meta.json").read_text(encoding="utf-8"))["fsds"]


@pytest.fixture(scope="module")
def images(folder: Path) -> dict[str, torch.Tensor]:
    with np.load(folder / "fsds_cases.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def test_every_case_is_looked_at(expected: dict[str, Any]):
    assert set(expected) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_fsds_is_that_of_the_published_program(case: str, expected: dict[str, Any], images: dict[str, torch.Tensor]):
    predicted, reference, numbers = images[f"{case}_pred"], images[f"{case}_ref"], expected[case]
    found = FSDS(predicted, reference).joint
    assert found == pytest.approx(numbers["fsds_numpy_float64"], abs=FLOAT64)
    assert found == pytest.approx(numbers["fsds_official"], abs=FLOAT32 if predicted.shape[1] % 2 else FLOAT64)
    assert FSDS(predicted, reference, denominator="pred").joint == pytest.approx(numbers["swapped"], abs=FLOAT64)
