"""The result for programs: plain dicts with a stable schema. Units stand in the names."""

from __future__ import annotations

from typing import Any

from inferstack.optimize.result import Decision, OperatorResult, Optimization

SCHEMA_VERSION = 2
"""Raised by one when a key changes its meaning or goes; new keys do not raise it."""


def to_json(result: Optimization) -> dict[str, Any]:
    """Everything in `result`, with the totals that its properties give."""
    first = result.decisions[0] if result.decisions else None
    above: Decision | None = None
    decisions = []
    for decision in result.decisions:
        decisions.append(_decision(decision, above, first))
        above = decision
    return {
        "schema_version": SCHEMA_VERSION,
        "inferstack_version": result.version,
        "model": result.model,
        "seq_len": result.seq_len,
        "task": result.task,
        "unit": result.unit,
        "samples": result.samples,
        "calibration_samples": result.calibration_samples,
        "pairs": result.pairs,
        "truncated": result.truncated,
        "decisions": decisions,
        "sources": {
            name: {
                path: {"claim": source.claim.value, "text": source.text}
                for path, source in entries.items()
            }
            for name, entries in result.sources.items()
        },
        "files": dict(result.files),
    }


def _decision(decision: Decision, above: Decision | None, first: Decision | None) -> dict[str, Any]:
    quality = decision.quality
    return {
        "name": decision.name,
        "description": decision.description,
        "accelerator": decision.accelerator,
        "clock_hz": decision.clock_hz,
        "peak_macs_per_cycle": decision.peak_macs_per_cycle,
        "dram_bytes_per_cycle": decision.dram_bytes_per_cycle,
        "cycles": decision.cycles,
        "latency_s": decision.latency_s,
        "energy_pj": decision.energy_pj,
        "edp_pj_s": decision.edp_pj_s,
        "dram_bytes": decision.dram_bytes,
        "array_utilization": decision.array_utilization,
        "cycles_by_work": {work.value: n for work, n in decision.cycles_by_work.items()},
        "gain_over_above": _gains(above, decision),
        "gain_over_first": _gains(first, decision),
        "accuracy": {
            **{measure.key: measure.value for measure in quality.measures},
            "by_length": [
                {
                    "least_tokens": part.least,
                    "most_tokens": part.most,
                    "samples": part.samples,
                    "mean_cosine": part.mean_cosine,
                    "worst_cosine": part.worst_cosine,
                }
                for part in quality.by_length
            ],
        },
        "bit_exact_tensors": decision.bit_exact_tensors,
        "schedules_kept_from_the_row_above": list(decision.kept_schedules),
        "operators": [_operator(operator) for operator in decision.operators],
    }


def _gains(before: Decision | None, after: Decision) -> dict[str, float] | None:
    """How many times less latency, energy and energy-delay; None for the row without one above."""
    if before is None or after.cycles == 0 or after.energy_pj == 0:
        return None
    return {
        "latency": before.latency_s / after.latency_s,
        "energy": before.energy_pj / after.energy_pj,
        "edp": before.edp_pj_s / after.edp_pj_s,
    }


def _operator(operator: OperatorResult) -> dict[str, Any]:
    return {
        "name": operator.name,
        "kind": operator.kind,
        "unit": operator.unit,
        "claim": operator.claim.value,
        "cycles": operator.cycles,
        "predicted_cycles": operator.predicted_cycles,
        "prediction_error": operator.prediction_error,
        "cycles_by_work": {work.value: n for work, n in operator.cycles_by_work.items()},
        "energy_pj": operator.energy_pj,
        "macs": operator.macs,
        "dram_bytes": operator.dram_bytes,
        "compulsory_dram_bytes": operator.compulsory_dram_bytes,
        "fused": list(operator.fused),
        "mapping": operator.mapping,
        "certificate": operator.certificate,
    }


def to_records(result: Optimization) -> list[dict[str, Any]]:
    """A flat row per decision, with raw figures."""
    kept = ["accelerator", "cycles", "latency_s", "energy_pj", "edp_pj_s", "dram_bytes"]
    kept += ["array_utilization", "bit_exact_tensors"]
    found = []
    for row in to_json(result)["decisions"]:
        work = {f"{name} cycles": cycles for name, cycles in row["cycles_by_work"].items()}
        found.append(
            {"decision": row["name"], **{k: row[k] for k in kept}, **row["accuracy"], **work}
        )
    return found
