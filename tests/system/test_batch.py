"""Batches from end to end, on small scenes."""

from __future__ import annotations

import inspect
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from panloom.data import georeference, make
from panloom.errors import OutputError, PanloomError, ResumeError
from panloom.run import batch
from panloom.run._tags import DEFAULTS
from panloom.run.batch import find, run
from panloom.run.resolve import DEFAULT
from panloom.run.sharpen import sharpen
from panloom.scene.saving import save
from panloom.types import Window

ONE = partial(sharpen, threads=1, device="cpu")


def write(folder, *, height=96, width=112, seed=0):
    """`pan.tif` and `ms.tif` of a small scene."""
    folder.mkdir(parents=True)
    scene = make(height, width, bands=4, seed=seed)
    place = georeference(scene)
    for name, image, transform in (("pan", scene.pan[None], place.pan), ("ms", scene.ms, place.ms)):
        save(folder / f"{name}.tif", image, crs=place.crs, transform=transform, nodata=scene.nodata)


@pytest.fixture
def source(tmp_path):
    """Three pairs, the second of which is broken."""
    for seed, name in enumerate("abc"):
        write(tmp_path / "in" / name, seed=seed)
    (tmp_path / "in" / "b" / "ms.tif").write_bytes(b"no raster")
    return tmp_path / "in"


def statuses(report):
    return [outcome.status for outcome in report.outcomes]


def record(folder):
    return json.loads((folder / "batch.json").read_text())


def test_a_failed_pair_does_not_stop_the_rest(source, tmp_path):
    told = []
    done = run(
        find(source, tmp_path / "out"), sharpen=ONE, on_job=lambda o, k, n: told.append((o.job.name, o.status, k, n))
    )
    assert statuses(done) == ["done", "failed", "done"]
    assert not done.ok
    assert done.counts == {"done": 2, "failed": 1}
    assert [entry[:2] for entry in told] == [
        *(("a", s) for s in ("running", "done")),
        *(("b", s) for s in ("running", "failed")),
        *(("c", s) for s in ("running", "done")),
    ]
    assert {entry[3] for entry in told} == {3}
    assert "ms.tif: not a raster" in done.outcomes[1].error
    assert "\n" not in done.outcomes[1].error
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a_sharpened.tif",
        "c_sharpened.tif",
        "batch.json",
    }


