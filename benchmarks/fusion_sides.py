"""The pairs, machines and schedules of the fusion experiment.

Sides of a pair: a and b are Gemmini's greedy heuristic, apart and fused; c and d the proven optima
of latency, apart and fused; e is the better of c and d, as `best_fusion` chooses it (of several
pairs together, the sum of their e).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import Any

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.programs.vector import vector_cost, vector_operator
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.chain import chained
from inferstack.mapping.contraction import contraction
from inferstack.mapping.kernels import kernels_of
from inferstack.mapping.tiled import Tiling, tiled_mapping, tiling_of
from inferstack.schedule.contraction import heuristic_schedule
from inferstack.schedule.programs import schedule_programs
from inferstack.schedule.searcher import Searcher
from inferstack.schedule.tiles.optimum import search
from inferstack.simulate.run import Simulator, simulate_operator
from inferstack.testing.integer_graphs import IntegerGraph
from inferstack.testing.machines import resized

KIB = 1024
WIDTH, HEADS, INNER = 768, 12, 3072
"""BERT-Base."""
LONGEST_WHOLE_SIMULATION = 1024
"""Tokens up to which all heads are simulated; beyond, one head counts twelve times."""
SOFTMAX, WOUT, W2, MHA = "QxK+softmax", "Wout+LayerNorm", "W2+LayerNorm", "MHA together"
FUSED = ("b", "d")
SIDES = ("a", "b", "c", "d")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """A contraction and the operator that reads its result, alone in a graph.

    part, parts: the graph that is simulated, and how often it counts (one head of the scores).
    """

    name: str
    tokens: int
    graph: Graph
    part: Graph
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A Gemmini with I-BERT's units. single_buffered: the accumulator is one buffer."""

    scratchpad_kib: int
    accumulator_kib: int
    dram_bytes_per_cycle: int = 16
    single_buffered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One side of a pair; cycles are predicted, simulated_cycles None where nothing was simulated.

    tiling: of the contraction; None of several together. space: mappings that the search covered.
    """

    cycles: int
    simulated_cycles: int | None
    dram_bytes: int
    energy_pj: float
    tiling: Tiling | None = None
    space: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pair on one machine; sides by letter.

    fused_for: whether the best choice fuses, by objective; {} of several pairs together.
    """

    pair: str
    tokens: int
    setting: Setting
    sides: Dictionary[str, Figures | Infeasible]
    fused_for: Dictionary[str, bool]

    def effect_percent(self, fused: str, apart: str, simulated: bool) -> float | None:
        """How much longer the fused side takes; None where a figure is missing."""
        ours, other = _cycles(self.sides[fused], simulated), _cycles(self.sides[apart], simulated)
        return None if ours is None or other is None else 100 * (ours / other - 1)


def _cycles(side: Figures | Infeasible, simulated: bool) -> int | None:
    if isinstance(side, Infeasible):
        return None
    return side.simulated_cycles if simulated else side.cycles


def pairs(tokens: int) -> list[Pair]:
    """The three pairs of BERT-Base."""
    whole = tokens <= LONGEST_WHOLE_SIMULATION
    scores = _scores(tokens, HEADS)
    part, parts = (scores, 1) if whole else (_scores(tokens, 1), HEADS)
    made = [Pair(name=SOFTMAX, tokens=tokens, graph=scores, part=part, parts=parts)]
    for name, depth in ((WOUT, WIDTH), (W2, INNER)):
        graph = _projection(tokens, depth)
        made.append(Pair(name=name, tokens=tokens, graph=graph, part=graph, parts=1))
    return made


