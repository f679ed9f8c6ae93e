"""A graph as kernels: contractions for the array, everything else for the units behind it.

Batch normalisation behind a convolution is folded into its weights, and appending to a cache writes
only what is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, Operator, TensorRole, Work
from inferstack.mapping.contraction import Contraction, contraction, is_contraction
from inferstack.ops.registry import rule_for, rules
from inferstack.ops.rule import OUTPUT, Access, IterationSpace

FOLDED = "batchnorm"
APPENDS = "append_cache"
WIDE_READERS = frozenset({Work.SOFTMAX, Work.NORM, Work.ACTIVATION, Work.RESIDUAL_ADD})
FOLDED_SLOTS = frozenset({"bias", "gamma", "beta", "multiplier", "shift", "mask"})
"""Small operands that do not count: at most a value per column or token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Bits of an element of a graph without integer types.

    wide: of what a contraction hands to a nonlinear operator or a residual add: the partial sum as
    it is (survey section 3.3).
    """

    weight: int = 8
    activation: int = 8
    wide: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A tensor that a kernel reads or writes. indices: of its access, by axis of the tensor."""

    slot: str
    tensor: str
    access: Access
    bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One operator as the mapper sees it.

    space: its loops. contraction: for the array; None for the units behind it or the host. reads:
    without operands so small that they stand in no schedule; small_bytes: what those have in all.
    integer: whether it computes in integers, as units do. rescaled: slots of an addition that are
    brought to the sum's unit on the way in.
    """

    name: str
    kind: str
    work: Work
    part: str
    repeats: int
    space: IterationSpace
    contraction: Contraction | None
    reads: tuple[Port, ...]
    writes: Port
    small_bytes: int
    integer: bool
    rescaled: frozenset[str]

    @property
    def whole_rows(self) -> bool:
        """Whether a row of the last axis must be there whole."""
        return rules()[self.kind].whole_rows

    def port(self, tensor: str) -> Port:
        """The port that reads `tensor`."""
        return next(port for port in self.reads if port.tensor == tensor)

    @property
    def appends(self) -> bool:
        """Whether the result is part of a longer tensor that stays in DRAM."""
        return self.kind == APPENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelGraph:
    """Kernels in execution order. shapes: of tensors. outputs: tensors that must reach DRAM."""

    name: str
    kernels: tuple[Kernel, ...]
    shapes: Mapping[str, tuple[int, ...]]
    outputs: frozenset[str]

    def readers(self, tensor: str) -> tuple[int, ...]:
        """The kernels that read a tensor, by number."""
        return tuple(
            number
            for number, kernel in enumerate(self.kernels)
            if any(port.tensor == tensor for port in kernel.reads)
        )


def kernels_of(graph: Graph, precision: Precision | None = None) -> KernelGraph:
    """The kernels of a graph. Raises InputError for an operator whose loops are not known."""
    maker = _Maker(graph, precision or Precision())
    kernels = tuple(maker.kernel(operator) for operator in graph.operators if maker.kept(operator))
    outputs = frozenset(maker.source(name) for name in graph.outputs)
    # A layer that stands for several hands its result to the next one.
    repeated = {t.writes.tensor for t in kernels if t.repeats > 1 and not _read(kernels, t)}
    return KernelGraph(
        name=graph.name,
        kernels=kernels,
        shapes={name: tensor.shape for name, tensor in graph.tensors.items()},
        outputs=outputs | repeated,
    )


def _read(kernels: tuple[Kernel, ...], kernel: Kernel) -> bool:
    return any(
        port.tensor == kernel.writes.tensor and other.repeats == kernel.repeats
        for other in kernels
        for port in other.reads
    )


def is_quantized(graph: Graph) -> bool:
    """Whether a graph has integer types of its own: one of its contractions computes in them."""
    return any(is_contraction(o) and _is_integer(graph, o) for o in graph.operators)


class _Maker:
    """Names through folded operators, and bits by who reads a tensor.

    quantized: whether the graph has integer types of its own, which then decide.
    """

    def __init__(self, graph: Graph, precision: Precision) -> None:
        self.graph, self.precision = graph, precision
        self.quantized = is_quantized(graph)

    def kept(self, operator: Operator) -> bool:
        """Whether the operator is a kernel of its own."""
        return not (operator.kind == FOLDED and self._behind_convolution(operator))

    def _behind_convolution(self, operator: Operator) -> bool:
        maker = self.graph.producer(operator.inputs["x"])
        return maker is not None and maker.kind == "conv2d"

    def source(self, tensor: str) -> str:
        """The tensor that a kernel writes where the graph reads `tensor`."""
        producer = self.graph.producer(tensor)
        if producer is not None and not self.kept(producer):
            return producer.inputs["x"]
        return tensor

    def bits(self, tensor: str) -> int:
        """Of an element: the graph's own type where that is an integer."""
        held = self.graph.tensors[tensor]
        if held.dtype.is_integer or self.quantized:
            return held.dtype.bits
        if held.role is TensorRole.WEIGHT:
            return self.precision.weight
        producer = self.graph.producer(tensor)
        readers = [r for r in self.graph.consumers(tensor) if self.kept(r)]
        sums = producer is not None and (
            is_contraction(producer) or rule_for(producer).work is Work.RESIDUAL_ADD
        )
        wide = sums and readers and all(rule_for(r).work in WIDE_READERS for r in readers)
        return self.precision.wide if wide else self.precision.activation

    def kernel(self, operator: Operator) -> Kernel:
        """The kernel of an operator."""
        graph, rule = self.graph, rule_for(operator)
        operands, result = graph.operands(operator), graph.result(operator)
        space = rule.space(operands, result, operator.attributes)
        accesses = {access.slot: access for access in space.accesses}
        reads = tuple(
            Port(
                slot=slot,
                tensor=self.source(tensor),
                access=accesses[slot],
                bits=self.bits(tensor),
            )
            for slot, tensor in operator.inputs.items()
            if slot in accesses and slot not in FOLDED_SLOTS and not self._cached(operator, slot)
        )
        if OUTPUT not in accesses:
            raise InputError(f"operator {operator.name}", "its loops do not say what it writes")
        writes = Port(
            slot=OUTPUT,
            tensor=operator.output,
            access=accesses[OUTPUT],
            bits=self.bits(operator.output),
        )
        small = {t.name: t for s, t in operands.items() if s in FOLDED_SLOTS and s in accesses}
        integer = not self.quantized or _is_integer(graph, operator)
        return Kernel(
            name=operator.name,
            kind=operator.kind,
            work=rule.work,
            part=operator.part,
            repeats=graph.repeat(operator),
            space=space,
            contraction=self._contraction(operator, reads, writes) if integer else None,
            reads=reads,
            writes=writes,
            small_bytes=sum(t.elements * self.bits(t.name) // 8 for t in small.values()),
            integer=integer,
            rescaled=self._rescaled(operator, reads),
        )

    def _rescaled(self, operator: Operator, reads: tuple[Port, ...]) -> frozenset[str]:
        """Of an addition: what has a multiplier of its own; in a float graph, what is narrow."""
        if operator.kind != "add":
            return frozenset()
        if self.quantized:
            return frozenset(p.slot for p in reads if f"{p.slot}_multiplier" in operator.inputs)
        return frozenset(p.slot for p in reads if p.bits < self.precision.wide)

    def _cached(self, operator: Operator, slot: str) -> bool:
        return operator.kind == APPENDS and slot == "cache"

    def _contraction(
        self, operator: Operator, reads: tuple[Port, ...], writes: Port
    ) -> Contraction | None:
        if not is_contraction(operator):
            return None
        wanted = contraction(self.graph, operator)
        bits = {port.slot: port.bits for port in (*reads, writes)}
        operands = tuple(replace(one, bits=bits[one.slot]) for one in wanted.operands)
        bias = wanted.bias_bits
        if not self.quantized and (bias is not None or self._is_normalized(operator)):
            # At the width of the sums that they start.
            bias = self.precision.wide
        factors = wanted.row_factor_bits if self.quantized else 0
        return replace(wanted, operands=operands, bias_bits=bias, row_factor_bits=factors)

    def _is_normalized(self, operator: Operator) -> bool:
        """Whether a batch normalisation is folded into it, which leaves a value a channel."""
        return any(not self.kept(user) for user in self.graph.consumers(operator.output))


def _is_integer(graph: Graph, operator: Operator) -> bool:
    """Whether an operator computes in integers: its first operand is one, and its result."""
    first = graph.tensors[operator.inputs[rule_for(operator).required[0]]]
    return first.dtype.is_integer and graph.result(operator).dtype.is_integer
