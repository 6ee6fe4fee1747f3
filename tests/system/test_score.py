"""`panloom evaluate`, `compare` and `bench` from end to end."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from system_tools import call, done, fails, leftovers, outside, pixels, placed, scene_files, sharpened, told, write

from panloom.cli._score import USUAL
from panloom.run import bench as engine
from panloom.run import resolve

pytestmark = pytest.mark.usefixtures("no_registration")

NEVER = pytest.fail


def record(text: str) -> dict:
    """JSON without NaN and Infinity, which it has not."""
    return json.loads(text, parse_constant=NEVER)


# --- evaluate ---------------------------------------------------------------------------------------------


def test_evaluate_prints_a_table_for_each_problem(whole):
    result = done(call("evaluate", *whole.words, "--methods", "exp,gsa"))
    for name in ("wald-toolbox", "wald-physical", "full"):
        assert f"{whole.pan.parent.name}, {name}\n" in result.stdout
    assert result.stdout.count("gsa") == 3
    assert "ERGAS" in result.stdout
    assert "HQNR" in result.stdout
    assert "note: the sensor is not known" in result.stderr
    assert "NaN" not in result.stdout


def test_evaluate_json_is_all_that_stands_on_standard_output(small, tmp_path):
    seen = outside("evaluate", *small.words, "--methods", "exp,gsa", "--protocol", "reduced", "--json")
    assert seen.returncode == 0, seen.stderr
    found = record(seen.stdout)
    assert {(s["protocol"], s["method"]) for s in found["scores"]} == {
        (p, m) for p in ("wald-toolbox", "wald-physical") for m in ("exp", "gsa")
    }
    assert found["ratio"] == 4
    assert found["phase"] == pytest.approx(small.scene.phase)
    assert not [s for s in found["scores"] if s["error"]]


def test_evaluate_with_a_report(whole, tmp_path):
    out = tmp_path / "some" / "folder"
    words = ("--methods", "exp,gsa", "--sensor", "worldview-3", "--out", out, "--json")
    result = done(call("evaluate", *whole.words, *words))
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "scores.json"]
    assert record((out / "scores.json").read_text()) == record(result.stdout)
    page = (out / "report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "gsa" in page
    assert "<script src" not in page
    assert 'href="http' not in page
    assert "report.html: open it in a browser" in result.stderr
    assert record(result.stdout)["sensor"]["name"] == "worldview-3"
    assert not leftovers(out)


def test_evaluate_a_window_in_threads(many):
    words = ("--methods", "gsa", "--protocol", "full", "--json", "--window", "64,32,128,128")
    one, two = (
        record(done(call("evaluate", *many.words, *words, "--threads", n)).stdout)["scores"][0]["values"]
        for n in (1, 2)
    )
    assert one == pytest.approx(two, rel=1e-6)


def test_evaluate_with_no_data_scores_what_is_there(small, whole):
    """The same scene with a wedge that is missing: scores of the same kind."""
    words = ("--methods", "gsa", "--protocol", "reduced", "--json")
    one, two = (record(done(call("evaluate", *files.words, *words)).stdout) for files in (small, whole))
    for holed, full in zip(one["scores"], two["scores"], strict=True):
        assert holed["values"]["ergas"] == pytest.approx(full["values"]["ergas"], rel=0.35)


def test_the_default_methods_and_all_of_them_exist():
    assert set(USUAL.split(",")) <= set(resolve.methods())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--methods", "gsaa"), 2, ("gsaa", "did you mean 'gsa'")),
        (("--methods", "exp,,gsa"), 2, ("empty item",)),
        (("--methods", ""), 2, ("empty item",)),
        (("--protocol", "half"), 2, ("half",)),
        (("--methods", "exp", "--set", "weights=1,1"), 2, ("none of exp has an option 'weights'",)),
        (("--methods", "gsa", "--set", "form=square"), 2, ("square",)),
        (("--sensor", "worldview"), 2, ("worldview",)),
        (("--window", "96,96,8,8", "--protocol", "reduced"), 2, ("too small to be degraded by 4",)),
        (("--device", "abacus"), 2, ("abacus",)),
        (("--threads", "0"), 2, ("threads",)),
    ],
)
def test_evaluate_wrong_words(small, tmp_path, words, code, said):
    out = tmp_path / "out"
    fails(call("evaluate", "-q", *small.words, "--out", out, *words), code, *said)
    assert not out.exists()


def test_evaluate_files_that_do_not_fit(small, tmp_path):
    fails(call("evaluate", "-q", small.pan, tmp_path / "none.tif"), 1, "none.tif", "no such file")
    fails(call("evaluate", "-q", small.ms, small.pan), 1, "one band")
    fails(call("evaluate", "-q", small.pan), 2, "ms")


def test_evaluate_cannot_write(small, tmp_path):
    (tmp_path / "file").touch()
    words = ("--methods", "exp", "--protocol", "full", "--out", tmp_path / "file" / "folder")
    fails(call("evaluate", "-q", *small.words, *words), 1, "folder")


# --- compare ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(whole, tmp_path_factory):
    """Truth, and two results of a scene."""
    folder = tmp_path_factory.mktemp("results")
    truth = write(folder / "truth.tif", whole.scene.truth.round().astype("uint16"), placed(0.5))
    with pytest.MonkeyPatch.context() as patch:
        from panloom.optics.registration import Shift
        from panloom.scene import opening

        patch.setattr(opening, "misregistration", lambda scene: Shift(0.0, 0.0, 0.0, 0, 0.0))
        fused = [sharpened(whole, folder / f"{name}.tif", "--method", name) for name in ("exp", "gsa")]
    place = placed(0.5)
    return truth, *(write(folder / f"{path.stem}_.tif", pixels(path), place) for path in fused)


def test_compare(results):
    truth, exp, gsa = results
    result = done(call("compare", truth, exp, gsa))
    assert f"against {truth}" in result.stdout
    assert f"{exp}: 36000 pixels compared" in result.stderr
    assert "note: full scale" in result.stderr
    found = record(done(call("compare", truth, exp, gsa, "--json", "--full-scale", 2047)).stdout)
    one, two = (file["values"] for file in found["files"])
    assert two["ergas"] < one["ergas"]
    assert two["q2n"] > one["q2n"]
    assert found["notes"] == ["ERGAS is for a ratio of 4 PAN pixels per MS pixel; --ratio sets it"]


def test_compare_some_indices_in_threads(results):
    truth, exp, _ = results
    texts = {
        done(call("compare", truth, exp, "--json", "--metrics", "sam,q2n", "--threads", n)).stdout for n in (1, 2, 3)
    }
    assert len(texts) == 1
    assert set(record(texts.pop())["files"][0]["values"]) == {"sam", "q2n"}


def test_compare_a_file_with_itself(results):
    found = record(done(call("compare", results[0], results[0], "--json")).stdout)
    values = found["files"][0]["values"]
    assert (values["ergas"], values["rmse"], values["psnr"]) == (0, 0, None)
    assert values["q2n"] == pytest.approx(1)


def test_compare_what_does_not_fit(results, whole, tmp_path):
    truth, exp, _ = results
    fails(call("compare", "-q", truth, whole.ms), 1, "ms.tif", "50 x 45", "200 x 180")
    fails(call("compare", "-q", truth, whole.pan), 1, "1 bands", "4")
    fails(call("compare", "-q", truth, tmp_path / "none.tif"), 1, "no such file")
    fails(call("compare", "-q", truth), 2, "files")
    moved = write(tmp_path / "moved.tif", pixels(exp), placed(0.5, east=500_001.0))
    fails(call("compare", "-q", truth, moved), 1, "moved.tif", "another grid", "2 pixels")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metrics", "ergass"), "did you mean 'ergas'"),
        (("--metrics", "qnr"), "panloom evaluate"),
        (("--ratio", "0"), "ratio"),
        (("--full-scale", "0"), "full-scale"),
        (("--full-scale", "nan"), "full scale"),
        (("--threads", "0"), "threads"),
    ],
)
def test_compare_wrong_words(results, words, said):
    fails(call("compare", "-q", *results[:2], *words), 2, said)


MEASURE = """
import sys
from pathlib import Path
from panloom.run.compare import compare

