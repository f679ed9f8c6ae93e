"""What is wrong with a file is said in one message: the node, its operator, what would be right."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, save
from tests.models.onnx.built import HIDDEN, IDS, MASK, MICROSOFT, build, node, random
from tests.models.onnx.conftest import Exported

from inferstack.cli.main import main
from inferstack.core.errors import CheckpointError, InputError
from inferstack.models.onnx.model import load_onnx, open_model
from inferstack.models.scenario import Scenario

FIVE = Scenario.encode(5)


def said(path: Path, scenario: Scenario = FIVE) -> str:
    """The message."""
    with pytest.raises(InputError) as caught:
        load_onnx(path, scenario)
    return str(caught.value)


def test_an_unknown_operator(tmp_path: Path) -> None:
    path = build(tmp_path / "m.onnx", [node("my.domain:Twirl", ["inputs_embeds"], ["out"])], {})
    message = said(path)
    assert "node 'out' (my.domain.Twirl): is an operator that is not known" in message
    assert "without custom operators" in message


@pytest.mark.parametrize(
    ("kind", "says"),
    [("Softplus", {}), ("Selu", {}), ("CumSum", None), ("InstanceNormalization", None)],
)
def test_an_operator_without_a_counterpart(
    tmp_path: Path, kind: str, says: dict[str, int] | None
) -> None:
    inputs = ["inputs_embeds"]
    tensors = {}
    if kind == "CumSum":
        inputs, tensors = ["inputs_embeds", "axis"], {"axis": np.array(1)}
    if kind == "InstanceNormalization":
        inputs, tensors = ["inputs_embeds", "a", "b"], {"a": random(5), "b": random(5)}
    path = build(tmp_path / "m.onnx", [node(kind, inputs, ["out"], **(says or {}))], tensors)
    message = said(path)
    assert f"node 'out' ({kind}): has no counterpart among our operators" in message
    assert "LayerNormalization" in message


def test_a_shape_that_follows_from_values(tmp_path: Path) -> None:
    nodes = [
        node("NonZero", ["attention_mask"], ["places"]),
        node("Gather", ["table", "places"], ["out"]),
    ]
    path = build(tmp_path / "m.onnx", nodes, {"table": random(9, 4)}, [IDS, MASK])
    assert "dynamic shape" in said(path)


def test_an_axis_that_nothing_binds(tmp_path: Path) -> None:
    image = ("pixel_values", TensorProto.FLOAT, ["batch", "channels", 8, 8])
    tensors = {"w": random(4, 3, 3, 3)}
    path = build(
        tmp_path / "m.onnx", [node("Conv", ["pixel_values", "w"], ["out"])], tensors, [image]
    )
    message = said(path, Scenario.encode(1))
    assert "input pixel_values: axis 1 'channels' has no size, and nothing binds it" in message


def test_a_size_that_the_file_excludes(tmp_path: Path) -> None:
    fixed = ("inputs_embeds", TensorProto.FLOAT, [1, 8, 16])
    path = build(tmp_path / "m.onnx", [node("Relu", ["inputs_embeds"], ["out"])], {}, [fixed])
    assert "axis 1 has a size of its own in the file; got 5, need 8" in said(path)
    assert "--seq-len 8" in said(path)
    assert "--batch 1" in said(path, Scenario.encode(8, batch=2))
    assert open_model(path).usual_tokens == 8


def test_shapes_that_disagree(tmp_path: Path) -> None:
    path = build(
        tmp_path / "m.onnx", [node("MatMul", ["inputs_embeds", "w"], ["out"])], {"w": random(9, 4)}
    )
    assert "node 'out' (MatMul): does not fit its inputs" in said(path)


def test_an_input_that_is_of_no_kind(tmp_path: Path) -> None:
    odd = ("tokens", TensorProto.FLOAT, ["a", "b", "c", "d", "e"])
    path = build(tmp_path / "m.onnx", [node("Relu", ["tokens"], ["out"])], {}, [odd])
    assert "input tokens: is of no kind that is known" in said(path)


def test_a_value_that_nothing_makes(tmp_path: Path) -> None:
    path = build(tmp_path / "m.onnx", [node("Relu", ["nowhere"], ["out"])], {})
    assert "reads 'nowhere', which nothing makes" in said(path)


def test_a_mask_that_no_softmax_has(tmp_path: Path) -> None:
    """Every second key is hidden from every query."""
    tensors = {
        "wq": random(16, 16), "wk": random(16, 16, seed=1), "split": np.array([0, 0, 4, 4]),
        "bias": np.where(np.arange(5) % 2, -1e9, 0.0).astype(np.float32).reshape(1, 1, 1, 5),
    }  # fmt: skip
    nodes = [
        node("MatMul", ["inputs_embeds", "wq"], ["q"]),
        node("MatMul", ["inputs_embeds", "wk"], ["k"]),
        node("Reshape", ["q", "split"], ["qs"]),
        node("Reshape", ["k", "split"], ["ks"]),
        node("Transpose", ["qs"], ["qh"], perm=[0, 2, 1, 3]),
        node("Transpose", ["ks"], ["kh"], perm=[0, 2, 3, 1]),
        node("MatMul", ["qh", "kh"], ["scores"]),
        node("Add", ["scores", "bias"], ["masked"]),
        node("Softmax", ["masked"], ["out"]),
    ]
    path = build(tmp_path / "m.onnx", nodes, tensors)
    message = said(path)
    assert "has a mask that our softmax cannot say" in message
    assert "keys hidden by a mask (batch, context), causal, or within a window" in message


def test_an_attribute_that_would_be_ignored(tmp_path: Path) -> None:
    made = node(f"{MICROSOFT}:Attention", ["inputs_embeds", "w"], ["out"], num_heads=4, do_rotary=1)
    path = build(tmp_path / "m.onnx", [made], {"w": random(16, 48)})
    assert "has do_rotary, which is not read; got 1" in said(path)


def test_an_opset_that_is_too_old(tmp_path: Path) -> None:
    path = build(tmp_path / "m.onnx", [node("Relu", ["inputs_embeds"], ["out"])], {}, opset=9)
    message = said(path)
    assert "is of an opset that is not read; got 9" in message
    assert "convert_version" in message


def test_tensors_that_no_output_needs_are_listed(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["inputs_embeds", "w"], ["out"]), node("Neg", ["spare"], ["lost"])]
    tensors = {"w": random(16, 4), "spare": random(3), "alone": random(2)}
    found = load_onnx(build(tmp_path / "m.onnx", nodes, tensors), FIVE)
    assert found.unused == ("spare", "alone")
    assert "tensors that the graph does not use: spare, alone" in found.told()


def external(path: Path, **entries: str) -> Path:
    """A file whose weight stands in another one."""
    built = build(path, [node("MatMul", ["inputs_embeds", "w"], ["out"])], {"w": random(16, 4)})
    model = load(str(built))
    tensor = model.graph.initializer[0]
    raw = bytes(tensor.raw_data)
    (path.parent / "w.data").write_bytes(b"\0" * 64 + raw)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.data", "offset": "64", "length": "256", **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


def test_tensors_in_a_file_beside_it(tmp_path: Path) -> None:
    found = load_onnx(external(tmp_path / "m.onnx"), FIVE)
    data = found.graph.tensors["w"].data
    assert data is not None
    np.testing.assert_array_equal(data, random(16, 4))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../w.data"}, "names a file outside of its folder"),
        ({"location": "/etc/passwd"}, "names a file outside of its folder"),
        ({"location": "other.data"}, "stands in a file that is not there"),
        ({"offset": "65"}, "ends behind the end of its file"),
        ({"offset": "-1"}, "has a wrong offset"),
        ({"length": "255"}, "has another size than its shape says"),
    ],
)
def test_lies_about_other_files(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "w.data").write_bytes(bytes(400))
    assert message in said(external(tmp_path / "model" / "m.onnx", **entries))


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = external(tmp_path / "model" / "m.onnx")
    (tmp_path / "model" / "w.data").rename(tmp_path / "w.data")
    (tmp_path / "model" / "w.data").symlink_to(tmp_path / "w.data")
    assert "leads out of the model folder" in said(path)


def test_a_tensor_that_is_larger_than_its_bytes(tmp_path: Path) -> None:
    path = build(
        tmp_path / "m.onnx", [node("MatMul", ["inputs_embeds", "w"], ["out"])], {"w": random(16, 4)}
    )
    model = load(str(path))
    model.graph.initializer[0].dims[1] = 2**40
    path.write_bytes(model.SerializeToString())
    assert "has another size than its shape says" in said(path)


def test_a_constant_that_would_fill_the_memory(tmp_path: Path) -> None:
    nodes = [
        node("ConstantOfShape", ["size"], ["huge"]),
        node("ReduceMax", ["huge"], ["most"], keepdims=0),
        node("Add", ["inputs_embeds", "most"], ["out"]),
    ]
    path = build(tmp_path / "m.onnx", nodes, {"size": np.array([2**20, 2**20])})
    assert "makes a constant that is too large" in said(path)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    weight = random(16, 4)
    weight[3, 2] = np.nan
    path = build(
        tmp_path / "m.onnx", [node("MatMul", ["inputs_embeds", "w"], ["out"])], {"w": weight}
    )
    assert "tensor w: has values that are not finite; got 1 of 64" in said(path)


def test_no_onnx_file_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, content in enumerate((b"", b"\x08\x08", b"\x08\x08\x3a\xff\xff", b"hello")):
        path = tmp_path / f"m{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            open_model(path)
        assert main(["analyze", str(path)]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_loops_are_refused_and_conditions_of_sizes_decided(tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [node(kind, ["inputs_embeds"], [name])], name, [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, kind in (("then", "Relu"), ("else", "Tanh"))
    }  # fmt: skip
    nodes = [
        node("Shape", ["inputs_embeds"], ["sizes"]),
        node("Gather", ["sizes", "one"], ["tokens"]),
        node("Greater", ["tokens", "four"], ["long"]),
        node("If", ["long"], ["out"], **branches),
    ]
    tensors = {"one": np.array(1), "four": np.array(4)}
    path = build(tmp_path / "m.onnx", nodes, tensors)
    for tokens, kind in ((5, "relu"), (3, "tanh")):
        graph = load_onnx(path, Scenario.encode(tokens)).graph
        assert [o.kind for o in graph.operators] == [kind]


def test_the_command_line_says_it_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = build(tmp_path / "m.onnx", [node("Selu", ["inputs_embeds"], ["out"])], {})
    assert main(["analyze", str(path), "--seq-len", "8"]) == 2
    err = capsys.readouterr().err
    assert err.count("error:") == 1
    assert "(Selu)" in err


def test_files_of_models_are_counted(
    exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(exported("bert")), "--seq-len", "8"]) == 0
    out = capsys.readouterr().out
    assert "attention projection" in out
    assert "feed-forward" in out


@pytest.mark.slow
def test_files_of_models_are_mapped(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", str(exported("bert")), "--seq-len", "8", "--on", "gemmini"]) == 0
    assert "proven optimal" in capsys.readouterr().out


def test_weights_changed_at_random_give_no_traceback(exported: Exported, tmp_path: Path) -> None:
    raw = bytearray(exported("gpt2").read_bytes())
    generator = np.random.default_rng(0)
    path = tmp_path / "m.onnx"
    for _ in range(30):
        changed = bytearray(raw)
        for place in generator.integers(0, len(raw), 3):
            changed[place] = int(generator.integers(0, 256))
        path.write_bytes(changed)
        # Whatever is wrong is said as an InputError; some files are still right.
        with contextlib.suppress(InputError):
            load_onnx(path, Scenario.prefill(4))


def test_nodes_without_names(tmp_path: Path) -> None:
    path = build(tmp_path / "m.onnx", [node("Relu", ["inputs_embeds"], ["out"])], {}, [HIDDEN])
    model = load(str(path))
    model.graph.node[0].name = ""
    save(model, str(path))
    assert [o.kind for o in load_onnx(path, FIVE).graph.operators] == ["relu"]
