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
from inferstack.cost.cost import Cost, cost
from inferstack.cost.programs.vector import vector_cost, vector_operator
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.contraction import contraction
from inferstack.mapping.epilogue import NO_EPILOGUE, epilogue_of
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import Tiling, tiled_mapping, tiling_of
from inferstack.schedule.epilogues import best_fusion
from inferstack.schedule.gemmini import greedy
from inferstack.schedule.tiles.optimum import OBJECTIVES, search
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
        mapping, found, space = _schedule(pair, accelerator, name)
        if isinstance(mapping, Infeasible):
            sides[name] = mapping
        else:
            assert found is not None, "a mapping has a cost"
            sides[name] = _figures(pair, accelerator, simulator, mapping, found, space)
    fused_for: dict[str, bool] = {}
    for objective in OBJECTIVES:
        groups = best_fusion(pair.graph, accelerator, objective)
        assert not isinstance(groups, Infeasible), groups.message()
        group = groups["head"]
        fused_for[objective] = bool(group.epilogue.names)
        if objective == "latency":
            sides["e"] = sides["d" if group.epilogue.names else "c"]
            assert _cycles(sides["e"], simulated=False) == group.cycles, "one choice, two costs"
    return Row(
        pair=pair.name, tokens=pair.tokens, setting=setting, sides=sides, fused_for=fused_for
    )


def _schedule(
    pair: Pair, accelerator: Accelerator, side: str
) -> tuple[Mapping | Infeasible, Cost | None, int]:
    """(schedule, its cost, mappings that the search covered) of the contraction."""
    head, tail = pair.graph.operators
    wanted, fused = contraction(pair.graph, head), side in FUSED
    epilogue = epilogue_of(pair.graph, head, (tail,)) if fused else NO_EPILOGUE
    if side in "ab":
        mapping = greedy(wanted, accelerator, epilogue.names, whole_rows=fused)
        if isinstance(mapping, Infeasible):
            return mapping, None, 0
        return mapping, cost(mapping, wanted, accelerator, epilogue), 0
    found = search(wanted, accelerator, "latency", epilogue)
    if isinstance(found, Infeasible):
        return found, None, 0
    assert found.certificate.optimal, "the search proves its result"
    return found.mapping, found.cost, found.certificate.space_size


def _figures(
    pair: Pair,
    accelerator: Accelerator,
    simulator: Simulator | None,
    mapping: Mapping,
    found: Cost,
    space: int,
) -> Figures:
    """Of the contraction with what is fused, and of what runs behind it alone."""
    head, tail = pair.graph.operators
    cycles, energy, moved = found.cycles, found.energy_pj, found.dram_bytes
    if not mapping.fused:
        alone = vector_cost(vector_operator(pair.graph, tail), accelerator)
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
        space=space,
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
