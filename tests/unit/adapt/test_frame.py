"""What all adapters share: the choice of the frozen network, the gate, what is told of a scene, options."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from tailor_tools import F64, PerBand, Shared, land, rng, whole

from panloom import adapt
from panloom.adapt import _frame
from panloom.adapt._batch import joined
from panloom.adapt._frame import FEW, Options
from panloom.adapt._patches import SIDE
from panloom.compute import cut
from panloom.data.example import Example
from panloom.errors import OptionError, PanloomWarning
from panloom.networks import Network, SourceStatistics
from panloom.pair import Fuser, Pair
from panloom.run.resolve import options_of
from panloom.scene import Scene
from panloom.types import Window

SHORT = {"refit": {}, "tailor": {"steps": 3}, "cat": {"steps": 3}, "swift": {"epochs": 2}}
EVERY_ADAPTER = pytest.mark.parametrize("name", SHORT)

#: Statistics of a source that help a network, and such as harm it.
KIND = SourceStatistics((0.2,) * 4, (0.05,) * 4, 0.3, 0.08)
CRUEL = SourceStatistics((0.9, 0.1, 0.9, 0.1), (0.01, 0.3, 0.01, 0.3), 0.3, 0.08)


class Loud(Shared):
    """The detail that it adds has the size of the source's, whatever the scene's is."""

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        return pair.exp + 0.1 * torch.tanh(self.last(features)).to(pair.exp.dtype)


def network(source: SourceStatistics | None, cls: type[Shared] = Shared) -> Network:
    made = cls().double()
    made.source = source
    return made


def ready(name: str, net: Network, scene: Scene | None = None, **options: object) -> adapt.Keeper:
    fuser = adapt.get(name)(net, **SHORT[name], **options).prepare(scene or land(dtype=F64), rng())
    assert isinstance(fuser, adapt.Keeper)
    return fuser


def error(fuser: Fuser, scene: Scene) -> float:
    """Of all pixels of the scene degraded once more, bands in their deviations."""
    low = _frame.degraded([whole(scene)], scene.sensor, 1)[0]
    with torch.no_grad():
        return low.squared(fuser(low.pair), _frame.look(scene.sensor, [whole(scene)]).variance) ** 0.5


# ---- with the bridge or without it ---------------------------------------------------------------


@EVERY_ADAPTER
@pytest.mark.parametrize(("source", "other"), [(KIND, "always"), (CRUEL, "never")])
def test_the_better_of_two_frozen_networks_is_adapted(name, source, other):
    """Bit for bit as if it had been asked for; the report tells both errors."""
    scene = land(dtype=F64)
    net = network(source, Loud if other == "always" else Shared)
    chosen, asked = (ready(name, net, gate=9.0, renormalise=word) for word in ("auto", other))
    bridged = error(ready(name, net, gate=0.0, renormalise="always"), scene)
    assert chosen.report.bridged == pytest.approx(bridged / error(net, scene), rel=1e-9)
    assert (chosen.report.bridged > 1) == (other == "never")
    assert asked.report.bridged is None
    for one in (chosen, asked):
        assert (one.report.decision, one.report.renormalised) == ("adapted", other == "always")
    assert chosen.report.validated == asked.report.validated
    assert torch.equal(chosen(whole(scene)), asked(whole(scene)))


@EVERY_ADAPTER
@pytest.mark.parametrize("source", [KIND, CRUEL, None])
def test_what_is_used_without_a_fit_is_the_better_of_both(name, source):
    scene, net = land(dtype=F64), network(source)
    frozen, bridged = (ready(name, net, gate=0.0, renormalise=word) for word in ("auto", "always"))
    assert frozen.report.decision == "frozen"
    assert "held-back" in frozen.report.reason
    assert error(frozen, scene) == min(error(net, scene), error(bridged, scene))


def test_untrained_features_stay_behind_their_bridge():
    """Their frozen output is EXP with and without it, and rounding must not decide."""
    report = adapt.free()["random+refit"]().prepare(land(), rng()).report  # pyright: ignore[reportFunctionMemberAccess]
    assert (report.renormalised, report.bridged) == (True, None)


def test_an_output_that_is_no_number_gives_the_frozen_one():
    net = network(KIND)
    net.first.bias.data[0] = torch.inf  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.warns(PanloomWarning, match="not finite"):
        report = ready("refit", net).report
    assert (report.decision, report.bridged, report.validated) == ("frozen", None, None)


@pytest.mark.parametrize(
    ("left", "gate", "used"), [(0.8, 0.9, True), (0.9, 0.9, True), (0.95, 0.9, False), (0.0, 0.0, False)]
)
def test_the_gate(left, gate, used):
    assert bool(_frame.refusal(left, gate)) != used


# ---- a network that knows its scene --------------------------------------------------------------


class Knowing(PerBand):
    """Wrong by 5 where it was not told of the very scene: 1 is the scene, 2 the scene degraded once more."""

    look = 0

    def prepare(self, scene, rng):
        made = super().prepare(scene, rng)
        made.look = 1
        return made

    def informed(self, pairs):
        made = copy.copy(self)
        made.look = 2
        assert all(max(pair.ms.shape[-2:]) <= 10 for pair in pairs), "they are those of the scene itself"
        return made

    def head(self, features: torch.Tensor, pair: Pair) -> torch.Tensor:
        return super().head(features, pair) + 5 * (2 - self.look)


@pytest.mark.parametrize("name", ["tailor", "cat", "swift"])
def test_learning_on_the_degraded_scene_it_is_told_of_that(name):
    """And of the scene itself where it is used, also with what it learned."""
    scene = land()
    options = {} if name == "swift" else {"weights": (0.0, 1.0, 0.0, 0.0)}
    fitted = ready(name, Knowing(), scene, gate=9.0, **options)
    report = fitted.report
    first = report.work.curve.points[0].held if name == "swift" else report.curve[0]
    assert first < (0.5 if name == "swift" else 10.0), "5, in deviations of about .05, otherwise"
    assert report.decision == "adapted"
    with torch.no_grad():
        added = float((fitted(whole(scene)) - whole(scene).exp).mean())
    assert added == pytest.approx(5.0, abs=0.5)


# ---- few pixels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["refit", "tailor", "cat"])  # swift has no patches in so small a scene
def test_a_fit_that_rests_on_few_pixels_is_told(name):
    small, fair = (land(cells=cells, ratio=2) for cells in (12, 32))
    with pytest.warns(PanloomWarning, match=r"rests on 168 pixels.*32 x 32 valid MS pixels \(64 x 64 PAN pixels\)"):
        assert ready(name, Shared(), small, gate=99.0).report.decision == "adapted"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ready(name, Shared(), small, gate=0.0)
        assert ready(name, Shared(), fair, gate=99.0).report.decision == "adapted"
    assert 168 <= FEW < SIDE * 2 * 32


# ---- options -------------------------------------------------------------------------------------

EVERY_FIT = [*SHORT, "regression", "random+refit"]


def made(name: str, **options: object) -> Fuser:
    free = adapt.free().get(name)
    return adapt.get(name)(Shared(), **options) if free is None else free(**options)


@pytest.mark.parametrize("name", EVERY_FIT)
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"tiles": 0}, "1 tile or more.*given: tiles 0"),
        ({"gate": -1.0}, "gate of 0 or more.*gate -1"),
        ({"gate": float("nan")}, "gate of 0 or more.*gate nan"),
    ],
)
def test_options_of_the_frame_without_sense_are_refused(name, option, told):
    with pytest.raises(OptionError, match=told):
        made(name, **option).prepare(land(), rng())


@pytest.mark.parametrize(
    ("name", "option", "told"),
    [
        *(
            (name, *one)
            for name in ("refit", "regression", "random+refit")
            for one in (
                ({"patches": 0}, "1 patch or more.*given: patches 0"),
                ({"kappa": -1.0}, "kappa of 0 or more.*kappa -1"),
                ({"kappa": float("inf")}, "kappa of 0 or more.*kappa inf"),
                ({"physics": 0.0}, "ridges above 0.*physics 0"),
            )
        ),
        ("refit", {"ridge": -2.0}, "ridges above 0.*ridge -2"),
        ("random+refit", {"ridge": 0.0}, "ridges above 0.*ridge 0"),
        ("random+refit", {"channels": 0}, "1 channel or more; given: 0"),
    ],
)
def test_options_of_refit_without_sense_are_refused(name, option, told):
    with pytest.raises(OptionError, match=told):
        made(name, **option).prepare(land(), rng())


def test_words_for_the_bridge():
    options = Options(4, 0.9, "always")
    object.__setattr__(options, "renormalise", "alway")  # as without a check of types
    with pytest.raises(OptionError, match="unknown value of renormalise 'alway'; did you mean 'always'"):
        options.__post_init__()
    for name in SHORT:
        found = {one.name: one for one in options_of(f"universal.open+{name}")}
        assert found["renormalise"].choices == ("auto", "always", "never")


# ---- records -------------------------------------------------------------------------------------


def test_records_are_joined_with_the_pairs_in_them():
    pair = whole(land())
    one, other = (Example(cut(pair, Window(0, col, 4, 5)), torch.full((1, 4, 16, 20), float(col))) for col in (0, 7))
    both = joined([one, other])
    assert torch.equal(both.truth, torch.cat([one.truth, other.truth]))
    for name in ("pan", "ms", "exp", "valid"):
        assert torch.equal(getattr(both.pair, name), torch.cat([getattr(x.pair, name) for x in (one, other)]))
    assert (both.pair.phase, both.pair.sensor) == (pair.phase, pair.sensor)
    alone = joined([one])
    assert torch.equal(alone.truth, one.truth)
    assert alone.truth.data_ptr() != one.truth.data_ptr()
    assert joined([replace(one.pair, sensor=None)]).sensor is None