done = compare(sys.argv[1], sys.argv[2:], names=["q2n", "scc"], threads=2)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(done.files[0].pixels, int(peak.split()[1]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc: the peak of memory is not told")
def test_compare_needs_no_memory_for_large_files(tmp_path):
    """6000 x 6000 x 4 numbers in each file: 288 MB as they are stored, and four times that in float64.

    The peak is that of the kernel's account, because `getrusage` of a child begins with the memory of its parent.
    """
    block = np.random.default_rng(0).integers(1, 2000, (4, 6000, 600), dtype="uint16")
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    paths = []
    for name in ("truth", "fused"):
        paths.append(write(tmp_path / f"{name}.tif", np.tile(block, (1, 1, 10)), placed(1.0), **options))
        block = block + np.uint16(3)
    words = [sys.executable, "-c", MEASURE, *map(str, paths)]
    seen = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    for path in paths:
        path.unlink()
    assert seen.returncode == 0, seen.stderr
    counted, megabytes = map(float, seen.stdout.split())
    assert counted == 6000 * 6000
    assert megabytes < 600


# --- bench ------------------------------------------------------------------------------------------------


def arrays(folder: Path, *names: str, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, seed):
        rng = np.random.default_rng(number)
        ms = rng.integers(100, 900, (20, 20, 3)).astype("uint16")
        pan = np.kron(ms.mean(-1), np.ones((4, 4))) + rng.integers(0, 99, (80, 80))
        np.savez(folder / f"{name}.npz", pan=pan.astype("uint16"), ms=ms)


@pytest.fixture
def pairs(tmp_path):
    """Two pairs of QuickBird and one of a camera that nobody knows."""
    folder = tmp_path / "pairs"
    arrays(folder, "a", "b", "c")
    facts = [{"name": "a", "sensor": "QuickBird", "bits": 11}, {"name": "b", "sensor": "QuickBird", "bits": 11}]
    (folder / "manifest.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def computed(monkeypatch):
    """What is computed: (pair, methods)."""
    seen = []
    real = engine.evaluate

    def watched(pair, methods, **words):
        seen.append((pair.name, list(methods)))
        return real(pair, methods, **words)

    monkeypatch.setattr(engine, "evaluate", watched)
    return seen


def bench(folder: Path, *words: object, methods: str = "exp,gsa"):
    return call("bench", folder, "--methods", methods, "--out", folder.parent / "out", *words)


def test_bench(pairs, computed):
    result = done(bench(pairs))
    out = pairs.parent / "out"
    assert "means over sensors (2) of pairs (3)" in result.stdout
    assert "[3/3] c" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["bench.csv", "bench.html", "bench.json", "pairs"]
    found = record((out / "bench.json").read_text())
    assert found["pairs"] == {"a": "quickbird", "b": "quickbird", "c": "generic"}
    assert {mean["rank"] for mean in found["means"]} == {1, 2}
    with (out / "bench.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * 2 * 3
    page = (out / "bench.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "quickbird" in page
    assert "the sensor is not known" in page
    assert not leftovers(out)
    computed.clear()
    again = done(bench(pairs, "--json"))
    assert computed == []
    assert record(again.stdout) == found


def test_bench_goes_on_with_an_added_method(pairs, computed):
    done(bench(pairs, "-q", methods="exp"))
    computed.clear()
    found = record(done(bench(pairs, "--json", methods="exp,gsa")).stdout)
    assert computed == [(name, ["gsa"]) for name in "abc"]
    assert {mean["method"] for mean in found["means"]} == {"exp", "gsa"}


def test_bench_computes_a_changed_file_again(pairs, computed):
    done(bench(pairs, "-q"))
    computed.clear()
    arrays(pairs, "b", seed=77)
    then = time.time() + 3600
    os.utime(pairs / "b.npz", (then, then))
    done(bench(pairs, "-q"))
    assert computed == [("b", ["exp", "gsa"])]


def test_bench_of_some_pairs(pairs):
    found = record(done(bench(pairs, "--json", "--only", "c,a", "--protocol", "full")).stdout)
    assert sorted(found["pairs"]) == ["a", "c"]
    assert {mean["protocol"] for mean in found["means"]} == {"full"}
    fails(bench(pairs, "-q", "--only", "a,z"), 2, "has no pair called z", "it has a, b, c")


def test_bench_with_a_pair_that_cannot_be_read(pairs):
    (pairs / "b.npz").write_bytes(b"PK\x03\x04")
    result = bench(pairs, "--json")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    found = record(result.stdout)
    assert list(found["failures"]) == ["b"]
    assert sorted(found["pairs"]) == ["a", "c"]
    again = bench(pairs)
    assert again.exit_code == 1
    assert "b: " in again.stderr
    assert "b.npz: not a readable .npz file" in (pairs.parent / "out" / "bench.html").read_text()


def test_bench_with_a_method_that_fails(pairs):
    result = done(bench(pairs, "--set", "weights=1,1", methods="exp,brovey"))
    assert "brovey" in result.stdout
    found = record((pairs.parent / "out" / "bench.json").read_text())
    failed = [mean for mean in found["means"] if mean["method"] == "brovey"]
    assert [(mean["failed"], mean["rank"]) for mean in failed] == [(3, None)] * 3
    assert all(mean["method"] == "exp" for mean in found["means"] if mean["rank"] == 1)


def test_bench_of_rasters(tmp_path):
    """As `batch` finds them; what is in no pair is told."""
    for seed, name in enumerate(("one", "two")):
        scene_files(tmp_path / "in" / name, 96, 96, sensor="worldview-3", bands=4, seed=seed, wedge=False)
    lonely = write(tmp_path / "in" / "lonely_pan.tif", np.ones((8, 8), "uint8"), placed(1.0, east=900_000.0))
    result = done(bench(tmp_path / "in", "--sensor", "worldview-3", "--json"))
    found = record(result.stdout)
    assert found["pairs"] == {"one": "worldview-3", "two": "worldview-3"}
    assert len(found["scores"]) == 2 * 2 * 3
    seen = outside(
        "bench", tmp_path / "in", "--methods", "exp,gsa", "--sensor", "worldview-3", "-q", "--out", tmp_path / "o"
    )
    assert seen.returncode == 0
    assert str(lonely) in seen.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "gsaa"), "did you mean 'gsa'"),
        (("--set", "frm=toolbox"), "frm"),
        (("--set", "form=square"), "square"),
        (("--protocol", "half"), "half"),
        (("--seed", "-1"), "seed"),
    ],
)
def test_bench_wrong_words(pairs, words, said):
    fails(bench(pairs, "-q", *words), 2, said)
    assert not (pairs.parent / "out").exists()


def test_bench_without_pairs_or_folders(tmp_path, pairs):
    (tmp_path / "empty").mkdir()
    fails(bench(tmp_path / "empty", "-q"), 2, "no pair was found")
    fails(bench(tmp_path / "nowhere", "-q"), 2, "nowhere")
    fails(call("bench", pairs, "-q"), 2, "--out")
    (tmp_path / "file").touch()
    told(call("bench", pairs, "-q", "--out", tmp_path / "file" / "folder"))


DRIVER = """
import time
from panloom.run import bench

real = bench.evaluate


def slowly(pair, methods, **words):
    if pair.name != "a":
        time.sleep(60)
    return real(pair, methods, **words)


bench.evaluate = slowly
from panloom.cli import main

main()
"""


def test_bench_that_is_killed_goes_on(pairs, computed, tmp_path):
    script, out = tmp_path / "driver.py", tmp_path / "out"
    script.write_text(DRIVER)
    words = [sys.executable, script, "bench", pairs, "--methods", "exp,gsa", "-q", "--out", out]
    child = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not (out / "pairs" / "a.json").exists():
            assert child.poll() is None, child.stderr.read()
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.02)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not (out / "bench.json").exists()
    kept = (out / "pairs" / "a.json").read_bytes()
    done(bench(pairs, "-q"))
    assert [name for name, _ in computed] == ["b", "c"]
    assert (out / "pairs" / "a.json").read_bytes() == kept
    assert len(record((out / "bench.json").read_text())["pairs"]) == 3
