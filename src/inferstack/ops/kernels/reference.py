"""The integer references of whole operators: what `integer_reference` of each kind returns.

inputs: arrays by slot, as the operator's file documents them. All results are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.ops.kernels import arrays, gates, positions
from inferstack.ops.kernels.integer import INT8_MAX, INT32_MAX
from inferstack.ops.quantization import constants

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Inputs = Mapping[str, "Array"]


def add(inputs: Inputs) -> Array:
    """int32 saturate(rescale(a) + rescale(b)); no table means identity. b broadcasts to a."""
    shape = np.broadcast_shapes(inputs["a"].shape, inputs["b"].shape)
    sides = [
        np.broadcast_to(_rescaled(inputs, slot), shape).reshape(-1, shape[-1]) for slot in "ab"
    ]
    out = np.empty(sides[0].shape, dtype=np.int32)
    arrays.add_rows(np.ascontiguousarray(sides[0]), np.ascontiguousarray(sides[1]), out)
    return out.reshape(shape)


def matmul(inputs: Inputs, transpose_b: bool) -> Array:
    """int32 a @ b + bias, or int8 of it with `multiplier` and `shift`."""
    b = inputs["b"].T if transpose_b else inputs["b"]
    return finished(arrays.matmul_int8(inputs["a"], b), inputs)


def finished(accumulator: Array, inputs: Inputs) -> Array:
    """What a matmul hands on of its int32 sums: with the bias, and int8 where there are tables."""
    return narrowed(_biased(accumulator, inputs.get("bias")), inputs)


def attention_scores(inputs: Inputs, heads: int, kv_heads: int) -> Array:
    """int32 (batch, heads, tokens, context): query times key of each head."""
    query = split_heads(inputs["query"], heads)
    key = split_heads(inputs["key"], kv_heads).repeat(heads // kv_heads, axis=1)
    return narrowed(arrays.matmul_int8(query, key.swapaxes(2, 3)), inputs)


def attention_context(inputs: Inputs, heads: int, kv_heads: int) -> Array:
    """int32 means of values (batch, tokens, heads * dh), or int8 with `multiplier` and `shift`.

    Every row is divided by the sum of its probabilities; the int32 mean has 16 bits below the unit
    of the values.
    """
    probabilities = inputs["probabilities"]
    value = split_heads(inputs["value"], kv_heads).repeat(heads // kv_heads, axis=1)
    sums = arrays.matmul_int8(probabilities, value)
    context: Array = np.empty(sums.shape, dtype=np.int32)
    arrays.mean_rows(
        arrays.by_rows(sums), arrays.by_rows(probabilities), context.reshape(-1, sums.shape[-1])
    )
    batch, _, tokens, width = context.shape
    merged = context.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * width)
    return narrowed(merged, inputs)


def softmax(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """int8 probabilities of x (batch, heads, tokens, context) int32."""
    x = np.ascontiguousarray(inputs["x"], dtype=np.int32)
    mask = inputs["mask"] if "mask" in inputs else np.ones((x.shape[0], x.shape[3]), np.int64)
    out = np.empty(x.shape, dtype=np.int8)
    arrays.softmax_array(
        x,
        np.ascontiguousarray(mask, dtype=np.int64),
        bool(attributes.get("causal", False)),
        int(attributes.get("window", 0)),
        *_tables(inputs, ""),
        constants("softmax", attributes),
        out,
    )
    return out


def gelu(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """int8 i-GELU of x (..., n) int32, with tables on the way in and (`out_`) on the way out."""
    x = arrays.by_rows(inputs["x"].astype(np.int32, copy=False))
    out = np.empty(x.shape, dtype=np.int8)
    arrays.gelu_rows(
        x, *_tables(inputs, ""), *_tables(inputs, "out_"), constants("gelu", attributes), out
    )
    return out.reshape(inputs["x"].shape)


def layernorm(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """int8 i-LayerNorm of x (..., n) int32 or int8; gamma and beta are the integer tables."""
    x = arrays.by_rows(inputs["x"].astype(np.int32, copy=False))
    out = np.empty(x.shape, dtype=np.int8)
    arrays.layernorm_rows(
        x,
        *_tables(inputs, ""),
        _table(inputs["gamma"]),
        _table(inputs["beta"]),
        constants("layernorm", attributes),
        out,
    )
    return out.reshape(inputs["x"].shape)


def rmsnorm(inputs: Inputs, attributes: Mapping[str, Any], width: int) -> Array:
    """int8 of x (..., n) int32 or int8, normed in parts of `width`; gamma is the integer table."""
    x = arrays.by_rows(inputs["x"].astype(np.int32, copy=False))
    out = np.empty(x.shape, dtype=np.int8)
    arrays.rmsnorm_rows(
        x,
        width,
        *_tables(inputs, ""),
        _table(inputs["gamma"]).reshape(-1),
        constants("rmsnorm", attributes),
        out,
    )
    return out.reshape(inputs["x"].shape)


def silu(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """SiLU of x (..., n) int32, tables on the way in and (`out_`) on the way out; int8, or with
    attribute bits 16 such integers in int32."""
    x = arrays.by_rows(inputs["x"].astype(np.int32, copy=False))
    out = np.empty(x.shape, dtype=np.int64)
    limit = 2 ** (int(attributes.get("bits", 8)) - 1) - 1
    tables = (*_tables(inputs, ""), *_tables(inputs, "out_"))
    gates.silu_rows(x, *tables, constants("silu", attributes), limit, out)
    return out.astype(np.int8 if limit == INT8_MAX else np.int32).reshape(inputs["x"].shape)


PARTS = {"whole": 0, "high": 1, "low": 2}
"""What a product keeps of itself, as its kernel is told."""


def multiply(inputs: Inputs, part: str = "whole") -> Array:
    """int8 of a * b, each first brought to 16 bits where it has tables; b broadcasts to a."""
    shape = inputs["a"].shape
    sides = [
        np.broadcast_to(_rescaled(inputs, slot), shape).reshape(-1, shape[-1]) for slot in "ab"
    ]
    out = np.empty(sides[0].shape, dtype=np.int8)
    left, right = (np.ascontiguousarray(side) for side in sides)
    gates.multiply_rows(left, right, *_tables(inputs, "out_"), PARTS[part], out)
    return out.reshape(shape)


def rotary(inputs: Inputs, attributes: Mapping[str, Any]) -> Array:
    """int8 of x (batch, tokens, heads * width) int32 or int8, turned by the tables of angles."""
    whole = inputs["x"]
    x = whole.astype(np.int32, copy=False).reshape(*whole.shape[:2], int(attributes["heads"]), -1)
    out = np.empty(x.shape, dtype=np.int8)
    multiplier, shift = _tables(inputs, "out_")
    positions.rotary_array(
        x,
        *_tables(inputs, ""),
        _table(inputs["cosine"]),
        _table(inputs["sine"]),
        int(attributes.get("skipped", 0)),
        bool(attributes.get("interleaved", False)),
        int(multiplier[0]),
        int(shift[0]),
        out,
    )
    return out.reshape(whole.shape)


def relu(inputs: Inputs) -> Array:
    """int8 of max(x, 0), x (..., n) int32 or int8."""
    rows = arrays.by_rows(np.maximum(inputs["x"], 0).astype(np.int32, copy=False))
    out = np.empty(rows.shape, dtype=np.int8)
    arrays.requantize_rows(rows, *_tables(inputs, ""), out)
    return out.reshape(inputs["x"].shape)


def narrowed(accumulator: Array, inputs: Inputs) -> Array:
    """The int32 accumulator (..., n), or its int8 requantization where there are tables."""
    if "multiplier" not in inputs:
        return accumulator
    rows = arrays.by_rows(accumulator)
    out = np.empty(rows.shape, dtype=np.int8)
    arrays.requantize_rows(rows, *_tables(inputs, ""), out)
    return out.reshape(accumulator.shape)


def split_heads(x: Array, heads: int) -> Array:
    """(batch, tokens, heads * dh) as (batch, heads, tokens, dh)."""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).transpose(0, 2, 1, 3)


def _biased(accumulator: Array, bias: Array | None) -> Array:
    """accumulator + bias, which has to stay in int32: the compiler keeps bias under 2^30."""
    if bias is None:
        return accumulator
    total = accumulator.astype(np.int64) + bias
    assert int(np.abs(total).max(initial=0)) <= INT32_MAX, "a matmul's accumulator leaves int32"
    return total.astype(np.int32)


def _rescaled(inputs: Inputs, slot: str) -> Array:
    """The operand in int64, rescaled where it has tables."""
    x = inputs[slot]
    if f"{slot}_multiplier" not in inputs:
        return x.astype(np.int64)
    rows = arrays.by_rows(x)
    out = np.empty(rows.shape, dtype=np.int64)
    arrays.rescale_rows(rows, *_tables(inputs, f"{slot}_"), out)
    return out.reshape(x.shape)


def _tables(inputs: Inputs, prefix: str) -> tuple[Array, Array]:
    """The rescale's multiplier and shift as int64; the identity where there is none."""
    if f"{prefix}multiplier" not in inputs:
        return np.array([2], dtype=np.int64), np.array([1], dtype=np.int64)
    return _table(inputs[f"{prefix}multiplier"]), _table(inputs[f"{prefix}shift"])


def _table(values: Array) -> Array:
    """A table as contiguous int64: one compiled kernel for every storage type."""
    return np.ascontiguousarray(values, dtype=np.int64)