def test_the_result_is_that_of_a_single_run(source, tmp_path):
    run(find(source, tmp_path / "out"), sharpen=ONE, method="brovey")
    ONE(source / "a" / "pan.tif", source / "a" / "ms.tif", tmp_path / "alone.tif", method="brovey")
    assert (tmp_path / "out" / "a_sharpened.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()


def test_the_record_says_what_became_of_every_pair(source, tmp_path):
    (source / "lonely_pan.tif").write_bytes(b"")
    done = run(find(source, tmp_path / "out"), sharpen=ONE)
    found = record(tmp_path / "out")
    assert found == json.loads(done.to_json())
    assert found["counts"] == {"done": 2, "failed": 1}
    first, second, _ = found["pairs"]
    assert (first["name"], first["by"], first["status"], first["method"]) == ("a", "name", "done", DEFAULT)
    assert first["out"] == str(tmp_path / "out" / "a_sharpened.tif")
    assert first["seconds"] > 0
    assert first["pixels"]["valid"] > 0
    assert "not a raster" in second["error"]
    assert [Path(f).name for f in found["unmatched"][0]["files"]] == ["lonely_pan.tif"]
    assert "panloom" in found["versions"]


def test_what_is_done_is_skipped_and_what_failed_is_tried_again(source, tmp_path):
    out = tmp_path / "out"
    run(find(source, out), sharpen=ONE)
    before = (out / "a_sharpened.tif").stat().st_mtime_ns
    write(tmp_path / "new", seed=1)
    os.replace(tmp_path / "new" / "ms.tif", source / "b" / "ms.tif")
    second = run(find(source, out), sharpen=ONE)
    assert statuses(second) == ["skipped", "done", "skipped"]
    assert second.ok
    assert second.outcomes[0].note is None
    assert (out / "a_sharpened.tif").stat().st_mtime_ns == before
    third = run(find(source, out), sharpen=ONE)
    assert statuses(third) == ["skipped"] * 3
    assert record(out)["counts"] == {"skipped": 3}


def test_all_is_done_anew_when_asked(source, tmp_path):
    out = tmp_path / "out"
    run(find(source, out), sharpen=ONE)
    other = run(find(source, out), sharpen=ONE, method="exp")
    assert f"made with {DEFAULT}, not with exp" in other.outcomes[0].note
    assert f"made with {DEFAULT}" in record(out)["pairs"][0]["note"]
    again = run(find(source, out), sharpen=ONE, method="exp", skip_done=False)
    assert statuses(again) == ["done", "failed", "done"]
    assert run(find(source, out), sharpen=ONE, method="exp").outcomes[0].note is None


def test_results_of_other_options_are_named(tmp_path):
    write(tmp_path / "in" / "a")
    pairs = find(tmp_path / "in", tmp_path / "out")
    again = partial(run, pairs, sharpen=ONE, method="mtf-glp-cbd")
    again()
    other = again(options={"form": "physical"}).outcomes[0]
    assert other.status == "skipped"
    assert other.note == (
        "the result that is there was made with other options (none, not form=physical); --again replaces it"
    )
    made = again(options={"form": "physical"}, skip_done=False).outcomes[0]
    assert made.report.options == {"form": "physical"}
    assert again(options={"form": "physical"}).outcomes[0].note is None
    assert "(form=physical, not none)" in again().outcomes[0].note


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bands": ["3", "1"]}, "bands=3,1"),
        ({"extent": "intersection"}, "extent=intersection"),
        ({"dtype": "float32", "edge": "drop"}, "edge=drop; dtype=float32"),
        ({"window": Window(0, 0, 64, 64), "ms_shift": (0.1, 0.0)}, "ms_shift=0.1,0; window=0,0,64,64"),
        ({"creation": {"COMPRESS": "DEFLATE"}, "nodata": 7}, "nodata=7; creation=COMPRESS=DEFLATE"),
    ],
    ids=str,
)
def test_results_of_other_settings_are_named(tmp_path, settings, said):
    write(tmp_path / "in" / "a")
    pairs = find(tmp_path / "in", tmp_path / "out")
    run(pairs, sharpen=ONE)
    other = run(pairs, sharpen=ONE, settings=settings).outcomes[0]
    assert other.status == "skipped"
    assert other.note == (
        f"the result that is there was made with other settings (none, not {said}); --again replaces it"
    )
    assert run(pairs, sharpen=ONE, settings=settings, skip_done=False).ok
    assert run(pairs, sharpen=ONE, settings=settings).outcomes[0].note is None
    assert f"({said}, not none)" in run(pairs, sharpen=ONE).outcomes[0].note


def test_another_seed_is_named_and_what_changes_nothing_is_not(tmp_path):
    write(tmp_path / "in" / "a")
    pairs = find(tmp_path / "in", tmp_path / "out")
    run(pairs, sharpen=ONE, method="gsa")
    same = {"threads": 2, "memory": 4096, "creation": {}}
    assert run(pairs, method="gsa", settings=same).outcomes[0].note is None
    other = run(pairs, method="gsa", settings={"seed": 3}, options={"form": "physical"}).outcomes[0].note
    assert "other options (none, not form=physical) and other seed (0, not 3)" in other


def test_every_keyword_that_shapes_a_result_is_in_its_tags():
    """A new keyword of `sharpen` belongs in the tags, or in this list of those that change nothing in the file."""
    known = {name: word.default for name, word in inspect.signature(sharpen).parameters.items()}
    elsewhere = {"pan", "ms", "out", "method", "options", "seed"}
    nothing = {
        "overwrite",
        "resume",
        "preview",
        "preview_bands",
        "device",
        "threads",
        "memory",
        "progress",
        "say",
        "prepare",
    }
    assert {name: known[name] for name in known.keys() - elsewhere - nothing} == dict(DEFAULTS)


def test_a_new_pair_is_no_resumed_one(tmp_path, caplog):
    write(tmp_path / "in" / "a")
    done = run(find(tmp_path / "in", tmp_path / "out"), sharpen=ONE)
    assert not [text for text in done.outcomes[0].report.warnings if "resume" in text]
    assert "resume" not in caplog.text


