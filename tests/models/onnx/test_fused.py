"""Operators of ONNX Runtime, and those of ONNX that hold a whole attention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tests.models.onnx.agreement import disagreement, kinds
from tests.models.onnx.built import HIDDEN, IDS, MASK, MICROSOFT, build, node, random

from inferstack.models.scenario import Phase, Scenario

CLOSE = 1e-5
FIVE = Scenario.encode(5, batch=2)
CACHES = tuple(
    (f"past_{slot}", TensorProto.FLOAT, ["batch", 1, "past", 16]) for slot in ("key", "value")
)


def test_an_encoders_layer_of_fused_operators(tmp_path: Path) -> None:
    """EmbedLayerNormalization, Attention, SkipLayerNormalization, BiasGelu."""
    tensors = {
        "words": random(90, 16), "positions": random(8, 16, seed=1), "types": random(2, 16, seed=2),
        "gamma": random(16) + 1, "beta": random(16, seed=3), "qkv": random(16, 48),
        "qkv_bias": random(48), "wo": random(16, 16), "bo": random(16, seed=4),
        "wi": random(16, 32), "bi": random(32), "wo2": random(32, 16),
    }  # fmt: skip
    norm = ["gamma", "beta"]
    nodes = [
        node("Cast", ["input_ids"], ["ids"], to=TensorProto.INT32),
        node("Cast", ["token_type_ids"], ["kinds"], to=TensorProto.INT32),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.INT32),
        node(
            f"{MICROSOFT}:EmbedLayerNormalization",
            ["ids", "kinds", "words", "positions", "types", *norm],
            ["x", "lengths"], epsilon=1e-12,
        ),
        node(f"{MICROSOFT}:Attention", ["x", "qkv", "qkv_bias", "mask"], ["a"], num_heads=4),
        node("MatMul", ["a", "wo"], ["b"]),
        node(f"{MICROSOFT}:SkipLayerNormalization", ["b", "x", *norm, "bo"], ["c"], epsilon=1e-5),
        node("MatMul", ["c", "wi"], ["d"]),
        node(f"{MICROSOFT}:BiasGelu", ["d", "bi"], ["e"]),
        node("MatMul", ["e", "wo2"], ["f"]),
        node(f"{MICROSOFT}:SkipLayerNormalization", ["f", "c", *norm], ["out"], epsilon=1e-5),
    ]  # fmt: skip
    types = ("token_type_ids", TensorProto.INT64, ["batch", "seq"])
    path = build(tmp_path / "m.onnx", nodes, tensors, [IDS, MASK, types])
    worst, recovered = disagreement(path, FIVE)
    assert worst < CLOSE
    assert kinds(recovered) == {
        "embedding": 2, "position_embedding": 1, "add": 4, "layernorm": 3, "matmul": 6,
        "attention_scores": 1, "softmax": 1, "attention_context": 1, "gelu": 1,
    }  # fmt: skip


def projected(*names: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: random(16, 16, seed=number) for number, name in enumerate(names)}


def test_multi_head_attention_with_a_bias_and_a_mask(tmp_path: Path) -> None:
    tensors = {**projected("wq", "wk", "wv"), "bias": random(48)}
    nodes = [
        node("MatMul", ["inputs_embeds", "wq"], ["q"]),
        node("MatMul", ["inputs_embeds", "wk"], ["k"]),
        node("MatMul", ["inputs_embeds", "wv"], ["v"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.INT32),
        node(
            f"{MICROSOFT}:MultiHeadAttention", ["q", "k", "v", "bias", "mask"], ["out"],
            num_heads=4, scale=0.3,
        ),
    ]  # fmt: skip
    path = build(tmp_path / "m.onnx", nodes, tensors, [HIDDEN, MASK])
    worst, recovered = disagreement(path, FIVE)
    assert worst < CLOSE
    assert all("bias" in o.inputs for o in recovered.graph.operators if o.kind == "matmul")


def grouped(path: Path, *, packed: bool, **says: float) -> Path:
    angles = np.arange(32)[:, None] * 100.0 ** -(np.arange(8) / 8)
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    tensors = {"cos": cosines, "sin": sines, "one": np.array(1, np.int32), "axis": np.array([1])}
    tensors |= {"wq": random(16, 32), "wk": random(16, 16), "wv": random(16, 16, seed=1)}
    tensors["all"] = random(16, 64)
    lengths = [
        node("Cast", ["attention_mask"], ["mask32"], to=TensorProto.INT32),
        node("ReduceSum", ["mask32", "axis"], ["counted"], keepdims=0),
        node("Sub", ["counted", "one"], ["lengths"]),
        node("Shape", ["attention_mask"], ["whole"]),
        node("Gather", ["whole", "one"], ["whole_length"]),
        node("Cast", ["whole_length"], ["total"], to=TensorProto.INT32),
    ]
    if packed:
        lengths.append(node("MatMul", ["inputs_embeds", "all"], ["q"]))
        heads = ["q", "", ""]
    else:
        lengths += [node("MatMul", ["inputs_embeds", w], [w[1]]) for w in ("wq", "wk", "wv")]
        heads = ["q", "k", "v"]
    attention = node(
        f"{MICROSOFT}:GroupQueryAttention",
        [*heads, "past_key", "past_value", "lengths", "total", "cos", "sin"],
        ["out", "present_key", "present_value"],
        num_heads=2, kv_num_heads=1, do_rotary=1, **says,
    )  # fmt: skip
    mask = ("attention_mask", TensorProto.INT64, ["batch", "total"])
    outputs = ("out", "present_key", "present_value")
    return build(path, [*lengths, attention], tensors, [HIDDEN, mask, *CACHES], outputs)


@pytest.mark.parametrize("packed", [False, True])
def test_grouped_attention_with_rotary_positions_behind_a_cache(
    tmp_path: Path, packed: bool
) -> None:
    path = grouped(tmp_path / "m.onnx", packed=packed)
    for scenario in (Scenario.decode(6, batch=2), Scenario.prefill(5, batch=2)):
        worst, recovered = disagreement(path, scenario, padded=False)
        assert worst < CLOSE, scenario
        rotary = next(o for o in recovered.graph.operators if o.kind == "rotary")
        assert rotary.attributes["theta"] == pytest.approx(100.0, rel=1e-4)
        appended = kinds(recovered).get("append_cache", 0)
        assert appended == (2 if scenario.phase is Phase.DECODE else 0)


def test_a_window_of_grouped_attention_is_the_softmaxs(tmp_path: Path) -> None:
    path = grouped(tmp_path / "m.onnx", packed=False, local_window_size=3)
    worst, recovered = disagreement(path, Scenario.prefill(7, batch=2), padded=False)
    assert worst < CLOSE
    softmax = next(o for o in recovered.graph.operators if o.kind == "softmax")
    assert softmax.attributes == {"causal": True, "window": 3}


def test_rotary_embedding_and_norms_without_a_mean(tmp_path: Path) -> None:
    angles = np.arange(16)[:, None] * np.array([1.0, 0.1])
    tensors = {
        "w": random(16, 16), "g": random(16) + 1,
        "cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32),
    }  # fmt: skip
    nodes = [
        node("MatMul", ["inputs_embeds", "w"], ["x"]),
        node(
            f"{MICROSOFT}:RotaryEmbedding", ["x", "position_ids", "cos", "sin"], ["y"],
            num_heads=4, interleaved=1,
        ),
        node(f"{MICROSOFT}:SkipSimplifiedLayerNormalization", ["y", "inputs_embeds", "g"],
             ["z", "", "", "sum"], epsilon=1e-6),
        node("SimplifiedLayerNormalization", ["sum", "g"], ["n"], epsilon=1e-5, axis=-1),
        node(f"{MICROSOFT}:QuickGelu", ["n"], ["s"], alpha=1.0),
        node(f"{MICROSOFT}:FastGelu", ["z"], ["f"]),
        node("Add", ["s", "f"], ["out"]),
    ]  # fmt: skip
    places = ("position_ids", TensorProto.INT64, ["batch", "seq"])
    path = build(tmp_path / "m.onnx", nodes, tensors, [HIDDEN, places])
    worst, recovered = disagreement(path, FIVE)
    assert worst < CLOSE
    found = kinds(recovered)
    assert (found["rotary"], found["rmsnorm"], found["silu"], found["gelu"]) == (1, 2, 1, 1)


def test_onnxs_own_attention_and_norm(tmp_path: Path) -> None:
    """Opset 23."""
    tensors = {**projected("wq"), "wk": random(16, 8), "wv": random(16, 8, seed=1)}
    tensors["g"] = random(16) + 1
    nodes = [
        node("RMSNormalization", ["inputs_embeds", "g"], ["x"], epsilon=1e-6),
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("MatMul", ["x", "wv"], ["v"]),
        node(
            "Attention", ["q", "k", "v"], ["out"], q_num_heads=4, kv_num_heads=2, is_causal=1,
            softcap=2.0,
        ),
    ]  # fmt: skip
    path = build(tmp_path / "m.onnx", nodes, tensors, opset=23)
    worst, recovered = disagreement(path, FIVE)
    assert worst < CLOSE
    scores = next(o for o in recovered.graph.operators if o.kind == "attention_scores")
    assert (scores.attributes["heads"], scores.attributes["kv_heads"]) == (4, 2)
    assert kinds(recovered)["softcap"] == 1
