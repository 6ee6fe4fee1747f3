"""Laws of the training loop."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
import train_tools
from safetensors.torch import load_file
from train_tools import Toy, log, recipe, waves

from panloom.errors import OptionError, TrainingError
from panloom.train import Development, Run, Sgd, Stairs, Supervised, train
from panloom.train._learner import Learner
from panloom.train.recipe import stream

registered = train_tools.toy_in_registry

CPU = torch.device("cpu")


def run(folder, **changes) -> Run:
    return Run(folder, **({"device": "cpu", "threads": 1} | changes))


def after(count):
    """Stops a run after so many steps."""
    asked = iter(range(10_000))
    return lambda: next(asked) >= count - 1


def same(one, other) -> bool:
    """Whether two checkpoints hold the same numbers, bit for bit, clocks aside."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one if k != "seconds")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def checkpoint(folder):
    return torch.load(folder / "last.pt", weights_only=True)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", [Sgd(0.1), None])
def test_an_interrupted_run_ends_as_a_straight_one_bit_for_bit(tmp_path, precision, optimizer):
    made = recipe(precision=precision, **({"optimizer": optimizer} if optimizer else {}))
    assert train(made, run(tmp_path / "straight"))
    assert not train(made, run(tmp_path / "halves"), stop=after(3))
    assert checkpoint(tmp_path / "halves")["step"] == 3
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    assert train(made, run(tmp_path / "halves", resume=True, workers=2))
    assert same(checkpoint(tmp_path / "straight"), checkpoint(tmp_path / "halves"))
    assert log(tmp_path / "straight") == log(tmp_path / "halves")
    assert (tmp_path / "straight/model.safetensors").read_bytes() == (
        tmp_path / "halves/model.safetensors"
    ).read_bytes()


def test_steps_after_the_last_checkpoint_are_made_again(tmp_path):
    def crash(line):
        if line["step"] == 5:
            raise KeyboardInterrupt

    train(recipe(), run(tmp_path / "straight"))
    train(recipe(), run(tmp_path / "crash"), stop=after(2))
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), run(tmp_path / "crash", resume=True), [crash])
    with (tmp_path / "crash" / "train.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # a line that was cut
    assert [line["step"] for line in log_until_cut(tmp_path / "crash")] == [1, 2, 3, 4, 5]
    train(recipe(), run(tmp_path / "crash", resume=True))
    assert log(tmp_path / "crash") == log(tmp_path / "straight")


def log_until_cut(folder):
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()[:-1]]


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"step": 1}\n')
    with pytest.warns(UserWarning, match="no checkpoint yet: the run begins again with step 1"):
        train(recipe(), run(tmp_path, resume=True))
    assert [line["step"] for line in log(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("folder", ["none", "."])
def test_where_there_is_no_run_none_goes_on(tmp_path, folder):
    with pytest.raises(TrainingError, match=r"holds no run that --resume could go on with: give .*--out, or leave"):
        train(recipe(), run(tmp_path / folder, resume=True))
    assert not list(tmp_path.iterdir())


def test_training_lowers_the_loss(tmp_path):
    train(recipe(steps=60), run(tmp_path))
    losses = [line["loss"] for line in log(tmp_path)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_result_is_the_average_and_its_facts(tmp_path):
    made = recipe()
    train(made, run(tmp_path, origin={"recipe": "toy.py"}))
    state = checkpoint(tmp_path)
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], state["average"][name]) for name in Toy().state_dict())
    assert not torch.equal(state["average"]["body.weight"], state["net"]["body.weight"])
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["steps"] == 6
    assert facts["recipe"] == "toy.py"
    assert facts["seconds"] >= 0
    assert facts["hardware"]
    assert facts["settings"] == made.settings()


def test_without_an_average_the_last_weights_are_the_result(tmp_path):
    train(recipe(ema=None), run(tmp_path))
    state, kept = checkpoint(tmp_path), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], state["net"][name]) for name in kept)