def test_results_of_another_program_are_named(tmp_path):
    write(tmp_path / "in" / "a")
    pairs = find(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out").mkdir()
    save(pairs.jobs[0].out, np.ones((3, 16, 16), np.uint8))
    assert "made with another program;" in run(pairs, sharpen=ONE).outcomes[0].note


def test_a_standing_result_is_closed_when_it_is_broken(source, tmp_path, monkeypatch):
    opened = []

    class Watched(batch.Reader):
        def __init__(self, *words):
            super().__init__(*words)
            opened.append(self)

    run(find(source, tmp_path / "out"), sharpen=ONE)
    result = tmp_path / "out" / "c_sharpened.tif"
    result.write_bytes(result.read_bytes()[: result.stat().st_size // 2])
    monkeypatch.setattr(batch, "Reader", Watched)
    assert statuses(run(find(source, tmp_path / "out"), sharpen=ONE)) == ["skipped", "failed", "done"]
    assert len(opened) == 2
    assert not any(reader._opened for reader in opened)


def unfinished(folder):
    """What interrupted runs leave, as far as the batch looks at it."""
    folder.mkdir()
    for name in "abc":
        for end in ("", ".json"):
            (folder / f".{name}_sharpened.tif.partial{end}").write_text("x")


def test_only_an_error_of_resuming_starts_anew(source, tmp_path):
    calls = []
    unfinished(tmp_path / "out")

    def other(pan, ms, out, *, resume, **how):
        calls.append(resume)
        raise (ResumeError if resume else OutputError)(f"{out}: run again without --resume to start anew")

    run(find(source, tmp_path / "out"), sharpen=other)
    assert calls == [True, False] * 3


def test_a_result_that_is_older_or_broken_is_made_again(source, tmp_path):
    out = tmp_path / "out"
    first = run(find(source, out), sharpen=ONE)
    whole = (out / "c_sharpened.tif").read_bytes()
    (out / "c_sharpened.tif").write_bytes(whole[: len(whole) // 2])
    later = (out / "a_sharpened.tif").stat().st_mtime + 10
    os.utime(source / "a" / "ms.tif", (later, later))
    second = run(find(source, out), sharpen=ONE)
    assert statuses(second) == statuses(first)
    assert (out / "c_sharpened.tif").read_bytes() == whole


def stopped(done, total):
    raise KeyboardInterrupt


def test_an_interrupted_pair_goes_on(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write(source / "a", height=600, width=64)
    write(source / "b")
    with pytest.raises(KeyboardInterrupt):
        run(find(source, out), sharpen=partial(ONE, progress=stopped))
    assert [pair["status"] for pair in record(out)["pairs"]] == ["interrupted", "waiting"]
    assert not (out / "a_sharpened.tif").exists()
    done = run(find(source, out), sharpen=ONE)
    assert done.ok
    assert done.outcomes[0].report.tiles == {"all": 2, "resumed": 1}
    ONE(source / "a" / "pan.tif", source / "a" / "ms.tif", tmp_path / "alone.tif")
    assert (out / "a_sharpened.tif").read_bytes() == (tmp_path / "alone.tif").read_bytes()
    assert not list(out.glob(".*"))


def test_an_interrupted_pair_starts_anew_with_another_method(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write(source / "a", height=600, width=64)
    with pytest.raises(KeyboardInterrupt):
        run(find(source, out), sharpen=partial(ONE, progress=stopped))
    done = run(find(source, out), sharpen=ONE, method="exp")
    assert done.ok
    assert done.outcomes[0].report.tiles == {"all": 2, "resumed": 0}


def test_a_full_disk_does_not_throw_away_what_was_done(source, tmp_path):
    calls = []
    unfinished(tmp_path / "out")

    def full(pan, ms, out, **how):
        calls.append(how)
        raise OutputError(f"{out}: the disk is full after 3 of 9 tiles; make room and repeat with --resume")

    done = run(find(source, tmp_path / "out"), sharpen=full)
    assert statuses(done) == ["failed"] * 3
    assert calls == [{"method": DEFAULT, "options": None, "overwrite": True, "resume": True}] * 3


def test_whatever_goes_wrong_with_a_pair_the_others_are_done(source, tmp_path):
    def broken(pan, ms, out, **how):
        if Path(pan).parent.name == "a":
            return [][0]
        raise PanloomError("no\nluck")

    done = run(find(source, tmp_path / "out"), sharpen=broken)
    assert [outcome.error for outcome in done.outcomes] == ["IndexError: list index out of range", "no luck", "no luck"]


def test_results_of_a_csv_may_lie_deeper(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "pairs.csv").write_text("pan,ms,out\na/pan.tif,a/ms.tif,maps/one.tif\n")
    assert run(find(tmp_path / "pairs.csv", tmp_path / "out"), sharpen=ONE).ok
    assert (tmp_path / "out" / "maps" / "one.tif").is_file()


def test_no_pair_is_no_failure(tmp_path):
    (tmp_path / "in").mkdir()
    assert run(find(tmp_path / "in", tmp_path / "out")).ok
    assert record(tmp_path / "out")["pairs"] == []


def test_a_folder_that_cannot_be_made(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        run(find(source, tmp_path / "file" / "out"), sharpen=ONE)
