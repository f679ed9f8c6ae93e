"""Exact search of the distinct matmuls of one BERT-Base layer, and Gemmini's heuristic beside it.

    python benchmarks/search.py [--model bert-base] [--tokens 512] [--accelerator gemmini-ibert]

After compilation, in one process: medians of several runs. The bound of the cycles is that of the
array, MACs over its peak. A table on stdout, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.contraction import Contraction, contraction, is_contraction
from inferstack.models.architecture import build
from inferstack.models.scenario import Scenario
from inferstack.schedule.contraction import GREEDY, best_schedule

INT8_BITS = 8


def distinct_matmuls(model: str, tokens: int) -> list[Contraction]:
    """The contractions of one layer of a model, operands and results of 8 bits, each shape once."""
    graph = build(model, Scenario.encode(tokens))
    found: dict[object, Contraction] = {}
    for operator in graph.operators:
        if not is_contraction(operator):
            continue
        wanted = contraction(graph, operator)
        narrow = tuple(dataclasses.replace(o, bits=INT8_BITS) for o in wanted.operands)
        wanted = dataclasses.replace(wanted, operands=narrow, bias_bits=None)
        found.setdefault(wanted.signature, wanted)
    return list(found.values())


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """The median."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def map_all(
    matmuls: list[Contraction], accelerator: Accelerator, objective: str
) -> list[Scheduled]:
    """The schedules, which must exist."""
    found = [best_schedule(wanted, accelerator, objective) for wanted in matmuls]
    return [one for one in found if not isinstance(one, Infeasible)]


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="bert-base")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--accelerator", default="gemmini-ibert")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    accelerator = load_accelerator(given.accelerator)
    matmuls = distinct_matmuls(given.model, given.tokens)
    map_all(matmuls[:1], accelerator, "edp")  # compiles
    rows: dict[str, Any] = {}
    for objective in (GREEDY, *OBJECTIVES):
        figures = map_all(matmuls, accelerator, objective)
        took = seconds(partial(map_all, matmuls, accelerator, objective), given.repeats)
        bound = sum(wanted.macs for wanted in matmuls) / accelerator.array.macs_per_cycle
        cycles = sum(one.cost.cycles for one in figures)
        proofs = [one.certificate for one in figures if one.certificate is not None]
        rows[objective] = {
            "milliseconds": 1e3 * took,
            "space": sum(proof.space_size for proof in proofs),
            "evaluated": sum(proof.evaluated for proof in proofs),
            "cycles": cycles,
            "cycles_over_bound": cycles / bound,
            "dram_bytes_over_compulsory": sum(one.cost.dram_bytes for one in figures)
            / sum(one.cost.compulsory_dram_bytes for one in figures),
            "energy_uj": 1e-6 * sum(one.cost.energy_pj for one in figures),
        }
    print(f"{len(matmuls)} distinct matmuls of {given.model}, l={given.tokens}, {accelerator.name}")
    print(
        f"{'':12}{'ms':>8}{'space':>11}{'costed':>9}{'cycles/bound':>14}{'DRAM/least':>12}{'uJ':>9}"
    )
    for name, row in rows.items():
        print(
            f"{name:12}{row['milliseconds']:8.2f}{row['space']:11,}{row['evaluated']:9,}"
            f"{row['cycles_over_bound']:14.3f}{row['dram_bytes_over_compulsory']:12.3f}"
            f"{row['energy_uj']:9.1f}"
        )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(json.dumps({"model": given.model, "tokens": given.tokens, "machine": machine, **rows}))


if __name__ == "__main__":
    main()