def test_a_step_is_that_of_plain_torch(tmp_path):
    """Float32, one example, no clipping: the loop adds nothing to what anybody would write."""
    made = recipe(precision="float32", clip=None, ema=None, steps=3, schedule=Stairs(), optimizer=Sgd(0.05, 0.9))
    net = Learner(made, CPU).net
    optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9)
    for step in range(3):
        optimizer.zero_grad()
        batch = made.draw(step)
        (net(batch.pair) - batch.truth).abs().mean().backward()
        optimizer.step()
    train(made, run(tmp_path))
    kept = load_file(tmp_path / "model.safetensors")
    for name, value in net.state_dict().items():
        assert torch.allclose(kept[name], value, atol=1e-6), name


def test_the_gradient_of_several_examples_is_their_mean():
    made = recipe(precision="float32")
    learner = Learner(made, CPU)
    gradients = [learner.gradient(made.draw(i), stream(0, "objective", i))[1] for i in (0, 1)]
    both = [made.draw(i) for i in (0, 1)]
    mean = sum((learner.net(b.pair) - b.truth).abs().mean() for b in both) / 2
    slopes = torch.autograd.grad(mean, list(learner.net.parameters()), allow_unused=True, materialize_grads=True)
    assert torch.allclose(torch.cat([s.reshape(-1) for s in slopes]), sum(gradients) / 2, atol=1e-6)


def test_layers_compute_in_bfloat16_and_weights_stay_float32():
    made = recipe()
    learner = Learner(made, CPU)
    seen = []

    def objective(net, batch, rng):
        seen.append(net.features(batch.pair).dtype)
        image = net(batch.pair)
        assert image.dtype == torch.float32
        return (image - batch.truth).square().mean()

    learner = Learner(dataclasses.replace(made, objective=objective), CPU)
    _, gradient = learner.gradient(made.draw(0), stream(0, "objective"))
    learner.update(gradient, 0.1)
    assert seen == [torch.bfloat16]
    assert gradient.dtype == torch.float32
    assert {p.dtype for p in learner.net.parameters()} == {torch.float32}
    # Steps far below the resolution of bfloat16 are kept.
    before = learner.net.body.weight.detach().clone()
    learner.update(gradient, 0.1)
    assert 0 < (learner.net.body.weight - before).abs().max() < 0.02


