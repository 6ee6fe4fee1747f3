"""Files with networks of others: what is opened, what is refused, and what is said about it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from panloom.analysis import models
from panloom.analysis.foreign import open_model
from panloom.analysis.models import Architecture, _registry
from panloom.errors import MethodError, OptionError, WeightsError

#: Small ones; those of CARN-M hold two scales.
SMALL = {
    "carn-m": {"scale": 3, "features": 8, "groups": 2, "held": (2, 3)},
    "imdn": {"scale": 2, "features": 8, "blocks": 2},
    "rfdn": {"scale": 4, "features": 8, "kept": 3, "attended": 2},
}
EVERY = pytest.mark.parametrize("name", SMALL)

State = dict[str, Tensor]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(name: str, seed: int = 0, **changed: object) -> Architecture:
    torch.manual_seed(seed)
    return models.get(name)(**{**SMALL[name], **changed}).eval().requires_grad_(False)


def noise(rows: int = 17, columns: int = 18, channels: int = 3, batch: int = 1) -> Tensor:
    return torch.rand(batch, channels, rows, columns, generator=torch.Generator().manual_seed(1))


def kept(folder: Path, state: object, ending: str = ".pth") -> Path:
    path = folder / f"net{ending}"
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    return path


def in_unit_range(net: Architecture, image: Tensor) -> Tensor:
    return net(net.full_scale * image) / net.full_scale


@EVERY
@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".pt", ".PTH"])
def test_what_was_kept_is_what_is_opened(name, ending, tmp_path):
    net = small(name)
    path = kept(tmp_path, net.state_dict(), ending)
    model = open_model(path, scale=net.scale)
    image = noise(batch=2)
    assert torch.equal(model.net(image), in_unit_range(net, image))
    assert (model.name, model.architecture) == ("net", name)
    assert (model.scale, model.channels) == (net.scale, 3)
    assert (model.smallest, model.fixed, model.differentiable) == (net.smallest, None, True)
    assert (model.full_scale, model.parameters) == (net.full_scale, sum(v.numel() for v in net.parameters()))
    assert torch.equal(open_model(str(path), architecture=name, scale=net.scale).net(image), model.net(image))


@pytest.mark.parametrize("wrap", ["state_dict", "model", "module."])
def test_the_weights_may_stand_deeper_in_a_checkpoint(wrap, tmp_path):
    net = small("imdn")
    state: Any = net.state_dict()
    state = {f"module.{key}": v for key, v in state.items()} if wrap == "module." else {wrap: state, "epoch": 3}
    image = noise()
    assert torch.equal(open_model(kept(tmp_path, state)).net(image), net(image))


def test_half_and_double_precision_are_read_as_single(tmp_path):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        state = {key: values.to(dtype) for key, values in small("imdn").state_dict().items()}
        net = small("imdn")
        net.load_state_dict(state)
        assert torch.equal(open_model(kept(tmp_path, state)).net(noise()), net(noise()))


def test_a_model_takes_any_type_and_returns_it_and_needs_no_gradient(tmp_path):
    net = small("rfdn")
    model = open_model(kept(tmp_path, net.state_dict()))
    image = noise()
    before = image.clone()
    made = model.net(image.double())
    assert made.dtype == torch.float64
    assert torch.equal(made, model.net(image).double())
    assert not made.requires_grad
    assert torch.equal(image, before)
    wanted = image.clone().requires_grad_()
    model.net(wanted).sum().backward()
    assert bool(wanted.grad.any())
    with pytest.raises(FrozenInstanceError):
        model.scale = 3


def test_opening_draws_no_random_numbers(tmp_path):
    path = kept(tmp_path, small("imdn").state_dict())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    open_model(path)
    assert torch.equal(torch.rand(1), expected)


def test_the_scale_is_asked_for_where_the_weights_are_for_several(tmp_path):
    path = kept(tmp_path, small("carn-m").state_dict())
    with pytest.raises(OptionError, match=r"carn-m for x2, x3: say which \(scale\)"):
        open_model(path)
    with pytest.raises(OptionError, match="carn-m for x2, x3; asked for: x4"):
        open_model(path, scale=4)
    for scale in (2, 3):
        model = open_model(path, scale=scale)
        assert model.net(noise()).shape == (1, 3, 17 * scale, 18 * scale)
        assert torch.equal(model.net(noise()), small("carn-m", scale=scale)(noise()))


def test_the_scale_is_taken_from_weights_for_one(tmp_path):
    assert open_model(kept(tmp_path, small("carn-m", scale=4, held=(4,)).state_dict())).scale == 4
    path = kept(tmp_path, small("imdn").state_dict())
    assert open_model(path).scale == open_model(path, scale=2).scale == 2
    with pytest.raises(OptionError, match="imdn for x2; asked for: x4"):
        open_model(path, scale=4)
    with pytest.raises(OptionError, match="asked for: x0"):
        open_model(path, scale=0)


def test_weights_without_an_upsampler_are_refused(tmp_path):
    state = {key: v for key, v in small("carn-m").state_dict().items() if "upsample" not in key}
    with pytest.raises(WeightsError, match="carn-m without an upsampler"):
        open_model(kept(tmp_path, state))


def test_an_architecture_is_asked_for_where_two_fit(tmp_path, monkeypatch):
    class Twin(models.get("imdn")):
        pass

    monkeypatch.setitem(_registry._ARCHITECTURES, "twin", Twin)
    path = kept(tmp_path, small("imdn").state_dict())
    with pytest.raises(OptionError, match=r"may be those of imdn or twin: say which \(architecture\)"):
        open_model(path)
    assert open_model(path, architecture="twin").architecture == "twin"
    assert torch.equal(open_model(path, architecture="imdn").net(noise()), small("imdn")(noise()))


def test_an_unknown_architecture_is_told_with_the_known_ones(tmp_path):
    path = kept(tmp_path, small("imdn").state_dict())
    with pytest.raises(
        MethodError, match=r"unknown architecture 'imdm'; did you mean 'imdn'.*known: carn-m, imdn, rfdn"
    ):
        open_model(path, architecture="imdm")


def test_tensors_of_another_network_are_refused(tmp_path):
    path = kept(tmp_path, nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3)).state_dict())
    with pytest.raises(
        WeightsError, match=r"no architecture .* \(carn-m, imdn, rfdn\); .* 0\.weight 4x3x3x3, 0\.bias 4"
    ):
        open_model(path)
    with pytest.raises(WeightsError, match=r"not hold weights of rfdn: .* missing: fea_conv\.weight, B1\.c1_d\.weight"):
        open_model(path, architecture="rfdn")


def without(state: State) -> None:
    del state["LR_conv.bias"]


def another(state: State) -> None:
    state["extra.weight"] = torch.zeros(2)


def thinner(state: State) -> None:
    state["B2.c4.weight"] = state["B2.c4.weight"][:2]


def uneven(state: State) -> None:
    state["upsampler.0.weight"] = state["upsampler.0.weight"][:-5]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (without, r"LR_conv\.bias \(nothing\) instead of 8"),
        (another, r"extra\.weight 2 instead of \(nothing\)"),
        (thinner, r"B2\.c4\.weight 2x8x3x3 instead of 3x8x3x3"),
        (uneven, r"upsampler\.0\.weight 43x8x3x3 instead of 27x8x3x3"),
    ],
)
def test_wrong_tensors_are_named(damage: Callable[[State], None], told: str, tmp_path):
    state = small("rfdn").state_dict()
    damage(state)
    with pytest.raises(WeightsError, match=f"not those of rfdn: .*{told}"):
        open_model(kept(tmp_path, state))


@pytest.mark.parametrize("shape", [(), (8,), (8, 0, 3, 3), (0, 3, 3, 3)])
@EVERY
def test_malformed_first_layers_are_no_crash(name, shape, tmp_path):
    state = small(name).state_dict()
    state[models.get(name).marks[1]] = torch.zeros(shape)
    with pytest.raises(WeightsError, match="no architecture"):
        open_model(kept(tmp_path, state), scale=SMALL[name]["scale"])


def test_numbers_of_which_no_network_can_be_made_are_no_crash(tmp_path):
    state = small("carn-m").state_dict()
    state["b1.b1.body.0.weight"] = torch.zeros(8, 3, 3, 3)  # 8 features are not in groups of 3
    with pytest.raises(WeightsError, match=r"not those of carn-m: .* 8x3x3x3 instead of 8x4x3x3"):
        open_model(kept(tmp_path, state), scale=3)
    state["b1.b1.body.0.weight"] = torch.zeros(8, 16, 3, 3)  # no group at all
    with pytest.raises(WeightsError, match=r"cannot be made with .*'groups': 0"):
        open_model(kept(tmp_path, state), scale=3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_named(value, tmp_path):
    state = small("imdn").state_dict()
    state["model.2.bias"][1] = value
    state["model.0.weight"][0, 0, 0, 0] = value
    with pytest.raises(
        WeightsError, match=r"no finite numbers, in model\.0\.weight, model\.2\.bias: the file is damaged"
    ):
        open_model(kept(tmp_path, state))


def test_whole_numbers_are_no_weights(tmp_path):
    state = {key: values.to(torch.int32) for key, values in small("imdn").state_dict().items()}
    with pytest.raises(WeightsError, match="no finite numbers"):
        open_model(kept(tmp_path, state))


class Program:
    """What a pickle would run when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.mark,)