def _scores(tokens: int, heads: int) -> Graph:
    made = IntegerGraph("scores")
    shape = (1, tokens, WIDTH // HEADS * heads)
    head = made.scores("head", made.input("query", shape), made.input("key", shape), heads)
    return made.build((made.softmax("tail", head),))


def _projection(tokens: int, depth: int) -> Graph:
    made = IntegerGraph("projection")
    x = made.input("x", (1, tokens, depth))
    return made.build((made.layernorm("tail", made.linear("head", x, depth, WIDTH)),))


def machine(setting: Setting) -> Accelerator:
    """gemmini-ibert with other memories and another bus; energy per byte of SRAM follows its size.

    Source: Horowitz, ISSCC 2014: 1.25 pJ per byte of 8 KiB, times the root of the size over that,
    as the library's descriptions have it.
    """
    kib = {"scratchpad": setting.scratchpad_kib, "accumulator": setting.accumulator_kib}
    base = resized(
        load_accelerator("gemmini-ibert"), {name: size * KIB for name, size in kib.items()}
    )
    levels = []
    for level in base.levels:
        if level.name in kib:
            pj = 1.25 * math.sqrt(kib[level.name] / 8)
            halves = level.name != "accumulator" or not setting.single_buffered
            change: dict[str, Any] = {
                "read_pj_per_byte": pj,
                "write_pj_per_byte": pj,
                "double_buffered": halves,
            }
        else:
            rate = float(setting.dram_bytes_per_cycle)
            change = {"read_bytes_per_cycle": rate, "write_bytes_per_cycle": rate}
        levels.append(dataclasses.replace(level, **change))
    dma = dataclasses.replace(base.dma, bus_bytes=setting.dram_bytes_per_cycle)
    return dataclasses.replace(base, levels=tuple(levels), dma=dma)


def row(pair: Pair, setting: Setting, *, simulate: bool) -> Row:
    """All sides of a pair on a machine."""
    accelerator = machine(setting)
    simulator = Simulator(accelerator) if simulate else None
    sides: dict[str, Figures | Infeasible] = {}
    for name in SIDES:
        one = _schedule(pair, accelerator, name)
        if isinstance(one, Infeasible):
            sides[name] = one
        else:
            sides[name] = _figures(pair, accelerator, simulator, one)
    fused_for: dict[str, bool] = {}
    for objective in OBJECTIVES:
        found = schedule_programs(
            kernels_of(pair.graph), accelerator, Searcher(objective).beside, objective
        )
        assert not isinstance(found, Infeasible), found.message()
        fused_for[objective] = len(found.groups) == 1
        if objective == "latency":
            sides["e"] = sides["d" if fused_for[objective] else "c"]
            cycles = sum(group.cycles for group in found.groups)
            assert _cycles(sides["e"], simulated=False) == cycles, "one choice, two costs"
    return Row(
        pair=pair.name, tokens=pair.tokens, setting=setting, sides=sides, fused_for=fused_for
    )


def _schedule(pair: Pair, accelerator: Accelerator, side: str) -> Scheduled | Infeasible:
    """The schedule of the contraction, with what is fused to it on that side."""
    head, tail = kernels_of(pair.graph).kernels
    wanted = chained(head, (tail,) if side in FUSED else ())
    if side in "ab":
        return heuristic_schedule(wanted, accelerator)
    return search(wanted, accelerator, "latency")


def _figures(
    pair: Pair,
    accelerator: Accelerator,
    simulator: Simulator | None,
    one: Scheduled,
) -> Figures:
    """Of the contraction with what is fused, and of what runs behind it alone."""
    head = pair.graph.operators[0]
    mapping, found = one.mapping, one.cost
    cycles, energy, moved = found.cycles, found.energy_pj, found.dram_bytes
    if not mapping.fused:
        kernels = kernels_of(pair.graph)
        alone = vector_cost(vector_operator(kernels, kernels.kernels[1]), accelerator)
        assert not isinstance(alone, Infeasible), alone.message()
        cycles, energy = cycles + alone.cycles, energy + alone.energy_pj
        moved += alone.dram_bytes
    tiling = tiling_of(mapping, contraction(pair.graph, head), accelerator)
    assert tiling is not None, "every side is a tiled schedule"
    simulated = None if simulator is None else _simulated(pair, simulator, tiling, mapping.fused)
    return Figures(
        cycles=cycles,
        simulated_cycles=simulated,
        dram_bytes=moved,
        energy_pj=energy,
        tiling=tiling,
        space=0 if one.certificate is None else one.certificate.space_size,
    )


def _simulated(pair: Pair, simulator: Simulator, tiling: Tiling, fused: tuple[str, ...]) -> int:
    head, tail = pair.part.operators
    accelerator = simulator.accelerator
    mapping = tiled_mapping(contraction(pair.part, head), accelerator, tiling, fused)
    cycles = simulate_operator(pair.part, head, mapping, accelerator, simulator).cycles
    if not fused:
        cycles += simulate_operator(pair.part, tail, None, accelerator, simulator).cycles
    return pair.parts * cycles


def together(rows: list[Row]) -> Row:
    """Several pairs of one machine, one after the other."""
    first = rows[0]
    sides: dict[str, Figures | Infeasible] = {}
    for name in (*SIDES, "e"):
        each = [one.sides[name] for one in rows]
        figures = [side for side in each if isinstance(side, Figures)]
        misfit = next((side for side in each if isinstance(side, Infeasible)), None)
        sides[name] = misfit or _sum(figures)
    return Row(
        pair=MHA,
        tokens=first.tokens,
        setting=first.setting,
        sides=sides,
        fused_for={},
    )


def _sum(figures: list[Figures]) -> Figures:
    simulated = [one.simulated_cycles for one in figures if one.simulated_cycles is not None]
    return Figures(
        cycles=sum(one.cycles for one in figures),
        simulated_cycles=sum(simulated) if len(simulated) == len(figures) else None,
        dram_bytes=sum(one.dram_bytes for one in figures),
        energy_pj=sum(one.energy_pj for one in figures),
        space=sum(one.space for one in figures),
    )