def test_clipping_bounds_the_step():
    made = recipe(optimizer=Sgd(1.0, 0.0), schedule=Stairs(), clip=0.5, precision="float32")
    learner = Learner(made, CPU)
    before = torch.cat([p.detach().reshape(-1).clone() for p in learner.net.parameters()])
    gradient = torch.full_like(before, 3.0)
    learner.update(gradient, float(gradient.norm()))
    moved = torch.cat([p.detach().reshape(-1) for p in learner.net.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-4)


def test_first_weights_depend_on_the_seed_and_on_nothing_else():
    weights = []
    for seed in (0, 0, 1):
        torch.rand(1)  # the state of torch's own generator is another one each time
        weights.append(Learner(recipe(seed=seed), CPU).net.body.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_draws_nothing_from_torch_s_own_generator(tmp_path):
    before = torch.get_rng_state()
    train(recipe(), run(tmp_path))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_goes_on_from_the_weights_of_another(tmp_path):
    train(recipe(), run(tmp_path / "one"))
    file = tmp_path / "one" / "model.safetensors"
    learner = Learner(recipe(), CPU, file)
    assert torch.equal(learner.net.body.weight, load_file(file)["body.weight"])
    with pytest.raises(TrainingError, match="no weights for this network"):
        Learner(recipe(options={"bands": 3}), CPU, file)
    with pytest.raises(TrainingError, match="no weights for this network"):
        Learner(recipe(), CPU, tmp_path / "none.safetensors")


def test_a_run_begins_with_what_a_checkpoint_would_keep(tmp_path):
    train(recipe(), run(tmp_path / "one"), stop=after(3))
    file = tmp_path / "one" / "last.pt"
    train(recipe(steps=1, optimizer=Sgd(0.0)), run(tmp_path / "two", init=file))
    kept, average = load_file(tmp_path / "two" / "model.safetensors"), checkpoint(tmp_path / "one")["average"]
    assert all(torch.allclose(kept[name], average[name], rtol=1e-6) for name in kept)
    with pytest.raises(TrainingError, match="no weights for this network"):
        Learner(recipe(options={"bands": 3}), CPU, file)
    torch.save(Toy().state_dict(), tmp_path / "plain.pt")
    (tmp_path / "words.txt").write_text("no weights")
    torch.save({"version": 1, "step": _Bomb()}, tmp_path / "bomb.pt")
    for name in ("plain.pt", "words.txt", "bomb.pt"):
        with pytest.raises(TrainingError, match=rf"{name}: .*--init takes .*model\.safetensors .*last\.pt"):
            Learner(recipe(), CPU, tmp_path / name)


def test_a_torch_that_is_not_safe_reads_no_checkpoint(tmp_path, monkeypatch):
    train(recipe(), run(tmp_path / "one"), stop=after(3))
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was read"))
    for changes in ({"resume": True}, {"init": tmp_path / "one" / "last.pt"}):
        out = tmp_path / ("one" if "resume" in changes else "two")
        with pytest.raises(TrainingError, match=r"last\.pt: torch 2\.9\.1.*update torch to 2\.10"):
            train(recipe(), run(out, **changes))
    assert (tmp_path / "one" / "last.pt").is_file()


def test_development_scores_stand_in_the_log(tmp_path):
    seen = []

    def score(net):
        assert not net.training
        assert not torch.is_grad_enabled()
        seen.append(net.body.weight.clone())
        return {"ergas": float(len(seen))}

    train(recipe(development=Development(score, 4)), run(tmp_path))
    looks = [line for line in log(tmp_path) if "development" in line]
    assert looks == [{"step": 4, "development": {"ergas": 1.0}}, {"step": 6, "development": {"ergas": 2.0}}]
    assert torch.equal(seen[-1], load_file(tmp_path / "model.safetensors")["body.weight"])


# Bad numbers.


def spoiled(index_of_step, kind):
    """An objective that gives a bad loss, or a good loss with a bad gradient, at one call."""
    calls = iter(range(10_000))

    def objective(net, batch, rng):
        loss = Supervised("l1")(net, batch, rng)
        if next(calls) != index_of_step:
            return loss
        return loss * math.nan if kind == "loss" else loss + (net.idle[0].float() - 1).abs().sqrt()

    return objective


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_numbers_that_are_none_stop_the_run_and_spoil_nothing(tmp_path, kind):
    made = recipe(objective=spoiled(7, kind), examples=2, clip=None)
    with pytest.raises(TrainingError, match=r"step 4: not finite in example 7 .*seed 0.*last\.pt.*draw\(7\)"):
        train(made, run(tmp_path, save_every=0.0))
    state = checkpoint(tmp_path)
    assert state["step"] == 3
    assert all(value.isfinite().all() for value in state["net"].values())
    assert [line["step"] for line in log(tmp_path)] == [1, 2, 3]
    assert not (tmp_path / "model.safetensors").exists()


def test_weights_that_are_not_finite_do_not_replace_a_checkpoint(tmp_path):
    made = recipe()
    train(made, run(tmp_path), stop=after(2))

    def spoil(line):
        if line["step"] == 4:
            spoiled_one["learner"].net.body.weight.data.fill_(math.inf)

    spoiled_one = {}
    original = Learner.restore

    def restore(self, state):
        spoiled_one["learner"] = self
        original(self, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "restore", restore)
        with pytest.raises(TrainingError, match="weights are not finite"):
            train(made, run(tmp_path, resume=True), [spoil], stop=after(2))
    assert checkpoint(tmp_path)["step"] == 2


# The folder.


def test_a_folder_that_holds_a_run_is_refused(tmp_path):
    train(recipe(), run(tmp_path))
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=r"holds a run already .*--resume"):
        train(recipe(seed=3), run(tmp_path))
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"options": {"bands": 3}}, "options was"),
        ({"optimizer": Sgd(0.1)}, "optimizer was Adam.*is Sgd"),
        ({"objective": Supervised("mse")}, "objective was .*l1.* is .*mse"),
        ({"precision": "float32"}, "precision was 'bfloat16' and is 'float32'"),
        ({"steps": 9}, "steps was 6 and is 9 .*cannot be prolonged"),
        ({"examples": 2}, "examples was 1 and is 2"),
    ],
)
def test_another_recipe_does_not_go_on(tmp_path, changes, told):
    train(recipe(), run(tmp_path), stop=after(2))
    with pytest.raises(TrainingError, match=told):
        train(recipe(**changes), run(tmp_path, resume=True))


