"""Quantized checkpoints: values as the formats' definitions say, element by element."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import inferstack as ist
from inferstack.core.errors import CheckpointError
from inferstack.models.hugging_face import load_graph
from inferstack.models.quantized import decoded, method_in
from inferstack.models.scenario import Scenario
from inferstack.models.weight_files import stored_files
from inferstack.ops.execute import execute

Array = npt.NDArray[Any]
Pieces = dict[str, tuple[str, Array]]
"""By the ending of a tensor's name: its type in safetensors, and its values."""
Made = tuple[Pieces, Array]
Random = np.random.Generator

HIDDEN, INNER = 32, 64
NARROW = HIDDEN // 2
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN, "intermediate_size": INNER,
    "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 2, "vocab_size": 24,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "dtype": "float16",
}  # fmt: skip
MODULES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}  # fmt: skip
KINDS = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64", "int8": "I8"}


def write(path: Path, tensors: Mapping[str, tuple[str, Array]]) -> None:
    """A safetensors file by the format's definition."""
    header: dict[str, Any] = {}
    body = b""
    for name, (kind, values) in tensors.items():
        raw = values.tobytes()
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
        body += raw
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)


def half(random: Random, *shape: int) -> Array:
    """Scales that float16 has."""
    return random.uniform(0.01, 0.1, shape).astype(np.float16)


def words(numbers: list[int], bits: int) -> list[int]:
    """One behind the other, the lowest bits first, as signed words of 32 bits."""
    whole = sum(number << (bits * place) for place, number in enumerate(numbers))
    count = math.ceil(len(numbers) * bits / 32)
    found = [(whole >> (32 * place)) & 0xFFFFFFFF for place in range(count)]
    return [one - 2**32 if one >= 2**31 else one for one in found]


def gptq(
    bits: int, size: int, *, ordered: bool = True, added: int = 1
) -> Callable[[Random, int, int], Made]:
    def make(random: Random, outputs: int, inputs: int) -> Made:
        groups = math.ceil(inputs / (inputs if size == -1 else size))
        numbers = random.integers(0, 2**bits, (inputs, outputs))
        zeros = random.integers(0, 2**bits, (groups, outputs))
        scales = half(random, groups, outputs)
        order = np.arange(inputs) // (inputs if size == -1 else size)
        if ordered:
            order = random.permutation(order)
        values = np.empty((outputs, inputs), dtype=np.float32)
        for i in range(inputs):
            for o in range(outputs):
                g = order[i]
                values[o, i] = np.float32(scales[g, o]) * (int(numbers[i, o]) - int(zeros[g, o]))
        stored = [[(int(zero) - added) % 2**bits for zero in row] for row in zeros]
        columns = [words([int(n) for n in numbers[:, o]], bits) for o in range(outputs)]
        pieces: Pieces = {
            "qweight": ("I32", np.array(columns, dtype=np.int32).T.copy()),
            "qzeros": ("I32", np.array([words(row, bits) for row in stored], dtype=np.int32)),
            "scales": ("F16", scales),
        }
        if ordered:
            pieces["g_idx"] = ("I32", order.astype(np.int32))
        return pieces, values

    return make


def awq(size: int) -> Callable[[Random, int, int], Made]:
    def packed(rows: Array) -> Array:
        places = (0, 4, 1, 5, 2, 6, 3, 7)
        """The place in its word of each of eight outputs."""
        found = []
        for row in rows:
            line = []
            for begin in range(0, len(row), 8):
                eight = [0] * 8
                for output in range(8):
                    eight[places[output]] = int(row[begin + output])
                line += words(eight, 4)
            found.append(line)
        return np.array(found, dtype=np.int32)

    def make(random: Random, outputs: int, inputs: int) -> Made:
        groups = inputs // size
        numbers = random.integers(0, 16, (inputs, outputs))
        zeros = random.integers(0, 16, (groups, outputs))
        scales = half(random, groups, outputs)
        values = np.empty((outputs, inputs), dtype=np.float32)
        for i in range(inputs):
            for o in range(outputs):
                g = i // size
                values[o, i] = np.float32(scales[g, o]) * (int(numbers[i, o]) - int(zeros[g, o]))
        pieces: Pieces = {
            "qweight": ("I32", packed(numbers)),
            "qzeros": ("I32", packed(zeros)),
            "scales": ("F16", scales),
        }
        return pieces, values

    return make


