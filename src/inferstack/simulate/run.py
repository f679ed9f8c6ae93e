"""Whole graphs on the machine: values of every tensor, cycles of every operator.

Operators run one after the other with a fence between them. Timing does not depend on data, so each
distinct code is timed once; values are computed per sentence and compared with the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.errors import CheckFailedError, InputError, MappingError
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator, Work
from inferstack.mapping.nest import Mapping
from inferstack.ops.execute import evaluate, execute
from inferstack.ops.registry import rule_for
from inferstack.simulate import contraction, host, isa, machine, vector
from inferstack.simulate.layout import Layout, lay_out
from inferstack.simulate.machine import Timing, energy_pj

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRun:
    """One operator, or a fused group, on the machine.

    fused: the operators computed on the way out. where: "array", "vector" or "host". repeats: how
    many times the model holds it. work: the kind of work of the group's first operator.
    """

    operator: str
    fused: tuple[str, ...]
    where: str
    work: Work
    part: str
    repeats: int
    timing: Timing
    energy_pj: float

    @property
    def cycles(self) -> int:
        """Cycles of one occurrence."""
        return self.timing.cycles


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A graph on the machine.

    outputs: the graph's outputs over all sentences, {} without feeds. checked: tensors
    that programs wrote, compared; the host computes by the reference itself.
    """

    graph: str
    accelerator: str
    operators: tuple[OperatorRun, ...]
    outputs: Dictionary[str, Array] = field(default_factory=dict)
    sentences: int = 0
    checked: int = 0

    @property
    def cycles(self) -> int:
        """All operators, repeats included."""
        return sum(run.cycles * run.repeats for run in self.operators)

    @property
    def energy_pj(self) -> float:
        """All operators, repeats included."""
        return sum(run.energy_pj * run.repeats for run in self.operators)

    @property
    def dram_bytes(self) -> int:
        """Bytes read and written, repeats included."""
        return sum(
            (run.timing.dram_read_bytes + run.timing.dram_written_bytes) * run.repeats
            for run in self.operators
        )

    @property
    def cycles_by_work(self) -> dict[Work, int]:
        """Cycles by kind of work; a fused group counts as its first operator."""
        total: dict[Work, int] = {}
        for run in self.operators:
            total[run.work] = total.get(run.work, 0) + run.cycles * run.repeats
        return total


@dataclass(slots=True)
class Simulator:
    """Remembers the timing of code that it has seen."""

    accelerator: Accelerator
    timings: dict[str, Timing] = field(default_factory=dict)

    def timing(self, program: isa.Program) -> Timing:
        """The program's timing; computed once per distinct code."""
        key = program.code.signature
        if key not in self.timings:
            self.timings[key] = machine.time(program.code, self.accelerator)
        return self.timings[key]


def fused_operators(graph: Graph, mapping: Mapping | None) -> tuple[Operator, ...]:
    """The operators that the mapping fuses. Raises MappingError for a name that is none."""
    if mapping is None:
        return ()
    by_name = {operator.name: operator for operator in graph.operators}
    for name in mapping.fused:
        if name not in by_name:
            raise MappingError(
                f"mapping of {mapping.operator}", "fuses an operator that does not exist", got=name
            )
    return tuple(by_name[name] for name in mapping.fused)


def lower(
    graph: Graph, operator: Operator, mapping: Mapping | None, accelerator: Accelerator
) -> isa.Program:
    """The program of an operator (with what its mapping fuses), which must not be the host's."""
    if operator.kind in contraction.KINDS:
        if mapping is None:
            raise MappingError(f"operator {operator.name}", "has no mapping")
        fused = fused_operators(graph, mapping)
        return contraction.lower_contraction(graph, operator, fused, mapping, accelerator)
    return vector.lower_vector(graph, operator, accelerator)


def simulate_operator(
    graph: Graph,
    operator: Operator,
    mapping: Mapping | None,
    accelerator: Accelerator,
    simulator: Simulator | None = None,
) -> OperatorRun:
    """Time and energy of one operator, on the machine or on the host."""
    simulator = simulator or Simulator(accelerator)
    if host.on_host(graph, operator, accelerator):
        return _described(
            graph, operator, (), "host", host.host_timing(graph, operator, accelerator), accelerator
        )
    program = lower(graph, operator, mapping, accelerator)
    where = "array" if operator.kind in contraction.KINDS else "vector"
    fused = mapping.fused if mapping is not None and where == "array" else ()
    return _described(graph, operator, fused, where, simulator.timing(program), accelerator)


def _described(
    graph: Graph,
    operator: Operator,
    fused: tuple[str, ...],
    where: str,
    timing: Timing,
    accelerator: Accelerator,
) -> OperatorRun:
    return OperatorRun(
        operator=operator.name,
        fused=fused,
        where=where,
        work=rule_for(operator).work,
        part=operator.part,
        repeats=graph.repeat(operator),
        timing=timing,
        energy_pj=energy_pj(timing, accelerator),
    )


