"""What a contraction's output passes through before it leaves the accumulator.

A residual is accumulated in place by a scaled load; one of GELU, softmax and LayerNorm may follow
on the way out. Softmax and LayerNorm read the row several times, so the tile must hold whole rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferstack.core.dtypes import DType
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.contraction import ROW_FACTOR_BITS, Contraction, is_contraction

ROW_KINDS = ("softmax", "layernorm")
COMMAND_KINDS = ("gelu", *ROW_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epilogue:
    """The operators fused to a contraction.

    names, kinds: in order. output_bits: of what leaves; None without any. residual_bits, scaled: of
    each tensor added on the way, and whether it is rescaled then.
    """

    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    output_bits: int | None = None
    residual_bits: tuple[int, ...] = ()
    scaled: tuple[bool, ...] = ()

    @property
    def command(self) -> str | None:
        """The kind that is computed on the way out, if any."""
        return next((kind for kind in self.kinds if kind in COMMAND_KINDS), None)

    @property
    def row_factor_bits(self) -> int:
        """Bits written behind each row: a softmax hands on the factor of its row."""
        return ROW_FACTOR_BITS if self.command == "softmax" else 0

    @property
    def whole_rows(self) -> bool:
        """Whether a tile must hold whole rows of n."""
        return self.command in ROW_KINDS


NO_EPILOGUE = Epilogue()


def with_epilogue(contraction: Contraction, epilogue: Epilogue) -> Contraction:
    """The contraction with the width that its result has behind the epilogue."""
    if epilogue.output_bits is None:
        return contraction
    operands = tuple(
        replace(operand, bits=epilogue.output_bits) if operand.role is Role.OUTPUT else operand
        for operand in contraction.operands
    )
    return replace(contraction, operands=operands)


def epilogue_of(graph: Graph, operator: Operator, fused: Sequence[Operator]) -> Epilogue:
    """The epilogue that `fused` is to `operator`."""
    source, bits, scaled = operator.output, list[int](), list[bool]()
    for user in fused:
        if user.kind == "add":
            other = "b" if user.inputs["a"] == source else "a"
            bits.append(graph.tensors[user.inputs[other]].dtype.bits)
            scaled.append(f"{other}_multiplier" in user.inputs)
        source = user.output
    return Epilogue(
        names=tuple(user.name for user in fused),
        kinds=tuple(user.kind for user in fused),
        output_bits=graph.tensors[source].dtype.bits if fused else None,
        residual_bits=tuple(bits),
        scaled=tuple(scaled),
    )


def fusible_chain(
    graph: Graph, operator: Operator, accelerator: Accelerator
) -> tuple[Operator, ...]:
    """The longest run of operators behind a contraction that may be computed on its output tile.

    Each is the only reader of the one before; residual adds come first, then at most one command.
    Any prefix of it may be fused too.
    """
    chain: list[Operator] = []
    last = operator
    if not is_contraction(operator) or graph.result(operator).dtype is not DType.INT32:
        return ()
    if operator.kind == "attention_context":
        # Its way out is taken by the division by the sum of each row.
        return ()
    while True:
        readers = graph.consumers(last.output)
        if len(readers) != 1 or last.output in graph.outputs:
            return tuple(chain)
        user = readers[0]
        if not accelerator.supports(user.kind) or not _takes(graph, user, last.output, operator):
            return tuple(chain)
        chain.append(user)
        if user.kind in COMMAND_KINDS:
            return tuple(chain)
        last = user


def _takes(graph: Graph, user: Operator, source: str, head: Operator) -> bool:
    """Whether `user` can be computed on the accumulator's tile of `source`."""
    if user.kind in COMMAND_KINDS:
        return user.inputs["x"] == source
    if user.kind != "add":
        return False
    own, other = ("a", "b") if user.inputs["a"] == source else ("b", "a")
    residual = graph.tensors[user.inputs[other]]
    return (
        f"{own}_multiplier" not in user.inputs
        and user.inputs[other] != source
        and residual.shape == graph.result(head).shape
        and residual.dtype in (DType.INT8, DType.INT32)
    )
