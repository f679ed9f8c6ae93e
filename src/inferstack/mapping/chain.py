"""Chains behind a contraction: the operators that may be computed on its output tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.epilogue import (
    COMMAND_KINDS,
    LOADED_KINDS,
    ROW_FACTOR_BITS,
    Epilogue,
)
from inferstack.mapping.kernels import Kernel, KernelGraph

SUM_BITS = 32
"""Of a result that is still a sum: what follows reads it as it is in the accumulator."""


def fusible_chain(graph: KernelGraph, head: Kernel, accelerator: Accelerator) -> tuple[Kernel, ...]:
    """The longest run of kernels behind a contraction that may be computed on its output tile.

    Each is the only reader of the one before; residual adds come first, then at most one command.
    Any prefix of it may be fused too.
    """
    chain: list[Kernel] = []
    last = head
    if head.contraction is None or head.writes.bits != SUM_BITS:
        return ()
    if head.kind == "attention_context":
        # Its way out is taken by the division by the sum of each row.
        return ()
    while True:
        tensor = last.writes.tensor
        readers = graph.readers(tensor)
        if len(readers) != 1 or tensor in graph.outputs:
            return tuple(chain)
        user = graph.kernels[readers[0]]
        if not accelerator.supports(user.kind) or not _takes(graph, user, tensor, head):
            return tuple(chain)
        chain.append(user)
        if user.kind in COMMAND_KINDS:
            return tuple(chain)
        last = user


def _takes(graph: KernelGraph, user: Kernel, source: str, head: Kernel) -> bool:
    """Whether `user` can be computed on the accumulator's tile of `source`."""
    if not user.integer or user.repeats != head.repeats:
        return False
    if user.kind not in LOADED_KINDS:
        return user.reads[0].tensor == source and user.kind in COMMAND_KINDS
    if len(user.reads) != 2:
        return False
    own, other = user.reads if user.reads[0].tensor == source else reversed(user.reads)
    return (
        own.slot not in user.rescaled
        and other.tensor != source
        and graph.shapes[other.tensor] == graph.shapes[head.writes.tensor]
        and other.bits in (8, SUM_BITS)
    )


def epilogue_of(head: Kernel, fused: Sequence[Kernel]) -> Epilogue:
    """The epilogue that `fused` is to a contraction."""
    source, bits, scaled = head.writes.tensor, list[int](), list[bool]()
    for user in fused:
        if user.kind in LOADED_KINDS:
            other = next(port for port in user.reads if port.tensor != source)
            bits.append(other.bits)
            scaled.append(other.slot in user.rescaled)
        source = user.writes.tensor
    return Epilogue(
        names=tuple(user.name for user in fused),
        kinds=tuple(user.kind for user in fused),
        output_bits=fused[-1].writes.bits if fused else None,
        residual_bits=tuple(bits),
        scaled=tuple(scaled),
    )


def chained(head: Kernel, fused: Sequence[Kernel]) -> Contraction:
    """The contraction as a program computes it, with `fused` on its way out."""
    assert head.contraction is not None, "a chain begins with a contraction"
    # Integer probabilities have a factor for each row, by which the context is divided.
    factors = ROW_FACTOR_BITS if head.kind == "attention_context" else 0
    epilogue = epilogue_of(head, fused)
    return replace(head.contraction, epilogue=epilogue, row_factor_bits=factors)