def simulate_graph(
    graph: Graph,
    mappings: Dictionary[str, Mapping],
    accelerator: Accelerator,
    feeds: Dictionary[str, Array] | None = None,
    *,
    check: bool = True,
    simulator: Simulator | None = None,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """The graph on the machine: time always, values where there are feeds.

    mappings: by name of the contraction. feeds: an array per input, with any number of sentences on
    the leading axis; each runs alone. check: compare every tensor with the reference.
    simulator: remembers the timing of code between calls. progress: called with 1 a sentence.
    Raises CheckFailedError where the machine and the reference differ, MappingError for a mapping
    that cannot run, InputError for feeds that do not fit.
    """
    simulator = simulator or Simulator(accelerator)
    away = {name for mapping in mappings.values() for name in mapping.fused}
    heads = [operator for operator in graph.operators if operator.name not in away]
    programs: dict[str, isa.Program] = {}
    runs: list[OperatorRun] = []
    for operator in heads:
        mapping = mappings.get(operator.name)
        if host.on_host(graph, operator, accelerator):
            runs.append(simulate_operator(graph, operator, None, accelerator, simulator))
            continue
        program = lower(graph, operator, mapping, accelerator)
        array = operator.kind in contraction.KINDS
        fused = mapping.fused if mapping is not None and array else ()
        runs.append(
            _described(
                graph,
                operator,
                fused,
                "array" if array else "vector",
                simulator.timing(program),
                accelerator,
            )
        )
        programs[operator.name] = program
    if feeds is None:
        return Run(graph=graph.name, accelerator=accelerator.name, operators=tuple(runs))
    outputs, count, checked = _values(
        graph, _ordered(graph, heads, programs), programs, feeds, check, progress
    )
    return Run(
        graph=graph.name,
        accelerator=accelerator.name,
        operators=tuple(runs),
        outputs=outputs,
        sentences=count,
        checked=checked,
    )


def _ordered(
    graph: Graph, heads: Sequence[Operator], programs: Dictionary[str, isa.Program]
) -> list[Operator]:
    """The groups in an order in which everything that they read is written before."""
    written = set(graph.inputs) | {n for n, t in graph.tensors.items() if t.data is not None}
    waiting, ordered = list(heads), []
    while waiting:
        for operator in waiting:
            program = programs.get(operator.name)
            reads = set(operator.inputs.values())
            if program is not None:
                reads = {isa.tensor_of(name) for name in program.operands}
                reads -= {program.output, isa.SPILL}
            if reads <= written:
                written.add(program.output if program else operator.output)
                ordered.append(operator)
                waiting.remove(operator)
                break
        else:
            raise InputError(
                f"graph {graph.name}",
                f"operator {waiting[0].name} reads a tensor that a fused group keeps on the chip",
                hint="do not fuse across a tensor that another operator reads",
            )
    return ordered


def _values(
    graph: Graph,
    ordered: Sequence[Operator],
    programs: Dictionary[str, isa.Program],
    feeds: Dictionary[str, Array],
    check: bool,
    progress: Callable[[int], None] | None,
) -> tuple[dict[str, Array], int, int]:
    """(outputs, sentences, tensors compared)."""
    spill = max((s for p in programs.values() for o, s in _sizes(p) if o == isa.SPILL), default=0)
    layout = lay_out(graph, spill)
    memory = layout.memory(graph)
    count = len(next(iter(feeds.values())))
    outputs: dict[str, list[Array]] = {name: [] for name in graph.outputs}
    checked = 0
    for index in range(count):
        sentence = {name: feeds[name][index : index + 1] for name in graph.inputs}
        expected = execute(graph, sentence, keep=True) if check else {}
        for name, values in sentence.items():
            layout.write(memory, name, values)
        for operator in ordered:
            name = _run_one(graph, operator, programs, layout, memory, sentence)
            if check and operator.name in programs:
                _compare(graph, name, layout.view(memory, name), expected[name], index)
                checked += 1
        for name in graph.outputs:
            outputs[name].append(layout.view(memory, name).copy())
        if progress is not None:
            progress(1)
    return {name: np.concatenate(parts) for name, parts in outputs.items()}, count, checked


def _sizes(program: isa.Program) -> Sequence[tuple[str, int]]:
    return list(zip(program.operands, program.code.operand_bytes, strict=True))


def _run_one(
    graph: Graph,
    operator: Operator,
    programs: Dictionary[str, isa.Program],
    layout: Layout,
    memory: Array,
    sentence: Dictionary[str, Array],
) -> str:
    """Runs a group on the machine or the host; returns the tensor that it wrote."""
    program = programs.get(operator.name)
    if program is not None:
        machine.execute(program, memory, [layout.addresses[name] for name in program.operands])
        return program.output
    inputs = {
        slot: sentence[name] if name in sentence else layout.view(memory, name)
        for slot, name in operator.inputs.items()
    }
    layout.write(memory, operator.output, evaluate(graph, operator, inputs))
    return operator.output


def _compare(graph: Graph, name: str, got: Array, expected: Array, sentence: int) -> None:
    """Raises CheckFailedError at the first value that differs."""
    if np.array_equal(got, expected):
        return
    index = tuple(int(i) for i in np.argwhere(got != expected)[0])
    raise CheckFailedError(
        f"simulate {graph.name}",
        f"tensor {name} of sentence {sentence} differs from the reference at {index}",
        got=got[index],
        need=expected[index],
    )
