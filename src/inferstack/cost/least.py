"""What no schedule of an operator by itself can go below on a machine: the times of `analyze`.

The same floor that `map` prints its cycles over: MACs at the peak of all arrays, the units' and the
host's work, every operand once through DRAM's ports.
"""

from __future__ import annotations

from inferstack.analysis.convention import Convention, Site
from inferstack.analysis.workload import Task, Workload
from inferstack.core.errors import InputError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.analytic import analytic_costs, generation_costs
from inferstack.cost.groups.bounds import Floor, floor
from inferstack.cost.groups.setting import Setting
from inferstack.cost.operator_time import OperatorTime, Times, summed
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.kernels import kernels_of
from inferstack.ops.registry import rule_for

PIECE = 64
"""Steps of decoding between which figures are taken as affine: they are, to whole cycles."""


def workload_times(workload: Workload, accelerator: Accelerator, convention: Convention) -> Times:
    """The least times of a workload, all steps of a generation together; by the survey's model
    where its convention counts."""
    survey = convention.name == "survey"
    if workload.task is Task.GENERATE:
        if survey:
            return generation_costs(workload.step, workload.tokens, accelerator, convention)
        return summed(
            workload.step,
            lambda graph: least_times(graph, accelerator, convention),
            workload.tokens,
            PIECE,
        )
    graph = workload.graph()
    make = analytic_costs if survey else least_times
    return make(graph, accelerator, convention)


def least_times(graph: Graph, accelerator: Accelerator, convention: Convention) -> Times:
    """One pass of `graph`, operator by operator. What is folded into another one takes nothing.

    Raises InputError for an operator that the machine has nothing for.
    """
    kernels = kernels_of(graph)
    setting = Setting(graph=kernels, accelerator=accelerator, inner=_never)
    floors = {kernel.name: floor(setting, [kernel]) for kernel in kernels.kernels}
    return tuple(
        _time(graph, operator, floors.get(operator.name), convention)
        for operator in graph.operators
        if convention.includes(operator)
    )


def _never(contraction: Contraction, accelerator: Accelerator) -> Scheduled | Infeasible:
    raise InputError(contraction.name, "a bound needs no schedule")


def _time(
    graph: Graph, operator: Operator, least: Floor | None, convention: Convention
) -> OperatorTime:
    repeats = graph.repeat(operator)
    return OperatorTime(
        name=operator.name,
        kind=operator.kind,
        part=operator.part,
        work=rule_for(operator).work,
        repeats=repeats,
        flops=repeats * convention.flops(Site.of(graph, operator)),
        traffic_bytes=repeats * least.dram_bytes if least else 0,
        compute_cycles=repeats * least.work_cycles if least else 0.0,
        memory_cycles=repeats * least.dram_cycles if least else 0.0,
        cycles=repeats * least.cycles if least else 0.0,
    )
