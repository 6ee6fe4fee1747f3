"""The rules and the arithmetic of `benchmarks/adaptation*.py`; nothing is fused here."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")


def module(name: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [BENCHMARKS, *sys.path])
        return importlib.import_module(name)


rows = module("adaptation_rows")
table = module("adaptation")
tuning = module("adaptation_tuning")
gate = module("adaptation_gate")
carry = module("adaptation_carry")
clock = module("adaptation_time")

POSITIVE = st.floats(0.01, 100)


# ---- which weights --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sensor", "bands", "first", "second"),
    [
        ("worldview-3", 8, "wv2", None),
        ("worldview-2", 8, "wv3", None),
        ("landsat-9", 8, "wv3", "wv2"),
        ("quickbird", 4, "wv4", None),
        ("worldview-4", 4, "qb", None),
        ("worldview-2", 4, "qb", "wv4"),
        ("landsat-7", 6, None, None),
    ],
)
def test_a_pair_gets_weights_of_another_sensor_by_a_fixed_rule(
    sensor: str, bands: int, first: str | None, second: str | None
) -> None:
    assert rows.foreign(sensor, bands) == first
    assert rows.foreign(sensor, bands, second=True) == second


@given(st.sampled_from([*rows.SENSORS.values(), "pleiades"]), st.sampled_from([4, 8]))
def test_foreign_weights_are_never_of_the_own_sensor(sensor: str, bands: int) -> None:
    assert rows.SENSORS[rows.foreign(sensor, bands)] != sensor
    tag = rows.own(sensor, bands)
    assert tag is None or rows.SENSORS[tag] == sensor


def test_only_the_row_of_the_same_sensor_has_its_weights() -> None:
    hosts = {row.name: rows.host_of(row, "dicnn", "worldview-3", 8) for row in rows.HOSTED}
    assert hosts.pop("same-sensor weights") == "dicnn.wv3"
    assert set(hosts.values()) == {"dicnn.wv2"}
    assert rows.host_of(rows.HOSTED[1], "dicnn", "pleiades", 4) is None


# ---- means ----------------------------------------------------------------------------------------


def test_a_sensor_counts_once_however_many_pairs_it_has() -> None:
    groups = {"a": "x", "b": "x", "c": "y"}
    assert rows.geometric({"a": 2.0, "b": 8.0, "c": 1.0}, groups) == pytest.approx(2.0)
    assert rows.arithmetic({"a": 2.0, "b": 4.0, "c": 1.0}, groups) == pytest.approx(2.0)
    assert math.isnan(rows.geometric({}, groups))


@given(st.lists(POSITIVE, min_size=1, max_size=6), POSITIVE)
def test_geometric_means_scale_and_lie_between(values: list[float], factor: float) -> None:
    found = rows.pooled(values)
    assert min(values) * (1 - 1e-9) <= found <= max(values) * (1 + 1e-9)
    assert rows.pooled([factor * value for value in values]) == pytest.approx(factor * found)


def test_ratios_are_of_pairs_that_have_both() -> None:
    assert rows.over({"a": 2.0, "b": 1.0}, {"a": 4.0, "c": 1.0}) == {"a": 0.5}
    assert rows.least([{"a": 2.0, "b": 1.0}, {"a": 1.5}]) == {"a": 1.5, "b": 1.0}


# ---- the table ------------------------------------------------------------------------------------


def scored(row: str, host: str, ergas: float, **more: object) -> dict[str, object]:
    values = {"ergas": ergas, "sam": 1.0, "q2n": 0.9}
    return {"protocol": "wald-toolbox", "row": row, "host": host, "values": values, "seconds": 1.0, **more}


RECORDS = {
    "pair": {
        "group": "worldview-3",
        "scores": [
            scored("mtf-glp-cbd", "", 2.0),
            scored("gsa", "", 1.0),
            scored("direct", "fusionnet.wv2", 4.0),
            scored("refit", "fusionnet.wv2", 1.0, decision="frozen"),
            scored("same-sensor weights", "fusionnet.wv3", 3.0),
        ],
    }
}


def test_a_row_is_held_against_direct_single_and_oracle() -> None:
    found = table.Table.of(RECORDS)
    against = [found.against("wald-toolbox", "fusionnet", "refit", base) for base in ("direct", "single", "oracle")]
    assert against == pytest.approx([0.25, 0.5, 1.0])
    assert found.against("wald-toolbox", "fusionnet", "same-sensor weights", "direct") == pytest.approx(0.75)
    assert "| fusionnet | refit | 0.250 | 0.500 | 1.000 |" in "\n".join(table.reduced(found, "wald-toolbox"))


def test_scores_with_the_other_weights_stay_out() -> None:
    assert not table.Table.of(RECORDS, second=True).get("wald-toolbox", "fusionnet", "refit", "ergas")


def test_a_store_keeps_what_it_is_given(tmp_path) -> None:
    store = rows.Store(tmp_path / "out")
    store.add("pair", "pleiades", scored("refit", "pnn.qb", 1.0))
    assert store.has("pair", "wald-toolbox", "refit", "pnn.qb")
    assert not store.has("pair", "wald-physical", "refit", "pnn.qb")
    assert store.pairs()["pair"]["group"] == "pleiades"
    store.add("pair", "pleiades", scored("tailor", "pnn.qb", 1.0))
    store.drop(["refit"])
    assert [score["row"] for score in store.read("pair")["scores"]] == ["tailor"]


# ---- choosing constants ---------------------------------------------------------------------------


def test_a_search_settles_one_constant_after_the_other() -> None:
    space = {"a": (1.0, 2.0, 3.0), "b": (5.0, 4.0)}
    steps = list(tuning.search(space, lambda s: abs(s["a"] - 2) + abs(s["b"] - 4)))
    assert tuning.settled(steps) == {"a": 2.0, "b": 4.0}
    assert len(steps) == 5


def test_constants_of_a_module_come_back() -> None:
    before = tuning._module.DEAD
    with tuning.constants({"DEAD": 0.5, "rate": 0.1}) as options:
        assert (tuning._module.DEAD, options) == (0.5, {"rate": 0.1})
    assert before == tuning._module.DEAD


def test_a_gate_without_a_validated_error_keeps_the_frozen_output() -> None:
    assert tuning.gated(1.0, 2.0, None, math.inf) == 2.0
    assert tuning.gated(1.0, 2.0, 0.5, 0.6) == 1.0
    assert tuning.gated(1.0, 2.0, 0.7, 0.6) == 2.0


# ---- gates ----------------------------------------------------------------------------------------


def decided(validated: float, ergas: float) -> dict[str, float]:
    return {"validated": validated, "ergas": ergas, "frozen": 1.0, "direct": 2.0}


def test_a_gate_is_wrong_in_two_ways() -> None:
    found = gate.confusion(
        [decided(0.5, 0.5), decided(0.6, 1.2), decided(0.9, 0.8), decided(0.95, 1.5)], lambda _: 0.85
    )
    assert (found.took, found.harmed, found.missed, found.kept) == (1, 1, 1, 1)
    assert (found.errors, found.harm, found.loss) == (0.5, pytest.approx(1.2), pytest.approx(1.25))
    assert found.cost == pytest.approx((1.2 * 1.25) ** 0.25)
    assert found.gain == pytest.approx((0.5 * 1.2) ** 0.25)


def test_a_shut_gate_changes_nothing_and_an_open_one_all() -> None:
    scenes = [decided(0.5, 0.5), decided(0.6, 2.0)]
    assert gate.confusion(scenes, lambda _: 0.0).gain == 1.0
    assert gate.confusion(scenes, lambda _: 0.0).direct == pytest.approx(0.5)
    assert gate.confusion(scenes, lambda _: 1e9).gain == pytest.approx(1.0)


# ---- carrying, and time ---------------------------------------------------------------------------


def test_what_was_made_elsewhere_is_told_from_what_was_made_here() -> None:
    matrix = [[1.0, 8.0, 2.0], [4.0, 2.0, 2.0], [1.0, 2.0, 3.0]]
    assert carry.at_home(matrix) == [1.0, 2.0, 3.0]
    assert carry.abroad(matrix) == pytest.approx([2.0, 4.0, 2.0])


def test_scenes_are_spread_over_a_list() -> None:
    assert carry.spread(list("abcdefghi"), 3) == ["a", "e", "i"]
    assert carry.spread(list("ab"), 3) == ["a", "b"]


def test_the_first_round_of_a_clock_does_not_count() -> None:
    calls: list[str] = []
    found = clock.timed({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert set(found) == {"a", "b"}
