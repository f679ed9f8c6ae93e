"""Machines and contractions of the mapping tests."""

from __future__ import annotations

import numpy as np

from inferstack.core.dtypes import DType
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph, TensorRole
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.rule import Affine
from inferstack.testing.integer_graphs import IntegerGraph
from inferstack.testing.machines import resized


def operand(slot: str, role: Role, bits: int, *axes: str) -> Operand:
    """An operand whose axes are sums of dimensions: "m", "p+2r", "4g+h"."""
    indices = []
    for axis in axes:
        terms = []
        for term in axis.split("+"):
            digits = term.rstrip("abcdefghijklmnopqrstuvwxyz")
            terms.append((term[len(digits) :], int(digits or 1)))
        indices.append(Affine(tuple(terms)))
    return Operand(slot=slot, role=role, indices=tuple(indices), bits=bits)


def matmul(
    m: int,
    n: int,
    k: int,
    *,
    output_bits: int = 8,
    bias_bits: int | None = None,
    transposed: bool = False,
    heads: int = 1,
) -> Contraction:
    """out[m, n] = sum over k of a[m, k] * b[k, n], for each head."""
    batch = ("g",) if heads > 1 else ()
    return Contraction(
        name="matmul",
        dims=(*(("g", heads) for _ in batch), ("m", m), ("n", n), ("k", k)),
        reductions=frozenset({"k"}),
        operands=(
            operand("a", Role.INPUT, 8, *batch, "m", "k"),
            operand("b", Role.WEIGHT, 8, *batch, *("nk" if transposed else "kn")),
            operand("out", Role.OUTPUT, output_bits, *batch, "m", "n"),
        ),
        bias_bits=bias_bits,
    )


def convolution(
    p: int, r: int, channels: int, filters: int, stride: int, dilation: int
) -> Contraction:
    """A convolution along one axis: out[p, n] = sum of x[stride p + dilation r, k] * w[r, k, n]."""
    return Contraction(
        name="convolution",
        dims=(("p", p), ("n", filters), ("k", channels), ("r", r)),
        reductions=frozenset({"k", "r"}),
        operands=(
            operand("x", Role.INPUT, 8, f"{stride}p+{dilation}r", "k"),
            operand("w", Role.WEIGHT, 8, "r", "k", "n"),
            operand("out", Role.OUTPUT, 8, "p", "n"),
        ),
    )


def gemmini(name: str = "gemmini", **capacities: int) -> Accelerator:
    """A machine of the library, with other capacities in bytes."""
    return resized(load_accelerator(name), capacities)


def encoder_layer(tokens: int, width: int, heads: int, inner: int, seed: int = 0) -> Graph:
    """The six kinds of contraction of an encoder layer, integer, each on inputs of its own."""
    made = GraphBuilder("layer")
    random = np.random.default_rng(seed)

    def declare(
        name: str, shape: tuple[int, ...], role: TensorRole, dtype: DType = DType.INT8
    ) -> str:
        data = None
        if role is not TensorRole.INPUT:
            data = random.integers(-100, 100, shape).astype(dtype.numpy())
        return made.tensor(name, shape, dtype, role, data)

    def rescale(name: str, size: int) -> dict[str, str]:
        tables = {"multiplier": np.full(size, 2**30), "shift": np.full(size, 40)}
        return {
            slot: made.tensor(f"{name}.{slot}", (size,), DType.INT32, TensorRole.CONSTANT, values)
            for slot, values in tables.items()
        }

    def linear(name: str, source: str, k: int, n: int, narrow: bool) -> str:
        inputs = {
            "a": source,
            "b": declare(f"{name}.weight", (k, n), TensorRole.WEIGHT),
            "bias": declare(f"{name}.bias", (n,), TensorRole.WEIGHT, DType.INT32),
        }
        return made.add("matmul", name, {**inputs, **(rescale(name, n) if narrow else {})})

    x = declare("x", (1, tokens, width), TensorRole.INPUT)
    hidden = declare("hidden", (1, tokens, inner), TensorRole.INPUT)
    weights = declare("weights", (1, heads, tokens, tokens), TensorRole.INPUT)
    split = {"heads": heads, "kv_heads": heads}
    outputs = (
        linear("query", x, width, width, True),
        made.add("attention_scores", "scores", {"query": x, "key": x}, split),
        made.add(
            "attention_context",
            "context",
            {"probabilities": weights, "value": x, **rescale("context", 1)},
            split,
        ),
        linear("output", x, width, width, False),
        linear("ffn1", x, width, inner, False),
        linear("ffn2", hidden, inner, width, False),
    )
    return made.build(outputs)


def whole_layer(tokens: int, width: int, heads: int, inner: int) -> Graph:
    """One integer encoder layer: every contraction with the operators behind it."""
    made = IntegerGraph("layer")
    x = made.input("x", (1, tokens, width))
    q, k, v = (
        made.linear(name, x, width, width, narrow=True) for name in ("query", "key", "value")
    )
    weights = made.softmax("softmax", made.scores("scores", q, k, heads))
    context = made.context("context", weights, v, heads, width)
    output = made.linear("output", context, width, width)
    normed = made.layernorm("norm1", made.residual("add1", output, x))
    active = made.gelu("gelu", made.linear("ffn1", normed, width, inner))
    narrow = made.linear("ffn2", active, inner, width)
    return made.build((made.layernorm("norm2", made.residual("add2", narrow, normed)),))
