"""From a pair to problems."""

from __future__ import annotations

from dataclasses import replace

import eval_tools
import pytest
import torch

from panloom.errors import OptionError
from panloom.optics import wald
from panloom.run import protocol
from panloom.run.protocol import CHOICES, problems
from panloom.types import Tile, Window


def whole(problem: protocol.Problem):
    """The pair that methods see, as one tile."""
    grid = problem.scene.grid
    cells = Window(0, 0, *grid.cells)
    return problem.scene.load(Tile(0, cells.scaled(grid.ratio), cells)).pair


@pytest.fixture(scope="module")
def made():
    return eval_tools.pair()


def test_the_three_problems(made):
    found = problems(made, CHOICES["both"])
    assert [p.protocol for p in found] == ["wald-toolbox", "wald-physical", "full"]
    assert {p.full_scale for p in found} == {2047.0}
    assert [p.cut for p in found] == [12, 12, 0]
    assert [p.scene.grid.phase for p in found] == [(2.0, 2.0), made.phase, made.phase]
    for reduced in found[:2]:
        assert torch.equal(reduced.truth, made.ms)
        assert reduced.truth_valid.all()
    assert found[2].truth is None
    assert found[2].truth_valid is None


@pytest.mark.parametrize("form", ["toolbox", "physical"])
def test_methods_see_the_degraded_pair_in_float32(made, form):
    (problem,) = problems(made, [f"wald-{form}"])
    low = wald.degrade_pair(
        made.pan,
        made.ms,
        made.pan_valid,
        made.ms_valid,
        gains=[band.mtf_nyquist for band in made.sensor.bands],
        pan_gain=made.sensor.pan.mtf_nyquist,
        phase=made.phase,
        form=form,
    )
    seen = whole(problem)
    assert seen.pan.dtype == seen.ms.dtype == torch.float32
    assert torch.equal(seen.pan, (low.pan / 2047).float())
    assert torch.equal(seen.ms, (low.ms / 2047).float())
    assert seen.valid.all()
    assert seen.sensor.bands == made.sensor.bands


def test_full_resolution_is_the_pair_as_it_is(made):
    seen = whole(problems(made, ["full"])[0])
    assert torch.equal(seen.pan, (made.pan / 2047).float())
    assert torch.equal(seen.ms, (made.ms / 2047).float())


@pytest.mark.parametrize(("size", "cut"), [(55, 0), (59, 12), (60, 12), (56, 12), (16, 0)])
def test_small_truths_are_scored_to_their_borders(size, cut):
    for problem in problems(eval_tools.noisy(size=size), CHOICES["reduced"]):
        assert problem.cut == (cut if min(problem.truth.shape[-2:]) >= 56 else 0)
        assert problem.truth.shape[-1] == size - size % 4


def test_swir_is_left_out(made):
    bands = list(made.sensor.bands)
    bands[1] = replace(bands[1], role="swir")
    pair = replace(made, sensor=replace(made.sensor, bands=tuple(bands)))
    for problem in problems(pair, CHOICES["both"]):
        assert [band.name for band in problem.scene.sensor.bands] == [bands[k].name for k in (0, 2, 3)]
        assert whole(problem).ms.shape[1] == 3
        assert problem.truth is None or torch.equal(problem.truth, made.ms[:, [0, 2, 3]])


def test_nothing_to_be_sharpened(made):
    bands = tuple(replace(band, role="thermal") for band in made.sensor.bands)
    with pytest.raises(OptionError, match="made: none of its bands"):
        problems(replace(made, sensor=replace(made.sensor, bands=bands)), ["full"])


def test_too_small_to_be_degraded():
    tiny = eval_tools.noisy(size=3)
    with pytest.raises(OptionError, match="3 x 3 pixels is too small to be degraded by 4"):
        problems(tiny, ["wald-physical"])
    assert len(problems(tiny, ["full"])) == 1


# --- pairs with their truth -------------------------------------------------------------------------------


def with_truth(delivered: bool, size: int = 64):
    """A degraded pair, whose MS is unlike what would be made from the truth."""
    pair = eval_tools.noisy(size=size // 4)
    truth = eval_tools.noisy(size=size, ratio=1).ms
    return replace(
        pair,
        ms=pair.ms if delivered else None,
        truth=truth,
        phase=(2.0, 2.0),
        ms_valid=torch.ones((1, 1, size, size), dtype=torch.bool),
    )


def test_a_pair_with_truth_has_nothing_at_full_resolution():
    found = problems(with_truth(delivered=True), CHOICES["both"])
    assert [p.protocol for p in found] == ["wald-toolbox", "wald-physical"]
    assert problems(with_truth(delivered=True), CHOICES["full"]) == []


@pytest.mark.parametrize("delivered", [True, False])
def test_the_ms_of_a_pair_with_truth(delivered):
    """Toolbox form: the one that came with it; physical form: made from the truth at corner phase."""
    pair = with_truth(delivered)
    old, new = problems(pair, CHOICES["reduced"])
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    valid = pair.ms_valid
    for problem, form, phase in ((old, "toolbox", 2.0), (new, "physical", 1.5)):
        low, _ = wald.degrade_truth(pair.truth, valid, gains=gains, ratio=4, phase=(phase, phase), form=form)
        expected = pair.ms if delivered and form == "toolbox" else low
        assert problem.scene.grid.phase == (phase, phase)
        assert torch.equal(whole(problem).ms, (expected / pair.full_scale).float())
        assert torch.equal(whole(problem).pan, (pair.pan / pair.full_scale).float())
        assert torch.equal(problem.truth, pair.truth)


# --- no data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wald-toolbox", "wald-physical", "full"])
def test_numbers_under_no_data_change_nothing(made, name):
    """A hole in PAN and one in MS: what is scored stays, whatever number or continuation lies in them."""
    pan_valid, ms_valid = made.pan_valid.clone(), made.ms_valid.clone()
    pan_valid[..., 60:90, 100:160], ms_valid[..., 40:50, 3:12] = False, False
    holed = replace(made, pan_valid=pan_valid, ms_valid=ms_valid)
    other = replace(
        holed, pan=torch.where(pan_valid, made.pan, 1.1 * made.pan), ms=torch.where(ms_valid, made.ms, 0.9 * made.ms)
    )
    (one,), (two,) = problems(holed, [name]), problems(other, [name])
    first, second = whole(one), whole(two)
    assert torch.equal(first.valid, second.valid)
    assert 0.4 < first.valid.double().mean() < 1
    assert (first.pan - second.pan).abs()[first.valid].max() < 2e-4
    if name == "full":
        assert torch.equal(first.ms, second.ms)
    else:
        assert torch.equal(one.truth_valid, ms_valid)
