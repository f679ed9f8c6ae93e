"""Quantized files: by what their integers stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, helper, load, numpy_helper, save
from tests.models.onnx.agreement import disagreement, kinds
from tests.models.onnx.built import HIDDEN, IDS, MICROSOFT, Tensors, build, node, random
from tests.models.onnx.conftest import Exported

from inferstack.models.scenario import Scenario

CLOSE = 1e-4
FIVE = Scenario.encode(5, batch=2)


def without_rounding(path: Path, into: Path) -> Path:
    """The same file, whose activations stay in floating point."""
    model: ModelProto = load(str(path))
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    rounded = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    kept = []
    for one in model.graph.node:
        if one.op_type == "DynamicQuantizeLinear":
            kept.append(node("Identity", one.input, one.output[:1]))
            for name, value in ((one.output[1], np.float32(1)), (one.output[2], np.uint8(0))):
                kept.append(node("Constant", [], [name], value=numpy_helper.from_array(value)))
        elif one.op_type == "MatMulInteger":
            zero = tensors[one.input[3]].astype(np.float32) if len(one.input) > 3 else 0.0
            weight = tensors[one.input[1]].astype(np.float32) - zero
            name = f"{one.input[1]}_real"
            model.graph.initializer.append(numpy_helper.from_array(weight, name))
            kept.append(node("MatMul", [one.input[0], name], one.output))
        elif one.op_type == "DequantizeLinear" and one.input[0] in rounded:
            kept.append(node("Identity", [rounded[one.input[0]]], one.output))
        elif one.op_type != "QuantizeLinear":
            kept.append(one)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    save(model, str(into))
    return into


def test_weights_that_are_quantized_as_the_file_runs(exported: Exported, tmp_path: Path) -> None:
    """ONNX Runtime's dynamic quantization: DynamicQuantizeLinear and MatMulInteger."""
    from onnxruntime.quantization import quantize_dynamic

    path = tmp_path / "int8.onnx"
    quantize_dynamic(str(exported("bert")), str(path), per_channel=True)
    assert any(n.op_type == "MatMulInteger" for n in load(str(path)).graph.node)
    runs = without_rounding(path, tmp_path / "float.onnx")
    worst, recovered = disagreement(path, FIVE, runs=runs)
    assert worst < CLOSE
    _, plain = disagreement(exported("bert"), FIVE)
    assert kinds(recovered) == kinds(plain)
    assert any("without its rounding" in note for note in recovered.notes)


def test_pairs_of_quantize_and_dequantize_are_left_out(tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(-128, 128, (90, 16), dtype=np.int8)
    weight = np.random.default_rng(1).integers(-128, 128, (16, 8), dtype=np.int8)
    tensors: Tensors = {
        "table": table, "weight": weight, "s": np.array(0.01, np.float32),
        "z": np.array(3, np.int8), "scales": np.abs(random(8)) + 0.01,
        "zeros": np.zeros(8, np.int8), "t": np.array(0.05, np.float32),
    }  # fmt: skip
    nodes = [
        node("Gather", ["table", "input_ids"], ["picked"]),
        node("DequantizeLinear", ["picked", "s", "z"], ["x"]),
        node("QuantizeLinear", ["x", "t", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "t", "z"], ["xr"]),
        node("DequantizeLinear", ["weight", "scales", "zeros"], ["w"], axis=1),
        node("MatMul", ["xr", "w"], ["out"]),
    ]
    path = build(tmp_path / "m.onnx", nodes, tensors, [IDS])
    runs = without_rounding(path, tmp_path / "float.onnx")
    worst, recovered = disagreement(path, FIVE, runs=runs)
    assert worst < CLOSE
    assert kinds(recovered) == {"embedding": 1, "matmul": 1}


def test_weights_of_four_bits_in_blocks(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    k, n, block = 48, 8, 16
    tensors: Tensors = {
        "packed": generator.integers(0, 256, (n, k // block, block // 2), dtype=np.uint8),
        "scales": np.abs(random(n, k // block)) + np.float32(0.01),
        "zeros": generator.integers(0, 256, (n, -(-k // block // 2)), dtype=np.uint8),
        "bias": random(n),
    }
    embeds = ("inputs_embeds", HIDDEN[1], ["batch", "seq", k])
    for zeros in ("", "zeros"):
        made = node(
            f"{MICROSOFT}:MatMulNBits", ["inputs_embeds", "packed", "scales", zeros, "", "bias"],
            ["out"], K=k, N=n, bits=4, block_size=block,
        )  # fmt: skip
        own = {name: t for name, t in tensors.items() if zeros or name != "zeros"}
        path = build(tmp_path / f"m{zeros}.onnx", [made], own, [embeds])
        worst, recovered = disagreement(path, FIVE)
        assert worst < CLOSE
        assert kinds(recovered) == {"matmul": 1}


def test_half_precision_is_read_as_it_stands(exported: Exported, tmp_path: Path) -> None:
    model = load(str(exported("gpt2")))
    halved = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
            halved += 1
    casts = []
    for number, one in enumerate(model.graph.node):
        for place, name in enumerate(one.input):
            if any(t.name == name and t.data_type == 10 for t in model.graph.initializer):
                wide = f"wide{number}_{place}"
                casts.append(helper.make_node("Cast", [name], [wide], name=wide, to=1))
                one.input[place] = wide
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    save(model, str(tmp_path / "half.onnx"))
    worst, _ = disagreement(tmp_path / "half.onnx", Scenario.prefill(5, batch=2))
    assert halved
    assert worst < CLOSE
