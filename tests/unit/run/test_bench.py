"""Many pairs: what is kept, what is computed again, and the means."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from eval_tools import pair_files

from panloom import metrics
from panloom.errors import MethodError, OptionError, OutputError
from panloom.run import bench as engine
from panloom.run.bench import Bench, Mean, bench, means
from panloom.run.evaluate import Score
from panloom.run.reading import Reading, Source, find_sources

NEVER = pytest.fail


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def work(monkeypatch):
    """What was computed: (pair, methods), in order."""
    seen = []
    real = engine.evaluate

    def watched(pair, methods, **words):
        seen.append((pair.name, list(methods)))
        return real(pair, methods, **words)

    monkeypatch.setattr(engine, "evaluate", watched)
    return seen


@pytest.fixture
def pairs(tmp_path) -> Path:
    folder = tmp_path / "pairs"
    pair_files(folder, "a", "b")
    return folder


def run(folder: Path, methods: list[str], **words: object) -> Bench:
    out = folder.parent / "out"
    reading = words.pop("reading", Reading())
    return bench(find_sources(folder, reading), out, methods, **{"protocol": "reduced", **words})


def later(path: Path) -> None:
    """As if it had been written an hour from now."""
    then = time.time() + 3600
    os.utime(path, (then, then))


# --- records ----------------------------------------------------------------------------------------------


def test_what_is_written(pairs):
    done = run(pairs, ["exp", "gsa"])
    out = pairs.parent / "out"
    assert done.pairs == {"a": "generic", "b": "generic"}
    assert len(done.scores) == 2 * 2 * 2
    assert done.protocols == ["wald-toolbox", "wald-physical"]
    assert sorted(p.name for p in out.rglob("*.json")) == ["a.json", "b.json", "bench.json"]
    assert (out / "bench.json").read_text() == done.to_json()
    assert (out / "bench.csv").read_text() == done.to_csv()
    record = json.loads(done.to_json(), parse_constant=NEVER)
    assert set(record) == {"pairs", "means", "scores", "failures", "notes", "settings", "labels", "versions"}
    assert not list(out.rglob(".*"))


def test_csv_has_a_line_for_every_score(pairs):
    done = run(pairs, ["exp", "gsa"])
    rows = list(csv.DictReader(done.to_csv().splitlines()))
    assert len(rows) == len(done.scores)
    for row, (pair, score) in zip(rows, done.scores, strict=True):
        assert (row["pair"], row["sensor"], row["protocol"], row["method"]) == (
            pair,
            "generic",
            score.protocol,
            score.method,
        )
        assert float(row["ergas"]) == pytest.approx(score.values["ergas"], rel=1e-7)
        assert row["q"] == ""  # smaller than its block
        assert row["error"] == ""


def test_a_second_call_computes_nothing(pairs, work):
    first = run(pairs, ["exp", "gsa"])
    assert work == [("a", ["exp", "gsa"]), ("b", ["exp", "gsa"])]
    work.clear()
    again = run(pairs, ["exp", "gsa"])
    assert work == []
    assert again.to_json() == first.to_json()
    assert again.to_csv() == first.to_csv()


def test_an_added_method_alone_is_computed(pairs, work):
    run(pairs, ["exp"])
    work.clear()
    done = run(pairs, ["gsa", "exp"])
    assert work == [("a", ["gsa"]), ("b", ["gsa"])]
    assert {score.method for _, score in done.scores} == {"exp", "gsa"}
    work.clear()
    fewer = run(pairs, ["gsa"])
    assert work == []
    assert {score.method for _, score in fewer.scores} == {"gsa"}


def test_an_added_method_that_lacks_an_option_of_the_others(pairs, work):
    words = {"options": {"weights": "1,1,1"}}
    run(pairs, ["brovey"], **words)
    work.clear()
    done = run(pairs, ["brovey", "exp"], **words)
    assert work == [("a", ["exp"]), ("b", ["exp"])]
    assert done.failures == {}
    assert len(done.scores) == 8


def test_an_added_pair_alone_is_computed(pairs, work):
    run(pairs, ["exp"])
    work.clear()
    pair_files(pairs, "c", seed=7)
    assert list(run(pairs, ["exp"]).pairs) == ["a", "b", "c"]
    assert work == [("c", ["exp"])]


def test_an_interrupted_call_goes_on(pairs, work, monkeypatch):
    real = Source.read

    def broken(source):
        if source.name == "b":
            raise KeyboardInterrupt
        return real(source)

    with monkeypatch.context() as patch:
        patch.setattr(Source, "read", broken)
        with pytest.raises(KeyboardInterrupt):
            run(pairs, ["exp"])
    assert not (pairs.parent / "out" / "bench.json").exists()
    work.clear()
    assert len(run(pairs, ["exp"]).pairs) == 2
    assert work == [("b", ["exp"])]


def test_another_reading_computes_anew(pairs, work):
    run(pairs, ["exp"])
    work.clear()
    run(pairs, ["exp"], reading=Reading(edge="drop"))
    assert [name for name, _ in work] == ["a", "b"]


@pytest.mark.parametrize(
    "words",
    [{"protocol": "both"}, {"seed": 3}, {"options": {"form": "toolbox"}}],
    ids=["protocol", "seed", "options"],
)
def test_scores_of_other_settings_are_not_thrown_away(pairs, work, words):
    run(pairs, ["exp", "gsa"])
    kept = {path: path.read_text() for path in (pairs.parent / "out").rglob("*.json")}
    with pytest.raises(OptionError, match="another --out"):
        run(pairs, ["exp"], **words)
    assert kept == {path: path.read_text() for path in (pairs.parent / "out").rglob("*.json")}


def test_threads_are_no_other_settings(pairs, work):
    run(pairs, ["exp"], reading=Reading(threads=1))
    work.clear()
    run(pairs, ["exp"], reading=Reading(threads=2))
    assert work == []


def test_a_changed_file_computes_anew(pairs, work):
    run(pairs, ["exp"])
    work.clear()
    pair_files(pairs, "b", seed=11)
    later(pairs / "b.npz")
    run(pairs, ["exp"])
    assert work == [("b", ["exp"])]


@pytest.mark.parametrize("above", [False, True])
def test_a_changed_manifest_computes_anew(pairs, work, above):
    run(pairs, ["exp"])
    work.clear()
    place = (pairs.parent if above else pairs) / "manifest.json"
    place.write_text(json.dumps([{"name": "a", "sensor": "QuickBird", "bits": 11}]))
    assert run(pairs, ["exp"]).pairs["a"] == "quickbird"
    assert [name for name, _ in work] == ["a", "b"]


def test_a_changed_sensor_file_computes_anew(tmp_path):
    toml = tmp_path / "mine.toml"
    toml.write_text("one")
    source = Source("a", ("pan.tif", "ms.tif"), Reading(sensor=str(toml)))
    before = source.stamp
    assert source.stamp == before
    toml.write_text("another")
    later(toml)
    assert source.stamp != before


def test_another_version_computes_anew(pairs, work, monkeypatch):
    run(pairs, ["exp"])
    work.clear()
    monkeypatch.setattr(engine, "versions", lambda: {"panloom": "another"})
    run(pairs, ["exp"])
    assert [name for name, _ in work] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"stamp": 1}',
        "null",
        b"\xff\xfe\x00",
        '{"scores": [{"method": "exp"}]}',
        '{"scores": [3]}',
    ],
)
def test_a_damaged_record_is_done_anew(pairs, work, text):
    run(pairs, ["exp"])
    record = pairs.parent / "out" / "pairs" / "a.json"
    record.write_bytes(text if isinstance(text, bytes) else text.encode())
    work.clear()
    run(pairs, ["exp"])
    assert work == [("a", ["exp"])]


def test_half_a_record_is_done_anew(pairs, work):
    run(pairs, ["exp"])
    record = pairs.parent / "out" / "pairs" / "a.json"
    record.write_text(record.read_text()[:-200])
    work.clear()
    run(pairs, ["exp"])
    assert work == [("a", ["exp"])]


def test_undefined_values_stay_undefined_when_read_again(pairs):
    first, again = (run(pairs, ["exp"]) for _ in range(2))
    for _, score in (*first.scores, *again.scores):
        assert math.isnan(score.values["q"])
    for mean in (*first.means, *again.means):
        assert mean.values["q"] is None
        assert mean.groups["generic"]["q"] is None
    for path in (pairs.parent / "out").rglob("*.json"):
        json.loads(path.read_text(), parse_constant=NEVER)


# --- what fails -------------------------------------------------------------------------------------------


def test_pairs_that_cannot_be_read_are_failures_and_the_others_done(pairs):
    (pairs / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(pairs / "empty.npz", other=np.ones(3))
    np.savez(pairs / "tiny.npz", pan=np.ones((4, 4)), ms=np.ones((1, 1, 3)))
    done = run(pairs, ["exp"])
    assert set(done.failures) == {"bad", "empty", "tiny"}
    assert list(done.pairs) == ["a", "b"]
    assert "too small to be degraded" in done.failures["tiny"]
    assert all("\n" not in why for why in done.failures.values())
    assert done.means[0].pairs == 2
    assert json.loads((pairs.parent / "out" / "bench.json").read_text())["failures"] == done.failures


def test_a_pair_that_can_be_read_again_is_done(pairs, work):
    whole = (pairs / "b.npz").read_bytes()
    (pairs / "b.npz").write_bytes(whole[:100])
    assert set(run(pairs, ["exp"]).failures) == {"b"}
    (pairs / "b.npz").write_bytes(whole)
    work.clear()
    assert run(pairs, ["exp"]).failures == {}
    assert work == [("b", ["exp"])]


def test_a_method_that_fails_is_remembered(pairs, work):
    """`brovey` with weights for two bands."""
    words = {"options": {"weights": "1,1"}}
    done = run(pairs, ["exp", "brovey"], **words)
    assert done.failures == {}
    by_method = {mean.method: mean for mean in done.means if mean.protocol == "wald-physical"}
    assert (by_method["brovey"].failed, by_method["brovey"].pairs, by_method["brovey"].rank) == (2, 0, None)
    assert by_method["brovey"].values == {}
    assert by_method["exp"].rank == 1
    work.clear()
    run(pairs, ["exp", "brovey"], **words)
    assert work == []
    rows = [row for row in csv.DictReader(done.to_csv().splitlines()) if row["method"] == "brovey"]
    assert all(row["error"] and not row["ergas"] for row in rows)


@pytest.mark.parametrize(
    ("methods", "words", "kind"),
    [
        (["gsaa"], {}, MethodError),
        (["exp"], {"protocol": "wald"}, OptionError),
        (["exp"], {"options": {"weights": "1"}}, OptionError),
        (["gsa"], {"options": {"form": "square"}}, MethodError),
        ([], {}, OptionError),
    ],
)
def test_wrong_words_are_no_failures_of_pairs(pairs, work, methods, words, kind):
    with pytest.raises(kind):
        run(pairs, methods, **words)
    assert work == []
    assert not (pairs.parent / "out").exists()


def test_no_pair(tmp_path):
    with pytest.raises(OptionError, match="no pair was found"):
        bench([], tmp_path / "out", ["exp"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(pairs):
    (pairs.parent / "out").write_text("a file")
    with pytest.raises(OutputError):
        run(pairs, ["exp"])


def test_names_of_pairs_that_are_wanted(pairs):
    assert [s.name for s in find_sources(pairs, Reading(), ["b"])] == ["b"]
    with pytest.raises(OptionError, match="has no pair called c; it has a, b"):
        find_sources(pairs, Reading(), ["a", "c"])


def test_progress(pairs):
    steps = []
    run(pairs, ["exp"], progress=lambda *step: steps.append(step))
    assert steps == [("a", 0, 2), ("b", 1, 2), ("", 2, 2)]


def test_notes_name_their_pairs(pairs):
    (pairs / "manifest.json").write_text(
        json.dumps([{"name": "a", "sensor": "Landsat-8", "bits": 16, "remaining_shift_ms_px_yx": [-0.25, -0.25]}])
    )
    first, again = (run(pairs, ["exp"]) for _ in range(2))
    assert first.notes == again.notes
    assert any(note.startswith("the sensor is not known") and note.endswith("(b)") for note in first.notes)
    assert any("not corner-aligned" in note and note.endswith("(a)") for note in first.notes)
    assert any("too small for a border cut" in note and note.endswith("(all pairs)") for note in first.notes)


# --- means ------------------------------------------------------------------------------------------------


def by_hand(values: list[float], better: str) -> float:
    """Slowly: the n-th root of the product, or the sum by the number."""
    if better == "low":
        product = 1.0
        for value in values:
            product *= value
        return product ** (1 / len(values))
    return sum(values) / len(values)


def random_scores(seed: int, broken: float = 0.0) -> tuple[list[tuple[str, Score]], dict[str, str]]:
    rng = np.random.default_rng(seed)
    pairs = {f"p{k}": f"s{int(rng.integers(0, 3))}" for k in range(9)}
    scores = [
        (pair, Score(method, protocol, {}, {}, 1.0, "dark"))
        if rng.random() < broken
        else (
            pair,
            Score(
                method,
                protocol,
                {name: float(rng.uniform(0.1, 5)) for name in names},
                {},
                float(rng.integers(1, 9)),
            ),
        )
        for pair in pairs
        for method in ("one", "two", "three")
        for protocol, names in (
            ("wald-physical", ("ergas", "sam", "q2n", "psnr")),
            ("full", ("hqnr-physical", "d-rho")),
        )
    ]
    return scores, pairs


@pytest.mark.parametrize(("seed", "broken"), [(0, 0.0), (1, 0.0), (2, 0.15), (3, 0.4)])
def test_means_are_those_by_hand(seed, broken):
    scores, pairs = random_scores(seed, broken)
    found = means(scores, pairs)
    assert {mean.protocol for mean in found} == {"wald-physical", "full"}
    for mean in found:
        mine = [(pair, s) for pair, s in scores if (s.method, s.protocol) == (mean.method, mean.protocol)]
        good = [(pair, s) for pair, s in mine if s.error is None]
        assert (mean.pairs, mean.failed) == (len(good), len(mine) - len(good))
        assert mean.seconds == (statistics.median(s.seconds for _, s in good) if good else 0)
        for name in mean.values:
            better = metrics.get(name).better
            groups = {
                group: by_hand([s.values[name] for pair, s in good if pairs[pair] == group], better)
                for group in {pairs[pair] for pair, _ in good}
            }
            assert {g: v[name] for g, v in mean.groups.items()} == pytest.approx(groups, rel=1e-12)
            assert mean.values[name] == pytest.approx(by_hand(list(groups.values()), better), rel=1e-12)


def score(method: str, values: dict[str, float], protocol: str = "wald-physical", error: str | None = None) -> Score:
    return Score(method, protocol, values, {}, 1.0, error)


def one_mean(values: list[float], name: str = "ergas") -> Mean:
    """Pairs of one sensor."""
    scores = [(f"p{k}", score("m", {name: value})) for k, value in enumerate(values)]
    (mean,) = means(scores, {pair: "s" for pair, _ in scores})
    return mean


def test_every_sensor_weighs_the_same():
    scores = [(f"a{k}", score("m", {"ergas": 1.0, "q2n": 0.5})) for k in range(26)]
    scores.append(("b", score("m", {"ergas": 4.0, "q2n": 1.0})))
    (mean,) = means(scores, {name: name[0] for name, _ in scores})
    assert mean.values == pytest.approx({"ergas": 2.0, "q2n": 0.75})


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf])
def test_a_mean_is_undefined_where_a_value_is(gap):
    mean = one_mean([1.0, gap, 2.0])
    assert mean.values == {"ergas": None}
    assert mean.rank is None


def test_zero_and_less():
    assert one_mean([0.0, 2.0]).values == {"ergas": 0.0}
    assert one_mean([-1.0, 2.0], "d-rho").values == {"d-rho": None}
    assert one_mean([-1.0, 2.0], "scc").values == {"scc": 0.5}


def test_tiny_and_huge_values_do_not_overflow():
    assert one_mean([1e-300] * 5 + [1e300] * 5).values["ergas"] == pytest.approx(1.0)


def test_an_index_that_one_pair_lacks():
    scores = [("p", score("m", {"ergas": 1.0, "sam": 1.0})), ("q", score("m", {"ergas": 1.0}))]
    (mean,) = means(scores, {"p": "s", "q": "s"})
    assert mean.values == {"ergas": 1.0, "sam": None}


def test_ranks_by_ergas_and_hqnr():
    pairs = {"p": "s"}
    low = [("p", score(name, {"ergas": value, "q2n": value})) for name, value in (("b", 2.0), ("a", 1.0), ("c", 3.0))]
    high = [
        ("p", score(name, {"hqnr-physical": value, "hqnr": -value}, "full"))
        for name, value in (("b", 0.2), ("a", 0.1), ("c", 0.3))
    ]
    found = means([*low, *high], pairs)
    assert [(m.protocol, m.method, m.rank) for m in found] == [
        ("wald-physical", "a", 1),
        ("wald-physical", "b", 2),
        ("wald-physical", "c", 3),
        ("full", "c", 1),
        ("full", "b", 2),
        ("full", "a", 3),
    ]


def test_methods_that_failed_stand_at_the_end_without_a_rank():
    """Even with the best mean over what is left."""
    scores = [
        ("p", score("half", {"ergas": 0.1})),
        ("q", score("half", {}, error="dark")),
        ("p", score("none", {}, error="dark")),
        ("q", score("none", {}, error="dark")),
        ("p", score("good", {"ergas": 1.0})),
        ("q", score("good", {"ergas": 1.0})),
        ("p", score("gap", {"ergas": math.nan})),
        ("q", score("gap", {"ergas": 1.0})),
    ]
    found = means(scores, {"p": "s", "q": "t"})
    assert found[0].method == "good"
    assert {m.method: m.rank for m in found} == {"good": 1, "half": None, "none": None, "gap": None}
    half = next(m for m in found if m.method == "half")
    assert (half.pairs, half.failed, half.values) == (1, 1, {"ergas": pytest.approx(0.1)})
    assert half.groups == {"s": {"ergas": pytest.approx(0.1)}}


def test_no_infinity_reaches_the_json():
    scores = [("p", score("m", {"psnr": math.inf, "ergas": math.nan}))]
    done = Bench({"p": "s"}, tuple(means(scores, {"p": "s"})), tuple(scores), {})
    record = json.loads(done.to_json(), parse_constant=NEVER)
    assert record["scores"][0]["values"] == {"psnr": None, "ergas": None}
    assert record["means"][0]["values"] == {"psnr": None, "ergas": None}
    rows = list(csv.DictReader(done.to_csv().splitlines()))
    assert rows[0]["ergas"] == ""


def test_a_bench_of_no_score():
    done = Bench({}, (), (), {"p": "dark"})
    assert done.protocols == []
    assert done.to_csv() == "pair,sensor,protocol,method,seconds,error\n"
