"""swift on a data set and on a scene: what must hold whatever the numbers are."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from swift_tools import Small, example, examples, rng, same

from panloom import adapt, networks
from panloom.adapt import swift
from panloom.adapt._base import Base
from panloom.adapt._frame import Sample, degraded, look
from panloom.adapt._sample import Lowered, lowered, tiles
from panloom.adapt.swift import Probe, Schedule, Settings, Swift, transfer
from panloom.data import procedural
from panloom.data.example import Example
from panloom.errors import MethodError, OptionError, PanloomWarning
from panloom.networks import Network, SourceStatistics
from panloom.pair import Pair
from panloom.scene import Scene, array_scene
from panloom.types import Tile, Window

SHORT = Schedule(lr=1e-2, final=1e-3, batch=4, epochs=4)
QUICK = Settings(subset=0.2, fewest=6, held=0.2, probe=Probe(batches=4), schedule=SHORT)


# ---- a data set ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("method", ["swift", "random", "magnitude"])
def test_a_share_of_the_weights_changes_and_no_other(method, share):
    source = Small()
    before = copy.deepcopy(source)
    done = transfer(source, examples(30), replace(QUICK, method=method, share=share, held=0.0), rng())
    assert same(source, before)
    total = sum(p.numel() for p in source.parameters())
    work = done.report
    assert (work.parameters, work.free) == (total, round(share * total))
    assert 0 < work.changed <= work.free
    differ = sum(int((a != b).sum()) for a, b in zip(source.parameters(), done.network.parameters(), strict=True))
    assert differ == work.changed
    assert type(done.network) is type(source)
    assert not torch.equal(done.network.last.bias, source.last.bias)


def test_controls_change_the_last_layer_or_everything():
    source, given = Small(), examples(20)
    last = transfer(source, given, replace(QUICK, method="last-layer", held=0.0), rng())
    assert last.report.free == source.last.weight.numel() + 3
    assert torch.equal(last.network.first.weight, source.first.weight)
    full = transfer(source, given, replace(QUICK, method="full", subset=1.0), rng())
    assert full.report.free == full.report.parameters
    assert full.report.selection is None
    assert sorted(full.report.learned + full.report.held) == list(range(20))


@dataclass
class Supply(Sequence[Example]):
    """Examples made when they are asked for."""

    count: int
    asked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index):
        self.asked.append(index)
        return example(index)

    def __iter__(self) -> Iterator[Example]:
        raise AssertionError("not by index")


def test_examples_are_asked_for_by_index_and_labels_do_not_choose():
    supply = Supply(25)
    work = transfer(Small(), supply, QUICK, rng()).report
    assert set(supply.asked) == set(range(25))
    blind = [Example(one.pair, one.truth * 0 + 0.1) for one in examples(25)]
    assert work.selection is not None
    assert transfer(Small(), blind, QUICK, rng()).report.selection == work.selection
    assert len(work.selection.indices) == len(work.learned) + len(work.held) == 6
    assert sorted(work.selection.indices) == sorted(work.learned + work.held)


@pytest.mark.parametrize("sampling", ["manifold", "fps", "k-center", "random"])
def test_neither_time_nor_order_changes_the_result(sampling):
    given, settings = examples(24), replace(QUICK, sampling=sampling)
    order = torch.randperm(24, generator=rng(4)).tolist()
    first = transfer(Small(), given, settings, rng())
    assert same(first.network, transfer(Small(), given, settings, rng()).network)
    other = transfer(Small(), [given[k] for k in order], settings, rng())
    assert [order[k] for k in other.report.learned] == list(first.report.learned)
    assert same(first.network, other.network)
    assert first.report.changed


@pytest.mark.parametrize("loss", ["l1", "mse", "relative"])
def test_the_hold_out_is_not_worse_after_than_before(loss):
    work = transfer(Small(), examples(30), replace(QUICK, loss=loss, share=0.3, held=0.3), rng()).report
    held = {point.step: point.held for point in work.curve.points}
    assert held[work.curve.best] == min(held.values()) < held[0]
    assert len(work.held) == 2
    assert work.seconds.total > 0


@pytest.mark.parametrize("change", [{"share": 0.0}, {"schedule": replace(SHORT, epochs=0)}])
def test_nothing_to_do_is_the_identity(change):
    source = Small()
    done = transfer(source, examples(10), replace(QUICK, **change), rng())
    assert same(done.network, source)
    assert done.network is not source
    assert done.report.changed == 0


def test_truths_that_are_no_numbers_give_the_source():
    given = [Example(one.pair, one.truth * torch.nan) for one in examples(10)]
    source = Small()
    with pytest.warns(PanloomWarning, match="not finite"):
        done = transfer(source, given, QUICK, rng())
    assert same(done.network, source)
    assert done.report.curve.reason


def test_examples_without_a_valid_pixel_are_not_chosen():
    given = examples(12)
    for k in (3, 7):
        given[k] = Example(replace(given[k].pair, valid=torch.zeros_like(given[k].pair.valid)), given[k].truth)
    work = transfer(Small(), given, replace(QUICK, fewest=10), rng()).report
    assert work.selection is not None
    assert not {3, 7} & set(work.selection.indices)
    empty = [Example(replace(one.pair, valid=torch.zeros_like(one.pair.valid)), one.truth) for one in given]
    with pytest.raises(OptionError, match="none of the 12 examples"):
        transfer(Small(), empty, QUICK, rng())


def test_bad_settings_are_refused():
    with pytest.raises(OptionError, match="share 2 must be"):
        Settings(share=2)
    settings = Settings()
    # Type checks of the tests would refuse the word in the constructor.
    object.__setattr__(settings, "sampling", "kcenter")
    with pytest.raises(OptionError, match="unknown sampling 'kcenter'; did you mean 'k-center'"):
        settings.__post_init__()
    with pytest.raises(OptionError, match=r"batch of 1 or more.*given: 0\.001, 0\.0001, 0, 300"):
        Schedule(batch=0)
    for options in ({"epochs": -1}, {"share": 1.2}):
        with pytest.raises(OptionError):
            fast(blurred(), **options).prepare(land(), rng())
    with pytest.raises(OptionError, match="an example at least"):
        transfer(Small(), [], QUICK, rng())
    with pytest.raises(OptionError, match="border 8 leaves nothing"):
        transfer(Small(), examples(2), replace(QUICK, border=8), rng())


def test_it_works_where_no_slopes_are_kept():
    source = Small()
    with torch.inference_mode():
        inside = transfer(source, examples(10), QUICK, rng())
    with torch.no_grad():
        quiet = transfer(source, examples(10), QUICK, rng())
    assert inside.report.changed
    assert same(inside.network, quiet.network)


# ---- a scene -------------------------------------------------------------------------------------


def land(rows: int = 160, cols: int = 172, ratio: int = 4) -> Scene:
    recording = procedural.Recording(ratio=ratio, dtype="float32")
    made = procedural.make(rows, cols, sensor="quickbird", recording=recording)
    pan, ms = (torch.from_numpy(x)[None] / 2047 for x in (made.pan[None], made.ms))
    return array_scene(pan, ms, sensor=made.sensor, phase=made.phase)


def whole(scene: Scene) -> Pair:
    cells = Window(0, 0, *scene.grid.cells)
    return scene.read(Tile(0, cells.scaled(scene.grid.ratio), cells))


def blurred() -> Network:
    """A network that adds too little of PAN: there is something to learn."""
    torch.manual_seed(0)
    return networks.build("fusionnet", {"bands": 4})


def fast(network: Network, **options: float | str | bool | None) -> Swift:
    return Swift(network, **{"epochs": 4, "lr": 3e-3, **options})  # pyright: ignore[reportArgumentType]


def test_a_scene_is_learned_and_reported():
    scene, source = land(), blurred()
    before = copy.deepcopy(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fast(source, epochs=8).prepare(scene, rng())
    assert same(source, before)
    report = fitted.report
    assert report.work is not None
    assert (report.decision, report.reason) == ("adapted", "")
    assert report.validated is not None
    assert report.validated < 0.9
    assert report.places == (Window(0, 0, 160, 172),)
    assert report.judged > 0
    assert report.seconds >= report.work.seconds.total > 0
    assert report.work.free == round(0.2 * report.work.parameters)
    assert report.work.selection is None or report.work.selection.radius > 0
    assert report.work.curve.points[0].step == 0
    pair = whole(scene)
    with torch.no_grad():
        assert not torch.equal(fitted(pair), source(pair))
    assert fitted.traits.halo == source.traits.halo


def test_patches_to_judge_by_are_not_learned_from():
    """Parts that count do not overlap, and one in three is held back."""
    numbers = torch.arange(128 * 120.0).view(1, 1, 128, 120).expand(-1, 4, -1, -1)
    ms = torch.zeros(1, 4, 32, 30)
    pair = Pair(numbers[:, :1], ms, numbers, torch.ones(1, 1, 128, 120, dtype=torch.bool), (1.5, 1.5))
    patches = swift._cut([Lowered(pair, numbers)] * 2, 32, 12, None)
    assert (len(patches.learn), len(patches.held)) == (12, 6)
    pixels = [swift._inner(one.truth, 12)[0, 0].flatten() for one in (*patches.learn[:6], *patches.held[:3])]
    assert len(torch.cat(pixels).unique()) == 9 * 32**2


def test_the_patches_of_scenes():
    for side, border, count in ((512, 12, 9 * 4), (256, 12, 25), (160, 4, 16)):
        scene = land(side, side)
        found, network = tiles(scene, 4, rng()), blurred()
        low = degraded(found, scene.sensor, 1)
        sample = Sample(scene, found, low, look(scene.sensor, found), Base(network, None))
        patches = swift._patches(sample, network)
        assert (patches.border, patches.count) == (border, count)
        assert 3 * len(patches.held) <= patches.count + 3


def test_examples_of_a_scene_are_the_scene_degraded_once_more():
    scene = land()
    (tile,) = tiles(scene, 4, rng())
    low = lowered(tile, scene.sensor, 1)
    assert low is not None
    found = swift._cut([low], 8, 4, None)
    one = (found.learn + found.held)[0]
    where = (low.truth.unfold(2, 16, 4).unfold(3, 16, 4) == one.truth[:, :, None, None]).all((0, 1, 4, 5)).nonzero()
    row, col = (4 * where[0]).tolist()
    assert torch.equal(one.pair.pan, low.pair.pan[..., row : row + 16, col : col + 16])
    assert torch.equal(one.pair.exp, low.pair.exp[..., row : row + 16, col : col + 16])
    assert one.pair.phase == low.pair.phase


@pytest.mark.parametrize("known", [False, True])
def test_no_epochs_are_the_identity(known):
    scene, source = land(), blurred()
    if known:
        source.source = SourceStatistics((0.2,) * 4, (0.05,) * 4, 0.3, 0.08)
    pair = whole(scene)
    frozen = fast(source, gate=0.0, renormalise="always").prepare(scene, rng())
    still = fast(source, epochs=0, gate=1.0, renormalise="always").prepare(scene, rng())
    assert frozen.report.decision == "frozen"
    assert "held-back" in frozen.report.reason
    assert (still.report.decision, still.report.validated) == ("adapted", 1.0)
    assert torch.equal(still(pair), frozen(pair))
    assert still.report.renormalised == known
    if not known:
        with torch.no_grad():
            assert torch.equal(still(pair), source(pair))


def test_with_a_bridge_the_network_learns_in_the_values_of_its_source():
    """Of a scene in other units everything is the same, but for rounding."""
    source = blurred()
    source.source = SourceStatistics((0.2, 0.3, 0.2, 0.4), (0.05, 0.06, 0.07, 0.1), 0.3, 0.08)
    one = land()
    pair = whole(one)
    other = array_scene(4 * pair.pan, 4 * pair.ms, sensor=one.sensor, phase=one.grid.phase)
    first, second = (fast(source, epochs=2, renormalise="always").prepare(scene, rng()) for scene in (one, other))
    assert first.report.renormalised
    assert first.report.validated == pytest.approx(second.report.validated, rel=1e-3)
    torch.testing.assert_close(4 * first(pair), second(whole(other)), rtol=0, atol=4e-3)
    plain = fast(source, epochs=2, renormalise="never").prepare(one, rng())
    assert not plain.report.renormalised


def test_universal_can_be_learned_too():
    torch.manual_seed(0)
    source = networks.build("universal", {"width": 8, "depth": 1, "maps": 8})
    scene = land(256, 256)
    fitted = fast(source, epochs=2, gate=9.0).prepare(scene, rng())
    assert fitted.report.decision == "adapted"
    assert not fitted.report.renormalised
    assert bool(fitted(whole(scene)).isfinite().all())


def test_weights_that_are_no_numbers_give_the_frozen_output():
    source = blurred()
    next(source.parameters()).data[0] = torch.inf
    with pytest.warns(PanloomWarning, match="not finite"):
        fitted = fast(source).prepare(land(), rng())
    assert fitted.report.decision == "frozen"
    assert "not finite" in fitted.report.reason


def test_a_scene_too_small_says_what_it_lacks():
    with pytest.warns(PanloomWarning, match="frozen output is used.*patches"):
        fitted = fast(blurred()).prepare(land(64, 48), rng())
    assert fitted.report.work is None
    assert fitted.report.validated is None


def test_one_valid_corner_gives_what_it_can():
    scene = land()
    pair = whole(scene)
    for cells, decision in ((2, "frozen"), (120, "adapted")):
        valid = torch.zeros_like(pair.valid)
        valid[..., :cells, :cells] = True
        part = array_scene(pair.pan, pair.ms, sensor=scene.sensor, phase=scene.grid.phase, pan_valid=valid)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PanloomWarning)
            fitted = fast(blurred(), gate=9.0).prepare(part, rng())
        assert fitted.report.decision == decision
        assert bool(fitted(whole(part)).isfinite().all())


def test_names_and_options():
    assert adapt.get("swift") is Swift
    with pytest.raises(MethodError, match=r"prepare\(scene, rng\)"):
        _ = Swift(blurred()).report