def test_a_pickle_of_a_whole_network_is_refused_and_never_run(tmp_path):
    path = kept(tmp_path, small("imdn"))
    with pytest.raises(WeightsError, match=r"whole objects .*never runs a pickle.*torch\.save\(model\.state_dict\(\)"):
        open_model(path)
    mark = tmp_path / "ran"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Program(mark)))
    with pytest.raises(WeightsError):
        open_model(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("net.pb", "graph of TensorFlow.*convert it to ONNX"),
        ("net.h5", r"must end in \.safetensors, \.pth, \.pt or \.onnx"),
        ("net", "must end in"),
        ("net.pth", "no checkpoint"),
        ("net.safetensors", "no sound safetensors file"),
    ],
)
def test_files_of_another_kind_are_refused(name, told, tmp_path):
    (tmp_path / name).write_bytes(b"anything at all")
    with pytest.raises(WeightsError, match=told):
        open_model(tmp_path / name)


@pytest.mark.parametrize("name", ["net.pth", "net.onnx", "net.pb", "net.safetensors"])
def test_a_missing_file_is_told(name, tmp_path):
    with pytest.raises(WeightsError, match=f"{name}: there is no such file"):
        open_model(tmp_path / name)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        open_model(tmp_path)


def test_images_that_do_not_fit_are_told(tmp_path):
    model = open_model(kept(tmp_path, small("rfdn").state_dict()))
    with pytest.raises(OptionError, match="net takes images of 3 channels; given: 4"):
        model.net(noise(channels=4))
    with pytest.raises(OptionError, match="net takes images of 15 x 15 pixels or more; given: 14 x 18"):
        model.net(noise(rows=14))
    assert model.net(noise(15, 15)).shape == (1, 3, 60, 60)