def e4m3(code: int) -> float:
    """Of OCP's specification: bias 7, no infinity."""
    sign, exponent, fraction = -1 if code & 128 else 1, (code >> 3) & 15, code & 7
    if exponent == 0:
        return float(sign * fraction * 2.0**-9)
    return float(sign * (8 + fraction) * 2.0 ** (exponent - 10))


def small_floats(random: Random, *shape: int) -> Array:
    """Codes without NaN, 127 and 255."""
    found = random.integers(0, 255, shape).astype(np.uint8)
    found[found == 127] = 3
    return found


def fp8(high: int, wide: int, name: str = "weight_scale_inv") -> Callable[[Random, int, int], Made]:
    """high, wide: of a block; 0 is one scale for the whole matrix."""

    def make(random: Random, outputs: int, inputs: int) -> Made:
        codes = small_floats(random, outputs, inputs)
        shape = (math.ceil(outputs / high), math.ceil(inputs / wide)) if high else ()
        scales = np.asarray(random.uniform(1e-4, 1e-3, shape), dtype=np.float32)
        values = np.empty((outputs, inputs), dtype=np.float32)
        for o in range(outputs):
            for i in range(inputs):
                scale = scales[o // high, i // wide] if high else scales[()]
                values[o, i] = np.float32(e4m3(int(codes[o, i]))) * scale
        return {"weight": ("F8_E4M3", codes), name: ("F32", scales)}, values

    return make


def by_output(kind: str) -> Callable[[Random, int, int], Made]:
    """compressed-tensors: one scale for each output; integers have zero points."""

    def make(random: Random, outputs: int, inputs: int) -> Made:
        scales = random.uniform(1e-4, 1e-3, (outputs, 1)).astype(np.float32)
        zeros = random.integers(-9, 9, (outputs, 1)).astype(np.int8)
        if kind == "F8_E4M3":
            codes = small_floats(random, outputs, inputs)
            plain = np.array([[e4m3(int(c)) for c in row] for row in codes], dtype=np.float32)
            return {"weight": (kind, codes), "weight_scale": ("F32", scales)}, plain * scales
        numbers = random.integers(-128, 128, (outputs, inputs)).astype(np.int8)
        values = (numbers.astype(np.float32) - zeros) * scales
        return {
            "weight": (kind, numbers),
            "weight_scale": ("F32", scales),
            "weight_zero_point": ("I8", zeros),
        }, values

    return make


def packed_apart(bits: int, size: int, *, zero: bool) -> Callable[[Random, int, int], Made]:
    """compressed-tensors' pack-quantized."""
    each = 32 // bits

    def packed(row: list[int]) -> list[int]:
        """Words of whole numbers, padded with zeros."""
        found = []
        for begin in range(0, len(row), each):
            found += words(row[begin : begin + each], bits)
        return found

    def make(random: Random, outputs: int, inputs: int) -> Made:
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
        groups = inputs // size
        numbers = random.integers(low, high, (outputs, inputs))
        zeros = random.integers(low, high, (outputs, groups)) * zero
        scales = half(random, outputs, groups)
        values = np.empty((outputs, inputs), dtype=np.float32)
        for o in range(outputs):
            for i in range(inputs):
                less = int(numbers[o, i]) - int(zeros[o, i // size])
                values[o, i] = np.float32(scales[o, i // size]) * less
        rows = [packed([int(n) + high for n in row]) for row in numbers]
        pieces: Pieces = {
            "weight_packed": ("I32", np.array(rows, dtype=np.int32)),
            "weight_shape": ("I64", np.array([outputs, inputs])),
            "weight_scale": ("F16", scales),
        }
        if zero:
            columns = [packed([int(n) + high for n in column]) for column in zeros.T]
            stored = np.array(columns, dtype=np.int32).T.copy()
            pieces["weight_zero_point"] = ("I32", stored)
        return pieces, values

    return make


def int8(random: Random, outputs: int, inputs: int) -> Made:
    numbers = random.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    largest = random.uniform(0.1, 1, outputs).astype(np.float32)
    values = np.empty((outputs, inputs), dtype=np.float32)
    for o in range(outputs):
        for i in range(inputs):
            values[o, i] = np.float32(numbers[o, i]) * (largest[o] / np.float32(127))
    return {
        "weight": ("I8", numbers),
        "SCB": ("F32", largest),
        "weight_format": ("U8", np.zeros((), dtype=np.uint8)),
    }, values


def codes(kind: str, block: int, *, nested: bool) -> Callable[[Random, int, int], Made]:
    """bitsandbytes in 4 bits."""

    def make(random: Random, outputs: int, inputs: int) -> Made:
        numbers = random.integers(0, 16, outputs * inputs)
        table = np.linspace(-1, 1, 16, dtype=np.float32)
        state: dict[str, Any] = {
            "quant_type": kind, "blocksize": block, "dtype": "float16", "shape": [outputs, inputs],
        }  # fmt: skip
        blocks = math.ceil(len(numbers) / block)
        sizes = random.uniform(0.1, 1, blocks).astype(np.float32)
        pieces: Pieces = {"weight.absmax": ("F32", sizes)}
        if nested:
            state |= {"nested_blocksize": 4, "nested_offset": 0.25, "nested_dtype": "float32"}
            inner = random.integers(0, 256, blocks).astype(np.uint8)
            inner_table = np.linspace(-0.2, 0.2, 256, dtype=np.float32)
            outer = random.uniform(0.5, 1, math.ceil(blocks / 4)).astype(np.float32)
            sizes = np.array(
                [inner_table[c] * outer[n // 4] + np.float32(0.25) for n, c in enumerate(inner)]
            )
            pieces = {
                "weight.absmax": ("U8", inner),
                "weight.nested_absmax": ("F32", outer),
                "weight.nested_quant_map": ("F32", inner_table),
            }
        values = [table[c] * sizes[n // block] for n, c in enumerate(numbers)]
        pairs = [int(a) * 16 + int(b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
        raw = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
        pieces |= {
            "weight": ("U8", np.array(pairs, dtype=np.uint8)[:, None]),
            "weight.quant_map": ("F32", table),
            f"weight.quant_state.bitsandbytes__{kind}": ("U8", raw),
        }
        return pieces, np.array(values, dtype=np.float32).reshape(outputs, inputs)

    return make


def llm_compressor(kind: str, **weights: object) -> dict[str, Any]:
    said = {"num_bits": 8, "symmetric": True, "strategy": "channel", **weights}
    groups = {"group_0": {"targets": ["Linear"], "weights": said}}
    return {"quant_method": "compressed-tensors", "format": kind, "config_groups": groups}


BNB4 = {"quant_method": "bitsandbytes", "load_in_4bit": True}
GPTQ = {"quant_method": "gptq", "desc_act": True}
CASES: dict[str, tuple[dict[str, Any], Callable[[Random, int, int], Made]]] = {
    "gptq 4": ({**GPTQ, "bits": 4, "group_size": 16}, gptq(4, 16)),
    "gptq 3": ({**GPTQ, "bits": 3, "group_size": 32}, gptq(3, 32)),
    "gptq 2 v2": (
        {**GPTQ, "bits": 2, "group_size": 16, "checkpoint_format": "gptq_v2"},
        gptq(2, 16, added=0),
    ),
    "gptq 8 whole": (
        {"quant_method": "gptq", "bits": 8, "group_size": -1},
        gptq(8, -1, ordered=False),
    ),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm"}, awq(16)),
    "fp8 blocks": ({"quant_method": "fp8", "weight_block_size": [20, 24]}, fp8(20, 24)),
    "fp8 whole": ({"quant_method": "fp8"}, fp8(0, 0)),
    "fbgemm": ({"quant_method": "fbgemm_fp8"}, by_output("F8_E4M3")),
    "compressed float": (llm_compressor("float-quantized", type="float"), by_output("F8_E4M3")),
    "compressed block": (
        llm_compressor("float-quantized", strategy="block", block_structure=[16, 24]),
        fp8(16, 24, "weight_scale"),
    ),
    "compressed int": (llm_compressor("int-quantized", symmetric=False), by_output("I8")),
    "packed 4": (
        llm_compressor("pack-quantized", num_bits=4, strategy="group", group_size=16),
        packed_apart(4, 16, zero=False),
    ),
    "packed 3, zeros": (
        llm_compressor(
            "pack-quantized", num_bits=3, strategy="group", group_size=16, symmetric=False
        ),
        packed_apart(3, 16, zero=True),
    ),
    "int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, int8),
    "nf4": (BNB4, codes("nf4", 64, nested=False)),
    "fp4 nested": ({**BNB4, "bnb_4bit_use_double_quant": True}, codes("fp4", 32, nested=True)),
}


def folders(place: Path, case: str) -> tuple[Path, Path, dict[str, Array]]:
    """A quantized tiny Llama, the same in float32, and the latter's matrices."""
    said, make = CASES[case]
    random = np.random.default_rng(1)
    plain: dict[str, tuple[str, Array]] = {}
    for name, shape in (
        ("model.embed_tokens.weight", (24, HIDDEN)),
        ("lm_head.weight", (24, HIDDEN)),
        ("model.norm.weight", (HIDDEN,)),
        *(
            (f"model.layers.{n}.{norm}.weight", (HIDDEN,))
            for n in (0, 1)
            for norm in ("input_layernorm", "post_attention_layernorm")
        ),
    ):
        plain[name] = ("F16", random.normal(size=shape).astype(np.float16))
    small, values = dict(plain), {}
    for number in (0, 1):
        for module, shape in MODULES.items():
            pieces, matrix = make(random, *shape)
            prefix = f"model.layers.{number}.{module}."
            small |= {prefix + ending: piece for ending, piece in pieces.items()}
            values[f"{prefix}weight"] = matrix
    whole = plain | {name: ("F32", matrix) for name, matrix in values.items()}
    for name, tensors, more in (
        ("small", small, {"quantization_config": said}),
        ("whole", whole, {}),
    ):
        (place / name).mkdir()
        write(place / name / "model.safetensors", tensors)
        (place / name / "config.json").write_text(json.dumps(LLAMA | more), encoding="utf-8")
    return place / "small", place / "whole", values


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_the_definition(case: str, tmp_path: Path) -> None:
    small, whole, values = folders(tmp_path, case)
    method = method_in("config.json", json.loads((small / "config.json").read_text()))
    assert method is not None
    files = decoded(stored_files(small), *method)
    for name, expected in values.items():
        np.testing.assert_allclose(files[name].float32(name), expected, rtol=2e-7, atol=0)
    ids = {"ids": np.array([[3, 1, 4, 1, 5]])}
    found, expected = (
        execute(load_graph(folder, Scenario.prefill(5))[0], ids)["logits"]
        for folder in (small, whole)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # Nothing is left over: `load_graph` names what is not read.
    left = load_graph(small, Scenario.prefill(5))[1]
    assert left == ()


@pytest.mark.parametrize("case", CASES)
def test_bytes_are_those_of_the_file(case: str, tmp_path: Path) -> None:
    small, _, _ = folders(tmp_path, case)
    files = stored_files(small)
    stored = sum(files[name].stored(name).nbytes for name in files)
    counted = ist.load(small).count(8, phase="decode").weight_bytes
    assert counted == pytest.approx(stored, rel=0.001)
    if case == "fp4 nested":
        return  # of so small a model most bytes are tables, which no configuration says
    # By the configuration alone: without the order of groups and the like.
    (small / "model.safetensors").unlink()
    said = ist.load(small).count(8, phase="decode").weight_bytes
    assert said == pytest.approx(stored, rel=0.2)


@pytest.mark.slow
def test_block_scales_are_those_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.integrations.finegrained_fp8")
    pieces, values = fp8(16, 8)(np.random.default_rng(2), 32, 64)
    weight = torch.from_numpy(pieces["weight"][1]).view(torch.float8_e4m3fn)
    scale = torch.from_numpy(pieces["weight_scale_inv"][1])
    found = theirs.Fp8Dequantize(None)._dequantize_one(weight, scale, torch.float32)
    np.testing.assert_allclose(found.numpy(), values, rtol=1e-6)


@pytest.mark.slow
def test_experts_in_mxfp4_are_those_of_transformers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.integrations.mxfp4")
    random = np.random.default_rng(3)
    blocks = random.integers(0, 256, (2, 12, 3, 16)).astype(np.uint8)
    scales = random.integers(100, 140, (2, 12, 3)).astype(np.uint8)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    write(
        tmp_path / "model.safetensors",
        {f"{name}_blocks": ("U8", blocks), f"{name}_scales": ("U8", scales)},
    )
    method = method_in("c", {"quantization_config": {"quant_method": "mxfp4"}})
    assert method is not None
    found = decoded(stored_files(tmp_path), *method)[name]
    assert found.tensors[name].shape == (2, 96, 12)
    expected = theirs.convert_moe_packed_tensors(
        torch.from_numpy(blocks), torch.from_numpy(scales), dtype=torch.float32
    )
    np.testing.assert_array_equal(found.float32(name), expected.numpy())


Change = Callable[[dict[str, Any], dict[str, tuple[str, Array]]], None]
Q = "model.layers.0.self_attn.q_proj"


def configured(**said: object) -> Change:
    return lambda config, tensors: config.update(said)


def replaced(ending: str, kind: str, values: Array) -> Change:
    return lambda config, tensors: tensors.__setitem__(f"{Q}.{ending}", (kind, values))


def without(ending: str) -> Change:
    return lambda config, tensors: tensors.pop(f"{Q}.{ending}") and None


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("gptq 4", configured(quant_method="hqq"), "this quant_method is not read; got hqq"),
        ("gptq 4", configured(bits=5), "bits is not read; got 5"),
        ("gptq 4", configured(checkpoint_format="marlin"), "checkpoint_format is not read"),
        ("gptq 4", configured(dynamic={"-:.*": {}}), "dynamic is not read"),
        ("gptq 4", configured(group_size=8), "has a wrong shape; got"),
        ("gptq 4", without("qzeros"), r"lacks the tensor '.*q_proj.qzeros'"),
        ("gptq 4", without("g_idx"), r"lacks the tensor '.*q_proj.g_idx'"),
        ("gptq 4", replaced("g_idx", "I32", np.full(32, 2, "i4")), "a group that is not there"),
        ("gptq 4", replaced("qweight", "F32", np.ones((4, 32), "f4")), "has another type; got F32"),
        ("gptq 4", replaced("scales", "F32", np.full((2, 32), np.inf, "f4")), "not finite"),
        ("awq", configured(version="gemv"), "version is not read; got gemv"),
        ("awq", configured(zero_point=False), "zero_point is not supported"),
        ("awq", configured(bits=8), "bits is not supported"),
        ("fp8 blocks", without("weight_scale_inv"), "lacks the tensor"),
        ("fp8 blocks", configured(weight_block_size=[16, 16]), "has a wrong shape"),
        ("fp8 whole", configured(quant_method=None), "quant_method is not text"),
        ("compressed int", configured(format="marlin-24"), "format is not read; got marlin-24"),
        ("compressed int", configured(config_groups={}), "more or less than one thing"),
        ("packed 4", without("weight_scale"), "lacks the tensor"),
        ("packed 4", replaced("weight_shape", "I64", np.array([32, 99])), "has a wrong shape"),
        ("int8", replaced("weight_format", "U8", np.array([2], "u1")), "a layout that is not read"),
        ("int8", configured(load_in_8bit=False), "does not say its bits"),
        ("nf4", replaced("weight.quant_map", "F32", np.ones(15, "f4")), "has a wrong shape"),
        (
            "nf4",
            replaced("weight.quant_state.bitsandbytes__nf4", "U8", np.frombuffer(b"{]", "u1")),
            "is not JSON",
        ),
        (
            "nf4",
            replaced("weight.quant_state.bitsandbytes__nf4", "U8", np.frombuffer(b"{}", "u1")),
            "shape makes no sense",
        ),
    ],
)
def test_what_is_not_read_is_one_error(
    case: str, change: Change, message: str, tmp_path: Path
) -> None:
    small, _, _ = folders(tmp_path, case)
    config = json.loads((small / "config.json").read_text(encoding="utf-8"))
    files = stored_files(small)
    tensors = {n: (f.tensors[n].stored_type, f.stored(n).copy()) for n, f in files.items()}
    change(config["quantization_config"], tensors)
    write(small / "model.safetensors", tensors)
    (small / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load_graph(small, Scenario.prefill(5))


def test_of_many_tensors_the_configuration_says_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, _, _ = folders(tmp_path, "gptq 4")
    tensors = stored_files(small)
    (small / "model.safetensors").rename(small / "a.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "a.safetensors")}
    (small / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    found = []
    for most in (len(tensors), len(tensors) - 1):
        monkeypatch.setattr("inferstack.models.weight_files.MOST_COUNTED", most)
        found.append(ist.load(small).count(8, phase="decode").weight_bytes)
    orders = sum(files.stored(n).nbytes for n, files in tensors.items() if "g_idx" in n)
    assert found[0] - found[1] == pytest.approx(orders, abs=16)


def test_scales_without_a_method_are_refused(tmp_path: Path) -> None:
    small, _, _ = folders(tmp_path, "fp8 whole")
    (small / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is a scale, and config\.json has no quant"):
        load_graph(small, Scenario.prefill(5))
