"""Proven schedules of whole models: seconds, memory, and what fusion saves.

    python benchmarks/map_models.py [--on peers-target] [--repeats 3]

A BERT-Base encoder block at l=512, its eight einsums alone (what AccelForge's block has), a
Llama-3-8B decode block behind 4,095 cached tokens, and the whole of ResNet-50 fused; every distinct
layer of ResNet-50 unfused, there and on the machines of three levels and several arrays; any
factors, all operators costed, after compilation, each time by a search that knows nothing yet.
Medians; the most memory of the process at the end. A table on stdout, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import statistics
import time
from typing import Any

from inferstack.core.infeasible import Infeasible
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.kernels import KernelGraph, kernels_of
from inferstack.models.architecture import build
from inferstack.models.scenario import Scenario
from inferstack.schedule.plan import ModelPlan, plan
from inferstack.schedule.searcher import Searcher

THREE_LEVELS = ("survey-analytic", "eyeriss", "simba", "tpu-v4i")


def block(model: str, scenario: Scenario) -> KernelGraph:
    """One layer of a Transformer."""
    graph = kernels_of(build(model, scenario))
    kept = tuple(kernel for kernel in graph.kernels if kernel.name.startswith("layer0."))
    once = tuple(dataclasses.replace(kernel, repeats=1) for kernel in kept)
    return dataclasses.replace(graph, kernels=once)


def einsums(graph: KernelGraph) -> KernelGraph:
    """The contractions alone, operands and results of 8 bits: what AccelForge's own block has.

    What a dropped operator made is what it was made of: its first operand.
    """
    source: dict[str, str] = {}
    kept = []
    for kernel in graph.kernels:
        reads = tuple(
            dataclasses.replace(port, tensor=source.get(port.tensor, port.tensor), bits=8)
            for port in kernel.reads
        )
        if kernel.contraction is None:
            source[kernel.writes.tensor] = reads[0].tensor
            continue
        operands = tuple(dataclasses.replace(one, bits=8) for one in kernel.contraction.operands)
        wanted = dataclasses.replace(kernel.contraction, operands=operands, bias_bits=None)
        writes = dataclasses.replace(kernel.writes, bits=8)
        kept.append(dataclasses.replace(kernel, contraction=wanted, reads=reads, writes=writes))
    outputs = frozenset({kept[-1].writes.tensor})
    return dataclasses.replace(graph, kernels=tuple(kept), outputs=outputs)


def planned(graph: KernelGraph, machine: Accelerator, objective: str, fuse: bool) -> ModelPlan:
    """The plan, by a search that knows nothing yet."""
    found = plan(graph, machine, Searcher(objective), fuse=fuse)
    assert not isinstance(found, Infeasible), found.message()
    return found


def figures(
    graph: KernelGraph, machine: Accelerator, objective: str, fuse: bool, repeats: int
) -> dict[str, Any]:
    """Seconds and savings of one case."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = planned(graph, machine, objective, fuse)
        times.append(time.perf_counter() - start)
    totals, unfused = found.totals, found.unfused
    return {
        "seconds": statistics.median(times),
        "objective": objective,
        "kernels": len(graph.kernels),
        "groups": sum(len(row.groups) for row in found.rows),
        "energy_uj": totals.energy_pj * 1e-6,
        "cycles": totals.cycles,
        "dram_bytes": totals.dram_bytes,
        "energy_saved": 1 - totals.energy_pj / unfused.energy_pj,
        "cycles_saved": 1 - totals.cycles / unfused.cycles,
        "dram_saved": 1 - totals.dram_bytes / unfused.dram_bytes,
        "partitions": found.proof.partitions,
        "costed": found.proof.evaluated,
    }


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", default="peers-target")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    machine = load_accelerator(given.on)
    encoder = block("bert-base", Scenario.encode(512))
    decoder = block("llama-3-8b", Scenario.decode(4095))
    resnet = kernels_of(build("resnet50", Scenario.encode(1)))
    planned(block("minilm-l6", Scenario.encode(16)), machine, "energy", False)  # compiles
    cases = {
        "its 8 einsums alone, fused": (einsums(encoder), machine, "energy", True, given.repeats),
        "bert-base block, l=512, fused": (encoder, machine, "energy", True, given.repeats),
        "bert-base block, l=512, EDP": (encoder, machine, "edp", True, given.repeats),
        "llama-3-8b decode block, 4,095 cached": (decoder, machine, "edp", True, given.repeats),
        "resnet50, fused": (resnet, machine, "energy", True, 1),
    }
    for name in (given.on, *THREE_LEVELS):
        on = load_accelerator(name)
        cases[f"resnet50, each layer alone, {name}"] = (resnet, on, "edp", False, 1)
    rows = {name: figures(*case) for name, case in cases.items()}
    print(
        f"{'on ' + machine.name:42}{'s':>7}{'energy':>9}{'cycles':>9}{'DRAM':>9}   saved by fusion"
    )
    for name, row in rows.items():
        saved = "".join(
            f"{-100 * row[key]:8.1f}%" for key in ("energy_saved", "cycles_saved", "dram_saved")
        )
        print(f"{name:42}{row['seconds']:7.2f}{saved}")
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    print(f"at most {megabytes:.0f} MiB; load of the machine {load:.1f}")
    print(json.dumps({"on": machine.name, "machine": cpu, "load": load, "mib": megabytes, **rows}))


if __name__ == "__main__":
    main()