class Told:
    """A source that tells its settings."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return f"Told({self.words})"

    def __call__(self, rng):
        return waves(rng)


def test_a_source_that_draws_something_else_does_not_go_on(tmp_path):
    same_so_far = "range=1, " * 200
    train(recipe(source=Told(f"{same_so_far}gaps=0.25")), run(tmp_path), stop=after(2))
    with pytest.raises(TrainingError, match=r"source was \.\.\..*gaps=0\.25.* and is \.\.\..*gaps=0\.5") as caught:
        train(recipe(source=Told(f"{same_so_far}gaps=0.5")), run(tmp_path, resume=True))
    assert len(str(caught.value)) < 700
    # Checkpoints of before told the kind of a source alone.
    state = checkpoint(tmp_path)
    torch.save(state | {"settings": state["settings"] | {"source": "Told"}}, tmp_path / "last.pt")
    assert train(recipe(source=Told("")), run(tmp_path, resume=True))


def test_a_schedule_without_an_end_may_be_prolonged(tmp_path):
    made = recipe(schedule=Stairs(2, 0.5))
    train(made.changed(steps=9), run(tmp_path / "straight"))
    train(made, run(tmp_path / "longer"))
    assert train(made.changed(steps=9), run(tmp_path / "longer", resume=True))
    one, other = checkpoint(tmp_path / "straight"), checkpoint(tmp_path / "longer")
    assert same(one, other)
    assert log(tmp_path / "straight") == log(tmp_path / "longer")
    with pytest.raises(TrainingError, match="steps was 9 and is 5"):
        train(made.changed(steps=5), run(tmp_path / "longer", resume=True))


def test_an_old_checkpoint_is_refused_with_the_reason(tmp_path):
    train(recipe(), run(tmp_path), stop=after(2))
    torch.save(checkpoint(tmp_path) | {"version": 0}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"version 0; .* version 1 only"):
        train(recipe(), run(tmp_path, resume=True))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    train(recipe(), run(tmp_path / "straight"))
    train(recipe(), run(tmp_path / "hurt", save_every=0.0), stop=after(4))
    last = tmp_path / "hurt" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"last\.pt is damaged .*previous\.pt, step 3"):
        train(recipe(), run(tmp_path / "hurt", resume=True))
    assert log(tmp_path / "hurt") == log(tmp_path / "straight")
    last.write_bytes(b"no checkpoint")
    (tmp_path / "hurt" / "previous.pt").write_bytes(b"neither")
    with pytest.raises(TrainingError, match="cannot be read"):
        train(recipe(), run(tmp_path / "hurt", resume=True))


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemError('a pickle was run')",))


def test_a_pickle_is_not_run(tmp_path):
    train(recipe(), run(tmp_path), stop=after(2))
    torch.save({"version": 1, "step": _Bomb()}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="cannot be read"):
        train(recipe(), run(tmp_path, resume=True))


def test_what_may_change_the_run_is_warned_of(tmp_path):
    train(recipe(), run(tmp_path, origin={"data": "here"}), stop=after(2))
    with pytest.warns(UserWarning, match="begun with data here and goes on with there"):
        train(recipe(), run(tmp_path, resume=True, origin={"data": "there"}))


def test_a_gpu_that_is_not_there_is_an_error(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(OptionError, match="'cuda' is not there"):
        train(recipe(), run(tmp_path, device="cuda"))


def test_an_error_of_the_source_comes_out(tmp_path):
    def broken(rng):
        raise OptionError("no such file")

    with pytest.raises(OptionError, match="no such file"):
        train(recipe(source=broken), run(tmp_path))
    train(recipe(), run(tmp_path))


def test_examples_are_pure_functions_of_seed_and_number():
    made = recipe()
    assert torch.equal(made.draw(3).truth, made.draw(3).truth)
    assert not torch.equal(made.draw(3).truth, made.draw(4).truth)
    assert not torch.equal(made.draw(3).truth, recipe(seed=1).draw(3).truth)
    assert torch.equal(made.draw(3).truth, waves(stream(0, "example", 3)).truth)
