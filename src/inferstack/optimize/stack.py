"""The whole story: the stack of decisions from a float checkpoint to a fused integer program.

    baseline                 int8 matmuls by Gemmini's heuristic, the rest in floating point
    integer-only operators   units behind the accumulator, nothing is dequantized in between
    memory split             the same SRAM, more of it for results
    optimal schedule         exact search instead of the heuristic
    fused schedule           epilogues too, where the search says that they gain

Each row keeps everything above it, is run on the simulator, and has its accuracy measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferstack import __version__
from inferstack.analysis.workload import find_model
from inferstack.compress.calibration import Calibration
from inferstack.compress.method import method
from inferstack.core.files import STAGES
from inferstack.core.infeasible import Infeasible
from inferstack.core.progress import Progress, silent
from inferstack.cost.figures import check_objective
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph
from inferstack.models.data import Pairs
from inferstack.optimize.artifacts import write_artifacts
from inferstack.optimize.decide import decide
from inferstack.optimize.machines import (
    operand_and_result_level,
    with_swapped_memories,
    with_units,
)
from inferstack.optimize.result import Decision, Optimization
from inferstack.optimize.schedules import (
    EXACT,
    FUSED,
    Schedules,
    Simulators,
    Step,
    not_worse,
    schedules_of,
)
from inferstack.optimize.stages import Stages
from inferstack.optimize.task import task_of
from inferstack.schedule.contraction import GREEDY
from inferstack.simulate.support import check_simulable

BASELINE_METHOD = "int8-float"
INTEGER_METHOD = "integer-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to optimize.

    texts: measure accuracy; without `calibration`, every third of them calibrates instead.
    pairs: for the rank correlation. checked: how many samples of them each row runs on the
    simulator, every tensor compared with the reference. folder: of what is written, and of what
    lets a stopped run go on.
    """

    model: Path
    accelerator: Accelerator
    seq_len: int
    texts: tuple[str, ...]
    calibration: tuple[str, ...] | None
    pairs: Pairs | None
    objective: str
    checked: int
    folder: Path


def optimize(request: Request, progress: Progress = silent) -> Optimization | Infeasible:
    """Runs the stack. Raises InputError for what the user got wrong, CheckFailedError for bits."""
    check_objective("--objective", request.objective)
    check_simulable(request.accelerator)
    task = task_of(find_model(str(request.model.absolute())))
    evaluation = task.prepare(
        request.model,
        request.seq_len,
        texts=request.texts,
        calibration=request.calibration,
        pairs=request.pairs,
        stages=Stages(folder=request.folder / STAGES),
    )
    calibration = evaluation.calibrate(progress)
    steps = _steps(request.accelerator, evaluation.graph, calibration)
    checked = evaluation.feeds(request.checked)
    simulators, decisions, files = Simulators(), list[Decision](), dict[str, Path]()
    above: tuple[Step, Schedules] | None = None
    for step in steps:
        progress(f"scheduling: {step.name}", 0, 1)
        schedules = schedules_of(step, request.objective)
        if isinstance(schedules, Infeasible):
            return schedules
        kept: tuple[str, ...] = ()
        if above is not None and step.schedule != GREEDY and _alike(step, above[0]):
            simulator = simulators.of(step.accelerator)
            schedules, kept = not_worse(step, schedules, above[1], request.objective, simulator)
        above = step, schedules
        quality = evaluation.quality(step.graph, step.method, progress)
        decision, run = decide(step, schedules, kept, quality, checked, simulators, progress)
        decisions.append(decision)
        if step is steps[-1]:
            files = write_artifacts(request.folder, step.graph, schedules, run)
    return Optimization(
        model=evaluation.name,
        seq_len=request.seq_len,
        task=task.name,
        unit=evaluation.unit,
        samples=evaluation.samples,
        calibration_samples=evaluation.calibration_samples,
        pairs=evaluation.pairs,
        truncated=evaluation.truncated,
        decisions=tuple(decisions),
        sources={step.accelerator.name: step.accelerator.sources for step in steps},
        files={what: str(path) for what, path in files.items()},
        version=__version__,
    )


def _alike(step: Step, above: Step) -> bool:
    """Whether two rows differ in their schedules alone."""
    return step.graph is above.graph and step.accelerator == above.accelerator


def _steps(accelerator: Accelerator, graph: Graph, calibration: Calibration) -> list[Step]:
    """The rows; those that change nothing on this machine are left out."""
    baseline = method(BASELINE_METHOD).apply(graph, calibration)
    integer = method(INTEGER_METHOD).apply(graph, calibration)
    units = with_units(accelerator, {operator.kind for operator in integer.operators})
    swapped = with_swapped_memories(units)
    machine = swapped or units
    steps = [
        Step(
            name="baseline",
            description="int8 matmuls on the array with the library's greedy tiles; everything "
            "else in floating point on the host, quantized and dequantized around it.",
            method=BASELINE_METHOD,
            graph=baseline,
            accelerator=accelerator,
            schedule=GREEDY,
        ),
        Step(
            name="integer-only operators",
            description=_units_text(units, integer),
            method=INTEGER_METHOD,
            graph=integer,
            accelerator=units,
            schedule=GREEDY,
        ),
        Step(
            name="memory split",
            description=_split_text(machine),
            method=INTEGER_METHOD,
            graph=integer,
            accelerator=machine,
            schedule=GREEDY,
        ),
        Step(
            name="optimal schedule",
            description="Each operator's tiles and loop order by exact search.",
            method=INTEGER_METHOD,
            graph=integer,
            accelerator=machine,
            schedule=EXACT,
        ),
        Step(
            name="fused schedule",
            description="Residual adds, activations, softmax and norms on the output tile, where "
            "the search says that it gains.",
            method=INTEGER_METHOD,
            graph=integer,
            accelerator=machine,
            schedule=FUSED,
        ),
    ]
    return [step for step in steps if step.name != "memory split" or swapped is not None]


def _units_text(machine: Accelerator, graph: Graph) -> str:
    """Which operators leave the host, and which stay."""
    kinds = {
        operator.kind for operator in graph.operators if graph.result(operator).dtype.is_integer
    }
    units = sorted(kind for kind in kinds if machine.supports(kind))
    return f"Integer {', '.join(units)} in units behind the accumulator."


def _split_text(machine: Accelerator) -> str:
    sizes = [
        f"{(level.capacity_bytes or 0) // 1024} KiB of {level.name}"
        for level in operand_and_result_level(machine)
    ]
    return f"The same SRAM in all, {' and '.join(sizes)}."
