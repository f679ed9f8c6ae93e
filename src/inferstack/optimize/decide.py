"""One row of the stack: a model, a machine and schedules, run on the simulator and priced."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inferstack.compress.accuracy import Accuracy
from inferstack.core.infeasible import Infeasible
from inferstack.core.progress import Progress, counted
from inferstack.core.provenance import Claim
from inferstack.cost.programs.vector import (
    VECTOR_KINDS,
    VectorCost,
    vector_cost,
    vector_operator,
    vector_tile,
)
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator, Work
from inferstack.mapping.text import readable
from inferstack.ops.registry import rule_for
from inferstack.optimize.result import Decision, OperatorResult
from inferstack.schedule.epilogues import Group, best_fusion
from inferstack.schedule.operators import GREEDY, Mapped, map_operators

if TYPE_CHECKING:
    import numpy.typing as npt

    from inferstack.simulate.run import OperatorRun, Run, Simulator

    Feeds = Dictionary[str, npt.NDArray[Any]]

FUSED = "fused"
"""As a schedule: exact search over epilogues too."""
EXACT = "exact"
UNITS = {"array": "array", "vector": "vector unit", "host": "host"}

Schedules = Dictionary[str, Mapped] | Dictionary[str, Group]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row before it is run. method: of the compressed model. schedule: greedy, exact or fused."""

    name: str
    description: str
    method: str
    graph: Graph
    accelerator: Accelerator
    schedule: str


@dataclass(slots=True)
class Simulators:
    """One simulator per machine, so that equal programs are timed once over all rows."""

    known: dict[str, Simulator] = field(default_factory=dict)

    def of(self, accelerator: Accelerator) -> Simulator:
        """The machine's."""
        from inferstack.simulate.run import Simulator

        return self.known.setdefault(accelerator.name, Simulator(accelerator))


def schedules_of(step: Step, objective: str) -> Schedules | Infeasible:
    """The schedule of every contraction; Infeasible also where a vector operator does not fit.

    Raises UnknownNameError for an unknown objective.
    """
    found: Schedules | Infeasible
    if step.schedule == FUSED:
        found = best_fusion(step.graph, step.accelerator, objective)
    else:
        chosen = GREEDY if step.schedule == GREEDY else objective
        found = map_operators(step.graph, step.accelerator, chosen)
    if isinstance(found, Infeasible):
        return found
    return _row_too_long(step, found) or found


def _row_too_long(step: Step, schedules: Schedules) -> Infeasible | None:
    """The first operator that runs alone on the vector unit and of which no tile fits."""
    from inferstack.simulate.host import on_host

    fused = {name for schedule in schedules.values() for name in schedule.mapping.fused}
    for operator in step.graph.operators:
        alone = operator.kind in VECTOR_KINDS and operator.name not in fused
        if alone and not on_host(step.graph, operator, step.accelerator):
            tile = vector_tile(vector_operator(step.graph, operator), step.accelerator)
            if isinstance(tile, Infeasible):
                return tile
    return None


def decide(
    step: Step,
    schedules: Schedules,
    accuracy: Accuracy,
    checked: Feeds,
    simulators: Simulators,
    progress: Progress,
) -> tuple[Decision, Run]:
    """The row: every operator's cycles from the simulator, its values compared on `checked`.

    Raises CheckFailedError where the simulator and the reference differ in one bit.
    """
    from inferstack.simulate.run import simulate_graph

    graph, machine = step.graph, step.accelerator
    simulator = simulators.of(machine)
    sentences = len(next(iter(checked.values())))
    run = simulate_graph(
        graph,
        {name: schedule.mapping for name, schedule in schedules.items()},
        machine,
        checked if sentences else None,
        simulator=simulator,
        progress=counted(progress, f"simulating: {step.name}", sentences),
    )
    by_name = {operator.name: operator for operator in graph.operators}
    parts: dict[object, tuple[float, ...]] = {}
    results = tuple(
        _operator_result(step, by_name, one, schedules.get(one.operator), simulator, parts)
        for one in run.operators
    )
    decision = Decision(
        name=step.name,
        description=step.description,
        accelerator=machine.name,
        clock_hz=machine.clock_hz,
        peak_macs_per_cycle=machine.array.macs_per_cycle,
        dram_bytes_per_cycle=float(machine.dma.bus_bytes),
        operators=results,
        accuracy=accuracy,
        bit_exact_tensors=run.checked,
    )
    return decision, run


