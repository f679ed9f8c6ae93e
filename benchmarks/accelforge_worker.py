"""Runs exported files through AccelForge: started with the Python that has it, not with ours.

    python accelforge_worker.py JOBS.json RESULTS.json

JOBS: {"parallel": processes, "jobs": [{"task": "map" or "evaluate", "files": [...], "repeats":
times}]}; a job of "map" has architecture and workload, one of "evaluate" a mapping too. RESULTS: a
list in the order of the jobs: seconds and cpu_seconds of each repeat, energy_pj, latency_s, nodes.

"map" minimizes the energy-delay product. AccelForge's documented call, `Spec.map_workload_to_arch`,
searches, then evaluates the mapping found once more in detail, for its energy and latency, and
draws it. Here the search is timed alone; report_seconds are those of the evaluation, undrawn.
"""

from __future__ import annotations

import json
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

PJ_PER_JOULE = 1e12


def main() -> None:
    """Reads the jobs, does them, writes the results."""
    import accelforge

    wanted = json.loads(Path(sys.argv[1]).read_text())
    accelforge.set_n_parallel_jobs(wanted["parallel"])
    results = [map_files(job) if job["task"] == "map" else evaluate(job) for job in wanted["jobs"]]
    Path(sys.argv[2]).write_text(json.dumps(results))


def evaluate(job: dict[str, Any]) -> dict[str, Any]:
    """What AccelForge's model says of a mapping."""
    import accelforge

    spec = accelforge.Spec.from_yaml(*job["files"])
    spec.model.metrics = accelforge.Metrics.all_metrics()
    return costs(spec.evaluate_mapping())


def costs(found: Any) -> dict[str, Any]:
    """Its energy and latency."""
    return {
        "energy_pj": float(found.energy()) * PJ_PER_JOULE,
        "latency_s": float(found.latency()),
    }


def map_files(job: dict[str, Any]) -> dict[str, Any]:
    """Its mapper's result, and the time that it took."""
    import accelforge
    from accelforge.mapper.FFM.main import map_workload_to_arch
    from accelforge.model.main import evaluate_mapping

    spec = accelforge.Spec.from_yaml(*job["files"])
    spec.mapper.metrics = accelforge.Metrics.ENERGY_DELAY_PRODUCT
    seconds, cpu_seconds, report_seconds = [], [], []
    for _ in range(job["repeats"]):
        start, cpu = time.perf_counter(), time.process_time()
        found = map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu)
        start = time.perf_counter()
        mapping = found.data.iloc[0]["Total<SEP>mapping"](_for_model=True)
        scored = deepcopy(spec)
        scored.mapping, scored.model.metrics = mapping, accelforge.Metrics.all_metrics()
        cost = evaluate_mapping(
            scored, flattened_arches=found.flattened_arches, evaluated_specs=found.evaluated_specs
        )
        report_seconds.append(time.perf_counter() - start)
    nodes = [as_plain(node) for node in mapping.nodes]
    times = {"seconds": seconds, "cpu_seconds": cpu_seconds, "report_seconds": report_seconds}
    return {**times, "nodes": nodes, **costs(cost)}


def as_plain(node: Any) -> dict[str, Any]:
    """The fields of a node that say what it does."""
    plain: dict[str, Any] = {"node": type(node).__name__}
    for field in ("rank_variable", "tile_shape", "name", "component"):
        value = getattr(node, field, None)
        if value is not None:
            (value,) = value if isinstance(value, (set, frozenset)) else (value,)
            plain[field] = int(value) if field == "tile_shape" else str(value)
    if hasattr(node, "tensors"):
        plain["tensors"] = [str(tensor) for tensor in node.tensors]
    return plain


if __name__ == "__main__":
    main()
