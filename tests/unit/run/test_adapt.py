"""Weights adapted to a scene are saved with a card, and are a method on others."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from panloom import networks, weights
from panloom.cli import main
from panloom.data import georeference, make, procedural
from panloom.errors import MethodError, OptionError, OutputError, PanloomError, PanloomWarning, SceneError, WeightsError
from panloom.networks import SourceStatistics
from panloom.optics.alignment import aligned, offset
from panloom.run._scenes import FEWEST, Several
from panloom.run._units import Scaled
from panloom.run.adapt import _together, adapt_to
from panloom.run.evaluate import evaluate
from panloom.run.fuse import fuse
from panloom.run.reading import Reading
from panloom.run.resolve import options_of, resolve
from panloom.run.sharpen import sharpen
from panloom.scene import Reader, describe, open_scene
from panloom.scene.saving import save
from panloom.types import Tile, Window
from panloom.weights import _store

CENTRED = (1.5, 1.5)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """One parent, a small network as drawn, in the user's folder."""
    monkeypatch.setattr(_store, "SHIPPED", tmp_path / "nothing")
    monkeypatch.setenv("PANLOOM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.build("pnn", {"bands": 4})
    net.source = SourceStatistics((0.2,) * 4, (0.05,) * 4, 0.3, 0.08)
    weights.save(net, weights.Card("pnn.x", "a licence of its own", options={"bands": 4}, bands=4, limits="no clouds"))
    return tmp_path / "own"


def write(folder: Path, name: str, sensor: str = "quickbird", seed: int = 1, cells: int = 32) -> tuple[Path, Path]:
    made = make(4 * cells, 4 * cells, sensor=sensor, bands=4, phase=CENTRED, wedge=False, seed=seed)
    folder.mkdir(exist_ok=True)
    place, files = georeference(made), (folder / f"{name}_pan.tif", folder / f"{name}_ms.tif")
    names = [band.name for band in made.sensor.bands]
    for path, image, transform, said in (
        (files[0], made.pan[None], place.pan, ["pan"]),
        (files[1], made.ms, place.ms, names),
    ):
        save(path, image, crs=place.crs, transform=transform, descriptions=said, tags={"SENSOR": sensor})
    return files


@pytest.fixture
def pair(tmp_path):
    return write(tmp_path / "scene", "a")


def arrays(sensor: str = "quickbird", seed: int = 1):
    made = make(128, 128, sensor=sensor, bands=4, phase=CENTRED, wedge=False, seed=seed)
    return made.pan.astype("float32"), made.ms.astype("float32")


def read(path: Path) -> np.ndarray:
    raster = describe(str(path))
    with closing(Reader(raster, raster.bands)) as reader:
        return reader.read(Window(0, 0, raster.height, raster.width))[0]


def told(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    return done.exit_code, done.output


# ---- the file ------------------------------------------------------------------------------------


def test_the_file_is_the_method_on_its_scene_and_its_card_tells(pair, tmp_path):
    done = adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", options={"gate": 9, "tiles": "2"}, seed=3)
    parent, card = weights.card("pnn.x"), weights.card(done.file)
    assert card == done.card
    assert (card.name, card.parent, card.licence) == ("pnn.x-refit", "pnn.x", parent.licence)
    assert (card.ratios, card.full_scale, card.dtype) == ((4,), 2047.0, "float32")
    assert card.limits.startswith("no clouds ")
    made = card.adapted
    assert made is not None
    assert (made.adapter, made.scenes, made.sensor, made.seed) == ("refit", ("a_pan",), "quickbird", 3)
    assert (made.decision, made.parent_sha256) == ("adapted", parent.sha256)
    assert (made.options["gate"], made.options["tiles"]) == (9.0, 2)
    assert weights.parse_card(json.loads(json.dumps(weights._store._as_read(card))), "x") == card
    given = {"precision": "float32", "threads": 1}
    written = {"dtype": "float32", **given}
    sharpen(*pair, tmp_path / "a.tif", method="pnn.x+refit", options={"gate": 9, "tiles": 2}, seed=3, **written)
    report = sharpen(*pair, tmp_path / "b.tif", method=done.file, seed=8, **written)
    assert report.warnings == ()
    expected = read(tmp_path / "a.tif")
    assert np.array_equal(read(tmp_path / "b.tif"), expected)
    pan, ms = arrays()
    fused = fuse(pan, ms, method=done.file, sensor="quickbird", full_scale=2047.0, **given)
    np.testing.assert_allclose(fused, expected, rtol=1e-3, atol=1e-3)
    # The same land in other units is the same image: what is 1 inside does not matter.
    scaled = fuse(pan, ms, method=done.file, sensor="quickbird", full_scale=4094.0, **given)
    np.testing.assert_allclose(scaled, fused, rtol=1e-4)


def test_a_score_of_the_file_is_that_of_the_adapter_on_its_scene(pair, tmp_path):
    file = adapt_to("pnn.x+refit", *pair, out=tmp_path, options={"gate": 9}).file
    recorded, _ = Reading().read(str(pair[0]), [str(pair[1])])
    found = evaluate(recorded, [file, "pnn.x+refit"], protocol="full", options={"gate": 9})
    made, fitted = (score.values["hqnr-physical"] for score in found.scores)
    assert made == pytest.approx(fitted, rel=1e-4)


def test_it_has_a_name_where_weights_are_looked_for(pair, folder):
    adapt_to("pnn.x+swift", *pair, out=folder, options={"gate": 9, "epochs": 1}, tag="mine")
    assert "pnn.mine" in weights.names()
    assert weights.verify("pnn.mine").adapted is not None
    assert options_of("pnn.mine") == []
    assert resolve("pnn.mine").traits.ratios == (4,)
    assert "adapted by: swift" in told("weights", "show", "pnn.mine")[1]
    with pytest.raises(MethodError, match=r"its parent does: pnn\.x\+refit"):
        resolve("pnn.mine+refit")
    with pytest.raises(WeightsError, match="more than a network"):
        weights.load("pnn.mine")


def test_a_refused_fit_is_saved_frozen_and_said(pair, tmp_path, caplog):
    code, said = told("adapt", "pnn.x+refit", *pair, "--out", tmp_path / "out", "--set", "gate=0")
    assert code == 0
    assert "use it as --method" in said
    assert "what is saved is the frozen network" in caplog.text
    card = weights.card(tmp_path / "out" / "pnn.x-refit.safetensors")
    assert card.adapted is not None
    assert card.adapted.decision == "frozen"
    assert "more than 0" in card.adapted.reason
    report = sharpen(*pair, tmp_path / "b.tif", method=str(tmp_path / "out" / "pnn.x-refit.safetensors"))
    assert any("the gate refused the fit" in text for text in report.warnings)


def test_what_is_there_is_kept(pair, tmp_path):
    out = tmp_path / "out"
    first = Path(adapt_to("pnn.x+refit", *pair, out=out, options={"gate": 9}).file)
    before = first.read_bytes()
    with pytest.raises(WeightsError, match="is there already"):
        adapt_to("pnn.x+refit", *pair, out=out)
    with pytest.raises(PanloomError):
        adapt_to("pnn.x+refit", pair[0], tmp_path / "none.tif", out=out, overwrite=True)
    assert first.read_bytes() == before
    first.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"damaged or was changed.* copy both files once more, or adapt again"):
        resolve(str(first))


def test_a_file_that_lost_its_card_is_told_for_what_it_is(pair, tmp_path):
    file = Path(adapt_to("pnn.x+swift", *pair, out=tmp_path / "out", options={"gate": 9, "epochs": 1}).file)
    file.with_suffix(".toml").unlink()
    for use in (resolve, lambda path: weights.import_weights(path, "new", facts={"licence": "MIT"})):
        with pytest.raises(WeightsError, match=r"adapted weights, .* or adapt again") as told:
            use(str(file))
        assert "weights import" not in str(told.value)
    net = Path(weights.path("pnn.x"))
    net.with_suffix(".toml").unlink()
    with pytest.raises(WeightsError, match="panloom weights import makes one"):
        resolve(str(net))


def test_a_missing_input_is_told_before_an_existing_output(pair, tmp_path):
    adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", options={"gate": 9})
    with pytest.raises(SceneError, match=r"none\.tif"):
        adapt_to("pnn.x+refit", pair[0], tmp_path / "none.tif", out=tmp_path / "out")


def test_the_card_is_shown_as_that_of_an_adaptation(pair, tmp_path):
    card = adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", options={"gate": 9}).card
    assert card.adapted is not None
    assert card.adapted.statistics is not None
    shown = dict(weights.facts(replace(card, data="what the parent saw")))
    assert shown["parent trained on"] == "what the parent saw"
    assert " s on " in shown["adaptation took"]
    mean = 2047 * sum(card.adapted.statistics.mean) / 4
    assert shown["mean of what it was adapted to"] == f"{mean:.4g}, over all bands"
    assert arrays()[1].mean() == pytest.approx(mean, rel=0.01)
    assert not [label for label in shown if "training" in label or label == "trained on"]


def test_warnings_do_not_speak_of_sharpening(tmp_path):
    made = make(128, 128, sensor="worldview-3", bands=8, phase=CENTRED, wedge=False, seed=1)
    save(tmp_path / "pan.tif", made.pan[None], crs=None, transform=None)
    save(tmp_path / "ms.tif", made.ms[:5], crs=None, transform=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.build("pnn", {"bands": 5})
    weights.save(net, weights.Card("pnn.five", "MIT", options={"bands": 5}, bands=5))
    done = adapt_to("pnn.five+refit", tmp_path / "pan.tif", tmp_path / "ms.tif", out=tmp_path / "out")
    assert any("are treated like the others" in text for text in done.warnings)
    assert not any("sharpened" in text for text in (*done.warnings, *done.notes))


# ---- scenes that do not fit ----------------------------------------------------------------------


def test_another_scene_is_held_against_the_card(pair, tmp_path):
    file = adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", options={"gate": 9}).file
    pan, ms = arrays()
    with pytest.raises(MethodError, match="works at ratio 4"):
        fuse(pan, ms[:, ::2, ::2], method=file, sensor="quickbird")
    with pytest.raises(MethodError, match=r"works on 4 bands .*, and this scene has 3: blue, green, red; no weights"):
        fuse(pan, ms[:3], method=file, sensor="quickbird", bands=["blue", "green", "red"])
    with pytest.warns(PanloomWarning, match=r"whose MTF gains are.*adapt its parent to this scene$"):
        fuse(pan, ms, method=file, sensor="ikonos")
    with pytest.warns(PanloomWarning, match=r"whose MTF gains are.*\(--sensor\)$"):
        fuse(pan, ms, method=file)


def test_a_scene_in_other_units_is_warned_of(pair, tmp_path):
    file = adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", options={"gate": 9}).file
    pan, ms = arrays()
    with pytest.warns(PanloomWarning, match=r"10 times as much, hardly the same units"):
        fuse(10 * pan, 10 * ms, method=file, sensor="quickbird")
    recorded, _ = Reading().read(str(pair[0]), [str(pair[1])])
    same, more = (
        evaluate(replace(recorded, pan=k * recorded.pan, ms=k * recorded.ms), [file], protocol="full").remarks
        for k in (1, 10)
    )
    assert [sum("times as much" in text for text in texts) for texts in (same, more)] == [0, 1]


@pytest.mark.parametrize(
    ("method", "match"),
    [
        ("gsa", "name trained weights and one adapter"),
        ("pnn.x", "name trained weights and one adapter"),
        ("regression", "name trained weights and one adapter"),
        ("pnn.x+project", "learns nothing"),
        ("pnn.x+refitt", "did you mean"),
    ],
)
def test_what_cannot_be_adapted(method, match, pair, tmp_path):
    with pytest.raises(MethodError, match=match):
        adapt_to(method, *pair, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_words(pair, tmp_path):
    with pytest.raises(OptionError, match="a tag is small letters"):
        adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", tag="Not This")
    with pytest.raises(OptionError, match="name its MS"):
        adapt_to("pnn.x+refit", pair[0], out=tmp_path / "out")
    with pytest.raises(OptionError, match="nothing may stand beside it"):
        adapt_to("pnn.x+refit", tmp_path, pair[1], out=tmp_path / "out")
    with pytest.raises(OutputError, match="is a file"):
        adapt_to("pnn.x+refit", *pair, out=pair[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SceneError, match="holds no pair"):
        adapt_to("pnn.x+refit", tmp_path / "empty", out=tmp_path / "out")


# ---- several scenes ------------------------------------------------------------------------------


def test_a_folder_is_adapted_to_together(tmp_path):
    for k in range(2):
        write(tmp_path / "many", f"scene{k}", seed=k)
    steps = []
    done = adapt_to(
        "pnn.x+refit",
        tmp_path / "many",
        out=tmp_path / "out",
        options={"gate": 9},
        progress=lambda now, all_: steps.append((now, all_)),
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert done.card.adapted is not None
    assert len(done.card.adapted.scenes) == len(done.inputs) == 2
    assert {place["row"] >= 4 * FEWEST for place in done.fit["places"]} == {False, True}  # pyright: ignore[reportGeneralTypeIssues]


def test_the_odd_scene_is_named(tmp_path):
    write(tmp_path / "many", "scene0")
    write(tmp_path / "many", "scene1", sensor="ikonos")
    with pytest.raises(SceneError, match=r"scene1_pan\.tif has sensor ikonos.* \(--sensor\)"):
        adapt_to("pnn.x+refit", tmp_path / "many", out=tmp_path / "out")


def test_advice_that_was_followed_is_not_given_again(tmp_path):
    write(tmp_path / "many", "scene0")
    made = make(64, 64, sensor="landsat-8", bands=["blue", "green", "red", "nir"], wedge=False, seed=2)
    place = georeference(made)
    save(tmp_path / "many" / "scene1_pan.tif", made.pan[None], crs=place.crs, transform=place.pan)
    save(tmp_path / "many" / "scene1_ms.tif", made.ms, crs=place.crs, transform=place.ms)
    with pytest.raises(SceneError, match=r"has ratio 2.*leave one of them out$"):
        adapt_to("pnn.x+refit", tmp_path / "many", out=tmp_path / "out", sensor="quickbird")


def test_several_scenes_are_one_with_no_data_between(tmp_path):
    scenes = [
        open_scene(*map(str, write(tmp_path / "many", f"s{k}", seed=k, cells=n))).scene for k, n in ((0, 32), (1, 40))
    ]
    both = Several((scenes[0], Scaled(scenes[1], 2.0)))
    assert both.grid.cells == (2 * FEWEST, FEWEST)
    cells = Window(FEWEST, 0, 48, 48)
    pair = both.read(Tile(0, cells.scaled(4), cells))
    own = Window(0, 0, 40, 40)
    alone = scenes[1].read(Tile(0, own.scaled(4), own))
    assert pair.ms.shape[-2:] == (48, 48)
    assert pair.origin == (4 * FEWEST, 0)
    assert torch.equal(pair.pan[..., :160, :160], 2 * alone.pan)
    assert torch.equal(pair.valid[..., :160, :160], alone.valid)
    assert not pair.valid[..., 160:, :].any()
    far = Window(100, 100, 8, 8)
    assert not both.read(Tile(0, far.scaled(4), far)).valid.any()
    drawn = list(both.sample(4, 16, torch.Generator().manual_seed(0)))
    assert [sum(p.origin[0] >= 4 * FEWEST for p in drawn), len(drawn)] == [2, 4]
    assert len(list(both.survey())) == sum(len(list(scene.survey())) for scene in scenes)
    for scene in scenes:
        scene.close()


def test_each_of_several_scenes_has_its_own_offset_corrected(tmp_path):
    opened = []
    for k, beside in enumerate([(0.8, -1.6), (-0.8, 1.6)]):
        recording = procedural.Recording(ratio=4, misregistration=beside)
        made = make(512, 512, sensor="quickbird", wedge=False, seed=k, recording=recording)
        place = georeference(made)
        save(tmp_path / f"{k}_pan.tif", made.pan[None], crs=place.crs, transform=place.pan)
        save(tmp_path / f"{k}_ms.tif", made.ms, crs=place.crs, transform=place.ms)
        opened.append(open_scene(*(str(tmp_path / f"{k}_{kind}.tif") for kind in ("pan", "ms")), sensor="quickbird"))
    together = _together(opened)
    pairs = list(together.sample(2, 96, torch.Generator().manual_seed(0)))
    assert len({pair.origin[0] >= together.grid.height // 2 for pair in pairs}) == 2
    for pair in pairs:
        assert np.hypot(*offset([pair], 4)) < 0.2
    for one in opened:
        assert np.hypot(*aligned(one.scene).offset) > 1.5
        one.scene.close()


def test_a_card_of_adapted_weights_is_checked(pair, tmp_path):
    file = adapt_to("pnn.x+refit", *pair, out=tmp_path / "out", options={"gate": 9}).file
    card = weights.card(file)
    assert card.adapted is not None
    path = Path(file).with_suffix(".toml")
    for change, match in (
        (replace(card, ratios=None), "the one ratio"),
        (replace(card, bands=None), "the bands of the scene"),
        (replace(card, adapted=replace(card.adapted, adapter="refitt")), "cannot be followed"),
        (replace(card, adapted=replace(card.adapted, options={"what": 1})), "cannot be followed"),
        (replace(card, adapted=replace(card.adapted, adapter="project", options={})), "keeps nothing"),
        (replace(card, adapted=None), "these are no weights of"),
    ):
        path.write_text(weights.card_text(change))
        with pytest.raises(WeightsError, match=match):
            resolve(file)
