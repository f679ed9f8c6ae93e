"""One row of the stack: a model, a machine and schedules, run on the simulator and priced."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferstack.core.progress import Progress, counted
from inferstack.core.provenance import Claim
from inferstack.cost.scheduled import Scheduled
from inferstack.ir.graph import Operator, Work
from inferstack.mapping.text import readable
from inferstack.ops.registry import rule_for
from inferstack.optimize.quality import Quality
from inferstack.optimize.result import Decision, OperatorResult
from inferstack.optimize.schedules import Schedules, Simulators, Step

if TYPE_CHECKING:
    import numpy.typing as npt

    from inferstack.simulate.run import OperatorRun, Run, Simulator

    Feeds = Dictionary[str, npt.NDArray[Any]]

UNITS = {"array": "array", "vector": "vector unit", "host": "host"}


def decide(
    step: Step,
    schedules: Schedules,
    kept: tuple[str, ...],
    quality: Quality,
    checked: Feeds,
    simulators: Simulators,
    progress: Progress,
) -> tuple[Decision, Run]:
    """The row: every operator's cycles from the simulator, its values compared on `checked`.

    kept: contractions whose schedule is that of the row above, as the simulator prefers it.
    Raises CheckFailedError where the simulator and the reference differ in one bit.
    """
    from inferstack.simulate.run import simulate_graph

    graph, machine = step.graph, step.accelerator
    simulator = simulators.of(machine)
    samples = len(next(iter(checked.values())))
    run = simulate_graph(
        graph,
        {name: group.schedules[0].mapping for name, group in schedules.items() if group.schedules},
        machine,
        checked if samples else None,
        simulator=simulator,
        progress=counted(progress, f"simulating: {step.name}", samples),
    )
    by_name = {operator.name: operator for operator in graph.operators}
    parts: dict[object, tuple[float, ...]] = {}
    results = tuple(
        _operator_result(step, by_name, one, schedules, simulator, parts) for one in run.operators
    )
    decision = Decision(
        name=step.name,
        description=step.description,
        accelerator=machine.name,
        clock_hz=machine.clock_hz,
        peak_macs_per_cycle=machine.array.macs_per_cycle,
        dram_bytes_per_cycle=float(machine.dma.bus_bytes),
        operators=results,
        quality=quality,
        bit_exact_tensors=run.checked,
        kept_schedules=kept,
    )
    return decision, run


def _operator_result(
    step: Step,
    by_name: Dictionary[str, Operator],
    run: OperatorRun,
    schedules: Schedules,
    simulator: Simulator,
    parts: dict[object, tuple[float, ...]],
) -> OperatorResult:
    operator, machine = by_name[run.operator], step.accelerator
    group = schedules[run.operator]
    schedule = group.schedules[0] if group.schedules else None
    moved = run.timing.dram_read_bytes + run.timing.dram_written_bytes
    # The host's cycles are the model itself; alone, nothing moves more than once.
    predicted = None if run.where == "host" else group.cycles
    compulsory = moved if schedule is None else schedule.cost.compulsory_dram_bytes
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


def _shares(
    step: Step,
    by_name: Dictionary[str, Operator],
    run: OperatorRun,
    schedule: Scheduled | None,
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
