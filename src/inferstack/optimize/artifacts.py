"""What a run leaves for the next command: the integer model, its schedules, statistics."""

from __future__ import annotations

import json
from collections.abc import Mapping as Dictionary
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.compress.artifact import save
from inferstack.core.files import write_atomically
from inferstack.mapping.mapping_file import mapping_text

if TYPE_CHECKING:
    from inferstack.ir.graph import Graph
    from inferstack.optimize.schedules import Schedules
    from inferstack.simulate.run import OperatorRun, Run

MAPPINGS = "mappings"
STATISTICS = "statistics.json"
FORMAT = 1


def write_artifacts(folder: Path, graph: Graph, schedules: Schedules, run: Run) -> dict[str, Path]:
    """Writes the model, the mappings and the statistics; returns their paths by what they are."""
    structure, values = save(graph, folder)
    mappings, statistics = folder / MAPPINGS, folder / STATISTICS
    mappings.mkdir(exist_ok=True)
    for group in schedules.values():
        for found in group.schedules:
            text = mapping_text(found.mapping, found.contraction)
            write_atomically(mappings / f"{group.kernels[0]}.yaml", text)
    write_atomically(statistics, _json(_statistics(run)))
    return {
        "integer model, structure": structure,
        "integer model, values": values,
        "mappings": mappings,
        "statistics of the programs": statistics,
    }


def _json(record: Dictionary[str, Any]) -> str:
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _statistics(run: Run) -> dict[str, Any]:
    return {
        "format": "inferstack statistics",
        "version": FORMAT,
        "accelerator": run.accelerator,
        "cycles": run.cycles,
        "energy_pj": run.energy_pj,
        "dram_bytes": run.dram_bytes,
        "operators": [_operator(one) for one in run.operators],
    }


def _operator(run: OperatorRun) -> dict[str, Any]:
    timing = run.timing
    return {
        "name": run.operator,
        "fused": list(run.fused),
        "unit": run.where,
        "cycles": run.cycles,
        "energy_pj": run.energy_pj,
        "macs": timing.macs,
        "busy_cycles": dict(timing.busy_cycles),
        "stall_cycles": dict(timing.stalls),
        "instructions": dict(timing.queue_counts),
        "dram_read_bytes": timing.dram_read_bytes,
        "dram_written_bytes": timing.dram_written_bytes,
        "scratchpad_read_bytes": timing.scratchpad_read_bytes,
        "scratchpad_written_bytes": timing.scratchpad_written_bytes,
        "accumulator_read_bytes": timing.accumulator_read_bytes,
        "accumulator_written_bytes": timing.accumulator_written_bytes,
    }