def _operator_result(
    step: Step,
    by_name: Dictionary[str, Operator],
    run: OperatorRun,
    schedule: Mapped | Group | None,
    simulator: Simulator,
    parts: dict[object, tuple[float, ...]],
) -> OperatorResult:
    operator, machine = by_name[run.operator], step.accelerator
    moved = run.timing.dram_read_bytes + run.timing.dram_written_bytes
    predicted, compulsory = _predicted(step, operator, run, schedule, moved)
    certificate = schedule.certificate if schedule is not None else None
    shares = _shares(step, by_name, run, schedule, simulator, parts)
    return OperatorResult(
        name=operator.name,
        kind=operator.kind,
        unit=UNITS[run.where],
        claim=Claim.MODELLED if run.where == "host" else Claim.SIMULATED,
        cycles=run.cycles * run.repeats,
        predicted_cycles=None if predicted is None else predicted * run.repeats,
        cycles_by_work=_by_work(run, [by_name[name] for name in run.fused], shares),
        energy_pj=run.energy_pj * run.repeats,
        macs=run.timing.macs * run.repeats,
        dram_bytes=moved * run.repeats,
        compulsory_dram_bytes=compulsory * run.repeats,
        fused=run.fused,
        mapping=readable(schedule.mapping, schedule.contraction, machine) if schedule else None,
        certificate=certificate.text() if certificate is not None else None,
    )


def _predicted(
    step: Step, operator: Operator, run: OperatorRun, schedule: Mapped | Group | None, moved: int
) -> tuple[int | None, int]:
    """(predicted cycles, compulsory bytes of DRAM)."""
    if schedule is not None:
        return schedule.cost.cycles, schedule.cost.compulsory_dram_bytes
    if run.where == "host":
        return None, moved
    cost = vector_cost(vector_operator(step.graph, operator), step.accelerator)
    assert isinstance(cost, VectorCost), "what was simulated fits"
    return cost.cycles, cost.compulsory_dram_bytes


def _shares(
    step: Step,
    by_name: Dictionary[str, Operator],
    run: OperatorRun,
    schedule: Mapped | Group | None,
    simulator: Simulator,
    parts: dict[object, tuple[float, ...]],
) -> tuple[float, ...]:
    """Of a group's cycles: the contraction's, then each fused operator's; they sum to 1.

    An operator's share is what the group lasts longer with it, with the same tiles.
    """
    from inferstack.simulate.run import simulate_operator

    if schedule is None or not run.fused:
        return (1.0,)
    kinds = tuple(by_name[name].kind for name in run.fused)
    key = (schedule.contraction.signature, schedule.mapping.nodes, kinds)
    if key not in parts:
        ends = [
            simulate_operator(
                step.graph,
                by_name[run.operator],
                replace(schedule.mapping, fused=run.fused[:length]),
                step.accelerator,
                simulator,
            ).cycles
            for length in range(len(run.fused))
        ]
        # Wide results that are not fused may take longer to store than the group in all.
        rising = [min(max(ends[: i + 1]), run.cycles) for i in range(len(ends))] + [run.cycles]
        parts[key] = tuple(
            (after - before) / run.cycles
            for before, after in zip([0, *rising[:-1]], rising, strict=True)
        )
    return parts[key]


def _by_work(run: OperatorRun, fused: list[Operator], shares: tuple[float, ...]) -> dict[Work, int]:
    """Whole cycles by kind of work, of all repeats; what rounding leaves goes to the first."""
    total = run.cycles * run.repeats
    found = {run.work: total}
    for operator, share in zip(fused, shares[1:], strict=True):
        work, cycles = rule_for(operator).work, round(share * total)
        found[work] = found.get(work, 0) + cycles
        found[run.work] -= cycles
    return found
