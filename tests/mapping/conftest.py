"""Machines and contractions of the mapping tests."""

from __future__ import annotations

import dataclasses

from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.ops.rule import Affine


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
    machine = load_accelerator(name)
    levels = tuple(
        dataclasses.replace(level, capacity_bytes=capacities.get(level.name, level.capacity_bytes))
        for level in machine.levels
    )
    return dataclasses.replace(machine, levels=levels, sources={})