def test_the_licence_is_what_the_file_says_or_a_task(tmp_path):
    state = small("rfdn").state_dict()
    told = open_model(kept(tmp_path, state)).licence
    assert "does not know the licence of net.pth" in told
    assert "MIT" in told
    assert "look up where this file is from" in told
    save_file(state, tmp_path / "told.safetensors", metadata={"License": "CC0-1.0"})
    assert open_model(tmp_path / "told.safetensors").licence == "told.safetensors says of its licence: CC0-1.0"


def test_without_onnxruntime_a_graph_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(OptionError, match=r"not installed: pip install panloom\[onnx\]"):
        open_model(tmp_path / "net.onnx")


def test_a_graph_has_its_architecture_in_it(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(OptionError, match="leave out 'rfdn'"):
        open_model(tmp_path / "net.onnx", architecture="rfdn")


@dataclass(frozen=True)
class Graph:
    """Makes small graphs: nearest enlargement, then times `gain`, plus `offset`."""

    folder: Path

    def __call__(
        self,
        size: tuple[int | str, ...] = ("b", 3, "h", "w"),
        scale: int = 2,
        *,
        gain: float = 1.0,
        offset: float = 0.0,
        middle: str | None = None,
        dtype: int = 1,
    ) -> Path:
        onnx = pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
        helper = onnx.helper
        numbers = {
            "zoom": (1, [1.0] * (len(size) - 2) + [scale, scale]),
            "gain": (dtype, [gain]),
            "offset": (dtype, [offset]),
        }
        nodes = [
            helper.make_node("Resize", ["image", "", "zoom"], ["large"], mode="nearest"),
            helper.make_node("Mul", ["large", "gain"], ["times"]),
            helper.make_node("Add", ["times", "offset"], ["sum" if middle else "out"]),
        ]
        if middle:
            nodes.append(helper.make_node(middle, ["sum"], ["out"]))
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("image", dtype, size)],
            [helper.make_tensor_value_info("out", dtype, None)],
            [helper.make_tensor(key, kind, [len(values)], values) for key, (kind, values) in numbers.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = self.folder / "net.onnx"
        onnx.save(model, path)
        return path


@pytest.fixture
def graph(tmp_path) -> Graph:
    return Graph(tmp_path)


def nearest(image: Tensor, scale: int) -> Tensor:
    return image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_graph_is_run_image_by_image(graph, scale):
    path = graph(scale=scale, gain=0.99)
    model = open_model(path)
    assert (model.name, model.architecture, model.scale, model.channels) == ("net", "onnx", scale, 3)
    assert (model.fixed, model.smallest, model.full_scale) == (None, 11, 1.0)
    assert (model.differentiable, model.parameters) == (False, None)
    image = noise(batch=3)
    torch.testing.assert_close(model.net(image), 0.99 * nearest(image, scale))
    assert model.net(image.double()).dtype == torch.float64
    assert "does not know the licence of net.onnx" in model.licence
    assert open_model(path, architecture="onnx", scale=scale).scale == scale


def test_a_graph_has_the_scale_that_it_has(graph):
    with pytest.raises(OptionError, match="enlarges by 2; asked for: 4"):
        open_model(graph(scale=2), scale=4)


@pytest.mark.parametrize("size", [(1, 3, 20, 24), (1, 3, 20, "w"), ("b", 3, 20, 24)])
def test_a_graph_of_one_size_keeps_it(graph, size):
    model = open_model(graph(size))
    expected = (20, 24 if size[3] == 24 else 20)
    assert (model.fixed, model.smallest) == (expected, 1)
    image = noise(*expected, batch=2)
    torch.testing.assert_close(model.net(image), nearest(image, 2))
    with pytest.raises(OptionError, match=rf"images of 20 x {expected[1]} pixels and no others; given: 21 x 24"):
        model.net(noise(21, 24))


def test_a_graph_says_its_channels(graph):
    model = open_model(graph((1, 1, "h", "w")))
    assert model.channels == 1
    with pytest.raises(OptionError, match="takes images of 1 channels; given: 3"):
        model.net(noise())
    assert open_model(graph(("b", "c", "h", "w"))).channels == 3


def test_images_too_small_for_a_graph_are_told(graph):
    with pytest.raises(OptionError, match="11 x 11 pixels or more; given: 8 x 8"):
        open_model(graph()).net(noise(8, 8))


@pytest.mark.parametrize(
    ("gain", "offset", "white"),
    [(1, 0, 1), (1, 0.005, 1), (1, 40, 255), (1, -2, 255), (0.9, 10, 255), (0.7, 0, 1)],
)
def test_the_full_scale_of_a_graph_is_measured(graph, gain, offset, white):
    """Small constants are no sign of 0..255, however much smaller they are there."""
    model = open_model(graph(gain=gain, offset=offset))
    assert model.full_scale == white
    torch.testing.assert_close(model.net(noise()), gain * nearest(noise(), 2) + offset / white)


def test_graphs_that_are_no_enlargement_are_refused(graph):
    with pytest.raises(WeightsError, match=r"no enlargement: of an image of 1 x 3 x 11 x 11 .* makes 1 x 3 x 1 x 1"):
        open_model(graph(middle="GlobalAveragePool"))
    with pytest.raises(WeightsError, match=r"makes 1 x 1452"):
        open_model(graph(middle="Flatten"))
    with pytest.raises(WeightsError, match="channels last"):
        open_model(graph(("b", "h", "w", 3)))
    with pytest.raises(WeightsError, match=r"takes a tensor\(int32\) .* must be float32"):
        open_model(graph(dtype=6, gain=1, offset=0))
    with pytest.raises(WeightsError, match=r"shape \['b', 3\]; it must be float32, \(batch, channel, row, column\)"):
        open_model(graph(("b", 3)))


def test_graphs_with_damaged_numbers_are_refused(graph):
    with pytest.raises(WeightsError, match="no finite numbers: its weights are damaged"):
        open_model(graph(offset=torch.nan))


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "net.onnx").write_bytes(b"anything at all")
    with pytest.raises(WeightsError, match="no ONNX graph that onnxruntime can run"):
        open_model(tmp_path / "net.onnx")


def test_a_graph_for_a_batch_of_two_takes_no_image(graph):
    with pytest.raises(WeightsError, match=r"takes none of the images that were tried: net cannot take .* Expected: 2"):
        open_model(graph((2, 3, "h", "w")))
